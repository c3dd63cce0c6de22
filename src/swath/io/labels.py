"""Labels on the grid of an image, from a mask, a label raster on another grid, or polygons.

A label is a whole number, the user's own code or a packed color; `UNLABELED` marks pixels that
have none.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import rasterio
import rasterio.features
import shapely
import shapely.affinity
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.footprints import footprint
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.raster import descriptions, gdal_env, gdal_errors, open_raster
from swath.io.vector import Features, crs_code, fold
from swath.legend import Kind, Legend
from swath.types import PathLike

MAX_DISTINCT = 100
"""A mask with more distinct values is taken for a photograph, unless the classes have them."""

UNLABELED = int(np.iinfo(np.int64).min)
"""Value of `Labels.read` where there is no label."""

MAX_STRETCH = 0.005
"""Largest difference of the aspects of labels and image that `--fit-labels` resamples."""

_ROWS_AT_ONCE = 64  # that are read to find out what bands hold; most masks need no more
_ANY_CRS = "EPSG:3857"  # of both sides where neither has one, so that transforms alone count


class Labels(Protocol):
    """Labels of one image."""

    names: dict[int, str]
    """Names of codes, empty where the source has none."""

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return the labels (rows, columns) of a window of the image, as codes or packed colors."""

    def close(self) -> None:
        """Close the files."""


Placement: TypeAlias = Literal["same", "warped", "fitted"]
"""How labels come onto an image's grid: pixel on pixel, warped by CRS or transform, or by size."""


