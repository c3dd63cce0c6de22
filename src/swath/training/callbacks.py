"""The course of a training: clock, learning rate, curve, validations, and how they outlive an interruption."""

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
from swath.training.prefetch import Prefetcher
from swath.training.task import TrainingTask
from swath.training.validation import Validation

STRETCH = 20
"""Steps between two points of the curve, which are also the points that an interrupted training continues from."""

SECONDS_APART = 5.0
"""Least time between two checkpoints: a GPU takes a stretch in less than it takes to write one."""

MUCH_WAITING = 0.05
"""Share of the time from which on the bar says that training waits for its data."""


@dataclass(frozen=True)
class Budget:
    """How long to train: by wall time (validation included) or by steps."""

    seconds: float | None
    steps: int | None

    def spent(self, seconds: float, steps: int) -> float:
        """Return the share of the budget that is used up, 0..1 and more."""
        if self.steps is not None:
            return steps / self.steps
        assert self.seconds is not None  # noqa: S101 - one of the two is set
        return seconds / self.seconds


class TrainingClock(Callback):
    """Keeps the clock, the learning rate, the curve and the validations of a training, also across interruptions.

    Where several processes train together, they share the row of batches, agree on the time, and
    the first keeps the books.

    Args:
        ahead: the batches; told where to begin after an interruption.
        budget: how long to train.
        validation: makes the validation when the loop has begun, since its clock runs too.
        before: seconds of the budget that were used before the loop.
    """

    def __init__(
        self,
        ahead: Prefetcher,
        budget: Budget,
        validation: Callable[[], Validation],
        before: float = 0.0,
    ) -> None:
        self._ahead = ahead
        self._budget = budget
        self._make_validation = validation
        self._validation: Validation | None = None
        self._before = before
        self._started: float | None = None
        self._step_started = 0.0
        self._spent = 0.0
        self._losses: list[float] = []
        self._bars = ExitStack()
        self._bar: Task | None = None
        self.step_seconds = 0.0
        self.steps = 0
        self.curve: list[tuple[int, float, float, float | None]] = []

    @property
    def seconds(self) -> float:
        """Wall time of the loop so far, earlier stretches of a resumed training included."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training has to know."""
        return {
            "seconds": self.seconds,
            "step_seconds": self.step_seconds,
            "waited": self._ahead.waited,
            "steps": self.steps,
            "curve": self.curve,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up an interrupted training."""
        self._before = state_dict["seconds"]
        self.step_seconds = state_dict["step_seconds"]
        self._ahead.waited = state_dict.get("waited", 0.0)
        self.steps = state_dict["steps"]
        self.curve = [tuple(row) for row in state_dict["curve"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        if trainer.is_global_zero:
            self._validation = self._make_validation()
            total, unit = (
                (self._budget.steps, "steps") if self._budget.steps else (self._budget.seconds, "s")
            )
            self._bar = self._bars.enter_context(task("training", total or 0, unit))
            self._bar.advance(self.steps if self._budget.steps else self._before)
        self._agree(trainer)
        trainer.should_stop = (
            self._spent >= 1
        )  # interrupted between its last step and the model file

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the row of batches which come next here: of every step, each process takes its own."""
        together = trainer.world_size
        batches = self._ahead.batches
        batches.start = (
            self.steps * trainer.accumulate_grad_batches * together + trainer.global_rank
        )
        batches.every = together

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the learning rate."""
        self._step_started = time.monotonic()
        cast(TrainingTask, pl_module).set_rate(self._spent)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step."""
        took = time.monotonic() - self._step_started
        self.step_seconds += took
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        if not math.isfinite(loss):
            raise JobError(
                "the loss is no number any more",
                fix="Look for extreme pixel values with `swath inspect`",
            )
        self._losses.append(loss)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        self.steps += stepped
        if self._bar:
            self._bar.advance(stepped if self._budget.steps else took)
            self._bar.tell(self._remark(trainer))
        if stepped:
            self._agree(trainer)
            trainer.should_stop = self._spent >= 1

    def _agree(self, trainer: Trainer) -> None:
        """Work out the share of the budget that is used up, alike everywhere; time for the last validation is set aside."""
        reserve = self._validation.reserve if self._validation else 0.0
        self._spent = _mean_over_processes(
            trainer, self._budget.spent(self.seconds + reserve, self.steps)
        )

    def pixels_per_second(self, together: int) -> float:
        """Return the pixels of patches over the time of steps, for so many batches a step."""
        recipe = self._ahead.batches.recipe
        return self.steps * together * recipe.batch * recipe.patch**2 / max(self.step_seconds, 1e-9)

    @property
    def waited(self) -> float:
        """Share of the time of steps and of waiting for their batches that was waiting, 0..1."""
        return self._ahead.waited / max(self._ahead.waited + self.step_seconds, 1e-9)

    def _remark(self, trainer: Trainer) -> str:
        known = [miou for *_, miou in self.curve if miou is not None]
        speed = self.pixels_per_second(trainer.world_size * trainer.accumulate_grad_batches)
        text = f"loss {np.mean(self._losses):.3f}, {speed / 1e6:.2f} Mpixel/s"
        text += f", waiting for data {self.waited:.0%}" if self.waited > MUCH_WAITING else ""
        return text + (f", val mIoU {known[-1]:.3f}" if known else "")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add to the curve, and validate where it is due."""
        done = self._spent >= 1
        miou = (
            self._validation.look()
            if self._validation and (done or self._validation.due(self._spent))
            else None
        )
        if self._losses:
            loss = _mean_over_processes(trainer, float(np.mean(self._losses)))
            self.curve.append((self.steps, self.seconds, loss, miou))
            metrics = {"loss": loss, "validation mIoU": miou}
            if trainer.logger and trainer.is_global_zero:
                trainer.logger.log_metrics(
                    {k: v for k, v in metrics.items() if v is not None}, self.steps
                )
        self._losses = []
        trainer.should_stop = done

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._before, self._started = self.seconds, None
        self._bars.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the bar."""
        self._bars.close()


class Checkpoints(ModelCheckpoint):
    """A checkpoint at the end of a stretch: of the first, of the last, and of those between that are some seconds apart."""

    _saved = -math.inf

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, if it is time; several processes agree on that, for they save together."""
        if (
            trainer.should_stop
            or _mean_over_processes(trainer, time.monotonic() - self._saved) >= SECONDS_APART
        ):
            super().on_train_epoch_end(trainer, pl_module)
            self._saved = time.monotonic()


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent: Lightning's own are cut off where temporary files lie elsewhere."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            JobError: the disk does not take it.
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
            JobError: it is damaged.
        """
        try:
            found: dict[str, Any] = torch.load(
                path, map_location=map_location or "cpu", weights_only=True
            )
            return found
        except Exception as error:  # noqa: BLE001 - torch raises many kinds
            what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
            raise JobError(
                f"the checkpoint is damaged ({what})",
                file=path,
                fix="Start afresh: give the command without --resume",
            ) from error


def _mean_over_processes(trainer: Trainer, value: float) -> float:
    if trainer.world_size == 1:
        return value
    here = torch.tensor(value, dtype=torch.float64, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(here, reduce_op="mean"))
