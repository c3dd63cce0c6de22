"""Keys of strokes that are stored: one that is sent again, as its answer was lost, is known."""

from __future__ import annotations

from swath.io.vector import EditedLayer

STROKES = "swath_strokes"
"""Name of the table, which other programs do not list."""

MAX_KEYS = 1000
"""Keys that are kept: the last ones."""


class StrokeKeys:
    """Ids of labels by the keys that clients gave them.

    Args:
        layer: the layer whose file holds the table.
    """

    def __init__(self, layer: EditedLayer) -> None:
        self._layer = layer
        if not layer.has_table(STROKES):
            columns = "key TEXT PRIMARY KEY NOT NULL, fid INTEGER NOT NULL"
            layer.execute(f"CREATE TABLE {STROKES} ({columns})")

    def find(self, key: str | None) -> int | None:
        """Return the id of the label of a key; None where it is new."""
        rows = self._layer.execute(f"SELECT fid FROM {STROKES} WHERE key = ?", (key,))
        return int(rows[0][0]) if rows else None

    def note(self, key: str, fid: int) -> None:
        """Keep a key, in the transaction of its label."""
        self._layer.execute(f"INSERT INTO {STROKES} (key, fid) VALUES (?, ?)", (key, fid))
        last = f"(SELECT max(rowid) FROM {STROKES})"
        self._layer.execute(f"DELETE FROM {STROKES} WHERE rowid <= {last} - {MAX_KEYS}")
