// The map: points drawn into pixels by hand, which needs no graphics card; pan, zoom, pick, lasso.

const stage = byId("stage"), canvas = byId("canvas"), pen = canvas.getContext("2d", { alpha: false });
const over = byId("over").getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
const view = { scale: 1, x: 0, y: 0 };
const GRID = 128, CRISP = 20000;
const chart = { modes: [], mode: null, alone: null, hover: -1, path: null, marked: [], frames: 0 };
let pixels, image, px, py, order, packed, dim, marks, cells, starts, homes;

const palette = () => (dark.matches ? about.dark : about.palette);
const groundColour = () => (dark.matches ? "#17191D" : "#FFFFFF");
const inkColour = () => (dark.matches ? "#F2F2F2" : "#1B1B1B");
const noiseColour = () => (dark.matches ? "#5A5E66" : about.noise);
const colourAt = (k) => palette()[k % about.palette.length];
const colourOfCluster = (k) => colourAt(groupOf(k));
const word = (hexa) => (0xff000000 | (parseInt(hexa.slice(5, 7), 16) << 16) | (parseInt(hexa.slice(3, 5), 16) << 8) | parseInt(hexa.slice(1, 3), 16)) >>> 0;

// Cividis, which reads the same with and without colour vision; pale is certain in the dark, and dark in the light.
const SCALE = ["#FDEA45", "#C8B866", "#96907A", "#666870", "#2B446E", "#00224E"];
function shade(share) {
  const place = Math.max(0, Math.min(1, share)) * (SCALE.length - 1), low = Math.min(SCALE.length - 2, Math.floor(place));
  const mix = (j) => Math.round(parseInt(SCALE[low].slice(j, j + 2), 16) * (low + 1 - place) + parseInt(SCALE[low + 1].slice(j, j + 2), 16) * (place - low));
  return "#" + [1, 3, 5].map((j) => mix(j).toString(16).padStart(2, "0")).join("");
}

function setUpMap() {
  const n = data.n;
  px = Float32Array.from(data.x, (value) => value / 65535);
  py = Float32Array.from(data.y, (value) => 1 - value / 65535);
  packed = new Uint32Array(n);
  dim = new Uint8Array(n);
  marks = new Uint8Array(n);
  order = shuffled(n);
  sortIntoCells();
  chart.modes = modes();
  for (const mode of chart.modes) byId("colour").append(make("option", { value: mode.key }, mode.title));
  chart.mode = chart.modes[0];
  byId("colour").onchange = (event) => colourBy(event.target.value);
  dark.addEventListener("change", () => { recolour(); drawLegend(); });
  new ResizeObserver(resize).observe(stage);
  listenToPointers();
  listenToKeys();
  resize();
  wholeMap();
}

// Points lie above each other in an order that is the same each time and favours no cluster.
function shuffled(n) {
  const places = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [places[i], places[j]] = [places[j], places[i]];
  }
  return places;
}

