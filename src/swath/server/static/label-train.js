// Training: when it runs, how it goes, what it gave; and the places where a label helps most.

import { call } from "/static/label-api.js";
import { moved } from "/static/label-classes.js";
import { $, make, toast } from "/static/panel.js";

const WAIT_MS = { busy: 400, idle: 3000, lost: 2000 };
const THROTTLE_MS = 300;
const PART_MS = 2000;
const PHASES = { features: "Reading the labeled places", fitting: "Training", mapping: "Mapping this view" };

export class Training {
  constructor(labeling) {
    this.labeling = labeling;
    this.status = null;
    this.shown = 0;
    this.places = new Places(labeling);
    this.acts = { train: () => this.train(), stop: async () => this.take(await call("POST", "/stop", {})) };
  }

  start() {
    $("auto").checked = this.labeling.kept.auto;
    $("auto").addEventListener("change", () => {
      this.labeling.kept.auto = $("auto").checked;
      this.labeling.remember();
      if (this.labeling.kept.auto && (this.status?.stale ?? true)) this.changed();
    });
    this.poll();
    this.overlapsLater();
    this.viewed();
  }

  view() {
    const { map, bounds } = this.labeling.page.stage;
    const seen = map.getBounds();
    const [[west, south], [east, north]] = bounds;
    const box = [Math.max(west, seen.getWest()), Math.max(south, seen.getSouth()), Math.min(east, seen.getEast()), Math.min(north, seen.getNorth())];
    return box[0] < box[2] && box[1] < box[3] ? box : [west, south, east, north];
  }

  // The labels changed.
  changed() {
    this.overlapsLater();
    this.draw();
    if (!this.labeling.kept.auto || this.labeling.counts().size < 2) return;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.labeling.guard(() => this.train()), THROTTLE_MS);
  }

  overlapsLater() {
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.labeling.guard(() => this.labeling.classes.overlaps()), 1500);
  }

  async train() {
    clearTimeout(this.waiting);
    await this.labeling.queue.run();
    this.take(await call("POST", "/train", { view: this.view() }));
    this.poll();
  }

  viewed() {
    clearTimeout(this.viewing);
    this.viewing = setTimeout(() => this.labeling.guard(async () => {
      await call("POST", "/view", { view: this.view() });
      this.poll();
    }), THROTTLE_MS);
  }

  async poll() {
    clearTimeout(this.timer);
    const number = this.asked = (this.asked || 0) + 1;
    let wait = WAIT_MS.lost;
    try {
      await this.take(await call("GET", `/status?${this.view().map((degrees) => `view=${degrees}`).join("&")}`));
      wait = this.status.busy || this.status.job?.state === "running" ? WAIT_MS.busy : WAIT_MS.idle;
      this.lost = false;
    } catch (error) {
      if (!this.lost) toast(error.message);
      this.lost = true;
      this.draw();
    }
    if (number === this.asked) this.timer = setTimeout(() => this.poll(), wait);
  }

  async take(status) {
    const before = this.status;
    const { labeling } = this;
    this.status = status;
    if (status.round !== before?.round) this.shown = performance.now();
    this.draw();
    labeling.classes.counted();
    labeling.finish.show(status.job, before?.job);
    if (before && status.classes_revision !== before.classes_revision) await labeling.guard(() => labeling.reload());
    if (status.revision !== labeling.revision) await labeling.guard(() => labeling.sync());
    this.tiles(status);
    if (status.round > 0) await this.places.follow(status);
  }

  // Loading tiles and drawing them takes time from what makes the map: a part of it is shown now and then.
  tiles({ map, busy }) {
    const { page, info } = this.labeling;
    const layers = page.state.layers.filter((one) => one.name === info.layers.map || one.name === info.layers.confidence);
    if (!map || layers.every((one) => number(one.version) >= number(map.version))) return;
    const whole = map.view.done === map.view.total;
    if (busy && (page.stage.map.isMoving() || (!whole && performance.now() - this.shown < PART_MS))) return;
    this.shown = performance.now();
    for (const one of layers) one.version = map.version;
    page.stage.apply(page.state);
    clearTimeout(this.counting);
    this.counting = setTimeout(() => page.count(), 700);
  }

  draw() {
    const { status } = this;
    const enough = this.labeling.counts().size >= 2;
    $("train").disabled = !enough;
    $("stop").hidden = !status?.busy;
    $("train-progress").hidden = !status?.busy;
    if (status?.busy) $("train-progress").value = status.progress;
    const text = this.lost ? "The server does not answer; strokes are kept and sent later." : this.phase(status, enough);
    if ($("phase").textContent !== text) $("phase").textContent = text;
    $("phase").dataset.state = this.lost || status?.error ? "failed" : "";
    this.score(status?.score);
  }

  phase(status, enough) {
    if (!status) return "";
    if (status.error) return status.error.detail;
    if (status.busy) return `${PHASES[status.phase] ?? "Working"} …`;
    if (!enough) return "Label two classes to begin.";
    if (!status.round) return "Ready to train.";
    if (status.stale) return "Labels changed since the last training.";
    if (status.map?.view?.capped) return "Only the middle of this view is mapped: zoom in.";
    const seconds = Object.values(status.seconds ?? {}).reduce((sum, value) => sum + (value || 0), 0);
    return `Round ${status.round}, ${seconds.toFixed(1)} s${status.features ? `, from ${status.features}` : ""}`;
  }

  score(score) {
    $("score").hidden = !this.status?.round;
    const [big, by, small] = ["b", "em", "small"].map((tag) => $("score").querySelector(tag));
    big.textContent = score ? score.miou.toFixed(2) : "";
    by.textContent = score ? moved(score.miou, score.before).replace(/[ ()]/g, "") : "";
    by.dataset.up = String(score ? score.miou >= (score.before ?? 0) : true);
    small.textContent = score ? `mIoU, ${score.folds} folds of your labels` : "No score yet: it needs several labels of each class.";
    const history = score?.history ?? [];
    const graph = $("score").querySelector("svg");
    graph.toggleAttribute("hidden", history.length < 2);
    if (history.length < 2) return;
    const shown = history.slice(-24);
    const [low, high] = [Math.min(...shown), Math.max(...shown)];
    const points = shown.map((value, i) => `${2 + (92 * i) / (shown.length - 1)},${25 - (22 * (value - low)) / (high - low || 1)}`);
    graph.querySelector("polyline").setAttribute("points", points.join(" "));
    graph.setAttribute("aria-label", `Score of the last ${shown.length} rounds: ${shown.map((value) => value.toFixed(2)).join(", ")}`);
  }
}

