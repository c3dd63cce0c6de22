"""Files of vector layers: formats, choice of the layer, and geometries that can be used."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.types import Finding, Level

VECTOR_EXTENSIONS = frozenset(
    ".gpkg .geojson .json .shp .fgb .parquet .geoparquet .kml .kmz .gml .gdb".split()
)
"""Endings of file names that are taken for vector layers; zip archives may hold some, too."""

_OTHER_EXTENSIONS = frozenset(
    ".csv .tsv .xls .xlsx .ods .dxf .dwg .dgn .gpx .topojson .tab .mif .osm .pbf .mdb".split()
)
"""Endings of tables, drawings and vector formats that are not read."""

FORMATS = (
    "GeoPackage (.gpkg), GeoJSON, shapefile (.shp or .zip), FlatGeobuf, GeoParquet, KML, GML, "
    "file geodatabase (.gdb)"
)
"""Formats of vector layers, for messages."""

FOLDER = "Folder"
"""Column with the folder of each placemark of a KML file that has several."""

SHAPEFILE = bytes.fromhex("0000270a")
"""First bytes of a shapefile."""

_KML_COLUMNS = frozenset(
    "description timestamp begin end altitudemode tessellate extrude visibility draworder icon "
    "snippet".split()
)


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


def is_vector_file(path: Path) -> bool:
    """Return whether a file (or `.gdb` folder) is no raster by its name.

    `read_layer` names the formats where it is in one that is not read.
    """
    return path.suffix.lower() in {*VECTOR_EXTENSIONS, *_OTHER_EXTENSIONS, ".zip"}


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
        fix = "Check the path"
        raise DataError("There is no such file", code="no-such-file", file=path, fix=fix)
    if path.suffix.lower() in _OTHER_EXTENSIONS:
        message, fix = "The file is no vector layer that is read", f"Save it as one of: {FORMATS}"
        raise DataError(message, code="labels-format", file=path, fix=fix)
    _check_sidecars(path)
    if path.suffix.lower() in (".parquet", ".geoparquet"):
        name, crs, fids, wkb, columns = _read_parquet(path)
    else:
        name, crs, fids, wkb, columns = _read_ogr(path, layer)
    if not len(wkb) and empty:
        return LayerData(name, crs, fids, np.array([], object), columns, ())
    present = np.array([w is not None for w in wkb], bool)
    if not present.any():
        message = "The layer has no features with a geometry"
        raise DataError(message, code="no-geometry", file=path, fix="Export it with its geometry")
    fids, columns = fids[present], {k: v[present] for k, v in columns.items()}
    geometries, keep, findings = _usable(wkb[present], fids, path)
    kept = {name: column[keep] for name, column in columns.items()}
    return LayerData(name, crs, fids[keep], geometries, kept, tuple(findings))


_Raw = tuple[str, str | None, NDArray[np.int64], NDArray[Any], dict[str, NDArray[Any]]]
"""Name, CRS, feature ids, geometries as WKB, and columns."""


def _read_ogr(path: Path, layer: str | None) -> _Raw:
    import pyogrio  # here, because it loads pandas where that is installed
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    try:
        sources = _sources(path)
        real = [
            (source, str(name))
            for source in sources
            for name, kind in pyogrio.list_layers(source)
            if kind is not None and name != "layer_styles"
        ]
        chosen = _choose_layers(path, real, layer)
        raws = [_read_source(source, name) for source, name in chosen]
    except (DataSourceError, DataLayerError, FieldError) as error:
        message = f"The layer cannot be read ({error})"
        raise DataError(message, code="unreadable", file=path, fix="Export it again") from error
    return _joined_folders(raws) if len(raws) > 1 else raws[0]


def _read_source(source: str, layer: str) -> _Raw:
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rings that are not closed are checked
        meta, fids, wkb, values = pyogrio.raw.read(
            source, layer=layer, return_fids=True, force_2d=True
        )
    crs = pyproj.CRS.from_user_input(meta["crs"]).to_wkt() if meta["crs"] else None
    columns = {str(f): np.asarray(v) for f, v in zip(meta["fields"], values, strict=True)}
    if source.lower().endswith((".kml", ".kmz")):
        columns = {f: v for f, v in columns.items() if f.lower() not in _KML_COLUMNS}
    wkb = np.full(len(fids), None, object) if wkb is None else wkb
    return layer, crs, np.asarray(fids, np.int64), wkb, columns


def _joined_folders(raws: Sequence[_Raw]) -> _Raw:
    """Join the folders of a KML file into one layer, with the column `FOLDER`."""
    shared = set.intersection(*(set(columns) for *_, columns in raws))
    names = [f for f in raws[0][4] if f in shared]
    columns = {f: np.concatenate([raw[4][f].astype(object) for raw in raws]) for f in names}
    columns[FOLDER] = np.array([raw[0] for raw in raws for _ in raw[2]], object)
    wkb = np.concatenate([raw[3] for raw in raws])
    return raws[0][0], raws[0][1], np.arange(len(wkb)), wkb, columns


def _sources(path: Path) -> list[str]:
    """Return what GDAL opens: the file, or the layers' files of a zip archive."""
    if path.suffix.lower() != ".zip":
        return [str(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        message = f"The archive cannot be read ({error})"
        raise DataError(message, code="unreadable", file=path, fix="Fetch it again") from error
    folders = {n[: n.lower().index(".gdb/") + 4] for n in names if ".gdb/" in n.lower()}
    wanted = VECTOR_EXTENSIONS - {".gdb", ".parquet", ".geoparquet"}
    files = {
        n
        for n in names
        if Path(n).suffix.lower() in wanted and ".gdb/" not in n.lower() and "__MACOSX" not in n
    }
    if not folders | files:
        message, fix = "The archive holds no vector layer", f"Give one of: {FORMATS}"
        raise DataError(message, code="labels-format", file=path, fix=fix)
    return [f"/vsizip/{path}/{name}" for name in sorted(folders | files)]


def _choose_layers(
    path: Path, real: Sequence[tuple[str, str]], wanted: str | None
) -> Sequence[tuple[str, str]]:
    """Return the layers (source, name) to read: one, or all folders of a KML file."""
    names = [name for _, name in real]
    listed = ", ".join(names) or "none"
    if wanted is not None:
        found = [pair for pair in real if pair[1] == wanted]
        if found:
            return found[:1]
        message, fix = f"The file has no layer {wanted!r}", f"Choose one of its layers: {listed}"
        raise DataError(message, code="no-such-layer", file=path, fix=fix)
    if not real:
        message, fix = "The file has no layer with a geometry", "Export it with its geometry"
        raise DataError(message, code="no-geometry", file=path, fix=fix)
    if len(real) > 1 and path.suffix.lower() not in (".kml", ".kmz"):
        message = f"The file has {len(real)} layers ({listed})"
        fix = f"Name the one with the labels, such as --layer {names[0]!r}"
        raise DataError(message, code="layer-count", file=path, fix=fix)
    return real


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


def _read_parquet(path: Path) -> _Raw:
    """Read GeoParquet 1.0 or 1.1 with geometries as WKB."""
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
    items = values.to_pylist()
    if items and all(isinstance(v, int) and not isinstance(v, bool) for v in items):
        return np.array(items, np.int64)
    if items and all(v is None or isinstance(v, (int, float)) for v in items):
        return np.array([np.nan if v is None else v for v in items], np.float64)
    return np.array([v if v is None else str(v) for v in items], object)


def _usable(
    wkb: NDArray[Any], fids: NDArray[np.int64], path: Path
) -> tuple[NDArray[Any], NDArray[np.bool_], list[Finding]]:
    """Return usable geometries, which features have one, and findings on the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        geometries = np.asarray(shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore")))
    broken = np.array([g is None for g in geometries], bool)
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    broken[owner[~np.isfinite(xy).all(axis=1)]] = True
    empty = ~broken & shapely.is_empty(geometries)
    geometries[broken] = None
    bad = ~broken & ~empty & ~shapely.is_valid(geometries)
    mended = np.array([_mend(g) for g in geometries[bad]], object)
    if len(mended):
        geometries[bad] = mended
        lost = np.array([g is None for g in geometries], bool) & ~broken
        broken, bad = broken | lost, bad & ~lost
    keep = ~broken & ~empty
    if not keep.any():
        message = f"No feature has a usable geometry: {listed_features(fids)} are empty or broken"
        fix = "Export the layer again, with rings of at least four finite points"
        raise DataError(message, code="no-geometry", file=path, fix=fix)
    findings = list(_findings(fids, path, broken, empty, bad))
    return geometries[keep], keep, findings


def _findings(
    fids: NDArray[np.int64],
    path: Path,
    broken: NDArray[np.bool_],
    empty: NDArray[np.bool_],
    mended: NDArray[np.bool_],
) -> Iterator[Finding]:
    rows: tuple[tuple[NDArray[np.bool_], Level, str, str, str], ...] = (
        (
            broken,
            "warning",
            "geometry-broken",
            "have rings of too few points, or coordinates that are no numbers: left out",
            "Draw them again, or delete them.",
        ),
        (
            empty,
            "warning",
            "geometry-empty",
            "have an empty geometry: left out",
            "Draw them again, or delete them.",
        ),
        (
            mended,
            "note",
            "geometry-mended",
            "have invalid polygons, which were mended (make_valid of GEOS)",
            "None, if the shapes are as meant.",
        ),
    )
    for which, level, code, what, fix in rows:
        if which.any():
            message = f"{int(which.sum())} features {what} ({listed_features(fids[which])})."
            yield Finding(level, code, str(path), message, fix)


def _mend(geometry: Any) -> Any:
    """Return the valid form of a geometry; polygons stay polygons, None where none is left."""
    valid = shapely.make_valid(geometry)
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return valid
    parts = shapely.get_parts(shapely.get_parts(valid))
    areas = [part for part in parts if part.geom_type == "Polygon"]
    return shapely.multipolygons(areas) if areas else None


def listed_features(fids: NDArray[np.int64]) -> str:
    """List feature ids, the first five."""
    more = ", ..." if len(fids) > 5 else ""
    return f"feature {', '.join(map(str, fids[:5]))}{more}"
