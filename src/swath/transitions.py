"""Transitions between classes: the codes, names and colors of a map of change.

A map of change holds one code for each pair of classes, the old one and the new one. Its band tags
name each code as in any map (`class_CODE`), and the tag `transitions` holds what this module needs
to tell old and new class of each code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE, LandClass, Legend, rgb, unpack_rgb

TAG = "transitions"
"""Band tag of maps of change, JSON."""

DATES = ("old", "new")
"""Ends of the names of what belongs to each date, such as `reference_old`, `change_old.tif`."""

NODATA = 0
"""Value of a map of change where a date has no data."""

UNCHANGED = "(no change)"
"""End of the name of a pixel whose class is the same at both dates."""

PALE = 0.3
"""Share of a class's color in that of its unchanged pixels; the rest is light gray."""

OLD_SHARE = 0.3
"""Share of the old class's color in that of a change."""


@dataclass(frozen=True)
class Transitions:
    """All pairs of the classes of two dates.

    A code is `number(old) * base + number(new)`. Numbers are the class codes where all are 1 to 9,
    so that 13 means a change from class 1 to class 3, else the places 1, 2, ... in the legend.
    The base is 10 for up to 9 classes, 16 for up to 15 (codes of 8 bits), else 256.

    Attributes:
        classes: the classes of both dates.
        with_percents: whether percents of change lie beside the map.
    """

    classes: tuple[LandClass, ...]
    with_percents: bool = False

    @classmethod
    def of_legend(cls, legend: Legend) -> Transitions:
        """Return the transitions between the trained classes of a legend."""
        return cls(legend.trained)

    @classmethod
    def of_tags(cls, tags: dict[str, str]) -> Transitions | None:
        """Return the transitions of a map from the tags of its band; None where it is no such."""
        try:
            content = json.loads(tags[TAG])
            rows, with_percents = content["classes"], bool(content["percents"])
            classes = [LandClass(n, (code,), code, color) for n, code, color in rows]
        except (KeyError, ValueError, TypeError):
            return None
        return cls(tuple(classes), with_percents)

    def to_tags(self) -> dict[str, str]:
        """Return the band tag from which `of_tags` makes the same transitions."""
        rows = [[c.name, c.map_code, c.color] for c in self.classes]
        return {TAG: json.dumps({"classes": rows, "percents": self.with_percents})}

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def base(self) -> int:
        """Factor of the old class's number."""
        count = len(self.classes)
        return 10 if count <= 9 else 16 if count <= 15 else 256

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Number of each class within a code."""
        codes = tuple(c.map_code for c in self.classes)
        if all(1 <= code <= 9 for code in codes):
            return codes
        return tuple(range(1, len(codes) + 1))

    @cached_property
    def changes(self) -> NDArray[np.uint16]:
        """Codes of all pairs of different classes."""
        return self.table[~np.eye(len(self.classes), dtype=bool)]

    @property
    def dtype(self) -> str:
        """Of a map of change."""
        return "uint8" if self.base <= 16 else "uint16"

    @cached_property
    def table(self) -> NDArray[np.uint16]:
        """Codes by index of the old class (rows) and of the new class (columns)."""
        numbers = np.array(self.numbers)
        table: NDArray[np.uint16] = (numbers[:, None] * self.base + numbers).astype(np.uint16)
        return table

    def encode(self, old: NDArray[np.uint8], new: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
        """Return codes from class indices (any shape), `NODATA` where a date has none."""
        held = (old != IGNORE) & (new != IGNORE)
        codes = self.table[np.where(held, old, 0), np.where(held, new, 0)]
        return np.where(held, codes, NODATA).astype(self.dtype)

    def split(self, code: int) -> tuple[int, int]:
        """Return the indices of old and new class of a code.

        Raises:
            ValueError: it is no code of these classes.
        """
        old, new = divmod(code, self.base)
        return self.numbers.index(old), self.numbers.index(new)

    def name(self, old: int, new: int) -> str:
        """Return the name of a transition between two class indices."""
        one, other = self.classes[old].name, self.classes[new].name
        return f"{one} {UNCHANGED}" if old == new else f"{one} to {other}"

    def color(self, old: int, new: int) -> str:
        """Return the color of a transition: pale where nothing changed."""
        color = np.array(rgb(self.classes[new].color))
        if old == new:
            mixed = PALE * color + (1 - PALE) * 235
        else:
            mixed = (1 - OLD_SHARE) * color + OLD_SHARE * np.array(rgb(self.classes[old].color))
        red, green, blue = np.rint(mixed).astype(int)
        return unpack_rgb(int(red) << 16 | int(green) << 8 | int(blue))

    def land_class(self, code: int) -> LandClass:
        """Return a code as a class of a map."""
        pair = self.split(code)
        return LandClass(self.name(*pair), (code,), code, self.color(*pair))

    def legend(self, codes: list[int]) -> Legend:
        """Return the legend of a map that holds some codes: first what did not change."""
        pairs = sorted((old != new, old, new) for old, new in map(self.split, codes))
        return Legend(tuple(self.land_class(int(self.table[o, n])) for _, o, n in pairs))
