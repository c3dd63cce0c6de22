"""Splits by area: which windows of which images train, validate and test.

A split is made of groups, never of pixels or patches: samples of one area share a group, and a
group is wholly in one split. Where neighbors of one raster fall into different splits, the labels
of a buffer between them are erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np

from swath.errors import UsageError
from swath.geo.footprints import overlaps
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window, iter_blocks, window_distance
from swath.types import OwnSplit, SplitName

MAX_DEFAULT_BLOCK = 4096
"""Side of a block by default, in pixels, at most: scoring holds a block in memory."""


TOUCHING = 0.001
"""Share of the smaller image from which two images share an area."""


@dataclass(frozen=True)
class Area:
    """A window of an image, with the group of all windows of the same area."""

    name: str
    image: int
    window: Window
    group: str


def areas(
    image: int, name: str, grid: GeoBox, group: str | None, block: int, prefix: bool
) -> Iterator[Area]:
    """Yield the whole image as one area of its group, or without a group its blocks as one each.

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


@dataclass(frozen=True)
class Lattice:
    """Where the blocks of an image begin: those of another image, in whose pixels it lies.

    Attributes:
        image: position of that image, whose first block begins at its first pixel.
        row: row of it on which the first row of this image lies.
        col: column, likewise.
    """

    image: int
    row: int = 0
    col: int = 0


def find_lattices(grids: Sequence[GeoBox], cut: Sequence[bool]) -> list[Lattice]:
    """Return the lattice of each image, so that blocks of one place are the same in all of them.

    Images that share an area, also by way of others, have one if their pixels are of one CRS, size
    and direction.

    Args:
        grids: of the images.
        cut: which of them are cut into blocks; others are their own.
    """
    ids = [i for i, is_cut in enumerate(cut) if is_cut]
    first = list(range(len(grids)))
    for i in ids:
        first[i] = _first_on_grid(i, ids, grids)
    distinct = [i for i in ids if first[i] == i]
    pairs = overlaps([grids[i] for i in distinct], [str(i) for i in distinct], TOUCHING)
    linked = sorted((distinct[a], distinct[b]) for a, b, _ in pairs)
    for a, b in linked:
        if _have_alike_pixels(grids[a], grids[b]):
            old, new = max(first[a], first[b]), min(first[a], first[b])
            first = [new if k == old else k for k in first]
    out = []
    for i, grid in enumerate(grids):
        col, row = ~grids[first[i]].affine * grid.point(0, 0)
        out.append(Lattice(first[i], round(row), round(col)))
    return out


def _first_on_grid(i: int, ids: Sequence[int], grids: Sequence[GeoBox]) -> int:
    """Return the position of the first grid that lies pixel on pixel with grid i."""
    (x, y), pixel = grids[i].point(0, 0), max(map(abs, grids[i].transform[:2]))
    origins = ((j, grids[j].point(0, 0)) for j in ids)
    near = (j for j, (u, v) in origins if max(abs(u - x), abs(v - y)) <= pixel)
    return next(j for j in near if grids[j].same_as(grids[i]))


def _have_alike_pixels(a: GeoBox, b: GeoBox) -> bool:
    """Return whether two grids have one CRS and equal pixels, to 0.1 pixels along the longer."""
    length = max(a.height, a.width, b.height, b.width)
    near = 0.1 * max(map(abs, a.transform[:2])) / length
    alike = all(abs(a.transform[k] - b.transform[k]) <= near for k in (0, 1, 3, 4))
    return alike and a.same_crs(b)


