"""Calibration: probabilities that come true as often as they say.

A network's scores are divided by one number, the temperature, before softmax; it is fitted on ground that neither taught nor
tests. The map does not change by it, only how sure it claims to be.

Source: Guo et al. 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of confidence, as in the source."""

_LOWEST, _HIGHEST = 0.05, 20.0
_GOLDEN = (5**0.5 - 1) / 2


def probabilities(scores: NDArray[np.float32], temperature: float = 1.0, axis: int = 0) -> NDArray[np.float32]:
    """Return softmax(scores / temperature) along the axis of classes, same shape, float32."""
    out: NDArray[np.float32] = scores - scores.max(axis=axis, keepdims=True)
    out /= np.float32(temperature)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)
    return out


def negative_log_likelihood(scores: NDArray[np.float32], truth: NDArray[np.uint8], temperature: float = 1.0) -> float:
    """Return the mean of -log p(truth), in nats.

    Args:
        scores: class scores (pixels, classes).
        truth: class indices (pixels,).
        temperature: that scores are divided by.
    """
    scaled = scores.astype(np.float64) / temperature
    top = scaled.max(axis=1)
    log_sum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(truth)), truth]).mean())


def fit_temperature(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> float:
    """Return the temperature, 0.05 to 20, under which the truth is most likely; golden-section search on its logarithm.

    Args:
        scores: class scores (pixels, classes) of ground that did not teach.
        truth: class indices (pixels,).
    """
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    values = [negative_log_likelihood(scores, truth, float(np.exp(t))) for t in inner]
    while high - low > 1e-3:
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - _GOLDEN * (high - low)
            values[0] = negative_log_likelihood(scores, truth, float(np.exp(inner[0])))
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + _GOLDEN * (high - low)
            values[1] = negative_log_likelihood(scores, truth, float(np.exp(inner[1])))
    return float(np.exp((low + high) / 2))


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
    """Return the mean distance, 0..1, between confidence and share of right pixels, weighted by pixels; NaN without any.

    Args:
        counts: see `reliability`; leading axes are kept apart.
    """
    pixels, confidence, right = counts
    total = pixels.sum()
    return float(np.abs(confidence - right).sum() / total) if total else float("nan")
