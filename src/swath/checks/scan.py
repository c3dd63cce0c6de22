"""Scan of one sample: one pass over all pixels of its image, labels and heights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.blended_codes import BlendedCodes
from swath.checks.class_means import ClassMeans
from swath.checks.duplicates import ImageHash
from swath.checks.image_colors import ColorScanner
from swath.checks.label_alignment import Alignment
from swath.checks.label_bands import BandsOfLabels
from swath.checks.label_fit import FitScanner, LabelFit
from swath.checks.scan_statistics import (
    BandStats,
    PixelStatistics,
    count_values,
)
from swath.data.layouts.catalog import SourceSample, known_heights
from swath.errors import SwathError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Pixels, Window
from swath.io.labels import UNLABELED, Labels, LayerTally, Placement, RasterLabels, VectorLabels
from swath.io.nodata import MIN_BORDER, Ring, RingTally, count_border, count_fills
from swath.io.quality import QualityTally
from swath.io.raster import Raster
from swath.io.solid_fills import SolidFills
from swath.io.wrapped_values import WrappedValues
from swath.legend import Kind, Legend
from swath.types import Finding

MAX_COUNTED_VALUES = 1 << 16  # distinct values of a mask after which they are no longer counted


@dataclass(frozen=True)
class ImageScan:
    """Properties and statistics of an image."""

    grid: GeoBox
    bands: tuple[str, ...]  # names
    dtypes: tuple[str, ...]  # by band
    nodata: tuple[float | None, ...]  # declared value by band
    stats: tuple[BandStats, ...]  # by band; empty where no pixel is valid
    valid: int  # valid pixels
    veiled: int  # pixels with alpha neither 0 nor full: many if the band is data, not alpha
    nans: int  # pixels with NaN in a band that does not declare it as nodata
    infinite: int  # pixels with an infinite value
    alpha_as_band: bool  # whether a band that the file calls alpha holds data
    turned: bool  # whether EXIF has an orientation, which is applied
    border_nodata: dict[float, int]  # border pixels by undeclared value that evidently means nodata
    fills: dict[float, int]  # valid pixels by undeclared value that may mean nodata
    ring: Ring | None  # what lossy compression leaves beside nodata
    thumbnail: NDArray[np.float64]  # small gray image (32, 32)
    digest: str  # hash of size and pixels
    dead: tuple[str, ...] = ()  # names of bands that hold nothing but nodata, NaN or infinity
    equal: tuple[str, ...] = ()  # names of bands that hold the numbers of another one
    tallies: tuple[tuple[float, int], ...] = ()  # sum and number of data by band, see `Raster`
    colors: NDArray[np.uint16] | None = None  # pixels by color, see `ColorScanner`
    wrapped: tuple[str, ...] = ()  # names of bands whose integers have wrapped around
    solid: dict[float, int] = field(default_factory=dict)  # pixels of areas of one value

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all bands."""
        return np.result_type(*self.dtypes)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.height, self.grid.width


@dataclass(frozen=True)
class LabelScan:
    """Values and position of the labels of an image."""

    codes: Counter[int]  # pixels by label code or packed color
    names: dict[int, str]  # by code, where the labels have names
    shift: tuple[int, int] | None = None  # rows, columns from the labels to the image's edges
    fit: LabelFit | None = None  # how well they fit the image; None where that is not known
    blended: tuple[int, ...] = ()  # codes that lie between two others alone
    lossy: bool = False  # whether the file's format changes values (JPEG)
    grid: GeoBox | None = None  # of the file; None for polygons and unlabeled images
    placement: Placement = "same"  # how the file comes onto the image's grid
    nodata: float | None = None  # declared value of the file, unless a class has it
    nodata_pixels: int = 0  # pixels that have no label because of it
    hidden: Counter[int] = field(default_factory=Counter)  # pixels where the image has no data
    transparent: Counter[int] = field(default_factory=Counter)  # pixels by value that alpha hides
    zeros_outside: int = 0  # pixels of code 0 where the image has no data
    in_bands: tuple[str, ...] = ()  # names of the image's bands that hold the labels
    border: tuple[int, int] = (0, 0)  # pixels along the border: all that are labeled, of code 0
    tally: LayerTally | None = None  # of the features; None where labels are no vector layer


