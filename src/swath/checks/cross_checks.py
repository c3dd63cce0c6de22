"""Checks of samples against each other: odd images, duplicates, overlaps and classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from swath.checks.duplicates import in_one_orientation, near_duplicates
from swath.checks.scan import ImageScan, SampleScan
from swath.data.layouts.catalog import SourceSample
from swath.geo.footprints import overlaps
from swath.legend import Legend
from swath.types import Finding, Level

MIN_SHARE_OF_SIZE = 0.75  # share of the images that have one size from which another size is odd
MAX_GSD_RATIO = 1.5  # to the median of all images
MAX_DEVIATIONS = 8.0  # robust standard deviations of brightness or contrast from the median
MIN_IMAGES_FOR_OUTLIERS = 8  # images that are needed to find odd ones by their statistics
MAX_SIZE_RATIO = 3.0  # pixels of the largest image without CRS to those of the smallest
RARE_CLASS = 0.001  # share of the labeled pixels below which a class is rare
SPARSE_LABELS = 0.05  # share of labeled pixels below which a source is sparsely labeled
MAX_LISTED_CODES = 30
MOST_LISTED = 5  # images that a message names


class Scanned(NamedTuple):
    """A sample that could be read, with its scan."""

    sample: SourceSample
    scan: SampleScan

    @property
    def image(self) -> ImageScan:
        """The scan of the image."""
        return self.scan.image

    @property
    def group(self) -> str:
        """The group of the sample, or its name."""
        return self.sample.group or self.sample.name

    def finding(self, code: str, message: str, fix: str, level: Level = "warning") -> Finding:
        """Return a finding on the image."""
        return Finding(level, code, str(self.sample.images[0]), message, fix, self.sample.name)


def listed(names: Sequence[str], most: int = MOST_LISTED) -> str:
    """Return names in a list, at most so many, and the number of the rest."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def comparable_groups(
    scanned: Sequence[Scanned], least: int, most: int
) -> list[tuple[bool, list[Scanned]]]:
    """Divide images into sets that may be compared with each other.

    Args:
        scanned: the images.
        least: images of a group, without which they are compared with those of other small groups.
        most: consecutive images of which a set consists.

    Returns:
        Whether the set is of one group, and its images.
    """
    sizes = Counter(s.sample.group for s in scanned)
    sets: dict[tuple[str, int], list[Scanned]] = defaultdict(list)
    for i, s in enumerate(scanned):
        own = s.sample.group if sizes[s.sample.group] >= least else None
        sets[own or "", i // most].append(s)
    return [(bool(group), images) for (group, _), images in sets.items()]


class DuplicatePair(NamedTuple):
    """Two samples that show the same; `equal` where all their pixels are.

    `turned` where one of them is mirrored or turned.
    """

    later: SourceSample
    first: SourceSample
    equal: bool
    turned: bool = False


def check_consistency(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images that differ from most, and notes on all images together."""
    if not scanned:
        return
    images = [s.image for s in scanned]
    ((size, of_size),) = Counter(image.size for image in images).most_common(1)
    ((bands, _),) = Counter(len(image.bands) for image in images).most_common(1)
    ((dtype, _),) = Counter(str(image.dtype) for image in images).most_common(1)
    gsd = median([image.grid.gsd for image in images if image.grid.gsd] or [0.0])
    comparable = []
    for s in scanned:
        if of_size >= MIN_SHARE_OF_SIZE * len(images):
            yield from _check_size(s, size)
        yield from _check_resolution(s, gsd)
        differences = [*_check_bands(s, bands, dtype)]
        yield from differences
        if s.image.stats and not differences:
            comparable.append(s)
    yield from _check_outliers(comparable)
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
        least = min(own, bands)
        if own > bands or least > 1:
            chosen = ",".join(map(str, range(1, least + 1)))
            fix = f"Use the bands that all have (--select-bands {chosen}), or --skip-bad."
            if own == bands + 1 and bands in (1, 3):
                fix = f"{fix} The last band may be an alpha band that is not marked as one."
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
            what = f"{('mean', 'deviation')[at[1]]} of band {s.image.bands[at[0]]}"
            message = f"The {what} is {own[at]:.4g}, and the median of all is {center[at]:.4g}."
            fix = "Check whether the image is scaled, exposed or processed unlike the others."
            yield s.finding("odd-statistics", message, fix)


def _check_all(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    """Yield notes that concern all images together."""
    crs = {image.grid.crs for image in images if image.grid.crs}
    bare = sum(image.grid.crs is None for image in images)
    if crs and bare:
        message = f"{bare} of {len(images)} images have no CRS, so their place is not known."
        fix = "Declare it (`rio edit-info --crs EPSG:32632 FILE`, say), or a leak may be missed."
        yield Finding("warning", "missing-crs", folder, message, fix)
    if len(crs) > 1:
        message = f"The images have {len(crs)} different CRSs."
        fix = "Nothing to do: each is used on its own pixels, and maps keep the CRS of their image."
        yield Finding("note", "several-crs", folder, message, fix)
    elif not crs:
        yield from _check_unknown_scale(images, folder)
    yield from _check_mixed_bands(images, folder)
    yield from _check_unused_nodata(images, folder)


def _check_unknown_scale(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    sizes = sorted({(image.grid.window.size, *image.size) for image in images})
    (least, *smallest), (most, *largest) = sizes[0], sizes[-1]
    if most > MAX_SIZE_RATIO * least:
        span = f"from {smallest[1]}x{smallest[0]} to {largest[1]}x{largest[0]}"
        message = (
            f"The images have no CRS and sizes {span}: resolutions are unknown and may differ."
        )
        fix = "Resample the images, unless scales 0.5 to 2 cover that (training draws them)."
        yield Finding("note", "resolution-unknown", folder, message, fix)


def _check_mixed_bands(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    for image in images:
        if len(set(image.dtypes)) > 1 or len(set(map(str, image.nodata))) > 1:
            nodata = ["no nodata" if n is None else f"nodata {n:g}" for n in image.nodata]
            bands = zip(image.bands, image.dtypes, nodata, strict=True)
            listed = ", ".join(f"{name} {dtype} ({value})" for name, dtype, value in bands)
            message = f"The bands of an image differ in type or nodata value: {listed}."
            fix = "Nothing to do: a pixel counts where all bands have data."
            yield Finding("note", "mixed-bands", folder, message, fix)
            return


def _check_unused_nodata(images: Sequence[ImageScan], folder: str) -> Iterator[Finding]:
    declared = [image for image in images if any(n is not None for n in image.nodata)]
    if declared and all(image.valid == image.grid.window.size for image in declared):
        values = {f"{n:g}" for image in declared for n in image.nodata if n is not None}
        listed = ", ".join(sorted(values))
        message = f"No pixel of {len(declared)} image(s) has the declared nodata value {listed}."
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
    thumbnails = [s.image.thumbnail for s in valid]
    for turned, views in ((False, thumbnails), (True, [in_one_orientation(t) for t in thumbnails])):
        for i, j in near_duplicates(views):
            later, first = valid[j].sample, valid[i].sample
            found.setdefault(later.name, DuplicatePair(later, first, False, turned))
    return list(found.values())


def check_duplicates(
    pairs: Sequence[DuplicatePair], scans: Mapping[str, SampleScan]
) -> Iterator[Finding]:
    """Yield a finding on the later image of each pair."""
    for later, first, equal, turned in pairs:
        one_group = later.group is not None and later.group == first.group
        fix = "Keep one of them." if one_group else "Keep one of them, or put both into one group."
        image = Scanned(later, scans[later.name])
        if equal:
            differ = image.scan.labels.codes != scans[first.name].labels.codes
            labels = ", but other labels" if differ else ""
            message = f"The image has the same pixels as {first.images[0]}{labels}."
            yield image.finding("duplicate-image", message, fix)
        else:
            how = ", mirrored or turned" if turned else ""
            message = f"The image looks nearly the same as {first.images[0]}{how}."
            yield image.finding("near-duplicate", message, fix, "note" if one_group else "warning")


def check_overlaps(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images that show the area of an image of another group."""
    worst: dict[int, tuple[float, int]] = {}
    for i, j, share in overlaps([s.image.grid for s in scanned], [s.group for s in scanned]):
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


def check_classes(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    """Yield notes on how the classes are spread over all samples."""
    labeled = [s for s in scanned if s.sample.labels is not None]
    pixels = sum((s.scan.labels.codes for s in labeled), Counter[int]())
    trained = {c.name: sum(pixels[code] for code in c.codes) for c in legend.trained}
    if not any(trained.values()):
        return
    groups_of: dict[str, set[str]] = defaultdict(set)
    for s in labeled:
        for name in _classes_held(s, legend):
            groups_of[name].add(s.group)
    several = len({s.group for s in labeled}) > 1
    for name, count in trained.items():
        yield from _check_rare(name, count, sum(trained.values()), root)
        if several:
            yield from _check_one_group(name, groups_of[name], root)
    yield from _check_code_gaps(legend, root)
    if len(legend.classes) > 1 and len(labeled) > 1:
        yield from _check_one_class_images(labeled, legend)
    yield from _check_sparse(pixels.total(), sum(s.image.valid for s in labeled), root)


def _classes_held(scanned: Scanned, legend: Legend) -> list[str]:
    codes = scanned.scan.labels.codes
    return [c.name for c in legend.classes if any(codes[code] for code in c.codes)]


def _check_rare(name: str, pixels: int, total: int, root: Path) -> Iterator[Finding]:
    if 0 < pixels < RARE_CLASS * total:
        message = f"Class {name} has {pixels} pixels, {pixels / total:.3%} of all labels."
        fix = "Label more of it, merge it into another class, or expect it to be missed."
        yield Finding("note", "rare-class", str(root), message, fix)


def _check_one_group(name: str, groups: set[str], root: Path) -> Iterator[Finding]:
    if len(groups) == 1:
        message = f"Class {name} is in group {min(groups)} only, so only one split can have it."
        fix = "Label it elsewhere too, or it cannot be both trained and tested."
        yield Finding("note", "class-in-one-group", str(root), message, fix)


def _check_code_gaps(legend: Legend, root: Path) -> Iterator[Finding]:
    codes = sorted(code for c in legend.classes for code in c.codes)
    has_gaps = any(b - a > 1 for a, b in zip(codes, codes[1:], strict=False))
    if legend.kind == "code" and legend.found and has_gaps:
        listed = ", ".join(map(str, codes[:MAX_LISTED_CODES]))
        message, fix = f"The class codes have gaps: {listed}.", "Maps hold the same codes."
        yield Finding("note", "code-gaps", str(root), message, fix)


def _check_one_class_images(labeled: Sequence[Scanned], legend: Legend) -> Iterator[Finding]:
    for s in labeled:
        held = _classes_held(s, legend)
        if len(held) == 1:
            message, fix = (
                f"The labels hold a single class, {held[0]}.",
                "Nothing to do, if that is so.",
            )
            yield Finding("note", "one-class-image", s.sample.label_file, message, fix)


def _check_sparse(labeled: int, valid: int, root: Path) -> Iterator[Finding]:
    if labeled < SPARSE_LABELS * valid:
        message = f"{labeled / valid:.2%} of all pixels are labeled."
        fix = "Nothing to do: pixels without a label are neither trained nor scored."
        yield Finding("note", "sparse-labels", str(root), message, fix)
