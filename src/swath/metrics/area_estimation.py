"""Areas of classes with standard errors, from a map and a sample of reference labels.

Counting a map's pixels is biased wherever the map confuses classes. The estimators here use the map
only to stratify.

Source: Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land
change", Remote Sensing of Environment 148, equations 1 to 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Standard errors on each side of a 95% interval."""


@dataclass(frozen=True)
class AreaEstimate:
    """Areas and accuracies of `n` classes; arrays (n,), float64; `*_error` are standard errors.

    Attributes:
        mapped: mapped area, in the unit that was given.
        area: error-adjusted estimate, in the same unit.
        area_error: of it.
        users: share of a class's mapped area that is of it (precision); NaN without samples.
        users_error: of it.
        producers: share of a class's true area that is mapped as it (recall).
        producers_error: of it.
        overall: share of the whole area that is mapped right.
        overall_error: of it.
    """

    mapped: NDArray[np.float64]
    area: NDArray[np.float64]
    area_error: NDArray[np.float64]
    users: NDArray[np.float64]
    users_error: NDArray[np.float64]
    producers: NDArray[np.float64]
    producers_error: NDArray[np.float64]
    overall: float
    overall_error: float


def estimate_areas(mapped: NDArray[np.float64], sample: NDArray[np.float64]) -> AreaEstimate:
    """Estimate areas from a stratified random sample whose strata are the mapped classes.

    Args:
        mapped: area of each mapped class, shape (n,), any unit.
        sample: checked units, shape (n, n): rows are the mapped class, columns the true one.

    Raises:
        ValueError: a class is mapped but has fewer than two sample units, so that it has no
            variance.
    """
    mapped, sample = np.asarray(mapped, np.float64), np.asarray(sample, np.float64)
    n = len(mapped)
    counts = np.zeros((n, n, n))
    counts[np.arange(n), np.arange(n)] = sample
    return estimate_strata(mapped, counts, mapped)


def estimate_strata(
    strata: NDArray[np.float64],
    counts: NDArray[np.float64],
    mapped: NDArray[np.float64],
    pixels: NDArray[np.int64] | None = None,
) -> AreaEstimate:
    """Estimate areas from a stratified random sample of any strata.

    Where the strata are the mapped classes, these are the equations of Olofsson et al. 2014.

    Source: Stehman 2014, "Estimating area and map accuracy for stratified random sampling when the
    strata are different from the map classes", International Journal of Remote Sensing 35.

    Args:
        strata: area of each stratum, shape (m,), any unit.
        counts: checked units, shape (m, n, n): by stratum, mapped class and true class.
        mapped: area of each mapped class (n,).
        pixels: of each stratum (m,). A stratum all of whose pixels were checked has no sampling
            error, however few they are.

    Raises:
        ValueError: a stratum has an area but fewer than two sample units, and more pixels, so that
            it has no variance.
    """
    strata, counts = np.asarray(strata, np.float64), np.asarray(counts, np.float64)
    size = counts.sum(axis=(1, 2))
    complete = np.zeros(len(size), bool) if pixels is None else size >= pixels
    short = np.flatnonzero((strata > 0) & (size < 2) & ~complete)
    if len(short):
        raise ValueError(
            f"stratum {short[0]} has {size[short[0]]:.0f} sample units, and needs at least two"
        )
    weight = strata / strata.sum()
    share = counts / np.maximum(size, 1)[:, None, None]
    # Of each unit of sample variance.
    spread = np.where(complete, 0, weight**2 / np.maximum(size - 1, 1))
    true, shown = share.sum(axis=1), share.sum(axis=2)  # (m, n)
    hits = np.einsum("hkk->hk", share)
    p_true, p_shown, p_hits = weight @ true, weight @ shown, weight @ hits
    unknown = np.full(len(p_true), np.nan)

    def ratio(whole: NDArray[np.float64], parts: NDArray[np.float64]) -> tuple[Any, Any]:
        """Return hits by a whole, and the standard error; `parts` are those of the strata."""
        value = np.divide(p_hits, whole, out=unknown.copy(), where=whole > 0)
        # Units are 1 - value where they hit, -value where they are of the whole alone.
        mean = hits - value * parts
        square = hits * (1 - value) ** 2 + (parts - hits) * value**2
        variance = spread @ np.maximum(square - mean**2, 0)
        return value, np.sqrt(variance) / np.where(whole > 0, whole, np.nan)

    users, users_error = ratio(p_shown, shown)
    producers, producers_error = ratio(p_true, true)
    right = hits.sum(axis=1)
    return AreaEstimate(
        mapped=np.asarray(mapped, np.float64),
        area=p_true * strata.sum(),
        area_error=np.sqrt(spread @ (true * (1 - true))) * strata.sum(),
        users=users,
        users_error=users_error,
        producers=producers,
        producers_error=producers_error,
        overall=float(p_hits.sum()),
        overall_error=float(np.sqrt(spread @ (right * (1 - right)))),
    )


def allocate_sample(
    weights: NDArray[np.float64], available: NDArray[np.int64], n: int, least: int = 0
) -> NDArray[np.int64]:
    """Divide a sample over the mapped classes.

    Half of it is divided equally, for rare classes, and half by area, which keeps the error of the
    whole small; the source (5.1.1) recommends such a compromise. With `least`, each class gets that
    many, and the rest is divided by area. No class gets more units than it has pixels.

    Args:
        weights: area of each class, shape (n,).
        available: its pixels.
        n: units to draw; at least two for each class that is mapped.
        least: units of each class, at least; fewer where `n` does not suffice for all.
    """
    present = available > 0
    if least:
        first = min(least, n // int(present.sum()))
        whole: NDArray[np.int64] = np.minimum(np.where(present, first, 0), available)
        wanted = whole + (n - whole.sum()) * weights / weights.sum()
    else:
        shares = np.where(present, 0.5 / present.sum() + 0.5 * weights / weights.sum(), 0)
        wanted = np.maximum(shares * n, np.where(present, 2, 0))
    whole = np.minimum(np.floor(wanted).astype(np.int64), available)
    for i in np.argsort(-(wanted - np.floor(wanted)), kind="stable"):
        if whole.sum() < n and present[i]:
            whole[i] = min(whole[i] + 1, available[i])
    return whole
