"""IoU-3 of Track 1 of the 2019 IEEE GRSS Data Fusion Contest, which includes heights.

Source: Le Saux et al. 2019, "2019 IEEE GRSS Data Fusion Contest: Large-Scale Semantic 3D
Reconstruction" (IEEE GRSM).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE

HEIGHT_TOLERANCE = 1.0
"""Meters: largest error of a right height."""


def near_height_hits(
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    true_heights: NDArray[np.float32],
    heights: NDArray[np.float32],
    n: int,
) -> NDArray[np.int64]:
    """Count the pixels of each class with the right class and a right or unknown height.

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
    right = (reference != IGNORE) & (reference == predicted)
    right &= np.isnan(true_heights) | (error < HEIGHT_TOLERANCE)
    counts: NDArray[np.int64] = np.bincount(reference[right], minlength=n)[:n].astype(np.int64)
    return counts


def iou3(matrix: NDArray[np.int64], near: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return IoU-3 of each class, NaN where it has none.

    A true positive also needs its height (`near_height_hits`); false positives and negatives are by
    class alone, so that a pixel of the right class with a wrong height does not count.

    Args:
        matrix: confusion (n, n), rows reference.
        near: true positives with their height (n,).
    """
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    out = np.full(len(near), np.nan)
    np.divide(near, near + wrong, out=out, where=near + wrong > 0)
    return out
