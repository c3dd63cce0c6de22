"""Maps that any tool made: rasters of class codes, read back to be scored, measured and sampled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import rasterio.errors
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, RasterLabels
from swath.io.raster import band_tags, gdal_env, open_raster, unreadable_error
from swath.legend import LandClass, Legend, default_color, legend_of_codes, unpack_rgb
from swath.progress import track
from swath.types import PathLike

MAX_FOUND = 254
"""A raster with more different values than this is no map of classes."""


class MapFile:
    """A map of class codes.

    Args:
        path: a raster with one band of whole numbers.

    Attributes:
        path: the same, as text.
        grid: its grid.
        legend: its classes: those that its tags name (`class_CODE`, as Swath writes them), else all
            codes that it holds.

    Raises:
        DataError: the file is damaged, or is no map of classes.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = str(path)
        self._dataset = open_raster(path)
        self.grid: GeoBox = geobox_of(self._dataset)
        try:
            if self._dataset.count != 1 or not np.issubdtype(self._dataset.dtypes[0], np.integer):
                raise DataError(
                    f"it has {self._dataset.count} band(s) of {self._dataset.dtypes[0]}, and a map of classes has one of codes",
                    file=path,
                    fix="Give a map that holds class codes",
                )
            self.legend = self._named() or self._found()
        except BaseException:
            self.close()
            raise

    def codes(self, window: Window) -> NDArray[np.int64]:
        """Return codes (rows, columns) of a window of the map's own grid, `UNLABELED` where it has no data.

        Raises:
            DataError: the file is damaged.
        """
        where = window.to_rasterio()
        try:
            with gdal_env():
                codes: NDArray[np.int64] = self._dataset.read(1, window=where).astype(np.int64)
        except rasterio.errors.RasterioError as error:
            raise unreadable_error(self.path, error) from error
        if self._dataset.nodata is not None:
            codes[codes == self._dataset.nodata] = UNLABELED
        return codes

    def chunks(self, title: str) -> Iterator[tuple[Window, NDArray[np.int64]]]:
        """Yield windows that cover the map, with their codes, and tell of the progress under a title."""
        windows = list(chunks(self.grid))
        for window in track(windows, title, len(windows), "chunks"):
            yield window, self.codes(window)

    def on(self, grid: GeoBox) -> RasterLabels:
        """Open the map on another grid (nearest), where both have a CRS, or are of one size.

        Raises:
            DataError: it cannot be moved there.
        """
        return RasterLabels(self.path, grid, warp=True)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> MapFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _named(self) -> Legend | None:
        tags = band_tags(self._dataset, 1)
        names = {
            int(m[1]): name
            for tag, name in tags.items()
            if (m := re.fullmatch(r"(?:class|CLASS)_(\d+)", tag))
        }
        if not names:
            return None
        colors = (
            self._dataset.colormap(1) if self._dataset.colorinterp[0] == ColorInterp.palette else {}
        )
        return Legend(
            tuple(
                LandClass(
                    name, (code,), code, _hex(colors[code]) if code in colors else default_color(i)
                )
                for i, (code, name) in enumerate(sorted(names.items()))
            ),
            origin=self.path,
        )

    def _found(self) -> Legend:
        found: set[int] = set()
        for _, codes in self.chunks("looking for classes"):
            found |= set(np.unique(codes).tolist()) - {UNLABELED}
            if len(found) > MAX_FOUND:
                raise DataError(
                    "it holds more values than a map has classes",
                    file=self.path,
                    fix="Give a map of class codes",
                )
        if not found:
            raise DataError("it holds no class", file=self.path, fix="Give a map of class codes")
        return legend_of_codes(sorted(found), "code")


def _hex(color: tuple[int, int, int, int]) -> str:
    return unpack_rgb(color[0] << 16 | color[1] << 8 | color[2])
