"""GeoParquet, which GDAL may lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.vector.formats import RawLayer
from swath.io.vector.ogr import no_such_layer


def read_parquet(path: Path, layer: str | None) -> RawLayer:
    """Read GeoParquet 1.0 or 1.1 with geometries as WKB; its one layer has the file's name.

    Raises:
        DataError: the file is damaged, has no such layer, or pyarrow is missing.
    """
    if layer not in (None, path.stem):
        raise no_such_layer(str(layer), [path.stem], path)
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        message, fix = "GeoParquet needs pyarrow", 'Run `pip install "swath[parquet]"`'
        raise DataError(message, code="missing-package", file=path, fix=fix) from error
    try:
        table = pyarrow.parquet.read_table(path)
        geo = json.loads((table.schema.metadata or {})[b"geo"])
        primary = geo["primary_column"]
        about = geo["columns"][primary]
        wkb = np.array(table[primary].to_pylist(), object)
    except (OSError, pyarrow.ArrowException, KeyError, ValueError) as error:
        message = f"The file is no readable GeoParquet ({error})"
        raise DataError(message, code="unreadable", file=path, fix="Export it again") from error
    if str(about.get("encoding", "WKB")).upper() != "WKB":
        message = f"The geometries are encoded as {about['encoding']} instead of WKB"
        raise DataError(message, code="unreadable", file=path, fix="Export them as WKB")
    given = about.get("crs", "OGC:CRS84")  # by the standard, where the key is absent
    crs = None if given is None else pyproj.CRS.from_user_input(given).to_wkt()
    columns = {n: _column(table[n]) for n in table.column_names if n != primary and n != "bbox"}
    return path.stem, crs, np.arange(len(wkb)), wkb, columns


def _column(values: Any) -> NDArray[Any]:
    """Return a column as int64, as float64 with NaN for what is missing, or as text."""
    items = values.to_pylist()
    kinds = {type(v) for v in items}
    if kinds == {int}:
        return np.array(items, np.int64)
    if kinds and kinds <= {int, bool, float, type(None)}:
        return np.array([np.nan if v is None else v for v in items], np.float64)
    return np.array([v if v is None else str(v) for v in items], object)
