"""An average of the weights over the last steps, which is validated and packed instead of the weights of the last step."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class Averaging(WeightAveraging):
    """Keeps the exponential moving average of the weights (Polyak and Juditsky 1992), and leaves it in the network at the end.

    After n steps the decay is (1 + n) / (10 + n), at most the given one: the average looks back on
    about a ninth of the steps so far, so that a short training does not end with the weights it
    began with. The running statistics of batch norms are averaged likewise: they follow single
    batches of few patches and so are noisy, and those of the last step belong to its weights, not
    to the average. Each of several processes averages the same weights. Checkpoints hold weights
    and average.

    Args:
        decay: largest decay, 0..1.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        super().__init__(multi_avg_fn=self._move)

    def _move(self, averages: list[Tensor], weights: list[Tensor], steps: Tensor | int) -> None:
        n = int(steps)
        share = 1 - min(self._decay, (1 + n) / (10 + n))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, share)
            else:
                average.copy_(weight)

    @contextmanager
    def in_use(self, trainer: Trainer, module: LightningModule) -> Iterator[None]:
        """Put the average in the place of the weights for a while."""
        self.on_validation_epoch_start(trainer, module)
        try:
            yield
        finally:
            self.on_validation_epoch_end(trainer, module)