@dataclass(frozen=True)
class MaskReading:
    """How the label rasters of a source are read.

    Attributes:
        band: the band that holds the classes, from 1; None for the bands as they are.
        one_hot: whether each band is a class; None where the file decides.
        fit: whether masks of the image's aspect but another size are resampled (nearest).
    """

    band: int | None = None
    one_hot: bool | None = None
    fit: bool = False


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
        self.placement: Placement = "same"
        self.nodata: float | None = self._source.nodata
        self.nodata_pixels = 0
        self._dataset: Any = self._source
        flags = self._source.mask_flag_enums[0]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        try:
            self._choose_bands()
            self._place(warp)
        except BaseException:
            self._source.close()
            raise

    def _choose_bands(self) -> None:
        """Set the bands of data and of alpha, and whether the former are one-hot."""
        source, wanted = self._source, self._reading.band
        alphas = [i for i, c in enumerate(source.colorinterp, 1) if c == ColorInterp.alpha]
        data = [i for i in source.indexes if i not in alphas]
        self.one_hot = False
        if wanted is not None:
            if wanted > source.count:
                message = f"Band {wanted} is to hold the labels, and the file has {source.count}"
                fix = f"Give --label-band 1 to {source.count}"
                raise DataError(message, code="label-bands", file=self._path, fix=fix)
            # GDAL calls the fourth band of any 8-bit TIFF alpha.
            real = wanted not in alphas and (source.driver != "GTiff" or source.count == 2)
            data, alphas = [wanted], alphas if real else []
        elif len(data) == 2:
            raise self._odd_bands("two bands")
        elif len(data) > 2 and self._is_one_hot():
            self.one_hot, data, alphas = True, list(source.indexes), []
        self._data, self._alphas = data, alphas
        self.names = _names_of_bands(source) if self.one_hot else {}

    def _is_one_hot(self) -> bool:
        if self._reading.one_hot is not None:
            return self._reading.one_hot
        with gdal_errors(self._path):
            found = has_one_hot_bands(self._source)
        if found is None:  # the classes decide
            return self._named is not None and self._named.kind == "code"
        return found

    def _odd_bands(self, what: str) -> DataError:
        message = (
            f"The labels have {what}, and one band of codes, three of a color, or bands of "
            "which each marks one class are wanted"
        )
        fix = "Name the band that holds the classes (--label-band 1, say)"
        return DataError(message, code="label-bands", file=self._path, fix=fix)

    def _place(self, warp: bool) -> None:
        """Find out how the labels come onto the image's grid.

        Raises:
            DataError: they do not, or lie elsewhere.
        """
        own, grid = self.file_grid, self._grid
        georeferenced = (own.crs is None) == (grid.crs is None) and _placed(own) and _placed(grid)
        if (not warp or own.crs is None) and lie_apart(own, grid):
            raise self._missing_image()
        if own.same_as(grid) if georeferenced else _same_size(own, grid):
            return
        if georeferenced:
            self._dataset, self.placement = self._warped(), "warped"
            return
        size = f"The labels are {own.width}x{own.height} pixels and the image"
        if (own.height, own.width) == (grid.width, grid.height) and own.crs is grid.crs is None:
            message = f"{size}, as viewers show it, {grid.width}x{grid.height}: one lies sideways"
            fix = "Turn one of them; EXIF orientations are applied already"
            raise DataError(message, code="labels-sideways", file=self._path, fix=fix)
        one_aspect = abs(own.width * grid.height / (own.height * grid.width) - 1) <= MAX_STRETCH
        if self._reading.fit and one_aspect:
            self.placement = "fitted"
            return
        message = f"{size} {grid.width}x{grid.height}"
        fix = "Make the labels on the image's own pixels, or give both a CRS and transform"
        if one_aspect:
            message, fix = f"{message}, of one aspect", "Resample the labels (--fit-labels)"
        raise DataError(message, code="size-mismatch", file=self._path, fix=fix)

    def _missing_image(self) -> DataError:
        places = [f"{_bounds(box)} in {_crs_name(box)}" for box in (self.file_grid, self._grid)]
        message = f"The labels lie at {places[0]}, and the image at {places[1]}: they do not meet"
        fix = f"Check both (`rio info {shlex.quote(self._path)}`)"
        if _same_size(self.file_grid, self._grid):
            moved = f"--transform {shlex.quote(str(list(self._grid.transform)))}"
            crs = rasterio.CRS.from_wkt(self._grid.crs) if self._grid.crs else None
            if crs is not None and crs.to_epsg():
                moved = f"--crs EPSG:{crs.to_epsg()} {moved}"
            command = f"rio edit-info {shlex.quote(self._path)} {moved}"
            fix = f"Check both; if the labels are of this image, `{command}` says so"
        return DataError(message, code="labels-miss-images", file=self._path, fix=fix)

    def _warped(self) -> WarpedVRT:
        own, grid = self.file_grid, self._grid
        alpha = ColorInterp.alpha in self._source.colorinterp and not self.one_hot
        crs = grid.crs or _ANY_CRS
        try:
            with gdal_env():
                warped = WarpedVRT(
                    self._source,
                    src_crs=own.crs or _ANY_CRS,
                    crs=crs,
                    transform=grid.affine,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling.nearest,
                    src_nodata=None,  # nodata is decided in `read`, alpha marks the rest
                    nodata=None,
                    add_alpha=not alpha,
                )
        except GDAL_ERRORS as error:
            pair = f"({_crs_name(own)}) cannot be transformed to the image's ({_crs_name(grid)})"
            message = f"The labels' CRS {pair}"
            fix = (
                "Assign the CRS that the labels are in "
                f"(`rio edit-info {shlex.quote(self._path)} --crs EPSG:4326`, say)"
            )
            raise DataError(message, code="crs-mismatch", file=self._path, fix=fix) from error
        if not alpha:
            self._alphas = [*self._alphas, self._source.count + 1]
        return warped

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
            labels = _whole_numbers(bands[0], missing, self._path)
        else:
            labels = self._of_three(bands, missing | hidden, kind)
        if kind == "color" and len(bands) == 1:
            labels = self._as_colors(labels)
        labels[missing | hidden] = UNLABELED
        return labels

    def _read_bands(self, window: Window, indexes: Sequence[int]) -> NDArray[Any]:
        where, fit = self._source_window(window)
        with gdal_errors(self._path):
            bands: NDArray[Any] = self._dataset.read(indexes, window=where.to_rasterio())
        return bands if fit is None else bands[:, fit[0][:, None], fit[1]]

    def _read_mask(self, window: Window) -> NDArray[np.uint8]:
        where, fit = self._source_window(window)
        with gdal_errors(self._path):
            mask: NDArray[np.uint8] = self._dataset.dataset_mask(window=where.to_rasterio())
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
        if not _is_exclusive(np.where(missing, 0, bands)):
            raise self._odd_bands(f"{len(bands)} bands")
        labels = bands.argmax(axis=0).astype(np.int64) + 1
        return np.where((bands != 0).any(axis=0), labels, UNLABELED)

    def _of_three(
        self, bands: NDArray[Any], missing: NDArray[np.bool_], kind: Kind
    ) -> NDArray[np.int64]:
        """Return three bands as codes, if these are equal, or as packed colors."""
        if kind == "color":
            return _packed(bands, self._path)
        equal = (bands == bands[0]).all(axis=0)
        if not (equal | missing).all():
            raise self._not_codes(bands)
        return _whole_numbers(bands[0], missing, self._path)

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
        table = np.arange(256, dtype=np.int64) * 0x010101
        if self._source.colorinterp[self._data[0] - 1] == ColorInterp.palette:
            for value, (red, green, blue, *_) in self._source.colormap(self._data[0]).items():
                if value < 256:
                    table[value] = red << 16 | green << 8 | blue
        known = (labels >= 0) & (labels < 256)
        return np.where(known, table[np.where(known, labels, 0)], labels)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()
        self._source.close()


