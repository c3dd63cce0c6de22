"""Stratified random sample of points of a map, in one pass and little memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.errors import UsageError
from swath.evaluation.strata import Measured, Strata
from swath.geo.pixel_area import PixelAreas
from swath.metrics.area_estimation import allocate_sample


def draw_points(
    strata: Strata, areas: PixelAreas, measured: Measured, n: int, seed: int, least: int = 0
) -> NDArray[np.int64]:
    """Draw pixels at random within each stratum, in proportion to their area.

    Every pixel gets an exponential random number divided by its area, and those with the smallest
    numbers of each stratum are drawn.

    Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir".

    Args:
        strata: of the map.
        areas: of its pixels.
        measured: size of the strata.
        n: number of points.
        seed: of the random numbers.
        least: points of each stratum, at least; see `allocate_sample`.

    Returns:
        Rows and columns (points, 2), int64, shuffled across strata.

    Raises:
        UsageError: `n` is less than two for each stratum.
    """
    present = int((measured.pixels > 0).sum())
    if n < 2 * present:
        raise UsageError(
            f"{n} points are too few for {present} classes",
            code="too-few-points",
            fix="Draw two a class at least",
        )
    wanted = allocate_sample(measured.areas, measured.pixels, n, least)
    rng = np.random.default_rng(seed)
    best: list[NDArray[np.float64]] = [np.empty((0, 3)) for _ in wanted]
    for window, _, indices in strata.chunks("drawing"):
        keys = rng.standard_exponential(indices.shape) / areas.of(window)
        for i, count in enumerate(wanted):
            rows, cols = np.nonzero(indices == i)
            if len(rows) and count:
                found = np.stack([keys[rows, cols], rows + window.row, cols + window.col], axis=1)
                if len(found) > count:
                    found = found[np.argpartition(found[:, 0], count - 1)[:count]]
                merged = np.concatenate([best[i], found])
                best[i] = merged[np.argsort(merged[:, 0])[:count]]
    points = np.concatenate(best)[:, 1:].astype(np.int64)
    shuffled: NDArray[np.int64] = points[rng.permutation(len(points))]
    return shuffled
