"""Files of vector layers: the content of one layer, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, check_path
from swath.io.vector.formats import FORMATS, OTHER_EXTENSIONS, TABLES
from swath.io.vector.geometries import missing_geometries, usable_geometries
from swath.io.vector.geopackage import at_rest, recover
from swath.io.vector.ogr import list_layers, read_ogr
from swath.io.vector.parquet import read_parquet
from swath.io.vector.point_table import read_point_table
from swath.types import Finding

_SEVERAL = frozenset(".gpkg .gdb .gml .zip".split())
"""Endings of files that may have several layers; the folders of a KML file are one."""

SHAPEFILE = bytes.fromhex("0000270a")
"""First bytes of a shapefile."""


@dataclass(frozen=True)
class LayerData:
    """The content of one layer; all arrays have one value a feature (n,).

    Attributes:
        name: of the layer.
        crs: as WKT, None where the file has none.
        fids: feature ids, as in the file.
        geometries: shapely geometries in two dimensions, valid and none empty.
        columns: name to values.
        findings: on what was mended or left out.
    """

    name: str
    crs: str | None
    fids: NDArray[np.int64]
    geometries: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    findings: tuple[Finding, ...]


def read_layer(path: Path, layer: str | None = None, empty: bool = False) -> LayerData:
    """Read one layer of a file.

    Invalid polygons are mended; features whose geometry cannot be used are left out. Both are
    findings.

    Args:
        path: the file, or the folder of a file geodatabase.
        layer: its name; None for the only one with a geometry.
        empty: whether a layer may have no features.

    Raises:
        DataError: the file is damaged or incomplete, has several layers, no such layer, or no
            feature with a usable geometry; or a package is missing.
    """
    if not path.exists():
        fix = check_path(path)
        raise DataError("There is no such file", code="no-such-file", file=path, fix=fix)
    if path.suffix.lower() in OTHER_EXTENSIONS:
        message, fix = "The file is no vector layer that is read", f"Save it as one of: {FORMATS}"
        raise DataError(message, code="labels-format", file=path, fix=fix)
    _check_sidecars(path)
    recover(path)
    if path.suffix.lower() in (".parquet", ".geoparquet"):
        name, crs, fids, wkb, columns = read_parquet(path, layer)
    elif path.suffix.lower() in TABLES:
        name, crs, fids, wkb, columns = read_point_table(path)
    else:
        with at_rest(path):
            name, crs, fids, wkb, columns = read_ogr(path, layer)
    if not len(wkb) and empty:
        return LayerData(name, crs, fids, np.array([], object), columns, ())
    present = np.array([w is not None for w in wkb], bool)
    if not present.any():
        message = "The layer has no features with a geometry"
        raise DataError(message, code="no-geometry", file=path, fix="Export it with its geometry")
    missing = list(missing_geometries(fids[~present], path))
    fids, columns = fids[present], {k: v[present] for k, v in columns.items()}
    geometries, keep, findings = usable_geometries(wkb[present], fids, path)
    kept = {name: column[keep] for name, column in columns.items()}
    return LayerData(name, crs, fids[keep], geometries, kept, (*missing, *findings))


def layer_names(path: Path) -> list[str | None]:
    """Return the layers of a file, as `read_layer` takes them: None for the only one.

    Raises:
        DataError: the file is damaged or incomplete.
    """
    if path.suffix.lower() not in _SEVERAL or not path.exists():
        return [None]
    recover(path)
    with at_rest(path):
        names = list_layers(path)
    return [*names] if len(names) > 1 else [None]


def _check_sidecars(path: Path) -> None:
    if path.suffix.lower() != ".shp":
        return
    with path.open("rb") as file:
        if file.read(len(SHAPEFILE)) != SHAPEFILE:
            return
    there = {p.name.lower() for p in path.parent.iterdir()}
    for ending in (".dbf", ".shx"):
        other = path.with_suffix(ending).name
        if other.lower() not in there:
            message = f"The shapefile is incomplete: {other} is missing"
            fix = f"Put {other} beside it; a shapefile is all files of one name"
            raise DataError(message, code="incomplete-shapefile", file=path, fix=fix)
