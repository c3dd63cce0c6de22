"""Class names that are evidently misspelled, misread, or of several classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from swath.legend import fold
from swath.types import Finding

MIN_LETTERS = 4  # of a name that may be misspelled
MAX_RARE = 0.2  # features of a misspelled name, as share of those of the right one
MAX_NAMES = 200  # classes that are compared with each other
_SEPARATOR = re.compile(r"\s*[;,/|+&]\s*")


def repaired(text: str) -> str:
    """Return text whose UTF-8 was read as Latin-1 as it was written; any other as it is."""
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text


def odd_names(values: NDArray[Any], field: str, path: Path) -> Iterator[Finding]:
    """Yield warnings on names that may be misspelled, and on cells with several classes.

    Args:
        values: class names (n,).
        field: name of their column.
        path: file of the layer.
    """
    counts = Counter(values.tolist())
    if len(counts) > MAX_NAMES:
        return
    for rare, name in _misspelled(counts):
        message = (
            f"Column {field!r} has {rare!r} ({counts[rare]} features) beside {name!r} "
            f"({counts[name]} features), which differ in one letter: they are two classes."
        )
        fix = f"Write {name!r} in all, if they are one."
        yield Finding("warning", "class-names-alike", str(path), message, fix)
    several = [name for name in counts if _is_several(name, counts)]
    if several:
        shown = ", ".join(f"{name!r} ({counts[name]} features)" for name in several[:5])
        message = f"Column {field!r} has several classes in one cell, which are a class: {shown}."
        fix = "Give each feature one class, or delete those of several."
        yield Finding("warning", "class-names-mixed", str(path), message, fix)


def _misspelled(counts: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that differ in one letter, the rare one first."""
    for one, other in combinations(counts, 2):
        rare, name = sorted((one, other), key=lambda n: (counts[n], n))
        a, b = fold(rare), fold(name)
        if not (a + b).replace(" ", "").isalpha() or min(len(a), len(b)) < MIN_LETTERS:
            continue
        same = len(a) == len(b)
        few = counts[rare] <= MAX_RARE * counts[name]
        if (few or not same) and _differ_in_one(a, b):
            yield rare, name


def _differ_in_one(a: str, b: str) -> bool:
    """Return whether two texts differ by one letter more, less, other or exchanged."""
    short, long = sorted((a, b), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), None)
    if start is None:
        return len(short) != len(long)
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    rest = slice(start + 2, None)
    exchanged = short[start : start + 2] == long[start : start + 2][::-1]
    return short[start + 1 :] == long[start + 1 :] or (exchanged and short[rest] == long[rest])


def _is_several(name: str, counts: Counter[str]) -> bool:
    parts = _SEPARATOR.split(name)
    return len(parts) > 1 and all(part in counts for part in parts)
