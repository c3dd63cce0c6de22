"""Compare recipes at equal minutes on the Dubai images, and write reports/recipes.md's tables.

Usage: python benchmarks/recipes.py DUBAI WORK WHAT [ARGUMENT ...], where WHAT is

- rates: measures, on a quiet machine, the steps that fit into the minutes
- run [ROW ...]: trains and scores what is not in the results yet
- table: writes tables of what is there to the end of reports/recipes.md
- pictures [NAME=MODEL ...]: writes reports/recipes.png; of the first seeds if none is given
- shares [CONTEST]: writes reports/shares.png; CONTEST is a folder of the contest's shape

A training takes the steps that fit into eight minutes of two cores when nothing else runs; so a
busy machine slows the benchmark down and does not change it, and it can be stopped at any time.
--jobs N trains N at once; the steps stay the same. WORK holds the dataset and the models. Results
are in benchmarks/results/recipes.jsonl, one line a training, speeds in
benchmarks/results/recipes-rates.json.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recipe_pictures import draw_maps, draw_shares
from trials import (
    PRETRAINING,
    REPORTS,
    Ledger,
    at_once,
    dubai,
    processor,
    seconds_a_step,
    steps_in,
    write_end,
)

import swath
from swath.data.dataset import Dataset
from swath.evaluation.scoring import score_samples
from swath.metrics.confusion import Scores
from swath.models.model import Model

RESULTS = Ledger(Path(__file__).parent / "results" / "recipes.jsonl")
RATES = Path(__file__).parent / "results" / "recipes-rates.json"
MINUTES = 8
SEEDS = (0, 1, 2)
MARK = "<!-- What follows is written by `benchmarks/recipes.py DUBAI WORK table`. -->\n"
EXAMPLES = (
    "Tile 1/image_part_009",
    "Tile 4/image_part_005",
    "Tile 2/image_part_005",
    "Tile 8/image_part_007",
)
"""Two training and two test images with all classes, chosen before any map was made."""

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
    "default, cross-entropy alone": {"loss": "ce"},
    "default, masks per class": {"heads": "per-class"},
}
"""What is compared; ten epochs, and the rows after them (one option each), have one seed."""

EQUAL, ONE_SEED = list(ROWS)[1:5], list(ROWS)[5:]


def measure(dataset: Path, work: Path) -> None:
    """Count the steps in the minutes, by the fastest of nine stretches of each network."""
    rates: dict[str, Any] = {"machine": processor(), "threads": torch.get_num_threads()}
    for network, options, steps in (("default", {}, 4), ("classic", CLASSIC, 1)):
        seconds = seconds_a_step(dataset, work, steps, options)
        minutes = MINUTES - (PRETRAINING if network == "default" else 0)
        rates[network] = {"seconds_a_step": seconds, "steps": steps_in(minutes, seconds)}
    RATES.write_text(json.dumps(rates, indent=1) + "\n")


def model_of(row: str, seed: int, work: Path) -> Path:
    """Return where a row's model lies."""
    return work / f"{row.replace(' ', '-').replace(',', '')}-{seed}.swath"


def run(dataset: Path, work: Path, rows: list[str], jobs: int) -> None:
    """Train and score what is missing, one seed of every row before the next."""
    done = {(r["row"], r["seed"]) for r in RESULTS.rows()}
    every = [(row, seed) for seed in SEEDS for row in rows if not (seed and row in ONE_SEED)]
    for line in at_once(
        jobs, partial(result, dataset, work), [one for one in every if one not in done]
    ):
        RESULTS.add(line)


def result(dataset: Path, work: Path, one: tuple[str, int]) -> dict[str, Any]:
    """Train and score one row with one seed; return its line."""
    row, seed = one
    options = dict(ROWS[row])
    if "epochs" not in options:
        options["steps"] = json.loads(RATES.read_text())[options.get("recipe", "default")]["steps"]
    model = model_of(row, seed, work)
    started = time.strftime("%Y-%m-%d")
    taught = swath.train(dataset, model, seed=seed, resume=True, **options)
    data, engine = Dataset(dataset), Model(model).predictor
    confusion = {
        split: np.sum(
            [matrix for _, matrix in score_samples(data, data.manifest.of(split), engine)], axis=0
        )
        for split in ("test", "train")
    }
    test, train = Scores.of(confusion["test"]), Scores.of(confusion["train"])
    return {
        "row": row,
        "seed": seed,
        "day": started,
        "machine": processor(),
        "version": swath.__version__,
        "steps": taught.steps,
        "seconds": round(taught.seconds),
        "miou": float(test.miou),
        "accuracy": float(test.accuracy),
        "iou": {
            n: None if np.isnan(v) else float(v)
            for n, v in zip(data.manifest.legend.names, test.iou, strict=True)
        },
        "confusion": {split: matrix.tolist() for split, matrix in confusion.items()},
        "train_miou": float(train.miou),
    }


