"""Say what learning heights costs the classes, on a folder of the contest's shape.

Usage: python benchmarks/heights.py CONTEST WORK run     trains with and without, and scores what is not in the results yet
       python benchmarks/heights.py CONTEST WORK table   prints the table

CONTEST holds `*_RGB.tif`, `*_CLS.tif` and `*_AGL.tif`; ground tile JAX_008 is held out, all else is learnt. Steps and seeds are
equal for both, so a busy machine changes nothing, and it can be stopped at any time. `run N` trains N at once, for a GPU. WORK
holds the dataset and the models; results are in benchmarks/results/heights.jsonl, one line a training.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trials import Ledger, at_once, processor

import swath

RESULTS = Ledger(Path(__file__).parent / "results" / "heights.jsonl")
STEPS = 600
SEEDS = (0, 1, 2, 3, 4)
HELD_OUT = "JAX_008"


def run(contest: Path, work: Path, jobs: int) -> None:
    """Train and score what is missing, with and without heights in turns."""
    dataset = work / "dataset"
    if not (dataset / "dataset.json").exists():
        swath.prepare(contest, dataset, test=HELD_OUT, val="none")
    done = {(r["seed"], r["heights"]) for r in RESULTS.rows() if r["steps"] == STEPS}
    every = [(seed, heights) for seed in SEEDS for heights in (False, True)]
    for line in at_once(jobs, partial(result, dataset, work), [one for one in every if one not in done]):
        RESULTS.add(line)


def result(dataset: Path, work: Path, one: tuple[int, bool]) -> dict[str, Any]:
    """Train and score with or without heights; return the line."""
    seed, heights = one
    model = work / f"{'with' if heights else 'without'}-{seed}.swath"
    swath.train(dataset, model, steps=STEPS, seed=seed, heights=heights, resume=True)
    scores = swath.evaluate(model, dataset)
    return {
        "seed": seed, "heights": heights, "steps": STEPS, "machine": processor(), "version": swath.__version__,
        "miou": scores.miou, "miou3": scores.miou3, "iou": {c.name: c.iou for c in scores.classes},
    }  # fmt: skip


def table() -> str:
    """Return the results as Markdown: each seed's mIoU, the mean, and the difference that heights make."""
    found = {(r["seed"], r["heights"]): r for r in RESULTS.rows() if r["steps"] == STEPS}
    seeds = [s for s in SEEDS if {(s, False), (s, True)} <= set(found)]
    lines = [f"| {STEPS} steps | {' | '.join(f'seed {s}' for s in seeds)} | mean |", "|---" * (len(seeds) + 2) + "|"]
    without, with_ = (np.array([found[s, heights]["miou"] for s in seeds]) for heights in (False, True))
    for name, values in (("classes alone", without), ("classes and heights", with_), ("difference", with_ - without)):
        sign = "+" if name == "difference" else ""
        lines.append(f"| {name} | {' | '.join(f'{v:{sign}.3f}' for v in values)} | {values.mean():{sign}.3f} |")
    return "\n".join(lines)


def main(contest: str, work: str, what: str, jobs: str = "1") -> None:
    """Do one of the two things."""
    if what == "run":
        Path(work).mkdir(parents=True, exist_ok=True)
        run(Path(contest), Path(work), int(jobs))
    else:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
