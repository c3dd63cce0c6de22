// The part of the address after #, which restores a view.

// A class of a legend: two maps may have one code for classes of other names.
export const keyOf = (one) => `${one.code}~${one.name}`;

export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const numbers = (key, count) => {
    const found = (given.get(key) || "").split(",").map(Number);
    return found.length === count && found.every(Number.isFinite) && given.has(key) ? found : null;
  };
  const layers = given.has("on") ? Object.fromEntries(given.getAll("on").map(row)) : null;
  const swipe = given.getAll("swipe");
  return {
    at: numbers("at", 3),
    layers,
    hidden: given.getAll("hide").flatMap((text) => (text.includes("~") ? [text] : text.split(","))), // keys, or codes of older links
    swipe: swipe.length === 3 && Number.isFinite(+swipe[2]) ? { left: swipe[0], right: swipe[1], at: Math.min(1, Math.max(0, +swipe[2])) } : null,
    point: numbers("point", 2),
  };
}

function row(text) {
  const [, opacity, band, name] = /^([\d.]+)~(\d*)~(.*)$/s.exec(text) || [null, "1", "", text];
  return [name, { opacity: Math.min(1, Math.max(0, +opacity)), band: band === "" ? null : +band }];
}

export function write(state, center, zoom) {
  const out = new URLSearchParams();
  out.set("at", [center.lng.toFixed(7), center.lat.toFixed(7), zoom.toFixed(4)].join(","));
  for (const layer of state.layers) if (layer.on) out.append("on", `${+layer.opacity.toFixed(2)}~${layer.band ?? ""}~${layer.name}`);
  if (!state.layers.some((layer) => layer.on)) out.append("on", "0~~");
  for (const key of state.hidden) out.append("hide", key);
  if (state.swipe) for (const part of [state.swipe.left, state.swipe.right, state.swipe.at.toFixed(3)]) out.append("swipe", part);
  if (state.point) out.set("point", state.point.map((number) => number.toFixed(7)).join(","));
  history.replaceState(null, "", `${location.pathname}${location.search}#${out}`);
}
