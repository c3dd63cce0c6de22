"""Reading of quality layers on an image's grid: which pixels are dropped, and why."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.arrays.serial import warped_raster
from swath.io.atomic import file_stamps
from swath.io.labels import UNLABELED, VectorLabels, lie_apart
from swath.io.quality.meanings import (
    REASONS,
    UDM2_BANDS,
    UNKNOWN,
    band_codes,
    code_of,
    udm2_band,
    value_table,
)
from swath.io.raster import descriptions, gdal_env, gdal_errors, open_raster
from swath.io.source_file import QualityFile
from swath.io.vector import Features, read_geometries
from swath.options import DROP, LAST_CLEAR
from swath.types import PathLike, QualityReason

_ANY_CRS = "EPSG:3857"  # of both sides where neither has one, so that transforms alone count


@dataclass
class QualityTally:
    """Pixels of an image by what quality layers tell of them.

    Attributes:
        pixels: that were read.
        outside: those that no raster layer covers; they are kept.
        dropped: dropped pixels by reason; a pixel with several counts for the first of `REASONS`.
    """

    pixels: int = 0
    outside: int = 0
    dropped: Counter[QualityReason] = field(default_factory=Counter)

    def add(self, codes: NDArray[np.uint8], outside: int) -> None:
        """Count the codes of reasons (rows, columns) of a window."""
        counts = np.bincount(codes.ravel(), minlength=len(REASONS) + 1)[1:].tolist()
        self.pixels += codes.size
        self.outside += outside
        self.dropped.update({r: n for r, n in zip(REASONS, counts, strict=True) if n})

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels that each reason dropped, 0..1."""
        return shares_of([self])


def shares_of(tallies: Iterable[QualityTally]) -> dict[str, float]:
    """Return the share of all pixels of some images that each reason dropped, 0..1."""
    known = list(tallies)
    pixels = max(1, sum(tally.pixels for tally in known))
    totals = sum((tally.dropped for tally in known), Counter[QualityReason]())
    return {reason: totals[reason] / pixels for reason in REASONS if totals[reason]}


class QualityMask:
    """Quality layers on an image's grid (nearest), by windows. Safe to read from several threads.

    Args:
        files: the layers.
        grid: the image's grid.
        drop: reasons for which pixels are dropped; `nodata` always is, and what a 0/1 raster or a
            polygon marks.
        clear_below: cloud probability in percent from which a pixel is cloud.
        image: file of the image, for errors.

    Raises:
        DataError: a layer cannot be read, or does not touch the image.
    """

    def __init__(
        self,
        files: Sequence[QualityFile],
        grid: GeoBox,
        drop: Sequence[QualityReason] = DROP,
        clear_below: float = LAST_CLEAR,
        image: PathLike | None = None,
    ) -> None:
        self.files = tuple(files)
        self._stack = ExitStack()
        reasons = frozenset({*drop, "nodata"})
        self._layers: list[_QualityLayer] = []
        try:
            for file in self.files:
                if file.kind == "polygons":
                    self._layers.append(_Polygons(file, grid))
                    continue
                layer = _RasterLayer(file, grid, reasons, clear_below, image)
                self._stack.callback(layer.close)
                self._layers.append(layer)
        except BaseException:
            self.close()
            raise

    def codes(self, window: Window) -> tuple[NDArray[np.uint8], int]:
        """Return why pixels are dropped, and how many of them lie outside of all raster layers.

        Returns:
            Codes (rows, columns): 0 where a pixel is kept, else `code_of` its reason.

        Raises:
            DataError: a file is damaged, or holds values that its kind does not have.
        """
        shape = window.height, window.width
        out = np.zeros(shape, np.uint8)
        outside: NDArray[np.bool_] | None = None
        for layer in self._layers:
            found, beyond = layer.read(window)
            out = np.where((out == 0) | ((found > 0) & (found < out)), found, out)
            if beyond is not None:
                outside = beyond if outside is None else outside & beyond
        return out, 0 if outside is None else int(outside.sum())

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels (rows, columns) of a window are dropped."""
        dropped: NDArray[np.bool_] = self.codes(window)[0] > 0
        return dropped

    def count(self, grid: GeoBox) -> QualityTally:
        """Count the pixels of the whole image by reason."""
        tally = QualityTally()
        for window in chunks(grid):
            tally.add(*self.codes(window))
        return tally

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> QualityMask:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _QualityLayer(Protocol):
    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Return codes of reasons, and where the layer does not reach; None if everywhere."""


