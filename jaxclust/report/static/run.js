// The head of the page, the training curves, and the tables of the run.

function drawHead() {
  const scores = about.scores, parts = [plural(about.n, "example"), about.method];
  if (scores.clear === false) parts.push("no clear clusters");
  if (scores.noise_fraction) parts.push(`${percent(scores.noise_fraction)} noise`);
  if (scores.acc !== undefined) parts.push(`accuracy ${percent(scores.acc)}`);
  if (scores.seconds !== undefined) parts.push(`${scores.seconds.toFixed(0)} s`);
  byId("heading").append(`${plural(about.clusters.length, "cluster")} of `, make("bdi", {}, about.data || "the data"));
  byId("summary").textContent = parts.join(" · ");
  const notes = [];
  if (data.n < about.n) notes.push(`The map shows ${number(data.n)} of ${number(about.n)} examples: those of the cards and a random sample.`);
  if (about.sheets && about.pictured < data.n) notes.push(`${number(about.pictured)} of them have their image in this page, which may have no more than 20 MB.`);
  if (about.without) notes.push(about.without);
  byId("left-out").hidden = !notes.length;
  byId("left-out").textContent = notes.join(" ");
}

function drawRun() {
  const box = byId("run"), facts = {};
  for (const key of ["method", "data", "preset", "split", "seed", "image_size", "parent"]) if (about[key] !== undefined) facts[key] = about[key];
  for (const [key, value] of Object.entries(about.scores)) facts[key] = value;
  box.append(table("Result", facts), table("Seconds", about.phases), table("Settings", about.settings), table("Versions", about.versions));
  byId("training").hidden = !about.curves.length;
  for (const curve of about.curves) byId("curves").append(curveOf(curve));
}

function table(title, values) {
  const shown = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : typeof value === "object" ? JSON.stringify(value) : String(value));
  const rows = Object.entries(values).map(([key, value]) => make("tr", {}, make("th", { scope: "row" }, key.replaceAll("_", " ")), make("td", {}, shown(value))));
  if (!rows.length) return "";
  return make("details", { open: title === "Result" }, make("summary", {}, title), make("table", {}, make("tbody", {}, ...rows)));
}

const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

function curveOf({ phase, epoch, terms }) {
  const width = innerWidth < 560 ? 350 : 560, height = 170, left = 52, bottom = 22, figure = make("figure", {}), legend = make("figcaption", {}, make("strong", {}, phase));
  const all = Object.values(terms).flat().filter((value) => value !== null && Number.isFinite(value));
  if (!all.length) return figure;
  const low = Math.min(...all), high = Math.max(...all), log = low > 0 && high > 30 * low, to = (value) => (log ? Math.log(value) : value);
  const [first, last] = [epoch[0], epoch[epoch.length - 1]], span = to(high) - to(low) || 1;
  const x = (at) => left + 6 + ((width - left - 14) * (at - first)) / (last - first || 1), y = (value) => 8 + (height - bottom - 16) * (1 - (to(value) - to(low)) / span);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(phase, epoch, terms) });
  for (const [value, at] of [[high, y(high)], [low, y(low)]]) drawing.append(svg("text", { x: left, y: at + 4, "text-anchor": "end" }, Number(value.toPrecision(3))), svg("path", { d: `M${left + 6} ${at}H${width - 8}`, class: "grid" }));
  drawing.append(svg("text", { x: left + 6, y: height - 4 }, `epoch ${Number(first.toPrecision(3))}`), svg("text", { x: width - 8, y: height - 4, "text-anchor": "end" }, Number(last.toPrecision(4))));
  Object.entries(terms).forEach(([term, values], t) => {
    let path = "", pen = "M";
    values.forEach((value, j) => {
      if (value === null || !Number.isFinite(value)) { pen = "M"; return; }
      path += `${pen}${x(epoch[j]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    const line = { d: epoch.length === 1 ? `${path}h2` : path, class: `curve c${t % 10}`, "stroke-dasharray": DASHES[Math.floor(t / 3) % 4] };
    drawing.append(svg("path", line));
    const sample = svg("svg", { viewBox: "0 0 24 8", class: "sample", "aria-hidden": "true" });
    sample.append(svg("path", { ...line, d: "M0 4H24" }));
    legend.append(make("span", {}, sample, term.replaceAll("_", " ")));
  });
  if (log) legend.append(make("span", { class: "faint" }, "logarithmic"));
  figure.append(legend, drawing);
  return figure;
}

function spoken(phase, epoch, terms) {
  const ends = Object.entries(terms).map(([term, values]) => `${term} from ${values[0]} to ${values[values.length - 1]}`);
  return `${phase}, to epoch ${epoch[epoch.length - 1]}: ${ends.join("; ")}`;
}

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
