// Finish: the model, the map and the polygons as files, and the full recipe in the background.

import { call } from "/static/label-api.js";
import { $, choose, make, toast } from "/static/panel.js";

const TITLES = { finish: "Writing the model, the map and the polygons", longer: "Training longer" };

export class Finish {
  constructor(labeling) {
    this.labeling = labeling;
    const start = (kind) => async () => {
      await labeling.queue.run();
      if (labeling.queue.items.length) { labeling.showUnsaved(); return; }
      this.begun = kind;
      await labeling.training.take(await call("POST", `/${kind}`, {}));
      labeling.training.poll();
    };
    this.acts = { finish: start("finish"), longer: start("longer"), "job-cancel": async () => labeling.training.take(await call("POST", "/job/cancel", {})) };
  }

  show(job, before) {
    const running = job?.state === "running";
    $("job").hidden = !running && job?.state !== "failed";
    for (const act of ["finish", "longer"]) document.querySelector(`[data-act=${act}]`).disabled = running || !this.labeling.training.status?.round;
    if (!job) return;
    $("job").querySelector("button").hidden = $("job").querySelector("progress").hidden = !running;
    const reason = job.error?.detail ?? job.error ?? "";
    const step = job.steps ? ` (${job.steps.join(" of ")})` : "";
    const text = running ? `${TITLES[job.kind]}: ${job.step}${step}, ${time(job.seconds)}` : `${TITLES[job.kind]} failed. ${reason}`;
    $("job").querySelector("p").textContent = text;
    $("job").querySelector("progress").value = job.progress ?? 0;
    const ended = job.state === "done" && (before?.state === "running" || this.begun === job.kind);
    if (!ended || before?.state === "done") return;
    this.begun = null;
    this.labeling.guard(() => (job.kind === "finish" ? this.done(job) : this.compare(job)));
  }

  async done(job) {
    const { commands } = await call("GET", "/commands");
    const files = job.files.map((name) => make("li", {}, make("code", { textContent: name }), copier(name)));
    $("done-files").replaceChildren(...files);
    const text = commands.join("\n");
    $("done-commands").replaceChildren(make("pre", {}, make("code", { textContent: text })), copier(text));
    $("done-score").textContent = typeof job.score === "number" ? `Cross-validated mIoU ${job.score.toFixed(2)}, from ${this.labeling.features.size} labels.` : "";
    await this.labeling.page.refresh();
    this.labeling.showBands();
    $("done").showModal();
  }

  // Show the longer trained map beside the quick one.
  async compare(job) {
    const { page, info } = this.labeling;
    await page.refresh(job.layers);
    this.labeling.showBands();
    const [name] = job.layers;
    if (!page.state.layers.some((one) => one.name === name)) { toast(`The map ${name} is written.`); return; }
    page.change(() => {
      page.state.swipe = { left: info.layers.map, right: name, at: 0.62 };
      choose(page.state, "right", name);
      choose(page.state, "left", info.layers.map);
    });
    const quick = this.labeling.training.status?.score?.miou;
    const scores = typeof job.score === "number" ? ` mIoU ${job.score.toFixed(2)}${typeof quick === "number" ? `, quick ${quick.toFixed(2)}` : ""}.` : "";
    toast(`Left: the quick map; right: trained longer.${scores}`);
  }
}

function copier(text) {
  const button = make("button", { type: "button", textContent: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy";
    }
  });
  return button;
}

const time = (seconds) => (seconds >= 60 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : `${Math.round(seconds ?? 0)} s`);
