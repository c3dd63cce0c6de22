// Labeling: what is labeled, with which tool and class; the parts of the page that belong to it follow from this state.

import { Queue, Refusal, call } from "/static/label-api.js";
import { ClassList } from "/static/label-classes.js";
import { Tools } from "/static/label-draw.js";
import { Finish } from "/static/label-finish.js";
import { LabelLayers, hit } from "/static/label-layers.js";
import { Training } from "/static/label-train.js";
import { $, make, toast } from "/static/panel.js";

const KEYS = { h: "look", v: "select", g: "polygon", r: "rectangle", e: "freehand", b: "brush", m: "point", o: "object", x: "accept" };
const HINTS = {
  look: "Drag to move, click to read the values.",
  select: "Click a label to move or reshape it; hold Shift for several.",
  polygon: "Click the corners; Enter or the first corner closes it.",
  rectangle: "Drag from corner to corner.",
  freehand: "Draw around an area without letting go.",
  brush: "Paint along what you see.",
  point: "Click a pixel.",
  object: "Click an object: similar pixels around it become a label.",
  accept: "Drag over an area where the map is right: it becomes labels.",
};
const OPTIONS = {
  brush: { text: "Width", key: "width", min: 4, max: 120, step: 2, usual: 18 },
  object: { text: "Tolerance", key: "tolerance", min: 1, max: 100, step: 1, usual: 15 },
};

async function insert() {
  const text = await (await fetch("/static/label.html")).text();
  const parts = new DOMParser().parseFromString(text, "text/html").body;
  const sheet = make("link", { rel: "stylesheet", href: "/static/label.css" });
  const styled = new Promise((done) => { sheet.onload = sheet.onerror = done; });
  document.head.append(sheet);
  const keys = parts.querySelector("#label-keys");
  $("keys").querySelector("dl").before(keys);
  $("keys").querySelector("dl:not(#label-keys)").firstElementChild.closest("dl").classList.add("usual");
  document.body.append(parts.querySelector("#toolbar"), ...parts.querySelectorAll("dialog"));
  const body = $("body");
  body.prepend(...["classes", "train", "places", "finish"].map((name) => parts.querySelector(`#label-${name}`)));
  document.documentElement.classList.add("labeling");
  await styled;
}

class Labeling {
  constructor(page, info) {
    Object.assign(this, { page, info, features: new Map(), selected: new Set(), held: null, revision: null, changes: 0, changing: Promise.resolve(), layers: new LabelLayers() });
    this.memory = `swath-label:${info.labels}`;
    this.kept = { tool: "polygon", code: null, auto: true, width: OPTIONS.brush.usual, tolerance: OPTIONS.object.usual, shown: info.shown };
    try { Object.assign(this.kept, JSON.parse(localStorage.getItem(this.memory) || "{}")); } catch { /* as usual then */ }
    this.queue = new Queue(`swath-unsaved:${info.labels}`, {
      saved: (answer) => this.changed(answer), changed: () => this.redraw(),
    });
    this.tools = new Tools(page.stage.map, {
      drawn: (tool, geometry) => this.drawn(tool, geometry), moved: (geometry) => this.reshape(geometry),
      released: () => { this.held = null; this.redraw(); }, hand: (features) => this.layers.hand(features),
    });
    this.classes = new ClassList(this);
    this.training = new Training(this);
    this.finish = new Finish(this);
  }

  async start() {
    await this.tools.start();
    this.applied();
    for (const text of this.info.warnings) toast(text);
    await this.sync();
    if (!this.info.classes.some((one) => one.code === this.kept.code)) this.kept.code = this.info.classes[0]?.code ?? null;
    this.bind();
    this.use(this.kept.tool);
    this.classes.draw();
    this.showBands();
    this.queue.run();
    this.training.start();
  }

