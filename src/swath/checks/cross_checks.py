"""Checks of samples against each other: odd images, duplicates, overlaps and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from swath.checks.duplicates import near_duplicates
from swath.checks.scan import ImageScan, SampleScan
from swath.data.layouts import SourceSample
from swath.geo.footprints import overlaps
from swath.legend import LandClass, Legend
from swath.types import Finding, Level

MIN_SHARE_OF_SIZE = 0.75
"""Share of the images that have one size from which another size is odd."""

MAX_GSD_RATIO = 1.5
"""Ratio of an image's ground sampling distance to the median from which it is odd."""

MAX_DEVIATIONS = 8.0
"""Robust standard deviations from the median beyond which brightness or contrast is odd."""

MIN_IMAGES_FOR_OUTLIERS = 8
"""Images that are needed to find odd ones by their statistics."""

MAX_SIZE_RATIO = 3.0
"""Ratio of pixels of the largest and the smallest image without CRS beyond which scales differ."""

RARE_CLASS = 0.001
"""Share of the labeled pixels below which a class is rare."""

SPARSE_LABELS = 0.05
"""Share of labeled pixels below which a source is sparsely labeled."""

MAX_LISTED_CODES = 30


class Scanned(NamedTuple):
    """A sample that could be read, with its scan."""

    sample: SourceSample
    scan: SampleScan

    @property
    def image(self) -> ImageScan:
        """The scan of its image."""
        return self.scan.image

    def finding(self, code: str, message: str, fix: str, level: Level = "warning") -> Finding:
        """Return a finding on the image."""
        return Finding(level, code, str(self.sample.images[0]), message, fix, self.sample.name)


class DuplicatePair(NamedTuple):
    """Two samples that show the same; `equal` where all their pixels are."""

    later: SourceSample
    first: SourceSample
    equal: bool


def scanned_samples(
    samples: Sequence[SourceSample], scans: Mapping[str, SampleScan]
) -> list[Scanned]:
    """Return the samples that have a scan, in their order."""
    return [Scanned(s, scans[s.name]) for s in samples if s.name in scans]


