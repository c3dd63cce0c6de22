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
    const compared = job?.kind === "longer" && job.layers.length > 0;
    $("job").hidden = !running && job?.state !== "failed" && !compared;
    for (const act of ["finish", "longer"]) document.querySelector(`[data-act=${act}]`).disabled = running || !this.labeling.training.status?.round;
    if (!job) return;
    $("job").querySelector("button").hidden = $("job").querySelector("progress").hidden = !running;
    const reason = job.error?.detail ?? job.error ?? "";
    const step = job.steps ? ` (${job.steps.join(" of ")})` : "";
    const text = running ? `${TITLES[job.kind]}: ${job.step}${step}, ${time(job.seconds)}` : job.state === "failed" ? `${TITLES[job.kind]} failed. ${reason}` : this.scores(job);
    if ($("job").querySelector("p").textContent !== text) $("job").querySelector("p").textContent = text;
    $("job").querySelector("progress").value = job.progress ?? 0;
    this.follow(job, before);
  }

  // Show what a job has made, once: files when it has ended, a map as soon as it is there.
  follow(job, before) {
    const seen = before?.state === "running" || this.begun === job.kind;
    const ready = (one) => one?.kind === job.kind && (job.kind === "finish" ? one.state === "done" : one.layers.length > 0);
    if (!seen || !ready(job) || ready(before)) return;
    this.begun = null;
    this.labeling.guard(() => (job.kind === "finish" ? this.done(job) : this.compare(job)));
  }

  scores(job) {
    const quick = this.labeling.training.status?.score;
    const own = typeof job.score === "number" ? `mIoU ${job.score.toFixed(2)} on labels held out by place, in two parts` : `no score${job.unscored ? `: ${job.unscored}` : ""}`;
    return `Trained longer: ${own}${quick ? `; the quick map, ${quick.miou.toFixed(2)} in ${quick.folds} folds` : ""}.`;
  }

  async done(job) {
    const { commands } = await call("GET", "/commands");
    const files = job.files.map((name) => make("li", {}, make("code", { textContent: name }), copier(name)));
    $("done-files").replaceChildren(...files);
    const text = commands.join("\n");
    $("done-commands").replaceChildren(make("pre", {}, make("code", { textContent: text })), copier(text));
    const score = typeof job.score === "number" ? `Cross-validated mIoU ${job.score.toFixed(2)}, from ${this.labeling.features.size} labels.` : job.unscored ? `No score: ${job.unscored}.` : "";
    const quick = this.labeling.training.status?.features;
    const other = job.features && quick && quick !== job.features ? ` The map of the page is of ${quick}; held-out labels chose ${job.features} for this one, so both differ.` : "";
    $("done-score").textContent = score + other;
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
    toast("Left: the quick map; right: trained longer. Its score follows.");
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
