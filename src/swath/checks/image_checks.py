"""Checks of one image by itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from swath.checks.scan import HeightScan, ImageScan, SampleScan
from swath.data.layouts.catalog import MAX_HEIGHT, MIN_HEIGHT, SourceSample
from swath.io.nodata import CERTAIN_FILLS, MIN_BORDER
from swath.io.quality import QualityTally
from swath.types import Finding, Level

MAX_VEILED = 0.01  # share of an image's pixels that are neither clear nor opaque
MIN_SATURATED = 0.05  # share of a band's valid pixels that hold its largest value

DECLARE_BAND = "rio edit-info --colorinterp red,green,blue,undefined FILE"
"""Command by which a fourth band is data, and not alpha."""


class Issue(NamedTuple):
    """A finding on one file of a sample."""

    level: Level
    code: str
    message: str
    fix: str

    def on(self, file: str, sample: SourceSample) -> Finding:
        """Return the finding."""
        return Finding(self.level, self.code, file, self.message, self.fix, sample.name)


def check_image(sample: SourceSample, scan: SampleScan) -> Iterator[Finding]:
    """Yield the faults of one image, and of its heights."""
    for issue in _check_pixels(scan.image):
        file = str(sample.images[0])
        fix = issue.fix.replace("FILE", shlex.quote(file))
        yield issue._replace(fix=fix).on(file, sample)
    if scan.heights is not None:
        for issue in _check_heights(scan.heights):
            yield issue.on(str(sample.heights), sample)
    if scan.dropped is not None:
        for issue in _check_quality(scan.dropped):
            yield issue.on(sample.quality[0].path, sample)


def _check_quality(tally: QualityTally) -> Iterator[Issue]:
    if tally.outside:
        share = tally.outside / tally.pixels
        message = f"{share:.1%} of the image's pixels lie outside of its quality layers."
        fix = "They are kept; give a layer of the whole image if they may be clouds."
        yield Issue("warning", "quality-partial", message, fix)
    if sum(tally.dropped.values()) == tally.pixels:
        message = "The quality layers drop all pixels of the image."
        fix = "Leave the image out, or drop less (--drop, --clear-below)."
        yield Issue("warning", "quality-drops-all", message, fix)


def _check_heights(heights: HeightScan) -> Iterator[Issue]:
    if heights.out_of_range:
        limits = f"below {MIN_HEIGHT:.0f} or above {MAX_HEIGHT:.0f} meters"
        message = f"{heights.out_of_range} pixels lie {limits}; they are taken as unknown."
        fix = "Declare their value (`rio edit-info --nodata VALUE FILE`), or give meters."
        yield Issue("warning", "odd-heights", message, fix)
    if not heights.known:
        fix = "Fetch the file again, or leave it out; the image is used for its classes."
        yield Issue("warning", "no-heights", "The file has no known height.", fix)


def _check_pixels(image: ImageScan) -> Iterator[Issue]:
    if 0 < len(image.dead) < len(image.bands):
        yield _dead_bands(image)
    if not image.valid and (not image.dead or len(image.dead) == len(image.bands)):
        message, fix = "All pixels of the image are nodata.", "Leave it out (--skip-bad does)."
        yield Issue("error", "all-nodata", message, fix)
    if not image.valid:
        return
    if image.veiled > MAX_VEILED * image.grid.height * image.grid.width:
        message = f"The alpha band has {image.veiled} pixels that are neither clear nor opaque."
        fix = f"If the band is data, declare that (`{DECLARE_BAND}`)."
        yield Issue("warning", "alpha-values", message, fix)
    if image.alpha_as_band:
        message = "The file calls its last band alpha, but it holds data: it is read as a band."
        fix = (
            "If it is alpha, write 0 and 255 into it, or leave the band out (--select-bands 1,2,3)."
        )
        yield Issue("warning", "alpha-data", message, fix)
    if image.turned:
        size = f"{image.grid.width}x{image.grid.height}"
        message = f"The image is read in its EXIF orientation, as {size} pixels."
        fix = "Make sure that its mask was painted on the turned image."
        yield Issue("note", "turned", message, fix)
    if image.nans or image.infinite:
        message = f"{image.nans} pixels are undeclared NaN and {image.infinite} infinite: no data."
        fix = "Declare NaN as nodata (--nodata nan), or find out where it comes from."
        yield Issue("warning", "not-finite", message, fix)
    yield from _check_fills(image)
    yield from _check_ring(image)
    yield from _check_constant(image)
    yield from _check_equal(image)
    if image.dtype.kind in "iu":
        yield from _check_range(image)
        yield from _check_wrapped(image)
        yield from _check_saturation(image)


def _dead_bands(image: ImageScan) -> Issue:
    names = ", ".join(image.dead)
    plain = all(re.fullmatch(r"[\w.-]+", name) for name in image.bands)
    living = [(i, name) for i, name in enumerate(image.bands, 1) if name not in image.dead]
    others = ",".join(name if plain else str(i) for i, name in living)
    message = f"Band {names} is nodata in every pixel."
    if not image.valid:
        message = f"Band {names} is nodata in every pixel, so no pixel has data in all bands."
    fix = (
        f"Leave the band out (--select-bands {others}), let the other bands count "
        "(--ignore-band-nodata), or leave out the image (--skip-bad)."
    )
    return Issue("warning" if image.valid else "error", "dead-band", message, fix)


def _check_fills(image: ImageScan) -> Iterator[Issue]:
    """Yield warnings of values that mean no data and are not declared."""
    certain = {v: n for v, n in image.fills.items() if v in CERTAIN_FILLS}
    size = image.grid.window.size
    for value, count in certain.items():
        shown = f"{value:.9g}"
        what = f"{count} pixels ({count / size:.1%}) are {shown}, which is not declared as nodata."
        yield _undeclared(what, shown)
    if all(s.low == s.high for s in image.stats):
        return
    border = 2 * (image.grid.height + image.grid.width)
    told = set(certain)
    for value, count in image.border_nodata.items():
        if value not in certain and count > MIN_BORDER * border:
            told.add(value)
            where = f"{count / border:.0%} of the border"
            what = (
                f"All bands are {value:g} along {where}, which is not declared as nodata; in all "
                f"{image.fills.get(value, 0)} pixels."
            )
            yield _undeclared(what, f"{value:g}")
    for value, count in image.solid.items():
        if value not in told:
            shown = f"{value:.9g}"
            what = (
                f"Solid areas have {shown} in all bands, which is not declared as nodata: {count} "
                f"pixels ({count / size:.1%})."
            )
            yield _undeclared(what, shown)


def _undeclared(message: str, value: str) -> Issue:
    fix = f"Declare the value (--nodata {value}), or it is trained as data."
    return Issue("warning", "undeclared-nodata", message, fix)


def _check_ring(image: ImageScan) -> Iterator[Issue]:
    ring = image.ring
    if ring is not None:
        message = (
            f"{ring.count} nearly {'black' if ring.color == 0 else 'white'} pixels lie up to "
            f"{ring.depth} pixels beside nodata, as JPEG compression leaves them."
        )
        fix = f"Leave them out ({ring.mend}), or they are trained as data."
        yield Issue("warning", "jpeg-ring", message, fix)


def _check_constant(image: ImageScan) -> Iterator[Issue]:
    names = [name for name, s in zip(image.bands, image.stats, strict=True) if s.low == s.high]
    if names and image.valid > 1:
        which = (
            "All bands have" if len(names) == len(image.bands) else f"Band {', '.join(names)} has"
        )
        message, fix = f"{which} one value throughout.", "Check the export, or leave the image out."
        yield Issue("warning", "constant-band", message, fix)


def _check_equal(image: ImageScan) -> Iterator[Issue]:
    """Yield bands that are copies of others; where all are equal, a gray image has three bands."""
    constant = {n for n, s in zip(image.bands, image.stats, strict=True) if s.low == s.high}
    names = [name for name in image.equal if name not in constant]
    if names and len(image.equal) < len(image.bands):
        message = f"Bands {', '.join(names)} hold the same numbers as another band of the image."
        fix = "Check the export: a band was written twice, and another is missing."
        yield Issue("warning", "equal-bands", message, fix)


def _check_range(image: ImageScan) -> Iterator[Issue]:
    low, high = min(s.low for s in image.stats), max(s.high for s in image.stats)
    if image.dtype.itemsize > 1 and 0 <= low < high <= 255:
        message = f"The image is {image.dtype}, but holds 8-bit values, {low:.0f} to {high:.0f}."
        fix = "Check that it is scaled as the other images are."
        yield Issue("warning", "eight-bit-range", message, fix)


def _check_wrapped(image: ImageScan) -> Iterator[Issue]:
    if image.wrapped:
        message = (
            f"Neighbors in band {', '.join(image.wrapped)} jump from the largest values of "
            f"{image.dtype} to the smallest, as numbers that were cast to it without scaling do."
        )
        fix = (
            "Export the image anew: scale or clip before the type is changed, or keep the wider "
            "type. Nothing to do, if the band is an angle."
        )
        yield Issue("warning", "wrapped-values", message, fix)


def _check_saturation(image: ImageScan) -> Iterator[Issue]:
    wide, largest = image.dtype.itemsize > 1, np.iinfo(image.dtype).max
    saturated = []
    for name, s in zip(image.bands, image.stats, strict=True):
        at_limit = s.high == largest or (wide and s.high - s.low > 1000)
        if at_limit and s.low < s.high and s.top > MIN_SATURATED * image.valid:
            saturated.append(f"{s.top / image.valid:.0%} of band {name} is at {s.high:.0f}")
    if saturated:
        message = f"Many pixels have the largest value: {', '.join(saturated)}."
        fix = "Export the image without clipping, if bright areas matter."
        yield Issue("warning", "saturated", message, fix)
