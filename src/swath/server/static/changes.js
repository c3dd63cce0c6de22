// The largest changes of a map of change: a list whose entries fly there.

import { $, make } from "/static/panel.js";

const size = (one) => (one.hectares === null ? `${one.pixels} px` : `${one.hectares < 10 ? one.hectares.toPrecision(2) : Math.round(one.hectares)} ha`);

export async function listChanges(state, stage, ask, look) {
  const layer = state.layers.find((one) => one.change);
  if (!layer) return;
  const found = await ask("/changes", { url: layer.name });
  const rows = found.map((one) => {
    const swatch = make("i");
    swatch.style.background = one.color;
    const sure = one.confidence === null ? "" : `, ${Math.round(one.confidence)} %`;
    const button = make("button", { type: "button", title: `Fly there: ${one.name}${sure}` }, swatch, make("span", { textContent: one.name }), make("em", { textContent: `${size(one)}${sure}` }));
    button.addEventListener("click", async () => {
      await look(one.point);
      stage.fly(one.bounds);
    });
    return make("li", {}, button);
  });
  $("changes").hidden = false;
  $("largest").replaceChildren(...(rows.length ? rows : [make("li", { textContent: "Nothing changed." })]));
}
