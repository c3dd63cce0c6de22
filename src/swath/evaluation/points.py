"""Points that a person has labeled, counted by what the map shows and what the person saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.evaluation.strata import PIXELS, Measured, Strata, pixels_of
from swath.geo.crs import near, x_period
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile
from swath.io.vector import Features, read_facts, read_features, read_layer, refuse_losses
from swath.legend import IGNORE, LandClass, Legend, fold
from swath.options import AreaOptions
from swath.transitions import DATES

OTHER_MAP = "Give the map that the points were drawn on; delete the point only if you added it"
"""Mend of a point that `swath sample` cannot have drawn on the map."""

ANEW = "Give the map that the points were drawn on, or draw points anew (`swath sample`)"
"""Mend of points of another map."""

MAX_LISTED = 5
"""Points that a warning lists."""


@dataclass(frozen=True)
class CheckedPoints:
    """Points that were checked.

    Attributes:
        legend: the mapped classes, then the transitions that were seen and are never mapped.
        counts: number of points (m, n, n) by stratum, mapped class and true class.
        warnings: that points of the sample are missing or were moved, or the map has changed.
    """

    legend: Legend
    counts: NDArray[np.int64]
    warnings: tuple[str, ...] = ()


def count_points(
    options: AreaOptions, source: MapFile, strata: Strata, measured: Measured
) -> CheckedPoints:
    """Count the points of a layer.

    Raises:
        DataError: the layer is damaged, or holds points off the map, a point twice, points of
            another map or classes that are none.
    """
    transitions = source.transitions
    if transitions is None:
        points = _read(options, options.field)
        classes = strata.legend.trained
        seen = [classes[_class_index(v, classes, points)].map_code for v in points.values]
    else:
        dates = [_read(options, f"{options.field}_{date}") for date in DATES]
        points = dates[0]
        pairs = [
            [_class_index(value, transitions.classes, one) for value in one.values] for one in dates
        ]
        seen = transitions.table[pairs[0], pairs[1]].tolist()
    legend = strata.legend
    mapped = {c.map_code for c in legend.trained}
    if transitions is not None:
        unmapped = sorted(set(seen) - mapped)
        extra = tuple(transitions.land_class(code) for code in unmapped)
        legend = Legend((*legend.trained, *extra), origin=legend.origin)
    places = {c.map_code: i for i, c in enumerate(legend.trained)}
    counts = np.zeros((len(strata.names), len(places), len(places)), np.int64)
    windows = _pixels(points, source)
    for window, code in zip(windows, seen, strict=True):
        shown, stratum = (int(found[0, 0]) for found in strata.read(window))
        if shown == IGNORE:
            x, y = source.grid.point(window.col + 0.5, window.row + 0.5)
            message = f"The point at {x:.9g}, {y:.9g} lies where the map has no data"
            raise DataError(message, code="no-data", file=points.path, fix=OTHER_MAP)
        counts[stratum, shown, places[code]] += 1
    path = Path(options.reference)
    columns = read_layer(path).columns
    warnings = [
        *_missing(path, columns),
        *_moved(path, columns, windows),
        *_changed(path, source, measured),
    ]
    return CheckedPoints(legend, counts, tuple(warnings))


def _read(options: AreaOptions, field: str) -> Features:
    """Read the points with the class of each; all must have one."""
    try:
        points = read_features(options.reference, field, option="--field")
    except DataError as error:
        if error.code != "empty-class":
            raise
        message = error.message.replace(" features", " points")
        fix = "Look at them too, and fill in their class: leaving points out makes areas wrong"
        raise DataError(message, code=error.code, file=error.file, fix=fix) from None
    refuse_losses(points.findings)
    return points


def _missing(path: Path, columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Yield a warning where the numbers that `swath sample` gives, 1 to n, have gaps."""
    try:
        ids = np.asarray(columns.get("id", ()), np.float64)
    except (TypeError, ValueError):
        return
    n, whole = len(ids), np.isfinite(ids).all() and (ids == np.round(ids)).all()
    if not n or not whole or len(np.unique(ids)) < n or ids.min() < 1:
        return
    of_sample = {"row", "column"} <= columns.keys()
    if ids.max() > n and (of_sample or ids.max() <= 2 * n):
        last = int(ids.max())
        gaps = np.setdiff1d(np.arange(1, min(last, 10 * n) + 1), ids)[:MAX_LISTED].tolist()
        more = ", ..." if last - n > len(gaps) else ""
        yield (
            f"{path}: {last - n} of {last} points are missing (id {', '.join(map(str, gaps))}"
            f"{more}). Leaving points out makes areas wrong: put them back, with the class that "
            "you see there."
        )


