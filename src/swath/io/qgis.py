"""QGIS styles: a `.qml` file beside a map, by which QGIS shows its classes by name and color without being asked."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from swath.io.atomic import atomic_file
from swath.legend import Legend

OURS = "swath"
"""Who wrote a style, in its root element; QGIS leaves the mark out when it saves one of its user's."""


def style_path(path: Path) -> Path:
    """Return where QGIS looks for the style of a map."""
    return path.with_suffix(".qml")


def write_style(path: Path, legend: Legend) -> bool:
    """Write the style of a map beside it, for QGIS 3: paletted, one named entry a class.

    Args:
        path: the map.
        legend: its classes.

    Returns:
        Whether it was written; a style that is not ours, which a user has saved from QGIS, is left
        alone.

    Raises:
        JobError: the folder does not take the file.
    """
    target = style_path(path)
    if target.exists() and _author(target) != OURS:
        return False
    root = ET.Element("qgis", {"version": "3.22", "styleCategories": "Symbology", "author": OURS})
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""},
    )
    palette = ET.SubElement(renderer, "colorPalette")
    for c in legend.trained:
        entry = {"value": str(c.map_code), "label": c.name, "color": c.color, "alpha": "255"}
        ET.SubElement(palette, "paletteEntry", entry)
    ET.indent(root)
    with atomic_file(target) as partial:
        text = ET.tostring(root, encoding="unicode")
        partial.write_text(
            f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n",
            encoding="utf-8",
        )
    return True


def read_style(path: Path) -> dict[int, tuple[str, str]]:
    """Return name and color (`#RRGGBB`) by code from the style beside a map; empty without a style that has them."""
    try:
        entries = ET.parse(style_path(path)).iter("paletteEntry")
        return {int(e.attrib["value"]): (e.attrib["label"], e.attrib["color"][:7]) for e in entries}
    except (OSError, ET.ParseError, KeyError, ValueError):
        return {}


def _author(style: Path) -> str | None:
    try:
        return ET.parse(style).getroot().get("author")
    except (OSError, ET.ParseError):
        return None
