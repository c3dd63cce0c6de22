"""Labels from a raster: codes, colors or a band a class, on the image's grid or another."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.arrays.serial import warped_raster
from swath.io.labels.bands import (
    MaskReading,
    choose_bands,
    is_exclusive,
    names_of_bands,
    odd_bands,
)
from swath.io.labels.pixel_values import color_table, packed_colors, whole_numbers
from swath.io.labels.placement import (
    Placement,
    label_turns,
    place,
    short_crs_name,
    with_crs,
)
from swath.io.labels.protocol import UNLABELED
from swath.io.raster import gdal_env, gdal_errors, open_raster
from swath.legend import Kind, Legend
from swath.types import PathLike

MAX_DISTINCT = 100
"""A mask with more distinct values is taken for a photograph, unless the classes have them."""

_ANY_CRS = "EPSG:3857"  # of both sides where neither has one, so that transforms alone count


class RasterLabels:
    """A label raster on the image's grid, or on another grid and resampled to it (nearest).

    One band holds codes or a palette, three bands colors, or codes where all three are equal.
    Bands of 0 and 1, or 0 and 255, of which at most one is set in each pixel, are classes 1, 2, ...
    in their order (one-hot), and no class where none is set.

    Args:
        path: the raster; whole numbers.
        grid: the image's grid.
        warp: whether the labels may lie anywhere; otherwise they are of this one image, and an
            error where they do not touch it.
        reading: what the user says of the file.
        legend: the user's classes; a nodata value that is one of their codes is that class.

    Attributes:
        names: of the codes of one-hot bands, where all are described.
        driver: GDAL driver of the file.
        file_grid: grid of the file.
        placement: how the labels come onto the image's grid.
        nodata: the declared nodata value, None without or where it is a class.
        nodata_pixels: number of pixels read so far that have no label because of it.
        transparent: the values read so far, neither black nor white, that the file's alpha hides.

    Raises:
        DataError: the file is damaged, has not the band, or lies on another grid and cannot be
            brought onto the image's.
    """

    def __init__(
        self,
        path: PathLike,
        grid: GeoBox,
        *,
        warp: bool = False,
        reading: MaskReading | None = None,
        legend: Legend | None = None,
    ) -> None:
        self._path, self._grid = str(path), grid
        self._reading = reading or MaskReading()
        self._named = legend if legend is not None and not legend.found else None
        self._source = open_raster(path)
        self.driver, self.file_grid = self._source.driver, geobox_of(self._source)
        self.nodata: float | None = self._source.nodata
        self.nodata_pixels = 0
        self.transparent: Counter[int] = Counter()
        self._dataset: Any = self._source
        self._turned: list[WarpedVRT] = []  # the same, shifted around the earth
        flags = self._source.mask_flag_enums[0]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        try:
            self._find_bands()
            self.placement: Placement = self._find_place(warp)
        except BaseException:
            self._source.close()
            raise

    def _find_bands(self) -> None:
        coded = self._named is not None and self._named.kind == "code"
        bands = choose_bands(self._source, self._path, self._reading, coded=coded)
        self._data, self._alphas, self.one_hot = bands
        self.names = names_of_bands(self._source) if self.one_hot else {}

    def _find_place(self, warp: bool) -> Placement:
        if self._reading.crs is not None:
            self.file_grid = with_crs(self.file_grid, self._reading.crs, self._path)
        fit = self._reading.fit
        placement = place(self.file_grid, self._grid, self._path, warp=warp, fit=fit)
        if placement == "warped":
            shifts = label_turns(self.file_grid, self._grid)
            self._dataset, *self._turned = [self._warped(shift) for shift in shifts]
            if ColorInterp.alpha not in self._source.colorinterp or self.one_hot:
                self._alphas = [*self._alphas, self._source.count + 1]
        return placement

    def _warped(self, shift: float) -> WarpedVRT:
        """Return the file on the image's grid, its x increased by `shift`."""
        own, grid = self.file_grid, self._grid
        alpha = ColorInterp.alpha in self._source.colorinterp and not self.one_hot
        try:
            with gdal_env():
                return warped_raster(
                    self._source,
                    src_crs=own.crs or _ANY_CRS,
                    src_transform=own.moved(shift).affine,
                    crs=grid.crs or _ANY_CRS,
                    transform=grid.affine,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling.nearest,
                    src_nodata=None,  # nodata is decided in `read`, alpha marks the rest
                    nodata=None,
                    add_alpha=not alpha,
                )
        except GDAL_ERRORS as error:
            names = short_crs_name(own), short_crs_name(grid)
            message = (
                f"The labels' CRS ({names[0]}) cannot be transformed to the image's ({names[1]})"
            )
            fix = (
                "Assign the CRS that the labels are in "
                f"(`rio edit-info {shlex.quote(self._path)} --crs EPSG:4326`, say)"
            )
            raise DataError(message, code="crs-mismatch", file=self._path, fix=fix) from error

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window.

        Nodata, and alpha or a file's mask of 0, is `UNLABELED`, unless the user's classes have the
        nodata value. As `color`, a palette is applied, and one gray band is red, green and blue.

        Raises:
            DataError: the file is damaged, holds numbers that are not whole or bands that are
                neither codes, colors nor one-hot, or colors where codes are wanted.
        """
        bands = self._read_bands(window, self._data)
        hidden = np.zeros(bands.shape[1:], bool)
        for alpha in self._read_bands(window, self._alphas) if self._alphas else ():
            hidden |= alpha == 0
        if self._has_mask:
            hidden |= self._read_mask(window) == 0
        missing = self._is_nodata(bands, kind)
        self.nodata_pixels += int((missing & ~hidden).sum())
        if self.one_hot:
            labels = self._one_hot(bands, missing | hidden)
        elif len(bands) == 1:
            labels = whole_numbers(bands[0], missing, self._path)
        else:
            labels = self._of_three(bands, missing | hidden, kind)
        if kind == "color" and len(bands) == 1:
            labels = self._as_colors(labels)
        if self._alphas and hidden.any() and not self.one_hot:
            self._count_transparent(labels[hidden & ~missing], kind)
        labels[missing | hidden] = UNLABELED
        return labels

    def _count_transparent(self, labels: NDArray[np.int64], kind: Kind) -> None:
        values, counts = np.unique(labels, return_counts=True)
        empty = (0, 0xFFFFFF if kind == "color" else 255, UNLABELED)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self.transparent[value] += 0 if value in empty else count

    def _read_bands(self, window: Window, indexes: Sequence[int]) -> NDArray[Any]:
        where, fit = self._source_window(window)
        with gdal_errors(self._path):
            bands: NDArray[Any] = self._dataset.read(indexes, window=where.to_rasterio())
            for turned in self._turned:
                there = turned.read(self._alphas[-1], window=where.to_rasterio()) != 0
                there = np.broadcast_to(there, bands.shape)
                np.copyto(bands, turned.read(indexes, window=where.to_rasterio()), where=there)
        return bands if fit is None else bands[:, fit[0][:, None], fit[1]]

    def _read_mask(self, window: Window) -> NDArray[np.uint8]:
        where, fit = self._source_window(window)
        with gdal_errors(self._path):
            mask: NDArray[np.uint8] = self._dataset.dataset_mask(window=where.to_rasterio())
            for turned in self._turned:
                mask = np.maximum(mask, turned.dataset_mask(window=where.to_rasterio()))
        return mask if fit is None else mask[fit[0][:, None], fit[1]]

    def _source_window(
        self, window: Window
    ) -> tuple[Window, tuple[NDArray[np.int64], NDArray[np.int64]] | None]:
        """Return the window to read, and rows and columns in it if the labels are of another size.

        The nearest pixel is that which holds the center of the image's pixel.
        """
        if self.placement != "fitted":
            return window, None
        own, grid = self.file_grid, self._grid
        rows = (2 * np.arange(window.row, window.stop[0]) + 1) * own.height // (2 * grid.height)
        cols = (2 * np.arange(window.col, window.stop[1]) + 1) * own.width // (2 * grid.width)
        row, col = int(rows[0]), int(cols[0])
        where = Window(row, col, int(rows[-1]) - row + 1, int(cols[-1]) - col + 1)
        return where, (rows - row, cols - col)

    def _is_nodata(self, bands: NDArray[Any], kind: Kind) -> NDArray[np.bool_]:
        """Return where all bands have the nodata value, unless it is a class or says `not this`."""
        value = self.nodata
        if value is None or math.isnan(value):
            return np.zeros(bands.shape[1:], bool)
        if self.one_hot and value in (0, 1):
            self.nodata = None
        if self._named is not None and value == round(value):
            code = np.array([int(value)], np.int64)
            if kind == "color":
                code = self._as_colors(code)
            if self._named.known(code)[0]:
                self.nodata = None
        if self.nodata is None:
            return np.zeros(bands.shape[1:], bool)
        missing: NDArray[np.bool_] = (bands == value).all(axis=0)
        return missing

    def _one_hot(self, bands: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
        if not is_exclusive(np.where(missing, 0, bands)):
            raise odd_bands(f"{len(bands)} bands", self._path)
        labels = bands.argmax(axis=0).astype(np.int64) + 1
        return np.where((bands != 0).any(axis=0), labels, UNLABELED)

    def _of_three(
        self, bands: NDArray[Any], missing: NDArray[np.bool_], kind: Kind
    ) -> NDArray[np.int64]:
        """Return three bands as codes, if these are equal, or as packed colors."""
        if kind == "color":
            return packed_colors(bands, self._path)
        equal = (bands == bands[0]).all(axis=0)
        if not (equal | missing).all():
            raise self._not_codes(bands)
        return whole_numbers(bands[0], missing, self._path)

    def _not_codes(self, data: NDArray[Any]) -> DataError:
        distinct = len(np.unique(data[:3].reshape(3, -1), axis=1).T)
        if distinct > MAX_DISTINCT:
            message = f"The mask has more than {MAX_DISTINCT} colors, and the classes have codes"
            fix = "Give the right mask, or leave the pair out (--skip-bad does)"
            return DataError(message, code="mask-photograph", file=self._path, fix=fix)
        message = "The mask holds colors, and the classes have codes"
        fix = "Give the classes colors in --classes, or name the band of codes (--label-band 1)"
        return DataError(message, code="mask-colors", file=self._path, fix=fix)

    def _as_colors(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        table = color_table(self._source, self._data[0])
        known = (labels >= 0) & (labels < 256)
        return np.where(known, table[np.where(known, labels, 0)], labels)

    def close(self) -> None:
        """Close the file."""
        for dataset in (self._dataset, *self._turned):
            dataset.close()
        self._source.close()


def read_ignore_mask(paths: Sequence[PathLike], grid: GeoBox, window: Window) -> NDArray[np.bool_]:
    """Return which pixels of a window a mask marks by a value other than 0 and nodata.

    Args:
        paths: rasters on any grid, such as clouds or quality.
        grid: the image's grid.
        window: rows and columns of the image.
    """
    out = np.zeros((window.height, window.width), bool)
    for path in paths:
        with closing(RasterLabels(path, grid, warp=True)) as mask:
            values = mask.read(window, "code")
        out |= (values != 0) & (values != UNLABELED)
    return out
