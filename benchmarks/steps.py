"""Compare the step of `swath train` with eager float32: time, and scores at equal steps, on Dubai.

Usage: python benchmarks/steps.py DUBAI WORK WHAT [STEPS], where WHAT is

- speed: times every kind of step in turns, each in a process of its own
- run: trains `swath` and `eager` for three seeds, what is not done yet
- table: prints the tables of this machine

The eager step is that of a first script: float32, images as torch stores them by default, an
optimizer that is not fused. Each kind after it adds one thing, and the last is what `swath train`
does. `speed` wants a quiet machine. For `run`, both see the same batches; a busy machine does not
change its scores, which are those of tiles 3 and 6, held out for it; tiles 2, 5 and 8, the test
tiles of all other figures, are not touched. It can be stopped at any time. WORK holds the dataset
and the models; results are in benchmarks/results/steps.jsonl, one line a training, and
steps-speed.jsonl, one a turn.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from trials import Ledger, dubai, processor
from usage import arguments

import swath
from swath.data.dataset import Dataset
from swath.evaluation.scoring import score_samples
from swath.inference.memory import freed_memory_kept
from swath.inference.runtimes import cores
from swath.metrics.confusion import Scores
from swath.models.network import Network
from swath.training import full as module
from swath.training import task as stepping
from swath.training.batches.patches import Batch
from swath.training.export import TrainedNetwork, predictor_of
from swath.training.losses import RecipeLoss
from swath.training.recipes import RECIPES, Recipe
from swath.training.result import class_pixels
from swath.training.task import TrainingTask

RESULTS = Ledger(Path(__file__).parent / "results" / "steps.jsonl")
SPEEDS = Ledger(Path(__file__).parent / "results" / "steps-speed.jsonl")
STEPS = 150
SEEDS = (0, 1, 2)
LEARNERS = ("swath", "eager")
KINDS = {
    "eager": "eager float32, as torch stores images (NCHW)",
    "plain": "+ channels-last, fused AdamW",
    "kept": "+ freed memory is kept",
    "bf16": "+ bf16 autocast",
    "swath": "+ gradients of depthwise filters: **what `swath train` does**",
}
SIZES = ((16, 128), (4, 256), (16, 256))
ROUNDS, TIMED = 5, 4


class Eager(TrainingTask):
    """Takes the step as a first script would."""

    loss: RecipeLoss

    def __init__(self, network: Network, recipe: Recipe, counts: list[int]) -> None:
        super().__init__(network.to(memory_format=torch.contiguous_format), recipe, counts)  # type: ignore[call-overload]

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of a batch."""
        loss: torch.Tensor = self.loss(
            self.network(batch.recolored().pixels), batch.labels, batch.heights
        )
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Take the same groups in an optimizer that is not fused."""
        groups = [
            {k: v for k, v in g.items() if k != "fused"}
            for g in super().configure_optimizers().param_groups
        ]
        return torch.optim.AdamW(groups, lr=self._recipe.rate, foreach=False, fused=False)


@contextmanager
def first_script() -> Iterator[None]:
    """Let `swath train` take eager steps in float32."""
    with ExitStack() as changed:
        changed.enter_context(patch.object(module, "TrainingTask", Eager))
        changed.enter_context(patch.object(module, "has_bf16", lambda: False))
        changed.enter_context(patch.object(module, "freed_memory_kept", nullcontext))
        yield


def time_steps(dataset: Dataset, kind: str, batch: int, patch_size: int) -> float:
    """Return the seconds of a step of a kind, the median of a few after two."""
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    recipe = RECIPES["default"].but(batch=batch, patch=patch_size)
    options = swath.options.TrainOptions(dataset=dataset.folder, model=Path("none.swath"))
    network = (
        Network(module._spec(dataset, options, recipe))
        .train()
        .to(memory_format=torch.channels_last)
    )  # type: ignore[call-overload]
    training_task = (Eager if kind == "eager" else TrainingTask)(
        network, recipe, class_pixels(dataset)
    )
    optimizer = training_task.configure_optimizers()
    row = module._batches(dataset, recipe, 0)
    batches = [row.batch(n) for n in range(2 + TIMED)]
    seconds = []
    with ExitStack() as how:
        if kind in ("kept", "bf16", "swath"):
            how.enter_context(freed_memory_kept())
        if kind == "bf16":
            how.enter_context(patch.object(stepping, "FastDepthwise", nullcontext))
        for each in batches:
            begun = time.monotonic()
            with torch.autocast("cpu", torch.bfloat16, enabled=kind in ("bf16", "swath")):
                loss = training_task.training_step(each, 0)
            loss.backward()
            training_task.on_before_optimizer_step(optimizer)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.monotonic() - begun)
    return statistics.median(seconds[2:])


def speed(dubai_images: Path, work: Path) -> None:
    """Time every kind at every size in turns, what is not done yet."""
    done = {(r["machine"], r["turn"], r["batch"], r["patch"], r["kind"]) for r in SPEEDS.rows()}
    for turn in range(ROUNDS):
        for batch, size in SIZES:
            for kind in KINDS:
                if (processor(), turn, batch, size, kind) in done:
                    continue
                command = [
                    sys.executable,
                    __file__,
                    str(dubai_images),
                    str(work),
                    "step",
                    kind,
                    str(batch),
                    str(size),
                ]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                line = {
                    "machine": processor(),
                    "threads": cores(),
                    "torch": torch.__version__,
                    "turn": turn,
                    "kind": kind,
                }
                SPEEDS.add(line | {"batch": batch, "patch": size, "seconds": float(said)})


def run(dataset: Path, work: Path, steps: int) -> None:
    """Train and score what is missing."""
    done = {(r["kind"], r["seed"], r["steps"], r["machine"]) for r in RESULTS.rows()}
    for seed in SEEDS:
        for kind in LEARNERS:
            if (kind, seed, steps, processor()) in done:
                continue
            scored: list[float] = []

            def score_only(
                _: Any, opened: Dataset, training_task: TrainedNetwork, into: list[float] = scored
            ) -> Any:
                """Score in place of packing."""
                matrices = score_samples(
                    opened, opened.manifest.of("val"), predictor_of(training_task.network, opened)
                )
                into.append(
                    float(Scores.of(np.sum([matrix for _, matrix in matrices], axis=0)).miou)
                )
                return SimpleNamespace(parameters=0)

            with (
                first_script() if kind == "eager" else nullcontext(),
                patch.object(module, "pack_model", score_only),
            ):
                training_task = swath.train(
                    dataset,
                    work / f"{kind}-{seed}-{steps}.swath",
                    steps=steps,
                    seed=seed,
                    resume=True,
                )
            RESULTS.add(
                {
                    "machine": processor(),
                    "kind": kind,
                    "seed": seed,
                    "steps": steps,
                    "miou": scored[0],
                    "seconds": round(training_task.seconds),
                    "version": swath.__version__,
                    "torch": torch.__version__,
                }
            )


def tables(steps: int) -> str:
    """Return speeds and scores on this machine as Markdown."""
    lines = [
        "| a step | " + " | ".join(f"{b} of {p}x{p}" for b, p in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    speeds = [r for r in SPEEDS.rows() if r["machine"] == processor()]
    for kind, name in KINDS.items():
        cells = []
        for batch, size in SIZES:
            mid, first = (
                statistics.median(
                    r["seconds"]
                    for r in speeds
                    if (r["kind"], r["batch"], r["patch"]) == (k, batch, size)
                )
                for k in (kind, "eager")
            )
            cells.append(
                f"{first / mid:.2f} ({1000 * mid:.0f} ms, "
                f"{batch * size**2 / mid / 1e6:.2f} Mpixel/s)"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| | " + " | ".join(f"seed {s}" for s in SEEDS) + " | mean |",
        "|---" * (len(SEEDS) + 2) + "|",
    ]
    found = {
        (r["kind"], r["seed"]): r["miou"]
        for r in RESULTS.rows()
        if (r["steps"], r["machine"]) == (steps, processor())
    }
    for kind in LEARNERS:
        mious = [found.get((kind, seed), math.nan) for seed in SEEDS]
        lines.append(
            f"| {kind} | " + " | ".join(f"{m:.3f}" for m in (*mious, statistics.mean(mious))) + " |"
        )
    return "\n".join(lines)


def main(dubai_images: str, work: str, what: str, *more: str) -> None:
    """Do one of the things."""
    Path(work).mkdir(parents=True, exist_ok=True)
    dataset = dubai(Path(dubai_images), Path(work) / "dataset", "Tile 3,Tile 6")
    if what == "speed":
        speed(Path(dubai_images), Path(work))
    elif what == "step":
        sys.stdout.write(f"{time_steps(Dataset(dataset), more[0], int(more[1]), int(more[2]))}\n")
    elif what == "run":
        run(dataset, Path(work), int(*more or [STEPS]))
    else:
        sys.stdout.write(tables(int(*more or [STEPS])) + "\n")


if __name__ == "__main__":
    main(*arguments(__doc__, 3, 6))
