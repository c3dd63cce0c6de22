// Put into the page by label.py: notes when the user did something last, and when tiles of the quick
// map came. A tile's version counts the blocks that were mapped.

const number = (version) => +(version ?? "").slice(1).split(".")[0];

window.watched = {
  last: 0,
  maps: [],
  round: 0,

  begin() {
    this.round = this.whole?.round ?? 0;
    this.maps = [];
  },

  // Seconds from the last point to the last tile of the new map of all of the view; null before.
  seconds() {
    if (!this.whole || this.whole.stale || this.whole.round <= this.round) return null;
    const since = this.maps.filter((one) => one.version >= this.whole.version);
    if (!since.length || performance.now() - since[0].asked < 300) return null;
    const first = new Map();
    for (const { tile, there = Infinity } of since) first.set(tile, Math.min(first.get(tile) ?? Infinity, there));
    const end = Math.max(...first.values());
    return Number.isFinite(end) ? (end - this.last) / 1000 : null;
  },

  // Frames in which the map was drawn.
  count() {
    this.frames = [];
    const step = (now) => {
      if (this.drawn) this.frames.push(now);
      this.drawn = false;
      this.counting = requestAnimationFrame(step);
    };
    this.counting = requestAnimationFrame(step);
  },

  counted() {
    cancelAnimationFrame(this.counting);
    return this.frames;
  },
};

for (const kind of ["pointerup", "keydown"]) {
  addEventListener(kind, () => { window.watched.last = performance.now(); }, true);
}

const draw = WebGL2RenderingContext.prototype.drawElements;
WebGL2RenderingContext.prototype.drawElements = function drawElements(...given) {
  window.watched.drawn = true;
  return draw.apply(this, given);
};

const plain = window.fetch;
window.fetch = async (...given) => {
  const url = new URL(given[0].url ?? given[0], location);
  const isTile = url.searchParams.get("url") === "quick-map" && url.pathname.startsWith("/cog/tiles");
  const row = { tile: url.pathname, version: number(url.searchParams.get("v")), asked: performance.now() };
  if (isTile) window.watched.maps.push(row);
  const answer = await plain(...given);
  if (isTile) answer.clone().arrayBuffer().then(() => { row.there = performance.now(); });
  if (["/label/status", "/label/train"].includes(url.pathname)) answer.clone().json().then(note);
  return answer;
};

function note({ map, round, stale }) {
  const whole = map.view.total && map.view.done === map.view.total;
  if (whole) window.watched.whole = { round, stale, version: number(map.version) };
}
