"""What a network is taught with: loss, optimiser, learning rate."""

from __future__ import annotations

import swath.torchvision_guard  # noqa: F401 - has to come first

import math

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F

from swath.classes import IGNORE
from swath.network import Network
from swath.recipes import Recipe


class Teacher(LightningModule):
    """The network with its loss and optimiser: cross-entropy plus soft Dice over the classes that a batch holds."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._recipe = recipe

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        raw, target = batch
        scores = self.network(raw.contiguous(memory_format=torch.channels_last)).float()
        return segmentation_loss(scores, target, self._recipe.dice)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; biases, norms and the small branch of single pixels do not decay, and that branch learns faster."""
        fast = list(self.network.pixel.parameters()) if self.network.pixel else []
        slow = [p for p in self.network.parameters() if not any(p is q for q in fast)]
        groups = [
            {"params": [p for p in slow if p.ndim > 1], "weight_decay": self._recipe.decay, "speed": 1.0},
            {"params": [p for p in slow if p.ndim <= 1], "weight_decay": 0.0, "speed": 1.0},
            {"params": fast, "weight_decay": 0.0, "speed": self._recipe.pixel_speed},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=self._recipe.rate)

    def set_rate(self, spent: float) -> None:
        """Warm up linearly, then follow a cosine to 0, by the share of the budget that is spent."""
        warm = self._recipe.warm_up
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, spent - warm) / (1 - warm))))
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = self._recipe.rate * min(1.0, spent / warm, cosine) * group["speed"]


def segmentation_loss(scores: Tensor, target: Tensor, dice: float) -> Tensor:
    """Return cross-entropy plus `dice` times the soft Dice loss.

    Args:
        scores: (batch, classes, height, width), float32.
        target: class indices (batch, height, width), int64, `IGNORE` where there is no label.
        dice: weight of the Dice term; it is the mean over the classes that the batch holds.

    Returns:
        A scalar; 0 where nothing is labelled.
    """
    labelled = target != IGNORE
    if not labelled.any():
        return scores.sum() * 0
    loss = F.cross_entropy(scores, target, ignore_index=IGNORE)
    if dice:
        shares = scores.softmax(1) * labelled[:, None]
        truth = F.one_hot(target.where(labelled, 0), scores.shape[1]).movedim(-1, 1) * labelled[:, None]
        hits, sums = (shares * truth).sum((0, 2, 3)), (shares + truth).sum((0, 2, 3))
        present = truth.sum((0, 2, 3)) > 0
        loss = loss + dice * (1 - (2 * hits + 1) / (sums + 1))[present].mean()
    return loss
