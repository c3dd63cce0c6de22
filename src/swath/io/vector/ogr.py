"""Vector files that GDAL reads, and the choice of the layer."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyproj

from swath.errors import DataError
from swath.io.vector.formats import FORMATS, VECTOR_EXTENSIONS, RawLayer

FOLDER = "Folder"
"""Column with the folder of each placemark of a KML file that has several."""

_KML_COLUMNS = frozenset(
    "description timestamp begin end altitudemode tessellate extrude visibility draworder icon "
    "snippet".split()
)

_ZIPPED = VECTOR_EXTENSIONS - {".gdb", ".parquet", ".geoparquet"}
"""Endings of files that are read in a zip archive, besides folders of geodatabases."""


def read_ogr(path: Path, layer: str | None) -> RawLayer:
    """Read one layer of a file by its name, None for the only one with a geometry.

    Raises:
        DataError: the file is damaged, has several layers, or no such layer.
    """
    with _explained(path):
        chosen = _choose_layers(path, _layers_of(path), layer)
        raws = [_read_source(source, name) for source, name in chosen]
    return _joined_folders(raws) if len(raws) > 1 else raws[0]


def list_layers(path: Path) -> list[str]:
    """Return the names of the layers of a file that have a geometry.

    Raises:
        DataError: the file is damaged.
    """
    with _explained(path):
        return [name for _, name in _layers_of(path)]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of GDAL into those of this package."""
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    try:
        yield
    except (DataSourceError, DataLayerError, FieldError) as error:
        message = f"The layer cannot be read ({error})"
        raise DataError(message, code="unreadable", file=path, fix="Export it again") from error


def _layers_of(path: Path) -> list[tuple[str, str]]:
    """Return source and name of the layers that have a geometry."""
    import pyogrio  # here, because it loads pandas where that is installed

    return [
        (source, str(name))
        for source in _sources(path)
        for name, kind in pyogrio.list_layers(source)
        if kind is not None and name != "layer_styles"
    ]


def read_facts(path: Path) -> dict[str, str]:
    """Return the metadata of the only layer of a file; none where it cannot be told."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        return dict(pyogrio.read_info(path).get("layer_metadata") or {})
    except (DataSourceError, DataLayerError):
        return {}


def _read_source(source: str, layer: str) -> RawLayer:
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


def _joined_folders(raws: Sequence[RawLayer]) -> RawLayer:
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
    names = [n for n in names if "__MACOSX" not in n]
    folders = {n[: n.lower().index(".gdb/") + 4] for n in names if ".gdb/" in n.lower()}
    files = {n for n in names if ".gdb/" not in n.lower() and Path(n).suffix.lower() in _ZIPPED}
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
        raise no_such_layer(wanted, names, path)
    if not real:
        message, fix = "The file has no layer with a geometry", "Export it with its geometry"
        raise DataError(message, code="no-geometry", file=path, fix=fix)
    if len(real) > 1 and path.suffix.lower() not in (".kml", ".kmz"):
        message = f"The file has {len(real)} layers ({listed})"
        fix = f"Name the one with the labels, such as --layer {names[0]!r}"
        raise DataError(message, code="layer-count", file=path, fix=fix)
    return real


def no_such_layer(wanted: str, names: Sequence[str], path: Path) -> DataError:
    """Return the error on a layer that `--layer` names and the file lacks."""
    listed = ", ".join(names) or "none"
    message, fix = f"The file has no layer {wanted!r}", f"Choose one of its layers: {listed}"
    return DataError(message, code="no-such-layer", file=path, fix=fix)
