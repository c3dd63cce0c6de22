"""Dates on the time axis of a netCDF array, by the conventions of CF."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from swath.errors import DataError
from swath.io.arrays.names import ArrayName

_SINCE = re.compile(
    r"(?P<unit>day|hour|hr|h|minute|min|second|sec|s|d)s? since (?P<start>.+)", re.IGNORECASE
)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
NAMED = 10  # dates that an error lists


class TimeAxis(Protocol):
    """An axis before rows and columns."""

    @property
    def name(self) -> str:
        """Name of the dimension."""

    @property
    def values(self) -> tuple[str, ...]:
        """Coordinates along it, as texts."""


def time_index(
    name: ArrayName, tags: Mapping[str, str], axes: Sequence[TimeAxis], left: Sequence[str]
) -> tuple[int, int]:
    """Return the place of the time axis among those that are left, and the index of a date on it.

    Args:
        name: the array, with a date or an index after `@`.
        tags: of the file.
        axes: axes before rows and columns.
        left: names of those that are left.

    Raises:
        DataError: there is no time axis, no such date, or several.
    """
    at = name.at or ""
    timed = [axis for axis in axes if " since " in tags.get(f"{axis.name}#units", "")]
    found = [axis for axis in timed if axis.name in left]
    place = list(left).index(found[0].name) if found else 0
    if at.isdecimal():
        return place, int(at)
    dates = dates_of(found[0], tags) if found else []
    return place, _index_of(at, dates, name)


def _index_of(at: str, dates: Sequence[datetime], name: ArrayName) -> int:
    """Return the index of the one date that begins with `at`.

    Raises:
        DataError: dates are not known, or none or several begin so.
    """
    if not dates:
        message = f"The array has no time axis whose dates are known, and {at} is wanted"
        fix = "Give the number along the axis, such as @0"
        raise DataError(message, code="no-time-axis", file=str(name), fix=fix)
    texts = [date.isoformat() for date in dates]
    same = [i for i, text in enumerate(texts) if text.startswith(at.replace(" ", "T").rstrip("Z"))]
    if len(same) != 1:
        shown = [_short(texts[i]) for i in same or range(len(texts))]
        more = ", ..." if len(shown) > NAMED else ""
        what = f"{len(same)} times" if same else "no time"
        message = f"The array has {what} of {at}"
        fix = f"Its times are {', '.join(shown[:NAMED])}{more}; or give a number, such as @0"
        raise DataError(message, code="no-such-date", file=str(name), fix=fix)
    return same[0]


def _short(text: str) -> str:
    return text.removesuffix("T00:00:00")


def dates_of(axis: TimeAxis, tags: Mapping[str, str]) -> list[datetime]:
    """Return the dates of a time axis, in UTC without time zone; none where they are not known."""
    since = _SINCE.match(tags.get(f"{axis.name}#units", "").strip())
    if since is None or tags.get(f"{axis.name}#calendar", "").lower() not in _CALENDARS:
        return []
    seconds = _SECONDS[since["unit"][0].lower()]
    text = re.sub(r" ?(UTC|Z)$", "", since["start"].strip())
    try:
        start = datetime.fromisoformat(_padded(text))
        if start.tzinfo is not None:
            start = start.astimezone(UTC).replace(tzinfo=None)
        return [
            _rounded(start + timedelta(seconds=float(value) * seconds)) for value in axis.values
        ]
    except (ValueError, OverflowError):
        return []


def _rounded(date: datetime) -> datetime:
    return (date + timedelta(milliseconds=500)).replace(microsecond=0)


def _padded(text: str) -> str:
    """Return a date with two digits for month, day and hour, as ISO 8601 has them."""
    return re.sub(r"(?<![\d.])(\d)(?!\d)", r"0\1", text)
