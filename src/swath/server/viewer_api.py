"""What a page shows: a map and what belongs to it, as layers from the ground up.

Beside a map `x.tif` lie, where `predict` was asked for them, `x_confidence.tif` and
`x_probabilities.tif`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from swath.errors import DataError
from swath.server.layer import PERCENT, MapLayer, hex_color
from swath.server.live_layer import LiveLayer
from swath.server.registry import Registry
from swath.server.web_mercator import DEEPEST, PIXEL, to_lonlat

BESIDE = ("_confidence", "_probabilities")
"""Ends of the names of files that belong to a map."""

MOST_NEIGHBOURS = 40
"""Files of a folder that are opened to find the image of a map."""

_ORDER = ("image", "truth", "map", "probabilities", "confidence")


def belonging(name: str) -> list[str]:
    """Return the names that files belonging to a map have."""
    path = PurePosixPath(name)
    return [str(path.with_name(path.stem + end + path.suffix)) for end in BESIDE]


def choose(registry: Registry, name: str) -> list[str]:
    """Return a map, what belongs to it, and the image beside it that lies pixel on pixel, if there is one.

    Raises:
        NotServed, DataError: the map cannot be read.
    """
    first = registry.layer(name)
    names = [name, *(n for n in belonging(name) if registry.has(n))]
    if first.kind == "map":
        folder = PurePosixPath(name).parent
        neighbors = [
            n for n in registry.names() if PurePosixPath(n).parent == folder and n not in names
        ]
        for other in neighbors[:MOST_NEIGHBOURS]:
            try:
                layer = registry.layer(other)
            except DataError:
                continue
            if layer.kind == "image" and layer.grid.same_as(first.grid):
                names.append(other)
                break
    return names


def describe(registry: Registry, names: Sequence[str]) -> dict[str, Any]:
    """Describe a page as a JSON object: its layers from the ground up, where they lie, and where maps and truth differ.

    Raises:
        NotServed, DataError: a layer cannot be read, or lies nowhere near the first one.
    """
    layers = [(name, registry.layer(name)) for name in names]
    first = layers[0][1]
    for name, layer in layers[1:]:
        if layer.place.in_pixels != first.place.in_pixels:
            without = name if layer.place.in_pixels else names[0]
            raise DataError(
                "it has no CRS, and the others have one",
                file=without,
                fix="Show it alone, or give it a CRS (gdal_edit.py -a_srs)",
            )
    ordered = sorted(layers, key=lambda pair: _ORDER.index(pair[1].kind))
    rows = [_row(registry, name, layer) for name, layer in ordered]
    coded = [(name, layer) for name, layer in layers if layer.classified]
    pairs = [
        ((a, one), (b, other)) for i, (a, one) in enumerate(coded) for b, other in coded[i + 1 :]
    ][:3]
    return {
        "title": PurePosixPath(names[0]).name,
        "pixel": PIXEL if first.place.in_pixels else None,
        "size": [first.grid.width, first.grid.height],
        "bounds": _degrees(first),
        "zoom": first.place.zoom,
        "layers": rows,
        "differences": [
            {
                "name": f"{a} | {b}",
                "title": f"{PurePosixPath(a).name} and {PurePosixPath(b).name}",
                "one": a,
                "other": b,
                "version": registry.version(a) + registry.version(b),
                "bounds": _degrees(one),
                "zoom": min(max(one.place.zoom, other.place.zoom), DEEPEST),
                "shallowest": max(one.shallowest, other.shallowest),
            }
            for (a, one), (b, other) in pairs
        ],
    }


def _row(registry: Registry, name: str, layer: MapLayer) -> dict[str, Any]:
    legend = layer.legend
    live = isinstance(layer, LiveLayer)
    return {
        "live": live,
        "name": name,
        "title": PurePosixPath(name).name,
        "kind": layer.kind,
        "version": registry.version(name),
        "bounds": _degrees(layer),
        "zoom": layer.place.zoom,
        "shallowest": layer.shallowest,
        "classes": [{"code": c.map_code, "name": c.name, "color": c.color} for c in legend.trained]
        if legend
        else [],
        "bands": list(layer.bands) if layer.kind == "probabilities" else [],
        "ramp": [hex_color(layer.colors[v]) for v in (0, 25, 50, 75, 100)]
        if layer.kind in PERCENT
        else [],
    }


def _degrees(layer: MapLayer) -> list[float]:
    west, south, east, north = layer.place.bounds
    return [*to_lonlat(west, south), *to_lonlat(east, north)]
