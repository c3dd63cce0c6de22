"""One raster as a layer of a web map: what kind it is, its colors, and its pixels at any scale.

A layer that holds classes (a map, or a truth) reads as the codes of a map; any other as the file's
own bands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Pixels, Window
from swath.io.qgis import read_style
from swath.io.raster import Raster, band_tags, descriptions, open_raster
from swath.io.render import visible_bands
from swath.legend import IGNORE, LandClass, Legend, default_color, rgb
from swath.server.web_mercator import SIZE, Floats, MercatorTile, Placement

LayerKind: TypeAlias = Literal["map", "truth", "confidence", "probabilities", "image"]
"""What a layer shows: a map's classes, labels, percent of one band, percent of one band a class, or measurements."""

FORMATS = {
    "GTiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "JP2OpenJPEG": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
}
"""First bytes by driver. None of these formats can make GDAL open another file or address, as VRT and others can."""

HANDLES = 4
"""A layer's file is kept open at most this many times."""

MOST_READ = 64_000_000
"""Pixels that may be read for one tile; a file without overviews is not drawn from further away."""

PERCENT = ("confidence", "probabilities")
"""Kinds whose values are percent."""


@dataclass(frozen=True)
class Hint:
    """What is known of a file besides its content.

    Attributes:
        kind: what it shows; found out from the file if absent.
        legend: classes of a truth, and of a map whose file does not name them.
        grid: where it lies, for a file without CRS of the same size as one that has it.
    """

    kind: LayerKind | None = None
    legend: Legend | None = None
    grid: GeoBox | None = None


