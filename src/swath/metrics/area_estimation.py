"""Areas of classes with standard errors, from a map and a sample of reference labels.

Counting a map's pixels is biased wherever the map confuses classes. The estimators here use the map
only to stratify.

Source: Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land
change", Remote Sensing of Environment 148, equations 1 to 11.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    size = sample.sum(axis=1)
    short = np.flatnonzero((mapped > 0) & (size < 2))
    if len(short):
        raise ValueError(
            f"mapped class {short[0]} has {size[short[0]]:.0f} sample units, and needs at least two"
        )
    weight = mapped / mapped.sum()
    share = sample / np.maximum(size, 1)[:, None]
    p = weight[:, None] * share  # equation 4
    variance = weight[:, None] ** 2 * share * (1 - share) / np.maximum(size - 1, 1)[:, None]
    p_true = p.sum(axis=0)
    hits = np.diag(p)
    users = np.where(size > 0, np.diag(share), np.nan)
    producers = np.divide(hits, p_true, out=np.full(len(mapped), np.nan), where=p_true > 0)
    own = np.diag(variance)
    # Equation 7, in shares: the class's own stratum weighs (1 - producer's)^2, all others
    # producer's^2.
    spread = (1 - producers) ** 2 * own + producers**2 * (variance.sum(axis=0) - own)
    return AreaEstimate(
        mapped=mapped,
        area=p_true * mapped.sum(),
        area_error=np.sqrt(variance.sum(axis=0)) * mapped.sum(),
        users=users,
        users_error=np.sqrt(users * (1 - users) / np.maximum(size - 1, 1)),
        producers=producers,
        producers_error=np.sqrt(spread) / np.where(p_true > 0, p_true, np.nan),
        overall=float(hits.sum()),
        overall_error=float(np.sqrt(own.sum())),
    )


def allocate_sample(
    weights: NDArray[np.float64], available: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Divide a sample over the mapped classes.

    Half of it is divided equally, for rare classes, and half by area, which keeps the error of the
    whole small; the source (5.1.1) recommends such a compromise. No class gets more units than it
    has pixels.

    Args:
        weights: area of each class, shape (n,).
        available: its pixels.
        n: units to draw; at least two for each class that is mapped.
    """
    present = available > 0
    shares = np.where(present, 0.5 / present.sum() + 0.5 * weights / weights.sum(), 0)
    wanted = np.maximum(shares * n, np.where(present, 2, 0))
    whole: NDArray[np.int64] = np.minimum(np.floor(wanted).astype(np.int64), available)
    for i in np.argsort(-(wanted - np.floor(wanted)), kind="stable"):
        if whole.sum() < n and present[i]:
            whole[i] = min(whole[i] + 1, available[i])
    return whole
