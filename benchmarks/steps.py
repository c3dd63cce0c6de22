"""Hold the step that `swath train` takes against plain eager float32, at equal steps, on the Dubai images.

Usage: python benchmarks/steps.py DUBAI WORK run [STEPS]   trains both for three seeds; scores what is not in the results yet
       python benchmarks/steps.py DUBAI WORK table [STEPS] prints the table

Both see the same batches; the eager step stores images as torch does by default, and its optimiser is not fused. Scores are
those of tile 3, which is held out for it; tiles 2, 5 and 8, the test tiles of all other figures, are not touched. A busy
machine slows the benchmark down and does not change its scores, and it can be stopped at any time. WORK holds the dataset and
the models; results are in benchmarks/results/steps.jsonl, one line a training.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import swath
from swath.dataset import Dataset
from swath.losses import Loss
from swath.network import Network
from swath.packing import Taught, engine_of
from swath.patches import Batch
from swath.recipes import Recipe
from swath.scores import Scores
from swath.scoring import score
from swath.teacher import Teacher
from swath.verbs import train as module

RESULTS = Path(__file__).parent / "results" / "steps.jsonl"
STEPS = 30
SEEDS = (0, 1, 2)
KINDS = ("fast", "eager")


class Eager(Teacher):
    """Takes the step as a first script would."""

    loss: Loss

    def __init__(self, network: Network, recipe: Recipe, counts: list[int]) -> None:
        super().__init__(network.to(memory_format=torch.contiguous_format), recipe, counts)  # type: ignore[call-overload]

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of a batch."""
        loss: torch.Tensor = self.loss(self.network(batch.recoloured().pixels), batch.labels, batch.heights)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Take the same groups in an optimiser that is not fused."""
        groups = [{k: v for k, v in g.items() if k != "fused"} for g in super().configure_optimizers().param_groups]
        return torch.optim.AdamW(groups, lr=self._recipe.rate, foreach=False, fused=False)


def results() -> list[dict[str, Any]]:
    """Return all results so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(dubai: Path, work: Path, steps: int) -> None:
    """Train and score what is missing."""
    dataset = work / "dataset"
    if not (dataset / "dataset.json").exists():
        classes = dubai.parent / "dubai-classes.yaml"
        swath.prepare(dubai, dataset, classes=classes, test="Tile 2,Tile 5,Tile 8", val="Tile 3")
    done = {(r["kind"], r["seed"], r["steps"]) for r in results()}
    for seed in SEEDS:
        for kind in KINDS:
            if (kind, seed, steps) in done:
                continue
            scored: list[float] = []

            def score_only(_: Any, opened: Dataset, taught: Taught, into: list[float] = scored) -> Any:
                """Score in place of packing."""
                matrices = score(opened, opened.manifest.of("val"), engine_of(taught.network, opened))
                into.append(float(Scores.of(np.sum([matrix for _, matrix in matrices], axis=0)).miou))
                return SimpleNamespace(parameters=0)

            teacher = Eager if kind == "eager" else Teacher
            with patch.object(module, "Teacher", teacher), patch.object(module, "pack_model", score_only):
                taught = swath.train(dataset, work / f"{kind}-{seed}.swath", steps=steps, seed=seed, resume=True)
            line = {
                "kind": kind, "seed": seed, "steps": steps, "miou": scored[0],
                "seconds": round(taught.seconds), "version": swath.__version__, "torch": torch.__version__,
            }  # fmt: skip
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")


def table(steps: int) -> str:
    """Return the scores of both, seed by seed, as Markdown."""
    found = {(r["kind"], r["seed"]): r["miou"] for r in results() if r["steps"] == steps}
    lines = ["| | " + " | ".join(f"seed {s}" for s in SEEDS) + " | mean |", "|---" * (len(SEEDS) + 2) + "|"]
    for kind in KINDS:
        mious = [found[kind, seed] for seed in SEEDS if (kind, seed) in found]
        lines.append(f"| {kind} | " + " | ".join(f"{m:.3f}" for m in mious) + f" | {statistics.mean(mious):.3f} |")
    return "\n".join(lines)


def main(dubai: str, work: str, what: str, steps: str = str(STEPS)) -> None:
    """Do one of the two things."""
    Path(work).mkdir(parents=True, exist_ok=True)
    if what == "run":
        run(Path(dubai), Path(work), int(steps))
    else:
        sys.stdout.write(table(int(steps)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
