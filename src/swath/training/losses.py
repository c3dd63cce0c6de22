"""Losses of classes and of heights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.legend import IGNORE
from swath.models.network import HEIGHT_UNIT
from swath.training.recipes import Recipe
from swath.types import ClassWeights

GAMMA = 2.0
"""Exponent of the focal loss: how much less confident predictions count (Lin et al. 2017)."""


class RecipeLoss(torch.nn.Module):
    """The loss of a recipe.

    Args:
        recipe: terms and their weights.
        counts: labeled training pixels of each class, for `class_weights`.
    """

    weight: Tensor

    def __init__(self, recipe: Recipe, counts: Sequence[int]) -> None:
        super().__init__()
        self._recipe = recipe
        pixel, _, region = recipe.loss.partition("+")
        self._gamma = GAMMA if pixel == "focal" else 0.0
        self._region = recipe.region if region else 0.0
        weights = class_weights(counts, recipe.class_weights)
        self.register_buffer("weight", torch.tensor(weights, dtype=torch.float32))

    def forward(self, scores: Tensor, labels: Tensor, heights: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, a scalar; 0 where nothing is labeled.

        Args:
            scores: (batch, classes, rows, columns) float32, and one more channel of heights in
                meters where the recipe has them.
            labels: class indices (batch, rows, columns), int64, `IGNORE` where there is no label.
            heights: meters above ground (batch, rows, columns), NaN where unknown.
        """
        n = len(self.weight)
        loss = scores.sum() * 0
        if (labels != IGNORE).any():
            loss = self._class_loss(scores[:, :n], labels)
        if heights is not None:
            loss = loss + self._recipe.height_weight * height_loss(scores[:, n], heights)
        return loss

    def _class_loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        multilabel = self._recipe.heads == "per-class"
        loss = (mask_loss if multilabel else pixel_loss)(scores, labels, self.weight, self._gamma)
        if self._region:
            loss = loss + self._region * dice_loss(scores, labels, multilabel)
        return loss


def class_weights(counts: Sequence[int], scheme: ClassWeights) -> list[float]:
    """Return a weight for each class, with mean 1 over the classes that have pixels; else 1.

    `effective` is (1 - b) / (1 - b^n) for n pixels (Cui et al. 2019, "Class-Balanced Loss Based on
    Effective Number of Samples"), with b = (N - 1) / N for N pixels in all, so that it does not
    depend on the size of the data. `inverse-sqrt` is the share of a class to the power of -1/2.
    """
    pixels = np.asarray(counts, np.float64)
    present = pixels > 0
    weights = np.ones(len(pixels))
    if scheme == "none" or not present.any():
        return [float(w) for w in weights]
    total = pixels.sum()
    if scheme == "inverse-sqrt":
        weights[present] = (pixels[present] / total) ** -0.5
    else:
        weights[present] = 1 / -np.expm1(pixels[present] * np.log1p(-1 / max(total, 2.0)))
    weights[present] /= weights[present].mean()
    return [float(w) for w in weights]


def pixel_loss(scores: Tensor, labels: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return weighted cross-entropy times (1 - probability of the label) ** gamma, the mean."""
    if not gamma:
        return F.cross_entropy(scores, labels, weight, ignore_index=IGNORE)
    entropy = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="none")
    weights = weight[labels.where(labels != IGNORE, 0)] * (labels != IGNORE)
    focal = weights * (1 - torch.exp(-entropy)) ** gamma * entropy
    return focal.sum() / weights.sum().clamp_min(1e-9)


def mask_loss(scores: Tensor, labels: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the weighted sum over classes of mean binary cross-entropies, focal with `gamma`."""
    labeled = labels != IGNORE
    reference = one_hot(labels, scores.shape[1])
    entropy = F.binary_cross_entropy_with_logits(scores, reference, reduction="none")
    if gamma:
        entropy = entropy * (1 - torch.exp(-entropy)) ** gamma
    each = (entropy * labeled[:, None]).sum((0, 2, 3)) / labeled.sum()
    return (each * weight).sum()


def dice_loss(scores: Tensor, labels: Tensor, multilabel: bool) -> Tensor:
    """Return soft Dice loss (Milletari et al. 2016), averaged over the classes in the batch.

    Args:
        scores: (batch, classes, rows, columns).
        labels: (batch, rows, columns).
        multilabel: whether scores are of independent sigmoid masks, instead of softmax.
    """
    labeled = (labels != IGNORE)[:, None]
    reference = one_hot(labels, scores.shape[1])
    pixels = reference.sum((0, 2, 3))
    shares = scores.sigmoid() if multilabel else scores.softmax(1)
    hits, sums = (shares * reference).sum((0, 2, 3)), (shares * labeled).sum((0, 2, 3)) + pixels
    return (1 - (2 * hits + 1) / (sums + 1))[pixels > 0].mean()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels (batch, rows, columns) as float32 masks (batch, classes, rows, columns)."""
    indices = torch.arange(classes, device=labels.device).reshape(-1, 1, 1)
    return (labels[:, None] == indices).float()


def height_loss(predicted: Tensor, reference: Tensor) -> Tensor:
    """Return the mean smooth L1 loss of heights in meters, in units of ten meters, NaN left out."""
    known = reference.isfinite()
    if not known.any():
        return predicted.sum() * 0
    return F.smooth_l1_loss(predicted[known] / HEIGHT_UNIT, reference[known] / HEIGHT_UNIT)
