"""Label values on an image's grid, whatever they come from: a mask, a label raster on another grid, or polygons.

A label is a whole number, the user's own code or a packed color; `UNLABELED` marks pixels that
have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.errors
import rasterio.features
import rasterio.windows
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.raster import gdal_env, open_raster, unreadable_error
from swath.io.vector import Features
from swath.legend import Kind, Legend
from swath.types import PathLike

MAX_DISTINCT = 100
"""A mask with more distinct values than this is taken for a photograph, unless the user's classes have them."""

UNLABELED = int(np.iinfo(np.int64).min)
"""What `Labels.read` holds where there is no label."""


class Labels(Protocol):
    """Labels of one image."""

    names: dict[int, str]
    """Names of codes where the source has names, else empty."""

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window of the image's grid, as codes or packed colors."""

    def close(self) -> None:
        """Close the files."""


class RasterLabels:
    """A label raster: a mask that lies pixel on pixel, or one on any other grid that is read nearest-neighbor.

    Args:
        path: the raster; one band of whole numbers or a palette, or red, green, blue.
        grid: the image's grid.
        warp: whether the labels may lie on another grid.

    Attributes:
        driver: GDAL driver of the file.
        file_grid: grid of the file.

    Raises:
        DataError: the file is damaged, or does not lie on the image's grid and may not, or cannot,
            be moved there.
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
                self._dataset = self._moved_to(grid, warp)
        except BaseException:
            self._source.close()
            raise

    def _moved_to(self, grid: GeoBox, warp: bool) -> WarpedVRT:
        own = geobox_of(self._source)
        if not warp and (own.height, own.width) == (grid.height, grid.width):
            raise DataError(
                "its CRS or transform is not the image's",
                file=self._path,
                fix="Mend it, or use --layout scene, which moves labels onto the image's grid",
                code="grid-mismatch",
            )
        if (
            (own.height, own.width) == (grid.width, grid.height)
            and own.crs is None
            and grid.crs is None
        ):
            raise DataError(
                f"the labels are {own.width}x{own.height} pixels, and the image as people see it {grid.width}x{grid.height}: "
                "one of both lies on its side",
                file=self._path,
                fix="Turn one of them; an EXIF orientation, where a file has one, is heeded already",
                code="size-mismatch",
            )
        if not warp or own.crs is None or grid.crs is None:
            raise DataError(
                f"the labels are {own.width}x{own.height} pixels and the image {grid.width}x{grid.height}",
                file=self._path,
                fix="Make the labels on the image's own pixels"
                + (
                    ", or give both a CRS" if warp else ", or use --layout scene if both have a CRS"
                ),
                code="size-mismatch",
            )
        try:
            with gdal_env():
                return WarpedVRT(
                    self._source,
                    crs=grid.crs,
                    transform=grid.affine,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling.nearest,
                    add_alpha=self._source.nodata is None
                    and ColorInterp.alpha not in self._source.colorinterp,
                )
        except (rasterio.errors.RasterioError, CPLE_BaseError) as error:
            raise DataError(
                f"from its CRS ({_name(own.crs)}) no way leads to the image's ({_name(grid.crs)})",
                file=self._path,
                fix="Give it the CRS that it is in (gdal_edit.py -a_srs)",
                code="grid-mismatch",
            ) from error

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window.

        Nodata, and alpha or a file's mask of 0, is `UNLABELED`. As `color`, a palette is looked up
        and one gray band counts for all three.

        Raises:
            DataError: the file is damaged, has two bands, holds numbers that are not whole, or
                colors where codes are wanted.
        """
        where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            with gdal_env():
                bands = self._dataset.read(window=where)
                masked = self._dataset.dataset_mask(window=where) == 0 if self._has_mask else None
        except rasterio.errors.RasterioError as error:
            raise unreadable_error(self._path, error) from error
        count = _data_bands(self._source)
        data, alpha = bands[:count], bands[count:]
        if count == 2:
            raise DataError(
                "it has two bands, and labels have one or three",
                file=self._path,
                fix="Extract the one you mean",
            )
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
        """Make the error for colors where codes are wanted, which says whether it rather looks like a photograph."""
        distinct = len(np.unique(data[:3].reshape(3, -1), axis=1).T)
        if distinct > MAX_DISTINCT:
            return DataError(
                f"this mask has more than {MAX_DISTINCT} different colors, as a photograph has, and the classes have codes",
                file=self._path,
                fix="Give the right mask, or leave the pair out (--skip-bad does)",
                code="mask-photograph",
            )
        return DataError(
            "the mask holds colors, and the classes have codes",
            file=self._path,
            fix="Give the classes colors in --classes, or make masks of codes",
            code="mask-colors",
        )

    def _as_colors(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        palette = self._source.colorinterp[0] == ColorInterp.palette
        table = np.arange(256, dtype=np.int64) * 0x010101
        if palette:
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
    """Polygons burnt onto the image's grid: a pixel has the class of the last feature that covers its center.

    Args:
        features: the layer.
        grid: the image's grid.
        legend: the user's classes, which text must match by name; without it text gets 1, 2, ... in
            alphabetical order.

    Raises:
        DataError: a class name is not in the legend, or one side lacks a CRS.
    """

    def __init__(self, features: Features, grid: GeoBox, legend: Legend | None = None) -> None:
        self._grid = grid
        self._geometries, self._tree = features.placed(grid.crs)
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
            raise DataError(
                "polygons have codes or names, and the classes have colors",
                fix="Give the classes codes",
            )
        part = self._grid.part(window)
        xs, ys = zip(
            *(part.point(col, row) for col in (0, part.width) for row in (0, part.height)),
            strict=True,
        )
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
        """Nothing is open."""


class EmptyLabels:
    """The labels of an image that has none."""

    names: dict[int, str] = {}

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return `UNLABELED` everywhere."""
        return np.full((window.height, window.width), UNLABELED, np.int64)

    def close(self) -> None:
        """Nothing is open."""


def read_ignore_mask(paths: Sequence[PathLike], grid: GeoBox, window: Window) -> NDArray[np.bool_]:
    """Tell which pixels of a window the user's mask rasters (clouds, quality) mark by a value other than 0 and nodata."""
    out = np.zeros((window.height, window.width), bool)
    for path in paths:
        mask = RasterLabels(path, grid, warp=True)
        try:
            values = mask.read(window, "code")
        finally:
            mask.close()
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
    """Tell whether labels lie pixel on pixel; of two files one of which lacks a CRS, the size decides."""
    if labels.crs is None or image.crs is None:
        return (labels.height, labels.width) == (image.height, image.width)
    return labels.same_as(image)


def _packed(bands: NDArray[Any], nodata: float | None, path: str) -> NDArray[np.int64]:
    if bands.dtype != np.uint8:
        raise DataError(
            f"a mask of colors has to be 8-bit, not {bands.dtype}",
            file=path,
            fix="Export it as 8-bit",
        )
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
            raise DataError(
                f"it holds {values[odd][0]:g}, which is no class code, in {int(odd.sum())} pixels",
                file=path,
                fix="Labels are whole numbers; is this the right file?",
            )
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
            raise DataError(
                f"class {name!r} of {count} features is not among the classes",
                file=features.path,
                fix=f"Add it to {legend.origin}, with `ignore: true` if it is not to be learnt",
            )
    return {name: known[name] for name in names}
