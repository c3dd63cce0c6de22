"""Splits by place: which windows of which images may teach, and which may judge.

A split is made of groups, never of pixels or patches: samples that see the same ground share a
group, and a group is wholly in one split. Where neighbors of one raster fall into different
splits, a buffer between them is left unlabeled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from swath.errors import UsageError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window, iter_blocks, window_distance
from swath.types import SplitName

LARGEST_BLOCK = 4096
"""Pixels a side of a block that nobody asked for, at most: scoring holds a block in memory."""


@dataclass(frozen=True)
class Area:
    """A window of an image, with the group of all that see the same ground."""

    name: str
    image: int
    window: Window
    group: str


def areas(
    image: int, name: str, grid: GeoBox, group: str | None, block: int, prefix: bool
) -> Iterator[Area]:
    """Yield the whole image as one place of its group, or its blocks as a group each where it has none.

    Args:
        image: position of the image in the dataset.
        name: its name.
        grid: its grid.
        group: its group, or None to cut it.
        block: side of a block, in pixels.
        prefix: whether block names begin with the image's name (there are several images).
    """
    if group is not None:
        yield Area(name, image, grid.window, group)
        return
    for number, window in iter_blocks(grid.height, grid.width, block):
        yield Area(f"{name}/{number}", image, window, f"{name}/{number}" if prefix else str(number))


def default_block(grids: Sequence[GeoBox]) -> int:
    """Return the side of a block: an eighth of the longest side, a multiple of 32, at least 64, at most `LARGEST_BLOCK`."""
    longest = max(max(g.height, g.width) for g in grids)
    return min(LARGEST_BLOCK, max(64, -(-longest // 8 // 32) * 32))


def buffered(
    places: Sequence[Area], split_of: dict[str, SplitName], buffer: int
) -> Iterator[tuple[Area, Window]]:
    """Yield the parts of training and validation places that lie within `buffer` pixels of a place of another split.

    Test places stay whole; validation places give way to test, training places to both.
    """
    rank = {"test": 0, "val": 1, "train": 2, "unlabeled": 3}
    # Places that are near each other begin in one cell or in neighboring ones.
    side = buffer + max((max(p.window.height, p.window.width) for p in places), default=1)
    cells: dict[tuple[int, int, int], list[Area]] = {}
    for place in places:
        cells.setdefault(
            (place.image, place.window.row // side, place.window.col // side), []
        ).append(place)
    for place in places:
        mine = rank[split_of[place.group]]
        row, col = place.window.row // side, place.window.col // side
        around = [
            (place.image, r, c) for r in range(row - 1, row + 2) for c in range(col - 1, col + 2)
        ]
        for other in (p for cell in around for p in cells.get(cell, ())) if buffer and mine else ():
            if (
                rank[split_of[other.group]] < mine
                and window_distance(place.window, other.window) < buffer
            ):
                yield place, other.window.grow(buffer).within(place.window)


def assign_splits(
    groups: Sequence[str], test: Sequence[str] | None, val: Sequence[str] | None, seed: int
) -> dict[str, SplitName]:
    """Put every group wholly into one split.

    Args:
        groups: names of all groups.
        test: groups of the test split; `["none"]` or empty for none; None for 20% of the groups,
            drawn by seed.
        val: likewise, None for 15% of the groups that are left (none where fewer than three are
            left).
        seed: of the draw.

    Raises:
        UsageError: a named group does not exist, is named for both splits, or nothing is left to
            train on.
    """
    names = sorted(set(groups))
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    chosen_val = _named(val, names, "--val")
    chosen_test = _named(test, names, "--test")
    if chosen_test is None:
        taken = set(chosen_val or ())
        free = [g for g in shuffled if g not in taken]
        chosen_test = free[: min(max(1, round(0.2 * len(names))), len(free) - 1)]
    if chosen_val is None:
        taken = set(chosen_test)
        free = [g for g in shuffled if g not in taken]
        chosen_val = free[-max(1, round(0.15 * len(free))) :] if len(free) > 2 else []
    both = sorted(set(chosen_test) & set(chosen_val))
    if both:
        raise UsageError(f"group {both[0]!r} is in both --test and --val", fix="Name it once")
    if len(chosen_test) + len(chosen_val) >= len(names):
        raise UsageError(
            f"no group is left to train on (groups: {', '.join(names)})",
            fix="Name fewer in --test and --val, or say none",
        )
    of: dict[str, SplitName] = dict.fromkeys(names, "train")
    return of | dict.fromkeys(chosen_test, "test") | dict.fromkeys(chosen_val, "val")


def _named(wanted: Sequence[str] | None, names: Sequence[str], option: str) -> list[str] | None:
    if wanted is None:
        return None
    if list(wanted) == ["none"]:
        return []
    known = set(names)
    for name in wanted:
        if name not in known:
            listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise UsageError(
                f"{option}: there is no group {name!r}", fix=f"The groups are: {listed}"
            )
    return list(dict.fromkeys(wanted))
