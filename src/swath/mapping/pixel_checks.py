"""What the pixels of an image to map tell before it is mapped: dead bands, undeclared nodata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from swath.errors import DataError
from swath.geo.geobox import chunks
from swath.geo.tiling import Window
from swath.io.nodata import CERTAIN_FILLS, MIN_BORDER, Ring, RingTally, count_border, count_fills
from swath.io.raster import Raster
from swath.io.solid_fills import SolidFills
from swath.io.wrapped_values import WrappedValues
from swath.mapping.inputs import ImageInput

SAMPLE_SIDE = 256
"""Rows and columns of the windows that are sampled, three by three."""


def check_pixels(sources: Sequence[ImageInput]) -> list[str]:
    """Return sentences on undeclared nodata and dead bands, by a few windows of each image."""
    out = []
    for source in sources:
        for image in _single_images(source):
            with suppress(DataError), image.open() as opened:  # mapping reports damage
                if isinstance(opened.image, Raster):
                    out += _check(opened.image, source.ignore_band_nodata)
    return out


def _single_images(source: ImageInput) -> Iterator[ImageInput]:
    plain = {"mask": (), "regions": None, "latitude": False, "mosaic": False}
    for files in [(file,) for file in source.files] if source.mosaic else [source.files]:
        yield source.model_copy(update={**plain, "files": files})


def _check(raster: Raster, ignore: bool) -> list[str]:
    name, out = raster.paths[0], []
    fills, border, ring, constant, wrapped, solid = _sample(raster)
    for value, count in (solid | fills).items():
        if value in CERTAIN_FILLS or value in solid or border.get(value, 0) > MIN_BORDER:
            out.append(
                f"{name}: {count} of the sampled pixels are {value:.9g}, which is not declared as "
                f"nodata: give --nodata {value:.9g} if it means that."
            )
    if ring is not None:
        out.append(
            f"{name}: Nearly {'black' if ring.color == 0 else 'white'} pixels lie up to "
            f"{ring.depth} pixels beside nodata, as JPEG leaves them: give {ring.mend} to leave "
            "them out."
        )
    if constant:
        out.append(
            f"{name}: Band {', '.join(constant)} has one value in all sampled pixels, unlike the "
            "others: check the file, or map without it (--nodata VALUE --ignore-band-nodata)."
        )
    if wrapped:
        out.append(
            f"{name}: Neighbors in band {', '.join(wrapped)} jump from the largest values of "
            f"{raster.dtype} to the smallest, as numbers that were cast to it without scaling do: "
            "export the image anew, scaled or in a wider type."
        )
    dead, valid = _find_dead(raster)
    if dead and len(dead) < len(raster.bands):
        message = f"{name}: Band {', '.join(dead)} is nodata in every pixel"
        if ignore:
            out.append(f"{message}; it has the mean of the training data instead.")
        else:
            hidden = "" if valid else ", so no pixel of the map has data"
            out.append(
                f"{message}{hidden}. Map the other bands with the mean of the training data in "
                "its place by --ignore-band-nodata."
            )
    return out


class _Sample(NamedTuple):
    """What sampled windows of an image hold that is no measurement.

    Attributes:
        fills: pixels by undeclared fill value.
        border: share of the sampled border that holds such a value.
        ring: what lossy compression leaves beside nodata.
        constant: names of bands of one value, where others have several.
        wrapped: names of bands whose integers have wrapped around.
        solid: pixels of solid areas by the one value of all bands.
    """

    fills: Counter[float]
    border: dict[float, float]
    ring: Ring | None
    constant: list[str]
    wrapped: list[str]
    solid: dict[float, int]


def _sample(raster: Raster) -> _Sample:
    """Read windows of an image, and return what they hold that is no measurement."""
    grid, possible = raster.grid, raster.fills
    lossy, ring = raster.lossy and raster.dtype == np.uint8, RingTally()
    wrapped = WrappedValues(len(raster.bands), raster.dtype)
    solid = SolidFills(len(raster.bands), raster.dtype, possible)
    fills, border, length = Counter[float](), Counter[float](), 0
    low, high = np.full(len(raster.bands), np.inf), np.full(len(raster.bands), -np.inf)
    for row in _starts(grid.height):
        for col in _starts(grid.width):
            window = Window(row, col, SAMPLE_SIDE, SAMPLE_SIDE).within(grid.window)
            stop_row, stop_col = window.stop
            edges = (row == 0, stop_row == grid.height, col == 0, stop_col == grid.width)
            values, valid = raster.read(window)
            fills.update(count_fills(values, valid, possible))
            border.update(count_border(values, valid, edges, possible))
            wrapped.add(values, valid)
            solid.add(values, valid)
            if lossy:
                ring.add(values, valid)
            if valid.any():
                low = np.minimum(low, values[:, valid].min(axis=1))
                high = np.maximum(high, values[:, valid].max(axis=1))
            length += window.width * sum(edges[:2]) + window.height * sum(edges[2:])
    shares = {value: count / max(1, length) for value, count in border.items()}
    names = [name for name, one in zip(raster.bands, low == high, strict=True) if one]
    found = ring.find(v for v, share in shares.items() if share > MIN_BORDER)
    jumping = [raster.bands[i] for i in wrapped.find()]
    constant = names if (low < high).any() else []
    return _Sample(fills, shares, found, constant, jumping, solid.find())


def _starts(length: int) -> list[int]:
    last = max(0, length - SAMPLE_SIDE)
    return sorted({0, last // 2, last})


def _find_dead(raster: Raster) -> tuple[tuple[str, ...], bool]:
    """Return the bands without data, and whether a pixel is valid, by all pixels where needed."""
    valid = False
    if raster.dead:
        for window in chunks(raster.grid, raster.pixel_bytes):
            valid |= bool(raster.read(window).valid.any())
            if not raster.dead:
                break
    return raster.dead, valid
