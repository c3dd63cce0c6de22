"""Codes of the classes of a layer: those of a legend, else numbers of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from swath.errors import DataError
from swath.io.vector import Features
from swath.legend import Legend, fold


class ClassCodes(NamedTuple):
    """Codes of classes.

    Attributes:
        codes: by value of the class column; classes that the legend lacks are missing.
        names: by code, where classes have names.
        background: code of what no feature covers, None for no label.
    """

    codes: dict[Any, int]
    names: dict[int, str]
    background: int | None


def class_codes(features: Features, legend: Legend | None, found: bool) -> ClassCodes:
    """Return the codes of the classes of a layer.

    Args:
        features: the layer.
        legend: the classes, which text must match by name; without them text gets 1, 2, ... in
            alphabetical order.
        found: whether the legend was found in these labels.

    Raises:
        DataError: the class of the background is not in the legend.
    """
    distinct, wanted = features.numbered, features.how.background
    textual = all(isinstance(value, str) for value in distinct)
    codes = _own_codes(distinct, textual) if legend is None else _codes_in(legend, distinct)
    names = {code: name for name, code in codes.items()} if textual else {}
    if wanted is None:
        return ClassCodes(codes, names, None)
    if legend is None:
        background: int | None = _own_background(codes, wanted)
    else:
        background = _background_in(legend, wanted, found)
    if background is not None:
        names.setdefault(background, wanted)
    return ClassCodes(codes, names, background)


def _own_codes(distinct: Sequence[Any], textual: bool) -> dict[Any, int]:
    if textual:
        return {name: number for number, name in enumerate(distinct, 1)}
    return {code: int(code) for code in distinct}


def _own_background(codes: dict[Any, int], wanted: str) -> int:
    """Return the code of the class of that name, else the lowest that is free."""
    for value, code in codes.items():
        if isinstance(value, str) and fold(value) == fold(wanted):
            return code
    return next(code for code in range(len(codes) + 1) if code not in codes.values())


def _codes_in(legend: Legend, distinct: Sequence[Any]) -> dict[Any, int]:
    """Return the code of each class by a legend: by its name, else by its code."""
    names = {c.name: c.codes[0] for c in legend.classes}
    known = {code for c in legend.classes for code in c.codes}
    if all(isinstance(value, str) for value in distinct):
        return _codes_of_names(distinct, names, known)
    if known.isdisjoint(distinct) and all(str(value) in names for value in distinct):
        return {value: names[str(value)] for value in distinct}
    return {value: int(value) for value in distinct}


def _codes_of_names(
    wanted: Iterable[str], names: dict[str, int], known: Collection[int]
) -> dict[Any, int]:
    """Return codes of texts: names as they are written, but for case and blanks, or codes."""
    count = Counter(fold(name) for name in names)
    unique = {fold(name): code for name, code in names.items() if count[fold(name)] == 1}
    texts = {str(code): code for code in known}
    found = {text: names.get(text, unique.get(fold(text), texts.get(text))) for text in wanted}
    return {text: code for text, code in found.items() if code is not None}


def _background_in(legend: Legend, wanted: str, found: bool) -> int | None:
    for c in legend.classes:
        if fold(c.name) == fold(wanted):
            return c.codes[0]
    if found:
        return None
    message = f"The class {wanted!r} of --background is not among the classes"
    fix = f"Add it to {legend.origin}, or name one of: {', '.join(c.name for c in legend.classes)}"
    raise DataError(message, code="unknown-class", file=legend.origin, fix=fix)
