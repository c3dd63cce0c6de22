"""Labels on the grid of an image, from a mask, a label raster on another grid, or polygons.

A label is a whole number, the user's own code or a packed color; `UNLABELED` marks pixels that
have none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
from swath.io.vector import Features, crs_code, fold
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
