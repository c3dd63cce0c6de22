"""What a network is taught to make small."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

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
"""Focal loss: how much less sure pixels count (Lin et al. 2017)."""


class Loss(torch.nn.Module):
    """The loss of a recipe.

    Args:
        recipe: its terms and their weights.
        counts: labeled training pixels of each class, for `class_weights`.
    """

    weight: Tensor

    def __init__(self, recipe: Recipe, counts: Sequence[int]) -> None:
        super().__init__()
        self._recipe = recipe
        self._pixel, _, self._region = recipe.loss.partition("+")
        self.register_buffer(
            "weight", torch.tensor(class_weights(counts, recipe.class_weights), dtype=torch.float32)
        )

    def forward(self, scores: Tensor, labels: Tensor, heights: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, a scalar; 0 where nothing is labeled.

        Args:
            scores: (batch, classes, rows, columns) float32, and one more channel of heights in
                meters where they are learnt.
            labels: class indices (batch, rows, columns), int64, `IGNORE` where there is no label.
            heights: meters above ground (batch, rows, columns), NaN where unknown.
        """
        n = len(self.weight)
        loss = scores.sum() * 0
        if (labels != IGNORE).any():
            loss = self._classes(scores[:, :n], labels)
        if heights is not None:
            loss = loss + self._recipe.height_weight * height_loss(scores[:, n], heights)
        return loss

    def _classes(self, scores: Tensor, labels: Tensor) -> Tensor:
        apart = self._recipe.heads == "per-class"
        gamma = GAMMA if self._pixel == "focal" else 0.0
        loss = (mask_loss if apart else pixel_loss)(scores, labels, self.weight, gamma)
        if self._region:
            loss = loss + self._recipe.region * dice_loss(scores, labels, apart)
        return loss


def class_weights(counts: Sequence[int], scheme: ClassWeights) -> list[float]:
    """Return a weight a class, 1 on average over the classes that have pixels; a class without any has weight 1.

    `effective` is (1 - b) / (1 - b^n) for n pixels (Cui et al. 2019, "Class-Balanced Loss Based on
    Effective Number of Samples"), with b = (N - 1) / N for N pixels in all, so that it does not
    depend on the size of the data. `inverse-sqrt` is the share of a class to the power of -1/2.
    """
    pixels = np.asarray(counts, np.float64)
    present = pixels > 0
    weights = np.ones(len(pixels))
    if scheme == "none" or not present.any():
        return [float(w) for w in weights]
    share = pixels[present] / pixels.sum()
    if scheme == "inverse-sqrt":
        weights[present] = share**-0.5
    else:
        every = pixels.sum()
        weights[present] = 1 / -np.expm1(pixels[present] * np.log1p(-1 / max(every, 2.0)))
    weights[present] /= weights[present].mean()
    return [float(w) for w in weights]


def pixel_loss(scores: Tensor, labels: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the weighted mean of cross-entropy over labeled pixels, times (1 - probability of the truth) ** gamma."""
    if not gamma:
        return F.cross_entropy(scores, labels, weight, ignore_index=IGNORE)
    entropy = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="none")
    of = weight[labels.where(labels != IGNORE, 0)] * (labels != IGNORE)
    return (of * (1 - torch.exp(-entropy)) ** gamma * entropy).sum() / of.sum().clamp_min(1e-9)


def mask_loss(scores: Tensor, labels: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the binary cross-entropies of all masks, each the mean over labeled pixels, summed by the weights of classes."""
    labeled = labels != IGNORE
    reference = one_hot(labels, scores.shape[1])
    entropy = F.binary_cross_entropy_with_logits(scores, reference, reduction="none")
    if gamma:
        entropy = entropy * (1 - torch.exp(-entropy)) ** gamma
    each = (entropy * labeled[:, None]).sum((0, 2, 3)) / labeled.sum()
    return (each * weight).sum()


def dice_loss(scores: Tensor, labels: Tensor, apart: bool) -> Tensor:
    """Return soft Dice loss (Milletari et al. 2016), the mean over the classes that the batch holds.

    Args:
        scores: (batch, classes, rows, columns).
        labels: (batch, rows, columns).
        apart: whether scores are of masks apart (sigmoid) or of classes that exclude each other
            (softmax).
    """
    labeled = (labels != IGNORE)[:, None]
    reference = one_hot(labels, scores.shape[1])
    pixels = reference.sum((0, 2, 3))
    present = pixels > 0
    shares = scores.sigmoid() if apart else scores.softmax(1)
    hits, sums = (shares * reference).sum((0, 2, 3)), (shares * labeled).sum((0, 2, 3)) + pixels
    return (1 - (2 * hits + 1) / (sums + 1))[present].mean()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels (batch, rows, columns) as masks (batch, classes, rows, columns), float32; none where unlabeled."""
    return (
        labels[:, None] == torch.arange(classes, device=labels.device).reshape(-1, 1, 1)
    ).float()


def height_loss(predicted: Tensor, reference: Tensor) -> Tensor:
    """Return the mean smooth L1 loss of heights in meters over the pixels whose height is known, in units of ten meters."""
    known = reference.isfinite()
    if not known.any():
        return predicted.sum() * 0
    return F.smooth_l1_loss(predicted[known] / HEIGHT_UNIT, reference[known] / HEIGHT_UNIT)
