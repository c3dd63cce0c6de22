// The panel: layers, swipe, legend, and the values at a point.

import { keyOf } from "/static/link.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const NOUNS = { image: "image", map: "map", reference: "reference", confidence: "confidence", probabilities: "probability", difference: "differences", change: "change", outline: "outlines" };

export function labels(layers) {
  const count = {};
  for (const layer of layers) count[layer.kind] = (count[layer.kind] || 0) + 1;
  for (const layer of layers) layer.label = layer.change ? NOUNS.change : count[layer.kind] > 1 ? layer.title : NOUNS[layer.kind];
}

export function drawLayers(state, change) {
  const rows = [...state.layers].reverse().map((layer, i) => {
    const box = make("input", { type: "checkbox", checked: layer.on, id: `layer-${i}` });
    box.addEventListener("change", () => change(() => { layer.on = box.checked; }));
    const range = make("input", { type: "range", min: 0, max: 100, value: Math.round(layer.opacity * 100), ariaLabel: `Opacity of ${layer.label}`, disabled: !layer.on });
    range.addEventListener("input", () => change(() => { layer.opacity = range.value / 100; }, false));
    const name = make("label", { htmlFor: box.id, title: layer.title }, swatchOf(layer), make("b", { textContent: nameOf(layer) }), layer.title === layer.label ? null : make("small", { textContent: layer.title }));
    return make("li", {}, box, name, range, layer.on ? extra(layer, change) : null);
  });
  $("layers").replaceChildren(...rows);
}

function swatchOf(layer) {
  if (layer.kind !== "outline") return null;
  const node = make("i", { className: "outline" });
  node.style.borderColor = layer.color;
  return node;
}

// Which bands of an image are drawn as red, green and blue.
function bandChoice(layer, change) {
  const selects = ["Red", "Green", "Blue"].map((color, i) => {
    const select = make("select", { ariaLabel: `Band drawn as ${color.toLowerCase()}`, title: color }, ...layer.choices.map((band, n) => make("option", { value: n + 1, textContent: band || `band ${n + 1}`, selected: (layer.shown[i] ?? layer.shown[0]) === n + 1 })));
    select.addEventListener("change", () => change(() => {
      layer.shown = selects.map((one) => +one.value);
      layer.choose(layer.shown);
    }));
    return select;
  });
  return make("div", { className: "extra bands" }, ...selects);
}

function extra(layer, change) {
  if (layer.kind === "image" && layer.choices) return bandChoice(layer, change);
  if (layer.kind !== "confidence" && layer.kind !== "probabilities") return null;
  const bar = make("i");
  bar.style.background = `linear-gradient(90deg, ${layer.ramp.join(",")})`;
  const ramp = make("div", { className: "ramp" }, "0 %", bar, "100 %");
  if (layer.kind === "confidence") return make("div", { className: "extra" }, ramp);
  const choice = make("select", { ariaLabel: "Class" }, ...layer.bands.map((band, i) => make("option", { value: i, textContent: band, selected: i === (layer.band ?? 0) })));
  choice.addEventListener("change", () => change(() => { layer.band = +choice.value; }));
  return make("div", { className: "extra" }, choice, ramp);
}

export const rasters = (state) => state.layers.filter((layer) => layer.kind !== "outline");

export function drawSwipe(state, change) {
  const { swipe } = state;
  const layers = rasters(state);
  $("swiping").hidden = layers.length < 2;
  $("swipe").checked = Boolean(swipe);
  $("pair").hidden = !swipe;
  if (!swipe) return;
  for (const side of ["left", "right"]) {
    const select = $(`pair-${side}`);
    select.replaceChildren(...layers.map((layer) => make("option", { value: layer.name, textContent: nameOf(layer), selected: layer.name === swipe[side] })));
    select.onchange = () => change(() => choose(state, side, select.value));
  }
}

export function choose(state, side, name) {
  const { swipe, layers } = state;
  const other = side === "left" ? "right" : "left";
  if (swipe[other] === name) swipe[other] = swipe[side];
  swipe[side] = name;
  for (const layer of layers) if (layer.name === name) layer.on = true;
}