function sortIntoCells() {
  const cell = (i) => Math.min(GRID - 1, Math.floor(py[i] * GRID)) * GRID + Math.min(GRID - 1, Math.floor(px[i] * GRID));
  starts = new Uint32Array(GRID * GRID + 1);
  for (let i = 0; i < data.n; i++) starts[cell(i) + 1]++;
  for (let c = 0; c < GRID * GRID; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  cells = new Uint32Array(data.n);
  for (let i = 0; i < data.n; i++) cells[next[cell(i)]++] = i;
}

// Ways to colour: groups with a name each, or a share.
function modes() {
  const found = [{
    key: "cluster", title: "cluster", of: (i) => groupOf(data.cluster[i]), name: (g) => titleOf(g), labels: true,
    short: (g) => calledOf(g) || String(g), count: about.clusters.length,
  }];
  if (data.class) found.push({ key: "class", title: "class", of: (i) => data.class[i], name: (g) => about.classes[g], short: (g) => about.classes[g], labels: true, count: about.classes.length });
  found.push({ key: "certainty", title: "certainty", share: certaintyOf });
  if (data.typicality) found.push({ key: "typicality", title: "typicality (low: outlier)", share: typicalityOf });
  found.push({ key: "noise", title: "noise", of: (i) => 1 - data.noise[i], name: (g) => (g ? "in a cluster" : "noise"), count: 2, flag: true });
  for (const k of about.levels) found.push({ key: `level ${k}`, title: `level of ${plural(k, "cluster")}`, of: (i) => data[`level ${k}`][i], name: (g) => `${g} of ${k}`, short: (g) => String(g), labels: true, count: k });
  return found;
}

function colourOfGroup(mode, g) {
  if (mode.flag) return g ? noiseColour() : (dark.matches ? "#FF9500" : "#C73900");
  return g >= mode.count ? noiseColour() : colourAt(g);
}

function colourBy(key) {
  chart.mode = chart.modes.find((mode) => mode.key === key);
  chart.alone = null;
  byId("colour").value = key;
  recolour();
  drawLegend();
}

function recolour() {
  const mode = chart.mode, table = [];
  if (!mode.share) for (let g = 0; g < mode.count; g++) table[g] = word(colourOfGroup(mode, g));
  const none = word(noiseColour()), shades = mode.share && Array.from({ length: 256 }, (_, j) => word(shade(dark.matches ? 1 - j / 255 : j / 255)));
  const sums = new Map();
  for (let i = 0; i < data.n; i++) {
    if (mode.share) {
      packed[i] = shades[Math.round(255 * mode.share(i))];
      dim[i] = 0;
      continue;
    }
    const g = mode.of(i);
    packed[i] = table[g] ?? none;
    dim[i] = chart.alone !== null && g !== chart.alone ? 1 : 0;
    if (!sums.has(g)) sums.set(g, []);
    sums.get(g).push(i);
  }
  homes = [...sums].filter(([g]) => g < mode.count).map(([g, of]) => ({ g, size: of.length, i: middleOf(of) })).sort((a, b) => b.size - a.size);
  repaint();
}

// The member that is nearest to the medians of both coordinates: a label stands where the group is, not between parts.
function middleOf(of) {
  const median = (values) => values.sort()[values.length >> 1];
  const x = median(Float32Array.from(of, (i) => px[i])), y = median(Float32Array.from(of, (i) => py[i]));
  let best = of[0], least = Infinity;
  for (const i of of) {
    const apart = (px[i] - x) ** 2 + (py[i] - y) ** 2;
    if (apart < least) [best, least] = [i, apart];
  }
  return best;
}

function resize() {
  const ratio = Math.min(2, devicePixelRatio || 1), width = Math.round(stage.clientWidth * ratio), height = Math.round(stage.clientHeight * ratio);
  if (!width || !height || (canvas.width === width && canvas.height === height && image)) return;
  const before = canvas.width;
  canvas.width = over.canvas.width = width;
  canvas.height = over.canvas.height = height;
  image = pen.createImageData(width, height);
  pixels = new Uint32Array(image.data.buffer);
  if (before && view.fitted) wholeMap();
  repaint();
}

const ratioOf = () => canvas.width / Math.max(1, stage.clientWidth);

function wholeMap() {
  fit(0, 0, 1, 1);
  view.fitted = true;
}

function fit(left, top, right, bottom) {
  const margin = 26 * ratioOf(), width = Math.max(right - left, 0.02), height = Math.max(bottom - top, 0.02);
  view.scale = Math.min((canvas.width - 2 * margin) / width, (canvas.height - 2 * margin) / height);
  view.x = canvas.width / 2 - view.scale * (left + right) / 2;
  view.y = canvas.height / 2 - view.scale * (top + bottom) / 2;
  repaint();
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const low = 0.3 * Math.min(canvas.width, canvas.height), scale = Math.max(low, Math.min(400 * low, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  view.fitted = false;
  repaint();
}

function shift(dx, dy) {
  view.x += dx;
  view.y += dy;
  view.fitted = false;
  repaint();
}

// However far it is moved, some of the map stays on the canvas.
function keepInSight() {
  const least = 60 * ratioOf(), within = (value, size) => Math.max(least - view.scale, Math.min(size - least, value));
  view.x = within(view.x, canvas.width);
  view.y = within(view.y, canvas.height);
}

let asked = false;
function repaint() {
  keepInSight();
  if (asked || !image) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; paint(); });
}

const radius = () => {
  const closer = view.scale / (0.9 * Math.min(canvas.width, canvas.height));
  const room = Math.min(1, Math.min(stage.clientWidth, stage.clientHeight) / 700) ** 0.7;
  return ratioOf() * Math.max(1.3, room * Math.min(4.5, 60 / data.n ** 0.37)) * Math.min(2.5, Math.max(1, closer) ** 0.35);
};

// Offsets of the pixels of a disc, and how much of each it covers, of 256; all or nothing where there are many points.
function stampOf(r) {
  const width = canvas.width, offsets = [], cover = [], reach = Math.ceil(r), crisp = data.n > CRISP;
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const share = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(x, y)));
      if (share > (crisp ? 0.5 : 0.05)) { offsets.push(y * width + x); cover.push(crisp ? 256 : Math.round(256 * share)); }
    }
  }
  return { offsets: Int32Array.from(offsets), cover: Uint16Array.from(cover), reach };
}

