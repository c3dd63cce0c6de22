"""A yardstick: what a random forest has on the pixels of a dataset, beside a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath._imports import without_collection
from swath.data.dataset import Dataset, Sample
from swath.evaluation.results import headline, labeled_only, mean_over_labeled
from swath.legend import IGNORE
from swath.metrics.bootstrap import by_group, intervals
from swath.metrics.confusion import Scores, confusion_matrix, tallies
from swath.types import SplitName

TREES = 100

MAX_TRAINED = 20_000
"""Labeled training pixels that the forest is fitted on, at most, the same number of each sample."""

MAX_SCORED = 100_000
"""Labeled pixels that it is scored on, at most, likewise."""


@dataclass(frozen=True)
class ForestScore:
    """Mean IoU of a random forest, 0..1, and its 95% interval over groups."""

    miou: float
    interval: tuple[float, float] | None


def new_forest(seed: int) -> Any:
    """Return a random forest of scikit-learn that is to be fitted; None where that is missing."""
    try:
        with without_collection():
            from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return None
    return RandomForestClassifier(TREES, n_jobs=-1, random_state=seed)


def score_forest(dataset: Dataset, split: SplitName, seed: int = 0) -> ForestScore | None:
    """Fit a random forest on the bands of training pixels, and score it on those of a split.

    Args:
        dataset: the data.
        split: the split to score.
        seed: of the trees and of the pixels drawn.

    Returns:
        None where scikit-learn is not installed, or the training split has fewer than two classes.
    """
    forest = new_forest(seed)
    if forest is None:
        return None
    legend, rng = dataset.manifest.legend, np.random.default_rng(seed)
    drawn = _draw(dataset, dataset.manifest.of("train"), MAX_TRAINED, rng)
    x, y = (np.concatenate([part[k] for part in drawn]) for k in (0, 1))
    scored = _draw(dataset, dataset.manifest.of(split), MAX_SCORED, rng)
    sizes = [len(labels) for _, labels in scored]
    if len(np.unique(y)) < 2 or not any(sizes):
        return None
    forest.fit(x, y)
    predicted = forest.predict(np.concatenate([values for values, _ in scored])).astype(np.uint8)
    parts = zip(scored, np.split(predicted, np.cumsum(sizes)[:-1]), strict=True)
    count = len(legend.trained)
    matrices = [confusion_matrix(labels, classes, count) for (_, labels), classes in parts]
    total = labeled_only(np.sum(matrices, axis=0), legend)
    tallied = [tallies(labeled_only(matrix, legend)) for matrix in matrices]
    groups = by_group([sample.group for sample in dataset.manifest.of(split)], tallied)
    ends = intervals(groups, lambda sums: headline(sums, legend))[0]
    return ForestScore(float(mean_over_labeled(Scores.of(total).iou, legend)), ends)


def _draw(
    dataset: Dataset, samples: Sequence[Sample], most: int, rng: np.random.Generator
) -> list[tuple[NDArray[Any], NDArray[np.uint8]]]:
    """Return values (n, bands) and class indices (n,) of labeled pixels of each sample."""
    each, out = -(-most // max(1, len(samples))), []
    for sample in samples:
        image = dataset.images[sample.image]
        labels = image.read_labels(sample.window)
        values, valid = image.read(sample.window)
        known = np.flatnonzero((labels != IGNORE) & valid)
        if len(known) > each:
            known = np.sort(rng.choice(known, each, replace=False))
        out.append((values.reshape(len(values), -1)[:, known].T, labels.ravel()[known]))
    return out
