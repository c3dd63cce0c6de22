"""Labels on the grid of an image, from a mask, a label raster on another grid, or polygons.

A label is a whole number, the user's own code or a packed color; `UNLABELED` marks pixels that
have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.raster import gdal_env, gdal_errors, open_raster
from swath.io.vector import Features
from swath.legend import Kind, Legend
from swath.types import PathLike

MAX_DISTINCT = 100
"""A mask with more distinct values is taken for a photograph, unless the classes have them."""

UNLABELED = int(np.iinfo(np.int64).min)
"""Value of `Labels.read` where there is no label."""


class Labels(Protocol):
    """Labels of one image."""

    names: dict[int, str]
    """Names of codes, empty where the source has none."""

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return the labels (rows, columns) of a window of the image, as codes or packed colors."""

    def close(self) -> None:
        """Close the files."""


class RasterLabels:
    """A label raster on the image's grid, or on another grid and resampled to it (nearest).

    Args:
        path: the raster; one band of whole numbers or a palette, or red, green, blue.
        grid: the image's grid.
        warp: whether the labels may lie on another grid.

    Attributes:
        driver: GDAL driver of the file.
        file_grid: grid of the file.

    Raises:
        DataError: the file is damaged, or lies on another grid and may not, or cannot, be warped.
    """

    names: dict[int, str] = {}

    def __init__(self, path: PathLike, grid: GeoBox, *, warp: bool = False) -> None:
        self._path = str(path)
        self._source = open_raster(path)
        self.driver, self.file_grid = self._source.driver, geobox_of(self._source)
        self._dataset: Any = self._source
        flags = self._source.mask_flag_enums[0]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        try:
            if not _on_grid(geobox_of(self._source), grid):
                self._dataset = self._warped_to(grid, warp)
        except BaseException:
            self._source.close()
            raise

    def _warped_to(self, grid: GeoBox, warp: bool) -> WarpedVRT:
        own = geobox_of(self._source)
        shape, wanted = (own.height, own.width), (grid.height, grid.width)
        size = f"The labels are {own.width}x{own.height} pixels and the image"
        if not warp and shape == wanted:
            message = "The labels have another CRS or transform than the image"
            fix = "Mend it, or use --layout scene, which moves labels onto the image's grid"
            raise DataError(message, code="grid-mismatch", file=self._path, fix=fix)
        if shape == wanted[::-1] and own.crs is None and grid.crs is None:
            message = f"{size}, as viewers show it, {grid.width}x{grid.height}: one lies sideways"
            fix = "Turn one of them; EXIF orientations are applied already"
            raise DataError(message, code="labels-sideways", file=self._path, fix=fix)
        if not warp or own.crs is None or grid.crs is None:
            other = "give both a CRS" if warp else "use --layout scene if both have a CRS"
            message = f"{size} {grid.width}x{grid.height}"
            fix = f"Make the labels on the image's own pixels, or {other}"
            raise DataError(message, code="size-mismatch", file=self._path, fix=fix)
        alpha = ColorInterp.alpha in self._source.colorinterp
        try:
            with gdal_env():
                return WarpedVRT(
                    self._source,
                    crs=grid.crs,
                    transform=grid.affine,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling.nearest,
                    add_alpha=self._source.nodata is None and not alpha,
                )
        except GDAL_ERRORS as error:
            pair = f"({_name(own.crs)}) cannot be transformed to the image's ({_name(grid.crs)})"
            message = f"The labels' CRS {pair}"
            fix = "Assign the CRS that the labels are in (gdal_edit.py -a_srs)"
            raise DataError(message, code="crs-mismatch", file=self._path, fix=fix) from error

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window.

        Nodata, and alpha or a file's mask of 0, is `UNLABELED`. As `color`, a palette is applied,
        and one gray band is red, green and blue.

        Raises:
            DataError: the file is damaged, has two bands, holds numbers that are not whole, or
                colors where codes are wanted.
        """
        where = window.to_rasterio()
        with gdal_errors(self._path):
            bands = self._dataset.read(window=where)
            masked = self._dataset.dataset_mask(window=where) == 0 if self._has_mask else None
        count = _data_bands(self._source)
        data, alpha = bands[:count], bands[count:]
        if count == 2:
            message = "The labels have two bands instead of one or three"
            fix = "Extract the one that holds them (gdal_translate -b)"
            raise DataError(message, code="band-count", file=self._path, fix=fix)
        if count >= 3:
            if kind == "code":
                raise self._not_codes(data)
            labels = _packed(data[:3], self._source.nodata, self._path)
        else:
            labels = _whole_numbers(data[0], self._source.nodata, self._path)
            if kind == "color":
                labels = self._as_colors(labels)
        if len(alpha):
            labels[alpha[-1] == 0] = UNLABELED
        if masked is not None:
            labels[masked] = UNLABELED
        return labels

    def _not_codes(self, data: NDArray[Any]) -> DataError:
        distinct = len(np.unique(data[:3].reshape(3, -1), axis=1).T)
        if distinct > MAX_DISTINCT:
            message = f"The mask has more than {MAX_DISTINCT} colors, and the classes have codes"
            fix = "Give the right mask, or leave the pair out (--skip-bad does)"
            return DataError(message, code="mask-photograph", file=self._path, fix=fix)
        message = "The mask holds colors, and the classes have codes"
        fix = "Give the classes colors in --classes, or make masks of codes"
        return DataError(message, code="mask-colors", file=self._path, fix=fix)

    def _as_colors(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        table = np.arange(256, dtype=np.int64) * 0x010101
        if self._source.colorinterp[0] == ColorInterp.palette:
            for value, (red, green, blue, *_) in self._source.colormap(1).items():
                if value < 256:
                    table[value] = red << 16 | green << 8 | blue
        known = (labels >= 0) & (labels < 256)
        return np.where(known, table[np.where(known, labels, 0)], labels)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()
        self._source.close()


class VectorLabels:
    """Polygons on an image's grid: a pixel has the class of the last feature over its center.

    Args:
        features: the layer.
        grid: the image's grid.
        legend: the classes, which text must match by name; without them text gets 1, 2, ... in
            alphabetical order.

    Raises:
        DataError: a class name is not in the legend, or only one side has a CRS.
    """

    def __init__(self, features: Features, grid: GeoBox, legend: Legend | None = None) -> None:
        self._grid = grid
        self._geometries, self._tree = features.to_crs_indexed(grid.crs)
        if features.textual:
            codes = _codes_of_names(features, legend)
            self.names = {code: name for name, code in codes.items()}
            self._codes = np.array([codes[v] for v in features.values], np.int64)
        else:
            self.names = {}
            self._codes = features.values.astype(np.int64)

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window; `kind` must be `code`.

        Raises:
            DataError: colors are wanted.
        """
        if kind == "color":
            message = "The polygons have codes or names, and the classes have colors"
            raise DataError(message, code="labels-codes", fix="Give the classes codes")
        part = self._grid.part(window)
        corners = [part.point(col, row) for col in (0, part.width) for row in (0, part.height)]
        xs, ys = zip(*corners, strict=True)
        found = np.sort(self._tree.query(shapely.box(min(xs), min(ys), max(xs), max(ys))))
        out = np.full((window.height, window.width), UNLABELED, np.int64)
        if len(found):
            burnt = rasterio.features.rasterize(
                ((self._geometries[i], k) for k, i in enumerate(found, 1)),
                out_shape=out.shape,
                transform=part.affine,
                dtype="int32",
            )
            out = np.where(burnt > 0, self._codes[found][np.maximum(burnt, 1) - 1], out)
        return out

    def close(self) -> None:
        """Do nothing: no file is open."""


