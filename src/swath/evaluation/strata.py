"""Strata of a map: its classes, and in a map of change the pixels that may have changed as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import geobox_of
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile, beside
from swath.io.raster import gdal_errors, open_raster
from swath.legend import IGNORE, Legend

DOUBTFUL = 5
"""Percent of change from which an unchanged pixel is of the stratum of possible changes."""

POSSIBLE = "possible change"
"""Name of that stratum."""

PIXELS = "pixels"
"""Name of the fact of a layer of points that tells how large the strata were; see `pixels_of`."""


@dataclass(frozen=True)
class Measured:
    """Size of strata and classes.

    Attributes:
        pixels: of each stratum (m,).
        areas: of each stratum in square meters (m,).
        mapped: area of each mapped class in square meters (n,).
    """

    pixels: NDArray[np.int64]
    areas: NDArray[np.float64]
    mapped: NDArray[np.float64]


def pixels_of(measured: Measured) -> str:
    """Return the pixels of each stratum as text, by which a map is known again."""
    return " ".join(map(str, measured.pixels.tolist()))


class Strata:
    """The strata of a map, read by windows.

    In a map of change, most of what it misses lies where change was thought possible. These pixels
    are a stratum of their own, as Olofsson et al. 2020, "Mitigating the effects of omission errors
    on area and area change estimates", recommends.

    Args:
        source: the map.

    Attributes:
        legend: the mapped classes.
        names: of the strata: those of the classes, then `POSSIBLE` where there is such a stratum.

    Raises:
        DataError: the percents of a map of change are missing or of another map.
    """

    def __init__(self, source: MapFile) -> None:
        self.legend: Legend = source.legend.of_maps()
        self.names = list(self.legend.names)
        self._source, self._stack = source, ExitStack()
        self._percents = None
        transitions = source.transitions
        if transitions is None or not transitions.with_percents:
            return
        path = Path(source.path)
        percents = beside(path, "confidence")
        fix = f"Put back the file that `swath change` wrote with {path.name}, or compare anew"
        if not percents.is_file():
            message = "The percents of change are missing, and the strata follow from them"
            raise DataError(message, code="no-such-file", file=percents, fix=fix)
        self._percents = open_raster(percents)
        self._stack.callback(self._percents.close)
        if not geobox_of(self._percents).same_as(source.grid):
            self.close()
            message = f"The grid is not that of {path}"
            raise DataError(message, code="grid-mismatch", file=percents, fix=fix)
        changes = set(transitions.changes.tolist())
        self._stable = np.array([c.map_code not in changes for c in self.legend.trained])
        self.names.append(POSSIBLE)

    def read(
        self, window: Window, codes: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return class index and stratum of each pixel of a window, `IGNORE` without data."""
        codes = self._source.codes(window) if codes is None else codes
        classes = self.legend.encode(codes)
        if self._percents is None:
            return classes, classes
        with gdal_errors(self._percents.name):
            percents = self._percents.read(1, window=window.to_rasterio())
        held = classes != IGNORE
        possible = held & (percents >= DOUBTFUL) & (percents <= 100)
        possible &= self._stable[np.where(held, classes, 0)]
        return classes, np.where(possible, np.uint8(len(self.names) - 1), classes)

    def chunks(self, title: str) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield windows that cover the map, with class and stratum, and report progress."""
        for window, codes in self._source.chunks(title):
            yield window, *self.read(window, codes)

    def measure(self, areas: PixelAreas) -> Measured:
        """Measure all strata and classes."""
        m, n = len(self.names), len(self.legend.trained)
        pixels, meters = np.zeros(m, np.int64), np.zeros(m)
        mapped = np.zeros(n)
        for window, classes, strata in self.chunks("measuring"):
            held = classes.ravel() != IGNORE
            size = areas.of(window).ravel()[held]
            pixels += np.bincount(strata.ravel()[held], minlength=m)
            meters += np.bincount(strata.ravel()[held], size, m)
            mapped += np.bincount(classes.ravel()[held], size, n)
        return Measured(pixels, meters, mapped)

    def close(self) -> None:
        """Close the percents."""
        self._stack.close()

    def __enter__(self) -> Strata:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
