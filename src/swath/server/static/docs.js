// The API as a page, from openapi.json.

const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

const kind = (schema = {}) => (schema.anyOf ? schema.anyOf.map(kind).filter((name) => name !== "null").join(" or ") : schema.type === "array" ? `${kind(schema.items)}, repeated` : schema.enum ? schema.enum.join(" | ") : schema.type || schema.$ref?.split("/").pop() || "");

function row(parameter) {
  const fallback = parameter.schema?.default;
  const note = [parameter.description || parameter.schema?.description || "", fallback !== undefined && fallback !== null && fallback !== "" ? `Default: ${fallback}.` : ""].join(" ");
  const name = make("code", { textContent: parameter.name + (parameter.required ? " *" : "") });
  return make("tr", {}, make("td", {}, name), make("td", { textContent: kind(parameter.schema) }), make("td", { textContent: note }));
}

const { info, paths } = await (await fetch("/openapi.json")).json();
document.getElementById("about").textContent = info.description;
const groups = new Map();
for (const [path, verbs] of Object.entries(paths)) {
  for (const [verb, what] of Object.entries(verbs)) {
    const name = verb.toUpperCase();
    const line = make("summary", {}, make("b", { className: `verb ${name}`, textContent: name }), make("code", { textContent: path }), make("span", { textContent: (what.description || what.summary || "").split("\n")[0] }));
    const table = make("table", {}, ...(what.parameters || []).map(row));
    const tag = what.tags?.[0] || "More";
    groups.set(tag, [...(groups.get(tag) || []), make("details", {}, line, table)]);
  }
}
document.getElementById("paths").append(...[...groups].flatMap(([tag, all]) => [make("h2", { textContent: tag }), ...all]));
document.documentElement.dataset.ready = "yes";