// Stamps the points of `places` whose `flags` have that value, in one colour or in their own.
function stampAll(stamp, places, flags, value, colour) {
  const { offsets, cover, reach } = stamp, { scale, x: left, y: top } = view, width = canvas.width, size = offsets.length;
  const right = width - reach, bottom = canvas.height - reach, target = pixels, own = colour === undefined;
  for (let k = 0; k < places.length; k++) {
    const i = places[k];
    if (flags[i] !== value) continue;
    const x = Math.round(px[i] * scale + left), y = Math.round(py[i] * scale + top);
    if (x < reach || y < reach || x >= right || y >= bottom) continue;
    const centre = y * width + x, ink = own ? packed[i] : colour, redBlue = ink & 0xff00ff, green = ink & 0xff00;
    for (let j = 0; j < size; j++) {
      const place = centre + offsets[j], a = cover[j];
      if (a === 256) { target[place] = ink; continue; }
      const old = target[place], b = 256 - a;
      target[place] = 0xff000000 | ((((old & 0xff00ff) * b + redBlue * a) >>> 8) & 0xff00ff) | ((((old & 0xff00) * b + green * a) >>> 8) & 0xff00);
    }
  }
}

function paint() {
  const stamp = stampOf(radius());
  pixels.fill(word(groundColour()));
  if (chart.alone !== null) stampAll(stamp, order, dim, 1, word(dark.matches ? "#2B2F36" : "#ECECEC"));
  stampAll(stamp, order, dim, 0);
  if (chart.marked.length) {
    stampAll(stampOf(radius() + 1.5 * ratioOf()), chart.marked, marks, 1, word(inkColour()));
    stampAll(stamp, chart.marked, marks, 1);
  }
  pen.putImageData(image, 0, 0);
  drawLabels();
  chart.frames++;
  paintOver();
}

// What changes while the points stay: the ring around one example, and the lasso.
function paintOver() {
  over.clearRect(0, 0, canvas.width, canvas.height);
  if (chart.hover >= 0) drawRing(chart.hover);
  if (chart.path) drawPath();
}

