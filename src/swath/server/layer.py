"""Rasters as layers of a web map: what each shows, its colors, and its pixels at any scale."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio import DatasetReader
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Pixels, Window
from swath.io.qgis import read_style
from swath.io.raster import Raster, band_tags, descriptions, open_raster
from swath.io.render import visible_bands
from swath.legend import IGNORE, MAX_CLASSES, LandClass, Legend, default_color, rgb
from swath.mapping.inputs import InputImage
from swath.server.tile_images import PERCENT_COLORS, Rgba, hex_color
from swath.server.web_mercator import TILE_SIZE, Floats, MercatorTile, Placement
from swath.transitions import Transitions
from swath.types import PathLike

LayerKind: TypeAlias = Literal["map", "reference", "confidence", "probabilities", "image"]
"""What a layer shows: classes of a map, labels, percent of one band or of one band a class, or
measurements."""

FORMATS: dict[str, tuple[Any, ...]] = {
    "GTiff": (".tif", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "PNG": (".png", b"\x89PNG\r\n\x1a\n"),
    "JPEG": (".jpg", b"\xff\xd8\xff"),
    "JP2OpenJPEG": (".jp2", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "WEBP": (".webp", b"RIFF"),
    "BMP": (".bmp", b"BM"),
}
"""Ending and first bytes by driver. Unlike VRT, none of these can make GDAL open another file."""

MAX_IDLE = 4
"""Idle handles of one file that are kept open."""

MAX_READ = 64_000_000
"""Pixels that may be read for one tile; a file without overviews is not drawn from further away."""

PERCENT = ("confidence", "probabilities")
"""Kinds whose values are percent."""


@dataclass(frozen=True)
class Hint:
    """What is known of a file besides its content.

    Attributes:
        kind: what the file shows; derived from the file if absent.
        legend: classes of reference labels, and of a map whose file does not name them.
        grid: georeferencing for a file without CRS.
    """

    kind: LayerKind | None = None
    legend: Legend | None = None
    grid: GeoBox | None = None


class MapLayer(ABC):
    """A raster as a layer. Reading is thread-safe, and runs in several threads at once.

    Attributes:
        path: the file.
        kind: what the layer shows.
        grid: georeferencing of the raster.
        placement: the grid on the web map.
        bands: names of the bands.
        dtype: type of the file's values.
        min_zoom: lowest zoom at which a tile is drawn.
    """

    min_zoom = 0

    def __init__(
        self,
        path: Path,
        kind: LayerKind,
        grid: GeoBox,
        bands: tuple[str, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.path = path
        self.kind = kind
        self.grid = grid
        self.placement = Placement(grid)
        self.bands = bands
        self.dtype = dtype

    @property
    @abstractmethod
    def legend(self) -> Legend | None:
        """Classes with their colors; None for a layer without classes."""

    @property
    def transitions(self) -> Transitions | None:
        """The pairs of classes of a map of change; None for any other layer."""
        return None

    @abstractmethod
    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        """Read the stored values of a window, resampled to a shape; see `Raster.read`."""

    def _decode(self, pixels: Pixels) -> Pixels:
        """Turn stored values into what the layer shows."""
        return pixels

    @abstractmethod
    def close(self) -> None:
        """Close idle files."""

    @property
    def classified(self) -> bool:
        """Whether the pixels are class codes."""
        return self.kind in ("map", "reference")

    @property
    def colors(self) -> dict[int, Rgba]:
        """Colors by class code or by percent; empty for an image."""
        if self.legend:
            return {c.map_code: (*rgb(c.color), 255) for c in self.legend.trained}
        return PERCENT_COLORS if self.kind in PERCENT else {}

    @cached_property
    def stretch(self) -> list[tuple[float, float]]:
        """Lowest and highest value drawn of each band.

        All of 8 bits, else the 2nd and 98th percentile of an overview.
        """
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
        several = self.kind == "image" and len(self.bands) > 1
        return visible_bands(list(self.bands)) if several else [0]

    def overview(self, longest: int = 512, *, nearest: bool = False) -> Pixels:
        """Read the whole raster, decimated to at most `longest` pixels a side.

        Of a large file without overviews, only the middle is read.
        """
        height, width = self.grid.height, self.grid.width
        if self.min_zoom > 0:
            middle = Window(height // 2, width // 2, 0, 0).grow(2 * longest)
            return self.read(middle.within(self.grid.window), nearest=nearest)
        step = max(1.0, max(height, width) / longest)
        shape = max(1, round(height / step)), max(1, round(width / step))
        return self.read(self.grid.window, shape, nearest=nearest)

    def read(
        self, window: Window, shape: tuple[int, int] | None = None, *, nearest: bool = False
    ) -> Pixels:
        """Read a window, resampled to a shape; see `Raster.read`.

        Returns:
            One band of map codes for a classified layer, else the bands of the file.
        """
        return self._decode(self._fetch(window, shape, nearest or self.classified))

    def tile(self, tile: MercatorTile, size: int = TILE_SIZE, *, exact: int = 0) -> Pixels:
        """Read the pixels (bands, size, size) under a tile by nearest neighbor.

        At low zooms they come from a decimated read, which may hold a neighbor instead. Where the
        window that they lie in has at most `exact` pixels, it is read undecimated, so that two
        rasters can be compared.

        Raises:
            DataError: the tile needs more than `MAX_READ` pixels of a file without overviews.
        """
        if tile.z < self.min_zoom:
            raise DataError(
                "The raster has no overviews for this scale",
                code="no-overviews",
                file=self.path,
                fix=f"Zoom in, or run `rio overview --build auto {self.path.name}`",
            )
        return self._gather(*self.placement.coordinates(tile, size), exact)

    def sample(self, x: Floats, y: Floats, *, exact: int = 0) -> Pixels:
        """Read the pixels (bands, rows, columns) at points (rows, columns) in web Mercator.

        See `tile` for `exact`.
        """
        return self._gather(*self.placement.pixels(x, y), exact)

    def extent(self, x: Floats, y: Floats) -> int:
        """Return the number of pixels of the smallest window that holds points in web Mercator."""
        col, row = self.placement.pixels(x, y)
        inside = _within(col, self.grid.width) & _within(row, self.grid.height)
        return _bounding_window(col[inside], row[inside]).size if inside.any() else 0

    def _gather(self, col: Floats, row: Floats, exact: int) -> Pixels:
        """Read the pixels at columns and rows that broadcast to (rows, columns)."""
        in_col, in_row = _within(col, self.grid.width), _within(row, self.grid.height)
        inside = in_col & in_row
        if not inside.any():
            return Pixels(np.zeros((len(self.bands), *inside.shape), self.dtype), inside)
        if col.shape == row.shape:
            in_col = in_row = inside
        window = _bounding_window(col[in_col], row[in_row]).within(self.grid.window)
        steps = (1, 1) if window.size <= exact else (_step(row), _step(col))
        shape = max(1, window.height // steps[0]), max(1, window.width // steps[1])
        values, valid = self._fetch(window, shape, self.classified)
        at_row = _index(row, in_row, window.row, shape[0] / window.height, shape[0])
        at_col = _index(col, in_col, window.col, shape[1] / window.width, shape[1])
        return self._decode(Pixels(values[:, at_row, at_col], valid[at_row, at_col] & inside))


H = TypeVar("H", Raster, InputImage)


class HandlePool(Generic[H]):
    """Open handles of one image, each for one thread at a time.

    Args:
        open_one: opens another handle.
    """

    def __init__(self, open_one: Callable[[], H]) -> None:
        self._open_one: Callable[[], H] = open_one
        self._idle: list[H] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[H]:
        """Lend a handle."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or self._open_one()
        try:
            yield handle
        finally:
            with self._lock:
                keep = len(self._idle) < MAX_IDLE
                if keep:
                    self._idle.append(handle)
            if not keep:
                handle.close()

    def close(self) -> None:
        """Close the handles that are not lent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for handle in idle:
            handle.close()


def overviews_of(path: PathLike) -> list[int]:
    """Return the decimations of the overviews of a raster's first band."""
    with open_raster(path) as dataset:
        return list(dataset.overviews(1))


