// Stored labels, strokes that are not saved yet, and the place in view, drawn on a map.

const IN_HAND = "swath:hand";
const LABELS = "swath:labels";
const PLACE = "swath:place";
const empty = { type: "FeatureCollection", features: [] };

const polygons = ["==", ["geometry-type"], "Polygon"];
const points = ["==", ["geometry-type"], "Point"];
const color = ["get", "color"];
const wide = (usual, selected) => ["case", ["get", "selected"], selected, usual];

const layers = [
  { id: `${LABELS}-fill`, source: LABELS, type: "fill", filter: polygons, paint: { "fill-color": color, "fill-opacity": wide(0.22, 0.4) } },
  { id: `${LABELS}-edge`, source: LABELS, type: "line", filter: ["!", points], paint: { "line-color": ["case", ["get", "selected"], "#0b6bcb", "#fff"], "line-width": wide(3.5, 6), "line-opacity": 0.85 } },
  { id: `${LABELS}-line`, source: LABELS, type: "line", filter: ["all", ["!", points], ["!", ["get", "pending"]]], paint: { "line-color": color, "line-width": 2 } },
  { id: `${LABELS}-pending`, source: LABELS, type: "line", filter: ["all", ["!", points], ["get", "pending"]], paint: { "line-color": color, "line-width": 2, "line-dasharray": [2, 2] } },
  { id: `${LABELS}-point`, source: LABELS, type: "circle", filter: points, paint: { "circle-color": color, "circle-radius": wide(6, 8), "circle-stroke-color": ["case", ["get", "selected"], "#0b6bcb", "#fff"], "circle-stroke-width": ["case", ["get", "pending"], 1, 2.5] } },
  { id: `${PLACE}-edge`, source: PLACE, type: "line", paint: { "line-color": "#fff", "line-width": 4 } },
  { id: PLACE, source: PLACE, type: "line", paint: { "line-color": "#111", "line-width": 2, "line-dasharray": [3, 2] } },
  { id: `${IN_HAND}-line`, source: IN_HAND, type: "line", paint: { "line-color": color, "line-width": 2 } },
];

export class LabelLayers {
  constructor() {
    this.data = { [LABELS]: empty, [PLACE]: empty, [IN_HAND]: empty };
    this.maps = new Set();
  }

  // One: a map of the stage; the second one also shows what is in hand, which is drawn on the first.
  attach(one) {
    if (!one || this.maps.has(one)) return;
    for (const [name, data] of Object.entries(this.data)) one.map.addSource(name, { type: "geojson", data, tolerance: 0.2 });
    for (const layer of layers) if (layer.source !== IN_HAND || this.maps.size) one.map.addLayer(layer);
    one.top = layers[0].id;
    this.maps.add(one);
  }

  set(name, data) {
    this.data[name] = data;
    for (const one of this.maps) one.map.getSource(name)?.setData(data);
  }

  labels(features) { this.set(LABELS, { type: "FeatureCollection", features }); }

  hand(features) { if (this.maps.size > 1) this.set(IN_HAND, { type: "FeatureCollection", features }); }

  place(bounds) {
    const ring = bounds && [[bounds[0], bounds[1]], [bounds[2], bounds[1]], [bounds[2], bounds[3]], [bounds[0], bounds[3]], [bounds[0], bounds[1]]];
    this.set(PLACE, ring ? { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [ring] } } : empty);
  }
}

// Ids of the labels within reach (degrees of longitude) of a point: points before lines before areas, small ones first.
export function hit(features, [x, y], reach) {
  const flat = Math.cos((y * Math.PI) / 180); // a degree of latitude is shown 1 / flat as long as one of longitude
  const found = [];
  for (const { id, geometry } of features) {
    const [west, south, east, north] = bounds(geometry);
    if (x < west - reach || x > east + reach || y < south - reach || y > north + reach) continue;
    const order = ["Point", "LineString", "Polygon"].indexOf(geometry.type.replace("Multi", ""));
    const parts = geometry.type.startsWith("Multi") ? geometry.coordinates : [geometry.coordinates];
    const touches = [
      (point) => distance([x, y], point, point, flat) <= reach,
      (line) => near(line, [x, y], reach, flat),
      (rings) => rings.filter((ring) => inside(ring, [x, y])).length % 2 === 1 || rings.some((ring) => near(ring, [x, y], reach, flat)),
    ][order];
    if (parts.some(touches)) found.push({ id, order, size: extent(geometry) });
  }
  return found.sort((a, b) => a.order - b.order || a.size - b.size).map((one) => one.id);
}

const near = (line, point, reach, flat) => line.some((end, i) => i > 0 && distance(point, line[i - 1], end, flat) <= reach);

// Distance of a point from a segment, in degrees of longitude.
function distance([x, y], [ax, ay], [bx, by], flat) {
  const [dx, dy, px, py] = [bx - ax, (by - ay) / flat, x - ax, (y - ay) / flat];
  const along = Math.min(1, Math.max(0, (px * dx + py * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(px - along * dx, py - along * dy);
}

function inside(ring, [x, y]) {
  let odd = false;
  for (let i = 1; i < ring.length; i += 1) {
    const [[ax, ay], [bx, by]] = [ring[i - 1], ring[i]];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) odd = !odd;
  }
  return odd;
}

// Half the extent of a geometry, for the order of what lies on each other.
export function extent(geometry) {
  const box = bounds(geometry);
  return box[2] - box[0] + box[3] - box[1];
}

function bounds(geometry) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const walk = (part) => {
    if (typeof part[0] !== "number") { part.forEach(walk); return; }
    for (const axis of [0, 1]) {
      box[axis] = Math.min(box[axis], part[axis]);
      box[axis + 2] = Math.max(box[axis + 2], part[axis]);
    }
  };
  walk(geometry.coordinates);
  return box;
}
