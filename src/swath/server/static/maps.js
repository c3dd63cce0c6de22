// The map, and a second one over it for the swipe: both show the same view.

import { keyOf } from "/static/link.js";
import * as gl from "/static/maplibre/maplibre-gl.mjs";

const SHARES = [1, 0.5, 0.25]; // of the pixels of a side
const PACE = { frames: 2, slow: 45, fast: 20, rest: 200 }; // frames that are timed, and milliseconds

export const MANY = 5000; // features of an outline layer, above which small ones show from near only

const sharp = window.devicePixelRatio > 1.3 ? 128 : 256;

function address(layer, hidden) {
  if (layer.kind === "outline") return `${location.origin}/outlines?${new URLSearchParams({ url: layer.name, v: layer.version })}`;
  const query = new URLSearchParams(layer.difference ? { one: layer.one, other: layer.other } : { url: layer.name });
  if (layer.band !== null && layer.kind === "probabilities") query.set("bidx", layer.band + 1);
  const codes = (layer.classes ?? []).filter((one) => hidden.has(keyOf(one))).map((one) => one.code);
  if (codes.length) query.set("hide", codes.sort((a, b) => a - b).join(","));
  if (layer.kind === "image") for (const band of layer.shown ?? []) query.append("bidx", band);
  query.set("v", layer.version);
  const path = layer.difference ? "/differ/{z}/{x}/{y}" : "/cog/tiles/WebMercatorQuad/{z}/{x}/{y}";
  return `${location.origin}${path}?${query}`;
}

// Without a graphics card a frame takes long in proportion to its pixels: while the view moves, fewer are drawn.
class Pace {
  constructor() {
    this.level = 0;
    this.maps = null;
  }

