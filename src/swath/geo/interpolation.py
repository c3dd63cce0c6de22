"""Linear interpolation between nodes, and resampling of pixels onto a grid of other pixels.

Whatever window of the result is wanted, its numbers have the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 128  # rows of the result made at once, which stay in the processor's cache


def interpolate(
    nodes: NDArray[np.float64], position: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Interpolate a grid of nodes (rows, columns) linearly along one axis.

    Args:
        nodes: values at the nodes; at least two along the axis.
        position: where values are wanted (n,), in steps between nodes: 0 is the first node.
        axis: 0 for rows, 1 for columns.

    Returns:
        The grid with `n` values along the axis.
    """
    left = np.minimum(position.astype(np.intp), nodes.shape[axis] - 2)
    low = nodes.take(left, axis)
    out: NDArray[np.float64] = nodes.take(left + 1, axis)
    out -= low
    out *= np.expand_dims(position - left, 1 - axis)
    out += low
    return out


@dataclass(frozen=True)
class AxisWeights:
    """Which pixels of a source make each of `n` wanted pixels, along one axis.

    Attributes:
        first: first source pixel of each (n,); the others follow it.
        weights: their weights (n, taps), each row of sum 1.
        nearest: the source pixel that holds the center of each (n,).
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float64]
    nearest: NDArray[np.intp]

    def part(self, start: int, length: int) -> tuple[AxisWeights, int, int]:
        """Return the weights of some wanted pixels in the source pixels that these need.

        Returns:
            The weights, and the first and the number of the source pixels.
        """
        at = slice(start, start + length)
        first, weights, nearest = self.first[at], self.weights[at], self.nearest[at]
        low = int(min(first.min(), nearest.min()))
        high = int(max(first.max() + weights.shape[1], nearest.max() + 1))
        return AxisWeights(first - low, weights, nearest - low), low, high - low


def axis_weights(wanted: int, step: float, shift: float, size: int) -> AxisWeights:
    """Return weights along an axis: linear where source pixels are coarser, else of areas.

    Beyond the center of the outermost source pixel, that pixel counts alone.

    Args:
        wanted: number of wanted pixels.
        step: source pixels in one wanted pixel.
        shift: where the first wanted pixel begins, in source pixels.
        size: number of source pixels.
    """
    center = (np.arange(wanted) + 0.5) * step + shift
    nearest = np.clip(np.floor(center), 0, size - 1).astype(np.intp)
    if step < 1:
        place = np.clip(center - 0.5, 0, size - 1)
        first = np.clip(np.floor(place), 0, max(0, size - 2)).astype(np.intp)
        after = place - first
        weights = np.stack([1 - after, after], 1)[:, : min(2, size)]
        return AxisWeights(first, weights if size > 1 else np.ones((wanted, 1)), nearest)
    left = np.clip(center - step / 2, 0, size - 1)
    right = np.clip(center + step / 2, left + 1e-6, size)
    taps = min(math.ceil(step) + 1, size)
    first = np.clip(np.floor(left + 1e-6), 0, size - taps).astype(np.intp)
    starts = first[:, None] + np.arange(taps)
    shared = np.minimum(right[:, None], starts + 1) - np.maximum(left[:, None], starts)
    shared = np.where(shared > 1e-6, shared, 0)
    return AxisWeights(first, shared / shared.sum(1, keepdims=True), nearest)


def resample(
    values: NDArray[Any],
    rows: AxisWeights,
    cols: AxisWeights,
    held: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Resample pixels (rows, columns) of one band; integers are rounded.

    Args:
        values: pixels of the source.
        rows: weights of its rows.
        cols: weights of its columns.
        held: source pixels that no other pixel is made of. A wanted pixel whose nearest source
            pixel is one of them has that one's value.

    Returns:
        Wanted pixels, of the dtype of `values`.
    """
    kind = np.result_type(values.dtype, np.float32)
    numbers = values.astype(kind, copy=False)
    free = None
    if held is not None and held.any():
        numbers, free = np.where(held, 0, numbers), _along(~held, cols, 1, kind)
    elif rows.weights.shape[1] > 2 or cols.weights.shape[1] > 2:
        free = _along(np.ones_like(values, bool), cols, 1, kind)
    numbers = _along(numbers, cols, 1, kind)
    out = np.empty((len(rows.first), len(cols.first)), values.dtype)
    for start in range(0, len(out), ROWS_AT_ONCE):
        part, low, count = rows.part(start, ROWS_AT_ONCE)
        made = _along(numbers[low : low + count], part, 0, kind)
        if free is not None:
            share = _along(free[low : low + count], part, 0, kind)
            made /= np.where(share > 0, share, 1)
        if values.dtype.kind in "iu":
            np.rint(made, out=made)
        out[start : start + ROWS_AT_ONCE] = made
    if held is not None and held.any():
        at = np.ix_(rows.nearest, cols.nearest)
        out = np.where(held[at], values[at], out)
    return out


def _along(
    values: NDArray[Any], axis_of: AxisWeights, axis: int, kind: np.dtype[Any]
) -> NDArray[Any]:
    """Return weighted sums along one axis, of a float dtype."""
    first, weights = axis_of.first, axis_of.weights.astype(kind)
    if weights.shape[1] == 2:
        upper: NDArray[Any] = values.take(first + 1, axis).astype(kind, copy=False)
        low = values.take(first, axis).astype(kind, copy=False)
        upper -= low
        upper *= np.expand_dims(weights[:, 1], 1 - axis)
        upper += low
        return upper
    out: NDArray[Any] = values.take(first, axis) * np.expand_dims(weights[:, 0], 1 - axis)
    for tap in range(1, weights.shape[1]):
        out += values.take(first + tap, axis) * np.expand_dims(weights[:, tap], 1 - axis)
    return out
