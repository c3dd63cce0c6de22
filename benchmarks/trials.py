"""Shared by benchmarks that train: results as JSON lines, measured speeds, the Dubai images."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import torch

import swath
from swath.inference.runtimes import cores
from swath.training.callbacks import TrainingClock
from swath.training.full import has_bf16
from swath.training.recipes import RECIPES

T = TypeVar("T")
R = TypeVar("R")

TEST = ("Tile 2", "Tile 5", "Tile 8")
"""The test tiles of all figures; nothing is tuned on them."""

COMPILED = 3
"""Steps after which a network is compiled, and steps take what they will take."""

PRETRAINING = 8 / 60
"""Minutes of the pixel branch's pre-training on a slow day, which a training's minutes include."""

REPORTS = Path(__file__).parent / "reports"


class Ledger:
    """Results, one line of JSON each, kept as they come.

    A line that a kill or a full disk cut off is no result: reading leaves it out, and adding takes
    it away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return all results so far."""
        return [json.loads(line) for line in self._whole().splitlines()]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a result."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole()
        with self.path.open("ab") as file:
            file.truncate(len(whole))
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole(self) -> bytes:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]


def dubai(images: Path, folder: Path, val: str = "none") -> Path:
    """Make the dataset of the Dubai images, once, with the test tiles and `val` held out."""
    if not (folder / "dataset.json").exists():
        swath.prepare(
            images,
            folder,
            classes=images.parent / "dubai-classes.yaml",
            test=",".join(TEST),
            val=val,
        )
    return folder


@contextmanager
def changed_recipe(settings: dict[str, Any]) -> Iterator[None]:
    """Change settings of the default recipe for a while; most have no option."""
    with patch.dict(RECIPES, default=RECIPES["default"].but(**settings)):
        yield


def at_once(jobs: int, do: Callable[[T], R], of: Iterable[T]) -> Iterator[R]:
    """Yield results as they come from so many processes that share the cores; 1 is this process.

    What fails does not stop the others.

    Raises:
        SystemExit: something failed.
    """
    if jobs == 1:
        yield from map(do, of)
        return
    failed = 0
    context, threads = multiprocessing.get_context("spawn"), max(1, cores() // jobs)
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        for future in as_completed([pool.submit(do, thing) for thing in of]):
            try:
                yield future.result()
            except Exception:  # noqa: BLE001 - of any training
                traceback.print_exc()
                failed += 1
    if failed:
        sys.exit(f"{failed} failed")


class _Enough(Exception):
    """The training has been timed."""


def seconds_a_step(dataset: Path, work: Path, steps: int, options: dict[str, Any]) -> list[float]:
    """Time nine stretches of so many steps in one training, after the network is compiled."""
    ends: list[float] = []
    step_ended = TrainingClock.on_train_batch_end

    def end(self: TrainingClock, *given: Any) -> None:
        step_ended(self, *given)
        ends.append(time.monotonic())
        if len(ends) == COMPILED + 9 * steps:
            raise _Enough

    with patch.object(TrainingClock, "on_train_batch_end", end), suppress(_Enough):
        swath.train(dataset, work / "rate.swath", steps=2 * (COMPILED + 9 * steps), **options)
    return [(b - a) / steps for a, b in itertools.pairwise(ends[COMPILED - 1 :: steps])]


def steps_in(minutes: float, seconds: list[float]) -> int:
    """Return the steps that fit into some minutes, by the fastest of measured stretches.

    Whoever shares the processor can only slow a stretch down: on rented machines by a third, for
    minutes.
    """
    return max(1, round(60 * minutes / min(seconds)))


def processor() -> str:
    """Return the name of the GPU, or the processor's and what it has for bfloat16."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    text = (
        Path("/proc/cpuinfo").read_text()
        if Path("/proc/cpuinfo").exists()
        else platform.processor()
    )
    name = next(
        (
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("model name")
        ),
        text,
    )
    return f"{name}, {'bf16' if has_bf16() else 'no bf16'}"


def write_end(page: Path, mark: str, text: str) -> None:
    """Write what follows the mark in a page anew."""
    page.write_text(page.read_text().partition(mark)[0] + mark + "\n" + text)
