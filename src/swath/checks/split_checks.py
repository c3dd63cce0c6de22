"""Judging a split: whether each part can be learnt from and judged by, and whether one part sees what another does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swath.data.dataset import SPLITS, Manifest, Sample
from swath.data.statistics import totals
from swath.errors import DataError
from swath.geo.footprints import overlaps
from swath.types import Finding

LISTED = 5
"""So many leaks are listed, and the rest counted."""


def check_split(manifest: Manifest, alike: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Say where a split lacks a class that others have, has become empty, or sees what another split sees.

    Args:
        manifest: of the dataset.
        alike: names of images that show the same.

    Raises:
        DataError: no labeled pixel is left to train on.
    """
    yield from _coverage(manifest)
    yield from _leaks(manifest, alike)


def _coverage(manifest: Manifest) -> Iterator[Finding]:
    names = manifest.legend.names
    of = {split: totals(manifest.of(split), len(names)) for split in SPLITS}
    for split, counts in of.items():
        if not counts.sum():
            if split == "train":
                raise DataError(
                    "no labeled pixel is left to train on",
                    file=manifest.source,
                    fix="Choose a smaller --block or --buffer",
                )
            if not manifest.of(split):
                yield Finding(
                    "note",
                    "empty-split",
                    manifest.source,
                    f"The {split} split is empty.",
                    f"Name groups with --{split}.",
                )
            else:
                yield Finding(
                    "warning",
                    "unlabeled-split",
                    manifest.source,
                    f"No labeled pixel is left in the {split} split.",
                    "Choose a smaller --block or --buffer, or other groups.",
                )
            continue
        absent = [
            name for i, name in enumerate(names) if not counts[i] and any(t[i] for t in of.values())
        ]
        if absent:
            yield Finding(
                "warning",
                "class-absent",
                manifest.source,
                f"Absent from the {split} split: {', '.join(absent)}.",
                "Choose other groups with --test and --val, or another --seed.",
            )
    nowhere = [name for i, name in enumerate(names) if not any(t[i] for t in of.values())]
    if nowhere:
        yield Finding(
            "warning",
            "class-empty",
            manifest.source,
            f"No valid labeled pixel at all: {', '.join(nowhere)}.",
            "Check the labels, and whether they lie on nodata; or take the class out.",
        )


def _leaks(manifest: Manifest, alike: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Yield images of two splits that see the same ground, or show the same."""
    labeled = [s for s in manifest.samples if s.split in SPLITS]
    grids = [manifest.images[s.image].grid.part(s.window) for s in labeled]
    pairs = [
        (labeled[i], labeled[j], f"see {share:.0%} of the same ground")
        for i, j, share in overlaps(grids, [s.split for s in labeled])
        if labeled[i].image != labeled[j].image
    ]
    by_image: dict[str, list[Sample]] = {}
    for sample in labeled:
        by_image.setdefault(manifest.images[sample.image].name, []).append(sample)
    for x, y in alike:
        twins = [
            (a, b)
            for a in by_image.get(x, [])
            for b in by_image.get(y, [])
            if a.window.within(b.window).size
        ]
        pairs += [(a, b, "show the same") for a, b in twins]
    leaks = [(a, b, what) for a, b, what in pairs if a.split != b.split]
    for a, b, what in leaks[:LISTED]:
        more = (
            f" There are {len(leaks) - LISTED} more such pairs."
            if len(leaks) > LISTED and a is leaks[LISTED - 1][0]
            else ""
        )
        yield Finding(
            "warning",
            "split-leak",
            manifest.source,
            f"{a.name} ({a.split}) and {b.name} ({b.split}) {what}, so scores will be too good.{more}",
            "Put both into one group (folder), or name their groups for one split.",
        )
