"""Vector layers as outlines over a page's maps: places in degrees, columns, order of rank."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.responses import Response

from swath.errors import DataError
from swath.geo.crs import is_undefined
from swath.io.vector import Features, is_class_name, layer_names, read_layer
from swath.server.registry import NotServed
from swath.server.tiles import Name
from swath.server.web_mercator import Placement, to_degrees

MAX_POINTS = 2_000_000
"""Vertices of a layer on the page, at most."""

MAX_LAYERS = 10
"""Layers of one file, at most."""

LISTED = 100
"""Features of the page's list."""

MAX_TEXT = 200
"""Characters of a value that are shown."""

SHOWN = 3
"""Columns of the page's list besides the rank."""

RANK = "rank"
"""Column by which features are ordered."""


@dataclass(frozen=True)
class Outlines:
    """Features of a layer that lie on the page, in order of rank, else of the file.

    Attributes:
        geometries: in degrees of the page (n,).
        columns: name to values (n,).
        warnings: on what is not shown.
    """

    geometries: NDArray[Any]
    columns: Mapping[str, NDArray[Any]]
    warnings: tuple[str, ...]

    def row(self, i: int) -> dict[str, Any]:
        """Return the columns of a feature as a JSON object."""
        return {name: _as_json(values[i]) for name, values in self.columns.items()}

    @cached_property
    def tree(self) -> shapely.STRtree:
        """The spatial index."""
        return shapely.STRtree(self.geometries)

    @cached_property
    def geojson(self) -> bytes:
        """A feature collection; ids are positions, and there are no properties."""
        rounded = _moved(self.geometries, lambda x, y: (np.round(x, 8), np.round(y, 8)))
        texts = shapely.to_geojson(rounded).tolist()
        rows = (
            f'{{"type":"Feature","id":{i},"properties":{{}},"geometry":{text}}}'
            for i, text in enumerate(texts)
        )
        return f'{{"type":"FeatureCollection","features":[{",".join(rows)}]}}'.encode()


class OutlineLayer:
    """A layer of a vector file, which is read again where the file has changed.

    Args:
        path: the file.
        layer: name of the layer, None for the only one.
        maps: the maps and images of the page.

    Attributes:
        name: what requests call it.
    """

    def __init__(self, path: Path, layer: str | None, maps: Sequence[Placement]) -> None:
        self.path, self.layer, self._maps = path, layer, maps
        self.name = path.name if layer is None else f"{path.name}: {layer}"
        self._known: tuple[str, Outlines] | None = None
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """A text that changes when the file does."""
        stat = self.path.stat() if self.path.exists() else None
        return f"{stat.st_mtime_ns:x}{stat.st_size:x}" if stat else "absent"

    def outlines(self) -> Outlines:
        """Return the features.

        Raises:
            DataError: the file is damaged; the layer cannot be laid on the map, lies elsewhere, or
                is too large.
        """
        with self._lock:
            version = self.version
            if self._known is None or self._known[0] != version:
                self._known = version, self._read()
            return self._known[1]

    def _read(self) -> Outlines:
        data = read_layer(self.path, self.layer, empty=True)
        warnings = [f.message for f in data.findings]
        ones = np.ones(len(data.fids), np.int64)
        features = Features(str(self.path), data.crs, data.geometries, ones, "", data.name)
        geometries = self._on_page(features)
        rank, order = _rank(data.columns), np.arange(len(geometries))
        if rank is not None:
            order = np.argsort(data.columns[rank], kind="stable")
        seen = np.flatnonzero(shapely.intersects(self.area, geometries))
        if not len(geometries):
            warnings.append("The layer has no features.")
        elif not len(seen):
            raise self._elsewhere(geometries)
        elif len(seen) < len(geometries):
            outside = len(geometries) - len(seen)
            warnings.append(f"{outside} of {len(geometries)} features lie outside of the map.")
        kept = order[np.isin(order, seen)]
        points = int(shapely.get_num_coordinates(geometries[kept]).sum())
        if points > MAX_POINTS:
            raise DataError(
                f"The layer has {points} vertices on the map, and may have {MAX_POINTS}",
                code="layer-too-large",
                file=self.path,
                fix="Save it simplified, or cut to the map (Simplify and Clip in QGIS)",
            )
        shown = {name: values[kept] for name, values in data.columns.items()}
        return Outlines(geometries[kept], shown, tuple(warnings))

    def _on_page(self, features: Features) -> NDArray[Any]:
        """Return geometries in degrees of the page; those without a place there are empty."""
        first, bare = self._maps[0], features.crs is None or is_undefined(features.crs)
        if first.in_pixels or bare:
            a, b, c, d, e, f = tuple(~first.grid.affine)[:6]
            return _moved(
                features.to_crs(first.grid.crs),
                lambda x, y: to_degrees(*first.mercator(a * x + b * y + c, d * x + e * y + f)),
            )
        moved = features.to_crs(pyproj.CRS("EPSG:4326").to_wkt()).copy()
        west, _, east, _ = shapely.bounds(moved).T
        box = first.degrees
        turns = np.nan_to_num(np.round((box[0] + box[2] - west - east) / 720))
        for turn in np.unique(turns[turns != 0]):  # the page goes on beyond 180 degrees
            there = turns == turn
            moved[there] = _moved(moved[there], lambda x, y, t=turn: (x + 360 * t, y))
        return moved

    @cached_property
    def area(self) -> Any:
        """What the maps cover, in degrees of the page, as a prepared geometry."""
        area = shapely.union_all([shapely.box(*one.degrees) for one in self._maps])
        shapely.prepare(area)
        return area

    def _elsewhere(self, geometries: NDArray[Any]) -> DataError:
        message = "No feature of the layer lies on the map"
        if not self._maps[0].in_pixels:
            here, there = (
                f"{(west + east) / 2:.4f}, {(south + north) / 2:.4f}"
                for west, south, east, north in (
                    self._maps[0].degrees,
                    shapely.total_bounds(geometries),
                )
            )
            message += f": they lie around {there} (longitude, latitude), and the map around {here}"
        fix = "Check the CRS of both, or leave the layer out"
        return DataError(message, code="layer-misses-map", file=self.path, fix=fix)


