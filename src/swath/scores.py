"""Scores, all from one confusion matrix.

Rows of a matrix are truth, columns are prediction. Classes that neither truth nor prediction holds have no score (NaN, null in
JSON) and are left out of means; a class that is predicted but absent from the truth has IoU 0 and counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.classes import IGNORE


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """Count pixels by true and predicted class.

    Args:
        truth: class indices, any shape, `IGNORE` where there is no label.
        predicted: class indices, same shape; all below `n` where truth is labelled.
        n: number of classes.

    Returns:
        Matrix (n, n), int64, rows truth.

    Raises:
        ValueError: a labelled pixel has no prediction, or shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {predicted.shape}")
    labelled = truth != IGNORE
    rows, columns = truth[labelled].astype(np.int64), predicted[labelled].astype(np.int64)
    if rows.size and (rows.max() >= n or columns.max() >= n):
        raise ValueError(f"a class index is outside 0..{n - 1}")
    matrix: NDArray[np.int64] = np.bincount(rows * n + columns, minlength=n * n).astype(np.int64).reshape(n, n)
    return matrix


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix (n, n); every array has shape (n,), float64, NaN where a class has no score.

    Source: Everingham et al. 2010 (PASCAL VOC) for IoU; the rest are the textbook definitions.
    """

    matrix: NDArray[np.int64]

    @property
    def _hits(self) -> NDArray[np.float64]:
        return np.diag(self.matrix).astype(np.float64)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Labelled pixels of each class."""
        counts: NDArray[np.int64] = self.matrix.sum(axis=1)
        return counts

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union: TP / (TP + FP + FN)."""
        return _ratio(self._hits, self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - self._hits)

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1, also called Dice: 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self._hits, self.matrix.sum(axis=0) + self.matrix.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predicted pixels that are right (user's accuracy): TP / (TP + FP)."""
        return _ratio(self._hits, self.matrix.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the true pixels that were found (producer's accuracy): TP / (TP + FN)."""
        return _ratio(self._hits, self.matrix.sum(axis=1))

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that have one."""
        known = self.iou[~np.isnan(self.iou)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of all labelled pixels that are right."""
        total = int(self.matrix.sum())
        return float(self._hits.sum() / total) if total else float("nan")


def _ratio(part: NDArray[np.float64], of: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.full(part.shape, np.nan)
    np.divide(part, of, out=out, where=of > 0)
    return out
