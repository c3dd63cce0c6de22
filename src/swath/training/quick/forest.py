"""A yardstick: what a random forest has on the same bands, labels and folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swath.models.card import FoldScores
from swath.training.quick.folds import count_held_out

TREES = 100

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
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return scored
    x, y, fold = bands.numpy(), labels.numpy(), folds.numpy()
    rng = np.random.default_rng(seed)
    predicted = np.zeros(len(y), np.int64)
    for k in range(int(fold.max()) + 1):
        others = np.flatnonzero(fold != k)
        kept = rng.permutation(others)[:MAX_PIXELS]
        forest: Any = RandomForestClassifier(TREES, n_jobs=-1, random_state=seed)
        forest.fit(x[kept], y[kept])
        predicted[fold == k] = _predict(forest, x[fold == k])
    classes = len(scored.confusion)
    _, miou, interval = count_held_out(predicted, y, groups.numpy(), classes)
    return scored.model_copy(update={"forest": miou, "forest_interval": interval})


def _predict(forest: Any, values: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(forest.predict(values), np.int64)