def lowest_zoom(placement: Placement, overviews: Sequence[int]) -> int:
    """Return the lowest zoom at which a tile needs no more than `MAX_READ` pixels."""
    grid = placement.grid
    if grid.height * grid.width / max([*overviews, 1]) ** 2 <= MAX_READ:
        return 0
    halvings = int(math.log2(math.sqrt(MAX_READ) / TILE_SIZE))
    return max(0, placement.max_zoom - halvings)


class RasterLayer(MapLayer):
    """A file as a layer.

    Args:
        path: the file.
        hint: what is known of the file.

    Raises:
        DataError: the file is of none of `FORMATS`, or damaged.
    """

    def __init__(self, path: Path, hint: Hint | None = None) -> None:
        self._hint = hint or Hint()
        self._pool = HandlePool(lambda: Raster([path], raw=self._raw, driver=self.driver))
        self.path = path
        self.driver = driver_of(path)
        with open_raster(path, self.driver) as dataset:
            self._facts = _RasterFacts.of(dataset)
            grid = self._hint.grid or geobox_of(dataset)
        kind = self._hint.kind or self._facts.guess_kind(path)
        by_color = self._hint.legend is not None and self._hint.legend.kind == "color"
        self._raw = kind == "map" or (kind == "reference" and not by_color)
        with self._pool.lend() as raster:
            super().__init__(path, kind, grid, raster.bands, raster.dtype)
        self.min_zoom = lowest_zoom(self.placement, self._facts.overviews)

    def close(self) -> None:
        """Close idle files."""
        self._pool.close()

    @cached_property
    def legend(self) -> Legend | None:
        """Classes with their colors; None for a layer without classes.

        Raises:
            DataError: the kind is map or reference, but the file is no map.
        """
        if not self.classified:
            return None
        given = self._hint.legend
        if given is not None and (self.kind == "reference" or not self._facts.class_names):
            return given
        names = self._facts.class_names or {code: str(code) for code in self._find_codes()}
        style, palette, uses = read_style(self.path), self._facts.palette, Counter(names.values())
        classes = []
        for i, (code, name) in enumerate(sorted(names.items())):
            own = hex_color(palette[code]) if palette.get(code) else None
            color = own or style.get(code, ("", default_color(i)))[1]
            unique = name if uses[name] == 1 else f"{name} {code}"
            classes.append(LandClass(unique, (code,), code, color))
        return Legend(tuple(classes), origin=str(self.path)) if classes else None

    @property
    def transitions(self) -> Transitions | None:
        """The pairs of classes of a map of change; None for any other layer."""
        return Transitions.of_tags(self._facts.tags) if self.kind == "map" else None

    def _find_codes(self) -> list[int]:
        """Return the codes in an overview of a map that does not name its classes."""
        integers = len(self.bands) == 1 and self.dtype.kind in "iu"
        codes: list[int] = []
        if integers:
            values, valid = self.overview(nearest=True)
            codes = np.unique(values[0][valid]).tolist()
        if not integers or len(codes) > MAX_CLASSES:
            raise DataError(
                f"The raster is not a map, which has one band of at most {MAX_CLASSES} codes",
                code="not-a-class-map",
                file=self.path,
                fix="Give the map as the first file",
            )
        return codes

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        with self._pool.lend() as raster:
            return raster.read(window, shape, nearest=nearest)

    def _decode(self, pixels: Pixels) -> Pixels:
        """Turn reference labels into map codes; leave all else as it is."""
        values, valid = pixels
        if self.kind != "reference" or self.legend is None:
            return pixels
        if values.dtype.kind == "f":
            valid = valid & np.isfinite(values).all(axis=0)
            values = np.where(valid, values, 0)
        labels = values.astype(np.int64)
        if self.legend.kind == "color":
            red, green, blue = labels[:3] if len(labels) >= 3 else (labels[0],) * 3
            indices = self.legend.encode(red << 16 | green << 8 | blue)
        else:
            indices = self.legend.encode(labels[0])
        return Pixels(self.legend.decode(indices)[None], valid & (indices != IGNORE))


