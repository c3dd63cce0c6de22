"""Checks of the labels of one sample by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyproj

from swath.checks.image_checks import Issue
from swath.checks.label_colors import BLACK, OffPalette, off_palette, other_palette
from swath.checks.scan import LabelScan, SampleScan
from swath.data.layouts.catalog import SourceSample
from swath.io.labels import MAX_DISTINCT
from swath.io.vector import Features
from swath.legend import MAX_CODE, Kind, Legend, unpack_rgb
from swath.types import Finding

BLENDED = "bilinear or mean resampling makes such codes, which are no classes"
RESAMPLE = (
    "Resample the labels anew from their source, by nearest neighbor; if the codes are classes, "
    "name them in --classes FILE."
)
MIN_PHOTOGRAPH = 0.5  # share of a mask's pixels far from every class


@dataclass(frozen=True)
class LabelMeaning:
    """What the values of masks mean."""

    kind: Kind
    legend: Legend | None  # of the user; None where the classes are found
    palette: Sequence[int]  # values of the classes, or those that were evidently painted
    snap: bool  # whether other values are taken for the nearest of these

    @property
    def values(self) -> str:
        """The word for the values of masks."""
        return "colors" if self.kind == "color" else "values"

    def listed(self, codes: Counter[int]) -> str:
        """List values with their pixels, the most common first."""
        name = unpack_rgb if self.kind == "color" else "code {}".format
        listed = ", ".join(f"{name(code)} ({n} pixels)" for code, n in codes.most_common(5))
        return listed + (f" and {len(codes) - 5} more" if len(codes) > 5 else "")


def check_labels(
    sample: SourceSample, scan: SampleScan, meaning: LabelMeaning
) -> Iterator[Finding]:
    """Yield the faults of the labels of one sample."""
    if sample.labels is None or not scan.image.valid:
        return
    for issue in _check(sample, scan, meaning):
        yield issue.on(sample.label_file, sample)


def _check(sample: SourceSample, scan: SampleScan, meaning: LabelMeaning) -> Iterator[Issue]:
    codes = +scan.labels.codes  # without values of no pixel
    legend = meaning.legend
    if meaning.kind == "color" and legend and codes[BLACK] and not _is_known(BLACK, legend):
        message = f"The mask has {codes.pop(BLACK)} black pixels: unlabeled, as no class is black."
        fix = "Add a class with color #000000 if black has a meaning."
        yield Issue("warning", "unpainted", message, fix)
    issues = [*_check_values(scan.labels, codes, meaning)]
    yield from issues
    if any(issue.level == "error" for issue in issues):
        return
    trained = [code for c in legend.trained for code in c.codes] if legend else [*codes]
    if not any(codes[code] for code in trained):
        message = "No pixel of the image is labeled."
        yield Issue("warning", "no-labels", message, "Check the labels.")
        return
    yield from _check_shift(scan.labels)
    yield from _check_turn(scan.labels)
    yield from _check_bands(scan)
    if meaning.kind == "code" and not meaning.legend and scan.labels.blended:
        yield _blended(scan.labels.blended, codes, meaning)
    yield from _check_placement(sample, scan)
    yield from _check_crs(sample, scan)


def _is_known(code: int, legend: Legend) -> bool:
    return bool(legend.known(np.array([code]))[0])


def _check_values(labels: LabelScan, codes: Counter[int], meaning: LabelMeaning) -> Iterator[Issue]:
    """Yield photographs, lossy and smoothed masks, and codes that no class can have."""
    if meaning.kind == "color" and meaning.legend and _are_exchanged(codes, meaning.legend):
        message = f"The mask holds {meaning.listed(codes)}: red and blue are exchanged (BGR)."
        origin = meaning.legend.origin
        fix = f"Write the colors in {origin} as the masks hold them, or the masks as RGB."
        yield Issue("error", "swapped-colors", message, fix)
        return
    off = off_palette(codes, meaning.palette, meaning.kind)
    may_be_smoothed = meaning.kind == "color" or labels.lossy
    many = len(off.near) + len(off.far) > MAX_DISTINCT
    if many and (not may_be_smoothed or off.far.total() > MIN_PHOTOGRAPH * codes.total()):
        yield _photograph(meaning)
        return
    if many:  # smoothing explains most pixels, so it is taken to have made all values
        near = off.near + off.far if off.near else off.near
        off = OffPalette(near, Counter(), off.nearest)
    exact = meaning.kind == "color" and not (meaning.snap or labels.lossy)
    pairs = other_palette(codes, off.near, meaning.palette) if exact else {}
    if pairs and meaning.legend:
        yield _other_palette(pairs, codes, meaning.legend)
    elif may_be_smoothed and off.near:
        yield _near_colors(off, codes.total(), meaning)
    elif labels.lossy:
        message = "The mask is a JPEG, which changes values: its values may not be those meant."
        yield Issue("warning", "mask-lossy", message, "Export it again as PNG or GeoTIFF.")
    if meaning.legend:
        unknown = off.far if may_be_smoothed else off.far + off.near
        yield from _check_unknown(unknown, codes, meaning, meaning.legend, labels.blended)
    else:
        yield from _check_limits(codes, meaning.kind)


def _are_exchanged(colors: Counter[int], legend: Legend) -> bool:
    """Return whether all colors are those of classes once red and blue change places."""
    others = {code: (code & 255) << 16 | code & 0xFF00 | code >> 16 for code in colors}
    changed = [code for code, other in others.items() if code != other]
    if not changed or any(_is_known(code, legend) for code in changed):
        return False
    return all(_is_known(code, legend) for code in others.values())


def _photograph(meaning: LabelMeaning) -> Issue:
    message = f"The mask has more than {MAX_DISTINCT} {meaning.values}, as a photograph has."
    names = "its classes (--classes)"
    if meaning.kind == "color":
        names += " or the band that holds them (--label-band)"
    fix = f"Give a lossless mask (PNG, GeoTIFF), name {names}, or use --skip-bad."
    return Issue("error", "mask-photograph", message, fix)


def _other_palette(pairs: dict[int, int], codes: Counter[int], legend: Legend) -> Issue:
    """Return the error on exact colors that are near those of the class file."""
    names = {code: c.name for c in legend.classes for code in c.codes}
    listed = ", ".join(
        f"{unpack_rgb(own)} ({codes[own]} pixels) where {names[known]} has {unpack_rgb(known)}"
        for own, known in pairs.items()
    )
    message = f"The mask's colors are exact, and not those of {legend.origin}: {listed}."
    fix = f"Write the masks' colors in {legend.origin}, or take the nearest (--snap-colors)."
    return Issue("error", "palette-disagrees", message, fix)


def _near_colors(off: OffPalette, total: int, meaning: LabelMeaning) -> Issue:
    pixels = off.near.total()
    message = (
        f"{pixels} pixels ({pixels / total:.2%}) have {len(off.near)} {meaning.values} near those "
        f"of the classes, as smoothing and JPEG make; nearest are {meaning.listed(+off.nearest)}."
    )
    if meaning.snap:
        fix = "Nothing to do: each is taken for the nearest (--snap-colors)."
        return Issue("note", "snapped-colors", message, fix)
    fix = "Export the mask without smoothing (PNG, GeoTIFF), snap (--snap-colors) or use --classes."
    return Issue("error", "near-colors", message, fix)


def _check_unknown(
    unknown: Counter[int],
    codes: Counter[int],
    meaning: LabelMeaning,
    legend: Legend,
    blended: Sequence[int] = (),
) -> Iterator[Issue]:
    if unknown:
        share = f"{unknown.total() / codes.total():.2%} of its labeled pixels"
        message = f"The mask holds {meaning.listed(unknown)}, which no class has: {share}."
        fix = f"Add the value to {legend.origin}, with `ignore: true` if it is not to be trained."
        if meaning.kind == "code" and blended and set(+unknown) <= set(blended):
            message, fix = f"{message[:-1]}. All lie between other codes: {BLENDED}.", RESAMPLE
        yield Issue("error", "unknown-code", message, fix)


def _check_limits(codes: Counter[int], kind: Kind) -> Iterator[Issue]:
    """Yield codes that a map cannot hold, which only a class file can replace."""
    lowest, highest = min(codes, default=0), max(codes, default=0)
    if kind == "code" and highest > MAX_CODE:
        message = f"The mask holds the code {highest} ({codes[highest]} pixels), above {MAX_CODE}."
        fix = "Check the file, or list a code that a map can hold first in --classes FILE."
        yield Issue("error", "large-code", message, fix)
    if lowest < 0:
        message = f"The mask holds the negative code {lowest} ({codes[lowest]} pixels)."
        fix = "Name the classes with --classes FILE; `ignore: true` if the code means no data."
        yield Issue("error", "negative-code", message, fix)


def _blended(blended: Sequence[int], codes: Counter[int], meaning: LabelMeaning) -> Issue:
    held = Counter({code: codes[code] for code in blended})
    message = f"The mask holds {meaning.listed(held)} only between other codes: {BLENDED}."
    return Issue("warning", "labels-blended", message, RESAMPLE)


def _check_bands(scan: SampleScan) -> Iterator[Issue]:
    held, bands = scan.labels.in_bands, scan.image.bands
    if held:
        others = ",".join(str(i + 1) for i, name in enumerate(bands) if name not in held)
        message = (
            f"Band {', '.join(held)} of the image holds the labels: each class has a value of its "
            "own there. Scores would be far too high, and other images lack the band."
        )
        fix = f"Leave it out (--select-bands {others}), or name the images more exactly (--images)."
        yield Issue("warning", "labels-in-bands", message, fix)


def _check_turn(labels: LabelScan) -> Iterator[Issue]:
    if labels.fit is not None and labels.fit.turn:
        message = f"The labels fit the image's edges once {labels.fit.turn}, and not as they are."
        fix = "Lay image and labels over each other, and turn one of them."
        yield Issue("warning", "labels-turned", message, fix)


def _check_shift(labels: LabelScan) -> Iterator[Issue]:
    if labels.shift:
        rows, cols = labels.shift
        moves = f"{_moved(rows, 'down', 'up')} and {_moved(cols, 'right', 'left')}"
        message = f"The labels may be shifted: moved by {moves} they fit the image's edges best."
        fix = "Lay image and labels over each other, and move one of them."
        yield Issue("warning", "labels-shifted", message, fix)


def _check_placement(sample: SourceSample, scan: SampleScan) -> Iterator[Issue]:
    """Yield labels of one image that were brought onto its pixels."""
    own, image = scan.labels.grid, scan.image.grid
    if own is None or sample.warp or scan.labels.placement == "same":
        return
    sizes = f"{own.width}x{own.height} pixels, and the image {image.width}x{image.height}"
    if scan.labels.placement == "fitted":
        message = f"The labels are {sizes}: they are resampled to these (nearest)."
        fix = "Nothing to do, if both show one area (--fit-labels)."
        yield Issue("warning", "labels-resampled", message, fix)
        return
    message = f"The labels lie on other pixels ({sizes}): they are warped onto these (nearest)."
    fix = "Check CRS and transform of both; pixels that no label covers have none."
    yield Issue("warning", "labels-warped", message, fix)


def _moved(pixels: int, forward: str, backward: str) -> str:
    return f"{abs(pixels)} pixels {forward if pixels > 0 else backward}"


def _check_crs(sample: SourceSample, scan: SampleScan) -> Iterator[Issue]:
    """Yield labels without a CRS, or in another CRS than their image."""
    image, labels = scan.image.grid.crs, None
    if isinstance(sample.labels, Features):
        labels = sample.labels.crs
    elif scan.labels.grid is not None:
        labels = scan.labels.grid.crs
        if labels is None and image is not None:
            message = "The mask has no CRS and its image has: only name and size pair them."
            fix = "Make sure that the mask lies on the image's own pixels."
            yield Issue("note", "paired-by-name", message, fix)
    if labels and image and pyproj.CRS(labels) != pyproj.CRS(image):
        names = f"{pyproj.CRS(labels).name} and the image in {pyproj.CRS(image).name}"
        message = f"The labels are in {names}."
        fix = "Nothing to do: the labels are read onto the image's pixels (nearest)."
        yield Issue("note", "labels-in-another-crs", message, fix)