class EmptyLabels:
    """The labels of an image that has none."""

    names: dict[int, str] = {}

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return `UNLABELED` everywhere."""
        return np.full((window.height, window.width), UNLABELED, np.int64)

    def close(self) -> None:
        """Do nothing: no file is open."""


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


def mask_kind(dataset: rasterio.DatasetReader) -> Kind:
    """Return whether a label raster holds colors (three bands or more) or codes."""
    return "color" if _data_bands(dataset) >= 3 else "code"


def _data_bands(dataset: rasterio.DatasetReader) -> int:
    return sum(c != ColorInterp.alpha for c in dataset.colorinterp)


def _name(crs: str) -> str:
    """Return the name that a CRS has in its WKT."""
    return crs.partition('"')[2].partition('"')[0] or "without a name"


def _on_grid(labels: GeoBox, image: GeoBox) -> bool:
    """Return whether labels lie pixel on pixel; the size decides where a CRS is missing."""
    if labels.crs is None or image.crs is None:
        return (labels.height, labels.width) == (image.height, image.width)
    return labels.same_as(image)


def _packed(bands: NDArray[Any], nodata: float | None, path: str) -> NDArray[np.int64]:
    if bands.dtype != np.uint8:
        message = f"The mask of colors is {bands.dtype} instead of uint8"
        raise DataError(message, code="mask-dtype", file=path, fix="Export it as 8-bit")
    packed: NDArray[np.int64] = bands[0].astype(np.int64)
    for band in bands[1:]:
        packed <<= 8
        packed |= band
    if nodata is not None:
        packed[(bands == nodata).all(axis=0)] = UNLABELED
    return packed


def _whole_numbers(values: NDArray[Any], nodata: float | None, path: str) -> NDArray[np.int64]:
    if values.dtype.kind in "iu" and nodata is None:
        return values.astype(np.int64)
    missing = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        missing |= ~np.isfinite(values)
        odd = ~missing & (values != np.round(values))
        if odd.any():
            found = f"{values[odd][0]:g} in {int(odd.sum())} pixels"
            message = f"The labels hold numbers that are not whole, such as {found}"
            fix = "Give a file whose labels are whole numbers"
            raise DataError(message, code="fractional-code", file=path, fix=fix)
    if nodata is not None and not np.isnan(nodata):
        missing |= values == nodata
    return np.where(missing, UNLABELED, np.where(missing, 0, values).astype(np.int64))


def _codes_of_names(features: Features, legend: Legend | None) -> dict[str, int]:
    names = sorted(set(features.values))
    if legend is None:
        return {name: i for i, name in enumerate(names, 1)}
    known = {c.name: c.codes[0] for c in legend.classes}
    for name in names:
        if name not in known:
            count = int((features.values == name).sum())
            message = f"Class {name!r} of {count} features is not among the classes"
            fix = f"Add it to {legend.origin}, with `ignore: true` if it is not to be trained"
            raise DataError(message, code="unknown-class", file=features.path, fix=fix)
    return {name: known[name] for name in names}
