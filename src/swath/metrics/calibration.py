"""Calibration of probabilities by temperature scaling.

Class scores are divided by one number, the temperature, before softmax; it is fitted on validation
data. It changes the confidence of a map, and not its classes.

Source: Guo et al. 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of confidence, as in the source."""

_LOWEST, _HIGHEST = 0.05, 20.0

_CHUNK_SCORES = 2**18
"""Scores that are processed at a time: with intermediate results they fit into a CPU's cache."""


def probabilities(
    scores: NDArray[np.float32], temperature: float = 1.0, axis: int = 0
) -> NDArray[np.float32]:
    """Return softmax(scores / temperature) along the axis of classes, same shape, float32."""
    out: NDArray[np.float32] = scores - scores.max(axis=axis, keepdims=True)
    out /= np.float32(temperature)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)
    return out


def fit_temperature(scores: NDArray[np.float32], reference: NDArray[np.uint8]) -> float:
    """Fit the temperature of the largest likelihood, 0.05 to 20, to a thousandth of it.

    The likelihood has one maximum in the inverse of the temperature, which Newton's method finds,
    or bisection where that would leave the bounds.

    Args:
        scores: class scores (pixels, classes), not of training data.
        reference: class indices (pixels,).
    """
    low, high = 1 / _HIGHEST, 1 / _LOWEST
    inverse, change = 1.0, np.inf
    while change > 1e-3:
        slope, curvature = _slope_and_curvature(scores, reference, inverse)
        if slope == curvature == 0:
            break  # no temperature changes anything
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        better = inverse - slope / curvature if curvature > 0 else 0.0
        better = better if low < better < high else float(np.sqrt(low * high))
        inverse, change = better, abs(np.log(better / inverse))
    return 1 / inverse


def _slope_and_curvature(
    scores: NDArray[np.float32], reference: NDArray[np.uint8], inverse: float
) -> tuple[float, float]:
    """Return two derivatives, by inverse temperature, of the sum of -log p(reference)."""
    slope = curvature = 0.0
    each = max(1, _CHUNK_SCORES // scores.shape[1])
    for start in range(0, len(scores), each):
        part = scores[start : start + each]
        part = part - part.max(axis=1, keepdims=True)
        weights = np.exp(part * np.float32(inverse))
        weights /= weights.sum(axis=1, keepdims=True)
        mean = np.einsum("ij,ij->i", weights, part)
        square = np.einsum("ij,ij,ij->i", weights, part, part)
        true = part[np.arange(len(part)), reference[start : start + each]]
        slope += float((mean - true).sum(dtype=np.float64))
        curvature += float((square - mean**2).sum(dtype=np.float64))
    return slope, curvature


def reliability(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Count pixels by confidence; counts of several images add up.

    Args:
        confidence: probability of the mapped class, 0..1, any shape.
        right: whether the map is right there, same shape.

    Returns:
        Shape (3, 15): pixels, sum of their confidence, and number of right ones, by bin.
    """
    flat, hits = confidence.ravel().astype(np.float64), right.ravel()
    at = np.minimum((flat * BINS).astype(np.int64), BINS - 1)
    weights = (None, flat, hits)
    return np.stack([np.bincount(at, w, BINS).astype(np.float64) for w in weights])


def expected_calibration_error(counts: NDArray[np.float64]) -> float:
    """Return the mean distance, 0..1, of confidence and share of right pixels; NaN without any.

    Args:
        counts: see `reliability`, (3, bins); bins are weighted by their pixels.
    """
    pixels, confidence, right = counts
    total = pixels.sum()
    return float(np.abs(confidence - right).sum() / total) if total else float("nan")
