"""Maps of class codes, of Swath or any other tool, read to be scored, measured and sampled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, RasterLabels
from swath.io.raster import band_tags, gdal_errors, open_raster
from swath.legend import LandClass, Legend, default_color, legend_of_codes, unpack_rgb
from swath.progress import track
from swath.transitions import Transitions
from swath.types import PathLike

AnyPath = TypeVar("AnyPath", bound=PurePath)

MAPPED = "mapped_pixels"
"""Tag of a map, and of its percents, with the pixels of each code."""

MAX_MAP_CODES = 254  # a raster with more distinct values is no map of classes


def beside(path: AnyPath, ending: str) -> AnyPath:
    """Return the name of a raster that is written beside a map: `map_confidence.tif` of `map.tif`.

    It ends in `.tif` beside `map.tiff`, too.
    """
    return path.with_name(f"{path.stem}_{ending}.tif")


def refuse_other_percents(percents: PathLike, path: PathLike) -> None:
    """Refuse percents that were written with another map than the one they lie beside.

    Args:
        percents: confidence or probabilities.
        path: the map.

    Raises:
        DataError: both have tags of the pixels of each code, and these differ.
    """
    found = []
    for file in (percents, path):
        with open_raster(file) as dataset:
            found.append(band_tags(dataset, 1).get(MAPPED))
    if None not in found and found[0] != found[1]:
        kind = str(percents).rpartition("_")[2].rpartition(".")[0]
        message = f"The file was written with an earlier map, not with {path} as it is now"
        fix = f"Predict the map anew with --{kind}, or move that file away"
        raise DataError(message, code="other-map", file=percents, fix=fix)


def check_percents(dataset: rasterio.DatasetReader, path: PathLike) -> None:
    """Refuse a raster that does not hold the confidence of a map in percent, one band of uint8.

    Raises:
        DataError: it does not.
    """
    if dataset.count != 1 or dataset.dtypes[0] != "uint8":
        message = "The raster does not hold confidence (one band of uint8)"
        fix = "Give what `swath predict --confidence` wrote, or move the file away"
        raise DataError(message, code="not-confidence", file=path, fix=fix)


class MapFile:
    """A map of class codes.

    Args:
        path: a raster with one band of whole numbers.

    Attributes:
        path: the same, as text.
        grid: its grid.
        legend: its classes: those that its tags name (`class_CODE`, as Swath writes them), else
            all codes that it holds.
        transitions: the pairs of classes of a map of change; None for any other.

    Raises:
        DataError: the file is damaged, or is no map of classes.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = str(path)
        self._dataset = open_raster(path)
        self.grid: GeoBox = geobox_of(self._dataset)
        try:
            if self._dataset.count != 1 or not np.issubdtype(self._dataset.dtypes[0], np.integer):
                message = (
                    f"The map has {self._dataset.count} band(s) of {self._dataset.dtypes[0]}, "
                    "and a map of classes has one of integers"
                )
                fix = "Give a map that holds class codes"
                raise DataError(message, code="not-a-class-map", file=path, fix=fix)
            if self._dataset.descriptions[0] == "confidence":
                message = "The raster holds the confidence of a map, not its classes"
                fix = "Give the map that it belongs to"
                raise DataError(message, code="not-a-class-map", file=path, fix=fix)
            self.transitions = Transitions.of_tags(band_tags(self._dataset, 1))
            self.legend = self._legend_of_tags() or self._legend_of_values()
        except BaseException:
            self.close()
            raise

    def codes(self, window: Window, shape: tuple[int, int] | None = None) -> NDArray[np.int64]:
        """Return the codes (rows, columns) of a window, `UNLABELED` where the map has no data.

        Args:
            window: that lies inside the map.
            shape: decimate to so many rows and columns; None for all pixels.

        Raises:
            DataError: the file is damaged.
        """
        with gdal_errors(self.path):
            codes: NDArray[np.int64] = self._dataset.read(
                1, window=window.to_rasterio(), out_shape=shape
            )
        return self._unlabeled(codes)

    def _unlabeled(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        codes = codes.astype(np.int64)
        if self._dataset.nodata is not None:
            codes[codes == self._dataset.nodata] = UNLABELED
        return codes

    def chunks(self, title: str) -> Iterator[tuple[Window, NDArray[np.int64]]]:
        """Yield windows that cover the map, with their codes, and report progress under a title."""
        windows = list(chunks(self.grid))
        for window in track(windows, title, len(windows), "chunks"):
            yield window, self.codes(window)

    def on(self, grid: GeoBox) -> RasterLabels:
        """Open the map on another grid (nearest), if both have a CRS or the same size.

        Raises:
            DataError: the map cannot be warped to the grid.
        """
        return RasterLabels(self.path, grid, warp=True)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> MapFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _legend_of_tags(self) -> Legend | None:
        names = {}
        for tag, name in band_tags(self._dataset, 1).items():
            if found := re.fullmatch(r"(?:class|CLASS)_(\d+)", tag):
                names[int(found[1])] = name
        if not names:
            return None
        palette = self._dataset.colorinterp[0] == ColorInterp.palette
        colors = self._dataset.colormap(1) if palette else {}
        classes = []
        for i, (code, name) in enumerate(sorted(names.items())):
            color = _hex(colors[code]) if code in colors else default_color(i)
            classes.append(LandClass(name, (code,), code, color))
        return Legend(tuple(classes), origin=self.path)

    def _legend_of_values(self) -> Legend:
        found: set[int] = set()
        for _, codes in self.chunks("looking for classes"):
            found |= set(np.unique(codes).tolist()) - {UNLABELED}
            if len(found) > MAX_MAP_CODES:
                message = f"The map holds more than {MAX_MAP_CODES} distinct values"
                fix = "Give a map of class codes"
                raise DataError(message, code="not-a-class-map", file=self.path, fix=fix)
        if not found:
            message = "The map holds no class: all of its pixels are nodata"
            fix = "Give a map of class codes, or leave it out"
            raise DataError(message, code="empty-map", file=self.path, fix=fix)
        return legend_of_codes(sorted(found), "code")


def _hex(color: tuple[int, int, int, int]) -> str:
    return unpack_rgb(color[0] << 16 | color[1] << 8 | color[2])
