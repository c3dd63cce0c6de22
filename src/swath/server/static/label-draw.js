// The tools: Terra Draw holds what is drawn or changed now, and nothing else.

const CHANGES = { dragFeature: true, dragCoordinate: true, insertMidpoint: true, deleteCoordinate: true, edit: true, dragCoordinateResize: true };
const DECIMALS = 12;
const MODES = { polygon: "polygon", rectangle: "rectangle", freehand: "freehand", brush: "brush", point: "point", accept: "accept", select: "select", look: "static", object: "static" };

function load(path) {
  return new Promise((done, failed) => {
    const script = Object.assign(document.createElement("script"), { src: path, onload: done, onerror: () => failed(new Error(`${path} is not there.`)) });
    document.head.append(script);
  });
}

const rounded = (part) => (typeof part === "number" ? +part.toFixed(DECIMALS) : part.map(rounded));

export class Tools {
  // drawn(tool, geometry), moved(geometry, action), released(): a label is not in hand any more.
  constructor(map, { drawn, moved, released, hand }) {
    Object.assign(this, { map, drawn, moved, released, hand, tool: "look", color: "#888888", panning: false, pen: false, touch: false, width: 16 });
  }

  async start() {
    await load("/static/maplibre/terra-draw.umd.js");
    await load("/static/maplibre/terra-draw-maplibre-gl-adapter.umd.js");
    const { terraDraw: td, terraDrawMaplibreGlAdapter: adapter } = window;
    this.modes = this.build(td);
    this.draw = new td.TerraDraw({
      adapter: new adapter.TerraDrawMapLibreGLAdapter({ map: this.map, coordinatePrecision: DECIMALS, prefixId: "swath-draw", ignoreMismatchedPointerEvents: true }),
      modes: Object.values(this.modes),
      undoRedo: { modeLevel: new td.TerraDrawModeUndoRedo() },
    });
    this.draw.start();
    this.draw.on("finish", (id, context) => setTimeout(() => this.finished(id, context)));
    this.draw.on("deselect", () => setTimeout(() => this.release()));
    this.draw.on("change", () => this.hand(this.draw.getSnapshot().map((one) => ({ ...one, properties: { color: this.color } }))));
    const canvas = this.map.getCanvas();
    canvas.addEventListener("pointerdown", (event) => {
      this.touch = event.pointerType === "touch";
      this.pen ||= event.pointerType === "pen";
      this.down = event.isPrimary ? event : null;
    }, true);
    canvas.addEventListener("pointermove", () => this.begin(canvas), true);
    canvas.addEventListener("pointerup", () => { this.down = null; }, true);
    this.map.doubleClickZoom.disable();
  }

