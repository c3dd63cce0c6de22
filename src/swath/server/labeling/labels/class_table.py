"""The classes of a layer of labels: a table in its GeoPackage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swath.errors import UsageError
from swath.io.vector import EditedLayer
from swath.legend import MAX_CLASSES, MAX_CODE, LandClass, Legend, default_color, fold, pack_rgb
from swath.server.labeling.refusal import Refused

CLASSES = "swath_classes"
"""Name of the table."""

MAX_NAME = 60
"""Characters of a class name or an author, at most."""

_COLUMNS = (
    "code INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, color TEXT NOT NULL, "
    "position INTEGER NOT NULL"
)


@dataclass(frozen=True)
class LabelClass:
    """A class that labels may have.

    Attributes:
        code: its value in maps.
        name: its value in the class column, unless that holds codes.
        color: `#RRGGBB`.
    """

    code: int
    name: str
    color: str


class ClassTable:
    """The classes in the order of the page. Each change is one transaction.

    Args:
        layer: the layer whose file holds the table.
    """

    def __init__(self, layer: EditedLayer) -> None:
        self._layer = layer
        self._classes: tuple[LabelClass, ...] | None = None

    @property
    def exists(self) -> bool:
        """Whether the file has the table."""
        return self._layer.has_table(CLASSES)

    def make(self, classes: Sequence[LabelClass]) -> None:
        """Write the table anew."""
        with self._layer.transaction():
            self._layer.add_table(CLASSES, _COLUMNS)
            self._layer.execute(f"DELETE FROM {CLASSES}")
            for position, one in enumerate(classes):
                self._insert(one, position)
        self.forget()

    def forget(self) -> None:
        """Read the table again next time."""
        self._classes = None

    @property
    def all(self) -> tuple[LabelClass, ...]:
        """All classes."""
        classes = self._classes
        if classes is None:
            rows = self._layer.execute(
                f"SELECT code, name, color FROM {CLASSES} ORDER BY position, code"
            )
            classes = tuple(LabelClass(int(r[0]), str(r[1]), _color(r[2])) for r in rows)
            self._classes = classes
        return classes

    @property
    def legend(self) -> Legend | None:
        """The classes as those of a map; None where there are none."""
        rows = tuple(LandClass(c.name, (c.code,), c.code, c.color) for c in self.all)
        return Legend(rows, origin=str(self._layer.path)) if rows else None

    def by_code(self, code: int) -> LabelClass:
        """Return a class.

        Raises:
            Refused: there is none.
        """
        for one in self.all:
            if one.code == code:
                return one
        raise Refused(f"There is no class of code {code}", code="unknown-class", status=404)

    def by_name(self, name: str) -> LabelClass | None:
        """Return a class, whatever the case and blanks of its name; None where there is none."""
        return next((c for c in self.all if fold(c.name) == fold(name)), None)

    def add(self, name: str, color: str | None, code: int | None) -> LabelClass:
        """Add a class; by default its code is the next one, and its color one of the palette.

        Raises:
            Refused: name, color or code cannot be used.
        """
        classes = self.all
        if len(classes) >= MAX_CLASSES:
            message = f"There are {len(classes)} classes already"
            raise Refused(message, code="too-many-classes")
        codes = {c.code for c in classes}
        new = max(codes, default=0) + 1 if code is None else code
        if new in codes:
            raise Refused(f"Code {new} is taken", code="duplicate-code", status=409)
        if not 0 <= new <= MAX_CODE - 1:
            raise Refused(f"Codes are 0 to {MAX_CODE - 1}", code="code-range")
        one = LabelClass(new, self._checked(name, None), self._next_color(color))
        with self._layer.transaction():
            self._insert(one, len(classes))
        self.forget()
        return one

    def change(self, code: int, name: str | None, color: str | None) -> LabelClass:
        """Rename or recolor a class; return it.

        Raises:
            Refused: there is no such class, or name or color cannot be used.
        """
        old = self.by_code(code)
        name = old.name if name is None else self._checked(name, old)
        color = old.color if color is None else _checked_color(color)
        self._layer.execute(
            f"UPDATE {CLASSES} SET name = ?, color = ? WHERE code = ?", (name, color, code)
        )
        self.forget()
        return LabelClass(code, name, color)

    def remove(self, code: int) -> None:
        """Delete a class."""
        self._layer.execute(f"DELETE FROM {CLASSES} WHERE code = ?", (code,))
        self.forget()

    def order(self, codes: Sequence[int]) -> None:
        """Put the classes into an order.

        Raises:
            Refused: the codes are not those of all classes.
        """
        if sorted(codes) != sorted(c.code for c in self.all):
            raise Refused("The order names each class once", code="class-order")
        with self._layer.transaction():
            for position, code in enumerate(codes):
                self._layer.execute(
                    f"UPDATE {CLASSES} SET position = ? WHERE code = ?", (position, code)
                )
        self.forget()

    def _insert(self, one: LabelClass, position: int) -> None:
        self._layer.execute(
            f"INSERT INTO {CLASSES} (code, name, color, position) VALUES (?, ?, ?, ?)",
            (one.code, one.name, one.color, position),
        )

    def _checked(self, name: str, old: LabelClass | None) -> str:
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME or not name.isprintable():
            message = f"A class name has 1 to {MAX_NAME} printable characters"
            raise Refused(message, code="class-name")
        same = self.by_name(name)
        if same is not None and same != old:
            message = f"There is a class {same.name!r} already"
            raise Refused(message, code="duplicate-name", status=409)
        return name

    def _next_color(self, color: str | None) -> str:
        if color is not None:
            return _checked_color(color)
        used = {c.color for c in self.all}
        free = (default_color(i) for i in range(MAX_CLASSES))
        return next((one for one in free if one not in used), default_color(len(used)))


def _color(value: object) -> str:
    """Return a color of the table, gray where another program wrote something else."""
    try:
        return _checked_color(str(value))
    except Refused:
        return "#999999"


def _checked_color(color: str) -> str:
    try:
        pack_rgb(color)
    except UsageError as error:
        raise Refused(error.message, code=error.code, fix="Write it as #RRGGBB") from None
    return color.upper()
