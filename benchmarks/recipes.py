"""Compare recipes at equal minutes on the Dubai images, and write docs/recipes.md's table.

Usage: python benchmarks/recipes.py DUBAI WORK rates           measures, on a quiet machine, how many steps fit into the minutes
       python benchmarks/recipes.py DUBAI WORK run [ROW ...]   trains and scores what is not in the results yet
       python benchmarks/recipes.py DUBAI WORK table           prints the table

A training takes the steps that fit into eight minutes of this machine when nothing else runs; so a busy machine slows the
benchmark down and does not change it, and it can be stopped at any time. WORK holds the dataset and the models. Results are in
benchmarks/results/recipes.jsonl, one line a training, speeds in benchmarks/results/recipes-rates.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import swath
from swath.verbs.train import has_bf16

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"
RATES = Path(__file__).parent / "results" / "recipes-rates.json"
MINUTES = 8
SEEDS = (0, 1, 2)
TEST = "Tile 2,Tile 5,Tile 8"

BALANCE: dict[str, Any] = {"balance": 0.5, "class_weights": "effective", "loss": "ce+dice"}
CLASSIC: dict[str, Any] = {"recipe": "classic"}
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "classic, corner": CLASSIC | {"classic_crops": "corner:16"},
    "classic, grid": CLASSIC,
    "classic, grid + balance": CLASSIC | BALANCE,
    "classic, grid + balance + masks per class": CLASSIC | BALANCE | {"heads": "per-class"},
    "classic, grid, ten epochs": CLASSIC | {"epochs": 10},
    "default, all pixels alike": {"balance": 1.0},
    "default, all classes alike": {"balance": 0.0},
    "default, weights by effective number": {"class_weights": "effective"},
    "default, weights by inverse square root": {"class_weights": "inverse-sqrt"},
    "default, focal + Dice": {"loss": "focal+dice"},
    "default, cross-entropy + Lovász": {"loss": "ce+lovasz"},
    "default, cross-entropy alone": {"loss": "ce"},
    "default, masks per class": {"heads": "per-class"},
}
"""What is compared; rows after the ten epochs measure one option each, with one seed."""

ONE_SEED = list(ROWS)[5:]


def prepared(dubai: Path, work: Path) -> Path:
    """Make the dataset, once."""
    dataset = work / "dataset"
    if not (dataset / "dataset.json").exists():
        swath.prepare(dubai, dataset, classes=dubai.parent / "dubai-classes.yaml", test=TEST, val="none")
    return dataset


def measure(dataset: Path, work: Path) -> None:
    """Count the steps that fit into the minutes: three short trainings of each network, the median of their speeds."""
    rates: dict[str, Any] = {"machine": _processor(), "threads": torch.get_num_threads()}
    for network, options, steps in (("default", {}, 60), ("classic", CLASSIC, 2)):
        seconds = []
        for _ in range(3):
            done = swath.train(dataset, work / "rate.swath", steps=steps, **options)
            seconds.append(done.seconds / done.steps)
        rates[network] = {"seconds_a_step": seconds, "steps": round(60 * MINUTES / statistics.median(seconds))}
    RATES.write_text(json.dumps(rates, indent=1) + "\n")


def _processor() -> str:
    """Return the processor's name and what it has for bfloat16."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else platform.processor()
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), text)
    return f"{name}, {'bf16' if has_bf16() else 'no bf16'}"


def results() -> list[dict[str, Any]]:
    """Return all results so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(dataset: Path, work: Path, rows: list[str]) -> None:
    """Train and score what is missing, one seed of every row before the next."""
    rates = json.loads(RATES.read_text())
    for seed in SEEDS:
        for row in rows:
            done = {(r["row"], r["seed"]) for r in results()}
            if (row, seed) in done or (seed and row in ONE_SEED):
                continue
            options = dict(ROWS[row])
            if "epochs" not in options:
                options["steps"] = rates["classic" if options.get("recipe") == "classic" else "default"]["steps"]
            model = work / f"{row.replace(' ', '-').replace(',', '')}-{seed}.swath"
            started = time.strftime("%Y-%m-%d")
            taught = swath.train(dataset, model, seed=seed, resume=True, **options)
            scores = {split: swath.evaluate(model, dataset, split=split).model_dump() for split in ("test", "train")}
            line = {
                "row": row, "seed": seed, "day": started, "version": swath.__version__, "steps": taught.steps,
                "seconds": round(taught.seconds), "miou": scores["test"]["miou"], "accuracy": scores["test"]["accuracy"],
                "iou": {c["name"]: c["iou"] for c in scores["test"]["classes"]},
                "confusion": {split: s["confusion"] for split, s in scores.items()},
                "train_miou": scores["train"]["miou"],
            }  # fmt: skip
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")


def table() -> str:
    """Return the results as Markdown: mean and spread (largest minus smallest) over seeds, and IoU of each class."""
    found = results()
    names = list(found[0]["iou"])
    lines = [f"| recipe | seeds | steps | mIoU | spread | {' | '.join(names)} |", "|---" * (5 + len(names)) + "|"]
    for row in ROWS:
        of = [r for r in found if r["row"] == row]
        if of:
            mious = [r["miou"] for r in of]
            ious = [np.mean([r["iou"][n] or 0.0 for r in of]) for n in names]
            lines.append(
                f"| {row} | {len(of)} | {of[0]['steps']} | **{np.mean(mious):.3f}** | {max(mious) - min(mious):.3f} | "
                + " | ".join(f"{v:.2f}" for v in ious) + " |"
            )  # fmt: skip
    return "\n".join(lines)


def main(dubai: str, work: str, what: str, *rows: str) -> None:
    """Do one of the three things."""
    folder = Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    dataset = prepared(Path(dubai), folder)
    if what == "rates":
        measure(dataset, folder)
    elif what == "run":
        run(dataset, folder, list(rows) or list(ROWS))
    else:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
