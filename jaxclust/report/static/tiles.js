// Images: parts of sheets, as the background of elements; details of an example beside the pointer.

const addresses = [];

function sheetAddress(sheet) {
  if (!addresses[sheet]) addresses[sheet] = URL.createObjectURL(new Blob([bytesOf(`sheet-${sheet}`)], { type: "image/webp" }));
  return addresses[sheet];
}

// Shows a tile in an element, some `side` pixels large; small images by a whole factor, or by halves up to 3.
function putTile(element, tile, side) {
  const form = about.sheets, longer = Math.max(form.width, form.height);
  const halves = Math.floor((2 * side) / longer) / 2, enlarged = halves < 3 ? Math.max(1, halves) : Math.floor(halves);
  const factor = longer < side ? enlarged : side / longer;
  const width = form.width * factor, height = form.height * factor;
  const each = form.columns * form.rows, sheet = Math.floor(tile / each), place = tile % each;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  element.style.backgroundImage = `url(${sheetAddress(sheet)})`;
  element.style.backgroundSize = `${width * form.columns}px ${height * form.rows}px`;
  element.style.backgroundPosition = `${-width * (place % form.columns)}px ${-height * Math.floor(place / form.columns)}px`;
  element.style.imageRendering = factor >= 3 && Number.isInteger(factor) ? "pixelated" : "auto";
}

const hasTile = (i) => Boolean(about.sheets) && data.tile[i] !== UNSEEN;

function describe(i) {
  const k = data.cluster[i], parts = [nameOf(i), titleOf(k), `certainty ${percent(certaintyOf(i))}`];
  if (data.class && data.class[i] !== NONE) parts.push(`class ${about.classes[data.class[i]]}`);
  if (data.typicality && typicalityOf(i) < 0.05) parts.push(`typicality ${percent(typicalityOf(i))}`);
  if (data.noise[i]) parts.push("noise");
  return parts.join(", ");
}

// A button with the image of an example, or its name; it leads to the example on the map.
function exampleButton(i, side) {
  const button = make("button", {
    type: "button", class: hasTile(i) ? "tile" : "named", "aria-label": describe(i),
    onclick: () => goTo(i), onpointerenter: (event) => tipBeside(i, event.currentTarget),
    onpointerleave: hideTip, onfocus: (event) => tipBeside(i, event.currentTarget), onblur: hideTip,
  });
  if (hasTile(i)) putTile(button, data.tile[i] + about.sheets.first, side);
  else button.append(make("bdi", {}, nameOf(i)));
  return button;
}

function fillTip(i) {
  const tip = byId("tip"), k = data.cluster[i];
  tip.replaceChildren();
  if (hasTile(i)) {
    const picture = make("div", { class: "picture" });
    putTile(picture, data.tile[i] + about.sheets.first, 112);
    tip.append(picture);
  } else if (about.sheets) {
    tip.append(make("p", { class: "faint" }, "its image is not in this page"));
  }
  tip.append(make("strong", {}, make("bdi", {}, nameOf(i))));
  tip.append(make("p", {}, chip(colourOfCluster(k)), make("bdi", {}, titleOf(k)), calledOf(k) ? ` (${k})` : ""));
  tip.append(make("p", {}, `certainty ${percent(certaintyOf(i))}`));
  if (data.typicality) tip.append(make("p", {}, `typicality ${percent(typicalityOf(i))}`));
  if (about.clusters.length > 1 && certaintyOf(i) < 0.9) tip.append(make("p", { class: "faint" }, "else ", make("bdi", {}, titleOf(data.second[i]))));
  if (data.class && data.class[i] !== NONE) tip.append(make("p", {}, "class ", make("bdi", {}, about.classes[data.class[i]])));
  if (data.noise[i]) tip.append(make("p", {}, "noise: left out by the density clustering"));
  if (data.column) tip.append(largestValues(i));
}

function largestValues(i) {
  const each = data.column.length / data.n, list = make("dl", {});
  for (let j = each * i; j < each * (i + 1); j++) {
    list.append(make("dt", {}, `column ${data.column[j]}`), make("dd", {}, String(Number(data.value[j].toPrecision(4)))));
  }
  return list;
}

function chip(colour) {
  const square = make("span", { class: "chip", "aria-hidden": "true" });
  square.style.backgroundColor = colour;
  return square;
}

let shown = -1;

function tipAt(i, x, y) {
  const tip = byId("tip");
  if (i !== shown) {
    fillTip(i);
    shown = i;
    tip.hidden = false;
    tip.size = [tip.offsetWidth, tip.offsetHeight];
  }
  const [width, height] = tip.size, right = x + 16 + width < innerWidth;
  const left = Math.max(4, Math.min(right ? x + 16 : x - 16 - width, innerWidth - width - 4));
  const top = Math.max(4, Math.min(y + 12, innerHeight - height - 4));
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

function tipBeside(i, element) {
  const box = element.getBoundingClientRect();
  tipAt(i, box.right - 8, box.bottom - 6);
}

function hideTip() {
  shown = -1;
  byId("tip").hidden = true;
}
