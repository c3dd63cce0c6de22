// The page: its state, the actions that change it, and redrawing.

import { listChanges } from "/static/changes.js";
import { keyOf, read, write } from "/static/link.js";
import { Stage } from "/static/maps.js";
import { listOutlines } from "/static/outlines.js";
import { $, choose, drawCard, drawLayers, drawLegend, drawScale, drawSwipe, labels, make, rasters, toast } from "/static/panel.js";

const state = { layers: [], hidden: new Set(), swipe: null, point: null, classes: [], shares: null, differing: undefined, pixel: null };
const STROKES = ["#ffd21f", "#35e0ff", "#ff6ad5", "#8dff6a", "#ff8a3c"]; // of outlines
const REACH = 8; // pixels from a click to a feature
let stage = null;
let labeling = null;
let values = {};

async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : `The server answered with status ${answer.status}.`);
  return content;
}

function change(how, redraw = true) {
  how();
  if (redraw) draw();
  stage.apply(state);
  remember();
  if (redraw) count();
}

// Classes of layers; those of one code and name are one.
function classesOf(layers) {
  const classes = new Map();
  for (const layer of [...layers].reverse()) for (const one of layer.classes) if (!classes.has(keyOf(one))) classes.set(keyOf(one), one);
  return [...classes.values()].sort((a, b) => a.code - b.code);
}

function draw() {
  if (state.layers.some((layer) => layer.change)) state.classes = classesOf(state.layers.filter((layer) => layer.on));
  drawLayers(state, change);
  drawSwipe(state, change);
  drawLegend(state, change);
}

function remember() {
  write(state, stage.map.getCenter(), stage.map.getZoom());
}

function take(scene, view) {
  const old = new Map(state.layers.map((layer) => [layer.name, layer]));
  const rows = [...scene.layers, ...scene.differences.map((d) => ({ ...d, kind: "difference", difference: true, classes: [] })), ...scene.outlines.map((o, i) => ({ ...o, color: STROKES[i % STROKES.length], classes: [] }))];
  const hasImage = scene.layers.some((layer) => layer.kind === "image");
  const hasMap = scene.layers.some((layer) => layer.kind === "map");
  const changed = scene.layers.some((layer) => layer.change);
  let image = false;
  let map = false;
  state.layers = rows.map((layer) => {
    const given = view?.layers?.[layer.name];
    const usual = layer.kind === "outline" ? true : layer.kind === "map" ? (changed ? layer.change : !map) : layer.kind === "image" ? !image : !hasMap && !hasImage;
    map ||= layer.kind === "map";
    image ||= layer.kind === "image";
    const before = old.get(layer.name);
    return {
      ...layer,
      on: before ? before.on : view?.layers ? Boolean(given) : usual,
      opacity: before?.opacity ?? given?.opacity ?? (layer.kind === "map" && hasImage ? 0.7 : 1),
      band: before?.band ?? given?.band ?? null,
      ...(before?.choices ? { choices: before.choices, shown: before.shown, choose: before.choose } : {}),
    };
  });
  labels(state.layers);
  state.classes = classesOf(scene.layers);
  state.pixel = scene.pixel;
  state.size = scene.size;
  $("title").textContent = scene.title;
  $("title").title = scene.title;
  document.title = `${scene.title} – Swath`;
}

let counting = 0;
async function count() {
  const layer = [...state.layers].reverse().find((one) => one.on && one.classes?.length) || state.layers.find((one) => one.kind === "map");
  if (!layer) return;
  const number = ++counting;
  const bounds = stage.map.getBounds();
  const whole = bounds.getEast() - bounds.getWest() >= 360; // else it may cross 180 degrees
  const box = [whole ? -180 : bounds.getWest(), Math.max(-90, bounds.getSouth()), whole ? 180 : bounds.getEast(), Math.min(90, bounds.getNorth())];
  const other = (kind) => state.layers.find((one) => one.kind === kind && one !== layer);
  const compared = other("reference") || (layer.kind === "reference" ? other("map") : undefined);
  try {
    const found = await ask("/shares", { url: layer.name, bbox: box, ...(compared ? { other: compared.name } : {}) });
    if (number !== counting) return;
    state.shares = found.shares;
    state.counted = new Set(layer.classes.map(keyOf));
    state.differing = compared ? found.differing : undefined;
    drawLegend(state, change);
    labeling?.classes.counted();
  } catch (error) {
    toast(error.message);
  }
}

