"""Dates of maps, from the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from swath.errors import UsageError
from swath.transitions import DATES

_DATE = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)"
    r"(?:[-_.]?(?P<month>0[1-9]|1[0-2])(?:[-_.]?(?P<day>0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)

MOST_DATES = 250
"""Maps of a series, at most: their numbers have 8 bits."""


def date_of(path: str) -> str | None:
    """Return the date in the name of a file, else of its folder: `2018`, `2018-06-30`.

    Of several, that with the most parts is taken, then one that is not in the future (2048 may be a
    size), then the first: that of the image in names of products.
    """
    full, now = Path(path).absolute(), datetime.now().year
    for name in (full.stem, full.parent.name):
        found = [m.group("year", "month", "day") for m in _DATE.finditer(name)]
        if found:
            best = max(found, key=lambda parts: (3 - parts.count(None), int(parts[0]) <= now))
            return "-".join(filter(None, best))
    return None


def read_dates(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the dates of maps, which are in their order and distinct.

    Raises:
        UsageError: a name has no date, two maps have one date, or a map is older than the one
            before, or there are too many.
    """
    if len(paths) > MOST_DATES:
        message = f"There are {len(paths)} maps; a series has at most {MOST_DATES}"
        raise UsageError(message, code="too-many-dates", fix="Compare fewer dates at a time")
    dates = []
    for path in paths:
        date = date_of(path)
        if date is None:
            message = "Neither the name of the map nor that of its folder has a date"
            fix = "Rename it, and what lies beside it, such as to map_2018.tif or map_20180630.tif"
            raise UsageError(message, code="date-missing", file=path, fix=fix)
        dates.append(date)
    for (one, path), (other, later) in pairwise(zip(dates, paths, strict=True)):
        length = min(len(one), len(other))
        if one[:length] == other[:length]:
            message = f"The dates of {path} and of this map are {one} and {other}, which is one"
            fix = "Give one map a date, or add months and days to the names"
            raise UsageError(message, code="dates-equal", file=later, fix=fix)
        if one > other:
            message = f"The map is of {other}, and {path}, which is given before it, of {one}"
            fix = "Give the maps by their dates, the oldest first"
            raise UsageError(message, code="dates-unordered", file=later, fix=fix)
    return tuple(dates)


def check_order(old: str, new: str) -> list[str]:
    """Return a warning where the names of two maps or images have dates, and the first is newer."""
    one, other = date_of(old), date_of(new)
    if one is None or other is None:
        return []
    length = min(len(one), len(other))
    if one[:length] <= other[:length]:
        return []
    return [
        f"By its name the old one, {old}, is of {one}, and the new one, {new}, of {other}: if that "
        "is so, give them in the other order, or all changes are the reverse."
    ]


def maps_of_dates(change: Path) -> list[Path]:
    """Return the maps of dates that lie beside a map of change, the oldest first.

    A series leaves one of each date there, and a model those of both images.
    """
    start = f"{change.stem}_"
    found = [(path.stem.removeprefix(start), path) for path in change.parent.glob("*.tif")]
    dated = [(end, path) for end, path in found if path.stem.startswith(start) and _is_date(end)]
    return [path for _, path in sorted(dated, key=lambda row: (row[0] == DATES[1], row[0]))]


def _is_date(text: str) -> bool:
    return text in DATES or _DATE.fullmatch(text) is not None