class Places {
  constructor(labeling) {
    this.labeling = labeling;
    this.found = [];
    this.at = -1;
    this.state = "";
  }

  // Ask anew when more of the map is there: nothing is uncertain before it is mapped.
  async follow({ round, busy, map }) {
    const state = `${round} ${busy} ${map.view.done === map.view.total}`;
    if (state === this.state) return;
    this.state = state;
    await this.labeling.guard(() => this.ask());
  }

  async ask() {
    const { places } = await call("GET", "/suggestions?count=3");
    if (JSON.stringify(places) === JSON.stringify(this.found)) return;
    this.found = places;
    this.at = -1;
    this.draw();
  }

  draw() {
    $("label-places").hidden = !this.found.length;
    $("places").replaceChildren(...this.found.map((place, i) => {
      const swatch = make("i");
      swatch.style.background = this.labeling.colorOf(place.code);
      const go = make("button", { type: "button", className: "pick" }, swatch, make("span", { textContent: reason(place) }), make("em", { textContent: `${place.confidence} %` }));
      go.title = `Mapped as ${place.class}, ${place.confidence} % confident`;
      go.setAttribute("aria-pressed", String(i === this.at));
      go.addEventListener("click", () => this.go(i));
      const accept = make("button", { type: "button", className: "edit", title: "The map is right here: accept it as labels", ariaLabel: `Accept the map of place ${i + 1} as labels`, textContent: "✓" });
      accept.addEventListener("click", () => this.labeling.guard(() => this.labeling.accept(rectangle(place.bounds))));
      return make("li", {}, go, accept);
    }));
  }

  go(i) {
    const place = this.found[i];
    this.at = i;
    this.draw();
    this.fly(place.bounds);
    $("hint").textContent = `Mapped as ${place.class}, ${place.confidence} % confident: draw what it is, or accept it (✓).`;
  }

  next() {
    if (this.found.length) this.go((this.at + 1) % this.found.length);
    else toast("Places are suggested after the first training.");
  }

  // Show a place with as much around it, and no pixel of the scene larger than four of the screen.
  fly(box) {
    const { stage } = this.labeling.page;
    this.labeling.layers.place(box);
    const [width, height] = [box[2] - box[0], box[3] - box[1]];
    stage.map.fitBounds([[box[0] - width, box[1] - height], [box[2] + width, box[3] + height]], { padding: stage.padding(), maxZoom: stage.scene.max_zoom + 1, duration: 600 });
  }
}

function rectangle([west, south, east, north]) {
  return { type: "Polygon", coordinates: [[[west, south], [east, south], [east, north], [west, north], [west, south]]] };
}

// A version is q and the number of the last change, then a dot and more.
const number = (version) => Number.parseInt(version.slice(1), 10);

// The confidence has its own column.
function reason(place) {
  const text = /confidence/i.test(place.reason) ? `mapped as ${place.class}` : place.reason;
  return text.charAt(0).toUpperCase() + text.slice(1);
}
