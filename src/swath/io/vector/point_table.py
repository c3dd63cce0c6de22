"""Points from a table: CSV with a column for each coordinate."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.vector.formats import RawLayer

_DEGREES = ("lon lng long longitude".split(), "lat latitude".split())
_PLANE = ("x easting east".split(), "y northing north".split())
_WRITE = "Name the columns of the coordinates lon and lat, or x and y with --labels-crs EPSG:CODE"


def read_point_table(path: Path) -> RawLayer:
    """Read points from a table of lon and lat (EPSG:4326), or of x and y (no CRS).

    Cells are split at commas, semicolons or tabs, by the first line; the feature ids are the
    numbers of the lines.

    Raises:
        DataError: the table cannot be read, or a row has no place.
    """
    head, rows = _read_rows(path)
    names = [name.strip().lower() for name in head]
    pairs = [(_find(names, x), _find(names, y)) for x, y in (_DEGREES, _PLANE)]
    found = next((pair for pair in pairs if None not in pair), None)
    if found is None:
        message = f"The table has no columns of coordinates (columns: {', '.join(head) or 'none'})"
        raise DataError(message, code="no-coordinates", file=path, fix=_WRITE)
    degrees = found == pairs[0]
    xy = np.array([[_number(row[k]) for k in found if k is not None] for _, row in rows])
    xy = xy.reshape(-1, 2)
    lines = np.array([line for line, _ in rows], np.int64)
    _check_places(xy, lines, degrees, path)
    wkb = np.asarray(shapely.to_wkb(shapely.points(xy)), object)
    others = [k for k in range(len(head)) if k not in found]
    columns = {head[k].strip(): np.array([row[k] for _, row in rows], object) for k in others}
    crs = pyproj.CRS("EPSG:4326").to_wkt() if degrees else None
    return path.stem, crs, lines, wkb, columns


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and the rows with the number of their line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        head = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message, fix = f"The table cannot be read ({error})", "Save it as CSV in UTF-8"
        raise DataError(message, code="unreadable", file=path, fix=fix) from error
    wrong = [line for line, row in rows if len(row) != len(head)]
    if wrong:
        message = f"{len(wrong)} lines have other than {len(head)} cells ({_lines(wrong)})"
        fix = "Save it as CSV, with quotes around text that holds the separator"
        raise DataError(message, code="table-cells", file=path, fix=fix)
    return head, rows


def _find(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_places(
    xy: NDArray[np.float64], lines: NDArray[np.int64], degrees: bool, path: Path
) -> None:
    """Raise an error where a row has no place: a cell that is not a number, or not degrees."""
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        message = f"{int(bad.sum())} points have coordinates that are no numbers"
        fix = "Write them with a decimal point, or delete these lines"
    elif degrees and (bad := (np.abs(xy) > (360, 90)).any(axis=1)).any():
        message = f"{int(bad.sum())} points have a lon beyond 360 or a lat beyond 90 degrees"
        fix = "Write lon and lat in degrees, or name the columns x and y, with --labels-crs"
    else:
        return
    message = f"{message} ({_lines(lines[bad].tolist())})"
    raise DataError(message, code="point-without-place", file=path, fix=fix)


def _lines(numbers: Sequence[int]) -> str:
    """List the numbers of lines, the first five."""
    return f"line {', '.join(map(str, numbers[:5]))}{', ...' if len(numbers) > 5 else ''}"