def tables() -> str:
    """Return the results as Markdown: scores, class accuracies, kappa, two confusions."""
    results = RESULTS.rows()
    found = {row: [r for r in results if r["row"] == row] for row in ROWS}
    found = {row: of for row, of in found.items() if of}
    if not found:
        return "Nothing is trained yet.\n"
    names = list(next(iter(found.values()))[0]["iou"])
    parts = [_ratio(found), _scores(found, names), _accuracies(found, names)]
    parts += [
        _confusion(row, found[row], names) for row in ("default", "classic, grid") if row in found
    ]
    if (REPORTS / "recipes.png").exists():
        parts.insert(
            2,
            "![Image, reference labels and maps of two training and two test images](recipes.png)",
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _ratio(found: dict[str, list[dict[str, Any]]]) -> str:
    """Say how many times the classic recipe's mIoU the default recipe has."""
    if "default" not in found:
        return ""
    means = {row: float(np.mean([r["miou"] for r in of])) for row, of in found.items()}
    ratios = [
        f"{means['default'] / means[row]:.2f} times that of `{row}`"
        for row in EQUAL
        if row in means
    ]
    return f"At equal minutes the default recipe's mIoU is {', '.join(ratios)}." if ratios else ""


def _scores(found: dict[str, list[dict[str, Any]]], names: list[str]) -> str:
    """Return the table of test scores: mean and spread over seeds, and IoU of each class."""
    lines = [
        f"| recipe | seeds | steps | mIoU | spread | {' | '.join(names)} |",
        "|---" * (5 + len(names)) + "|",
    ]
    for row, of in found.items():
        mious = [r["miou"] for r in of]
        ious = [np.mean([r["iou"][n] or 0.0 for r in of]) for n in names]
        spread = f"{max(mious) - min(mious):.3f}" if len(of) > 1 else ""
        lines.append(
            f"| {row} | {len(of)} | {of[0]['steps']} | **{np.mean(mious):.3f}** | {spread} | "
            + " | ".join(f"{v:.2f}" for v in ious)
            + " |"
        )
    return (
        "**IoU on the test tiles**, mean over seeds; "
        "spread is the largest mIoU minus the smallest:\n\n" + "\n".join(lines)
    )


def _accuracies(found: dict[str, list[dict[str, Any]]], names: list[str]) -> str:
    """Return the table of recalls and kappa on both splits."""
    lines = [
        f"| recipe | kappa | all pixels | {' | '.join(names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for row, of in found.items():
        both = []
        for split in ("train", "test"):
            scores = Scores.of(np.array([r["confusion"][split] for r in of]))
            both.append(
                np.nanmean(np.column_stack([scores.kappa, scores.accuracy, scores.recall]), axis=0)
            )
        lines.append(
            f"| {row} | "
            + " | ".join(f"{train:.2f} / {test:.2f}" for train, test in zip(*both, strict=True))
            + " |"
        )
    return (
        "**Cohen's kappa, and accuracy of each class** "
        "(the share of its true pixels that are mapped as it), "
        "training tiles / test tiles, mean over seeds:\n\n" + "\n".join(lines)
    )


def _confusion(row: str, of: list[dict[str, Any]], names: list[str]) -> str:
    """Return what the pixels of each true class are mapped as, percent, on both splits."""
    lines = [
        f"| true class | {' | '.join(f'as {n}' for n in names)} |",
        "|---" * (1 + len(names)) + "|",
    ]
    shares = []
    for split in ("train", "test"):
        matrix = np.sum([r["confusion"][split] for r in of], axis=0)
        shares.append(100 * matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True)))
    for name, train, test in zip(names, *shares, strict=True):
        lines.append(
            f"| {name} | "
            + " | ".join(f"{a:.0f} / {b:.0f}" for a, b in zip(train, test, strict=True))
            + " |"
        )
    return (
        f"**Confusion, `{row}`**: percent of a true class's pixels (rows) "
        "that are mapped as each class, training tiles / test "
        "tiles, all seeds together:\n\n" + "\n".join(lines)
    )


def pictures(dataset: Dataset, work: Path, given: list[str]) -> None:
    """Draw image, truth and maps of the examples."""
    first = [f"{row}={model_of(row, SEEDS[0], work)}" for row in ("default", "classic, grid")]
    models = dict(word.split("=", 1) for word in given or first)
    draw_maps(
        dataset,
        EXAMPLES,
        {name: Path(model) for name, model in models.items()},
        REPORTS / "recipes.png",
    )


def shares(dataset: Dataset, work: Path, contest: list[str]) -> None:
    """Draw shares of classes, by split, and by city for a folder of the contest's shape."""
    splits = {"train": "training", "test": "test", "val": "validation"}
    charts = [("Dubai, by split", dataset, lambda sample: splits[sample.split])]
    if contest:
        if not (work / "contest" / "dataset.json").exists():
            swath.prepare(contest[0], work / "contest", heights=False)
        charts.append(
            (
                "A folder of the contest's shape, by city",
                Dataset(work / "contest"),
                lambda sample: sample.group[:3],
            )
        )
    draw_shares(charts, REPORTS / "shares.png")


def main() -> None:
    """Do one of the five things."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dubai", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("do", choices=["rates", "run", "table", "pictures", "shares"])
    parser.add_argument("more", nargs="*", metavar="ROW|NAME=MODEL|CONTEST")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    given = parser.parse_intermixed_args()
    given.work.mkdir(parents=True, exist_ok=True)
    dataset = dubai(given.dubai, given.work / "dataset")
    if given.do == "rates":
        measure(dataset, given.work)
    elif given.do == "run":
        run(dataset, given.work, given.more or list(ROWS), given.jobs)
    elif given.do == "table":
        write_end(REPORTS / "recipes.md", MARK, tables())
    else:
        {"pictures": pictures, "shares": shares}[given.do](Dataset(dataset), given.work, given.more)


if __name__ == "__main__":
    main()
