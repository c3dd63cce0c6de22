"""What reading one sample shows: one pass over all pixels of its image and its labels."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.duplicates import ImageHash
from swath.checks.label_alignment import Alignment
from swath.checks.scan_statistics import BandStats, PixelStatistics, collar, counted
from swath.data.layouts import SourceSample
from swath.data.layouts.catalog import known_heights
from swath.errors import SwathError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Pixels, Window
from swath.io.labels import UNLABELED, read_ignore_mask
from swath.io.raster import Raster, open_raster
from swath.legend import Kind, Legend
from swath.types import Finding

ENOUGH = 1 << 16
"""Distinct values of a mask after which they are no longer counted."""


@dataclass(frozen=True)
class ImageFacts:
    """What reading an image showed.

    Attributes:
        grid: its grid.
        bands: names of its bands.
        dtypes: type of each band.
        nodata: declared nodata value of each band, or None.
        stats: statistics by band; empty where no pixel is valid.
        valid: number of valid pixels.
        veiled: pixels whose alpha is neither 0 nor full: an alpha band has few, a band of data has
            many.
        not_a_number: pixels with NaN in a band that does not declare it as nodata.
        infinite: pixels with an infinite value.
        turned: whether EXIF says that it is to be seen turned, and it is read so.
        collar: border pixels by the evident but undeclared nodata value they hold.
        picture: small gray picture (32, 32).
        digest: hash of size and pixels.
    """

    grid: GeoBox
    bands: tuple[str, ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    stats: tuple[BandStats, ...]
    valid: int
    veiled: int
    not_a_number: int
    infinite: int
    turned: bool
    collar: dict[float, int]
    picture: NDArray[np.float64]
    digest: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all bands."""
        return np.result_type(*self.dtypes)


@dataclass(frozen=True)
class LabelFacts:
    """What reading the labels of an image showed.

    Attributes:
        codes: number of pixels by label code or packed color.
        names: names of codes, where the labels have names.
        shift: rows and columns by which they should be moved to lie on the image's edges; None
            where they lie well.
        lossy: whether the file's format changes values (JPEG).
        grid: the file's own grid; None for polygons and unlabeled images.
    """

    codes: Counter[int]
    names: dict[int, str]
    shift: tuple[int, int] | None = None
    lossy: bool = False
    grid: GeoBox | None = None


@dataclass(frozen=True)
class HeightFacts:
    """How many pixels have a known height, and how many hold a number that is none."""

    known: int
    odd: int


@dataclass(frozen=True)
class Facts:
    """What reading one sample showed; `heights` is None without heights."""

    image: ImageFacts
    labels: LabelFacts
    heights: HeightFacts | None = None


def examine(sample: SourceSample, kind: Kind, legend: Legend | None) -> Facts | Finding:
    """Read all of a sample; a file that cannot be read, or not be fitted, is a finding."""
    try:
        with (
            sample.open_image() as raster,
            closing(sample.open_labels(raster.grid, legend)) as labels,
        ):
            reading = _Reading(raster)
            codes: Counter[int] = Counter()
            alignment = Alignment()
            for window in chunks(raster.grid, raster.pixel_bytes):
                gray = reading.add(window)
                found = labels.read(window, kind)
                if sample.ignored:
                    found[read_ignore_mask(sample.ignored, raster.grid, window)] = UNLABELED
                if sample.labels is not None and len(codes) <= ENOUGH:
                    codes.update(counted(found))
                    alignment.add(gray, found)
            del codes[UNLABELED]
            facts = LabelFacts(codes, labels.names, alignment.shift, *_label_file(sample))
            return Facts(reading.facts, facts, _height_facts(sample, raster.grid))
    except SwathError as error:
        return Finding.of_error(error, sample.images[0], sample.name)


def _height_facts(sample: SourceSample, grid: GeoBox) -> HeightFacts | None:
    raster = sample.open_heights(grid)
    if raster is None:
        return None
    known = numbers = 0
    with raster:
        for window in chunks(grid):
            pixels = raster.read(window)
            known += int(np.isfinite(known_heights(pixels)).sum())
            numbers += int(pixels.valid.sum())
    return HeightFacts(known, numbers - known)


def _label_file(sample: SourceSample) -> tuple[bool, GeoBox | None]:
    if not isinstance(sample.labels, Path):
        return False, None
    with open_raster(sample.labels) as dataset:
        return dataset.driver == "JPEG", geobox_of(dataset)


class _Reading:
    """One image while it is read."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._tally = PixelStatistics(len(raster.bands), raster.dtype)
        self._likeness = ImageHash(raster.grid)
        self._declares_nan = any(value is not None and np.isnan(value) for value in raster.nodata)
        self._valid = self._veiled = self._not_a_number = self._infinite = 0
        self._collar: Counter[float] = Counter()

    def add(self, window: Window) -> NDArray[np.float32]:
        """Read a window, and return its mean over bands (rows, columns)."""
        grid = self._raster.grid
        values, valid = pixels = self._raster.read(window)
        self._valid += int(valid.sum())
        self._veiled += self._raster.count_veiled(window)
        self._tally.add(values, valid)
        edges = (
            not window.row,
            window.stop[0] == grid.height,
            not window.col,
            window.stop[1] == grid.width,
        )
        self._collar.update(collar(values, valid, edges))
        if values.dtype.kind == "f":
            if not self._declares_nan:
                self._not_a_number += int(np.isnan(values).any(axis=0).sum())
            with np.errstate(over="ignore"):
                self._infinite += int(
                    np.isinf(values.astype(np.float32, copy=False)).any(axis=0).sum()
                )
        gray = _gray(pixels)
        self._likeness.add(window, values, gray, valid)
        return gray

    @property
    def facts(self) -> ImageFacts:
        raster = self._raster
        return ImageFacts(
            raster.grid,
            raster.bands,
            raster.dtypes,
            raster.nodata,
            self._tally.stats,
            self._valid,
            self._veiled,
            self._not_a_number,
            self._infinite,
            raster.turned,
            dict(self._collar),
            self._likeness.picture,
            self._likeness.digest,
        )


def _gray(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean of the first three bands (rows, columns), 0 where a pixel is invalid."""
    gray = np.add.reduce(pixels.values[:3], axis=0, dtype=np.float32) / np.float32(
        min(3, len(pixels.values))
    )
    return gray if pixels.valid.all() else np.where(pixels.valid, gray, np.float32(0))
