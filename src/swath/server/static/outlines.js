// The features of vector layers: lists in order of rank whose entries fly there.

import { MANY } from "/static/maps.js";
import { $, make, round } from "/static/panel.js";

const text = (value) => String(round(value));
const named = (row) => Object.entries(row.columns).map(([name, value]) => `${name}: ${text(value)}`).join("\n");

export function listOutlines(state, stage, look) {
  const layers = state.layers.filter((layer) => layer.kind === "outline").reverse();
  $("outlines").replaceChildren(...layers.flatMap((layer) => list(layer, stage, look)));
  $("outlines").hidden = !layers.length;
}

function list(layer, stage, look) {
  const rows = layer.rows.map((row) => {
    const number = layer.rank === null ? row.id + 1 : row.columns[layer.rank];
    const button = make(
      "button", { type: "button", title: `Fly there\n${named(row)}` },
      make("b", { textContent: text(number) }), make("span", { textContent: layer.shown.map((name) => text(row.columns[name])).join(" · ") }),
    );
    button.addEventListener("click", async () => {
      await look(row.point, { [layer.name]: { inside: true, id: row.id, columns: row.columns } });
      stage.fly(row.bounds);
    });
    return make("li", {}, button);
  });
  const more = layer.count > rows.length ? `. The first ${rows.length} of ${layer.count} are listed; click others on the map.${layer.count > MANY ? " From afar, the smallest are not drawn." : ""}` : "";
  return [
    make("h2", { textContent: layer.title, title: layer.title }),
    make("p", { textContent: layer.count ? `${[layer.rank ?? "number", ...layer.shown].join(" · ")}${more}` : "No features." }),
    make("ul", {}, ...rows),
  ];
}
