"""Boundary IoU: accuracy of the outlines of a map, which IoU hardly measures in large areas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE

BOUNDARY_WIDTH = 5
"""Pixels on each side of a boundary."""


def boundary_counts(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], n: int, width: int = BOUNDARY_WIDTH
) -> NDArray[np.int64]:
    """Count what `boundary_iou` needs; counts of several images add up.

    A class's boundary region is its pixels with a pixel of another class within `width` rows and
    columns. Unlabeled pixels and the image's edge make no boundaries. Only labeled pixels count.
    Nothing counts where labels are points, lines or strips too thin to show a boundary.

    Args:
        reference: class indices (rows, columns), `IGNORE` where there is no label.
        predicted: class indices, same shape.
        n: number of classes.
        width: of the region, in pixels.

    Returns:
        Counts (2, n), int64: pixels in both regions, and in either.
    """
    labeled = reference != IGNORE
    if not _shows_boundaries(reference, labeled, width):
        return np.zeros((2, n), np.int64)
    regions = [
        np.where(_near_boundary(classes, width) & labeled, classes, np.uint8(n))
        for classes in (reference, predicted)
    ]
    a, b = (np.bincount(region.ravel(), minlength=n + 1)[:n] for region in regions)
    both = np.bincount(regions[0][regions[0] == regions[1]], minlength=n + 1)[:n]
    return np.stack([both, a + b - both]).astype(np.int64)


def boundary_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the boundary IoU of each class (..., n), NaN where it has no boundary.

    Source: Cheng et al. 2021, "Boundary IoU". There the width is 2% of the image's diagonal; here
    it is fixed in pixels, because the images of a dataset differ in size and boundaries do not.

    Args:
        counts: shape (..., 2, n), see `boundary_counts`.
    """
    out = np.full(counts[..., 0, :].shape, np.nan)
    np.divide(counts[..., 0, :], counts[..., 1, :], out=out, where=counts[..., 1, :] > 0)
    return out


def _shows_boundaries(reference: NDArray[np.uint8], labeled: NDArray[np.bool_], width: int) -> bool:
    """Return whether labels are dense enough for boundaries.

    Either a square of the region's size is wholly labeled, or two classes meet and four pixels in
    a square are labeled, which points never are.
    """
    if labeled.all() or _has_square(labeled, 2 * width + 1):
        return True
    meet = _changes(reference).any() or _changes(reference.T).any()
    return bool(meet) and _has_square(labeled, 2)


def _has_square(marks: NDArray[np.bool_], side: int) -> bool:
    """Return whether a square of `side` pixels, or what of it fits in, is wholly marked."""
    height, width = min(side, marks.shape[0]), min(side, marks.shape[1])
    if not marks.size:
        return False
    sums = np.pad(marks.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = (sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]) + sums[
        :-height, :-width
    ]
    return bool((inside == height * width).any())


def _near_boundary(classes: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Return which pixels have a boundary within `width` rows and columns.

    The square around a pixel holds one class alone if no two neighbors in it differ.
    """
    near = _any_near(_changes(classes), (width, width - 1), (width, width))
    return near | _any_near(_changes(classes.T).T, (width, width), (width, width - 1))


def _changes(classes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return 1 where a pixel and the one below it are of two classes."""
    out = np.zeros(classes.shape, np.int32)
    here, below = classes[:-1], classes[1:]
    out[:-1] = (here != below) & (here != IGNORE) & (below != IGNORE)
    return out


def _any_near(
    marks: NDArray[np.int32], rows: tuple[int, int], cols: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return where a window, of rows and columns before and after a pixel, has a mark."""
    padded = np.pad(marks, ((rows[0] + 1, rows[1]), (cols[0] + 1, cols[1])))
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    high, wide = sum(rows) + 1, sum(cols) + 1
    found: NDArray[np.bool_] = (
        sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide] > 0
    )
    return found