@dataclass(frozen=True)
class HeightScan:
    """Number of pixels with a known height, and with a value out of range."""

    known: int
    out_of_range: int


@dataclass(frozen=True)
class SampleScan:
    """Scan of a sample; `heights` is None without heights."""

    image: ImageScan
    labels: LabelScan
    heights: HeightScan | None = None
    dropped: QualityTally | None = None  # what quality layers tell; None without any
    class_means: dict[int, NDArray[np.float64]] = field(default_factory=dict)  # by code


def scan_sample(sample: SourceSample, kind: Kind, legend: Legend | None) -> SampleScan | Finding:
    """Read all of a sample, each file once; a file that is damaged or does not fit is a finding."""
    try:
        with sample.open(legend) as source:
            grid = source.raster.grid
            image, labels = _ImageScanner(source.raster), _LabelScanner(grid, source.raster.bands)
            means = ClassMeans(grid, len(source.raster.bands))
            for window in chunks(grid, source.raster.pixel_bytes):
                pixels, gray = image.add(window)
                if sample.labels is not None:
                    codes = source.labels.read(window, kind)
                    codes[source.read_ignored(window)] = UNLABELED
                    if isinstance(source.labels, VectorLabels):
                        source.labels.count(window)
                    means.add_image(window, pixels.values, pixels.valid)
                    means.add_labels(window, codes)
                    labels.add(window, codes, gray, pixels)
                    labels.add_border(codes, window, grid)
            heights = _scan_heights(sample, grid)
            dropped = source.count_dropped()
            found = labels.result(source.labels)
            return SampleScan(image.result, found, heights, dropped, means.find())
    except SwathError as error:
        return Finding.of_error(error, sample.images[0], sample.name)


def _scan_heights(sample: SourceSample, grid: GeoBox) -> HeightScan | None:
    raster = sample.open_heights(grid)
    if raster is None:
        return None
    known = valid = 0
    with raster:
        for window in chunks(grid):
            pixels = raster.read(window)
            known += int(np.isfinite(known_heights(pixels)).sum())
            valid += int(pixels.valid.sum())
    return HeightScan(known, valid - known)


class _LabelScanner:
    def __init__(self, grid: GeoBox, bands: Sequence[str]) -> None:
        self._codes: Counter[int] = Counter()
        self._bands = BandsOfLabels(bands)
        self._alignment, self._fit = Alignment(), FitScanner(grid)
        self._blended = BlendedCodes()
        self._hidden: Counter[int] = Counter()
        self._border = np.zeros(2, np.int64)

    def add(
        self,
        window: Window,
        codes: NDArray[np.int64],
        gray: NDArray[np.float32],
        pixels: Pixels,
    ) -> None:
        values, valid = pixels
        if len(self._codes) <= MAX_COUNTED_VALUES:
            self._codes.update(count_values(codes))
            self._alignment.add(gray, codes)
            self._fit.add(window, gray, codes)
            self._blended.add(codes)
            self._bands.add(values, valid, codes)
        if not valid.all():
            self._hidden.update(count_values(codes[~valid]))

    def add_border(self, codes: NDArray[np.int64], window: Window, grid: GeoBox) -> None:
        """Count labels along the border of the image."""
        lines = [(window.row == 0, codes[0]), (window.stop[0] == grid.height, codes[-1])]
        lines += [(window.col == 0, codes[:, 0]), (window.stop[1] == grid.width, codes[:, -1])]
        for is_border, line in lines:
            if is_border:
                self._border += [int((line != UNLABELED).sum()), int((line == 0).sum())]

    def result(self, labels: Labels) -> LabelScan:
        codes, shift = self._codes.copy(), self._alignment.shift
        del codes[UNLABELED], self._hidden[UNLABELED]
        border = int(self._border[0]), int(self._border[1])
        scan = LabelScan(
            codes,
            labels.names,
            shift,
            self._fit.find(),
            in_bands=self._bands.find(),
            hidden=self._hidden,
            zeros_outside=self._hidden[0],
            border=border,
        )
        if isinstance(labels, VectorLabels):
            return replace(scan, tally=labels.tally)
        if not isinstance(labels, RasterLabels):
            return scan
        return replace(
            scan,
            blended=self._blended.find(),
            transparent=+labels.transparent,
            lossy=labels.driver == "JPEG",
            grid=labels.file_grid,
            placement=labels.placement,
            nodata=labels.nodata,
            nodata_pixels=labels.nodata_pixels,
        )


