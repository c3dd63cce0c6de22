"""Checks of a split: whether each part has all classes, and whether two parts share an area."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import SPLITS, Manifest, Sample
from swath.data.statistics import check_class_count, totals
from swath.errors import DataError
from swath.geo.footprints import overlaps
from swath.types import Finding, SplitName

MAX_LISTED_LEAKS = 5  # leaks that are listed; the rest is counted
MAX_SEEDS = 50  # draws that are tried for one that gives all classes to every split
MAX_LISTED_GROUPS = 5  # groups with a class that a mend names
MIN_BLOCK = 64  # pixels along a block below which no smaller one is proposed

Draw: TypeAlias = Callable[[int], Mapping[str, SplitName]]
"""Returns the split of each group by seed."""


class _Leak(NamedTuple):
    a: Sample
    b: Sample
    what: str


def check_split(
    manifest: Manifest,
    duplicates: Sequence[tuple[str, str]],
    found: Sequence[Finding] = (),
    draw: Draw = lambda _: {},
) -> Iterator[Finding]:
    """Yield splits that are empty or lack a class, and samples of two splits that show the same.

    Args:
        manifest: the dataset.
        duplicates: pairs of names of images that show the same.
        found: findings on the source; labels of one class are accepted where these report them.
        draw: splits the groups anew, for a seed that gives all classes to every split.

    Raises:
        DataError: no labeled pixel is left to train on, or all are of one class.
    """
    if all(f.code != "single-class" for f in found):
        check_class_count(manifest, manifest.source)
    yield from _check_classes(manifest, draw)
    yield from _check_leaks(manifest, duplicates)


def _check_classes(manifest: Manifest, draw: Draw) -> Iterator[Finding]:
    names, source = np.array(manifest.legend.names), manifest.source
    pixels = {split: totals(manifest.of(split), len(names)) for split in SPLITS}
    present = np.sum(list(pixels.values()), axis=0) > 0
    groups = _count_groups(manifest)
    wanted = [s for s in SPLITS if pixels[s].any()]
    seed = cache(lambda: _seed_of_all(groups, wanted, draw))
    for split, counts in pixels.items():
        absent = names[present & (counts == 0)]
        if not counts.any():
            yield _empty_split(manifest, split)
        elif len(absent):
            message = f"Absent from the {split} split: {', '.join(absent)}."
            lost = names.tolist().index(absent[0])
            fix = _mend_absent(manifest, lost, groups, len(wanted), seed)
            yield Finding("warning", "class-absent", source, message, fix)
    if not present.all():
        message = f"Classes without any valid labeled pixel: {', '.join(names[~present])}."
        fix = "Check the labels, and whether they lie on nodata; or leave the class out."
        yield Finding("warning", "class-empty", source, message, fix)


def _labeled(manifest: Manifest) -> list[Sample]:
    return [sample for sample in manifest.samples if sample.split in SPLITS]


def _count_groups(manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """Return the pixels of each class by group, in the order of their names."""
    labeled = _labeled(manifest)
    n = len(manifest.legend.names)
    counts = {group: np.zeros(n, np.int64) for group in sorted({s.group for s in labeled})}
    for sample in labeled:
        counts[sample.group] += np.array(sample.counts, np.int64)
    return counts


def _mend_absent(
    manifest: Manifest,
    lost: int,
    counts: Mapping[str, NDArray[np.int64]],
    wanted: int,
    seed: Callable[[], int | None],
) -> str:
    """Return what gives a class to every split that has labels.

    Args:
        manifest: the dataset.
        lost: index of the class.
        counts: pixels of each class by group.
        wanted: number of splits that have labels.
        seed: returns a seed that gives them all classes, None without one.
    """
    name = manifest.legend.names[lost]
    holders = [group for group, pixels in counts.items() if pixels[lost]]
    listed = ", ".join(holders[:MAX_LISTED_GROUPS])
    listed += ", ..." if len(holders) > MAX_LISTED_GROUPS else ""
    if len(holders) < wanted:
        have = "has" if len(holders) == 1 else "have"
        fix = f"Label {name} in more groups: only {listed} of {len(counts)} {have} it"
        labeled = _labeled(manifest)
        side = max(max(s.window.height, s.window.width) for s in labeled)
        is_cut = any(manifest.images[s.image].grid.window != s.window for s in labeled)
        smaller = f", or cut smaller blocks (--block {side // 2})"
        return f"{fix}{smaller if is_cut and side >= 2 * MIN_BLOCK else ''}."
    found = seed()
    if found is not None:
        return f"Draw other groups with --seed {found}, which gives every split all classes."
    return f"Name other groups with --test and --val: {name} is in {listed}."


def _seed_of_all(
    counts: Mapping[str, NDArray[np.int64]], wanted: Sequence[SplitName], draw: Draw
) -> int | None:
    """Return the seed whose draw leaves most pixels to the rarest class of a split.

    It is None if every draw leaves a split without a class.
    """
    table = np.array([*counts.values()])
    table = table[:, table.any(axis=0)]
    best, least = None, 0
    for seed in range(MAX_SEEDS):
        split_of = draw(seed)
        splits = np.array([split_of.get(group, "") for group in counts])
        smallest = min(int(table[splits == split].sum(axis=0).min()) for split in wanted)
        if smallest > least:
            best, least = seed, smallest
    return best


def _empty_split(manifest: Manifest, split: SplitName) -> Finding:
    source, fix = manifest.source, "Choose a smaller --block or --buffer"
    if split == "train":
        message = "No labeled pixel is left to train on"
        raise DataError(message, code="no-training-pixel", file=source, fix=fix)
    if manifest.of(split):
        message = f"No labeled pixel is left in the {split} split."
        return Finding("warning", "unlabeled-split", source, message, f"{fix}, or other groups.")
    message, fix = f"The {split} split is empty.", f"Name groups with --{split}."
    return Finding("note", "empty-split", source, message, fix)


def _check_leaks(manifest: Manifest, duplicates: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Yield samples of two splits that share an area, or show the same."""
    labeled = [s for s in manifest.samples if s.split in SPLITS]
    found = [*_shared_areas(manifest, labeled), *_shared_pixels(manifest, labeled, duplicates)]
    leaks = [leak for leak in found if leak.a.split != leak.b.split]
    for number, (a, b, what) in enumerate(leaks[:MAX_LISTED_LEAKS], 1):
        message = f"{a.name} ({a.split}) and {b.name} ({b.split}) {what}: scores will be too good."
        if number == MAX_LISTED_LEAKS < len(leaks):
            message += f" There are {len(leaks) - number} more such pairs."
        fix = "Put both into one group (folder), or name their groups for one split."
        if manifest.images[a.image].grid.window != a.window:
            fix = "Name one of both images (--images), or images of one CRS and pixel size."
        yield Finding("warning", "split-leak", manifest.source, message, fix)


def _shared_areas(manifest: Manifest, labeled: Sequence[Sample]) -> Iterator[_Leak]:
    grids = [manifest.images[s.image].grid.part(s.window) for s in labeled]
    for i, j, share in overlaps(grids, [s.split for s in labeled]):
        if labeled[i].image != labeled[j].image:
            yield _Leak(labeled[i], labeled[j], f"share {share:.0%} of their area")


def _shared_pixels(
    manifest: Manifest, labeled: Sequence[Sample], duplicates: Sequence[tuple[str, str]]
) -> Iterator[_Leak]:
    samples_of: dict[str, list[Sample]] = {}
    for sample in labeled:
        samples_of.setdefault(manifest.images[sample.image].name, []).append(sample)
    for later, first in duplicates:
        for a in samples_of.get(later, []):
            for b in samples_of.get(first, []):
                if a.window.within(b.window).size:
                    yield _Leak(a, b, "show the same")
