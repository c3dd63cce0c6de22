"""A yardstick: what a random forest has on the same bands, labels and folds."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from swath.evaluation.yardstick import new_forest
from swath.models.card import FoldScores
from swath.training.quick.folds import count_held_out

MAX_PIXELS = 2500
"""Pixels that a forest is fitted on, at most; those of one label are much alike."""


def with_forest(
    scored: FoldScores, bands: Tensor, labels: Tensor, groups: Tensor, folds: Tensor, seed: int
) -> FoldScores:
    """Add the scores of a random forest, if scikit-learn is installed.

    Args:
        scored: scores of the head.
        bands: values of the bands (n, bands).
        labels: class indices, int64 (n,).
        groups: group of each pixel, int64 (n,).
        folds: fold of each pixel, int64 (n,).
        seed: of the trees, and of the pixels where there are more than are used.
    """
    forest = new_forest(seed)
    if forest is None:
        return scored
    x, y, fold = bands.numpy(), labels.numpy(), folds.numpy()
    rng = np.random.default_rng(seed)
    predicted = np.zeros(len(y), np.int64)
    for k in range(int(fold.max()) + 1):
        others = np.flatnonzero(fold != k)
        kept = rng.permutation(others)[:MAX_PIXELS]
        predicted[fold == k] = forest.fit(x[kept], y[kept]).predict(x[fold == k])
    classes = len(scored.confusion)
    _, miou, interval = count_held_out(predicted, y, groups.numpy(), classes)
    return scored.model_copy(update={"forest": miou, "forest_interval": interval})
