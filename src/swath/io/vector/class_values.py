"""Classes of features: codes or names, and names that are one class."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.vector.class_names import odd_names, repaired
from swath.io.vector.features import Features
from swath.legend import fold
from swath.types import Finding

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,15}(\.0+)?", re.ASCII)


def class_values(
    values: NDArray[Any], field: str, path: Path, option: str = "--label-field"
) -> NDArray[Any]:
    """Return codes or trimmed text; text that holds whole numbers only is codes.

    Args:
        values: of the class column (n,).
        field: name of the column.
        path: file of the layer, for errors.
        option: that names the column, for errors.

    Raises:
        DataError: numbers are not whole, or values are missing.
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        return _whole(values, field, path, option)
    texts = ["" if v is None else repaired(str(v)).strip() for v in values]
    if not all(texts):
        raise _empty(texts.count(""), len(values), field, path)
    if texts and all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
        return np.array([int(text.partition(".")[0]) for text in texts], np.int64)
    return np.array(texts, dtype=object)


def _empty(missing: int, n: int, field: str, path: Path) -> DataError:
    message = f"Column {field!r} is empty in {missing} of {n} features"
    fix = "Fill in their class, or delete them"
    return DataError(message, code="empty-class", file=path, fix=fix)


def _whole(values: NDArray[Any], field: str, path: Path, option: str) -> NDArray[np.int64]:
    known = values[~np.isnan(values)]
    if (known == np.round(known)).all() and np.isfinite(known).all():
        if len(known) < len(values):
            raise _empty(len(values) - len(known), len(values), field, path)
        return values.astype(np.int64)
    message = f"Column {field!r} holds numbers that are not whole"
    fix = f"Give {option} a column of class codes or names"
    raise DataError(message, code="fractional-code", file=path, fix=fix)


def join_alike(values: NDArray[Any], field: str, path: Path) -> tuple[NDArray[Any], list[Finding]]:
    """Join names that differ in case, blanks or form of Unicode, as their most common spelling.

    Names that differ in accents alone stay apart, with a warning.
    """
    counts = Counter(values.tolist())
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        spellings.setdefault(fold(name), []).append(name)
    findings = []
    for names in spellings.values():
        if len(names) > 1:
            listed = ", ".join(f"{n!r} ({counts[n]} features)" for n in names)
            message = (
                f"Column {field!r} has classes whose names differ in case, blanks or form of "
                f"Unicode: {listed}."
            )
            fix = f"Nothing to do, if they are one class: they are read as {names[0]!r}."
            findings.append(Finding("warning", "class-names-alike", str(path), message, fix))
    joined = np.array([spellings[fold(v)][0] for v in values], object)
    findings += [*_differ_in_accents(joined, field, path), *_mix_numbers(joined, field, path)]
    findings += odd_names(joined, field, path)
    return joined, findings


def _mix_numbers(values: NDArray[Any], field: str, path: Path) -> Iterator[Finding]:
    """Yield a warning where some classes are numbers, and others are words without any."""
    held = sorted(set(values.tolist()))
    numbers = [name for name in held if name.strip().removesuffix(".0").isdecimal()]
    words = [name for name in held if not any(c.isdecimal() for c in name)]
    if numbers and words:
        count = int(np.isin(values, numbers).sum())
        message = (
            f"Column {field!r} holds numbers in {count} features ({', '.join(numbers[:5])}) and "
            f"names in others ({', '.join(words[:5])}): one class may have both."
        )
        fix = "Give each class one name in all features, if so."
        yield Finding("warning", "class-names-mixed", str(path), message, fix)


def _differ_in_accents(values: NDArray[Any], field: str, path: Path) -> Iterator[Finding]:
    """Yield a warning for each group of classes whose names differ in accents alone."""
    counts = Counter(values.tolist())
    bare: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        parts = unicodedata.normalize("NFKD", fold(name))
        bare.setdefault("".join(c for c in parts if not unicodedata.combining(c)), []).append(name)
    for names in bare.values():
        if len(names) > 1:
            listed = ", ".join(f"{n!r} ({counts[n]} features)" for n in names)
            message = f"Column {field!r} has classes whose names differ in accents alone: {listed}."
            fix = f"If they are one class, write {names[0]!r} in all; they are read as several."
            yield Finding("warning", "class-names-alike", str(path), message, fix)


def align_classes(layers: Sequence[Features]) -> list[Features]:
    """Return layers whose classes are numbered together, as one source has them.

    Where a layer's features are all of one class, its name is the same in all.

    Raises:
        DataError: some have their classes as codes and others as names.
    """
    layers = _with_one_name(layers)
    filled = [f for f in layers if len(f.values)]
    for other in filled[1:]:
        _check_type(other, filled[0])
    known = tuple(sorted({v for f in filled for v in f.classes[0]}))
    return [replace(f, known=known) for f in layers]


def _with_one_name(layers: Sequence[Features]) -> list[Features]:
    """Name the class of layers without a class column alike, where their own names differ."""
    if len({f.layer for f in layers if not f.field}) < 2:
        return list(layers)
    return [
        f if f.field else replace(f, values=np.full(len(f.values), "labeled", object))
        for f in layers
    ]


def _check_type(layer: Features, first: Features) -> None:
    if layer.textual == first.textual:
        return
    here, there = ("names", "codes") if layer.textual else ("codes", "names")
    message = f"The classes are {here} here, and {there} in {first.path}"
    fix = "Give all layers one class column of one type (--label-field)"
    raise DataError(message, code="class-types-differ", file=layer.path, fix=fix)
