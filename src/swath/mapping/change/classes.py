"""Classes of the maps of several dates, joined to one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from swath.errors import DataError, UsageError
from swath.legend import IGNORE, LandClass, Legend, fold, read_legend
from swath.types import PathLike

CLASSES_FIX = (
    "Give --classes FILE with the names of the common classes and, as a list, the codes that each "
    "has in both maps; or one file for each map, in their order, with equal names"
)


@dataclass(frozen=True)
class JoinedClasses:
    """Classes of several maps.

    Attributes:
        classes: the common classes.
        indices: class index by code, of each map; `IGNORE` for codes that mean no class.
    """

    classes: tuple[LandClass, ...]
    indices: tuple[dict[int, int], ...]


def join_classes(
    paths: Sequence[str], legends: Sequence[Legend], tables: Sequence[PathLike]
) -> JoinedClasses:
    """Join the classes of maps, by their codes and names or by class files.

    Args:
        paths: the maps, for errors.
        legends: classes of each; those whose names are their codes are of maps that name none.
        tables: class files: none, one for all maps, or one for each.

    Raises:
        DataError: the maps have other classes, or a map has a code that its table lacks.
        UsageError: a table is wrong, or their number is neither one nor that of the maps.
    """
    if not tables:
        return _by_codes(paths, legends)
    if len(tables) not in (1, len(paths)):
        message = f"There are {len(tables)} class files and {len(paths)} maps"
        raise UsageError(message, code="option-conflict", fix="Give one for all maps, or each one")
    named = [read_legend(path) for path in tables]
    for table, path in zip(named, tables, strict=True):
        if table.kind != "code":
            message = "The class file lists colors, and maps hold codes"
            fix = "Give each class a code"
            raise UsageError(message, code="class-without-code", file=path, fix=fix)
    common = named[0]
    named = named if len(named) > 1 else named * len(paths)
    out = []
    for path, own, table, file in zip(
        paths, legends, named, list(tables) * (len(paths) // len(tables)), strict=True
    ):
        if {fold(name) for name in table.names} != {fold(name) for name in common.names}:
            listed = f"{', '.join(table.names)}, and in {tables[0]} {', '.join(common.names)}"
            message = f"The classes of the file are {listed}"
            fix = "Give both files the same names"
            raise DataError(message, code="classes-differ", file=file, fix=fix)
        places = {fold(name): i for i, name in enumerate(common.names)}
        codes = {
            code: IGNORE if c.ignore else places[fold(c.name)]
            for c in table.classes
            for code in c.codes
        }
        unknown = [c for c in own.trained if c.map_code not in codes]
        if unknown:
            shown = ", ".join(_shown(c) for c in unknown)
            message = f"The map has classes that {file} does not list: {shown}"
            fix = "Add their codes to a class of that file, or as a class with `ignore: true`"
            raise DataError(message, code="unknown-code", file=path, fix=fix)
        out.append(codes)
    return JoinedClasses(common.trained, tuple(out))


def _by_codes(paths: Sequence[str], legends: Sequence[Legend]) -> JoinedClasses:
    """Join classes of the same codes; maps that name their classes must name the same."""
    first: dict[int, LandClass] = {}
    named = [i for i, legend in enumerate(legends) if not _is_bare(legend)]
    for i in [*named, *(i for i in range(len(paths)) if i not in named)]:
        own = {c.map_code: c for c in legends[i].trained}
        if named and i == named[0]:
            first = own
        elif i in named and _names(own) != _names(first):
            raise _differ(paths[i], own.values(), paths[named[0]], first.values())
        elif named and set(own) - set(first):
            raise _differ(paths[i], own.values(), paths[named[0]], first.values())
        else:
            first = own | first
    classes = tuple(replace(first[code], codes=(code,)) for code in sorted(first))
    codes = {c.map_code: i for i, c in enumerate(classes)}
    return JoinedClasses(classes, (codes,) * len(paths))


def _is_bare(legend: Legend) -> bool:
    return all(c.name == str(c.map_code) for c in legend.trained)


def _names(classes: dict[int, LandClass]) -> dict[int, str]:
    return {code: fold(c.name) for code, c in classes.items()}


def _shown(c: LandClass) -> str:
    return str(c.map_code) if c.name == str(c.map_code) else f"{c.map_code} {c.name}"


def _differ(path: str, own: object, other_path: str, other: object) -> DataError:
    mine, theirs = (", ".join(map(_shown, x)) for x in (own, other))  # type: ignore[call-overload]
    message = f"The classes of the map are {mine}, and those of {other_path} are {theirs}"
    return DataError(message, code="classes-differ", file=path, fix=CLASSES_FIX)
