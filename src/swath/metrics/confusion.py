"""Scores from one confusion matrix.

Rows of a matrix are the reference, columns the prediction. Classes of neither have no score (NaN,
null in JSON) and are left out of means; a class that is predicted but absent from the reference has
IoU 0 and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE


def confusion_matrix(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], n: int
) -> NDArray[np.int64]:
    """Count pixels by true and predicted class.

    Args:
        reference: class indices, any shape, `IGNORE` where there is no label.
        predicted: class indices, same shape; all below `n` where the reference is labeled.
        n: number of classes.

    Returns:
        Matrix (n, n), int64, rows reference.

    Raises:
        ValueError: a labeled pixel has no prediction, or shapes differ.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"reference has shape {reference.shape}, prediction {predicted.shape}")
    labeled = reference != IGNORE
    rows, columns = reference[labeled].astype(np.int64), predicted[labeled].astype(np.int64)
    if rows.size and (rows.max() >= n or columns.max() >= n):
        raise ValueError(f"a class index is outside 0..{n - 1}")
    counts = np.bincount(rows * n + columns, minlength=n * n)
    return counts.astype(np.int64).reshape(n, n)


def tallies(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the row sums, column sums and diagonals of confusion matrices, which add up.

    Args:
        matrix: (..., n, n).

    Returns:
        Labeled pixels of each class, those mapped as it, and those of both: (..., 3, n).
    """
    return np.stack(
        [matrix.sum(axis=-1), matrix.sum(axis=-2), np.diagonal(matrix, axis1=-2, axis2=-1)], axis=-2
    )


@dataclass(frozen=True)
class Scores:
    """Scores of the tallies (3, n) of a confusion matrix, float64, NaN where there is none.

    A score is an array (n,) or a number; of stacked tallies (..., 3, n) it is (..., n) or (...,).

    Source: Everingham et al. 2010 (PASCAL VOC) for IoU, Cohen 1960 for kappa; the rest are the
    textbook definitions.
    """

    tallies: NDArray[Any]

    @classmethod
    def of(cls, matrix: NDArray[Any]) -> Scores:
        """Score a confusion matrix (n, n), or many (..., n, n)."""
        return cls(tallies(matrix))

    @property
    def pixels(self) -> NDArray[Any]:
        """Labeled pixels of each class."""
        return self.tallies[..., 0, :]

    @property
    def mapped(self) -> NDArray[Any]:
        """Labeled pixels that are mapped as each class."""
        return self.tallies[..., 1, :]

    @property
    def _hits(self) -> NDArray[np.float64]:
        return self.tallies[..., 2, :].astype(np.float64)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union: TP / (TP + FP + FN)."""
        return np.asarray(_ratio(self._hits, self.mapped + self.pixels - self._hits))

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1, also called Dice: 2 TP / (2 TP + FP + FN)."""
        return np.asarray(_ratio(2 * self._hits, self.mapped + self.pixels))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predicted pixels that are right (user's accuracy): TP / (TP + FP)."""
        return np.asarray(_ratio(self._hits, self.mapped))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the true pixels that were found (producer's accuracy): TP / (TP + FN)."""
        return np.asarray(_ratio(self._hits, self.pixels))

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that have one."""
        mean: float = mean_known(self.iou)
        return mean

    @property
    def accuracy(self) -> float:
        """Share of all labeled pixels that are right."""
        share: float = _ratio(self._hits.sum(axis=-1), self.pixels.sum(axis=-1))
        return share

    @property
    def kappa(self) -> float:
        """Cohen's kappa: (accuracy - chance) / (1 - chance), chance by the two marginals."""
        total = np.maximum(self.pixels.sum(axis=-1, keepdims=True), 1).astype(np.float64)
        chance = (self.pixels / total * (self.mapped / total)).sum(axis=-1)
        kappa: float = _ratio(self.accuracy - chance, 1 - chance)
        return kappa


def mean_known(scores: NDArray[np.float64]) -> Any:
    """Return the mean over the last axis of those that are not NaN; NaN where all are."""
    known = ~np.isnan(scores)
    return _ratio(np.where(known, scores, 0).sum(axis=-1), known.sum(axis=-1))


def _ratio(part: Any, of: Any) -> Any:
    """Divide; NaN where the divisor is not positive."""
    out = np.full(np.shape(part), np.nan)
    np.divide(part, of, out=out, where=np.asarray(of) > 0)
    return out[()]