function drawLabels() {
  const mode = chart.mode, ratio = ratioOf(), taken = [];
  if (!mode.labels) return;
  pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 4 * ratio;
  pen.strokeStyle = groundColour();
  pen.fillStyle = inkColour();
  for (const { g, i } of homes) {
    if (chart.alone !== null && g !== chart.alone) continue;
    const text = cut(mode.short(g), 22), half = pen.measureText(text).width / 2 + 3 * ratio, tall = 9 * ratio;
    const x = px[i] * view.scale + view.x, y = py[i] * view.scale + view.y;
    if (x < 0 || y < 0 || x > canvas.width || y > canvas.height) continue;
    if (taken.some((box) => Math.abs(box.x - x) < box.half + half && Math.abs(box.y - y) < 2 * tall)) continue;
    taken.push({ x, y, half });
    pen.strokeText(text, x, y);
    pen.fillText(text, x, y);
  }
}

const cut = (text, length) => ([...text].length > length ? [...text].slice(0, length - 1).join("") + "…" : text);

function drawRing(i) {
  over.beginPath();
  over.arc(px[i] * view.scale + view.x, py[i] * view.scale + view.y, radius() + 4 * ratioOf(), 0, 7);
  for (const [width, colour] of [[5, groundColour()], [2, inkColour()]]) {
    over.lineWidth = width * ratioOf();
    over.strokeStyle = colour;
    over.stroke();
  }
}

function drawPath() {
  over.beginPath();
  for (const [x, y] of chart.path) over.lineTo(x, y);
  over.closePath();
  over.lineWidth = 1.5 * ratioOf();
  over.strokeStyle = inkColour();
  over.fillStyle = dark.matches ? "#FFFFFF22" : "#00000018";
  over.fill();
  over.stroke();
}

// The nearest point that is not faint, within ten pixels, or -1. x, y: on the canvas.
function pick(x, y) {
  const reach = 10 * ratioOf(), u = (x - view.x) / view.scale, v = (y - view.y) / view.scale, wide = reach / view.scale;
  const clamp = (value) => Math.max(0, Math.min(GRID - 1, Math.floor(value * GRID)));
  let best = -1, least = wide * wide;
  for (let row = clamp(v - wide); row <= clamp(v + wide); row++) {
    for (let c = row * GRID + clamp(u - wide); c <= row * GRID + clamp(u + wide); c++) {
      for (let j = starts[c]; j < starts[c + 1]; j++) {
        const i = cells[j], apart = (px[i] - u) ** 2 + (py[i] - v) ** 2;
        if (apart < least && !dim[i]) [best, least] = [i, apart];
      }
    }
  }
  return best;
}

// Places of the points inside a closed path on the canvas that are not faint.
function inside(path) {
  const found = [], corners = path.map(([x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale]);
  const xs = corners.map(([x]) => x), ys = corners.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (let i = 0; i < data.n; i++) {
    const x = px[i], y = py[i];
    if (dim[i] || x < left || x > right || y < top || y > bottom) continue;
    let within = false;
    for (let a = 0, b = corners.length - 1; a < corners.length; b = a++) {
      const [x0, y0] = corners[a], [x1, y1] = corners[b];
      if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) within = !within;
    }
    if (within) found.push(i);
  }
  return found;
}

function hover(i, clientX, clientY) {
  if (i !== chart.hover) { chart.hover = i; paintOver(); }
  if (i >= 0) tipAt(i, clientX, clientY);
  else hideTip();
}

// Shows an example on the map: moved to the middle where it is out of sight.
function goTo(i) {
  const x = px[i] * view.scale + view.x, y = py[i] * view.scale + view.y, margin = 40 * ratioOf();
  if (x < margin || y < margin || x > canvas.width - margin || y > canvas.height - margin) shift(canvas.width / 2 - x, canvas.height / 2 - y);
  chart.hover = i;
  repaint();
  say(describe(i));
}

function showGroup(of) {
  let [left, top, right, bottom] = [1, 1, 0, 0];
  for (const i of of) [left, top, right, bottom] = [Math.min(left, px[i]), Math.min(top, py[i]), Math.max(right, px[i]), Math.max(bottom, py[i])];
  if (of.length) fit(left, top, right, bottom);
  view.fitted = false;
}
