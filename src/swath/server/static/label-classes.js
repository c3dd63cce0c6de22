// The list of classes: pick, add, rename, color, delete; what each has and needs; overlaps.

import { call } from "/static/label-api.js";
import { $, make } from "/static/panel.js";

// Colors that differ for color-blind eyes (Okabe and Ito), then others.
const COLORS = ["#009e73", "#0072b2", "#d55e00", "#f0c000", "#cc79a7", "#56b4e9", "#8c6d31", "#7b4fa3", "#7f7f7f", "#e34a33", "#31a354", "#2b2b2b"];
const NEEDS = { none: "no label yet", more: "more needed", enough: "enough" };

export function question(text, yes) {
  const box = $("question");
  $("question-text").textContent = text;
  box.querySelector("[value=yes]").textContent = yes;
  box.returnValue = "no";
  box.showModal();
  return new Promise((done) => { box.onclose = () => done(box.returnValue === "yes"); });
}

export class ClassList {
  constructor(labeling) {
    this.labeling = labeling;
    this.editing = null;
    this.acts = {
      "class-add": () => this.ask(), "class-cancel": () => this.close(), "class-delete": () => this.remove(),
    };
    this.form = $("class-form");
    this.form.addEventListener("submit", (event) => { event.preventDefault(); labeling.guard(() => this.save()); });
    this.form.addEventListener("keydown", (event) => { if (event.key === "Escape") { this.close(); event.stopPropagation(); } });
  }

  get classes() { return this.labeling.info.classes; }

  draw() {
    const at = document.activeElement?.dataset?.class;
    $("class-list").replaceChildren(...this.classes.map((one, i) => this.row(one, i)));
    if (at !== undefined) $("class-list").querySelector(`[data-class="${at}"]`)?.focus();
    this.counted();
  }

  row(one, i) {
    const swatch = make("i");
    swatch.style.background = one.color;
    const bar = make("u");
    const pick = make("button", { type: "button", className: "pick" }, swatch, make("span", { textContent: one.name }), make("em"), make("small"), i < 9 ? make("kbd", { textContent: i + 1 }) : null, bar);
    pick.dataset.class = one.code;
    pick.setAttribute("aria-pressed", String(one.code === this.labeling.kept.code));
    pick.addEventListener("click", () => this.labeling.guard(() => this.labeling.choose(one.code)));
    const edit = make("button", { type: "button", className: "edit", title: `Name, color, delete: ${one.name}`, ariaLabel: `Name, color, delete: ${one.name}`, textContent: "⋯" });
    edit.addEventListener("click", () => this.ask(one));
    return make("li", {}, pick, edit);
  }

  // Write labels, score, need and share of each class into its row.
  counted() {
    const counts = this.labeling.counts();
    const states = new Map((this.labeling.training.status?.classes ?? []).map((one) => [one.code, one]));
    const trained = this.labeling.training.status?.round > 0;
    $("label-classes").querySelector("h2 em").hidden = !trained;
    for (const pick of $("class-list").querySelectorAll(".pick")) {
      const code = +pick.dataset.class;
      const labels = counts.get(code) || 0;
      const state = states.get(code) ?? {};
      const need = labels ? state.need === "none" ? null : state.need : "none";
      const parts = [labels ? `${labels} ${labels === 1 ? "label" : "labels"}` : NEEDS.none];
      if (labels && NEEDS[need]) parts.push(NEEDS[need]);
      if (typeof state.score === "number") parts.push(`IoU ${state.score.toFixed(2)}${moved(state.score, state.before)}`);
      pick.querySelector("small").textContent = parts.join(" · ");
      pick.querySelector("small").title = state.reason ?? "";
      pick.dataset.need = need ?? "";
      const share = this.labeling.page.state.shares?.[code] ?? 0;
      pick.querySelector("em").textContent = trained ? percent(share) : "";
      pick.querySelector("u").style.width = trained ? `${share * 78}%` : "0";
    }
  }

  // Open the form for a class, or for a new one.
  ask(one = null) {
    this.editing = one;
    const free = COLORS.find((color) => !this.classes.some((other) => other.color.toLowerCase() === color)) ?? "#888888";
    this.form.elements.name.value = one?.name ?? "";
    this.form.elements.color.value = (one?.color ?? free).toLowerCase();
    this.form.querySelector("[type=submit]").textContent = one ? "Save" : "Add";
    this.form.querySelector(".danger").hidden = !one;
    this.form.hidden = false;
    $("class-add").hidden = true;
    this.form.elements.name.focus();
    this.form.elements.name.select();
  }

  close() {
    this.form.hidden = true;
    $("class-add").hidden = false;
    $("class-add").focus();
  }

  async save() {
    const body = { name: this.form.elements.name.value.trim(), color: this.form.elements.color.value };
    const { editing } = this;
    const before = new Set(this.classes.map((one) => one.code));
    const answer = await call(editing ? "PATCH" : "POST", editing ? `/classes/${editing.code}` : "/classes", body);
    this.close();
    await this.labeling.reload();
    if (editing) await this.labeling.sync();
    const added = answer.classes.find((one) => !before.has(one.code));
    if (added) await this.labeling.choose(added.code);
  }

  async remove() {
    const { editing } = this;
    const labels = this.labeling.counts().get(editing.code) || 0;
    const text = labels ? `Delete the class ${editing.name} and its ${labels} ${labels === 1 ? "label" : "labels"}?` : `Delete the class ${editing.name}?`;
    if (!await question(text, "Delete")) return;
    await call("DELETE", `/classes/${editing.code}${labels ? "?labels=delete" : ""}`);
    this.close();
    await this.labeling.reload();
    await this.labeling.sync();
    this.labeling.training.changed();
    if (this.labeling.kept.code === editing.code) await this.labeling.choose(this.classes[0]?.code ?? null);
  }

  async overlaps() {
    const { conflicts } = await call("GET", "/conflicts");
    const rows = conflicts.slice(0, 3).map((one) => {
      const button = make("button", { type: "button", textContent: `${one.classes.join(" and ")}: ${one.pixels} pixels` });
      button.addEventListener("click", () => this.labeling.training.places.fly(one.bounds));
      return make("li", {}, button);
    });
    const title = conflicts.length === 1 ? "One overlap of two classes" : `${conflicts.length} overlaps of classes`;
    $("conflicts").hidden = !rows.length;
    $("conflicts").replaceChildren(make("b", { textContent: title }), make("ul", {}, ...rows));
  }
}

export const moved = (now, before) => {
  const by = typeof before === "number" ? now - before : 0;
  return Math.abs(by) < 0.005 ? "" : ` (${by > 0 ? "+" : "−"}${Math.abs(by).toFixed(2)})`;
};

const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);