def lattice_areas(
    image: int,
    names: Sequence[str],
    grids: Sequence[GeoBox],
    lattice: Lattice,
    block: int,
    prefix: bool,
) -> Iterator[Area]:
    """Yield the blocks of an image, cut along a lattice; a group is a block of the lattice.

    Args:
        image: position of the image.
        names: of all images.
        grids: of all images.
        lattice: of the image.
        block: side of a block, in pixels.
        prefix: whether groups begin with the name of the lattice's image.
    """
    grid, other = grids[image], grids[lattice.image]
    rows, cols = -(-other.height // block), -(-other.width // block)
    start = f"{names[lattice.image]}/" if prefix else ""
    number = 0
    for row in range(lattice.row // block, -(-(lattice.row + grid.height) // block)):
        for col in range(lattice.col // block, -(-(lattice.col + grid.width) // block)):
            top, left = row * block - lattice.row, col * block - lattice.col
            window = Window(top, left, block, block).within(grid.window)
            inside = 0 <= row < rows and 0 <= col < cols
            cell = str(row * cols + col) if inside else f"{row}_{col}"
            yield Area(f"{names[image]}/{number}", image, window, start + cell)
            number += 1


def default_block(grids: Sequence[GeoBox]) -> int:
    """Return the side of a block in pixels, by the longest side of all images.

    It is an eighth of that, a multiple of 32, and between 64 and `MAX_DEFAULT_BLOCK`.
    """
    longest = max(max(g.height, g.width) for g in grids)
    return min(MAX_DEFAULT_BLOCK, max(64, -(-longest // 8 // 32) * 32))


def buffered(
    areas: Sequence[Area], split_of: Mapping[str, SplitName], buffer: int
) -> Iterator[tuple[Area, Window]]:
    """Yield the windows of areas that lie within `buffer` pixels of an area of another split.

    Test areas stay whole; validation areas yield to test, training areas to both.
    """
    if not buffer:
        return
    rank = {"test": 0, "val": 1, "train": 2, "unlabeled": 3}
    # Areas that are near each other begin in one cell or in neighboring ones.
    side = buffer + max((max(a.window.height, a.window.width) for a in areas), default=1)
    cells: dict[tuple[int, int, int], list[Area]] = {}
    for area in areas:
        cell = area.image, area.window.row // side, area.window.col // side
        cells.setdefault(cell, []).append(area)
    for (image, row, col), inside in cells.items():
        around = [(image, r, c) for r in range(row - 1, row + 2) for c in range(col - 1, col + 2)]
        neighbors = [other for cell in around for other in cells.get(cell, ())]
        for area in inside:
            own = rank[split_of[area.group]]
            for other in (o for o in neighbors if rank[split_of[o.group]] < own):
                if window_distance(area.window, other.window) < buffer:
                    yield area, other.window.grow(buffer).within(area.window)


def assign_splits(
    groups: Sequence[str],
    test: Sequence[str] | None,
    val: Sequence[str] | None,
    seed: int,
    own: Mapping[str, OwnSplit] | None = None,
) -> dict[str, SplitName]:
    """Put every group wholly into one split.

    A split of the dataset's own is kept, unless `test` or `val` name the groups of that split;
    then those of its own that are not named train. A split that the dataset does not have is drawn
    from its training groups.

    Args:
        groups: names of all groups.
        test: groups of the test split; `["none"]` or empty for none; None for 20% of the groups,
            drawn by seed. A group is named in full or by the last part of its path, where that is
            of one group; groups of one folder by the folder, of a split of `own` by its name.
        val: likewise, None for 15% of the groups that are left (none where fewer than three are
            left).
        seed: of the draw.
        own: the dataset's own split by group, for those that have one.

    Raises:
        UsageError: a named group does not exist, is named for both splits, or nothing is left to
            train on.
    """
    names = sorted(set(groups))
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    chosen_val = _named(val, names, "--val", own or {})
    chosen_test = _named(test, names, "--test", own or {})
    known = set(names)
    own = {g: s for g, s in (own or {}).items() if g in known}
    if chosen_test is None:
        chosen_test = _own_or_drawn("test", own, shuffled, chosen_val or [])
    if chosen_val is None:
        chosen_val = _own_or_drawn("val", own, shuffled, chosen_test)
    _check_splits(chosen_test, chosen_val, names)
    of: dict[str, SplitName] = dict.fromkeys(names, "train")
    return of | dict.fromkeys(chosen_test, "test") | dict.fromkeys(chosen_val, "val")


def _own_or_drawn(
    split: Literal["test", "val"],
    own: Mapping[str, OwnSplit],
    shuffled: Sequence[str],
    taken: Sequence[str],
) -> list[str]:
    """Return the groups of a split that is not named: the dataset's own, else drawn.

    Args:
        split: the split.
        own: the dataset's own split by group.
        shuffled: all groups in random order.
        taken: groups of the other of test and validation split, as far as known.
    """
    others = set(taken)
    if split in own.values():
        return [g for g in sorted(own) if own[g] == split and g not in others]
    free = [g for g in shuffled if g not in others and own.get(g) not in ("test", "val")]
    if split == "val":
        return free[-max(1, round(0.15 * len(free))) :] if len(free) > 2 else []
    count = len(free) if own else len(shuffled)
    return free[: min(max(1, round(0.2 * count)), len(free) - 1)] if free else []


def _check_splits(test: Sequence[str], val: Sequence[str], names: Sequence[str]) -> None:
    both = sorted(set(test) & set(val))
    if both:
        message = f"Group {both[0]!r} is in both --test and --val"
        raise UsageError(message, code="option-conflict", fix="Name the group once")
    if len(test) + len(val) >= len(names):
        message = f"No group is left to train on (groups: {', '.join(names)})"
        fix = "Name fewer in --test and --val, or give none"
        raise UsageError(message, code="no-training-group", fix=fix)


def overridden(
    split_of: Mapping[str, SplitName], own: Mapping[str, OwnSplit]
) -> dict[str, tuple[OwnSplit, SplitName]]:
    """Return the groups that are not in the dataset's own split: their own, and the new one.

    Training groups of which a split is drawn that the dataset does not have are not among them.
    """
    has = set(own.values())
    return {
        group: (split, split_of[group])
        for group, split in own.items()
        if group in split_of
        and split_of[group] != split
        and not (split == "train" and split_of[group] not in has)
    }


def _named(
    wanted: Sequence[str] | None, names: Sequence[str], option: str, own: Mapping[str, OwnSplit]
) -> list[str] | None:
    if wanted is None:
        return None
    if list(wanted) == ["none"]:
        return []
    chosen: dict[str, None] = {}
    at = 0
    while at < len(wanted):
        # The longest match, because the commas of a name have split it.
        for stop in range(len(wanted), at, -1):
            groups = _groups_called(wanted[at:stop], names, option, own)
            if groups:
                chosen |= dict.fromkeys(groups)
                at = stop
                break
        else:
            raise _no_such_group(wanted[at], names, option)
    return list(chosen)


def _groups_called(
    parts: Sequence[str], names: Sequence[str], option: str, own: Mapping[str, OwnSplit]
) -> list[str]:
    """Return the group of a name in full, else by the last part of its path, in any case.

    A name of no group is that of a folder with groups, else of the dataset's own split.
    """
    spelled = {", ".join(parts), ",".join(parts)}
    exact = spelled & set(names)
    if exact:
        return [min(exact)]
    folded = {s.casefold() for s in spelled}
    leaves = _with_leaf(spelled, folded, names)
    if len(leaves) > 1:
        message = f"{option} names {parts[0]!r}, which is of {len(leaves)} groups"
        fix = f"Name one in full: {_listed(leaves)}"
        raise UsageError(message, code="ambiguous-group", fix=fix)
    below = [n for n in names if any(n.startswith(f"{s}/") for s in spelled)]
    return leaves or below or [n for n in names if own.get(n) in folded]


def _with_leaf(spelled: set[str], folded: set[str], names: Sequence[str]) -> list[str]:
    """Return the groups whose last part is one of the spellings, else in any case."""
    leaf = {name: name.rpartition("/")[2] for name in names}
    exact = [name for name in names if leaf[name] in spelled]
    return exact or [name for name in names if leaf[name].casefold() in folded]


def _no_such_group(name: str, names: Sequence[str], option: str) -> UsageError:
    lower = {n.casefold(): n for n in names} | {n.rpartition("/")[2].casefold(): n for n in names}
    near = [lower[n] for n in get_close_matches(name.casefold(), list(lower), n=3)]
    hint = f"Near names are: {_listed(list(dict.fromkeys(near)))}. " if near else ""
    message = f"{option} names the group {name!r}, which does not exist"
    fix = f"{hint}The groups are: {_listed(names)}"
    return UsageError(message, code="no-such-group", fix=fix)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
