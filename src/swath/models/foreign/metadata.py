"""What the metadata describe: Deepness, a STAC item with MLM, other properties, statistics.

Nothing here is trusted: a value that is not of its kind is left out, and options come first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from swath.errors import ModelError
from swath.models.foreign.file import ForeignNetwork

MAX_JSON = 16 * 2**20
"""Largest JSON file beside a network that is read, in bytes."""

MAX_FILES = 200
"""Most JSON files of a folder that are read."""

LEAST_FACTOR = float(np.finfo(np.float32).tiny)
"""Least size of a factor or deviation; less has no inverse in float32."""

_GROUPS = (("scale", "offset", "mean", "std"), ("classes", "codes", "colors"))


@dataclass(frozen=True)
class Described:
    """What the metadata describe; None where they do not.

    Attributes:
        bands: names of its bands.
        classes: names of its classes, by channel.
        codes: codes of the classes.
        colors: `#RRGGBB` of the classes.
        scale: factor that turns pixels into what `mean` and `std` are of.
        offset: added after it.
        mean: of each band.
        std: of each band.
        gsd: ground sampling distance in meters.
        window: rows and columns of its input.
        layout: order of the axes of its input.
        license: of the network.
        source: where it comes from.
        origins: kinds of metadata that were found.
    """

    bands: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    codes: tuple[int, ...] | None = None
    colors: tuple[str, ...] | None = None
    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    gsd: float | None = None
    window: int | None = None
    layout: str | None = None
    license: str | None = None
    source: str | None = None
    origins: tuple[str, ...] = ()

    def filled_from(self, other: Described, by_group: bool = False) -> Described:
        """Return this, with what it lacks from another.

        Args:
            other: what comes after this.
            by_group: take all of the scaling, and all of the classes, from one of the two: those of
                another origin are of other numbers.
        """
        names = {f.name for f in fields(self) if f.name != "origins"}
        lacking = {name for name in names if getattr(self, name) is None}
        for group in _GROUPS if by_group else ():
            if not lacking.issuperset(group):
                lacking.difference_update(group)
        values = {name: getattr(other, name) for name in lacking}
        return replace(self, **values, origins=(*self.origins, *other.origins))


def describe(network: ForeignNetwork) -> Described:
    """Read all metadata of a network; a STAC item comes before what is in the file.

    Raises:
        ModelError: they say that it is no segmentation network.
    """
    inside, found = Described(), Described()
    for one in (_properties(network), _deepness(network)):
        inside = inside if one is None else inside.filled_from(one)
    for one in (*_beside(network.path), inside):
        found = found.filled_from(one, by_group=True)
    return found


def _beside(path: Path) -> Iterator[Described]:
    """Yield what JSON files beside a network say of it: a STAC item, or statistics."""
    own = [path.with_suffix(".json"), path.with_name(f"{path.name}.json")]
    others = sorted(path.parent.glob("*.json"))[:MAX_FILES]
    for file in dict.fromkeys([*own, *others]):
        content = _json_file(file)
        if not isinstance(content, dict):
            continue
        item = _mlm(content, path.name, file in own)
        if item is not None:
            yield item
        elif file in own and (statistics := _statistics(content)) is not None:
            yield statistics


def _json_file(file: Path) -> Any:
    try:
        if not file.is_file() or file.stat().st_size > MAX_JSON:
            return None
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _properties(network: ForeignNetwork) -> Described | None:
    """Read metadata properties of the file by their usual names."""
    values = {key.casefold(): _parsed(text) for key, text in network.properties.items()}
    keys = ("classes", "names") if "model_type" in values else ("classes", "class_names", "names")
    classes = next((values[key] for key in keys if key in values), None)
    found = Described(
        bands=_names(values.get("bands")),
        classes=_by_channel(classes),
        gsd=_positive(values.get("gsd")),
        license=_text(values.get("license")),
        source=_text(values.get("source") or values.get("docs")),
        **_scaling(*(_numbers(values.get(key)) for key in ("swath_scale", "mean", "std"))),
    )
    return None if found == Described() else replace(found, origins=("onnx",))


def _parsed(text: str) -> Any:
    """Read JSON, a Python mapping of numbers to names, or a list with commas."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pairs = re.findall(r"(\d+)\s*:\s*'([^']*)'", text)
        if pairs and text.strip().startswith("{"):
            return dict(pairs)
        return text


def _deepness(network: ForeignNetwork) -> Described | None:
    """Read the metadata of the QGIS plugin Deepness.

    It gives networks 8-bit pixels over 255, less the mean, over the standard deviation.

    Raises:
        ModelError: the network is for another task than segmentation.
    """
    values = {key: _parsed(text) for key, text in network.properties.items()}
    if "model_type" not in values:
        return None
    if values["model_type"] != "Segmentor":
        raise ModelError(
            f"By its metadata the network is a {str(values['model_type'])[:40]}, not a Segmentor",
            code="network-task",
            file=network.path,
            fix="Give a network that segments",
        )
    centimeters = _positive(values.get("resolution"))
    side = _positive(values.get("tile_size"))
    mean = _numbers(values.get("standardization_mean"))
    names = _by_channel(values.get("class_names"))
    return Described(
        bands=("red", "green", "blue") if mean and len(mean) == 3 else None,
        classes=names,
        gsd=None if centimeters is None else centimeters / 100,
        window=int(side) if side else None,
        origins=("deepness",),
        **_scaling((1 / 255,), mean, _numbers(values.get("standardization_std"))),
    )


