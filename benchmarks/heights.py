"""Say what learning heights costs the classes, on a folder of the contest's shape.

Usage: python benchmarks/heights.py CONTEST WORK run     trains with and without, and scores what is
not in the results yet
       python benchmarks/heights.py CONTEST WORK table   prints the table

CONTEST holds `*_RGB.tif`, `*_CLS.tif` and `*_AGL.tif`; ground tile JAX_008 is held out, all else is
learnt. Steps and seeds are equal for both, so a busy machine changes nothing, and it can be stopped
at any time. `run N` trains N at once. WORK holds the dataset and the models; results are in
benchmarks/results/heights.jsonl, one line a training. Lines with another weight of heights than the
recipe's are of recipes before.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trials import Ledger, at_once, processor
from usage import arguments

import swath
from swath.training.recipes import RECIPES

RESULTS = Ledger(Path(__file__).parent / "results" / "heights.jsonl")
STEPS = 600
SEEDS = (0, 1, 2, 3, 4)
HELD_OUT = "JAX_008"
ALONE, WEIGHT = 0.0, RECIPES["default"].height_weight
"""Weight of the heights where there are none, and the recipe's."""


def run(contest: Path, work: Path, jobs: int) -> None:
    """Train and score what is missing, with and without heights in turns."""
    dataset = work / "dataset"
    if not (dataset / "dataset.json").exists():
        swath.prepare(contest, dataset, test=HELD_OUT, val="none")
    every, done = [(seed, weight) for seed in SEEDS for weight in (ALONE, WEIGHT)], found()
    for line in at_once(
        jobs, partial(result, dataset, work), [one for one in every if one not in done]
    ):
        RESULTS.add(line)


def found() -> dict[tuple[int, float], dict[str, Any]]:
    """Return the lines so far, by seed and weight of the heights."""
    return {(r["seed"], r["weight"]): r for r in RESULTS.rows() if r["steps"] == STEPS}


def result(dataset: Path, work: Path, one: tuple[int, float]) -> dict[str, Any]:
    """Train and score with heights or without; return the line."""
    seed, weight = one
    model = work / f"{'with' if weight else 'without'}-{seed}.swath"
    swath.train(dataset, model, steps=STEPS, seed=seed, heights=weight > ALONE, resume=True)
    scores = swath.evaluate(model, dataset)
    return {
        "seed": seed,
        "weight": weight,
        "steps": STEPS,
        "machine": processor(),
        "version": swath.__version__,
        "miou": scores.miou,
        "miou3": scores.miou3,
        "iou": {c.name: c.iou for c in scores.classes},
    }


def table() -> str:
    """Return the results as Markdown: each seed's mIoU by the weight of heights, mean changes."""
    rows = found()
    heads = [f"{STEPS} steps", *(f"seed {seed}" for seed in SEEDS), "mean", "difference"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for weight in sorted({weight for _, weight in rows}):
        of = {seed: rows[seed, weight]["miou"] for seed in SEEDS if (seed, weight) in rows}
        cells = [f"with heights, weight {weight:g}" if weight else "classes alone"]
        cells += [f"{of[seed]:.3f}" if seed in of else "" for seed in SEEDS] + [
            f"{np.mean(list(of.values())):.3f}"
        ]
        change = np.mean(
            [of[seed] - rows[seed, ALONE]["miou"] for seed in of if (seed, ALONE) in rows]
        )
        lines.append(f"| {' | '.join([*cells, f'{change:+.3f}' if weight else ''])} |")
    return "\n".join(lines)


def main(contest: str, work: str, what: str, jobs: str = "1") -> None:
    """Do one of the two things."""
    if what == "run":
        Path(work).mkdir(parents=True, exist_ok=True)
        run(Path(contest), Path(work), int(jobs))
    else:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main(*arguments(__doc__, 3, 4))
