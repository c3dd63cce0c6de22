"""The rules of Track 1 of the 2019 IEEE GRSS Data Fusion Contest: how heights count in its scores.

Source: Le Saux et al. 2019, "2019 IEEE GRSS Data Fusion Contest: Large-Scale Semantic 3D
Reconstruction" (IEEE GRSM).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE

NEAR = 1.0
"""Meters: a height that errs by less is right."""


def near_height_hits(
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    true_heights: NDArray[np.float32],
    heights: NDArray[np.float32],
    n: int,
) -> NDArray[np.int64]:
    """Count the pixels of each class whose class is right and whose height errs by less than a metre, or is not known.

    Args:
        reference: class indices, any shape, `IGNORE` where there is no label.
        predicted: class indices, same shape.
        true_heights: meters above ground, same shape, NaN where unknown.
        heights: those of the map.
        n: number of classes.

    Returns:
        Counts (n,), int64.
    """
    error = np.abs(heights.astype(np.float64) - true_heights)
    right = (
        (reference != IGNORE) & (reference == predicted) & (np.isnan(true_heights) | (error < NEAR))
    )
    counts: NDArray[np.int64] = np.bincount(reference[right], minlength=n)[:n].astype(np.int64)
    return counts


def iou3(matrix: NDArray[np.int64], near: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return IoU-3 of each class, NaN where it has none.

    A true positive also needs its height (`near_height_hits`); false positives and negatives come from the
    classes alone, so a pixel of the right class with a wrong height counts nowhere.

    Args:
        matrix: confusion (n, n), rows truth.
        near: true positives with their height (n,).
    """
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    out = np.full(len(near), np.nan)
    np.divide(near, near + wrong, out=out, where=near + wrong > 0)
    return out