def _mlm(item: dict[str, Any], name: str, own: bool) -> Described | None:
    """Read a STAC item with the MLM extension, if it is of a network of this name."""
    known = item.get("properties")
    if not isinstance(known, dict) or "mlm:input" not in known:
        return None
    assets = item.get("assets")
    links = [a.get("href") for a in assets.values()] if isinstance(assets, dict) else []
    if not own and not any(str(link).rpartition("/")[2] == name for link in links):
        return None
    taken, given = (_first(known.get(key)) for key in ("mlm:input", "mlm:output"))
    bands = [b.get("name") if isinstance(b, dict) else b for b in _list(taken.get("bands"))]
    structure = _mapping(taken.get("input"))
    axes = [str(a)[:1].lower() for a in _list(structure.get("dim_order"))]
    sizes = _list(structure.get("shape"))
    classes = [c for c in _list(given.get("classification:classes")) if isinstance(c, dict)]
    given_values = [c.get("value") for c in classes]
    values = [v for v in given_values if type(v) is int and 0 <= v <= 65535]
    hints = [str(c.get("color_hint", "")) for c in classes]
    colored = bool(hints) and all(re.fullmatch("[0-9A-Fa-f]{6}", hint) for hint in hints)
    names = _names([c.get("name") or c.get("description") for c in classes])
    coded = names is not None and values and len({*values}) == len(given_values)
    side = sizes[2] if len(sizes) == 4 else None  # rows or columns, in both orders
    return Described(
        bands=_names(bands),
        classes=names,
        codes=tuple(values) if coded else None,
        colors=tuple(f"#{hint.upper()}" for hint in hints) if names and colored else None,
        gsd=_positive(known.get("gsd")),
        window=side if type(side) is int and side > 0 else None,
        layout="nhwc" if axes[-1:] in (["c"], ["b"]) and len(axes) == 4 else None,
        license=_text(known.get("license")),
        source=_text(item.get("id")),
        origins=("mlm",),
        **_mlm_scaling(taken),
    )


def _scaling(
    scale: tuple[float, ...] | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> dict[str, Any]:
    """Return a scaling as fields of `Described`; none of it where a factor or deviation is 0."""
    if any(abs(value) < LEAST_FACTOR for value in (*(scale or ()), *(std or ()))):
        return {}
    return {"scale": scale, "mean": mean, "std": std}


def _mlm_scaling(taken: dict[str, Any]) -> dict[str, Any]:
    """Return the scaling that an MLM input describes, in its versions 1.0 to 1.5."""
    parts = [p for p in _list(taken.get("value_scaling")) if isinstance(p, dict)]
    statistics = [p for p in _list(taken.get("statistics")) if isinstance(p, dict)]
    kinds = {p.get("type") for p in parts}
    if not parts and str(taken.get("norm_type", "")).lower() == "z-score":
        parts, kinds = statistics, {"z-score"}
    if kinds == {"z-score"}:
        mean, std = (_numbers([p.get(key) for p in parts]) for key in ("mean", "stddev"))
        return _scaling(None, mean, std)
    if kinds == {"min-max"}:
        low, high = (_numbers([p.get(key) for p in parts]) for key in ("minimum", "maximum"))
        if low and high and len(low) == len(high):
            spans = tuple(b - a for a, b in zip(low, high, strict=True))
            return _scaling(None, low, _numbers(spans))
    if kinds == {"scale"}:
        divisors = _numbers([p.get("value") for p in parts])
        if divisors and all(abs(v) >= LEAST_FACTOR for v in divisors):
            return _scaling(tuple(1 / v for v in divisors), None, None)
    return {}


def _statistics(content: dict[str, Any]) -> Described | None:
    """Read the training statistics that ukis-csmask keeps beside each network."""
    data = content.get("data")
    known = data.get("dataset_statistics") if isinstance(data, dict) else None
    if not isinstance(known, dict) or not isinstance(data, dict):
        return None
    rows = _list(known.get("img"))
    side = _first_of(_list(data.get("target_size")))
    if len(rows) != 2:
        return None
    return Described(
        bands=_names(known.get("band_names")),
        window=side if type(side) is int and side > 0 else None,
        origins=("statistics",),
        **_scaling(None, _numbers(rows[0]), _numbers(rows[1])),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _first_of(values: list[Any]) -> Any:
    return values[0] if values else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: Any) -> dict[str, Any]:
    return _mapping(_first_of(_list(value)))


def _text(value: Any) -> str | None:
    return value[:1000] if isinstance(value, str) and value.strip() else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Return a list of numbers, or the numbers of a text with commas; None where it is none."""
    if isinstance(value, str):
        value = value.strip("[]() ").split(",")
    parts: Iterable[Any] = value if isinstance(value, (list, tuple)) else [value]
    found = [_number(part) for part in parts]
    numbers = tuple(n for n in found if n is not None)
    return numbers if numbers and len(numbers) == len(found) else None


def _names(value: Any) -> tuple[str, ...] | None:
    """Return a list of distinct names, or those of a text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    names = [n for n in _list(value) if isinstance(n, str) and n.strip()]
    whole = names and len(names) == len(value) and len({*names}) == len(names)
    return tuple(names) if whole else None


def _by_channel(value: Any) -> tuple[str, ...] | None:
    """Return names by channel, of a list or of a mapping with the numbers 0, 1, ..."""
    if isinstance(value, dict):
        keys = [str(i) for i in range(len(value))]
        value = [value[key] for key in keys] if {*keys} == {*value} else None
    return _names(value)