  start(maps) {
    clearTimeout(this.ending);
    if (this.maps) return;
    this.maps = maps;
    this.draw(this.level);
    this.begin();
    const step = (now) => {
      if (!this.maps) return;
      if (this.frames === 0) this.since = now;
      else this.mean = (now - this.since) / this.frames;
      this.frames += 1;
      if (this.frames > PACE.frames) {
        if (this.mean > PACE.slow && this.level < SHARES.length - 1) this.draw(this.level += 1);
        this.begin();
      }
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  begin() { this.frames = 0; }

  stop() {
    clearTimeout(this.ending);
    this.ending = setTimeout(() => {
      if (this.mean < PACE.fast && this.level > 0) this.level -= 1; // it was slow for another reason
      this.draw(0);
      this.maps = null;
    }, PACE.rest);
  }

  // setPixelRatio would end a drag, as resize does.
  draw(level) {
    const ratio = window.devicePixelRatio * SHARES[level];
    for (const map of this.maps) {
      if (map.getPixelRatio() === ratio) continue;
      map._overridePixelRatio = ratio;
      map._resizeInternal(false);
      map.triggerRepaint();
    }
  }
}

class One {
  constructor(box, options) {
    this.box = box;
    this.known = new Map();
    this.top = undefined; // the lowest layer that lies above all rasters
    this.map = new gl.Map({
      container: box, style: { version: 8, sources: {}, layers: [] }, attributionControl: false, dragRotate: false,
      pitchWithRotate: false, touchPitch: false, renderWorldCopies: false, fadeDuration: 0, keyboard: true, ...options,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.ready = new Promise((done) => this.map.once("load", done));
  }

  // Lines with a dark edge, and points as discs, over all rasters.
  outline(layer, data) {
    const [edge, line, point] = partsOf(layer);
    const points = ["==", ["geometry-type"], "Point"];
    this.map.addSource(layer.name, { type: "geojson", data, tolerance: layer.count > MANY ? 0.375 : 0 }); // in pixels: smaller ones are left out
    const add = (id, type, filter, paint) => this.map.addLayer({ id, type, source: layer.name, filter, paint }, this.top);
    add(edge, "line", ["!", points], { "line-color": "#000" });
    add(line, "line", ["!", points], { "line-color": layer.color });
    add(point, "circle", points, { "circle-color": layer.color, "circle-stroke-color": "#000", "circle-stroke-width": 1.5 });
    this.known.set(layer.name, data);
  }

  restyle(layer, on) {
    const [edge, line, point] = partsOf(layer);
    const width = (usual, chosen) => ["case", ["==", ["id"], layer.chosen ?? -1], chosen, usual];
    for (const id of [edge, line, point]) this.map.setLayoutProperty(id, "visibility", on ? "visible" : "none");
    for (const [id, name, value] of [
      [edge, "line-width", width(3.5, 7)], [line, "line-width", width(1.8, 4)], [point, "circle-radius", width(4.5, 8)],
      [edge, "line-opacity", layer.opacity * 0.7], [line, "line-opacity", layer.opacity], [point, "circle-opacity", layer.opacity], [point, "circle-stroke-opacity", layer.opacity],
    ]) this.map.setPaintProperty(id, name, value);
  }

  show(layers, hidden, without) {
    for (const layer of layers) {
      const on = layer.on && layer.name !== without;
      const tiles = address(layer, hidden);
      if (on && !this.known.has(layer.name) && layer.kind === "outline") this.outline(layer, tiles);
      else if (on && !this.known.has(layer.name)) {
        this.map.addSource(layer.name, {
          type: "raster", tiles: [tiles], tileSize: sharp, minzoom: layer.min_zoom, maxzoom: layer.max_zoom, bounds: layer.bounds,
        });
        const above = layers.slice(layers.indexOf(layer) + 1).find((other) => this.known.has(other.name));
        this.map.addLayer({ id: layer.name, type: "raster", source: layer.name, paint: { "raster-resampling": "nearest" } }, above?.name ?? this.top);
        this.known.set(layer.name, tiles);
      }
      if (!this.known.has(layer.name)) continue;
      if (on && this.known.get(layer.name) !== tiles) {
        if (layer.kind === "outline") this.map.getSource(layer.name).setData(tiles);
        else this.map.getSource(layer.name).setTiles([tiles]);
        this.known.set(layer.name, tiles);
      }
      if (layer.kind === "outline") {
        this.restyle(layer, on);
        continue;
      }
      this.map.setLayoutProperty(layer.name, "visibility", on ? "visible" : "none");
      this.map.setPaintProperty(layer.name, "raster-opacity", layer.opacity);
    }
  }
}

// Ids of the layers of one source; the first is the lowest.
const partsOf = (layer) => [layer.name, ...["line", "point"].map((part) => `${layer.name}~${part}`)];

export class Stage {
  constructor(scene, view, { moved, clicked, pointed, swiped }) {
    this.scene = scene;
    this.top = scene.label ? 104 : 24; // the tools of labeling lie over the top
    const [west, south, east, north] = scene.bounds;
    this.bounds = [[west, south], [east, north]];
    const start = view.at ? { center: view.at.slice(0, 2), zoom: view.at[2] } : { bounds: this.bounds, fitBoundsOptions: { padding: this.padding() } };
    this.left = new One(document.getElementById("left"), { ...start, maxZoom: Math.min(24, scene.max_zoom + 5), minZoom: 0 });
    this.options = { maxZoom: Math.min(24, scene.max_zoom + 5), minZoom: 0 };
    this.right = null;
    this.swiped = swiped;
    this.divider = document.getElementById("divider");
    this.listen = (map) => {
      map.on("movestart", () => { if (!this.following) this.pace.start([this.left.map, ...(this.right ? [this.right.map] : [])]); });
      map.on("moveend", () => { if (!this.following) this.pace.stop(); });
      map.on("click", (event) => clicked(event));
      map.on("mousemove", (event) => pointed(event.lngLat));
      map.on("mouseout", () => pointed(null));
      map.on("error", (event) => { if (event.error?.status !== 400) console.warn(event.error?.message || event); });
    };
    this.listen(this.left.map);
    this.left.map.on("move", () => this.follow(this.left, this.right));
    this.left.map.on("moveend", moved);
    this.pace = new Pace();
    this.pin = new gl.Marker({ element: Object.assign(document.createElement("div"), { className: "pin" }) });
    this.drag();
  }

  get map() { return this.left.map; }

  padding() {
    const wide = window.innerWidth > 640;
    return wide ? { left: 372, right: 24, top: this.top, bottom: 40 } : { left: 8, right: 8, top: 48, bottom: window.innerHeight * 0.46 + 8 };
  }

  fit() { this.map.fitBounds(this.bounds, { padding: this.padding(), duration: 300 }); }

  // Show a place with what is around it.
  fly([west, south, east, north]) {
    const [x, y] = [(east - west) / 2, (north - south) / 2];
    const around = [[west - x, south - y], [east + x, north + y]];
    this.map.fitBounds(around, { padding: this.padding(), duration: 600, maxZoom: this.scene.max_zoom + 2 });
  }

  follow(from, to) {
    if (!to || this.following) return;
    this.following = true;
    to.map.jumpTo({ center: from.map.getCenter(), zoom: from.map.getZoom() });
    this.following = false;
  }

  async apply(state) {
    await this.left.ready;
    const { swipe } = state;
    for (const id of ["right", "divider", "sides"]) document.getElementById(id).hidden = !swipe;
    if (swipe && !this.right) {
      this.right = new One(document.getElementById("right"), { ...this.options, center: this.map.getCenter(), zoom: this.map.getZoom() });
      this.listen(this.right.map);
      this.right.map.on("move", () => this.follow(this.right, this.left));
    }
    this.left.show(state.layers, state.hidden, swipe?.right);
    if (swipe) {
      await this.right.ready;
      this.right.map.resize();
      this.follow(this.left, this.right);
      this.right.show(state.layers, state.hidden, swipe.left);
      this.cut(swipe.at, state);
    }
    this.applied?.();
    if (state.point) this.pin.setLngLat(state.point).addTo(this.map); else this.pin.remove();
  }

  cut(at, state) {
    const x = at * this.map.getContainer().clientWidth;
    document.getElementById("right").style.clipPath = `inset(0 0 0 ${x}px)`;
    this.divider.style.left = `${x}px`;
    this.divider.setAttribute("aria-valuenow", Math.round(at * 100));
    const title = (name) => state.layers.find((layer) => layer.name === name)?.label ?? "";
    for (const [id, name, shift] of [["side-left", state.swipe.left, -1], ["side-right", state.swipe.right, 1]]) {
      const label = document.getElementById(id);
      label.textContent = title(name);
      label.style.left = `${x + shift * (label.offsetWidth / 2 + 10)}px`;
    }
  }

  drag() {
    const move = (event) => this.swiped(Math.min(0.98, Math.max(0.02, event.clientX / this.map.getContainer().clientWidth)));
    this.divider.addEventListener("pointerdown", (event) => {
      this.divider.setPointerCapture(event.pointerId);
      this.divider.addEventListener("pointermove", move);
    });
    const stop = () => this.divider.removeEventListener("pointermove", move);
    this.divider.addEventListener("pointerup", stop);
    this.divider.addEventListener("pointercancel", stop);
  }
}