export function drawLegend(state, change) {
  const classes = state.classes;
  $("legend").hidden = !classes.length;
  const rows = classes.map((one) => {
    const key = keyOf(one);
    const share = state.counted?.has(key) ? state.shares[one.code] || 0 : null;
    const swatch = make("i");
    swatch.style.background = one.color;
    const bar = make("u");
    bar.style.width = `${share * 82}%`;
    const button = make(
      "button", { type: "button", title: `${one.name}, code ${one.code}` }, swatch, make("span", { textContent: one.name }),
      make("em", { textContent: share === null ? "" : percent(share) }), bar,
    );
    button.dataset.key = key;
    button.setAttribute("aria-pressed", String(!state.hidden.has(key)));
    button.addEventListener("click", () => change(() => {
      if (!state.hidden.delete(key)) state.hidden.add(key);
    }));
    return make("li", {}, button);
  });
  const at = document.activeElement?.dataset?.key;
  $("classes").replaceChildren(...rows);
  if (at !== undefined) $("classes").querySelector(`[data-key="${CSS.escape(at)}"]`)?.focus();
  const { differing } = state;
  const text = typeof differing === "number" ? `${percent(differing)} of this view differs from the reference` : "Zoom in to count what differs from the reference";
  $("differing").textContent = differing === undefined ? "" : text;
}

export function drawCard(state, values, close) {
  const card = $("card");
  card.hidden = !state.point;
  if (!state.point) return;
  const first = state.layers.find((layer) => layer.change && values[layer.name]?.inside) || state.layers.find((layer) => layer.kind === "map" && values[layer.name]?.inside) || state.layers.find((layer) => values[layer.name]?.inside);
  const rows = [];
  let title = first ? "No data" : "Outside";
  let color = null;
  for (const layer of [...state.layers].reverse()) {
    const found = values[layer.name];
    if (!found?.inside) continue;
    if (layer.classes?.length) {
      const one = layer.classes.find((c) => c.code === found.code);
      const text = found.class ?? (found.code === null ? "no data" : `code ${found.code}`);
      if (layer === first) [title, color] = [text, one?.color];
      rows.push([layer.label, text]);
    } else if (layer.kind === "outline") {
      rows.push([make("b", { textContent: layer.title }), found.others ? `one of ${found.others + 1} here` : ""]);
      for (const [name, value] of Object.entries(found.columns)) rows.push([make("span", { textContent: name }), String(round(value))]);
    } else if (layer.kind === "confidence") {
      rows.push([layer.label, found.values ? gauge(Object.values(found.values)[0]) : "no data"]);
    } else if (layer.kind === "probabilities") {
      const ranked = Object.entries(found.values || {}).sort((a, b) => b[1] - a[1]);
      for (const [name, value] of ranked) rows.push([name, gauge(value)]);
    } else {
      if (layer === first) title = "Values";
      rows.push([layer.label, found.values ? Object.values(found.values).map(round).join(", ") : "no data"]);
    }
  }
  const place = first ? values[first.name] : null;
  if (!state.pixel) rows.push(["longitude, latitude", `${state.point[0].toFixed(6)}, ${state.point[1].toFixed(6)}`]);
  if (place) {
    if (!state.pixel && (Math.abs(place.x) > 180 || Math.abs(place.y) > 90)) rows.push(["x, y", `${place.x.toFixed(1)}, ${place.y.toFixed(1)}`]);
    rows.push(["column, row", `${place.col}, ${place.row}`]);
  }
  const swatch = color ? make("i") : null;
  if (swatch) swatch.style.background = color;
  const shut = make("button", { type: "button", textContent: "✕", title: "Close (Esc)", ariaLabel: "Close" });
  shut.addEventListener("click", close);
  const table = make("table", {}, ...rows.map(([name, value]) => make("tr", {}, make("th", {}, typeof name === "string" ? capital(name) : name), make("td", {}, value))));
  card.replaceChildren(make("h2", {}, swatch, make("span", { textContent: title }), shut), table);
}

function gauge(value) {
  return make("span", {}, make("meter", { min: 0, max: 100, value }), `${value} %`);
}

export function drawScale(map, pixel) {
  const middle = map.getContainer().clientHeight / 2;
  const [a, b] = [map.unproject([0, middle]), map.unproject([100, middle])];
  const meters = ((b.lng - a.lng) / 360) * 40075016.68558;
  const each = pixel ? meters / pixel / 100 : (meters * Math.cos((a.lat * Math.PI) / 180)) / 100;
  const most = each * 120;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((n) => n * power).find((n) => n <= most);
  const text = pixel ? `${length < 1 ? length.toPrecision(1) : length} px` : length >= 1000 ? `${length / 1000} km` : length >= 1 ? `${length} m` : `${Math.round(length * 100)} cm`;
  $("scale").querySelector("span").textContent = text;
  $("scale").querySelector("i").style.width = `${length / each}px`;
}

export function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("on"), 2600);
}

const percent = (share) => (share > 0 && share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`);
export const round = (value) => (typeof value === "number" && !Number.isInteger(value) ? +value.toPrecision(5) : value ?? "–");
const nameOf = (layer) => (layer.label === layer.title ? layer.label : capital(layer.label));
const capital = (text) => text[0].toUpperCase() + text.slice(1);
