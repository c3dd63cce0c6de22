"""QGIS styles: a `.qml` file beside a map, from which QGIS takes class names and colors."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from swath.io.atomic import atomic_file
from swath.legend import Legend

STYLE_AUTHOR = "swath"
"""Mark in the root element of a style; QGIS leaves it out when it saves one."""


def style_path(path: Path) -> Path:
    """Return where QGIS looks for the style of a map."""
    return path.with_suffix(".qml")


def write_style(path: Path, legend: Legend) -> bool:
    """Write the style of a map beside it, for QGIS 3: paletted, one named entry a class.

    Args:
        path: the map.
        legend: its classes.

    Returns:
        Whether it was written; a style that a user has saved from QGIS is left alone.

    Raises:
        JobError: the folder does not take the file.
    """
    target = style_path(path)
    if target.exists() and _author(target) != STYLE_AUTHOR:
        return False
    root = ET.Element(
        "qgis", {"version": "3.22", "styleCategories": "Symbology", "author": STYLE_AUTHOR}
    )
    pipe = ET.SubElement(root, "pipe")
    paletted = {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1"}
    renderer = ET.SubElement(pipe, "rasterrenderer", paletted | {"nodataColor": ""})
    palette = ET.SubElement(renderer, "colorPalette")
    for c in legend.trained:
        entry = {"value": str(c.map_code), "label": c.name, "color": c.color, "alpha": "255"}
        ET.SubElement(palette, "paletteEntry", entry)
    ET.indent(root)
    with atomic_file(target) as partial:
        doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        text = f"{doctype}\n{ET.tostring(root, encoding='unicode')}\n"
        partial.write_text(text, encoding="utf-8")
    return True


def read_style(path: Path) -> dict[int, tuple[str, str]]:
    """Return name and color (`#RRGGBB`) by code from the style beside a map, empty without one."""
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
