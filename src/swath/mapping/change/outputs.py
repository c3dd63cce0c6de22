"""Files of a change: rasters, attribute table, table of hectares, polygons."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo.pixel_area import HECTARE
from swath.io.map_reader import beside
from swath.io.map_writer import MapKind, class_map
from swath.legend import LandClass, Legend, rgb, unpack_rgb
from swath.mapping.polygons import polygonize, write_columns
from swath.transitions import NODATA, Transitions

_INTEGER, _REAL, _STRING = "0", "1", "2"
_GENERIC, _COUNT, _NAME, _VALUE, _RED, _GREEN, _BLUE = "0", "1", "2", "5", "6", "7", "8"


@dataclass(frozen=True)
class Layer:
    """A raster to write.

    Attributes:
        name: of its pixels in the parts.
        path: the file.
        kind: what it holds.
        legend: its classes; None for percents, and for transitions, whose classes follow later.
    """

    name: str
    path: Path
    kind: MapKind
    legend: Legend | None = None


@dataclass(frozen=True)
class TransitionRow:
    """One transition of a map of change.

    Attributes:
        old: index of the old class.
        new: index of the new class.
        code: in the map.
        pixels: number of its pixels.
        hectares: their area on the ellipsoid; None where the size of pixels is unknown.
        confidence: mean percent of change of its pixels; None without.
    """

    old: int
    new: int
    code: int
    pixels: int
    hectares: float | None
    confidence: float | None


def change_map(transitions: Transitions) -> MapKind:
    """Describe a map of transitions."""
    colors: dict[int, tuple[int, int, int, int]] = {}
    count = len(transitions)
    for old in range(count):
        for new in range(count):
            if transitions.dtype == "uint8":
                red, green, blue = rgb(transitions.color(old, new))
                colors[int(transitions.table[old, new])] = red, green, blue, 255
    tags = transitions.to_tags()
    return MapKind(transitions.dtype, NODATA, ("transition",), colors=colors, tags=tags)


def class_tags(transitions: Transitions, rows: Sequence[TransitionRow]) -> dict[str, str]:
    """Return the band tags that name the transitions that a map holds."""
    return {f"class_{row.code}": transitions.name(row.old, row.new) for row in rows}


CHANGE_CONFIDENCE = MapKind("uint8", 255, ("probability of change",), "AVERAGE")
"""Percent 0..100 that a pixel has changed."""


EARLY, LATE = (255, 237, 160), (128, 0, 38)
"""Colors of the first and the last date."""

NEVER = "#E6E6E6"
"""Color of what never changed."""


def _moment_legend(dates: Sequence[str]) -> Legend:
    """Return the classes of a map of when a pixel changed: 0 for never, else the date's number."""
    ends = np.array(EARLY), np.array(LATE)
    classes = [LandClass("no change", (0,), 0, NEVER)]
    for number in range(2, len(dates) + 1):
        share = (number - 2) / max(1, len(dates) - 2)
        classes.append(LandClass(dates[number - 1], (number,), number, _mixed(ends, share)))
    return Legend(tuple(classes))


def _count_legend(dates: Sequence[str]) -> Legend:
    """Return the classes of a map of how often a pixel changed."""
    ends = np.array(EARLY), np.array(LATE)
    classes = [LandClass("0 changes", (0,), 0, NEVER)]
    for count in range(1, len(dates)):
        name = f"{count} change{'s' * (count > 1)}"
        color = _mixed(ends, (count - 1) / max(1, len(dates) - 2))
        classes.append(LandClass(name, (count,), count, color))
    return Legend(tuple(classes))


def _mixed(ends: tuple[NDArray[np.int64], NDArray[np.int64]], share: float) -> str:
    red, green, blue = np.rint((1 - share) * ends[0] + share * ends[1]).astype(int)
    return unpack_rgb(int(red) << 16 | int(green) << 8 | int(blue))


MOMENTS = {"first": "first_change", "last": "last_change", "changes": "changes"}
"""Ending of the file of each layer of a series that tells of changes."""


def rasters_of(target: Path, with_percents: bool, dates: Sequence[str]) -> dict[str, Path]:
    """Return the path of each raster that is written, by the name of its layer.

    Args:
        target: the map of change.
        with_percents: whether percents of change are written.
        dates: of a series; empty for two maps.
    """
    out = {"codes": target}
    if with_percents:
        out["confidence"] = beside(target, "confidence")
    if dates:
        out |= {name: beside(target, ending) for name, ending in MOMENTS.items()}
    return out | {date: beside(target, date) for date in dates}


