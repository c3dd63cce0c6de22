"""What labels are needed: per class, by place, and where two of them disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.server.labeling.labels.label_store import Snapshot
from swath.server.labeling.quick.quick_map import NODATA, UNKNOWN, QuickMap

MIN_LABELS = 3
"""Labels that a class needs, so that folds can leave some out."""

MIN_PIXELS = 100
"""Labeled pixels that a class needs."""

LOW_IOU = 0.5
"""IoU of a class below which more labels are asked for."""

STILL_RISING = 0.03
"""Rise of a class's IoU in the last training above which more labels pay."""

CELL = 16
"""Side of the cells in which uncertainty is averaged, in pixels."""

PLACE = 3
"""Cells a side of a place to label."""

MAX_CONFLICTS = 100
"""Overlaps of labels that are listed."""

Need = Literal["none", "more", "enough"]


@dataclass(frozen=True)
class Place:
    """A place whose label would help most.

    Attributes:
        window: rows and columns of the scene.
        code: of the class that the quick map has there.
        confidence: mean of the map there, in percent.
    """

    window: Window
    code: int
    confidence: int


@dataclass(frozen=True)
class Conflict:
    """Two labels of different classes that overlap.

    Attributes:
        fids: their ids.
        classes: names of their classes.
        overlap: what both cover, in columns and rows.
    """

    fids: tuple[int, int]
    classes: tuple[str | None, str | None]
    overlap: Any


def need_of(
    labels: int, pixels: int | None, score: float | None, before: float | None
) -> tuple[Need, str]:
    """Return whether a class needs more labels, and why.

    Args:
        labels: of the class.
        pixels: that they cover; None where they were not counted yet.
        score: IoU of the class in the folds, None where it has none.
        before: that of the training before.
    """
    if labels == 0:
        return "none", "no label yet"
    if labels < MIN_LABELS:
        return "more", f"{labels} of at least {MIN_LABELS} labels"
    if pixels is not None and pixels < MIN_PIXELS:
        return "more", f"{pixels} of at least {MIN_PIXELS} pixels"
    if score is not None and score < LOW_IOU:
        return "more", f"its score, {score:.2f}, is low"
    if score is not None and before is not None and score - before > STILL_RISING:
        return "more", f"its score rose by {score - before:.2f} with the last labels"
    return "enough", ""


def suggest(quick: QuickMap, number: int, labeled: Sequence[Any], count: int) -> list[Place]:
    """Return the places of a quick map that are most uncertain, apart from each other.

    Places of classes that were chosen before, and near chosen ones, count less; labels are avoided.

    Args:
        quick: the map.
        number: of the training whose blocks are used.
        labeled: geometries of labels, in columns and rows.
        count: places, at most.
    """
    cells = [_cells(quick, index, number) for index in sorted(quick.mapped(number))]
    rows = np.concatenate([np.zeros((0, 5)), *cells])
    if not len(rows):
        return []
    rows = rows[~_touched(rows, labeled)]
    middles, codes, uncertainty = rows[:, :2], rows[:, 2], rows[:, 3].copy()
    reach = max(np.ptp(rows[:, :2]) / 8, 4 * CELL) if len(rows) else 1.0
    places: list[Place] = []
    while len(places) < count and len(rows) and uncertainty.max() > 0:
        best = int(uncertainty.argmax())
        places.append(_place(quick, rows[best]))
        distance = ((middles - middles[best]) ** 2).sum(axis=1)
        uncertainty *= 1 - np.exp(-distance / (2 * reach**2))
        uncertainty[codes == codes[best]] *= 0.7
    return places


def _cells(quick: QuickMap, index: int, number: int) -> NDArray[np.float64]:
    """Return places in a block (n, 5): row, column, code, mean uncertainty and confidence."""
    block, core = quick.get(index), quick.mosaic.cores[index]
    high, wide = core.height // CELL, core.width // CELL
    if block is None or block.round != number or min(high, wide) < PLACE:
        return np.zeros((0, 5))
    shape = (high, CELL, wide, CELL)
    percent = block.confidence[: high * CELL, : wide * CELL].reshape(shape)
    codes = block.codes[: high * CELL, : wide * CELL].reshape(shape)
    valid = percent != UNKNOWN
    uncertainties = np.where(valid, 100.0 - percent, 0).mean(axis=(1, 3))
    whole = valid.all(axis=(1, 3))
    windows = np.lib.stride_tricks.sliding_window_view
    mean = windows(uncertainties, (PLACE, PLACE)).mean(axis=(2, 3))
    usable = windows(whole, (PLACE, PLACE)).all(axis=(2, 3))
    row, col = np.nonzero(usable)
    middle = codes[row + PLACE // 2, CELL // 2, col + PLACE // 2, CELL // 2]
    half = PLACE * CELL / 2
    out = np.column_stack(
        [
            core.row + row * CELL + half,
            core.col + col * CELL + half,
            middle,
            mean[row, col],
            100 - mean[row, col],
        ]
    )
    return np.asarray(out[middle != NODATA], np.float64)


def _touched(rows: NDArray[np.float64], labeled: Sequence[Any]) -> NDArray[np.bool_]:
    """Return which places (n,) touch a label."""
    half = PLACE * CELL / 2
    boxes = shapely.box(rows[:, 1] - half, rows[:, 0] - half, rows[:, 1] + half, rows[:, 0] + half)
    out = np.zeros(len(rows), bool)
    if len(labeled):
        out[shapely.STRtree(labeled).query(boxes, predicate="intersects")[0]] = True
    return out


def _place(quick: QuickMap, row: NDArray[np.float64]) -> Place:
    side = PLACE * CELL
    window = Window(int(row[0] - side / 2), int(row[1] - side / 2), side, side)
    codes, _ = quick.read(window)
    known = codes[codes != NODATA]
    values, counts = np.unique(known, return_counts=True)
    code = int(values[counts.argmax()]) if len(values) else int(row[2])
    return Place(window, code, round(float(row[4])))


def conflicts(snapshot: Snapshot, shapes: NDArray[Any]) -> list[Conflict]:
    """Return overlaps of labels of different classes, the largest first.

    Args:
        snapshot: the labels.
        shapes: their geometries in columns and rows (n,), None where there is none.
    """
    usable = np.array([s is not None and shapely.is_valid(s) for s in shapes], bool)
    at = np.flatnonzero(usable)
    if not len(at):
        return []
    labels, known = [snapshot.labels[i] for i in at], shapes[at]
    one, other = shapely.STRtree(known).query(known, predicate="intersects")
    first = one < other
    pairs = [
        (i, j)
        for i, j in zip(one[first].tolist(), other[first].tolist(), strict=True)
        if labels[i].name != labels[j].name
    ]
    if not pairs:
        return []
    left, right = np.array(pairs).T
    overlaps = shapely.intersection(known[left], known[right])
    areas = shapely.area(overlaps)
    order = [k for k in np.argsort(-areas, kind="stable") if _real(overlaps[k], known, pairs[k])]
    return [
        Conflict(
            (labels[left[k]].fid, labels[right[k]].fid),
            (labels[left[k]].name, labels[right[k]].name),
            overlaps[k],
        )
        for k in order[:MAX_CONFLICTS]
    ]


def _real(overlap: Any, shapes: NDArray[Any], pair: tuple[int, int]) -> bool:
    """Return whether an overlap is more than a border that two polygons share."""
    both = min(shapely.get_dimensions(shapes[i]) for i in pair)
    return bool(shapely.get_dimensions(overlap) >= both) and (both < 2 or overlap.area >= 1)