class _ImageScanner:
    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._statistics = PixelStatistics(len(raster.bands), raster.dtype)
        self._hash = ImageHash(raster.grid)
        declared = (*raster.nodata, raster.given_nodata)
        self._declares_nan = any(value is not None and np.isnan(value) for value in declared)
        self._valid = self._veiled = self._nans = self._infinite = 0
        self._border_nodata: Counter[float] = Counter()
        self._fills: Counter[float] = Counter()
        self._possible, self._lossy = raster.fills, raster.lossy and raster.dtype == np.uint8
        self._ring = RingTally()
        self._equal = list(combinations(range(len(raster.bands)), 2))
        self._colors = ColorScanner(raster.grid, len(raster.bands))
        self._wrapped = WrappedValues(len(raster.bands), raster.dtype)
        self._solid = SolidFills(len(raster.bands), raster.dtype, raster.fills)

    def add(self, window: Window) -> tuple[Pixels, NDArray[np.float32]]:
        """Read a window, and return its pixels and their mean over bands (rows, columns)."""
        grid = self._raster.grid
        values, valid = pixels = self._raster.read(window)
        self._valid += int(valid.sum())
        self._veiled += self._raster.count_veiled(window)
        self._statistics.add(values, valid)
        self._colors.add(window, values, valid)
        self._wrapped.add(values, valid)
        self._solid.add(values, valid)
        self._equal = [(i, j) for i, j in self._equal if _are_equal(values[i], values[j])]
        (last_row, last_col), (rows, cols) = window.stop, (grid.height, grid.width)
        edges = (window.row == 0, last_row == rows, window.col == 0, last_col == cols)
        self._border_nodata.update(count_border(values, valid, edges, self._possible))
        self._fills.update(count_fills(values, valid, self._possible))
        if self._lossy:
            self._ring.add(values, valid)
        if values.dtype.kind == "f":
            self._count_not_finite(values)
        gray = _gray(pixels)
        self._hash.add(window, values, gray, valid)
        return pixels, gray

    def _count_not_finite(self, values: NDArray[Any]) -> None:
        if not self._declares_nan:
            self._nans += int(np.isnan(values).any(axis=0).sum())
        with np.errstate(over="ignore"):
            infinite = np.isinf(values.astype(np.float32, copy=False))
        self._infinite += int(infinite.any(axis=0).sum())

    @property
    def result(self) -> ImageScan:
        raster, border = self._raster, self._border_nodata
        least = MIN_BORDER * 2 * (raster.grid.height + raster.grid.width)
        return ImageScan(
            raster.grid,
            raster.bands,
            raster.dtypes,
            raster.nodata,
            self._statistics.stats,
            self._valid,
            self._veiled,
            self._nans,
            self._infinite,
            raster.alpha_as_band,
            raster.turned,
            dict(self._border_nodata),
            dict(self._fills),
            self._ring.find(value for value, count in border.items() if count > least),
            self._hash.thumbnail,
            self._hash.digest,
            raster.dead,
            tuple(raster.bands[i] for i in sorted({i for pair in self._equal for i in pair})),
            raster.tallies,
            self._colors.count(),
            tuple(raster.bands[i] for i in self._wrapped.find()),
            self._solid.find(),
        )


def _are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two bands are equal; most differ in their first row."""
    return np.array_equal(one[0], other[0]) and np.array_equal(one, other)


def _gray(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean of the first three bands (rows, columns), 0 where a pixel is invalid."""
    bands = pixels.values[:3]
    with np.errstate(over="ignore"):
        gray = np.add.reduce(bands, axis=0, dtype=np.float32) / np.float32(len(bands))
    return gray if pixels.valid.all() else np.where(pixels.valid, gray, np.float32(0))