// Read the values at a point; `given` are those of layers where they are known.
async function look(point, given = {}) {
  state.point = point;
  remember();
  mark(given);
  if (!point) return drawCard(state, {});
  try {
    const names = state.layers.filter((layer) => !layer.difference).map((layer) => ["url", layer.name]);
    const within = (Object.keys(given).length ? 0 : REACH) * Math.abs(stage.map.unproject([1, 0]).lng - stage.map.unproject([0, 0]).lng);
    const found = await ask("/values", [...names, ["lon", point[0]], ["lat", point[1]], ["within", Math.min(10, within)]]);
    if (state.point !== point) return;
    values = { ...found, ...given };
    mark(values);
    drawCard(state, values, () => look(null));
    $("card").scrollIntoView({ block: "nearest" });
  } catch (error) {
    toast(error.message);
  }
}

// Draw the features that the card describes thicker.
function mark(found) {
  for (const layer of state.layers) if (layer.kind === "outline") layer.chosen = found[layer.name]?.id;
  stage.apply(state);
}

const inside = (at) => [Math.min(180, Math.max(-180, at.lng)), Math.min(90, Math.max(-90, at.lat))];

function pointed(at) {
  const text = !at ? "" : state.pixel ? pixels(at) : `${at.lng.toFixed(5)}, ${at.lat.toFixed(5)}`;
  $("readout").textContent = text;
}

function pixels(at) {
  const radius = 6378137;
  const x = (at.lng / 180) * Math.PI * radius;
  const y = radius * Math.log(Math.tan(Math.PI / 4 + (at.lat * Math.PI) / 360));
  const [col, row] = [Math.floor(x / state.pixel), Math.floor(-y / state.pixel)];
  return col >= 0 && row >= 0 && col < state.size[0] && row < state.size[1] ? `column ${col}, row ${row}` : "";
}

// The images of a map of change, else its maps, in the order of their dates.
function dates() {
  if (!state.layers.some((layer) => layer.change)) return [];
  const found = ["image", "map"].map((kind) => state.layers.filter((layer) => layer.kind === kind && !layer.change).map((layer) => layer.name));
  return found.find((names) => names.length > 1) ?? [];
}

function swap() {
  const layers = rasters(state);
  if (layers.length < 2) return;
  change(() => {
    if (state.swipe) { state.swipe = null; return; }
    const last = (kind) => [...layers].reverse().find((layer) => layer.kind === kind)?.name;
    const dated = dates();
    const right = dated.at(-1) || last("map") || layers.at(-1).name;
    const left = dated[0] || [last("image"), last("reference"), layers[0].name, layers[1].name].find((name) => name && name !== right);
    state.swipe = { left, right, at: 0.6 };
    choose(state, "left", left);
    choose(state, "right", right);
  });
}

function slide(at) {
  if (!state.swipe) return;
  state.swipe.at = Math.min(0.98, Math.max(0.02, at));
  stage.cut(state.swipe.at, state);
  remember();
}

function theme(next) {
  const dark = next ?? localStorage.getItem("swath-theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark;
  return dark;
}

const actions = {
  fit: () => stage.fit(),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()?.catch(() => toast("No full screen here."))),
  theme: () => { const next = theme() === "dark" ? "light" : "dark"; localStorage.setItem("swath-theme", next); theme(next); },
  link: async () => {
    remember();
    try { await navigator.clipboard.writeText(location.href); toast("The link is copied."); } catch { toast("The link is in the address bar."); }
  },
  help: () => $("keys").showModal(),
  fold: () => $("fold").setAttribute("aria-expanded", String(!$("panel").classList.toggle("folded"))),
};

