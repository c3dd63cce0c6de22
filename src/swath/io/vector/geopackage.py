"""A layer of a GeoPackage that is edited in place, one SQLite transaction an edit.

GDAL rewrites nothing here: what a transaction commits is in the file, and a process that is killed
loses the open transaction alone. The file keeps SQLite's rollback journal, so that it is one file
between two transactions. See the GeoPackage Encoding Standard (OGC 12-128r19), 2.1.3 for the form
of geometries; triggers of the spatial index call the functions `ST_MinX` and others, which each
connection must bring.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import DataError, JobError

BUSY_SECONDS = 5.0
"""Longest wait for another program that holds the file."""

ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""Size of the envelope in the head of a geometry, by its code."""

MAX_LISTED = 500
"""Ids in one query, at most."""

_UNIONS = {"POLYGON": "MULTIPOLYGON", "LINESTRING": "MULTILINESTRING", "POINT": "MULTIPOINT"}


_locks: WeakValueDictionary[Path, Any] = WeakValueDictionary()
"""Locks of the files that this process edits."""


@contextmanager
def at_rest(path: Path) -> Iterator[None]:
    """Let no transaction of this process be open in a file while another library reads it.

    Locks of files are those of a process: GDAL, which has an SQLite of its own, does not see those
    of Python's in the same process, and takes them away when it closes the file.
    """
    lock = _locks.get(path.resolve())
    with lock or nullcontext():
        yield


class Row(NamedTuple):
    """A feature as it is stored: its id, geometry blob and column values."""

    fid: int
    blob: bytes | None
    values: tuple[Any, ...]


def recover(path: Path) -> None:
    """Take back the unfinished transaction that a killed process left in a GeoPackage, if any.

    GDAL opens files for reading alone, and cannot read one that waits for that.

    Raises:
        DataError: the file is no GeoPackage, or damaged.
        JobError: the file cannot be written.
    """
    if path.suffix.lower() == ".gpkg" and path.with_name(f"{path.name}-journal").exists():
        with _explained(path), closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def encode_geometry(geometry: Any, srs: int) -> bytes:
    """Return the blob of a geometry in two dimensions."""
    wkb = shapely.to_wkb(geometry, byte_order=1)
    empty = geometry.is_empty
    with_envelope = not empty and geometry.geom_type != "Point"
    flags = 1 | with_envelope << 1 | empty << 4
    head = struct.pack("<2sBBi", b"GP", 0, flags, srs)
    if with_envelope:
        west, south, east, north = geometry.bounds
        head += struct.pack("<4d", west, east, south, north)
    return bytes(head + wkb)


