"""Stratified random sample of points of a map, in one pass and little memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.errors import UsageError
from swath.geo.pixel_area import PixelAreas
from swath.io.map_reader import MapFile
from swath.legend import IGNORE, Legend
from swath.metrics.area_estimation import allocate_sample


@dataclass(frozen=True)
class Strata:
    """The mapped classes: pixels and square meters of each, shape (n,)."""

    legend: Legend
    pixels: NDArray[np.int64]
    areas: NDArray[np.float64]


def measure_strata(mapped: MapFile, areas: PixelAreas) -> Strata:
    """Measure the pixels and the area of each mapped class."""
    legend = mapped.legend.of_maps()
    n = len(legend.trained)
    pixels, meters = np.zeros(n, np.int64), np.zeros(n)
    for window, codes in mapped.chunks("measuring"):
        classes = legend.encode(codes).ravel()
        held = classes != IGNORE
        pixels += np.bincount(classes[held], minlength=n)
        meters += np.bincount(classes[held], areas.of(window).ravel()[held], minlength=n)
    return Strata(legend, pixels, meters)


def draw_points(mapped: MapFile, areas: PixelAreas, n: int, seed: int) -> NDArray[np.int64]:
    """Draw pixels at random within each mapped class, in proportion to their area.

    Every pixel gets an exponential random number divided by its area, and those with the smallest
    numbers of each class are drawn.

    Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir".

    Returns:
        Rows and columns (points, 2), int64, shuffled across classes.

    Raises:
        UsageError: `n` is less than two for each class.
    """
    strata = measure_strata(mapped, areas)
    classes = int((strata.pixels > 0).sum())
    if n < 2 * classes:
        raise UsageError(
            f"{n} points are too few for {classes} classes",
            code="too-few-points",
            fix="Draw two a class at least",
        )
    wanted = allocate_sample(strata.areas, strata.pixels, n)
    rng = np.random.default_rng(seed)
    best: list[NDArray[np.float64]] = [np.empty((0, 3)) for _ in wanted]
    for window, codes in mapped.chunks("drawing"):
        indices = strata.legend.encode(codes)
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
