"""Scores and calibration by folds over groups of labels, where there are no others to hold out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.metrics.bootstrap import MAX_COUNTS, intervals
from swath.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)
from swath.metrics.confusion import Scores
from swath.models.card import Calibration, FoldScores

MAX_FOLDS = 5


def assign_folds(labels: Tensor, groups: Tensor) -> Tensor | None:
    """Divide groups of labels between folds, so that each fold has pixels of each class.

    The groups of the rarest class come first, the largest before the others, each into the fold
    that has fewest pixels of the class.

    Args:
        labels: class indices, int64 (n,).
        groups: group of each pixel, int64 (n,).

    Returns:
        Fold of each pixel, int64 (n,); None where a class has a single group, which cannot both
        train a network and score it.
    """
    counts, index = _count_by_group(labels, groups)
    present = counts.sum(0) > 0
    of_class = (counts > 0).sum(0)[present]
    folds = min(MAX_FOLDS, int(of_class.min()))
    if folds < 2:
        return None
    fold = np.full(len(counts), -1)
    filled = np.zeros((folds, counts.shape[1]), np.int64)
    for c in sorted(np.flatnonzero(present), key=lambda c: (counts[:, c] > 0).sum()):
        members = np.flatnonzero((counts[:, c] > 0) & (fold < 0))
        for group in members[np.argsort(-counts[members, c], kind="stable")]:
            least = min(range(folds), key=lambda k: (filled[k, c], filled[k].sum()))
            fold[group] = least
            filled[least] += counts[group]
    return torch.from_numpy(fold[index])


def classes_in_one_group(labels: Tensor, groups: Tensor) -> list[int]:
    """Return the classes, by index, whose labels are all of one group; see `assign_folds`."""
    counts, _ = _count_by_group(labels, groups)
    found: list[int] = np.flatnonzero((counts > 0).sum(0) == 1).tolist()
    return found


def _count_by_group(labels: Tensor, groups: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of each class in each group (groups, classes), and each pixel's group."""
    names, index = np.unique(groups.numpy(), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(counts, (index, labels.numpy()), 1)
    return counts, index


def count_held_out(
    predicted: NDArray[np.int64],
    reference: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: int,
) -> tuple[NDArray[np.int64], float, tuple[float, float] | None]:
    """Return the confusion matrix of held-out pixels, their mean IoU, and its 95% interval.

    The interval is over groups; there is none where their confusion matrices would not fit into
    memory.

    Args:
        predicted: class indices (n,).
        reference: class indices (n,).
        groups: group of each pixel (n,).
        classes: number of classes.
    """
    names, at = np.unique(groups, return_inverse=True)
    pairs = reference * classes + predicted
    total = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    ends, size = None, len(names) * classes**2
    if size <= MAX_COUNTS:
        counts = np.bincount(at * classes**2 + pairs, minlength=size)
        counts = counts.reshape(-1, classes, classes)
        ends = intervals(counts, lambda sums: np.asarray(Scores.of(sums).miou)[:, None])[0]
    return total, Scores.of(total).miou, ends


def score_held_out(
    scores: Tensor, labels: Tensor, groups: Tensor, folds: int
) -> tuple[FoldScores, Calibration]:
    """Score labels that were held out in turn, and fit the temperature on them.

    Labels lie in the middle of objects, where a network is right more often than elsewhere; so the
    temperature may only lower confidence.

    Args:
        scores: class scores of each pixel by a head that was fitted without it (n, classes).
        labels: class indices, int64 (n,).
        groups: group of each pixel, int64 (n,).
        folds: number of folds.
    """
    raw, reference = scores.numpy(), labels.numpy()
    classes, predicted = raw.shape[1], raw.argmax(axis=1)
    total, miou, ends = count_held_out(predicted, reference, groups.numpy(), classes)
    temperature = max(1.0, fit_temperature(raw, reference.astype(np.uint8)))
    errors = []
    for t in (1.0, temperature):
        shares = probabilities(raw, t, axis=1)
        counted = reliability(shares.max(axis=1), predicted == reference)
        errors.append(expected_calibration_error(counted))
    pixels, confusion = len(reference), total.tolist()
    return (
        FoldScores(
            folds=folds,
            groups=len(torch.unique(groups)),
            pixels=pixels,
            confusion=confusion,
            miou=miou,
            interval=ends,
        ),
        Calibration(
            temperature=temperature,
            groups=[],
            pixels=pixels,
            error_before=errors[0],
            error_after=errors[1],
        ),
    )
