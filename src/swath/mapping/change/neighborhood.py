"""Probability of change of a pixel with what is seen around it.

Changes are wider than a pixel, and errors of a map mostly are not. So the prior of a pixel is the
mean probability of change around it, as in the spatially varying mixtures of Sanjay-Gopal and
Hebert 1998, "Bayesian pixel classification using spatially variant finite mixtures". The nearest
pixels are left out, since errors of a map are alike there: they would be counted as evidence again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 4
"""Rows and columns around a pixel from which its prior is taken."""

LEFT_OUT = 2
"""Rows and columns around a pixel that are not."""

PASSES = 2
"""How often priors and probabilities are computed from each other."""

HALO = PASSES * REACH
"""Pixels around a window on which its probabilities depend."""

MOST = 0.95
"""Largest prior of a pixel: no surroundings make a change by themselves."""

LEAST = 1e-5
"""Smallest prior of a pixel."""


def box_sums(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the sums of an array (rows, columns) over squares of `2 * reach + 1` pixels a side.

    Outside of the array there is nothing to add.
    """
    for axis in (0, 1):
        size = values.shape[axis]
        ahead = [(0, 0), (0, 0)]
        ahead[axis] = (1, 0)
        total = np.pad(values, ahead).cumsum(axis=axis)
        at = np.arange(size)
        high, low = np.minimum(at + reach + 1, size), np.maximum(at - reach, 0)
        values = total.take(high, axis) - total.take(low, axis)
    return values


def change_with_neighbors(
    ratio: NDArray[np.float32], known: NDArray[np.bool_], usable: NDArray[np.bool_], prior: float
) -> NDArray[np.float64]:
    """Return the probability of change of each pixel (rows, columns).

    Args:
        ratio: likelihood of what is seen under change, by that under none.
        known: pixels with data at both dates; 0 is returned for others.
        usable: pixels that priors of others are taken from; others tell nothing, such as those
            that a shift between the maps would explain.
        prior: of change, wherever no usable pixel is near.
    """
    prior = float(np.clip(prior, LEAST, MOST))
    weights = (known & usable).astype(np.float64)
    around = box_sums(weights, REACH) - box_sums(weights, LEFT_OUT)
    local = np.full(ratio.shape, prior)
    for i in range(PASSES + 1):
        odds = ratio * (local / (1 - local))
        found: NDArray[np.float64] = np.where(known, odds / (1 + odds), 0.0)
        if i == PASSES:
            break
        sums = box_sums(found * weights, REACH) - box_sums(found * weights, LEFT_OUT)
        local = np.where(around > 0.5, sums / np.maximum(around, 1), prior)
        local = np.clip(local, LEAST, MOST)
    return found