function key(event) {
  if (labeling?.key(event)) {
    if (!event.target.matches?.("input, textarea, select")) event.preventDefault();
    return undefined;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return undefined;
  const typing = event.target.matches?.("select, input[type=range]");
  const name = event.key;
  if (name === "Escape") return look(null);
  if (typing) return undefined;
  const top = [...state.layers].reverse().find((layer) => layer.on);
  if (/^[1-9]$/.test(name)) {
    const layer = [...state.layers].reverse()[+name - 1];
    if (layer) change(() => { layer.on = !layer.on; });
  } else if ((name === "[" || name === "]") && top) {
    change(() => { top.opacity = Math.min(1, Math.max(0, top.opacity + (name === "]" ? 0.1 : -0.1))); });
  } else if (name === "s") swap();
  else if (name === "," || name === ".") slide((state.swipe?.at ?? 0.5) + (name === "." ? 0.02 : -0.02));
  else if (name === "i") look(inside(stage.map.getCenter()));
  else if (name === "a") change(() => state.hidden.clear());
  else if (name === "0") actions.fit();
  else if (name === "f") actions.full();
  else if (name === "t") actions.theme();
  else if (name === "p") actions.fold();
  else if (name === "c") actions.link();
  else if (name === "?") actions.help();
  else if (event.target === document.body && /^Arrow|^[+=-]$/.test(name)) move(name);
  else return undefined;
  event.preventDefault();
  return undefined;
}

function move(name) {
  const steps = { ArrowLeft: [-100, 0], ArrowRight: [100, 0], ArrowUp: [0, -100], ArrowDown: [0, 100] };
  if (steps[name]) stage.map.panBy(steps[name], { duration: 150 });
  else stage.map.zoomTo(stage.map.getZoom() + (name === "-" ? -1 : 1), { duration: 200 });
}

async function watch() {
  const layer = state.layers.find((one) => one.live);
  $("running").hidden = !layer;
  if (!layer) return;
  try {
    const now = await ask("/progress", { url: layer.name });
    if (now.whole) {
      take(await ask("/scene", location.search));
      toast("The map is complete.");
      change(() => {});
    } else {
      $("running").querySelector("span").textContent = `Predicting: ${now.done} of ${now.total} parts`;
      Object.assign($("running").querySelector("progress"), { value: now.done, max: now.total });
      if (now.version !== layer.version) change(() => { for (const one of state.layers) if (one.live || one.one === layer.name || one.other === layer.name) one.version = now.version; });
    }
  } catch (error) {
    toast(error.message);
  }
  setTimeout(watch, 2000);
}

async function offerMore() {
  const { rasters } = await ask("/files");
  const shown = new Set(state.layers.map((layer) => layer.name));
  const others = rasters.filter((name) => !shown.has(name));
  if (!others.length) return;
  const select = (text, key) => {
    const node = make("select", { ariaLabel: text }, make("option", { textContent: text, value: "" }), ...others.map((name) => make("option", { value: name, textContent: name })));
    node.addEventListener("change", () => {
      const query = new URLSearchParams(key === "map" ? {} : location.search);
      if (key !== "map" && !query.has("map")) query.set("map", state.layers.find((layer) => layer.kind === "map")?.name ?? state.layers[0].name);
      query.append(key, node.value);
      location.href = `/?${query}${key === "map" ? "" : location.hash}`;
    });
    return node;
  };
  $("more").replaceChildren(make("div", { id: "others" }, select("Another map …", "map"), select("Add a layer …", "with")));
}

// Show the layers anew, and those that were added.
async function refresh(more = []) {
  const query = new URLSearchParams(location.search);
  for (const name of more) query.append("with", name);
  take(await ask("/scene", query));
  change(() => {});
}

async function label() {
  const page = { state, stage, change, refresh, count };
  labeling = await (await import("/static/label.js")).begin(page);
  stage.applied = () => labeling.applied();
  await stage.apply(state);
}

async function begin() {
  theme();
  const view = read();
  const scene = await ask("/scene", location.search);
  take(scene, view);
  const opened = location.hash.length > 1;
  const classes = scene.layers.flatMap((layer) => layer.classes.filter((one) => (opened ? view.hidden.includes(String(one.code)) : layer.unchanged.includes(one.code))));
  state.hidden = new Set([...view.hidden.filter((text) => text.includes("~")), ...classes.map(keyOf)]);
  const known = (name) => state.layers.some((layer) => layer.name === name);
  if (view.swipe && known(view.swipe.left) && known(view.swipe.right)) state.swipe = view.swipe;
  stage = new Stage(scene, view, { moved: () => { remember(); count(); }, clicked: (event) => labeling?.clicked(event) || look(inside(event.lngLat)), pointed, swiped: slide });
  const scale = () => drawScale(stage.map, state.pixel);
  stage.map.on("move", scale);
  window.addEventListener("resize", () => { if (state.swipe) stage.cut(state.swipe.at, state); scale(); });
  window.addEventListener("hashchange", () => location.reload());
  document.addEventListener("keydown", key);
  $("swipe").addEventListener("change", swap);
  $("divider").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step) { slide(state.swipe.at + step); event.preventDefault(); event.stopPropagation(); }
  });
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
  draw();
  await stage.apply(state);
  scale();
  await Promise.all([count(), offerMore(), listChanges(state, stage, ask, look), listOutlines(state, stage, look), view.point ? look(view.point) : null]);
  if (scene.label) await label();
  watch();
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  console.warn(error);
  $("title").textContent = "Swath";
  toast(error.message);
  $("layers").replaceChildren(make("li", { className: "empty" }, error.message));
});
