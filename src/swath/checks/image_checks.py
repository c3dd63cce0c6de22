"""Judging one image by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from swath.checks.scan import Facts, ImageFacts
from swath.data.layouts import SourceSample
from swath.data.layouts.catalog import HIGHEST, LOWEST
from swath.types import Finding, Level

SATURATED = 0.05
"""Share of a band's valid pixels at its largest value from which it is called saturated."""

COLLAR = 0.05
"""Share of an image's border in runs of an undeclared nodata value from which it is called a collar."""

ImageVerdict: TypeAlias = tuple[Level, str, str, str]
"""Level, code, message and fix of a finding."""


def check_image(sample: SourceSample, fact: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the pixels of one image, and with its heights."""
    for level, code, message, fix in _verdicts(fact.image):
        yield Finding(level, code, str(sample.images[0]), message, fix, sample.name)
    if fact.heights is None:
        return
    if fact.heights.odd:
        yield Finding(
            "warning",
            "odd-heights",
            str(sample.heights),
            f"{fact.heights.odd} pixels lie below {LOWEST:.0f} or above {HIGHEST:.0f} meters: they are taken as unknown.",
            "Declare their value as nodata (gdal_edit.py -a_nodata), or give heights above ground, in meters.",
            sample.name,
        )
    if not fact.heights.known:
        yield Finding(
            "warning",
            "no-heights",
            str(sample.heights),
            "No height in this file is known.",
            "Fetch it again, or leave it out; the image is used for its classes.",
            sample.name,
        )


def _verdicts(fact: ImageFacts) -> Iterator[ImageVerdict]:
    if not fact.valid:
        yield "error", "all-nodata", "All its pixels are nodata.", "Leave it out (--skip-bad does)."
        return
    if fact.veiled > 0.01 * fact.grid.height * fact.grid.width:
        yield (
            "warning",
            "alpha-values",
            f"Its last band is marked as alpha, but {fact.veiled} pixels of it are neither clear nor opaque: is it data?",
            "If so, say it in the file (gdal_edit.py -colorinterp_4 undefined); as alpha it only masks where it is 0.",
        )
    if fact.turned:
        yield (
            "note",
            "turned",
            f"Its EXIF orientation says how to hold it, and so it is read: {fact.grid.width}x{fact.grid.height} pixels.",
            "Make sure that its mask was painted on the picture as people see it.",
        )
    if fact.not_a_number or fact.infinite:
        yield (
            "warning",
            "not-finite",
            f"{fact.not_a_number} pixels are NaN and {fact.infinite} infinite, and no nodata value says so: "
            "they are taken as having no data.",
            "Declare NaN as nodata (gdal_edit.py -a_nodata nan) if that is meant, else look where they come from.",
        )
    border = 2 * (fact.grid.height + fact.grid.width)
    for value, count in fact.collar.items():
        if count > COLLAR * border and any(s.low < s.high for s in fact.stats):
            yield (
                "warning",
                "undeclared-nodata",
                f"All bands are {value:g} along {count / border:.0%} of its border, and no nodata value is declared for that.",
                f"Declare it (gdal_edit.py -a_nodata {value:g}), or it is learnt as ground.",
            )
    yield from _constant(fact)
    if fact.dtype.kind in "iu":
        yield from _ranges(fact)


def _constant(fact: ImageFacts) -> Iterator[ImageVerdict]:
    names = [name for name, s in zip(fact.bands, fact.stats, strict=True) if s.low == s.high]
    if names and fact.valid > 1:
        which = (
            "All its bands are" if len(names) == len(fact.bands) else f"Band {', '.join(names)} is"
        )
        yield (
            "warning",
            "constant-band",
            f"{which} one value throughout.",
            "Check the export, or leave the image out.",
        )


def _ranges(fact: ImageFacts) -> Iterator[ImageVerdict]:
    """Yield what the ranges of bands of whole numbers show."""
    wide = fact.dtype.itemsize > 1
    low, high = min(s.low for s in fact.stats), max(s.high for s in fact.stats)
    if wide and 0 <= low < high <= 255:
        yield (
            "warning",
            "eight-bit-range",
            f"It is {fact.dtype}, but holds only {low:.0f} to {high:.0f}, as 8-bit data do.",
            "Check that it is scaled as the other images are.",
        )
    clipped = {}
    for name, s in zip(fact.bands, fact.stats, strict=True):
        limit = s.high == np.iinfo(fact.dtype).max or (wide and s.high - s.low > 1000)
        if limit and s.low < s.high and s.top > SATURATED * fact.valid:
            clipped[name] = f"{s.top / fact.valid:.0%} of band {name} is at {s.high:.0f}"
    if clipped:
        yield (
            "warning",
            "saturated",
            f"Many pixels have the largest value: {', '.join(clipped.values())}.",
            "Export it without clipping, if it matters what is that bright.",
        )
