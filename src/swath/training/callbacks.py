"""Clock, learning rate, curve, validations and checkpoints of a training."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import io
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from swath.errors import JobError
from swath.io.atomic import atomic_file
from swath.progress import Task, task
from swath.training.batches.prefetch import Prefetcher
from swath.training.task import TrainingTask
from swath.training.validation import Validation

EPOCH_STEPS = 20
"""Steps of an epoch of Lightning: after each, a point of the curve and perhaps a checkpoint."""

CHECKPOINT_SECONDS = 5.0
"""Least time between two checkpoints: a GPU takes an epoch in less than it takes to write one."""

REPORTED_WAITING = 0.05
"""Share of the time waited for data from which on the progress bar shows it."""


@dataclass(frozen=True)
class Budget:
    """Length of a training, by wall time (validation included) or by steps."""

    seconds: float | None
    steps: int | None

    def spent(self, seconds: float, steps: int) -> float:
        """Return the spent share of the budget, 0..1 and more."""
        if self.steps is not None:
            return steps / self.steps
        assert self.seconds is not None  # noqa: S101 - one of the two is set
        return seconds / self.seconds


class TrainingClock(Callback):
    """Keeps time, learning rate, curve and validations of a training, also across interruptions.

    Several processes that train together share the stream of batches and agree on the time; the
    first reports and validates.

    Args:
        prefetcher: the batches; their start is set after an interruption.
        budget: length of the training.
        validation: makes the validation when the loop has begun, since its clock runs too.
        before: seconds of the budget that were used before the loop.

    Attributes:
        step_seconds: wall time of steps.
        steps: optimizer steps so far.
        curve: rows (step, seconds, loss, validation mIoU or None).
    """

    def __init__(
        self,
        prefetcher: Prefetcher,
        budget: Budget,
        validation: Callable[[], Validation],
        before: float = 0.0,
    ) -> None:
        self._prefetcher, self._budget = prefetcher, budget
        self._make_validation = validation
        self._validation: Validation | None = None
        self._before, self._spent, self._step_started = before, 0.0, 0.0
        self._started: float | None = None
        self._losses: list[float] = []
        self._bars = ExitStack()
        self._bar: Task | None = None
        self.step_seconds, self.steps = 0.0, 0
        self.curve: list[tuple[int, float, float, float | None]] = []

    @property
    def seconds(self) -> float:
        """Wall time of the loop so far, including that before interruptions."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "seconds": self.seconds,
            "step_seconds": self.step_seconds,
            "waited": self._prefetcher.waited,
            "steps": self.steps,
            "curve": self.curve,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted training."""
        self._before = state_dict["seconds"]
        self.step_seconds = state_dict["step_seconds"]
        self._prefetcher.waited = state_dict["waited"]
        self.steps = state_dict["steps"]
        self.curve = [tuple(row) for row in state_dict["curve"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        if trainer.is_global_zero:
            self._validation = self._make_validation()
            steps, seconds = self._budget.steps, self._budget.seconds
            total, unit = (steps, "steps") if steps else (seconds, "s")
            self._bar = self._bars.enter_context(task("training", total or 0, unit))
            self._bar.advance(self.steps if steps else self._before)
        self._update_spent(trainer)
        # A training may have been interrupted between its last step and the model file.
        trainer.should_stop = self._spent >= 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set which batches come next: of every step, each process takes its own."""
        batches, processes = self._prefetcher.batches, trainer.world_size
        done = self.steps * trainer.accumulate_grad_batches * processes
        batches.start, batches.every = done + trainer.global_rank, processes

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the learning rate."""
        self._step_started = time.monotonic()
        cast(TrainingTask, pl_module).set_rate(self._spent)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step.

        Raises:
            JobError: the loss is NaN or infinite.
        """
        took = time.monotonic() - self._step_started
        self.step_seconds += took
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        if not math.isfinite(loss):
            raise JobError(
                "Training diverged: the loss is NaN or infinite",
                code="training-diverged",
                fix="Look for extreme pixel values with `swath inspect`",
            )
        self._losses.append(loss)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        new_steps = 1 if stepped else 0
        self.steps += new_steps
        if self._bar:
            self._bar.advance(new_steps if self._budget.steps else took)
            self._bar.describe(self._status(trainer))
        if stepped:
            self._update_spent(trainer)
            trainer.should_stop = self._spent >= 1

    def _update_spent(self, trainer: Trainer) -> None:
        """Update the spent share, the same in all processes; the last validation is set aside."""
        reserve = self._validation.reserve if self._validation else 0.0
        spent = self._budget.spent(self.seconds + reserve, self.steps)
        self._spent = _mean_over_processes(trainer, spent)

    def pixels_per_second(self, batches: int) -> float:
        """Return the pixels of patches over the time of steps of so many batches each."""
        recipe = self._prefetcher.batches.recipe
        pixels = self.steps * batches * recipe.batch * recipe.patch**2
        return pixels / max(self.step_seconds, 1e-9)

    @property
    def waited(self) -> float:
        """Share of the time of steps and of waiting for their batches that was waiting, 0..1."""
        waited = self._prefetcher.waited
        return waited / max(waited + self.step_seconds, 1e-9)

    def _status(self, trainer: Trainer) -> str:
        known = [miou for *_, miou in self.curve if miou is not None]
        speed = self.pixels_per_second(trainer.world_size * trainer.accumulate_grad_batches)
        text = f"loss {np.mean(self._losses):.3f}, {speed / 1e6:.2f} Mpixel/s"
        if self.waited > REPORTED_WAITING:
            text += f", waiting for data {self.waited:.0%}"
        return text + (f", val mIoU {known[-1]:.3f}" if known else "")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add to the curve, and validate where it is due."""
        done, miou = self._spent >= 1, None
        if self._validation and (done or self._validation.due(self._spent)):
            miou = self._validation.run()
        if self._losses:
            loss = _mean_over_processes(trainer, float(np.mean(self._losses)))
            self.curve.append((self.steps, self.seconds, loss, miou))
            if trainer.logger and trainer.is_global_zero:
                metrics = {"loss": loss} | ({} if miou is None else {"validation mIoU": miou})
                trainer.logger.log_metrics(metrics, self.steps)
        self._losses = []
        trainer.should_stop = done

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._before, self._started = self.seconds, None
        self._bars.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the progress bar."""
        self._bars.close()


class Checkpoints(ModelCheckpoint):
    """Checkpoints after the first epoch, the last, and those between that are seconds apart."""

    _saved = -math.inf

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if it is time; several processes agree on that, since they save together."""
        since = time.monotonic() - self._saved
        if trainer.should_stop or _mean_over_processes(trainer, since) >= CHECKPOINT_SECONDS:
            super().on_train_epoch_end(trainer, pl_module)
            self._saved = time.monotonic()


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent, wherever temporary files lie."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            JobError: the file cannot be written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_file(path) as partial:
            partial.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is executed.

        Raises:
            JobError: the checkpoint is damaged.
        """
        try:
            found: dict[str, Any] = torch.load(
                path, map_location=map_location or "cpu", weights_only=True
            )
            return found
        except Exception as error:  # noqa: BLE001 - torch raises many kinds
            what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
            raise JobError(
                f"The checkpoint is damaged ({what})",
                code="checkpoint-damaged",
                file=path,
                fix="Start afresh: give the command without --resume",
            ) from error


def _mean_over_processes(trainer: Trainer, value: float) -> float:
    if trainer.world_size == 1:
        return value
    here = torch.tensor(value, dtype=torch.float64, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(here, reduce_op="mean"))
