"""Formats of vector layers."""

from __future__ import annotations

from pathlib import Path

VECTOR_EXTENSIONS = frozenset(
    ".gpkg .geojson .json .shp .fgb .parquet .geoparquet .kml .kmz .gml .gdb".split()
)
"""Endings of file names that are taken for vector layers; zip archives may hold some, too."""

OTHER_EXTENSIONS = frozenset(
    ".csv .tsv .xls .xlsx .ods .dxf .dwg .dgn .gpx .topojson .tab .mif .osm .pbf .mdb".split()
)
"""Endings of tables, drawings and vector formats that are not read."""

FORMATS = (
    "GeoPackage (.gpkg), GeoJSON, shapefile (.shp or .zip), FlatGeobuf, GeoParquet, KML, GML, "
    "file geodatabase (.gdb)"
)
"""Formats of vector layers, for messages."""


def is_vector_file(path: Path) -> bool:
    """Return whether a file (or `.gdb` folder) is no raster by its name.

    `read_layer` names the formats where it is in one that is not read.
    """
    return path.suffix.lower() in {*VECTOR_EXTENSIONS, *OTHER_EXTENSIONS, ".zip"}
