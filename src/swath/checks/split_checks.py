"""Checks of a split: whether each part has all classes, and whether two parts share an area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from swath.data.dataset import SPLITS, Manifest, Sample
from swath.data.statistics import check_class_count, totals
from swath.errors import DataError
from swath.geo.footprints import overlaps
from swath.types import Finding, SplitName

MAX_LISTED_LEAKS = 5  # leaks that are listed; the rest is counted


class _Leak(NamedTuple):
    a: Sample
    b: Sample
    what: str


def check_split(
    manifest: Manifest, duplicates: Sequence[tuple[str, str]], found: Sequence[Finding] = ()
) -> Iterator[Finding]:
    """Yield splits that are empty or lack a class, and samples of two splits that show the same.

    Args:
        manifest: the dataset.
        duplicates: pairs of names of images that show the same.
        found: findings on the source; labels of one class are accepted where these report them.

    Raises:
        DataError: no labeled pixel is left to train on, or all are of one class.
    """
    if all(f.code != "single-class" for f in found):
        check_class_count(manifest, manifest.source)
    yield from _check_classes(manifest)
    yield from _check_leaks(manifest, duplicates)


def _check_classes(manifest: Manifest) -> Iterator[Finding]:
    names, source = np.array(manifest.legend.names), manifest.source
    pixels = {split: totals(manifest.of(split), len(names)) for split in SPLITS}
    present = np.sum(list(pixels.values()), axis=0) > 0
    for split, counts in pixels.items():
        absent = names[present & (counts == 0)]
        if not counts.any():
            yield _empty_split(manifest, split)
        elif len(absent):
            message = f"Absent from the {split} split: {', '.join(absent)}."
            fix = "Choose other groups with --test and --val, or another --seed."
            yield Finding("warning", "class-absent", source, message, fix)
    if not present.all():
        message = f"Classes without any valid labeled pixel: {', '.join(names[~present])}."
        fix = "Check the labels, and whether they lie on nodata; or leave the class out."
        yield Finding("warning", "class-empty", source, message, fix)


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