def decode_geometries(blobs: Sequence[bytes | None]) -> NDArray[Any]:
    """Return geometries in two dimensions (n,), None for those that are missing or damaged."""
    wkb = np.array([_wkb(blob) for blob in blobs], object)
    if not len(wkb):
        return wkb
    return np.asarray(shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore")), object)


def _wkb(blob: bytes | None) -> bytes | None:
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        return None
    code = blob[3] >> 1 & 7
    return blob[8 + ENVELOPE_BYTES[code] :] if code < len(ENVELOPE_BYTES) else None


class EditedLayer:
    """A layer of a GeoPackage that one process edits; its methods may be called in any thread.

    Args:
        path: the file.
        layer: name of the layer.

    Attributes:
        columns: names of the columns, less id and geometry.
        srs: number of the CRS in the file.

    Raises:
        DataError: the file is no GeoPackage, or has no such layer.
        JobError: another program holds the file, or it is read-only.
    """

    def __init__(self, path: Path, layer: str) -> None:
        self.path, self.layer = path, layer
        self._lock = _locks.setdefault(path.resolve(), threading.RLock())
        self._open = False
        with _explained(path):
            self._database = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            for name, function in _FUNCTIONS.items():
                self._database.create_function(name, 1, function, deterministic=True)
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("PRAGMA trusted_schema=ON")
            with suppress(sqlite3.OperationalError):  # another program has the file open
                self._database.execute("PRAGMA journal_mode=DELETE")
            self._read_table()

    def _read_table(self) -> None:
        facts = self._database.execute(
            "SELECT column_name, geometry_type_name, srs_id FROM gpkg_geometry_columns "
            "WHERE table_name = ?",
            (self.layer,),
        ).fetchone()
        if facts is None:
            message, fix = f"The file has no layer {self.layer!r}", "Name one with --layer"
            raise DataError(message, code="no-such-layer", file=self.path, fix=fix)
        self._geometry, self._kind, self.srs = str(facts[0]), str(facts[1]).upper(), int(facts[2])
        rows = self._database.execute(f"PRAGMA table_info({_quoted(self.layer)})").fetchall()
        keys = [row[1] for row in rows if row[5]]
        self._id = keys[0] if len(keys) == 1 else "rowid"
        self.columns = [row[1] for row in rows if row[1] not in (self._geometry, self._id)]
        self.types = {row[1]: str(row[2]).upper() for row in rows}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all edits of the block together, or none; blocks may lie in one another.

        Raises:
            JobError: the file cannot be written.
        """
        with self._lock:
            if self._open:
                yield
                return
            with _explained(self.path):
                self._database.execute("BEGIN IMMEDIATE")
                self._open = True
                try:
                    yield
                    self._touch()
                    self._database.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self._database.execute("ROLLBACK")
                    raise
                finally:
                    self._open = False

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a table of the file; return its rows."""
        with self._lock, _explained(self.path):
            return self._database.execute(statement, values).fetchall()

    def add_columns(self, wanted: Mapping[str, str]) -> None:
        """Add the columns (name to SQL type) that the layer lacks."""
        known = {name.lower() for name in self.columns}
        with self.transaction():
            for name, kind in wanted.items():
                if name.lower() not in known:
                    table = _quoted(self.layer)
                    self.execute(f"ALTER TABLE {table} ADD COLUMN {_quoted(name)} {kind}")
            self._read_table()

    def add_table(self, name: str, columns: str) -> None:
        """Add a table without geometry, which GDAL and QGIS list as such, unless it exists."""
        with self.transaction():
            self.execute(f"CREATE TABLE IF NOT EXISTS {_quoted(name)} ({columns})")
            self.execute(
                "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier) "
                "VALUES (?, 'attributes', ?)",
                (name, name),
            )

    def has_table(self, name: str) -> bool:
        """Return whether the file has a table."""
        found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self.execute(found, (name,)))

    def version(self) -> int:
        """Return a number that changes when another connection changes the file."""
        return int(self.execute("PRAGMA data_version")[0][0])

    def encode(self, geometry: Any) -> bytes:
        """Return the blob of a geometry; parts of a layer of multi-geometries become one of them.

        The declared type of the layer becomes GEOMETRY where the layer has not had such a geometry.
        """
        kind = geometry.geom_type.upper()
        if _UNIONS.get(kind) == self._kind:
            geometry = _MULTIPLE[self._kind]([geometry])
        elif self._kind not in (kind, "GEOMETRY"):
            with self.transaction():
                self.execute(
                    "UPDATE gpkg_geometry_columns SET geometry_type_name = 'GEOMETRY' "
                    "WHERE table_name = ?",
                    (self.layer,),
                )
            self._kind = "GEOMETRY"
        return encode_geometry(geometry, self.srs)

    def insert(self, blob: bytes | None, values: Mapping[str, Any], fid: int | None = None) -> int:
        """Add a feature; return its id, which is `fid` if given."""
        names, given = [self._geometry, *values], [blob, *values.values()]
        if fid is not None:
            names, given = [self._id, *names], [fid, *given]
        listed, marks = ", ".join(map(_quoted, names)), ", ".join("?" * len(given))
        with self.transaction():
            self._widen_extent(blob)
            cursor = self._database.execute(
                f"INSERT INTO {_quoted(self.layer)} ({listed}) VALUES ({marks})", given
            )
            return int(cursor.lastrowid or 0)

    def update(self, fid: int, blob: bytes | None, values: Mapping[str, Any]) -> None:
        """Change columns of a feature, and its geometry unless `blob` is None."""
        changed = dict(values) | ({} if blob is None else {self._geometry: blob})
        listed = ", ".join(f"{_quoted(name)} = ?" for name in changed)
        with self.transaction():
            self._widen_extent(blob)
            self.execute(
                f"UPDATE {_quoted(self.layer)} SET {listed} WHERE {_quoted(self._id)} = ?",
                (*changed.values(), fid),
            )

    def delete(self, fids: Collection[int]) -> None:
        """Delete features."""
        with self.transaction():
            for some in _some(fids):
                marks = ", ".join("?" * len(some))
                table, key = _quoted(self.layer), _quoted(self._id)
                self.execute(f"DELETE FROM {table} WHERE {key} IN ({marks})", some)

    def rows(self, fids: Collection[int] | None = None) -> list[Row]:
        """Return features in the order of their ids; all, or those of some ids that exist."""
        listed = ", ".join(map(_quoted, (self._id, self._geometry, *self.columns)))
        select = f"SELECT {listed} FROM {_quoted(self.layer)}"
        if fids is None:
            found = self.execute(f"{select} ORDER BY {_quoted(self._id)}")
        else:
            found = []
            for some in _some(fids):
                marks = ", ".join("?" * len(some))
                found += self.execute(f"{select} WHERE {_quoted(self._id)} IN ({marks})", some)
            found.sort(key=lambda row: int(row[0]))
        return [Row(int(row[0]), row[1], tuple(row[2:])) for row in found]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _touch(self) -> None:
        now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
        statement = f"UPDATE gpkg_contents SET last_change = {now} WHERE table_name = ?"
        self._database.execute(statement, (self.layer,))

    def _widen_extent(self, blob: bytes | None) -> None:
        """Let the extent that the file declares hold a geometry."""
        box = _bounds(blob)
        if box is None:
            return
        self.execute(
            "UPDATE gpkg_contents SET min_x = min(ifnull(min_x, ?1), ?1), "
            "min_y = min(ifnull(min_y, ?2), ?2), max_x = max(ifnull(max_x, ?3), ?3), "
            "max_y = max(ifnull(max_y, ?4), ?4) WHERE table_name = ?5",
            (*box, self.layer),
        )