def _moved(
    path: Path, columns: Mapping[str, NDArray[Any]], windows: Sequence[Window]
) -> Iterator[str]:
    """Yield a warning where points lie on other pixels than those that `swath sample` drew.

    Raises:
        DataError: most do, so that they were drawn on another map.
    """
    try:
        drawn = np.stack([np.asarray(columns[key], np.float64) for key in ("row", "column")], 1)
    except (KeyError, TypeError, ValueError):
        return
    moved = (drawn != [(w.row, w.col) for w in windows]).any(axis=1)
    count, total = int(moved.sum()), len(windows)
    if 2 * count > total:
        message = (
            f"{count} of {total} points lie on other pixels of the map than their columns row and "
            "column tell: they were drawn on a map of another grid"
        )
        raise DataError(message, code="points-of-another-map", file=path, fix=ANEW)
    if count:
        rows = np.flatnonzero(moved)[:MAX_LISTED] + 1
        more = ", ..." if count > MAX_LISTED else ""
        yield (
            f"{path}: {count} of {total} points (row {', '.join(map(str, rows))}{more} of the "
            "layer) were moved to other pixels than those that were drawn. That makes areas wrong: "
            "move them back to their columns row and column."
        )


def _changed(path: Path, source: MapFile, measured: Measured) -> Iterator[str]:
    """Yield a warning where the classes of the map had other sizes when points were drawn."""
    before = read_facts(path).get(PIXELS)
    if before is not None and before != pixels_of(measured):
        yield (
            f"{path}: The classes of {source.path} have other numbers of pixels than those of the "
            "map that the points were drawn on, so it has changed, or is another map. Areas and "
            f"intervals may be wrong: {ANEW[:1].lower()}{ANEW[1:]}."
        )


def _pixels(points: Features, source: MapFile) -> list[Window]:
    """Return the pixel of each point; no two may be at one place."""
    out: list[Window] = []
    first: dict[tuple[float, float], int] = {}
    to_pixels = ~source.grid.affine
    center = source.grid.point(source.grid.width / 2, source.grid.height / 2)[0]

    def fault(message: str, code: str, fix: str) -> DataError:
        return DataError(message, code=code, file=points.path, fix=fix)

    for number, point in enumerate(points.to_crs(source.grid.crs), 1):
        if point.geom_type != "Point":
            message = f"The layer holds a {point.geom_type}, and must hold points alone"
            raise fault(message, "geometry-type", "Give the layer that `swath sample` wrote")
        x = near(np.array([point.x]), center, x_period(source.grid.crs))[0]
        col, row = (int(np.floor(v)) for v in to_pixels @ (x, point.y))
        if not (0 <= row < source.grid.height and 0 <= col < source.grid.width):
            where = f"Point {number} of the layer, at {point.x:.9g}, {point.y:.9g}, lies outside "
            raise fault(f"{where}the map", "point-outside-map", OTHER_MAP)
        other = first.setdefault((point.x, point.y), number)
        if other != number:
            message = f"Points {other} and {number} of the layer are at one place"
            fix = "Keep one row for each place; points that count twice make intervals too narrow"
            raise fault(message, "point-twice", fix)
        out.append(Window(row, col, 1, 1))
    return out


def _class_index(value: Any, classes: Sequence[LandClass], points: Features) -> int:
    """Return the class that a person wrote: its name or its code."""
    for i, c in enumerate(classes):
        if fold(str(value)) in (fold(c.name), str(c.map_code)):
            return i
    listed = ", ".join(f"{c.map_code} ({c.name})" for c in classes)
    raise DataError(
        f"Column {points.field!r} holds {str(value)!r}, which is no class of the map",
        code="unknown-class",
        file=points.path,
        fix=f"Write one of {listed}; a class that the map never shows cannot be estimated",
    )