def driver_of(path: Path) -> str:
    """Return the GDAL driver for a file, by the first bytes of the file.

    Raises:
        DataError: the file is of none of `FORMATS`.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for driver, (_, *beginnings) in FORMATS.items():
        if start.startswith(tuple(beginnings)):
            return driver
    raise DataError(
        "The file is not an image of a supported format",
        code="unsupported-format",
        file=path,
        fix=f"Convert it: `rio convert {path.name} OUT.tif --driver COG`",
    )


@dataclass(frozen=True)
class _RasterFacts:
    tags: dict[str, str]
    description: str | None
    palette: dict[int, Rgba]
    overviews: list[int]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, dataset: DatasetReader) -> _RasterFacts:
        """Read the facts of the first band."""
        paletted = dataset.colorinterp[0] == ColorInterp.palette
        return cls(
            tags=band_tags(dataset, 1),
            description=descriptions(dataset)[0],
            palette=dataset.colormap(1) if paletted else {},
            overviews=dataset.overviews(1),
            dtype=np.dtype(dataset.dtypes[0]),
        )

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Names by code, from the tags that `predict` writes."""
        tags = {key.removeprefix("class_"): key for key in self.tags if key.startswith("class_")}
        return {int(code): self.tags[key] for code, key in tags.items() if code.isdecimal()}

    def guess_kind(self, path: Path) -> LayerKind:
        """Derive the kind from names that `predict` gives, else from the content."""
        percent = self.dtype == np.uint8
        if self.class_names:
            return "map"
        if percent and (self.description == "confidence" or path.stem.endswith("_confidence")):
            return "confidence"
        if percent and path.stem.endswith("_probabilities"):
            return "probabilities"
        return "map" if self.palette and driver_of(path) == "GTiff" else "image"


def _within(position: Floats, length: int) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = (position >= 0) & (position < length)
    return inside


def _bounding_window(col: Floats, row: Floats) -> Window:
    top, left = int(row.min()), int(col.min())
    return Window(top, left, int(row.max()) + 1 - top, int(col.max()) + 1 - left)


def _index(
    position: Floats, inside: NDArray[np.bool_], start: int, scale: float, length: int
) -> NDArray[np.intp]:
    """Return the row (or column) of the array read that holds each position; 0 outside."""
    return (np.where(inside, position - start, 0) * scale).astype(np.intp).clip(0, length - 1)


def _step(position: Floats) -> int:
    """Return how many raster rows (or columns) lie between neighboring tile pixels, at least 1."""
    largest = 1.0
    for lines in (position[:, ::16].T, position[::16]):
        between = np.abs(np.diff(lines))
        known = between[np.isfinite(between)]
        largest = max(largest, float(np.median(known)) if known.size else 0.0)
    return int(largest)
