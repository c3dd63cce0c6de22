"""Formats of vector layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

VECTOR_EXTENSIONS = frozenset(
    ".gpkg .geojson .json .shp .fgb .parquet .geoparquet .kml .kmz .gml .gdb".split()
)
"""Endings of file names that are taken for vector layers; zip archives may hold some, too."""

TABLES = frozenset((".csv", ".tsv"))
"""Endings of tables of points. A folder's own tables list splits, so these have to be named."""

OTHER_EXTENSIONS = frozenset(
    ".xls .xlsx .ods .dxf .dwg .dgn .gpx .topojson .tab .mif .osm .pbf .mdb".split()
)
"""Endings of other tables, drawings and vector formats that are not read."""

FORMATS = (
    "GeoPackage (.gpkg), GeoJSON, shapefile (.shp or .zip), FlatGeobuf, GeoParquet, KML, GML, "
    "file geodatabase (.gdb), CSV of points with lon and lat"
)
"""Formats of vector layers, for messages."""

RawLayer: TypeAlias = tuple[
    str, str | None, NDArray[np.int64], NDArray[Any], dict[str, NDArray[Any]]
]
"""Name, CRS, feature ids, geometries as WKB, and columns."""


def is_vector_file(path: Path) -> bool:
    """Return whether a file (or `.gdb` folder) is no raster by its name.

    `read_layer` names the formats where it is in one that is not read.
    """
    return path.suffix.lower() in {*VECTOR_EXTENSIONS, *TABLES, *OTHER_EXTENSIONS, ".zip"}
