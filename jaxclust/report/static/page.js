// What the pointer, the keyboard and the fields do; the selection; the beginning.

let lassoing = false, selected = [], matched = [];

function setTool(lasso) {
  lassoing = lasso;
  byId("lasso").setAttribute("aria-pressed", lasso);
  byId("pan").setAttribute("aria-pressed", !lasso);
  stage.classList.toggle("lassoing", lasso);
}

function listenToPointers() {
  const held = new Map();
  let start = null, spread = 0;
  const at = (event) => {
    const box = stage.getBoundingClientRect(), ratio = ratioOf();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
    start = { at: at(event), moved: false };
    if (held.size === 1 && (lassoing || event.shiftKey)) chart.path = [at(event)];
    if (held.size === 2) { chart.path = null; spread = apart(held); }
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = at(event), before = held.get(event.pointerId);
    if (!before) return void hover(pick(x, y), event.clientX, event.clientY);
    if (Math.hypot(x - start.at[0], y - start.at[1]) > 4 * ratioOf()) start.moved = true;
    held.set(event.pointerId, [x, y]);
    if (held.size === 2) {
      const now = apart(held), [[a, b], [c, d]] = [...held.values()];
      if (spread) zoom(now / spread, (a + c) / 2, (b + d) / 2);
      spread = now;
    } else if (chart.path) {
      chart.path.push([x, y]);
      paintOver();
    } else if (start.moved) {
      hideTip();
      shift(x - before[0], y - before[1]);
    }
  });
  const end = (event) => {
    if (!held.delete(event.pointerId) || held.size) return;
    const path = chart.path, [x, y] = at(event);
    chart.path = null;
    if (event.type === "pointercancel") return void repaint();
    if (path && start.moved) select(inside(path));
    else if (!start.moved) {
      const i = pick(x, y);
      hover(i, event.clientX, event.clientY);
      if (i >= 0) toggle(i);
    }
    repaint();
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("pointerleave", () => hover(-1));
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event));
  }, { passive: false });
}

function apart(held) {
  const [[a, b], [c, d]] = [...held.values()];
  return Math.hypot(a - c, b - d);
}

function listenToKeys() {
  const step = 60;
  const keys = {
    ArrowLeft: () => shift(step, 0), ArrowRight: () => shift(-step, 0), ArrowUp: () => shift(0, step), ArrowDown: () => shift(0, -step),
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: wholeMap, n: () => stepOn(1), p: () => stepOn(-1),
    Enter: () => chart.hover >= 0 && toggle(chart.hover), Escape: () => { chart.path = null; select([]); hover(-1); },
  };
  stage.addEventListener("keydown", (event) => {
    const act = keys[event.key] || keys[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) { event.preventDefault(); undo(); }
  });
}

// The next or last example that is not faint, among those selected where there are some.
function stepOn(way) {
  const among = selected.length ? selected : null, n = among ? among.length : data.n;
  let place = among ? among.indexOf(chart.hover) : chart.hover;
  for (let tries = 0; tries < n; tries++) {
    place = (place + way + n) % n;
    const i = among ? among[place] : place;
    if (!dim[i]) {
      goTo(i);
      const box = stage.getBoundingClientRect(), ratio = ratioOf();
      tipAt(i, box.left + (px[i] * view.scale + view.x) / ratio, box.top + (py[i] * view.scale + view.y) / ratio);
      return;
    }
  }
}

function toggle(i) {
  select(selected.includes(i) ? selected.filter((other) => other !== i) : [...selected, i]);
}

function select(places) {
  selected = places;
  mark();
  drawSelection();
  if (places.length) say(`${plural(places.length, "example")} selected`);
}

function mark() {
  marks.fill(0);
  chart.marked = [...matched, ...selected];
  for (const i of chart.marked) marks[i] = 1;
  repaint();
}

const LISTED = 48;

function listOf(places) {
  const list = make("div", { class: hasTile(places[0]) ? "strip" : "names" }, ...places.slice(0, LISTED).map((i) => exampleButton(i, 44)));
  const more = places.length > LISTED ? make("p", { class: "faint" }, `and ${number(places.length - LISTED)} more`) : null;
  return make("div", {}, list, more);
}