class MapLayer:
    """A raster as a layer. Reading is safe from several threads, and runs in as many at once.

    Args:
        path: the file.
        hint: what is known of it.

    Raises:
        DataError: the file is of none of `FORMATS`, or damaged.
    """

    def __init__(self, path: Path, hint: Hint | None = None) -> None:
        self.path = path
        self._hint = hint or Hint()
        self._idle: list[Raster] = []
        self._lock = threading.Lock()
        self.driver = driver_of(path)
        with open_raster(path, self.driver) as dataset:
            self._facts = _Facts(
                tags=band_tags(dataset, 1),
                described=descriptions(dataset)[0],
                palette=dataset.colormap(1)
                if dataset.colorinterp[0] == ColorInterp.palette
                else {},
                overviews=dataset.overviews(1),
                dtype=np.dtype(dataset.dtypes[0]),
            )
            self.grid = self._hint.grid or geobox_of(dataset)
        self.kind: LayerKind = self._hint.kind or self._guess()
        by_color = self._hint.legend is not None and self._hint.legend.kind == "color"
        self._raw = self.kind == "map" or (self.kind == "truth" and not by_color)
        with self.opened() as raster:
            self.bands = raster.bands
            self.dtype = raster.dtype
        self.place = Placement(self.grid)

    def _guess(self) -> LayerKind:
        """Find out the kind from names that Swath gives, else from the content."""
        facts, stem = self._facts, self.path.stem
        if facts.classes:
            return "map"
        if facts.dtype == np.uint8 and (
            facts.described == "confidence" or stem.endswith("_confidence")
        ):
            return "confidence"
        if facts.dtype == np.uint8 and stem.endswith("_probabilities"):
            return "probabilities"
        return "map" if facts.palette and self.driver == "GTiff" else "image"

    @contextmanager
    def opened(self) -> Iterator[Raster]:
        """Lend an open file to one thread."""
        with self._lock:
            raster = self._idle.pop() if self._idle else None
        raster = raster or Raster([self.path], raw=self._raw, driver=self.driver)
        try:
            yield raster
        finally:
            with self._lock:
                keep = len(self._idle) < HANDLES
                if keep:
                    self._idle.append(raster)
            if not keep:
                raster.close()

    def close(self) -> None:
        """Close what is open and idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for raster in idle:
            raster.close()

    @property
    def classified(self) -> bool:
        """Whether its pixels are class codes."""
        return self.kind in ("map", "truth")

    @cached_property
    def legend(self) -> Legend | None:
        """Classes with their colors; None for a layer without classes."""
        if not self.classified:
            return None
        if self._hint.legend is not None and (self.kind == "truth" or not self._facts.classes):
            return self._hint.legend
        names = self._facts.classes or {code: str(code) for code in self._codes_found()}
        style = read_style(self.path)
        classes = []
        for i, (code, name) in enumerate(sorted(names.items())):
            own = self._facts.palette.get(code)
            color = hex_color(own) if own else style.get(code, ("", default_color(i)))[1]
            classes.append(
                LandClass(
                    name if list(names.values()).count(name) == 1 else f"{name} {code}",
                    (code,),
                    code,
                    color,
                )
            )
        if not classes:
            return None
        return Legend(tuple(classes), origin=str(self.path))

    def _codes_found(self) -> list[int]:
        """Return the codes of a map that does not name them, as far as a picture of it shows them."""
        if len(self.bands) != 1 or self.dtype.kind not in "iu":
            raise DataError(
                "it is not a map: a map has one band of whole numbers",
                file=self.path,
                fix="Name the map first",
            )
        values, valid = self.overview(nearest=True)
        codes = np.unique(values[0][valid])
        if len(codes) > 254:
            raise DataError(
                "it is not a map: it has more than 254 different codes",
                file=self.path,
                fix="Name the map first",
            )
        return [int(code) for code in codes]

    @cached_property
    def colors(self) -> dict[int, tuple[int, int, int, int]]:
        """Return red, green, blue and alpha by value: of codes, of percent, else empty."""
        if self.legend:
            return {c.map_code: (*rgb(c.color), 255) for c in self.legend.trained}
        return _RAMP if self.kind in PERCENT else {}

    @cached_property
    def stretch(self) -> list[tuple[float, float]]:
        """Lowest and highest value shown of each band: all of 8 bits, else the 2nd and 98th percentile of a picture."""
        if self.dtype == np.uint8:
            return [(0.0, 255.0)] * len(self.bands)
        values, valid = self.overview()
        if not valid.any():
            return [(0.0, 1.0)] * len(self.bands)
        ends = [np.percentile(band[valid].astype(np.float64), (2, 98)) for band in values]
        return [(float(low), float(max(high, low + 1e-9))) for low, high in ends]

    @cached_property
    def shown(self) -> list[int]:
        """Positions of the bands that are drawn: red, green and blue, or one."""
        return (
            visible_bands(list(self.bands)) if self.kind == "image" and len(self.bands) > 1 else [0]
        )

    @cached_property
    def shallowest(self) -> int:
        """Lowest zoom at which a tile is drawn: one that needs no more than `MOST_READ` pixels of the file."""
        smallest = self.grid.height * self.grid.width / max([*self._facts.overviews, 1]) ** 2
        zoom = self.place.zoom
        while (
            zoom > 0
            and smallest > MOST_READ
            and (SIZE * 2 ** (self.place.zoom - zoom + 1)) ** 2 <= MOST_READ
        ):
            zoom -= 1
        return zoom if smallest > MOST_READ else 0

    def overview(self, longest: int = 512, *, nearest: bool = False) -> Pixels:
        """Read a picture of all of it, no side longer than `longest`."""
        step = max(1.0, max(self.grid.height, self.grid.width) / longest)
        if self.shallowest > 0:  # no overviews: the middle stands for all
            side = 2 * longest
            middle = Window(self.grid.height // 2, self.grid.width // 2, 0, 0).grow(side)
            return self.read(middle.within(self.grid.window), nearest=nearest)
        shape = max(1, round(self.grid.height / step)), max(1, round(self.grid.width / step))
        return self.read(self.grid.window, shape, nearest=nearest)

    def read(
        self, window: Window, shape: tuple[int, int] | None = None, *, nearest: bool = False
    ) -> Pixels:
        """Read a window, or a picture of it; see `Raster.read`. Classes come as one band of map codes, others as no data."""
        return self._coded(self._fetch(window, shape, nearest or self.classified))

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        """Read what the file itself holds."""
        with self.opened() as raster:
            return raster.read(window, shape, nearest=nearest)

    def _coded(self, pixels: Pixels) -> Pixels:
        """Turn the labels of a truth into the codes of a map; leave all else as it is."""
        values, valid = pixels
        if self.kind != "truth" or self.legend is None:
            return pixels
        if values.dtype.kind == "f":
            valid = valid & np.isfinite(values).all(axis=0)
            values = np.where(valid, values, 0)
        source = values.astype(np.int64)
        if self.legend.kind == "color":
            red, green, blue = source[:3] if len(source) >= 3 else (source[0],) * 3
            labels = red << 16 | green << 8 | blue
        else:
            labels = source[0]
        indices = self.legend.encode(labels)
        return Pixels(self.legend.decode(indices)[None], valid & (indices != IGNORE))

    def tile(self, tile: MercatorTile, size: int = SIZE, *, exact: int = 0) -> Pixels:
        """Read the pixels (bands, size, size) under a tile, each the nearest to its middle.

        From afar they come from a picture of the file, which may show a neighbor. Where a window
        of no more than `exact` pixels holds all of them, they are the file's own: two rasters are
        compared so.

        Raises:
            DataError: the tile would need more pixels of a file without overviews than `MOST_READ`.
        """
        if tile.z < self.shallowest:
            raise DataError(
                "it has no overviews for this scale",
                file=self.path,
                fix="Zoom in, or run `gdaladdo` on it",
            )
        return self._gather(*self.place.coordinates(tile, size), exact)

    def sample(self, x: Floats, y: Floats, *, exact: int = 0) -> Pixels:
        """Read the pixels (bands, rows, columns) at a lattice of places (rows, columns) in web Mercator; see `tile`."""
        return self._gather(*self.place.pixels(x, y), exact)

    def extent(self, x: Floats, y: Floats) -> int:
        """Return how many pixels the window has that holds a lattice of places."""
        col, row = self.place.pixels(x, y)
        inside = self._inside(col, row)
        return _around(col[inside], row[inside]).size if inside.any() else 0

    def _inside(self, col: Floats, row: Floats) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            inside: NDArray[np.bool_] = (
                (col >= 0) & (col < self.grid.width) & (row >= 0) & (row < self.grid.height)
            )
        return inside

    def _gather(self, col: Floats, row: Floats, exact: int) -> Pixels:
        """Read the pixels that columns and rows, which broadcast to (rows, columns), fall into."""
        with np.errstate(invalid="ignore"):
            in_col, in_row = (
                (col >= 0) & (col < self.grid.width),
                (row >= 0) & (row < self.grid.height),
            )
        inside = in_col & in_row
        if not inside.any():
            return Pixels(np.zeros((len(self.bands), *inside.shape), self.dtype), inside)
        if col.shape == row.shape:
            in_col = in_row = inside
        window = _around(col[in_col], row[in_row]).within(self.grid.window)
        steps = (1, 1) if window.size <= exact else (_step(row), _step(col))
        shape = max(1, window.height // steps[0]), max(1, window.width // steps[1])
        values, valid = self._fetch(window, shape, self.classified)
        at_row = _position(row, in_row, window.row, shape[0] / window.height, shape[0])
        at_col = _position(col, in_col, window.col, shape[1] / window.width, shape[1])
        return self._coded(Pixels(values[:, at_row, at_col], valid[at_row, at_col] & inside))


def hex_color(color: tuple[int, ...]) -> str:
    """Return `#RRGGBB`."""
    return f"#{color[0]:02X}{color[1]:02X}{color[2]:02X}"


def driver_of(path: Path) -> str:
    """Return the driver for a file, by its first bytes.

    Raises:
        DataError: it is of none of `FORMATS`.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for driver, beginnings in FORMATS.items():
        if start.startswith(beginnings):
            return driver
    raise DataError(
        "this is no image of a kind that is shown",
        file=path,
        fix="Convert it: gdal_translate -of COG IN OUT.tif",
    )