@dataclass(frozen=True)
class LayerTally:
    """What became of the features of a layer on one image; positions in the layer, shape (n,).

    Attributes:
        visible: features that have a pixel.
        hidden: those whose pixels all went to later features of other classes.
        small: polygons that cover no pixel center.
        shared: points whose pixel went to a point of another class.
        contested: pixels that features of several classes cover.
    """

    visible: NDArray[np.int64]
    hidden: NDArray[np.int64]
    small: NDArray[np.int64]
    shared: NDArray[np.int64]
    contested: int


class _Burnt(NamedTuple):
    """The features near a window, and which of them (1, 2, ...) each pixel shows, 0 for none."""

    window: Window
    found: NDArray[np.int64]
    shifts: NDArray[np.float64]
    ids: NDArray[np.int32]


class VectorLabels:
    """Features on an image's grid: a pixel has the class of the last polygon over its center.

    Points take the pixel that they lie in, and lines all that they touch.

    Args:
        features: the layer.
        grid: the image's grid.
        legend: the classes, which text must match by name; without them text gets 1, 2, ... in
            alphabetical order.
        found: whether the legend was found in these labels, so that a class without it has no
            pixel.
        image: file of the image, for errors.

    Raises:
        DataError: a class name of a feature in the image is not in the legend, only one side has
            a CRS, or no CRS leads to the other.
    """

    def __init__(
        self,
        features: Features,
        grid: GeoBox,
        legend: Legend | None = None,
        *,
        found: bool = False,
        image: PathLike | None = None,
    ) -> None:
        if grid.crs is None and image is not None:
            _check_control_points(image, features)
        self._features, self._grid = features, grid
        self._geometries, self._tree = features.to_crs_indexed(grid.crs)
        codes, self.names, self._background = _numbers(features, legend, found)
        distinct, at = features.classes
        table = np.array([codes.get(v, UNLABELED) for v in distinct], np.int64)
        self._codes = table[at] if len(at) else np.array([], np.int64)
        self._shifts = (0.0, 360.0, -360.0) if _is_geographic(grid.crs) else (0.0,)
        missing = [v for v in distinct if v not in codes]
        if missing and legend is not None and not found:
            self._check_known(set(missing), legend)
        self._extent: VectorLabels | None = None
        if self._background is not None and features.extent is not None:
            self._extent = VectorLabels(features.extent, grid)
        self._last: _Burnt | None = None
        self._seen: dict[str, list[NDArray[np.int64]]] = {
            key: [np.array([], np.int64)] for key in ("visible", "hidden", "small", "shared")
        }
        self._contested = 0

    def _check_known(self, missing: set[str], legend: Legend) -> None:
        near = self._tree.query(_outline(self._grid))
        values = self._features.values[near]
        for name in sorted(missing & set(values.tolist())):
            count = int((self._features.values == name).sum())
            message = f"Class {name!r} of {count} features is not among the classes"
            fix = f"Add it to {legend.origin}, with `ignore: true` if it is not to be trained"
            raise DataError(message, code="unknown-class", file=self._features.path, fix=fix)

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window; `kind` must be `code`.

        Raises:
            DataError: colors are wanted.
        """
        if kind == "color":
            message = "The polygons have codes or names, and the classes have colors"
            raise DataError(message, code="labels-codes", fix="Give the classes codes")
        burnt = self._last = self._burn(window)
        out = np.full((window.height, window.width), UNLABELED, np.int64)
        if len(burnt.found):
            winners = self._codes[burnt.found][np.maximum(burnt.ids, 1) - 1]
            out = np.where(burnt.ids > 0, winners, out)
        if self._background is not None:
            around = burnt.ids == 0
            if self._extent is not None:
                around &= self._extent.read(window, "code") != UNLABELED
            out[around] = self._background
        return out

    def count(self, window: Window) -> None:
        """Count what became of the features in a window that was read last."""
        burnt = self._last
        if burnt is None or burnt.window != window or not len(burnt.found):
            return
        has = np.bincount(burnt.ids.ravel(), minlength=len(burnt.found) + 1)[1:] > 0
        self._seen["visible"].append(burnt.found[has])
        for k in np.flatnonzero(~has).tolist():
            fate = self._fate(burnt, k)
            if fate is not None:
                self._seen[fate].append(burnt.found[k : k + 1])
        if self._may_differ(burnt.found):
            other = self._burn(window, backward=True)
            codes = self._codes[burnt.found]
            first, last = codes[other.ids - 1], codes[burnt.ids - 1]
            self._contested += int(((burnt.ids > 0) & (first != last)).sum())

    @property
    def tally(self) -> LayerTally:
        """What became of the features in all windows that were counted."""
        merged = {key: np.unique(np.concatenate(parts)) for key, parts in self._seen.items()}
        seen = merged["visible"]
        for key in ("hidden", "shared", "small"):
            merged[key] = np.setdiff1d(merged[key], seen)
            seen = np.union1d(seen, merged[key])
        return LayerTally(**merged, contested=self._contested)

    def _burn(self, window: Window, backward: bool = False) -> _Burnt:
        part = self._grid.part(window)
        ids = np.zeros((window.height, window.width), np.int32)
        found, shifts = [np.array([], np.int64)], [np.array([])]
        start = 1
        for shift in self._shifts:
            moved = _shifted(part, shift)
            near = np.sort(self._tree.query(_outline(moved)))
            if len(near):
                numbers = np.arange(start, start + len(near))
                self._draw(near, numbers, moved, ids, backward)
                start += len(near)
                found.append(near)
                shifts.append(np.full(len(near), shift))
        return _Burnt(window, np.concatenate(found), np.concatenate(shifts), ids)

    def _draw(
        self,
        near: NDArray[np.int64],
        numbers: NDArray[np.int64],
        part: GeoBox,
        ids: NDArray[np.int32],
        backward: bool,
    ) -> None:
        """Draw features in order, those of one rule at a time."""
        if backward:
            near, numbers = near[::-1], numbers[::-1]
        shapes = self._geometries[near]
        touched = (shapely.get_dimensions(shapes) == 1) | self._features.how.all_touched
        cuts = np.flatnonzero(np.diff(touched)) + 1
        for run in np.split(np.arange(len(near)), cuts):
            rasterio.features.rasterize(
                zip(shapes[run], numbers[run].tolist(), strict=True),
                out=ids,
                transform=part.affine,
                all_touched=bool(touched[run[0]]),
            )

    def _fate(self, burnt: _Burnt, k: int) -> str | None:
        """Return why a feature near a window has no pixel there, None if it lost none."""
        shape, window = self._geometries[burnt.found[k]], burnt.window
        part = _shifted(self._grid.part(window), float(burnt.shifts[k]))
        west, south, east, north = shape.bounds
        corners = [(west, south), (west, north), (east, south), (east, north)]
        cols, rows = zip(*(~part.affine @ corner for corner in corners), strict=True)
        thin = shapely.get_dimensions(shape) < 2
        box = Window(
            max(0, math.floor(min(rows)) - 1),
            max(0, math.floor(min(cols)) - 1),
            min(window.height, math.ceil(max(rows)) + 1) - max(0, math.floor(min(rows)) - 1),
            min(window.width, math.ceil(max(cols)) + 1) - max(0, math.floor(min(cols)) - 1),
        )
        if box.height < 1 or box.width < 1:
            return None
        if thin or _holds_center(rows) and _holds_center(cols):
            alone = np.zeros((box.height, box.width), np.int32)
            where, number = burnt.found[k : k + 1], np.array([1])
            self._draw(where, number, part.part(box), alone, False)
            if alone.any():
                winners = burnt.found[burnt.ids[box.slices][alone > 0] - 1]
                own = self._codes[burnt.found[k]]
                over = winners[self._codes[winners] != own]
                points = thin and (shapely.get_dimensions(self._geometries[over]) == 0).any()
                return ("shared" if points else "hidden") if len(over) else None
        top, left = window.row, window.col
        inside = min(rows) + top >= 0 and max(rows) + top <= self._grid.height
        inside = inside and min(cols) + left >= 0 and max(cols) + left <= self._grid.width
        return "small" if inside and not thin else None

    def _may_differ(self, found: NDArray[np.int64]) -> bool:
        """Return whether the boxes around any features of two classes overlap."""
        if len(np.unique(self._codes[found])) < 2:
            return False
        i, j = self._tree.query(self._geometries[found])
        i = found[i]
        ahead = (j > i) & (self._codes[i] != self._codes[j])
        a, b = (shapely.bounds(self._geometries[k[ahead]]) for k in (i, j))
        low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
        return bool((low < high).all(axis=1).any())

    def close(self) -> None:
        """Do nothing: no file is open."""


def _holds_center(places: Sequence[float]) -> bool:
    """Return whether the range of rows or columns holds the center of a pixel."""
    return math.ceil(min(places) - 0.5 - 1e-9) <= math.floor(max(places) - 0.5 + 1e-9)


def _outline(grid: GeoBox) -> shapely.Polygon:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.point(*corner) for corner in corners])


def _shifted(grid: GeoBox, shift: float) -> GeoBox:
    """Return a grid moved west, where features of the other side of 180 degrees lie."""
    a, b, c, d, e, f = grid.transform
    return replace(grid, transform=(a, b, c - shift, d, e, f)) if shift else grid


def _is_geographic(crs: str | None) -> bool:
    return crs is not None and bool(rasterio.CRS.from_wkt(crs).is_geographic)


def _check_control_points(image: PathLike, features: Features) -> None:
    """Raise an error where an image is placed by ground control points alone."""
    with open_raster(image) as dataset:
        points, crs = dataset.gcps
    if points:
        message = f"The image is placed by {len(points)} ground control points, not by a transform"
        target = crs_code(features.crs) if features.crs else "EPSG:CODE"
        fix = f"Warp it first: rio warp {Path(image).name} warped.tif --dst-crs {target}"
        raise DataError(message, code="control-points", file=image, fix=fix)


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


def mask_kind(dataset: rasterio.DatasetReader, reading: MaskReading | None = None) -> Kind:
    """Return whether a label raster holds colors (three bands) or codes (one, or one-hot bands)."""
    if reading is not None and (reading.band is not None or reading.one_hot):
        return "code"
    count = sum(c != ColorInterp.alpha for c in dataset.colorinterp)
    return "color" if count == 3 and not has_one_hot_bands(dataset) else "code"


def has_one_hot_bands(dataset: rasterio.DatasetReader) -> bool | None:
    """Return whether each band of a label raster is a class; None where the pixels leave it open.

    Four bands or more can be nothing else. Three bands of 0 and 255 are colors; with an alpha band,
    which GDAL assumes in 8-bit files of four bands, they are one-hot if that is exclusive, too.
    Reading ends at the first pixel that says no.
    """
    alphas = [c == ColorInterp.alpha for c in dataset.colorinterp]
    count = len(alphas) - sum(alphas)
    if count != 3:
        return bool(count > 3)
    if dataset.driver == "JPEG" or len(alphas) > 4 or dataset.dtypes[0] != "uint8":
        return False
    used = [False] * len(alphas)
    for row in range(0, dataset.height, _ROWS_AT_ONCE):
        rows = Window(row, 0, _ROWS_AT_ONCE, dataset.width)
        within = rows.within(Window(0, 0, dataset.height, dataset.width))
        bands = dataset.read(window=within.to_rasterio())
        if not _is_exclusive(bands) or (len(alphas) == 3 and bands.max() > 1):
            return False
        used = [was or bool(band.any()) for was, band in zip(used, bands, strict=True)]
    if not any(used) and len(alphas) == 3:
        return False
    return True if sum(used) > 1 else None


def _is_exclusive(bands: NDArray[Any]) -> bool:
    """Return whether bands (n, rows, columns) hold 0, and 1 or 255 at most once a pixel."""
    value = bands.max(initial=0)
    if value not in (0, 1, 255):
        return False
    marked = bands == value if value else np.zeros(bands.shape, bool)
    return bool(((bands == 0) | marked).all() and (marked.sum(axis=0) <= 1).all())


def _names_of_bands(dataset: rasterio.DatasetReader) -> dict[int, str]:
    """Return the descriptions of bands by their numbers; none unless all are distinct."""
    texts = [(text or "").strip() for text in descriptions(dataset)]
    return dict(enumerate(texts, 1)) if all(texts) and len(set(texts)) == len(texts) else {}


def _crs_name(box: GeoBox) -> str:
    """Return the name that a CRS has in its WKT."""
    if box.crs is None:
        return "no CRS"
    return box.crs.partition('"')[2].partition('"')[0] or "a CRS without a name"


def _bounds(box: GeoBox) -> str:
    """Write the extent of a raster in its CRS."""
    corners = [(0, 0), (0, box.height), (box.width, 0), (box.width, box.height)]
    xs, ys = zip(*(box.point(*corner) for corner in corners), strict=True)
    return f"x {min(xs):.8g} to {max(xs):.8g}, y {min(ys):.8g} to {max(ys):.8g}"


def _same_size(a: GeoBox, b: GeoBox) -> bool:
    return (a.height, a.width) == (b.height, b.width)


def _placed(box: GeoBox) -> bool:
    """Return whether a raster has a place: a CRS, or a transform that does not count pixels."""
    a, b, c, d, e, f = box.transform
    counts = abs(a) == abs(e) == 1 and b == d == 0
    return box.crs is not None or not (counts and abs(c) <= box.width and abs(f) <= box.height)


def lie_apart(labels: GeoBox, image: GeoBox) -> bool:
    """Return whether two rasters evidently do not meet; a missing CRS is taken for the other's."""
    if not (_placed(labels) and _placed(image)):
        return False
    if labels.crs is None or image.crs is None or labels.same_crs(image):
        return not _meet(_outline(labels), _outline(image))
    outlines = footprint(labels), footprint(image)
    if outlines[0] is None or outlines[1] is None:
        return False
    turns = [shapely.affinity.translate(outlines[0], turn) for turn in (-360, 0, 360)]
    return not any(_meet(turned, outlines[1]) for turned in turns)