class _Polygons:
    """Pixels whose center lies in a polygon. A layer without any is an image without clouds."""

    def __init__(self, file: QualityFile, grid: GeoBox) -> None:
        self._labels: VectorLabels | None = None
        try:
            features = read_geometries(file.path)
        except DataError as error:
            if error.code != "no-geometry":
                raise
            return
        self._labels = VectorLabels(features, grid)
        self._lock = threading.Lock()

    def read(self, window: Window) -> tuple[NDArray[np.uint8], None]:
        out = np.zeros((window.height, window.width), np.uint8)
        if self._labels is not None:
            with self._lock:
                inside = self._labels.read(window, "code") != UNLABELED
            out[inside] = code_of("unusable")
        return out, None


class _RasterLayer:
    """One raster layer on the image's grid."""

    def __init__(
        self,
        file: QualityFile,
        grid: GeoBox,
        drop: frozenset[QualityReason],
        clear_below: float,
        image: PathLike | None,
    ) -> None:
        self._file, self._drop, self._clear_below = file, drop, clear_below
        self._lock = threading.Lock()
        self._source = open_raster(file.path)
        try:
            self._bands, self._roles = self._choose_bands()
            self._nodata = self._source.nodatavals[self._bands[0] - 1]
            self._dataset, self._alpha = _on_grid(self._source, file.path, grid, image)
            self._scale = 1.0
            if file.kind == "cloud_probability":
                self._scale = _percent_scale(file.path, self._bands[0], _stamp(file.path))
        except BaseException:
            self._source.close()
            raise

    def _choose_bands(self) -> tuple[list[int], tuple[str, ...]]:
        """Return the bands to read, and what each tells of a UDM2."""
        first, count = self._file.index, self._source.count
        if self._file.kind != "udm2":
            if first > count:
                raise self._band_missing(first)
            return [first], ()
        texts = [text or "" for text in descriptions(self._source)]
        roles = {i: udm2_band(text) for i, text in enumerate(texts, 1)}
        named = {i: role for i, role in roles.items() if role is not None}
        if {"clear", "cloud"} <= {*named.values()}:
            return list(named), tuple(named.values())
        if count < first + len(UDM2_BANDS) - 1:
            raise self._band_missing(first + len(UDM2_BANDS) - 1)
        return list(range(first, first + len(UDM2_BANDS))), UDM2_BANDS

    def _band_missing(self, band: int) -> DataError:
        path, kind, count = self._file.path, self._file.kind, self._source.count
        message = f"The quality layer of kind {kind} has {count} band(s), and band {band} is wanted"
        fix = "Check what the file is (`rio info FILE`), and say so: --quality KIND:FILE"
        return DataError(message, code="quality-values", file=path, fix=fix)

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        indexes = [*self._bands, self._alpha] if self._alpha else self._bands
        with self._lock, gdal_errors(self._file.path):
            bands = self._dataset.read(indexes, window=window.to_rasterio())
        outside = None
        if self._alpha:
            outside, bands = bands[-1] == 0, bands[:-1]
        codes = self._codes(bands, outside)
        if outside is not None:
            codes[outside] = 0
        return codes, outside

    def _codes(self, bands: NDArray[Any], outside: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        kind, values = self._file.kind, bands[0]
        if kind == "udm2":
            return band_codes(bands.astype(np.uint8, copy=False), self._roles, self._drop)
        if kind == "cloud_probability":
            return self._of_probability(values)
        missing = self._is_nodata(values)
        if kind == "mask":
            marked = (values != 0) & ~missing
            marked &= values == values  # noqa: PLR0124 - NaN marks nothing
            return np.where(marked, np.uint8(code_of("unusable")), np.uint8(0))
        codes = self._looked_up(values, missing if outside is None else missing | outside)
        if kind != "qa_radsat" and kind != "udm1":
            codes[missing] = code_of("nodata")
        return codes

    def _looked_up(self, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the code of each value, by the table of the kind."""
        table = value_table(self._file.kind, self._drop)
        if values.dtype not in (np.uint8, np.uint16):
            known = (values >= 0) & (values < len(table)) & (values == np.floor(values))
            values = np.where(known, values, len(table) - 1).astype(np.uint16)
            if not (known | missing).all():
                raise self._wrong_values("numbers that its kind does not have")
        codes: NDArray[np.uint8] = table[values]
        wrong = (codes == UNKNOWN) & ~missing
        if wrong.any():
            raise self._wrong_values(f"the value {values[wrong][0]}")
        codes[codes == UNKNOWN] = 0
        return codes

    def _of_probability(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the codes of probabilities; what is no percentage is no data."""
        percent = values.astype(np.float32) * np.float32(self._scale)
        known = np.isfinite(percent) & (percent >= 0) & (percent <= 100)
        out = np.zeros(values.shape, np.uint8)
        if "cloud" in self._drop:
            out[known & (percent >= self._clear_below)] = code_of("cloud")
        out[~known] = code_of("nodata")
        return out

    def _is_nodata(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where the declared nodata value is, unless it has a meaning of its own."""
        value, kind = self._nodata, self._file.kind
        meant = (value == 0 and kind not in ("scl", "qa_pixel")) or (value == 1 and kind == "mask")
        if value is None or meant:
            return np.zeros(values.shape, bool)
        missing: NDArray[np.bool_] = values == value
        return missing

    def _wrong_values(self, what: str) -> DataError:
        kind, path = self._file.kind, self._file.path
        message = f"The quality layer of kind {kind} holds {what}"
        fix = "Check what the file is (`rio info FILE`), and say so: --quality KIND:FILE"
        return DataError(message, code="quality-values", file=path, fix=fix)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()
        self._source.close()


def _on_grid(
    source: rasterio.DatasetReader, path: str, grid: GeoBox, image: PathLike | None
) -> tuple[Any, int | None]:
    """Return a layer as it lies on an image's grid, and the band that marks where it reaches.

    Raises:
        DataError: the layer does not touch the image, or nothing tells where it lies.
    """
    own = geobox_of(source)
    if lie_apart(own, grid):
        raise missed(path, image)
    georeferenced = (own.crs is None) == (grid.crs is None) and own.placed and grid.placed
    if own.same_as(grid) or (
        not georeferenced and (own.height, own.width) == (grid.height, grid.width)
    ):
        return source, None
    if not georeferenced:
        size = f"{own.width}x{own.height} pixels and the image {grid.width}x{grid.height}"
        message = f"The quality layer is {size}, and nothing tells where it lies"
        fix = "Give both a CRS and transform (`rio edit-info FILE --crs ... --transform ...`)"
        raise DataError(message, code="size-mismatch", file=path, fix=fix)
    alphas = [i for i, c in enumerate(source.colorinterp, 1) if c == ColorInterp.alpha]
    try:
        with gdal_env():
            warped = warped_raster(
                source,
                src_crs=own.crs or _ANY_CRS,
                crs=grid.crs or _ANY_CRS,
                transform=grid.affine,
                height=grid.height,
                width=grid.width,
                resampling=Resampling.nearest,
                src_nodata=None,  # values tell what is no data, alpha where the layer ends
                nodata=None,
                add_alpha=not alphas,
            )
    except GDAL_ERRORS as error:
        message = "The CRS of the quality layer cannot be transformed to the image's"
        fix = f"Assign the CRS that it is in (`rio edit-info {path} --crs EPSG:4326`, say)"
        raise DataError(message, code="crs-mismatch", file=path, fix=fix) from error
    return warped, alphas[0] if alphas else source.count + 1


def touches(file: QualityFile, grid: GeoBox) -> bool:
    """Return whether a layer touches an image; True where their places are not known.

    Raises:
        DataError: the layer cannot be read.
    """
    if file.kind != "polygons":
        with open_raster(file.path) as dataset:
            return not lie_apart(geobox_of(dataset), grid)
    try:
        features = read_geometries(file.path)
    except DataError as error:
        if error.code != "no-geometry":
            raise
        return True
    return polygons_touch(features, grid)


def polygons_touch(features: Features, image: GeoBox) -> bool:
    """Return whether a polygon of a layer touches an image."""
    corners = [(0, 0), (image.width, 0), (image.width, image.height), (0, image.height)]
    outline = shapely.Polygon([image.point(*corner) for corner in corners])
    _, tree = features.to_crs_indexed(image.crs)
    return len(tree.query(outline, predicate="intersects")) > 0


def missed(path: str, image: PathLike | None = None) -> DataError:
    """Return the error on a layer that does not touch the image, or any."""
    named = "any image" if image is None else f"the image {image}"
    message = f"The quality layer does not touch {named}"
    fix = "Check the CRS and extent of both (`rio info FILE`), or leave it out (--quality none)"
    return DataError(message, code="quality-misses-image", file=path, fix=fix)


def _stamp(path: str) -> str:
    return "".join(file_stamps([path]).values())


@lru_cache(maxsize=256)
def _percent_scale(path: str, band: int, stamp: str) -> float:  # noqa: ARG001 - key of the cache
    """Return what makes a probability percent: 100 for fractions, whose largest is 1 or less.

    The whole layer is read, so that all tiles and workers agree.
    """
    with open_raster(path) as dataset, gdal_errors(path):
        if np.dtype(dataset.dtypes[band - 1]).kind != "f":
            return 1.0
        nodata = dataset.nodatavals[band - 1]
        for window in chunks(geobox_of(dataset)):
            values = dataset.read(band, window=window.to_rasterio())
            known = (
                np.isfinite(values) if nodata is None else np.isfinite(values) & (values != nodata)
            )
            if ((values > 1) & (values <= 100) & known).any():
                return 1.0
    return 100.0