_MULTIPLE: dict[str, Callable[[Any], Any]] = {
    "MULTIPOLYGON": shapely.multipolygons,
    "MULTILINESTRING": shapely.multilinestrings,
    "MULTIPOINT": shapely.multipoints,
}


def _quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever its characters."""
    return '"' + name.replace('"', '""') + '"'


def _some(fids: Collection[int]) -> Iterator[list[int]]:
    listed = sorted(set(fids))
    for start in range(0, len(listed), MAX_LISTED):
        yield listed[start : start + MAX_LISTED]


def _bounds(blob: bytes | None) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north of the geometry of a blob; None where it has none."""
    geometry = decode_geometries([blob])[0]
    if geometry is None or geometry.is_empty:
        return None
    west, south, east, north = geometry.bounds
    return west, south, east, north


def _side(position: int) -> Callable[[bytes | None], float | None]:
    def side(blob: bytes | None) -> float | None:
        box = _bounds(blob)
        return None if box is None else box[position]

    return side


def _is_empty(blob: bytes | None) -> int | None:
    return None if blob is None else int(_bounds(blob) is None)


_FUNCTIONS: dict[str, Callable[[bytes | None], Any]] = {
    "ST_IsEmpty": _is_empty,
    "ST_MinX": _side(0),
    "ST_MinY": _side(1),
    "ST_MaxX": _side(2),
    "ST_MaxY": _side(3),
}
"""Functions that the triggers of a spatial index call."""


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into those of this package."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "not a database" in text or "malformed" in text or "no such table" in text:
            message, fix = f"The file is no GeoPackage, or damaged ({text})", "Export it again"
            raise DataError(message, code="unreadable", file=path, fix=fix) from error
        message = f"The GeoPackage cannot be written ({text})"
        fix = "Close it in other programs, and check permissions and free space"
        raise JobError(message, code="not-writable", file=path, fix=fix) from error
