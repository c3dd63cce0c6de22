"""Confidence intervals by bootstrap over groups.

Pixels of one group are correlated, so that an interval over pixels would be far too narrow. Groups
are drawn with replacement, and the score is computed from the sum of their counts.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap" (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.95

MAX_COUNTS = 2**22
"""Counts that are held at a time: with two hundred classes, a few dozen draws."""

MIN_GROUPS = 3
"""Groups that an interval needs; with fewer than ten it is rough, and tends to be too narrow."""

Interval: TypeAlias = tuple[float, float]


def by_group(groups: Sequence[str], counts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Add up the counts of samples by their group: (groups, ...)."""
    names, at = np.unique(np.asarray(groups), return_inverse=True)
    out = np.zeros((len(names), *counts[0].shape), counts[0].dtype)
    for i, part in zip(at, counts, strict=True):
        out[i] += part
    return out


def resampled(
    counts: NDArray[Any],
    score: Callable[[NDArray[Any]], NDArray[np.float64]],
    seed: int = 0,
    draws: int = DRAWS,
) -> NDArray[np.float64]:
    """Return the scores of sums of counts over groups drawn with replacement.

    Args:
        counts: shape (groups, ...).
        score: turns counts (draws, ...) into scores (draws, scores); called for parts of the draws.
        seed: of the draws; equal seeds draw equal groups, so that two maps can be compared.
        draws: how many.

    Returns:
        Shape (draws, scores).
    """
    n = len(counts)
    times = (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    )
    flat = counts.reshape(n, -1)
    each = max(1, MAX_COUNTS // flat.shape[1])
    sums = (
        (times[i : i + each] @ flat).reshape(-1, *counts.shape[1:]) for i in range(0, draws, each)
    )
    return np.concatenate([score(part) for part in sums])


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Return the middle 95% of values (draws,); None where fewer than half the draws have one."""
    known = values[~np.isnan(values)]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals(
    counts: NDArray[Any], score: Callable[[NDArray[Any]], NDArray[np.float64]], seed: int = 0
) -> list[Interval | None]:
    """Return the interval of each score that counts give, none where there are too few groups.

    Args:
        counts: shape (groups, ...).
        score: turns counts (draws, ...) into scores (draws, scores).
        seed: of the draw.
    """
    if len(counts) < MIN_GROUPS:
        return [None] * score(counts[:1]).shape[1]
    return [interval(column) for column in resampled(counts, score, seed).T]