  // Terra Draw starts a stroke at the first move it is told of, which for a fast pen is far from where it touched.
  begin(canvas) {
    const { down } = this;
    if (!down) return;
    this.down = null;
    const { clientX, clientY, pointerId, pointerType, button, buttons, isPrimary } = down;
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: clientX + 1.5, clientY, pointerId, pointerType, button, buttons, isPrimary, bubbles: true }));
  }

  build(td) {
    const color = () => this.color;
    const allowed = () => !this.panning && !(this.pen && this.touch); // with a pen, fingers move the map
    const pointerEvents = { leftClick: allowed, rightClick: false, contextMenu: false, onDragStart: allowed, onDrag: true, onDragEnd: true };
    const corner = { PointWidth: 5, PointColor: "#ffffff", PointOutlineColor: color, PointOutlineWidth: 2 };
    const named = (prefix) => Object.fromEntries(Object.entries(corner).map(([key, value]) => [prefix + key, value]));
    const area = { fillColor: color, fillOpacity: 0.22, outlineColor: color, outlineWidth: 2.5, ...named("coordinate"), ...named("closing") };
    const width = () => this.width;
    const shared = { pointerEvents, styles: area };
    const flags = { feature: { draggable: true, coordinates: { midpoints: { draggable: true }, draggable: true, deletable: true } } };
    return {
      polygon: new td.TerraDrawPolygonMode({ ...shared, showCoordinatePoints: true, pointerDistance: 14 }),
      rectangle: new td.TerraDrawRectangleMode({ ...shared, drawInteraction: "click-move-or-drag" }),
      accept: new td.TerraDrawRectangleMode({ pointerEvents, modeName: "accept", drawInteraction: "click-move-or-drag", styles: { fillColor: "#ffffff", fillOpacity: 0.12, outlineColor: "#ffffff", outlineWidth: 2.5 } }),
      freehand: new td.TerraDrawFreehandMode({ ...shared, drawInteraction: "click-drag", minDistance: 4, autoCloseTimeout: 0, preventPointsNearClose: false }),
      brush: new td.TerraDrawFreehandLineStringMode({ pointerEvents, modeName: "brush", drawInteraction: "click-drag", minDistance: 3, styles: { lineStringColor: color, lineStringWidth: width, lineStringOpacity: 0.55, closingPointOpacity: 0, closingPointOutlineOpacity: 0 } }),
      point: new td.TerraDrawPointMode({ pointerEvents, styles: { pointColor: color, pointWidth: 6, pointOutlineColor: "#ffffff", pointOutlineWidth: 2.5 } }),
      select: new td.TerraDrawSelectMode({
        allowManualSelection: false, allowManualDeselection: false, pointerDistance: 14, dragEventThrottle: 0, keyEvents: { deselect: "Escape", delete: null, rotate: null, scale: null },
        flags: { polygon: flags, brush: flags, point: { feature: { draggable: true } } },
        styles: { selectedPolygonColor: color, selectedPolygonFillOpacity: 0.35, selectedPolygonOutlineColor: "#0b6bcb", selectedPolygonOutlineWidth: 3, selectedLineStringColor: "#0b6bcb", selectedPointColor: color, selectedPointWidth: 8, selectedPointOutlineColor: "#0b6bcb", selectedPointOutlineWidth: 3, selectionPointWidth: 7, selectionPointColor: "#ffffff", selectionPointOutlineColor: "#0b6bcb", selectionPointOutlineWidth: 2.5, midPointWidth: 4, midPointColor: "#0b6bcb", midPointOutlineColor: "#ffffff", midPointOutlineWidth: 1.5 },
      }),
    };
  }

  get drawing() { return this.draw.getModeState() === "drawing"; }

  use(tool) {
    this.release();
    this.tool = tool;
    this.draw.setMode(MODES[tool]);
    if (tool === "object") this.map.getCanvas().style.cursor = "crosshair";
    else if (tool === "look" || tool === "select") this.map.getCanvas().style.cursor = "";
  }

  finished(id, { action }) {
    const feature = this.draw.getSnapshotFeature(id);
    if (!feature) return;
    if (this.tool === "select") {
      if (CHANGES[action]) this.moved(feature.geometry, action);
      return;
    }
    this.draw.removeFeatures([id]);
    this.drawn(this.tool, feature.geometry);
  }

  // Take a stored label in hand, to move and reshape it. Returns false for what Terra Draw cannot hold.
  hold(geometry, color) {
    const mode = { Polygon: "polygon", LineString: "brush", Point: "point" }[geometry.type];
    if (!mode || (geometry.type === "Polygon" && geometry.coordinates.length > 1)) return false;
    this.color = color;
    const feature = { type: "Feature", geometry: { ...geometry, coordinates: rounded(geometry.coordinates) }, properties: { mode } };
    const [result] = this.draw.addFeatures([feature]);
    if (!result?.valid) return false;
    this.held = result.id;
    this.draw.selectFeature(result.id);
    return true;
  }

  release() {
    if (this.held === undefined) return;
    const { held } = this;
    this.held = undefined;
    if (this.draw.getMode() === "select") {
      try { this.draw.deselectFeature(held); } catch { /* it is deselected already */ }
    }
    if (this.draw.hasFeature(held)) this.draw.removeFeatures([held]);
    this.released();
  }

  // Undo the last point of what is being drawn. Returns whether anything was in hand.
  back() {
    if (!this.drawing) return false;
    if (!this.draw.canUndo() || !this.draw.undo()) this.cancel();
    return true;
  }

  forward() { return this.drawing && this.draw.canRedo() && this.draw.redo(); }

  cancel() {
    if (!this.drawing) return false;
    this.draw.setMode(MODES[this.tool]);
    return true;
  }

  // Close a polygon by a key that was pressed outside the map.
  close() {
    if (!this.drawing) return false;
    this.modes[this.tool].onKeyUp({ key: "Enter", heldKeys: [], preventDefault() {} });
    return true;
  }
}
