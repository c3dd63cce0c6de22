"""Judging the labels of one sample by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyproj

from swath.checks.image_checks import ImageVerdict
from swath.checks.label_colors import BLACK, off_palette
from swath.checks.scan import Facts
from swath.data.layouts import SourceSample
from swath.io.labels import MAX_DISTINCT
from swath.io.vector import Features
from swath.legend import MAX_CODE, Kind, Legend, unpack_rgb
from swath.types import Finding

PHOTOGRAPH = 0.5
"""Share of a mask's pixels far from every class from which it is a photograph and no lossy mask."""


@dataclass(frozen=True)
class Meaning:
    """What masks are read for.

    Attributes:
        kind: whether they hold codes or colors.
        legend: the user's classes, None where they are found.
        palette: the values that belong to classes, or that somebody evidently painted.
        snap: whether other values are taken for the nearest of these.
    """

    kind: Kind
    legend: Legend | None
    palette: Sequence[int]
    snap: bool

    @property
    def values(self) -> str:
        """The word for what masks hold."""
        return "colors" if self.kind == "color" else "values"

    def shown(self, code: int) -> str:
        """Return a value as people write it."""
        return unpack_rgb(code) if self.kind == "color" else f"code {code}"

    def listed(self, codes: Counter[int]) -> str:
        """List values with their pixels, the most common first."""
        listed = ", ".join(
            f"{self.shown(code)} ({count} pixels)" for code, count in codes.most_common(5)
        )
        return listed + (f" and {len(codes) - 5} more" if len(codes) > 5 else "")


def check_labels(sample: SourceSample, fact: Facts, meaning: Meaning) -> Iterator[Finding]:
    """Yield what is wrong with the labels of one sample."""
    if sample.labels is None or not fact.image.valid:
        return
    for level, code, message, fix in _verdicts(sample, fact, meaning):
        yield Finding(level, code, sample.label_file, message, fix, sample.name)


def _verdicts(sample: SourceSample, fact: Facts, meaning: Meaning) -> Iterator[ImageVerdict]:
    codes = fact.labels.codes.copy()
    if (
        meaning.kind == "color"
        and meaning.legend
        and codes[BLACK]
        and not meaning.legend.known(np.array([BLACK]))[0]
    ):
        yield (
            "warning",
            "unpainted",
            f"This mask has {codes.pop(BLACK)} black pixels, and no class is black: they are taken as unlabeled.",
            "Add a class with color #000000 if black has a meaning.",
        )
    codes = +codes  # drops what has no pixel
    worst = [*_values(fact, codes, meaning)]
    yield from worst
    if not any(level == "error" for level, *_ in worst):
        yield from _soft(sample, fact, codes, meaning)


def _values(fact: Facts, codes: Counter[int], meaning: Meaning) -> Iterator[ImageVerdict]:
    """Yield what is wrong with the values: photographs, lossy and smoothed masks, unknown and negative codes."""
    off = off_palette(codes, meaning.palette, meaning.kind)
    judged = meaning.kind == "color" or fact.labels.lossy
    many = len(off.near) + len(off.far) > MAX_DISTINCT
    if many and (off.far.total() > PHOTOGRAPH * codes.total() or not judged):
        yield (
            "error",
            "mask-photograph",
            f"This mask has more than {MAX_DISTINCT} different {meaning.values}, as a photograph or a lossy mask has.",
            "Give the mask in a lossless format (PNG, GeoTIFF), name its classes with --classes if it has so many, "
            "or leave the pair out (--skip-bad does).",
        )
        return
    if judged and off.near:
        yield _near(off.near + off.far if many else off.near, off.nearest, codes.total(), meaning)
    elif fact.labels.lossy:
        yield (
            "warning",
            "mask-lossy",
            "This mask is a JPEG, which changes values: those that it holds may not be those meant.",
            "Export it again as PNG or GeoTIFF.",
        )
    unknown = (off.far if judged else off.far + off.near) if meaning.legend else Counter[int]()
    if unknown and not (many and judged):
        share = unknown.total() / codes.total()
        yield (
            "error",
            "unknown-code",
            f"This mask holds {meaning.listed(unknown)}, which no class has: {share:.2%} of its labeled pixels.",
            f"Add it to {meaning.legend.origin if meaning.legend else ''}, with `ignore: true` if it is not to be learnt.",
        )
    lowest, highest = min(codes, default=0), max(codes, default=0)
    if meaning.legend is None and meaning.kind == "code" and highest > MAX_CODE:
        yield (
            "error",
            "large-code",
            f"This mask holds the code {highest} ({codes[highest]} pixels), which a map of 8 or 16 bits cannot hold.",
            "Name the classes with --classes FILE and give this one a code up to 65535 first; or is this the right file?",
        )
    if meaning.legend is None and lowest < 0:
        yield (
            "error",
            "negative-code",
            f"This mask holds the negative code {lowest} ({codes[lowest]} pixels).",
            "Name the classes with --classes FILE; `ignore: true` if it means no data.",
        )


def _near(near: Counter[int], nearest: Counter[int], total: int, meaning: Meaning) -> ImageVerdict:
    what = (
        f"{near.total()} pixels ({near.total() / total:.2%}) have {len(near)} {meaning.values} that are near the classes', "
        f"but not theirs, as smoothing and JPEG make them; the nearest are {meaning.listed(+nearest)}."
    )
    if meaning.snap:
        return (
            "note",
            "snapped-colors",
            what,
            "Each is taken for the nearest, as --snap-colors says.",
        )
    return (
        "error",
        "near-colors",
        what,
        "Export the mask without smoothing, as PNG or GeoTIFF; or say --snap-colors to take each for the nearest; "
        "or name them in --classes if they are classes of their own.",
    )


def _soft(
    sample: SourceSample, fact: Facts, codes: Counter[int], meaning: Meaning
) -> Iterator[ImageVerdict]:
    """Yield what is odd, but no obstacle."""
    trained = (
        [code for c in meaning.legend.trained for code in c.codes]
        if meaning.legend
        else list(codes)
    )
    if not any(codes[code] for code in trained):
        yield "warning", "no-labels", "No pixel of this image is labeled.", "Check the labels."
        return
    if fact.labels.shift:
        rows, cols = fact.labels.shift
        yield (
            "warning",
            "labels-shifted",
            f"The labels seem to be shifted: moved by {_moved(rows, 'down', 'up')} and {_moved(cols, 'right', 'left')} they "
            "would fit the image's edges best.",
            "Lay image and labels over each other, and move one of them.",
        )
    yield from _georeferencing(sample, fact)


def _georeferencing(sample: SourceSample, fact: Facts) -> Iterator[ImageVerdict]:
    """Yield where labels lie otherwise than their image."""
    image = fact.image.grid
    if isinstance(sample.labels, Features):
        crs = sample.labels.crs
    elif fact.labels.grid is not None:
        crs = fact.labels.grid.crs
        if crs is None and image.crs is not None:
            yield (
                "note",
                "paired-by-name",
                "It has no georeferencing and its image has: they are paired by name and size alone.",
                "Make sure that it lies on the image's own pixels.",
            )
    else:
        return
    if crs and image.crs and pyproj.CRS(crs) != pyproj.CRS(image.crs):
        yield (
            "note",
            "labels-in-another-crs",
            f"The labels are in {_named(crs)} and the image in {_named(image.crs)}.",
            "Nothing: they are read onto the image's pixels (nearest).",
        )


def _named(crs: str) -> str:
    return pyproj.CRS(crs).name


def _moved(pixels: int, forward: str, backward: str) -> str:
    return f"{abs(pixels)} pixels {forward if pixels > 0 else backward}"
