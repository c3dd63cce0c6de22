"""What labels are needed: per class, by place, and where two of them disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.mapping.suggestions.choice import choose
from swath.mapping.suggestions.squares import (
    SquareGrid,
    Squares,
    join,
    side_of,
    squares_of_classes,
)
from swath.server.labeling.labels.label_store import Snapshot
from swath.server.labeling.quick.quick_map import UNKNOWN, QuickMap

MIN_LABELS = 3
"""Labels that a class needs, so that folds can leave some out."""

MIN_PIXELS = 100
"""Labeled pixels that a class needs."""

LOW_IOU = 0.5
"""IoU of a class below which more labels are asked for."""

STILL_RISING = 0.03
"""Rise of a class's IoU in the last training above which more labels pay."""

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
    """Return the places of a quick map whose labels would tell most; see `choose`.

    Args:
        quick: the map.
        number: of the training whose blocks are used.
        labeled: geometries of labels, in columns and rows.
        count: places, at most.
    """
    side = side_of(quick.grid.height, quick.grid.width)
    indexes = sorted(quick.mapped(number))
    parts = (_squares(quick, i, number, side, labeled) for i in indexes)
    squares = join(parts, len(indexes))
    chosen = squares[choose(squares, count)]
    return [
        Place(chosen.window(i), int(chosen.classes[i]), round(100 * (1 - float(share))))
        for i, share in enumerate(chosen.shares)
    ]


def _squares(
    quick: QuickMap, index: int, number: int, side: int, labeled: Sequence[Any]
) -> Squares:
    """Return the squares of a block, none where it is not of that training any more."""
    block, core = quick.get(index), quick.mosaic.cores[index]
    grid = SquareGrid(core, side)
    known = np.zeros((core.height, core.width), bool)
    if block is None or block.round != number:
        return squares_of_classes(grid, known.astype(np.uint16), known.astype(np.float32), known)
    known = block.confidence != UNKNOWN
    squares = squares_of_classes(grid, block.codes, block.confidence / np.float32(100), known)
    return replace(squares, labeled=_touched(squares, labeled))


def _touched(squares: Squares, labeled: Sequence[Any]) -> NDArray[np.bool_]:
    """Return which squares (n,) touch a label."""
    rows, cols, heights, widths = squares.windows.T
    boxes = shapely.box(cols, rows, cols + widths, rows + heights)
    out = np.zeros(len(squares), bool)
    if len(labeled):
        out[shapely.STRtree(labeled).query(boxes, predicate="intersects")[0]] = True
    return out


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
