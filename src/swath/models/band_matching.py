"""Which band of an image is which band of a model, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from swath.errors import DataError
from swath.io.products.bands import ETM, OLI, SENTINEL2A, SensorBands
from swath.types import PathLike

COMMON_NAMES = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "nearinfrared": "nir",
    "nir1": "nir",
    "infrared": "nir",
}
"""Other spellings of common names."""

SENSORS: Sequence[SensorBands] = (SENTINEL2A, OLI, ETM)
"""Bands of the sensors whose names are read."""

_ONLY_NIR = {"nir08": "nir"}
"""Names that the near infrared of a sensor with one such band may have besides."""

_NUMBERED = re.compile(r"(?:sr|toa)?(b\d+a?)")

_SAYS_NOTHING = re.compile(
    r"|(band|layer|channel|ch|page|raster|image|undefined|gr[ae]y|alpha)?[\s_#-]*\d*",
    re.IGNORECASE,
)


def match_bands(
    wanted: Sequence[str], own: Sequence[Sequence[str]], file: PathLike
) -> list[int] | None:
    """Return the place (from 0) of each wanted band among those of an image.

    Names are compared without case, separators and leading zeros; if that is not enough, by the
    common names that Sentinel-2 and Landsat bands have, where only one reading fits.

    Args:
        wanted: names of the model's bands.
        own: names of each band of the image, one or more.
        file: the image, for errors.

    Returns:
        The places, or None where either side has names that say nothing, such as numbers; the order
        of the file then counts.

    Raises:
        DataError: both sides have names, and a wanted band is missing or ambiguous.
    """
    if not says_something(wanted) or not says_something([names[0] for names in own]):
        return None
    found = find_bands(wanted, own)
    if len(found) == 1:
        return list(found.pop())
    held = ", ".join(" or ".join(dict.fromkeys(filter(None, names))) for names in own)
    what = "are ambiguous" if found else "are not all among them"
    message = f"The image has the bands {held}, and those of the model ({', '.join(wanted)}) {what}"
    order = ",".join(str(i) for i in range(1, len(wanted) + 1))
    fix = f"Give an image with these bands, or their numbers in the file (--band-order {order})"
    raise DataError(message, code="band-mismatch", file=file, fix=fix)


def same_bands(wanted: Sequence[str], own: Sequence[str]) -> bool:
    """Return whether bands are those that are wanted, in order; unnamed ones by their number."""
    if len(wanted) != len(own):
        return False
    if not says_something(wanted) or not says_something(own):
        return True
    return find_bands(wanted, [[name] for name in own]) == {tuple(range(len(own)))}


def find_bands(wanted: Sequence[str], own: Sequence[Sequence[str]]) -> set[tuple[int, ...]]:
    """Return all readings of named bands, each the places of the wanted ones; see `match_bands`."""
    return {tuple(places) for places in _matches(wanted, own)}


def says_something(names: Sequence[str]) -> bool:
    """Return whether band names are distinct and none is a mere number, or `Band 1`, or empty."""
    plain = [_plain(name) for name in names]
    return len(set(plain)) == len(plain) and not any(
        _SAYS_NOTHING.fullmatch(name.strip()) for name in names
    )


def _matches(wanted: Sequence[str], own: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """Yield the places of the wanted bands by each way of reading the names that fits all."""
    exact = _places([_plain(name) for name in wanted], [set(map(_plain, n)) for n in own])
    if exact is not None:
        yield exact
        return
    for sensor in _SENSORS:
        common = [_common(name, sensor) for name in wanted]
        if not all(common):
            continue
        for other in _SENSORS:
            places = _places(common, _held(other, wanted, own)) if _has_all(other, own) else None
            if places is not None:
                yield places


def _held(
    sensor: Mapping[str, str], wanted: Sequence[str], own: Sequence[Sequence[str]]
) -> list[set[str]]:
    """Return the common names of each band, read as those of a sensor."""
    held = [{_common(name, sensor) for name in names} - {""} for names in own]
    if "nir" in sensor.values() or not all(_common(name, {}) for name in wanted):
        return held
    return [names | {_ONLY_NIR.get(name, name) for name in names} for names in held]


def _places(wanted: Sequence[str], own: Sequence[set[str]]) -> list[int] | None:
    """Return where each wanted name is, None unless each is the name of just one band."""
    found = [[i for i, names in enumerate(own) if name in names] for name in wanted]
    if any(len(at) != 1 for at in found):
        return None
    places = [at[0] for at in found]
    return places if len(set(places)) == len(places) else None


def _has_all(sensor: Mapping[str, str], own: Sequence[Sequence[str]]) -> bool:
    """Return whether a sensor has all bands of an image that have a number, such as B8A."""
    numbers = [_NUMBERED.fullmatch(_plain(name)) for names in own for name in names]
    return all(number[1] in sensor for number in numbers if number)


def _common(name: str, sensor: Mapping[str, str]) -> str:
    """Return the common name of a band, empty where it is not known."""
    plain = _plain(name)
    known = _KNOWN.get(COMMON_NAMES.get(plain, plain), "")
    return known or sensor.get(re.sub("^(sr|toa)(?=b)", "", plain), "")


def _plain(name: str) -> str:
    """Return a name in small letters and digits alone, numbers without leading zeros."""
    words = re.findall(r"\d+|[a-z]+", name.casefold())
    return "".join(word.lstrip("0") or word[-1:] for word in words)


_SENSORS = [{_plain(own): band.name for own, band in sensor.items()} for sensor in SENSORS]
_KNOWN = {_plain(name): name for sensor in _SENSORS for name in sensor.values()}
