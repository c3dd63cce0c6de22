"""The column of a layer that holds the classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.vector.files import LayerData
from swath.io.vector.ogr import FOLDER

ONE_CLASS = "none"
"""`--label-field` of a layer whose features are all of one class."""

MAX_UNIQUE = 20
"""Features up to which a column of a usual name may have a value of its own in each."""

MAX_NAMED = 4
"""Columns that a mend names."""

_CLASS_FIELDS = (
    "class label landcover land_cover lulc category code classname class_name "
    "class_id classid class_code classcode classvalue"
).split()

_ID_FIELDS = frozenset(
    "id fid ogc_fid objectid object_id oid gid uuid guid globalid pk osm_id full_id @id index "
    "rowid row_id feature_id featureid".split()
)

_NAMED_ID = re.compile(r"(.*)(?:_(?i:f?id|[ug]uid)|(?<=[a-z])I[dD])")
_OF_IMAGE = re.compile(r"(?i)(?:image|img|tile|scene|chip|patch|file|photo)$")
_MEASURES = re.compile(r"(shape|st)?_*(area|leng(th)?|len|perimeter|perim)(_?(m2?|ha|km2?|sqm))?")


@dataclass(frozen=True)
class _Column:
    """A column that may be the class: its distinct values, and of which feature each is (n,)."""

    name: str
    distinct: list[Any]
    at: NDArray[np.int64]

    @property
    def unique(self) -> bool:
        return len(self.at) > 1 and len(self.distinct) == len(self.at)

    @property
    def constant(self) -> bool:
        return len(self.at) > 1 and len(self.distinct) == 1

    @property
    def listed(self) -> str:
        shown = ", ".join(str(v) for v in self.distinct[:4])
        return f"{self.name} ({shown}{', ...' if len(self.distinct) > 4 else ''})"

    def parts_like(self, other: _Column) -> bool:
        """Return whether both part the features alike."""
        pairs = {*zip(self.at.tolist(), other.at.tolist(), strict=True)}
        return len(pairs) == len(self.distinct) == len(other.distinct)


def find_class_column(
    data: LayerData,
    wanted: str | None,
    path: Path,
    background: bool,
    option: str = "--label-field",
) -> str | None:
    """Return the class column, None where all features are of one class.

    Args:
        data: the layer.
        wanted: the column that the user names, `ONE_CLASS` for none, None to find it.
        path: file of the layer, for errors and for its format.
        background: whether what lies around the features is a class, so that these may be one.
        option: that names the column, for errors.

    Raises:
        DataError: no column has the name, none is evidently the class, or several may be.
    """
    if wanted is not None:
        return _named(data, wanted, path, option)
    if not len(data.fids):
        return None
    possible = [c for c in _columns(data) if not (c.unique and len(c.at) > MAX_UNIQUE)]
    usual = _of_usual_names(possible, data, path)
    found = _usual(usual, possible) if usual else _only(possible)
    if found is not None:
        return found.name
    if background and all(c.unique for c in possible):
        return None
    raise _undecided(possible, data, path)


def _named(data: LayerData, wanted: str, path: Path, option: str) -> str | None:
    if wanted in data.columns:
        return wanted
    if wanted == ONE_CLASS:
        return None
    raise no_such_column(wanted, data, path, option)


def no_such_column(wanted: str, data: LayerData, path: Path, option: str) -> DataError:
    """Return the error on a column that an option names and the layer lacks."""
    listed = ", ".join(data.columns) or "none"
    message, fix = f"The layer has no column {wanted!r}", f"Name one with {option}: {listed}"
    return DataError(message, code="no-such-column", file=path, fix=fix)


def _undecided(possible: Sequence[_Column], data: LayerData, path: Path) -> DataError:
    if possible:
        listed = "; ".join(c.listed for c in possible)
        message = f"The class may be in one of these columns: {listed}"
        shared = [c for c in possible if not c.unique and not c.constant] or possible
        named = [f"--label-field {quote(c.name)}" for c in shared[:MAX_NAMED]]
        fix = f"Name it: {' or '.join(named)} ({ONE_CLASS} if all are one class)"
        return DataError(message, code="class-column-ambiguous", file=path, fix=fix)
    message = f"No column is evidently the class (columns: {', '.join(data.columns) or 'none'})"
    fix = "Name it with --label-field, or what lies around the one class with --background"
    return DataError(message, code="no-class-column", file=path, fix=fix)


def _of_usual_names(possible: Sequence[_Column], data: LayerData, path: Path) -> list[_Column]:
    """Return the columns whose names are those of classes, the most usual name first."""
    kml = path.suffix.lower() in (".kml", ".kmz")
    names = [*_CLASS_FIELDS, "name", FOLDER.lower()] if kml else _CLASS_FIELDS
    found = [c for name in names for c in possible if c.name.lower() == name]
    if FOLDER in data.columns:  # names of placemarks in folders of classes
        return [c for c in found if not c.unique] or found
    return found


def _usual(live: Sequence[_Column], possible: Sequence[_Column]) -> _Column | None:
    """Return the first column of a usual name, None where another may be meant."""
    best, others = live[0], [c for c in live[1:] if not c.constant]
    if best.constant:
        others = [c for c in possible if not c.constant and not c.unique]
    return best if all(best.parts_like(c) for c in others) else None


def _only(possible: Sequence[_Column]) -> _Column | None:
    """Return the only column, or the only one that is not the same in all features."""
    several = [c for c in possible if not c.constant] if len(possible) > 1 else possible
    return several[0] if len(several) == 1 and not several[0].unique else None


def _columns(data: LayerData) -> Iterator[_Column]:
    """Yield the columns that may hold classes: no identifiers, measures, dates or fractions."""
    for name, values in data.columns.items():
        if _is_id_or_measure(name.lower()) or not _may_be_codes(name.lower(), values):
            continue
        texts = ["" if v is None or v != v else str(v).strip() for v in values.tolist()]
        if not any(texts):
            continue
        distinct, at = np.unique(np.array(texts, object), return_inverse=True)
        column = _Column(name, distinct.tolist(), at)
        if not _identifies(column):
            yield column


def _is_id_or_measure(name: str) -> bool:
    return re.sub(r"_?\d+$", "", name) in _ID_FIELDS or bool(_MEASURES.fullmatch(name))


def is_class_name(column: str) -> bool:
    """Return whether a column's name says that it is the class."""
    return column.lower() in _CLASS_FIELDS


def _identifies(column: _Column) -> bool:
    """Return whether a column, by its name, holds a number of each feature or of the image."""
    named = _NAMED_ID.fullmatch(column.name)
    if named is None or is_class_name(column.name):
        return False
    of_image = column.constant and _OF_IMAGE.search(named[1]) is not None
    return column.unique or len(column.at) == 1 or of_image


def _may_be_codes(name: str, values: NDArray[Any]) -> bool:
    """Return whether values are no dates, and no fractions unless the name is that of classes."""
    if values.dtype.kind != "f" or name in _CLASS_FIELDS:
        return values.dtype.kind != "M"
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool((known == np.round(known)).all())
