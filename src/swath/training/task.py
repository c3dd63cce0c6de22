"""The training task: a step, the optimizer, the learning rate."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from swath.models.network import Network
from swath.training.acceleration import FastDepthwise, forget, record
from swath.training.batches.patches import Batch
from swath.training.losses import RecipeLoss
from swath.training.recipes import Recipe


class TrainingTask(LightningModule):
    """A network with its loss and optimizer.

    Args:
        network: the network to train.
        recipe: training settings.
        counts: labeled training pixels of each class.
    """

    def __init__(self, network: Network, recipe: Recipe, counts: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.loss = RecipeLoss(recipe, counts)
        self._recipe = recipe

    def on_train_start(self) -> None:
        """Record the network if one GPU does all the work."""
        trainer, recipe = self.trainer, self._recipe
        if self.device.type == "cuda" and trainer.world_size * trainer.accumulate_grad_batches == 1:
            shape = recipe.batch, self.network.mean.shape[1], recipe.patch, recipe.patch
            record(self.network, shape, bf16=trainer.precision == "bf16-mixed")

    def on_train_end(self) -> None:
        """Drop the recording, since the network moves."""
        forget(self.network)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        batch = batch.recolored()
        pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
        with FastDepthwise() if torch.is_autocast_enabled("cpu") else nullcontext():
            scores = self.network(pixels).float()
        loss: Tensor = self.loss(scores, batch.labels, batch.heights)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer; biases, norms and the pixel branch have no weight decay."""
        groups: dict[float, list[torch.nn.Parameter]] = {self._recipe.decay: [], 0.0: []}
        for name, weights in self.network.named_parameters():
            decays = weights.ndim > 1 and not name.startswith("pixel.")
            groups[self._recipe.decay if decays else 0.0].append(weights)
        kind = torch.optim.AdamW if self._recipe.optimizer == "adamw" else torch.optim.Adam
        named = [{"params": found, "weight_decay": decay} for decay, found in groups.items()]
        return kind(named, lr=self._recipe.rate, fused=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient, here because Lightning's own clipping refuses fused optimizers."""
        if self._recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self._recipe.clip)

    def set_rate(self, spent: float) -> None:
        """Set the learning rate by the spent share of the budget: linear warm-up, then a cosine."""
        if self._recipe.schedule == "constant":
            return
        warm = self._recipe.warm_up
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, spent - warm) / (1 - warm))))
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = self._recipe.rate * min(1.0, spent / warm, cosine)