def read_outlines(path: Path, maps: Sequence[Placement]) -> list[OutlineLayer]:
    """Return the layers of a vector file for a page of maps.

    Raises:
        DataError: the file is damaged or has too many layers, or a layer cannot be shown.
    """
    names = layer_names(path)
    if len(names) > MAX_LAYERS:
        raise DataError(
            f"The file has {len(names)} layers, and may have {MAX_LAYERS}",
            code="layer-count",
            file=path,
            fix="Save the layers to show in a file of their own, with QGIS, say",
        )
    layers = [OutlineLayer(path, name, maps) for name in names]
    for layer in layers:
        layer.outlines()
    return layers


def describe(layer: OutlineLayer) -> dict[str, Any]:
    """Describe a layer as a JSON object, with the first `LISTED` of its features.

    Each of these has `id`, `columns`, and of its part on the maps `point` (longitude and latitude
    of a place in it) and `bounds` (west, south, east, north); `rank` and `shown` are the columns
    for a list.
    """
    found = layer.outlines()
    first = shapely.intersection(found.geometries[:LISTED], layer.area)
    points = shapely.get_coordinates(shapely.point_on_surface(first)).tolist()
    bounds = shapely.bounds(first).tolist()
    return {
        "name": layer.name,
        "title": layer.name,
        "kind": "outline",
        "version": layer.version,
        "count": len(found.geometries),
        "rank": _rank(found.columns),
        "shown": _shown(found.columns),
        "rows": [
            {"id": i, "columns": found.row(i), "point": points[i], "bounds": bounds[i]}
            for i in range(len(first))
        ],
    }


def feature_at(layer: OutlineLayer, lon: float, lat: float, within: float) -> dict[str, Any]:
    """Return the first feature at a point: `inside`, and if so `id`, `columns`, `others`.

    Args:
        layer: any layer.
        lon: longitude in degrees of the page.
        lat: latitude.
        within: distance in degrees at which a feature counts where none holds the point.
    """
    found, point = layer.outlines(), shapely.Point(lon, lat)
    at = found.tree.query(point, "intersects")
    if not len(at):
        at = found.tree.query(point, "dwithin", distance=within)
    if not len(at):
        return {"inside": False}
    i = int(at.min())
    return {"inside": True, "id": i, "columns": found.row(i), "others": len(at) - 1}


def make_router(layers: Mapping[str, OutlineLayer]) -> APIRouter:
    """Return the route with the geometries of layers, by name."""
    router = APIRouter()

    @router.get("/outlines", tags=["Maps"], response_class=Response)
    def outlines(url: Name) -> Response:
        """Return the features of a vector layer of the page as GeoJSON."""
        if url not in layers:
            raise NotServed(url)
        return Response(layers[url].outlines().geojson, media_type="application/geo+json")

    return router


def _moved(geometries: NDArray[Any], move: Any) -> NDArray[Any]:
    return np.asarray(shapely.transform(geometries, move, interleaved=False), object)


def _rank(columns: Mapping[str, NDArray[Any]]) -> str | None:
    """Return the column of ranks, if there is one."""
    ranks = (n for n, v in columns.items() if n.lower() == RANK and v.dtype.kind in "iuf")
    return next(ranks, None)


def _shown(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the columns of a list besides the rank: classes, other text, then numbers."""

    def order(name: str) -> tuple[bool, bool]:
        return not is_class_name(name), columns[name].dtype.kind != "O"

    return sorted((name for name in columns if name != _rank(columns)), key=order)[:SHOWN]


def _as_json(value: Any) -> str | int | float | None:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else str(value)[:MAX_TEXT]