@dataclass(frozen=True)
class _Facts:
    """What the file says of itself."""

    tags: dict[str, str]
    described: str | None
    palette: dict[int, tuple[int, int, int, int]]
    overviews: list[int]
    dtype: np.dtype[Any]

    @property
    def classes(self) -> dict[int, str]:
        """Names by code, as Swath's maps hold them."""
        codes = {
            key.removeprefix("class_"): name
            for key, name in self.tags.items()
            if key.startswith("class_")
        }
        return {int(code): name for code, name in codes.items() if code.isdecimal()}


def _around(col: Floats, row: Floats) -> Window:
    top, left = int(row.min()), int(col.min())
    return Window(top, left, int(row.max()) + 1 - top, int(col.max()) + 1 - left)


def _position(
    place: Floats, inside: NDArray[np.bool_], start: int, scale: float, length: int
) -> NDArray[np.intp]:
    """Return which row (or column) of what was read holds a place; 0 for places outside."""
    return (np.where(inside, place - start, 0) * scale).astype(np.intp).clip(0, length - 1)


def _step(position: Floats) -> int:
    """Return how many rows (or columns) of the raster lie between neighboring pixels of a tile, at least 1."""
    largest = 1.0
    for lines in (position[:, ::16].T, position[::16]):
        between = np.abs(np.diff(lines))
        known = between[np.isfinite(between)]
        largest = max(largest, float(np.median(known)) if known.size else 0.0)
    return int(largest)


def _ramp() -> dict[int, tuple[int, int, int, int]]:
    """Return cividis (Nuñez, Anderton and Renslow 2018), at five of its colors, for percent 0 to 100."""
    stops = np.array([(0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56)])
    bands = [
        np.interp(np.arange(101), (0, 25, 50, 75, 100), stops[:, i]).round().astype(int).tolist()
        for i in range(3)
    ]
    return {
        v: (red, green, blue, 255) for v, (red, green, blue) in enumerate(zip(*bands, strict=True))
    }


_RAMP = _ramp()