def layers_of(
    target: Path, transitions: Transitions, dates: Sequence[str], maps: Legend
) -> list[Layer]:
    """Return the rasters to write, the map of change first.

    Args:
        target: the map of change.
        transitions: its codes.
        dates: of a series; empty for two maps.
        maps: classes of the maps.
    """
    moments, counts = _moment_legend(dates), _count_legend(dates)
    legends = {"first": moments, "last": moments, "changes": counts} | dict.fromkeys(dates, maps)
    out: list[Layer] = []
    for name, path in rasters_of(target, transitions.with_percents, dates).items():
        legend = legends.get(name)
        kind = CHANGE_CONFIDENCE if legend is None else class_map(legend)
        out.append(Layer(name, path, kind if out else change_map(transitions), legend))
    return out


def table_path(path: Path) -> Path:
    """Return where GDAL and QGIS look for the attribute table of a raster."""
    return path.with_name(f"{path.name}.aux.xml")


def attribute_table(transitions: Transitions, rows: Sequence[TransitionRow]) -> str:
    """Return the raster attribute table of a map of change, as GDAL stores it beside a raster.

    Where the size of pixels is unknown, the table has no hectares.
    """
    hectares = bool(rows) and rows[0].hectares is not None
    columns: list[tuple[str, str, str]] = [
        ("Value", _INTEGER, _VALUE),
        ("Count", _REAL, _COUNT),
        ("Transition", _STRING, _NAME),
        ("From", _STRING, _GENERIC),
        ("To", _STRING, _GENERIC),
        ("FromCode", _INTEGER, _GENERIC),
        ("ToCode", _INTEGER, _GENERIC),
        *([("Hectares", _REAL, _GENERIC)] if hectares else []),
        ("Red", _INTEGER, _RED),
        ("Green", _INTEGER, _GREEN),
        ("Blue", _INTEGER, _BLUE),
    ]
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", {"band": "1"})
    table = ET.SubElement(band, "GDALRasterAttributeTable", {"tableType": "thematic"})
    for i, (name, kind, usage) in enumerate(columns):
        field = ET.SubElement(table, "FieldDefn", {"index": str(i)})
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            ET.SubElement(field, tag).text = text
    for i, row in enumerate(rows):
        one, other = transitions.classes[row.old], transitions.classes[row.new]
        entry = ET.SubElement(table, "Row", {"index": str(i)})
        values: list[Any] = [
            row.code,
            row.pixels,
            transitions.name(row.old, row.new),
            one.name,
            other.name,
            one.map_code,
            other.map_code,
            *([] if row.hectares is None else [round(row.hectares, 4)]),
            *rgb(transitions.color(row.old, row.new)),
        ]
        for value in values:
            ET.SubElement(entry, "F").text = str(value)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def write_table(path: Path, transitions: Transitions, rows: Sequence[TransitionRow]) -> None:
    """Write transitions as CSV: from, to, their codes, pixels, hectares, confidence."""
    head = ["from", "to", "from_code", "to_code", "code", "pixels", "hectares", "confidence"]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(head)
        for row in rows:
            one, other = transitions.classes[row.old], transitions.classes[row.new]
            numbers = [_number(row.hectares, 4), _number(row.confidence, 1)]
            names = [one.name, other.name, one.map_code, other.map_code]
            out.writerow([*names, row.code, row.pixels, *numbers])


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def write_changes(
    path: Path,
    change: Path,
    confidence: Path | None,
    transitions: Transitions,
    *,
    target: Path,
    min_area: float,
) -> int:
    """Write polygons of changes: from, to, code, hectares, confidence (mean percent of change).

    Args:
        path: the file to write.
        change: map of change.
        confidence: its percents, None without.
        transitions: its codes.
        target: the later name of the file.
        min_area: smaller polygons, in m2, are left out.

    Returns:
        Number of polygons.
    """
    changes = transitions.changes.tolist()
    polygons = polygonize(change, confidence, min_area=min_area, codes=changes)
    polygons = polygons.sorted_by_area()
    pairs = [transitions.split(int(code)) for code in polygons.codes]
    columns: dict[str, NDArray[Any]] = {
        "from": np.array([transitions.classes[old].name for old, _ in pairs], object),
        "to": np.array([transitions.classes[new].name for _, new in pairs], object),
        "code": polygons.codes,
        "hectares": polygons.areas / HECTARE,
        "confidence": polygons.confidence,
    }
    write_columns(path, polygons, columns, target, "changes")
    return len(polygons.codes)
