"""Maps of one date with what belongs to them: percents of their classes, or of the mapped class."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel
from rasterio.enums import Resampling

from swath.errors import DataError
from swath.geo.footprints import meet
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.arrays.serial import warped_raster
from swath.io.labels import UNLABELED, RasterLabels, label_turns
from swath.io.map_reader import MapFile, beside
from swath.io.raster import gdal_env, gdal_errors, open_raster
from swath.legend import IGNORE, Legend, fold

NO_PERCENT = 255
"""Value of percents where a map has none."""

EvidenceKind: TypeAlias = Literal["probabilities", "confidence", "accuracy", "certain"]
"""What is known of a pixel: percents of all classes, that of its class, how often a map of such
accuracy shows the true class, or its class alone."""


class DatedMap(BaseModel, frozen=True):
    """A map of one date.

    Attributes:
        path: the map.
        kind: what lies beside it.
        percents: raster of percents, None for a map alone.
        bands: class index of each band of probabilities, `IGNORE` for those of no class.
        indices: class index by code, `IGNORE` for codes that mean no class.
        classes: number of the common classes.
        accuracy: percent of the pixels of each class that have it in a map without percents.
    """

    path: str
    kind: EvidenceKind = "certain"
    percents: str | None = None
    bands: tuple[int, ...] = ()
    indices: dict[int, int] = {}
    classes: int = 0
    accuracy: int | None = None

    def open(self, grid: GeoBox) -> DateReader:
        """Open it on a grid (nearest).

        Raises:
            DataError: a file is damaged, or cannot be brought onto the grid.
        """
        return DateReader(self, grid)


@dataclass(frozen=True)
class DatePixels:
    """Pixels of one date.

    Attributes:
        classes: class indices (rows, columns), `IGNORE` without data.
        percents: uint8 (n, rows, columns) with probabilities, (1, rows, columns) with confidence
            or accuracy, None without any.
    """

    classes: NDArray[np.uint8]
    percents: NDArray[np.uint8] | None


def find_evidence(path: str) -> tuple[EvidenceKind, str | None]:
    """Return what lies beside a map, and its file."""
    for kind in ("probabilities", "confidence"):
        found = beside(Path(path), kind)
        if found.is_file():
            return kind, str(found)
    return "certain", None


def match_bands(path: str, map_path: str, own: Legend, indices: dict[int, int]) -> tuple[int, ...]:
    """Return the class index of each band of a raster of probabilities.

    Args:
        path: the raster.
        map_path: its map.
        own: classes of the map.
        indices: common class index by code of the map.

    Raises:
        DataError: its bands are not the classes of the map, or it holds no percents.
    """
    with gdal_errors(path), open_raster(path) as dataset:
        names = [text or "" for text in dataset.descriptions]
        dtypes = set(dataset.dtypes)
    codes = {fold(c.name): c.map_code for c in own.trained}
    if len(names) == len(codes) and not any(names):
        names = own.names
    places = [indices.get(codes.get(fold(name), -1), -1) for name in names]
    if dtypes != {"uint8"} or -1 in places or len(set(map(fold, names))) != len(codes):
        message = (
            f"The bands are {', '.join(names) or 'none'} ({', '.join(sorted(dtypes))}), and the "
            f"classes of {map_path} are {', '.join(own.names)}, each a band of percents in uint8"
        )
        fix = "Predict the map anew with --probabilities, or move that file away"
        raise DataError(message, code="band-mismatch", file=path, fix=fix)
    return tuple(places)


def check_place(path: str, grid: GeoBox, first: str, first_grid: GeoBox) -> str | None:
    """Return what is said of a map that is brought onto the grid of the first one.

    Raises:
        DataError: only one of them has a CRS, they have none and other sizes, or do not meet.
    """
    if grid.same_as(first_grid):
        return None
    if (grid.crs is None) != (first_grid.crs is None):
        lacking, other = (path, first) if grid.crs is None else (first, path)
        message = f"The map has no CRS, and {other} has one"
        crs = rasterio.CRS.from_wkt(first_grid.crs or grid.crs)
        code = shlex.quote(crs.to_string())
        command = f"rio edit-info {shlex.quote(lacking)} --crs {code}"
        fix = f"If its coordinates are in the CRS of the other, `{command}` says so"
        raise DataError(message, code="crs-missing", file=lacking, fix=fix)
    if grid.crs is None and not (grid.placed and first_grid.placed):
        sizes = f"{grid.width}x{grid.height} and {first_grid.width}x{first_grid.height} pixels"
        message = f"The maps have {sizes} and no CRS, so nothing says how they lie on each other"
        fix = "Assign CRS and transform to both, with the Georeferencer of QGIS, say"
        raise DataError(message, code="grid-mismatch", file=path, fix=fix)
    if meet(grid, first_grid) is False:
        message = f"The map and {first} have no place in common"
        fix = f"Check the places of both (`rio bounds {shlex.quote(path)}`)"
        raise DataError(message, code="no-overlap", file=path, fix=fix)
    said = f"{path} is brought onto the grid of {first}: the nearest pixel is taken"
    own, wanted = grid.gsd, first_grid.gsd
    if own and wanted and not 0.9 < own / wanted < 1.1:
        said += f" (its pixels are {own:.3g} m, those of the first map {wanted:.3g} m"
        said += "; most of its pixels are not read)" if own < wanted / 2 else ")"
    return f"{said}."


class DateReader:
    """A map of one date, open on a grid.

    Args:
        source: the map.
        grid: the grid.

    Raises:
        DataError: a file is damaged, or cannot be brought onto the grid.
    """

    def __init__(self, source: DatedMap, grid: GeoBox) -> None:
        self._source, self._grid = source, grid
        self._stack, self._is_warped = ExitStack(), False
        codes = sorted(source.indices)
        self._codes = np.array(codes, np.int64)
        self._indices = np.array([source.indices[code] for code in codes], np.uint8)
        self._labels = RasterLabels(source.path, grid, warp=True)
        self._stack.callback(self._labels.close)
        try:
            self._percents = [] if source.percents is None else self._open(source.percents)
        except BaseException:
            self.close()
            raise

    def _open(self, path: str) -> list[Any]:
        """Open a raster of percents on the grid: once for each turn around the earth it lies on."""
        dataset = open_raster(path)
        self._stack.callback(dataset.close)
        own = geobox_of(dataset)
        if own.same_as(self._grid):
            return [dataset]
        self._is_warped = True
        return [self._warped(dataset, own, shift) for shift in label_turns(own, self._grid)]

    def _warped(self, dataset: Any, own: GeoBox, shift: float) -> Any:
        """Return a raster of percents on the grid, its x increased by `shift`."""
        grid = self._grid
        try:
            with gdal_env():
                warped = warped_raster(
                    dataset,
                    src_crs=own.crs or "EPSG:3857",
                    src_transform=own.moved(shift).affine,
                    crs=grid.crs or "EPSG:3857",
                    transform=grid.affine,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling.nearest,
                    src_nodata=None,  # 255 stays; what lies outside is 0 in a band that is added
                    nodata=None,
                    add_alpha=True,
                )
        except GDAL_ERRORS as error:
            message = f"The percents cannot be brought onto the grid of the first map ({error})"
            fix = "Give both maps one CRS"
            path = self._source.percents
            raise DataError(message, code="crs-mismatch", file=path, fix=fix) from error
        self._stack.callback(warped.close)
        return warped

    def read(self, window: Window) -> DatePixels:
        """Read a window.

        Raises:
            DataError: a file is damaged, or the map holds a code of no class.
        """
        codes = self._labels.read(window, "code")
        classes = self._encode(codes)
        if not self._percents:
            accuracy = self._source.accuracy
            shape = 1, *classes.shape
            return DatePixels(classes, None if accuracy is None else _filled(shape, accuracy))
        with gdal_errors(self._source.percents or ""):
            percents = self._read_percents(window)
        classes[(percents == NO_PERCENT).any(axis=0)] = IGNORE
        if self._source.kind == "probabilities":
            percents = self._joined(percents)
        return DatePixels(classes, percents)

    def _read_percents(self, window: Window) -> NDArray[np.uint8]:
        read: list[NDArray[np.uint8]] = [
            one.read(window=window.to_rasterio()) for one in self._percents
        ]
        if not self._is_warped:
            return read[0]
        out = np.full((len(read[0]) - 1, *read[0].shape[1:]), NO_PERCENT, np.uint8)
        for *bands, alpha in reversed(read):
            np.copyto(out, np.stack(bands), where=alpha > 0)
        return out

    def _encode(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[at] == codes
        strange = ~known & (codes != UNLABELED)
        if strange.any():
            code, count = codes[strange].flat[0], int(strange.sum())
            message = f"The map holds {count} pixel(s) of codes of no class, such as {code}"
            fix = "Declare the value as nodata, or name it in --classes FILE"
            raise DataError(message, code="unknown-code", file=self._source.path, fix=fix)
        return np.where(known, self._indices[at], np.uint8(IGNORE))

    def _joined(self, percents: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return percents by common class: the sum of those that are joined."""
        bands, n = self._source.bands, self._source.classes
        if bands == tuple(range(n)):
            return percents
        out = np.zeros((n, *percents.shape[1:]), np.uint8)
        for place, band in zip(bands, percents, strict=True):
            if place != IGNORE:
                out[place] = np.minimum(100, out[place].astype(np.int16) + np.minimum(band, 100))
        return out

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> DateReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _filled(shape: tuple[int, ...], percent: int) -> NDArray[np.uint8]:
    return np.full(shape, percent, np.uint8)


def open_map(path: str) -> tuple[Legend, GeoBox]:
    """Return classes and grid of a map.

    Raises:
        DataError: it is no map of classes.
    """
    with MapFile(path) as found:
        return found.legend.of_maps(), found.grid


def files_of(source: DatedMap) -> list[str]:
    """Return all files that pixels come from, also those that a virtual raster names."""
    out = []
    for path in (source.path, source.percents):
        if path is not None:
            with gdal_env(), rasterio.open(path) as dataset:
                out += [path, *dataset.files]
    return sorted(set(out))