def check_consistency(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images that differ from most, and notes on all images together."""
    if not scanned:
        return
    images = [s.image for s in scanned]
    ((bands, _),) = Counter(len(image.bands) for image in images).most_common(1)
    ((dtype, _),) = Counter(str(image.dtype) for image in images).most_common(1)
    ((size, same_size),) = Counter(image.size for image in images).most_common(1)
    gsd = median([image.grid.gsd for image in images if image.grid.gsd] or [0.0])
    usual = [s for s in scanned if len(s.image.bands) == bands and str(s.image.dtype) == dtype]
    for s in scanned:
        if same_size >= MIN_SHARE_OF_SIZE * len(images):
            yield from _check_size(s, size)
        yield from _check_bands(s, bands, dtype)
        yield from _check_resolution(s, gsd)
    yield from _check_outliers([s for s in usual if s.image.stats])
    yield from _check_all(images, str(scanned[0].sample.images[0].parent))


def _check_size(scanned: Scanned, usual: tuple[int, int]) -> Iterator[Finding]:
    (height, width), (rows, cols) = scanned.image.size, usual
    if scanned.image.size != usual:
        message = f"The image is {width}x{height} pixels, and most are {cols}x{rows}."
        yield scanned.finding("odd-size", message, "Check that the image is whole.")


def _check_bands(scanned: Scanned, bands: int, dtype: str) -> Iterator[Finding]:
    own, own_dtype = len(scanned.image.bands), str(scanned.image.dtype)
    if own != bands:
        message = f"The image has {own} band(s) and most have {bands}."
        fix = "Give all images the same bands, or leave this one out (--skip-bad does)."
        yield scanned.finding("band-mismatch", message, fix, "error")
    elif own_dtype != dtype:
        message = f"The image is {own_dtype} and most are {dtype}."
        fix = "Convert all images to one type and scale, or leave this one out (--skip-bad does)."
        level: Level = "error" if "uint8" in (own_dtype, dtype) else "warning"
        yield scanned.finding("dtype-mismatch", message, fix, level)


def _check_resolution(scanned: Scanned, usual: float) -> Iterator[Finding]:
    gsd = scanned.image.grid.gsd
    if gsd and not 1 / MAX_GSD_RATIO < gsd / usual < MAX_GSD_RATIO:
        message = f"The pixels are {gsd:.3g} m and most are {usual:.3g} m."
        fix = "Check the georeferencing; if it is right, the image is scaled to the others."
        yield scanned.finding("resolution-mismatch", message, fix)


def _check_outliers(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images whose brightness or contrast, in any band, is far from the rest."""
    if len(scanned) < MIN_IMAGES_FOR_OUTLIERS:
        return
    table = np.array([[(band.mean, band.std) for band in s.image.stats] for s in scanned])
    center = np.median(table, axis=0)
    spread = np.median(np.abs(table - center), axis=0) * 1.4826
    # Where all images are nearly equal, a small difference is not odd.
    spread = np.maximum(spread, 0.1 * center[:, 1:] + 1e-9)
    for s, own, deviations in zip(scanned, table, (table - center) / spread, strict=True):
        at = np.unravel_index(np.abs(deviations).argmax(), deviations.shape)
        if abs(deviations[at]) > MAX_DEVIATIONS:
            what, band = ("mean", "deviation")[at[1]], s.image.bands[at[0]]
            message = (
                f"The {what} of band {band} is {own[at]:.4g}, and {center[at]:.4g} is the median "
                "of all images."
            )
            fix = "Check whether the image is scaled, exposed or processed unlike the others."
            yield s.finding("odd-statistics", message, fix)


def _check_all(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    """Yield notes that concern all images together."""
    crs = {image.grid.crs for image in images if image.grid.crs}
    if len(crs) > 1:
        message = f"The images have {len(crs)} different CRSs."
        fix = "None: each is used on its own pixels, and maps keep the CRS of their image."
        yield Finding("note", "several-crs", folder, message, fix)
    elif not crs:
        yield from _check_unknown_scale(images, folder)
    yield from _check_mixed_bands(images, folder)
    yield from _check_unused_nodata(images, folder)


def _check_unknown_scale(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    sizes = sorted({(image.grid.window.size, *image.size) for image in images})
    (least, *smallest), (most, *largest) = sizes[0], sizes[-1]
    if most > MAX_SIZE_RATIO * least:
        message = (
            f"The images have no CRS and sizes from {smallest[1]}x{smallest[0]} to "
            f"{largest[1]}x{largest[0]}: their resolution is unknown and may differ."
        )
        fix = (
            "None, if scales from 0.5 to 2 cover the difference (training draws them); else bring "
            "all to one resolution."
        )
        yield Finding("note", "resolution-unknown", folder, message, fix)


def _check_mixed_bands(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    for image in images:
        if len(set(image.dtypes)) > 1 or len(set(map(str, image.nodata))) > 1:
            rows = zip(image.bands, image.dtypes, image.nodata, strict=True)
            listed = ", ".join(
                f"{name} {dtype} ({'no nodata' if n is None else f'nodata {n:g}'})"
                for name, dtype, n in rows
            )
            message = f"The bands of an image differ in type or nodata value: {listed}."
            fix = "None: a pixel counts where all bands have data."
            yield Finding("note", "mixed-bands", folder, message, fix)
            return


def _check_unused_nodata(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    declared = [image for image in images if any(n is not None for n in image.nodata)]
    if declared and all(image.valid == image.grid.window.size for image in declared):
        values = {f"{n:g}" for image in declared for n in image.nodata if n is not None}
        message = (
            f"The nodata value {', '.join(sorted(values))} is declared, and no pixel of "
            f"{len(declared)} image(s) has it."
        )
        fix = "Check that the value is the one that means no data."
        yield Finding("note", "nodata-unused", folder, message, fix)


def find_duplicates(scanned: Sequence[Scanned]) -> list[DuplicatePair]:
    """Return pairs of samples that show the same, each later one once."""
    valid = [s for s in scanned if s.image.valid]
    first_of: dict[str, SourceSample] = {}
    found: dict[str, DuplicatePair] = {}
    for sample, scan in valid:
        first = first_of.setdefault(scan.image.digest, sample)
        if first is not sample:
            found[sample.name] = DuplicatePair(sample, first, True)
    for i, j in near_duplicates([s.image.thumbnail for s in valid]):
        later, first = valid[j].sample, valid[i].sample
        found.setdefault(later.name, DuplicatePair(later, first, False))
    return list(found.values())


def check_duplicates(
    pairs: Sequence[DuplicatePair], scans: Mapping[str, SampleScan]
) -> Iterator[Finding]:
    """Yield a finding on the later image of each pair."""
    for later, first, equal in pairs:
        labels_differ = scans[later.name].labels.codes != scans[first.name].labels.codes
        one_group = later.group is not None and later.group == first.group
        fix = "Keep one of them." if one_group else "Keep one of them, or put both into one group."
        image = Scanned(later, scans[later.name])
        if equal:
            others = ", but other labels" if labels_differ else ""
            message = f"The image has the same pixels as {first.images[0]}{others}."
            yield image.finding("duplicate-image", message, fix)
        else:
            message = f"The image looks nearly the same as {first.images[0]}."
            yield image.finding("near-duplicate", message, fix, "note" if one_group else "warning")


def check_overlaps(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images that show the area of an image of another group."""
    grids = [s.image.grid for s in scanned]
    worst: dict[int, tuple[float, int]] = {}
    for i, j, share in overlaps(grids, [s.sample.group or s.sample.name for s in scanned]):
        if not _in_one_group(scanned[i], scanned[j]) and share > worst.get(j, (0.0, 0))[0]:
            worst[j] = share, i
    for j, (share, i) in worst.items():
        other = scanned[i].sample.images[0]
        message = f"The image shows {share:.0%} of the area of {other}, which is in another group."
        fix = "Put both into one group (folder), or one may train and the other test on one area."
        yield scanned[j].finding("same-ground", message, fix)


def _in_one_group(a: Scanned, b: Scanned) -> bool:
    if a.sample.group:
        return a.sample.group == b.sample.group
    return a.image.grid.same_as(b.image.grid)


@dataclass(frozen=True)
class LabelCounts:
    """Labeled pixels of the samples that have labels, by class.

    Attributes:
        legend: the classes.
        labeled: the samples.
    """

    legend: Legend
    labeled: Sequence[Scanned]

    @cached_property
    def codes(self) -> Counter[int]:
        """Pixels of all samples by code."""
        return sum((s.scan.labels.codes for s in self.labeled), Counter[int]())

    @cached_property
    def groups(self) -> dict[str, set[int]]:
        """Codes that the samples of each group hold."""
        groups: dict[str, set[int]] = {}
        for sample, scan in self.labeled:
            groups.setdefault(sample.group or sample.name, set()).update(+scan.labels.codes)
        return groups

    def pixels(self, land_class: LandClass) -> int:
        """Return the pixels of a class."""
        return sum(self.codes[code] for code in land_class.codes)

    def groups_of(self, land_class: LandClass) -> list[str]:
        """Return the groups that hold a class."""
        return [name for name, codes in self.groups.items() if codes & {*land_class.codes}]


def check_classes(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    """Yield notes on how the classes are spread over all samples."""
    counts = LabelCounts(legend, [s for s in scanned if s.sample.labels is not None])
    total = sum(counts.pixels(c) for c in legend.trained)
    if not total:
        return
    for c in legend.trained:
        yield from _check_class(c, counts, total, str(root))
    yield from _check_code_gaps(legend, str(root))
    if len(legend.classes) > 1 and len(counts.labeled) > 1:
        yield from _check_single_class(counts)
    labeled, valid = counts.codes.total(), sum(s.image.valid for s in counts.labeled)
    if labeled < SPARSE_LABELS * valid:
        message = f"{labeled / valid:.2%} of all pixels are labeled."
        fix = "None: pixels without a label are neither trained nor scored."
        yield Finding("note", "sparse-labels", str(root), message, fix)


def _check_class(c: LandClass, counts: LabelCounts, total: int, root: str) -> Iterator[Finding]:
    pixels, groups = counts.pixels(c), counts.groups_of(c)
    if 0 < pixels < RARE_CLASS * total:
        message = f"Class {c.name} has {pixels} pixels, {pixels / total:.3%} of all labels."
        fix = "Label more of it, merge it into another class, or expect it to be missed."
        yield Finding("note", "rare-class", root, message, fix)
    if len(groups) == 1 < len(counts.groups):
        message = f"Class {c.name} is in group {groups[0]} only, so only one split can have it."
        fix = "Label it elsewhere too, or it cannot be both trained and tested."
        yield Finding("note", "class-in-one-group", root, message, fix)


def _check_code_gaps(legend: Legend, root: str) -> Iterator[Finding]:
    codes = sorted(code for c in legend.classes for code in c.codes)
    has_gaps = any(b - a > 1 for a, b in zip(codes, codes[1:], strict=False))
    if legend.kind == "code" and legend.found and has_gaps:
        listed = ", ".join(map(str, codes[:MAX_LISTED_CODES]))
        message, fix = f"The class codes have gaps: {listed}.", "None: maps hold the same codes."
        yield Finding("note", "code-gaps", root, message, fix)


def _check_single_class(counts: LabelCounts) -> Iterator[Finding]:
    for sample, scan in counts.labeled:
        codes = {*+scan.labels.codes}
        held = [c.name for c in counts.legend.classes if codes & {*c.codes}]
        if len(held) == 1:
            message, fix = f"The labels hold a single class, {held[0]}.", "None, if that is so."
            yield Finding("note", "single-class", sample.label_file, message, fix)