function drawSelection() {
  const box = byId("selection");
  box.replaceChildren();
  if (!selected.length) return void box.append(make("p", { class: "faint" }, "Nothing is selected: draw a lasso, or click on examples."));
  const copy = make("button", { type: "button", class: "main", onclick: () => copyNames(copy) }, "Copy names");
  box.append(
    make("div", { class: "bar" }, make("strong", {}, `${number(selected.length)} selected`), copy,
      make("button", { type: "button", onclick: () => saveFile("selection.txt", selected.map(nameOf).join("\n") + "\n", "text/plain") }, "Save names"),
      make("button", { type: "button", onclick: () => select([]) }, "Clear")),
    listOf(selected));
}

async function copyNames(button) {
  const text = selected.map(nameOf).join("\n");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  say(`${plural(selected.length, "name")} copied`);
  setTimeout(() => { button.textContent = "Copy names"; }, 1500);
}

function saveFile(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function search(text) {
  const wanted = text.trim().toLowerCase(), box = byId("found");
  matched = [];
  if (wanted) for (let i = 0; i < data.n; i++) if ((data.lower ? data.lower[i] : `example ${data.row[i]}`).includes(wanted)) matched.push(i);
  mark();
  box.hidden = !wanted;
  box.replaceChildren();
  if (!wanted) return;
  box.append(make("div", { class: "bar" }, make("strong", {}, matched.length ? `${number(matched.length)} found` : "No name has this in it"),
    matched.length ? make("button", { type: "button", onclick: () => select(matched.slice()) }, "Select them") : null));
  if (matched.length) box.append(listOf(matched));
  say(`${number(matched.length)} found`);
}

function drawLegend() {
  const legend = byId("legend"), mode = chart.mode;
  legend.replaceChildren();
  if (mode.share) {
    const bar = make("span", { class: "scale", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map((s) => shade(dark.matches ? 1 - s : s))})`;
    legend.append("0%", bar, "100%");
    return;
  }
  for (const { g, size } of homes.slice().sort((a, b) => a.g - b.g)) {
    const button = make("button", { type: "button", "aria-pressed": chart.alone === g, onclick: () => {
      chart.alone = chart.alone === g ? null : g;
      recolour();
      drawLegend();
      byId("legend").querySelector(`[data-group="${g}"]`).focus();
    }, "data-group": g }, chip(colourOfGroup(mode, g)), make("bdi", {}, cut(mode.name(g), 24)), make("span", { class: "faint" }, number(size)));
    legend.append(button);
  }
}

function drawEdits() {
  const parts = [[Object.keys(edits.names).length, "name"], [edits.merge.length, "merge"], [edits.split.length, "split"]];
  const text = parts.filter(([count]) => count).map(([count, kind]) => plural(count, kind)).join(", ");
  byId("edits").hidden = !text && !undone.length;
  byId("edits-text").textContent = `${text || "No edits"}${saved ? "" : ", not saved"}.${text && saved ? " jaxclust edit RUN edits.json makes a run of them." : ""}`;
  byId("undo").disabled = !undone.length;
}

async function begin() {
  await readData();
  recall();
  drawHead();
  setUpMap();
  recolour();
  drawLegend();
  drawSelection();
  drawCards();
  drawRun();
  drawEdits();
  listeners.push(() => { if (chart.mode.key === "cluster") chart.alone = null; recolour(); drawLegend(); drawCards(); drawEdits(); });
  byId("search").addEventListener("input", (event) => search(event.target.value));
  byId("search").addEventListener("keydown", (event) => { if (event.key === "Enter" && matched.length) select(matched.slice()); });
  byId("pan").onclick = () => setTool(false);
  byId("lasso").onclick = () => setTool(true);
  byId("closer").onclick = () => zoom(1.4);
  byId("wider").onclick = () => zoom(1 / 1.4);
  byId("whole").onclick = wholeMap;
  byId("order").onchange = drawCards;
  byId("undo").onclick = undo;
  byId("save").onclick = () => { saveFile("edits.json", editsFile(), "application/json"); saved = true; drawEdits(); };
  addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  stage.setAttribute("aria-label", `Map of ${plural(data.n, "example")}`);
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  byId("summary").textContent = `This page cannot be shown: ${error.message}. A browser of 2023 or later is needed.`;
});
