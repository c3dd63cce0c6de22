"""Labels of one scene in a GeoPackage: each change is committed before it is answered.

The class is in a column of text or codes; `author`, `time` and `source` lie beside it. A layer that
exists is extended: its CRS, its geometry types and its other columns stay.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.io.vector import EditedLayer, Row, decode_geometries
from swath.server.labeling.labels.change_log import ChangeLog, Direction, Edit
from swath.server.labeling.labels.class_table import ClassTable, LabelClass
from swath.server.labeling.labels.stroke_keys import StrokeKeys
from swath.server.labeling.refusal import Refused

Source = Literal["drawn", "accepted"]

OWN_COLUMNS = {"author": "TEXT", "time": "DATETIME", "source": "TEXT"}
"""Columns that a layer gets, with their types in SQL."""


@dataclass(frozen=True)
class Label:
    """A label as it is stored.

    Attributes:
        fid: its id in the layer, which no later label gets.
        geometry: in the CRS of the layer; None where it is missing or damaged.
        code: of its class; None where it has none, or one that is not among the classes.
        name: of its class, or what else is in the class column.
        author: who changed it last, None where that is unknown.
        time: when, in UTC (ISO 8601), None where that is unknown.
        source: whether it was drawn, or accepted from a map; None for what was there before.
    """

    fid: int
    geometry: Any
    code: int | None
    name: str | None
    author: str | None
    time: str | None
    source: str | None


@dataclass(frozen=True)
class NewLabel:
    """A label to be stored.

    Attributes:
        geometry: in the CRS of the layer.
        code: of its class.
        source: whether it was drawn, or accepted from a map.
        key: text by which the same label is known when it comes again; None for none.
    """

    geometry: Any
    code: int
    source: Source = "drawn"
    key: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """All labels at one revision.

    Attributes:
        revision: see `ChangeLog`.
        labels: in the order of their ids.
    """

    revision: str
    labels: tuple[Label, ...]

    @cached_property
    def by_fid(self) -> dict[int, Label]:
        """Labels by id."""
        return {label.fid: label for label in self.labels}

    @cached_property
    def geometries(self) -> NDArray[Any]:
        """Geometries in the CRS of the layer (n,)."""
        out = np.empty(len(self.labels), object)
        out[:] = [label.geometry for label in self.labels]
        return out


class LabelStore:
    """The labels, for one process that writes them. Its methods may be called in any thread.

    Args:
        path: the GeoPackage.
        layer: its layer.
        field: the class column.
        held: what is closed with the store, such as the lock of the file.

    Attributes:
        crs: of the layer as WKT, None for none; set by who opens it.
        classes: the classes.
    """

    def __init__(self, path: Path, layer: str, field: str, held: ExitStack) -> None:
        self.path, self.field = path, field
        self._held, self._log = held, ChangeLog()
        self._lock = threading.RLock()
        self._layer = EditedLayer(path, layer)
        held.callback(self._layer.close)
        self._names = self._own_columns()
        self.coded = not self._layer.types[field].startswith("TEXT")
        self.classes = ClassTable(self._layer)
        self._keys = StrokeKeys(self._layer)
        self._version = self._layer.version()
        self._snapshot: Snapshot | None = None
        self._last_time = datetime.now(UTC)
        self.classes_revision = 0

    def _own_columns(self) -> dict[str, str]:
        """Add the own columns; return their names, which differ where one is of another type."""
        types = {name.lower(): kind for name, kind in self._layer.types.items()}
        names = {}
        for name, kind in OWN_COLUMNS.items():
            usable = types.get(name, kind).startswith((kind, "TEXT")) and name != self.field.lower()
            names[name] = name if usable else f"label_{name}"
        self._layer.add_columns({names[name]: kind for name, kind in OWN_COLUMNS.items()})
        exact = {name.lower(): name for name in self._layer.columns}
        return {name: exact[column.lower()] for name, column in names.items()}

    def close(self) -> None:
        """Close the file, so that others can write it."""
        self._held.close()

    @property
    def layer_name(self) -> str:
        """Name of the layer."""
        return self._layer.layer

    @property
    def revision(self) -> str:
        """Text that differs after each change, also after one of another program."""
        return self.snapshot().revision

    def snapshot(self) -> Snapshot:
        """Return all labels as they are now."""
        with self._lock:
            self._notice_others()
            snapshot = self._snapshot
            if snapshot is None or snapshot.revision != self._log.revision:
                snapshot = self._snapshot = Snapshot(self._log.revision, self._read(snapshot))
            return snapshot

    def _read(self, old: Snapshot | None) -> tuple[Label, ...]:
        """Return all labels; those that are as in an older snapshot are not read again."""
        found = None if old is None else self._log.since(old.revision)
        if old is None or found is None:
            return tuple(self._labels(self._layer.rows()))
        kept = [label for label in old.labels if label.fid not in found[0] | found[1]]
        new = self._labels(self._layer.rows(found[0]))
        return tuple(sorted([*kept, *new], key=lambda label: label.fid))

    def since(self, revision: str | None) -> tuple[Snapshot, list[Label], list[int], bool]:
        """Return all labels, those changed since a revision, ids deleted since, and whether all."""
        with self._lock:
            now = self.snapshot()
            found = self._log.since(revision)
            if found is None:
                return now, list(now.labels), [], True
            changed, deleted = found
            some = [label for label in now.labels if label.fid in changed]
            return now, some, sorted(deleted), False

    def add(self, labels: Sequence[NewLabel], author: str) -> list[Label]:
        """Store labels in one transaction; return them with their ids.

        Those whose keys are known are not stored again; they are returned unless they were deleted.

        Raises:
            Refused: a class is not known.
            JobError: the file cannot be written.
        """
        with self._lock:
            stored: list[int] = []
            new: list[int] = []
            with self._layer.transaction():
                for label in labels:
                    fid = self._keys.find(label.key)
                    if fid is None:
                        new.append(self._insert(label, author))
                    else:
                        stored.append(fid)
            known = self._labels(self._layer.rows(stored)) if stored else []
            return known + (self._done(author, [(fid, None) for fid in new]) if new else [])

    def _insert(self, label: NewLabel, author: str) -> int:
        values = self._values(self.classes.by_code(label.code), author, label.source)
        fid = self._layer.insert(self._layer.encode(label.geometry), values)
        if label.key is not None:
            self._keys.note(label.key, fid)
        return fid

    def change(
        self, fid: int, geometry: Any, code: int | None, seen: str | None, author: str
    ) -> tuple[Label, int | None]:
        """Change geometry and class of a label (None for neither); return it as it is then.

        Where somebody else changed it since the client saw it, both are kept: the change becomes a
        label of its own, and the id of the other is returned too.

        Raises:
            Refused: there is no such label or class.
            JobError: the file cannot be written.
        """
        with self._lock:
            before = self._row(fid)
            values = self._values(None if code is None else self.classes.by_code(code), author)
            apart = seen is not None and seen != self._labels([before])[0].time
            with self._layer.transaction():
                blob = None if geometry is None else self._layer.encode(geometry)
                if not apart:
                    self._layer.update(fid, blob, values)
                else:  # a label of its own
                    column = self._layer.columns.index(self.field)
                    values = {self.field: before.values[column]} | values
                    new = self._layer.insert(blob or before.blob, values)
            edit = (new, None) if apart else (fid, before)
            return self._done(author, [edit])[0], fid if apart else None

    def delete(self, fids: Collection[int], author: str) -> list[int]:
        """Delete labels in one transaction; return the ids of those that were there.

        Raises:
            JobError: the file cannot be written.
        """
        with self._lock:
            with self._layer.transaction():
                rows = self._layer.rows(fids)
                self._layer.delete([row.fid for row in rows])
            if rows:
                self._done(author, [(row.fid, row) for row in rows])
            return [row.fid for row in rows]

    def step(self, author: str, direction: Direction) -> tuple[list[Label], list[int]]:
        """Undo or redo the author's last step; return changed labels, and ids of deleted ones.

        Raises:
            Refused: there is no step, or a label of it was changed since.
            JobError: the file cannot be written.
        """
        with self._lock, self._layer.transaction():
            step = self._log.peek(author, direction)
            if step is None:
                message = f"There is nothing to {direction}"
                raise Refused(message, code=f"nothing-to-{direction}", status=409)
            pairs = [(e.fid, e.after, e.before) for e in step]
            if direction == "redo":
                pairs = [(e.fid, e.before, e.after) for e in step]
            now = {row.fid: row for row in self._layer.rows([fid for fid, _, _ in pairs])}
            if any(now.get(fid) != expected for fid, expected, _ in pairs):
                message = "A label of this step was changed since by somebody else"
                raise Refused(message, code="changed-since", status=409)
            for fid, expected, wanted in pairs:
                self._restore(fid, expected, wanted)
        with self._lock:
            self._log.move(author, direction)
            changed = [fid for fid, _, wanted in pairs if wanted is not None]
            deleted = [fid for fid, _, wanted in pairs if wanted is None]
            self._log.add(changed, deleted)
            return self._labels(self._layer.rows(changed)), deleted

    def _restore(self, fid: int, now: Row | None, wanted: Row | None) -> None:
        if wanted is None:
            self._layer.delete([fid])
            return
        values = dict(zip(self._layer.columns, wanted.values, strict=True))
        if now is None:
            self._layer.insert(wanted.blob, values, fid)
        else:
            self._layer.update(fid, wanted.blob, values)

    def can(self, author: str, direction: Direction) -> bool:
        """Return whether an author has a step to undo or redo."""
        with self._lock:
            return self._log.peek(author, direction) is not None

    def add_class(self, name: str, color: str | None, code: int | None) -> None:
        """Add a class; see `ClassTable.add`."""
        with self._lock:
            self.classes.add(name, color, code)
            self.classes_revision += 1

    def change_class(self, code: int, name: str | None, color: str | None) -> None:
        """Rename or recolor a class, and rename its labels, in one transaction.

        Raises:
            Refused: see `ClassTable.change`.
        """
        with self._lock, self._layer.transaction():
            old = self.classes.by_code(code)
            try:
                new = self.classes.change(code, name, color)
                if new.name != old.name and not self.coded:
                    for label in self.snapshot().labels:
                        if label.code == code or label.name == old.name:
                            self._layer.update(label.fid, None, {self.field: new.name})
            finally:
                self._forget()

    def remove_class(self, code: int, with_labels: bool, author: str) -> None:
        """Delete a class, and its labels if asked to.

        Raises:
            Refused: there is no such class, or it has labels.
        """
        with self._lock, self._layer.transaction():
            one = self.classes.by_code(code)
            fids = [label.fid for label in self.snapshot().labels if label.code == code]
            if fids and not with_labels:
                message = f"Class {one.name!r} has {len(fids)} labels"
                fix = "Delete them too, or give them another class"
                raise Refused(message, code="class-has-labels", status=409, fix=fix)
            try:
                self.delete(fids, author)
                self.classes.remove(code)
            finally:
                self._forget()

    def order_classes(self, codes: Sequence[int]) -> None:
        """Put the classes into an order; see `ClassTable.order`."""
        with self._lock:
            self.classes.order(codes)
            self.classes_revision += 1

    def _forget(self) -> None:
        """Read labels and classes again: much has changed."""
        self.classes.forget()
        self._log.clear()
        self._snapshot = None
        self.classes_revision += 1

    def _notice_others(self) -> None:
        """Read all again where another program, such as QGIS, has changed the file."""
        version = self._layer.version()
        if version != self._version:
            self._version = version
            self._forget()

    def _row(self, fid: int) -> Row:
        rows = self._layer.rows([fid])
        if not rows:
            raise Refused(f"There is no label {fid}", code="no-such-label", status=404)
        return rows[0]

    def _done(self, author: str, edits: Sequence[tuple[int, Row | None]]) -> list[Label]:
        """Note what a transaction has done: ids, and the rows before; return the labels now."""
        after = {row.fid: row for row in self._layer.rows([fid for fid, _ in edits])}
        step = tuple(Edit(fid, before, after.get(fid)) for fid, before in edits)
        self._log.remember(author, step)
        self._log.add(list(after), [fid for fid, _ in edits if fid not in after])
        return self._labels(list(after.values()))

    def _values(
        self, one: LabelClass | None, author: str, source: Source = "drawn"
    ) -> dict[str, Any]:
        own = {"author": author, "time": self._next_time(), "source": source}
        values: dict[str, Any] = {self._names[name]: value for name, value in own.items()}
        if one is not None:
            values[self.field] = one.code if self.coded else one.name
        return values

    def _next_time(self) -> str:
        """Return the time now, later than any before, so that it tells versions of a label."""
        self._last_time = max(datetime.now(UTC), self._last_time + timedelta(milliseconds=1))
        return self._last_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _labels(self, rows: Sequence[Row]) -> list[Label]:
        at = {name: self._layer.columns.index(column) for name, column in self._names.items()}
        column = self._layer.columns.index(self.field)
        geometries = decode_geometries([row.blob for row in rows])
        known: dict[Any, LabelClass | None] = {}
        labels = []
        for row, geometry in zip(rows, geometries, strict=True):
            value = row.values[column]
            if value not in known:
                known[value] = self._class_of(value)
            one, own = known[value], {name: _text(row.values[i]) for name, i in at.items()}
            code, name = (one.code, one.name) if one else (None, _text(value))
            labels.append(Label(row.fid, _usable(geometry), code, name, **own))
        return labels

    def _class_of(self, value: Any) -> LabelClass | None:
        if self.coded:
            return next((c for c in self.classes.all if c.code == value), None)
        return None if value is None else self.classes.by_name(str(value))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _usable(geometry: Any) -> Any:
    """Return a geometry, None for one that is empty or not finite."""
    if geometry is None or geometry.is_empty:
        return None
    finite = np.isfinite(shapely.get_coordinates(geometry)).all()
    return geometry if finite else None
