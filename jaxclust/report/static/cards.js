// A card for each cluster: who it is, who stands for it, who is in doubt; and what can be done with it.

function membersOf(k) {
  const found = [];
  for (let i = 0; i < data.n; i++) if (data.cluster[i] === k) found.push(i);
  return found;
}

function drawCards() {
  const box = byId("cards"), by = byId("order").value, cards = about.clusters.map((card, k) => [k, card]);
  if (by === "size") cards.sort(([, a], [, b]) => b.size - a.size);
  if (by === "certainty") cards.sort(([, a], [, b]) => (a.certainty ?? 2) - (b.certainty ?? 2));
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.keep : null;
  box.replaceChildren(...cards.map(([k, card]) => cardOf(k, card)));
  const again = focused && box.querySelector(`[data-keep="${focused}"]`);
  if (again) again.focus({ preventScroll: true });
}

function cardOf(k, card) {
  const group = groupOf(k), merged = edits.merge.find((one) => one.includes(k));
  const field = make("input", {
    type: "text", value: calledOf(k), placeholder: `cluster ${k}`, "aria-label": `Name of cluster ${k}`, dir: "auto", maxlength: 80,
    "data-keep": `name-${k}`, onchange: (event) => rename(k, event.target.value.trim()),
  });
  const article = make("article", { class: merged ? "card merged" : "card", id: `card-${k}`, "aria-label": `cluster ${k}` },
    make("div", { class: "bar" }, chip(colourOfCluster(k)), field, make("span", { class: "number" }, `cluster ${k}`)),
    make("p", { class: "facts" }, factsOf(card)));
  if (card.classes.length) article.append(make("p", { class: "faint" }, "classes: ", ...listed(card.classes.map(([c, count]) => make("span", {}, make("bdi", {}, about.classes[c]), ` ${percent(count / card.size)}`)))));
  strip(article, "Exemplars", card.exemplars);
  strip(article, "Borderline", card.borderline);
  drawnStrip(article, k);
  if (card.nearest.length) article.append(make("p", { class: "near" }, "nearest: ", ...card.nearest.map((other) => make("button", { type: "button", class: "link", onclick: () => visit(other) }, chip(colourOfCluster(other)), make("bdi", {}, titleOf(other))))));
  if (merged) article.append(make("p", { class: "edit" }, `becomes one cluster with ${merged.filter((other) => other !== k).join(", ")}`, group === k ? ", under this name" : `, under the name of ${group}`));
  if (edits.split.includes(k)) article.append(make("p", { class: "edit" }, "will be split into several clusters"));
  article.append(actionsOf(k, card, merged));
  return article;
}

function factsOf(card) {
  const parts = [`${plural(card.size, "example")} (${percent(card.size / about.n)})`];
  if (card.certainty !== null) parts.push(`mean certainty ${percent(card.certainty)}`);
  if (card.noise) parts.push(`${number(card.noise)} noise`);
  return parts.join(" · ");
}

const listed = (items) => items.flatMap((item, j) => (j ? [", ", item] : [item]));

function strip(article, title, rows) {
  const places = rows.map(placeOf).filter((i) => i >= 0);
  if (!places.length) return;
  const shape = hasTile(places[0]) ? "strip" : "names";
  article.append(make("h3", {}, title), make("div", { class: shape }, ...places.map((i) => exampleButton(i, 44))));
}

function drawnStrip(article, k) {
  if (!about.drawn || (k + 1) * about.drawn > about.sheets.first) return;
  const strip = make("div", { class: "strip", role: "img", "aria-label": `images that the model draws of cluster ${k}` });
  for (let j = 0; j < about.drawn; j++) {
    const tile = make("span", { class: "tile" });
    putTile(tile, k * about.drawn + j, 44);
    strip.append(tile);
  }
  article.append(make("h3", {}, "Drawn by the model"), strip);
}

function actionsOf(k, card, merged) {
  const others = about.clusters.map((_, other) => other).filter((other) => other !== k && groupOf(other) !== groupOf(k));
  others.sort((a, b) => (card.nearest.includes(b) - card.nearest.includes(a)) || a - b);
  const into = make("select", { "aria-label": `Merge cluster ${k} with`, "data-keep": `merge-${k}`, onchange: (event) => merge(k, Number(event.target.value)) },
    make("option", { value: "" }, "Merge with…"), ...others.map((other) => make("option", { value: other }, cut(titleOf(other), 30))));
  const split = edits.split.includes(k);
  return make("div", { class: "bar actions" },
    make("button", { type: "button", onclick: () => showGroup(membersOf(k)) }, "Show"),
    make("button", { type: "button", onclick: () => select(membersOf(k)) }, "Select"),
    others.length ? into : null,
    merged ? make("button", { type: "button", "data-keep": `out-${k}`, onclick: () => takeOut(k) }, "Take out of the merge") : null,
    merged || card.size < 2 ? null : make("button", { type: "button", "aria-pressed": split, "data-keep": `split-${k}`, onclick: () => toggleSplit(k) }, "Split"));
}

function visit(k) {
  const card = byId(`card-${k}`);
  card.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  card.querySelector("input").focus({ preventScroll: true });
}
