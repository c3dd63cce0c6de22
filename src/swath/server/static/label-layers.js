// Stored labels, strokes that are not saved yet, and the place that is looked at, drawn on a map.

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

  // Ids of the labels at a point of the screen, the smallest first.
  at(map, point, reach) {
    const box = [[point.x - reach, point.y - reach], [point.x + reach, point.y + reach]];
    const names = ["fill", "line", "point"].map((end) => `${LABELS}-${end}`);
    const found = map.queryRenderedFeatures(box, { layers: names }).filter((one) => one.properties.id !== undefined);
    const order = { Point: 0, LineString: 1, Polygon: 2 };
    found.sort((a, b) => order[a.geometry.type] - order[b.geometry.type] || a.properties.size - b.properties.size);
    return [...new Set(found.map((one) => one.properties.id))];
  }
}

// Half the extent of a geometry, for the order of what lies on each other.
export function extent(geometry) {
  const box = bounds(geometry);
  return box[2] - box[0] + box[3] - box[1];
}

export function bounds(geometry) {
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
