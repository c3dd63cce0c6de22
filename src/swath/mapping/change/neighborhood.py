"""Probability of change of a pixel with what is seen around it.

Changes are wider than a pixel, and errors of a map mostly are not. So the prior of a pixel is the
mean probability of change around it, as in the spatially varying mixtures of Sanjay-Gopal and
Hebert 1998, "Bayesian pixel classification using spatially variant finite mixtures". The nearest
pixels are left out, since errors of a map are alike there: they would be counted as evidence again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE
from swath.mapping.change.registration import drop_shifted

REACH = 4
"""Rows and columns around a pixel from which its prior is taken."""

LEFT_OUT = 2
"""Rows and columns around a pixel that are not."""

PASSES = 2
"""How often priors and probabilities are computed from each other."""

HALO = PASSES * REACH + 1
"""Pixels around a window on which its probabilities depend, but for those of a shift."""

MOST = 0.95
"""Largest prior of a pixel: no surroundings make a change by themselves."""

LEAST = 1e-5
"""Smallest prior of a pixel."""


def box_sums(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Return the sums of an array (rows, columns) over squares of `2 * reach + 1` pixels a side.

    Outside of the array there is nothing to add.
    """
    values = np.pad(values, reach)
    return _sums_along(_sums_along(values, 2 * reach + 1).T, 2 * reach + 1).T


def majority(classes: NDArray[np.uint8], reach: int = 1) -> NDArray[np.uint8]:
    """Return the most frequent class index (rows, columns) in squares around each pixel.

    `IGNORE` stays, and is not counted. Of equally frequent classes the first is taken.
    """
    most = np.zeros(classes.shape, np.float32)
    out = np.full(classes.shape, IGNORE, np.uint8)
    for k in np.unique(classes):
        if k != IGNORE:
            count = box_sums((classes == k).astype(np.float32), reach)
            more = (count > most + 0.5) & (classes != IGNORE)
            out[more], most[more] = k, count[more]
    return out


def outside_of_shifts(
    old: NDArray[np.uint8], new: NDArray[np.uint8], shift: int
) -> NDArray[np.bool_]:
    """Return pixels that tell of change, for a shift between the maps does not explain theirs.

    Single errors of the maps are no matter: the most frequent classes around a pixel are compared.

    Args:
        old: class indices (rows, columns), `IGNORE` without data.
        new: those of the other date.
        shift: largest shift, in pixels.
    """
    if not shift:
        return np.ones(old.shape, bool)
    one, other = majority(old), majority(new)
    usable: NDArray[np.bool_] = (one == other) | drop_shifted(one, other, shift)
    return usable


def _sums_along(values: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return the sums of `length` rows that follow each other, in steps that double."""
    count = len(values) - length + 1
    out, done, power, width = None, 0, values, 1
    while True:
        if length & width:
            part = power[done : done + count]
            out = part.copy() if out is None else np.add(out, part, out=out)
            done += width
        if done == length:
            break
        power = power[:-width] + power[width:]
        width *= 2
    assert out is not None  # noqa: S101 - a length has a bit
    return out


def change_with_neighbors(
    ratio: NDArray[np.float32], known: NDArray[np.bool_], usable: NDArray[np.bool_], prior: float
) -> NDArray[np.float32]:
    """Return the probability of change of each pixel (rows, columns).

    Args:
        ratio: likelihood of what is seen under change, by that under none.
        known: pixels with data at both dates; 0 is returned for others.
        usable: pixels that priors of others are taken from; others tell nothing, such as those
            that a shift between the maps would explain.
        prior: of change, wherever no usable pixel is near.
    """
    prior = float(np.clip(prior, LEAST, MOST))
    weights = (known & usable).astype(np.float32)
    around = box_sums(weights, REACH) - box_sums(weights, LEFT_OUT)
    local = np.full(ratio.shape, prior, np.float32)
    for i in range(PASSES + 1):
        odds = ratio * (local / (1 - local))
        found: NDArray[np.float32] = np.where(known, odds / (1 + odds), np.float32(0))
        if i == PASSES:
            break
        sums = box_sums(found * weights, REACH) - box_sums(found * weights, LEFT_OUT)
        local = np.where(around > 0.5, sums / np.maximum(around, 1), np.float32(prior))
        local = np.clip(local, np.float32(LEAST), np.float32(MOST))
    return found
