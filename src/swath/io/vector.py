"""Vector layers: polygons with a class column in any CRS, and GeoPackages that are written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from swath.errors import DataError, JobError
from swath.io.atomic import atomic_file
from swath.types import PathLike

VECTOR_EXTENSIONS = frozenset({".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".kml"})
"""Endings of file names that are taken for vector layers."""

GPKG_DATE = "1970-01-01T00:00:00.000Z"
"""Date in GeoPackages, always the same, so that equal content makes equal files."""

_CLASS_FIELDS = (
    "class label landcover land_cover category code classname class_name type id".split()
)


@dataclass(frozen=True)
class Features:
    """The features of one layer.

    Attributes:
        path: the file.
        crs: its CRS as WKT, None where it has none.
        geometries: shapely geometries (n,).
        values: the class of each (n,): all text, or all integers.
        field: the column that the classes are from.
    """

    path: str
    crs: str | None
    geometries: NDArray[Any]
    values: NDArray[Any]
    field: str

    @property
    def textual(self) -> bool:
        """Whether classes are given as text."""
        return self.values.dtype.kind not in "iu"

    def to_crs(self, crs: str | None) -> NDArray[Any]:
        """Return the geometries in another CRS (WKT).

        Raises:
            DataError: only one of both sides has a CRS.
        """
        return self.to_crs_indexed(crs)[0]

    def to_crs_indexed(self, crs: str | None) -> tuple[NDArray[Any], shapely.STRtree]:
        """Return the geometries in another CRS (WKT) and their spatial index.

        Both are computed once a CRS, since thousands of images may share a layer.

        Raises:
            DataError: see `to_crs`.
        """
        if crs not in self._by_crs:
            geometries = self._transformed(crs)
            self._by_crs[crs] = geometries, shapely.STRtree(geometries)
        return self._by_crs[crs]

    @cached_property
    def _by_crs(self) -> dict[str | None, tuple[NDArray[Any], shapely.STRtree]]:
        return {}

    def _transformed(self, crs: str | None) -> NDArray[Any]:
        if crs is None and self.crs is None:
            return self.geometries
        if crs is None or self.crs is None:
            has, lacks = ("image", "layer") if self.crs is None else ("layer", "image")
            message = f"The {has} has a CRS and the {lacks} has none"
            fix = "Assign the right CRS first (ogr2ogr -a_srs, gdal_edit.py -a_srs)"
            raise DataError(message, code="crs-missing", file=self.path, fix=fix)
        move = pyproj.Transformer.from_crs(self.crs, crs, always_xy=True)
        return np.asarray(shapely.transform(self.geometries, move.transform, interleaved=False))


def read_features(path: PathLike, field: str | None = None) -> Features:
    """Read a layer with its class column.

    Args:
        path: a file of one vector layer.
        field: the class column; by default the only column, or the first with a usual name (class,
            label, ...).

    Raises:
        DataError: the file is damaged, has several layers, no geometry, no such column, or no
            usable class.
    """
    path = Path(path)
    crs, geometries, columns = _read(path)
    name = _choose(list(columns), field, path)
    values = _class_values(columns[name], name, path)
    return Features(str(path), crs, geometries, values, name)


def read_geometries(path: PathLike) -> Features:
    """Read a layer without its columns; the value of every feature is 1.

    Raises:
        DataError: the file is damaged, has several layers, or no geometry.
    """
    crs, geometries, _ = _read(Path(path))
    return Features(str(path), crs, geometries, np.ones(len(geometries), np.int64), "")


def _read(path: Path) -> tuple[str | None, NDArray[Any], dict[str, NDArray[Any]]]:
    """Return CRS (WKT), geometries and columns of the features that have a geometry."""
    import pyogrio  # here, because it loads pandas where that is installed
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    if not path.exists():
        fix = "Check the path"
        raise DataError("There is no such file", code="no-such-file", file=path, fix=fix)
    try:
        layers = pyogrio.list_layers(path)
        if len(layers) != 1:
            message = f"The file has {len(layers)} layers ({', '.join(map(str, layers[:, 0]))})"
            fix = "Save the one with the labels to a file of its own"
            raise DataError(message, code="layer-count", file=path, fix=fix)
        meta, _, wkb, columns = pyogrio.raw.read(path)
    except (DataSourceError, DataLayerError, FieldError) as error:
        message = f"The layer cannot be read ({error})"
        raise DataError(message, code="unreadable", file=path, fix="Export it again") from error
    if wkb is None or all(w is None for w in wkb):
        message = "The layer has no features with a geometry"
        raise DataError(message, code="no-geometry", file=path, fix="Export it with its geometry")
    keep = np.array([w is not None for w in wkb])
    crs = pyproj.CRS.from_user_input(meta["crs"]).to_wkt() if meta["crs"] else None
    named = zip(map(str, meta["fields"]), columns, strict=True)
    kept = {name: np.asarray(column)[keep] for name, column in named}
    return crs, np.asarray(shapely.from_wkb(wkb[keep])), kept


def _choose(fields: list[str], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        if wanted in fields:
            return wanted
        message = f"The layer has no column {wanted!r}"
        fix = f"Choose one of its columns: {', '.join(fields) or 'none'}"
        raise DataError(message, code="no-such-column", file=path, fix=fix)
    if len(fields) == 1:
        return fields[0]
    lower = {f.lower(): f for f in reversed(fields)}
    for usual in _CLASS_FIELDS:
        if usual in lower:
            return lower[usual]
    message = f"No column is evidently the class (columns: {', '.join(fields) or 'none'})"
    raise DataError(message, code="no-class-column", file=path, fix="Name it with --label-field")


def _class_values(values: NDArray[Any], field: str, path: Path) -> NDArray[Any]:
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        if np.isfinite(values).all() and (values == np.round(values)).all():
            return values.astype(np.int64)
        message = f"Column {field!r} holds numbers that are not whole, or are missing"
        fix = "Give --label-field a column of class codes or names"
        raise DataError(message, code="fractional-code", file=path, fix=fix)
    empty = np.array([v is None or not str(v).strip() for v in values])
    if empty.any():
        message = f"Column {field!r} is empty in {int(empty.sum())} of {len(values)} features"
        fix = "Fill in their class, or delete them"
        raise DataError(message, code="empty-class", file=path, fix=fix)
    return np.array([str(v).strip() for v in values], dtype=object)


@dataclass(frozen=True)
class VectorLayer:
    """A vector layer to be written.

    Attributes:
        kind: geometry type of all shapes.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        name: of the layer.
        facts: metadata of the layer.
    """

    kind: Literal["Point", "Polygon"]
    shapes: Sequence[Any] | NDArray[Any]
    columns: Mapping[str, Any]
    crs: str | None
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)


def write_layer(path: PathLike, layer: VectorLayer) -> None:
    """Write a layer to a GeoPackage, whole or not at all; an older file is replaced.

    Raises:
        JobError: the file cannot be written.
    """
    with atomic_file(path) as partial:
        put_layer(partial, layer, path)


def put_layer(path: PathLike, layer: VectorLayer, target: PathLike) -> None:
    """Write a layer to a GeoPackage that is renamed later.

    Args:
        path: where to write.
        layer: the layer.
        target: the later name, for errors.

    Raises:
        JobError: the file cannot be written.
    """
    import pyogrio  # here, because it loads pandas where that is installed
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": GPKG_DATE})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # photographs have none
            pyogrio.raw.write(
                path,
                np.array([shapely.to_wkb(shape) for shape in layer.shapes], object),
                [np.asarray(v) for v in layer.columns.values()],
                list(layer.columns),
                driver="GPKG",
                crs=layer.crs,
                geometry_type=layer.kind,
                layer=layer.name,
                layer_metadata=dict(layer.facts) or None,
            )
    except (DataSourceError, DataLayerError, FeatureError) as error:
        message = f"The layer cannot be written ({error})"
        fix = "Check that there is room"
        raise JobError(message, code="not-writable", file=target, fix=fix) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