  bind() {
    for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => this.use(button.dataset.tool));
    const acts = {
      undo: () => this.step("undo"), redo: () => this.step("redo"), delete: () => this.remove(), unsaved: () => this.showUnsaved(),
      ...this.classes.acts, ...this.training.acts, ...this.finish.acts,
    };
    for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => this.guard(acts[button.dataset.act]));
    const slider = $("tool-option").querySelector("input");
    slider.addEventListener("input", () => this.setOption(+slider.value));
    document.addEventListener("keyup", (event) => { if (event.key === " ") this.pan(false); });
    document.addEventListener("pointerdown", () => this.pointing(true), true);
    document.addEventListener("keydown", (event) => { if (event.key === "Tab") this.pointing(false); }, true);
    window.addEventListener("blur", () => this.pan(false));
    window.addEventListener("beforeunload", (event) => { if (this.queue.items.length) event.preventDefault(); });
    this.page.stage.map.on("moveend", () => { this.tools.width = this.kept.width; this.training.viewed(); });
  }

  // With the mouse or a pen, the space bar moves the map wherever the focus was left, and the map needs no outline.
  pointing(on) {
    this.byPointer = on;
    document.documentElement.classList.toggle("by-pointer", on);
  }

  // Run an action; a failure is told and changes nothing.
  async guard(act) {
    try {
      return await act();
    } catch (error) {
      toast(error.message);
      if (!(error instanceof Refusal)) console.warn(error);
      return null;
    }
  }

  remember() {
    try { localStorage.setItem(this.memory, JSON.stringify(this.kept)); } catch { /* lasts as long as the page */ }
  }

  // State of the server -----------------------------------------------------

  async reload() {
    this.info = await call("GET", "/state");
    await this.page.refresh();
    this.showBands();
    this.classes.draw();
    this.redraw();
  }

  async sync() {
    const { changes } = this;
    const query = this.revision ? `?since=${encodeURIComponent(this.revision)}` : "";
    const found = await call("GET", `/features${query}`);
    if (changes !== this.changes) return; // what was changed meanwhile is newer
    this.revision = found.revision;
    this.take(found);
  }

  take({ features = [], deleted = [], full = false }) {
    const { held } = this;
    const known = this.features.get(held)?.properties.time;
    if (full) this.features.clear();
    for (const id of deleted) {
      this.features.delete(id);
      this.selected.delete(id);
    }
    for (const one of features) this.features.set(one.id, one);
    const now = this.features.get(held)?.properties.time;
    if (held !== null && now !== known && !this.mine) this.tools.release(); // somebody else changed what is in hand
    this.redraw();
  }

  changed(answer, { undo = true, redo = false } = {}) {
    this.changes += 1;
    Object.assign(this.info, { can_undo: undo, can_redo: redo });
    this.take(answer);
    this.training.changed();
  }

  counts() {
    const out = new Map();
    for (const one of this.features.values()) out.set(one.properties.code, (out.get(one.properties.code) || 0) + 1);
    return out;
  }

  // Drawing -----------------------------------------------------------------

  colorOf(code) { return this.info.classes.find((one) => one.code === code)?.color ?? "#888888"; }

  applied() {
    this.layers.attach(this.page.stage.left);
    if (this.page.stage.right) this.page.stage.right.ready.then(() => { this.layers.attach(this.page.stage.right); });
  }

  redraw() {
    const row = (geometry, properties) => ({ type: "Feature", geometry, properties: { selected: false, pending: false, ...properties } });
    const stored = [...this.features.values()].filter((one) => one.id !== this.held);
    this.layers.labels([
      ...stored.map((one) => row(one.geometry, { color: this.colorOf(one.properties.code), selected: this.selected.has(one.id) })),
      ...this.queue.items.map(({ body }) => row(body.geometry, { color: this.colorOf(body.code), pending: true })),
    ]);
    this.showSaved();
    document.querySelector("[data-act=undo]").disabled = !this.info.can_undo;
    document.querySelector("[data-act=redo]").disabled = !this.info.can_redo;
    document.querySelector("[data-act=delete]").disabled = !this.selected.size;
    this.classes.counted();
  }

  showSaved() {
    const { items, failed } = this.queue;
    const text = failed.length ? `${failed.length} not saved` : items.length ? "Saving …" : `${this.features.size} saved`;
    $("saved").dataset.state = failed.length ? "failed" : items.length ? "saving" : "saved";
    const node = $("saved").querySelector("span");
    if (node.textContent !== text) node.textContent = text;
  }

  async showUnsaved() {
    const rows = this.queue.items.map(({ body, error }) => make("li", { textContent: `${this.nameOf(body.code)}: ${error ?? "being saved"}` }));
    if (!rows.length) { toast(`All labels are in ${this.info.labels}.`); return; }
    const box = $("unsaved");
    box.querySelector("ul").replaceChildren(...rows);
    box.onclose = () => {
      if (box.returnValue === "retry") this.queue.retry();
      if (box.returnValue === "discard") this.queue.discard();
    };
    box.returnValue = "close";
    box.showModal();
  }

  nameOf(code) { return this.info.classes.find((one) => one.code === code)?.name ?? `code ${code}`; }

  use(tool) {
    if (tool !== "look" && tool !== "select" && tool !== "accept" && this.kept.code === null) {
      this.classes.ask();
      tool = "look";
    }
    this.tools.color = this.colorOf(this.kept.code);
    this.tools.use(tool);
    if (tool !== "select") this.select([]);
    this.kept.tool = tool;
    this.remember();
    for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    $("hint").textContent = HINTS[tool];
    const option = OPTIONS[tool];
    $("tool-option").hidden = !option;
    if (option) this.setOption(this.kept[option.key]);
  }

  setOption(value) {
    const option = OPTIONS[this.kept.tool];
    if (!option) return;
    const kept = Math.min(option.max, Math.max(option.min, value));
    this.kept[option.key] = kept;
    this.tools.width = this.kept.width;
    $("tool-option").querySelector("span").textContent = option.text;
    Object.assign($("tool-option").querySelector("input"), { min: option.min, max: option.max, step: option.step, value: kept });
    this.remember();
  }

  pan(on) {
    if (this.tools.panning === on) return;
    this.tools.panning = on;
    this.page.stage.map.getCanvas().classList.toggle("panning", on);
  }

  async drawn(tool, geometry) {
    if (tool === "accept") { await this.guard(() => this.accept(geometry)); return; }
    const body = { geometry, code: this.kept.code, source: "drawn" };
    if (tool === "brush") body.radius = (this.kept.width / 2) * (360 / (512 * 2 ** this.page.stage.map.getZoom()));
    await this.queue.add(body);
  }

  async accept(geometry) {
    const answer = await call("POST", "/accept", { geometry });
    this.changed(answer);
    toast(`${answer.features.length} ${answer.features.length === 1 ? "label" : "labels"} of the map accepted.`);
  }

  // A click on the map. Returns whether it belongs to a tool.
  clicked(event) {
    if (this.kept.tool === "look" || this.tools.panning) return this.tools.panning;
    if (this.kept.tool === "object") this.guard(() => this.grow(event.lngLat));
    if (this.kept.tool === "select") this.pick(event);
    return true;
  }

  async grow(at) {
    const { code } = this.kept;
    const found = await call("POST", "/object", { point: [at.lng, at.lat], tolerance: this.kept.tolerance / 100 });
    await this.queue.add({ geometry: found.geometry, code, source: "drawn" });
  }

  // Changing what is stored ---------------------------------------------------

  pick({ lngLat, originalEvent }) {
    if (this.held !== null && this.tools.draw.getFeaturesAtPointerEvent(originalEvent, { pointerDistance: 14 }).length) return;
    const reach = 6 * (360 / (512 * 2 ** this.page.stage.map.getZoom()));
    const [id] = hit(this.features.values(), [lngLat.lng, lngLat.lat], reach);
    if (!originalEvent.shiftKey) { this.select(id === undefined ? [] : [id]); return; }
    const ids = new Set(this.selected);
    if (id !== undefined && !ids.delete(id)) ids.add(id);
    this.select([...ids]);
  }

  select(ids) {
    this.tools.release();
    this.selected = new Set(ids);
    if (ids.length === 1) {
      const one = this.features.get(ids[0]);
      if (this.tools.hold(one.geometry, this.colorOf(one.properties.code))) this.held = one.id;
      $("hint").textContent = `${this.nameOf(one.properties.code)}, by ${one.properties.author || "nobody known"}${one.properties.source === "accepted" ? ", accepted from the map" : ""}`;
    } else if (this.kept.tool === "select") $("hint").textContent = ids.length ? `${ids.length} labels` : HINTS.select;
    this.redraw();
  }

  // One change after the other: the next one has seen what the last one made.
  change(id, what) {
    const done = this.changing.then(() => this.changeNow(id, what));
    this.changing = done.catch(() => null);
    return done;
  }

  async changeNow(id, what) {
    const seen = this.features.get(id)?.properties.time;
    this.mine = true;
    try {
      const answer = await call("PATCH", `/features/${id}`, { ...what, seen });
      this.changed(answer);
      if (answer.conflict !== null && answer.conflict !== undefined) {
        toast("Somebody else changed this label: both are kept.");
        await this.sync();
        this.select([answer.features[0].id]);
      }
    } finally {
      this.mine = false;
    }
  }

  async reshape(geometry) {
    const id = this.held;
    if (id === null) return;
    const before = this.features.get(id);
    this.features.set(id, { ...before, geometry });
    try {
      await this.change(id, { geometry });
    } catch (error) {
      if (this.features.has(id)) this.features.set(id, before);
      toast(`Not changed: ${error.message}`);
      this.select([id]);
    }
  }

  async choose(code) {
    this.kept.code = code;
    this.tools.color = this.colorOf(code);
    this.remember();
    this.classes.draw();
    const ids = [...this.selected].filter((id) => this.features.get(id)?.properties.code !== code);
    for (const id of ids) await this.change(id, { code });
    if (ids.length) this.select([...this.selected]);
    else if (this.kept.tool === "look") this.use("polygon");
  }

  async remove() {
    const ids = [...this.selected];
    if (!ids.length) return;
    this.select([]);
    await this.changing;
    this.changed(await call("POST", "/features/delete", { ids }));
  }

  async step(direction) {
    if (direction === "undo" ? this.tools.back() : this.tools.forward()) return;
    await this.queue.run();
    await this.changing;
    this.select([]);
    const answer = await call("POST", `/${direction}`, {});
    this.changed(answer, { undo: answer.can_undo, redo: answer.can_redo });
  }

  // Bands, keys -----------------------------------------------------------------

  showBands() {
    const layer = this.page.state.layers.find((one) => one.name === this.info.scene);
    if (!layer || this.info.bands.length <= 3) return;
    layer.choices = this.info.bands;
    const valid = (shown) => Array.isArray(shown) && shown.every((band) => band >= 1 && band <= this.info.bands.length);
    layer.shown = valid(this.kept.shown) ? this.kept.shown : this.info.shown;
    layer.choose = (shown) => { this.kept.shown = shown; this.remember(); };
    this.page.change(() => {});
  }

  // Returns whether a key belongs to labeling.
  key(event) {
    if (document.querySelector("dialog[open]") || event.target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select")) return event.key !== "Escape";
    const name = event.key;
    if (event.ctrlKey || event.metaKey) return this.shortcut(name.toLowerCase(), event.shiftKey);
    if (event.altKey) return false;
    if (name === " ") {
      if (!this.byPointer && event.target.matches?.("button, input, summary, a")) return false;
      this.pan(true);
      return true;
    }
    if (event.shiftKey && /^Digit[1-9]$/.test(event.code)) return this.toggle(+event.code.at(-1));
    if (/^[1-9]$/.test(name)) {
      const one = this.info.classes[+name - 1];
      if (one) this.guard(() => this.choose(one.code));
      return true;
    }
    const canvas = event.target.tagName === "CANVAS";
    if (name === "Enter") return !event.target.matches?.("button, input") && !canvas && this.tools.close();
    if (name === "Escape") return this.escape(canvas);
    return this.letter(name);
  }

  letter(name) {
    const option = OPTIONS[this.kept.tool];
    if (KEYS[name]) this.use(KEYS[name]);
    else if (name === "Delete" || name === "Backspace") this.guard(() => this.remove());
    else if (name === "k") this.guard(() => this.training.train());
    else if (name === "n") this.training.places.next();
    else if (name === "q") this.toggle(null);
    else if (option && (name === "[" || name === "]")) this.setOption(this.kept[option.key] + (name === "]" ? 2 : -2) * option.step);
    else return false;
    return true;
  }

  shortcut(name, shift) {
    if (name !== "z" && name !== "y") return false;
    this.guard(() => this.step(name === "y" || shift ? "redo" : "undo"));
    return true;
  }

  escape(canvas) {
    if (this.tools.drawing) return canvas || this.tools.cancel();
    if (!this.selected.size) return false;
    this.select([]);
    return true;
  }

  toggle(number) {
    const rows = [...this.page.state.layers].reverse();
    const layer = number === null ? rows.find((one) => one.name === this.info.layers.map) : rows[number - 1];
    if (layer) this.page.change(() => { layer.on = !layer.on; });
    return true;
  }
}

export async function begin(page) {
  const info = await call("GET", "/state");
  await insert();
  const labeling = new Labeling(page, info);
  await labeling.start();
  return labeling;
}
