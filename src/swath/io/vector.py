"""Polygons on disk: a layer with a class column, in any CRS."""

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
"""File names that are taken for vector layers."""

NO_DATE = "1970-01-01T00:00:00.000Z"
"""Date in GeoPackages: equal content makes equal files."""

_USUAL_FIELDS = (
    "class",
    "label",
    "landcover",
    "land_cover",
    "category",
    "code",
    "classname",
    "class_name",
    "type",
    "id",
)


@dataclass(frozen=True)
class Features:
    """The features of one layer.

    Attributes:
        path: the file.
        crs: its CRS as WKT, None where it has none.
        geometries: shapely geometries, shape (n,).
        values: the class of each, shape (n,): all text, or all whole numbers.
        field: the column they came from.
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

    def moved_to(self, crs: str | None) -> NDArray[Any]:
        """Return the geometries in another CRS (WKT).

        Raises:
            DataError: one side has a CRS and the other has none.
        """
        return self.placed(crs)[0]

    def placed(self, crs: str | None) -> tuple[NDArray[Any], shapely.STRtree]:
        """Return the geometries in another CRS, with their tree; made once a CRS, for thousands of images may share a layer.

        Raises:
            DataError: see `moved_to`.
        """
        if crs not in self._placed:
            geometries = self._move(crs)
            self._placed[crs] = geometries, shapely.STRtree(geometries)
        return self._placed[crs]

    @cached_property
    def _placed(self) -> dict[str | None, tuple[NDArray[Any], shapely.STRtree]]:
        return {}

    def _move(self, crs: str | None) -> NDArray[Any]:
        if crs is None and self.crs is None:
            return self.geometries
        if crs is None or self.crs is None:
            raise DataError(
                "it has no CRS and the image has one"
                if self.crs is None
                else "it has a CRS and the image has none",
                file=self.path,
                fix="Assign the right CRS first (ogr2ogr -a_srs, gdal_edit.py -a_srs)",
            )
        move = pyproj.Transformer.from_crs(self.crs, crs, always_xy=True)
        return np.asarray(shapely.transform(self.geometries, move.transform, interleaved=False))


def read_features(path: PathLike, field: str | None = None) -> Features:
    """Read a layer with its class column.

    Args:
        path: a file of one vector layer.
        field: the class column; without it, the only column, or the first with a usual name (class,
            label, ...).

    Raises:
        DataError: the file is damaged, has several layers, no geometry, no such column, or no
            usable class.
    """
    path = Path(path)
    meta, wkb, columns = _read(path)
    fields = [str(f) for f in meta["fields"]]
    name = _choose(fields, field, path)
    keep = np.array([w is not None for w in wkb])
    values = _class_values(np.asarray(columns[fields.index(name)])[keep], name, path)
    return Features(str(path), _crs(meta), np.asarray(shapely.from_wkb(wkb[keep])), values, name)


def read_geometries(path: PathLike) -> Features:
    """Read a layer whose columns do not matter; every value is 1.

    Raises:
        DataError: the file is damaged, has several layers, or no geometry.
    """
    path = Path(path)
    meta, wkb, _ = _read(path)
    geometries = np.asarray(shapely.from_wkb([w for w in wkb if w is not None]))
    return Features(str(path), _crs(meta), geometries, np.ones(len(geometries), np.int64), "")


def _read(path: Path) -> tuple[dict[str, Any], NDArray[Any], list[NDArray[Any]]]:
    """Read a layer: facts, geometries as WKB, columns."""
    import pyogrio  # here, because it loads pandas where that is installed
    import pyogrio.errors

    if not path.exists():
        raise DataError("there is no such file", file=path, fix="Check the path")
    try:
        layers = pyogrio.list_layers(path)
        if len(layers) != 1:
            raise DataError(
                f"it has {len(layers)} layers ({', '.join(map(str, layers[:, 0]))})",
                file=path,
                fix="Save the one with the labels to a file of its own",
            )
        meta, _, wkb, columns = pyogrio.raw.read(path)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FieldError,
    ) as error:
        raise DataError(
            f"the layer cannot be read ({error})", file=path, fix="Export it again"
        ) from error
    if wkb is None or all(w is None for w in wkb):
        raise DataError(
            "the layer has no features with a geometry",
            file=path,
            fix="Export it with its geometry",
        )
    return meta, wkb, columns


def _crs(meta: dict[str, Any]) -> str | None:
    return pyproj.CRS.from_user_input(meta["crs"]).to_wkt() if meta["crs"] else None


def _choose(fields: list[str], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        if wanted in fields:
            return wanted
        raise DataError(
            f"it has no column {wanted!r}",
            file=path,
            fix=f"Its columns are: {', '.join(fields) or 'none'}",
        )
    if len(fields) == 1:
        return fields[0]
    lower = {f.lower(): f for f in reversed(fields)}
    for usual in _USUAL_FIELDS:
        if usual in lower:
            return lower[usual]
    raise DataError(
        f"no column is evidently the class (columns: {', '.join(fields) or 'none'})",
        file=path,
        fix="Name it with --label-field",
    )


def _class_values(values: NDArray[Any], field: str, path: Path) -> NDArray[Any]:
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        if np.isfinite(values).all() and (values == np.round(values)).all():
            return values.astype(np.int64)
        raise DataError(
            f"column {field!r} holds numbers that are not whole, or are missing",
            file=path,
            fix="Give --label-field a column of class codes or names",
        )
    empty = np.array([v is None or not str(v).strip() for v in values])
    if empty.any():
        raise DataError(
            f"column {field!r} is empty in {int(empty.sum())} of {len(values)} features",
            file=path,
            fix="Fill in their class, or delete them",
        )
    return np.array([str(v).strip() for v in values], dtype=object)


@dataclass(frozen=True)
class VectorLayer:
    """A vector layer.

    Attributes:
        kind: of all shapes.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        name: of the layer.
        facts: about the layer, kept in its metadata.
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
    """Write a layer to a GeoPackage at `path`, which becomes `target` when it is whole.

    Raises:
        JobError: the file cannot be written.
    """
    import pyogrio  # here, because it loads pandas where that is installed

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NO_DATE})
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
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
    ) as error:
        raise JobError(
            f"the layer cannot be written ({error})", file=target, fix="Check that there is room"
        ) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