def _meet(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    return bool(shapely.intersects(a, b) and not shapely.touches(a, b))


def _packed(bands: NDArray[Any], path: str) -> NDArray[np.int64]:
    if bands.dtype != np.uint8:
        message = f"The mask of colors is {bands.dtype} instead of uint8"
        fix = "Export it as 8-bit, or name the band that holds codes (--label-band 1)"
        raise DataError(message, code="mask-dtype", file=path, fix=fix)
    packed: NDArray[np.int64] = bands[0].astype(np.int64)
    for band in bands[1:]:
        packed <<= 8
        packed |= band
    return packed


def _whole_numbers(
    values: NDArray[Any], missing: NDArray[np.bool_], path: str
) -> NDArray[np.int64]:
    """Convert values (rows, columns) to int64, `UNLABELED` where they are missing or not finite."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    missing = missing | ~np.isfinite(values)
    odd = ~missing & (values != np.round(values))
    if odd.any():
        found = f"{values[odd][0]:g} in {int(odd.sum())} pixels"
        message = f"The labels hold numbers that are not whole, such as {found}"
        fix = "Give a file whose labels are whole numbers"
        raise DataError(message, code="fractional-code", file=path, fix=fix)
    return np.where(missing, UNLABELED, np.where(missing, 0, values).astype(np.int64))


def _numbers(
    features: Features, legend: Legend | None, found: bool
) -> tuple[dict[Any, int], dict[int, str], int | None]:
    """Return code by class, names of codes where classes have names, and the background's code."""
    distinct, wanted = features.numbered, features.how.background
    textual = all(isinstance(v, str) for v in distinct)
    if legend is not None:
        codes = _codes_in(legend, distinct, textual)
        background = _background_in(legend, wanted, found) if wanted is not None else None
    else:
        codes = {v: i if textual else int(v) for i, v in enumerate(distinct, 1)}
        background = None
        if wanted is not None:
            same = [codes[v] for v in distinct if textual and fold(v) == fold(wanted)]
            free = (code for code in range(len(codes) + 1) if code not in codes.values())
            background = same[0] if same else next(free)
    names = {code: name for name, code in codes.items()} if textual else {}
    if background is not None and wanted is not None:
        names.setdefault(background, wanted)
    return codes, names, background


def _codes_in(legend: Legend, distinct: Sequence[Any], textual: bool) -> dict[Any, int]:
    """Return the code of each class by a legend: by its name, else by its code."""
    names = {c.name: c.codes[0] for c in legend.classes}
    if not textual:
        known = {code for c in legend.classes for code in c.codes}
        by_name = known.isdisjoint(distinct) and all(str(v) in names for v in distinct)
        return {v: names[str(v)] if by_name else int(v) for v in distinct}
    folded = Counter(fold(name) for name in names)
    loose = {fold(name): code for name, code in names.items() if folded[fold(name)] == 1}
    texts = {str(code): code for c in legend.classes for code in c.codes}
    found = {v: names.get(v, loose.get(fold(v), texts.get(v))) for v in distinct}
    return {v: code for v, code in found.items() if code is not None}


def _background_in(legend: Legend, wanted: str, found: bool) -> int | None:
    for c in legend.classes:
        if fold(c.name) == fold(wanted):
            return c.codes[0]
    if found:
        return None
    message = f"The class {wanted!r} of --background is not among the classes"
    fix = f"Add it to {legend.origin}, or name one of: {', '.join(c.name for c in legend.classes)}"
    raise DataError(message, code="unknown-class", file=legend.origin, fix=fix)
