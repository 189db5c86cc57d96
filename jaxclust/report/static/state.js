// What the page knows: the run, the columns of its examples, and the edits.

const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent);
const NONE = 65535, UNSEEN = 0xffffffff;
const data = {};

// An element with attributes, listeners ("onclick") and children. Text is always text, never markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) element.setAttribute(name, String(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function bytesOf(id) {
  const element = byId(id), text = atob(element.textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  element.remove();
  return bytes;
}

async function inflated(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function readData() {
  const kinds = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  const whole = await inflated("table"), end = whole.indexOf(10), text = new TextDecoder();
  for (const [name, [kind, place, size]] of Object.entries(JSON.parse(text.decode(whole.subarray(0, end))))) {
    data[name] = new kinds[kind](whole.buffer, end + 1 + place, size);
  }
  data.names = data.names.length ? JSON.parse(text.decode(data.names)) : null;
  data.lower = data.names && data.names.map((name) => name.toLowerCase());
  data.tile = new Uint32Array((await inflated("places")).buffer);
  data.n = data.row.length;
}

const nameOf = (i) => (data.names ? data.names[i] : `example ${data.row[i]}`);
const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0995 ? 1 : 0)}%`;
const number = (value) => value.toLocaleString("en");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const certaintyOf = (i) => data.certainty[i] / 65535;
const typicalityOf = (i) => data.typicality[i] / 65535;

// The place on the page of a row of the run, by bisection; -1 where it is not on the page.
function placeOf(row) {
  let low = 0, high = data.n - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.row[middle] < row) low = middle + 1;
    else high = middle;
  }
  return data.row[low] === row ? low : -1;
}

function say(text) {
  byId("live").textContent = text;
}

// Edits: names by cluster, groups that become one cluster, clusters that become several.
let edits = { names: {}, merge: [], split: [] };
const undone = [];
let saved = true;
const STORE = `jaxclust edits ${about.method} ${about.data_fingerprint || about.data} ${about.seed} ${about.clusters.map((card) => card.size)}${about.names ? ` ${JSON.stringify(about.names)}` : ""}`;
const listeners = [];

// The group of a cluster: the lowest number among those that it is merged with.
function groupOf(k) {
  const group = edits.merge.find((one) => one.includes(k));
  return group ? Math.min(...group) : k;
}

// What a cluster is called: as it was edited here, else as the run has it; "" without a name.
function calledOf(k) {
  return edits.names[k] ?? (about.names ? about.names[k] : "");
}

function titleOf(k) {
  return calledOf(k) || `cluster ${k}`;
}

function changed() {
  try {
    localStorage.setItem(STORE, JSON.stringify(edits));
  } catch { /* no place to keep them: they live as long as the page */ }
  for (const listener of listeners) listener();
}

function edit(change) {
  undone.push(JSON.stringify(edits));
  edits = JSON.parse(JSON.stringify(edits));
  change(edits);
  saved = false;
  changed();
}

function rename(k, name) {
  if (calledOf(k) === name) return;
  edit((now) => {
    if (name !== (about.names ? about.names[k] : "")) now.names[k] = name;
    else delete now.names[k];
  });
}

function merge(a, b) {
  edit((now) => {
    const joined = new Set([a, b]);
    for (const group of now.merge) if (group.includes(a) || group.includes(b)) group.forEach((k) => joined.add(k));
    now.merge = now.merge.filter((group) => !group.some((k) => joined.has(k)));
    now.merge.push([...joined].sort((one, other) => one - other));
    now.split = now.split.filter((k) => !joined.has(k));
  });
}

function takeOut(k) {
  edit((now) => {
    now.merge = now.merge.map((group) => group.filter((other) => other !== k)).filter((group) => group.length > 1);
  });
}

function toggleSplit(k) {
  edit((now) => {
    now.split = now.split.includes(k) ? now.split.filter((other) => other !== k) : [...now.split, k].sort((a, b) => a - b);
  });
}

function undo() {
  if (!undone.length) return;
  edits = JSON.parse(undone.pop());
  saved = false;
  changed();
}

function editsFile() {
  const run = {};
  for (const key of ["method", "data", "data_fingerprint", "seed"]) if (about[key] !== undefined) run[key] = about[key];
  run.n_clusters = about.clusters.length;
  const file = { format: 1, run, names: edits.names, merge: edits.merge, split: edits.split };
  return JSON.stringify(file, null, 2) + "\n";
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE));
    if (kept && kept.names && Array.isArray(kept.merge) && Array.isArray(kept.split)) edits = kept;
  } catch { /* nothing is kept, or it is damaged */ }
}
