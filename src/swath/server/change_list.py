"""The largest changes of a map of change, for the list of the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from swath.errors import DataError
from swath.mapping.change.places import ChangedPlace, find_places
from swath.server.layer import MapLayer
from swath.server.web_mercator import Placement, to_lonlat
from swath.transitions import Transitions

LISTED = 50
"""Changes of the list."""


def largest_changes(layer: MapLayer) -> list[dict[str, Any]]:
    """Return the largest changes of a layer as JSON objects, the largest first.

    Each has `code`, `name`, `color`, `pixels`, `hectares`, `confidence`, `point` (longitude and
    latitude of a pixel of it) and `bounds` (west, south, east, north).

    Raises:
        DataError: the layer is no map of change, or damaged.
    """
    transitions = layer.transitions
    if transitions is None:
        message, fix = "The raster is no map of change", "Name a map that `swath change` wrote"
        raise DataError(message, code="not-a-change-map", file=layer.path, fix=fix)
    places = find_places(layer.path, transitions)[:LISTED]
    return [_describe(place, layer.placement, transitions) for place in places]


def _describe(
    place: ChangedPlace, placement: Placement, transitions: Transitions
) -> dict[str, Any]:
    one, window = transitions.land_class(place.code), place.window
    west, east = window.col, window.col + window.width
    north, south = window.row, window.row + window.height
    cols = np.array([place.col + 0.5, west, east, west, east], float)
    rows = np.array([place.row + 0.5, north, north, south, south], float)
    x, y = placement.mercator(cols, rows)
    corners = (x[1:].min(), y[1:].min()), (x[1:].max(), y[1:].max())
    return {
        "code": place.code,
        "name": one.name,
        "color": one.color,
        "pixels": place.pixels,
        "hectares": place.hectares,
        "confidence": place.confidence,
        "point": to_lonlat(float(x[0]), float(y[0])),
        "bounds": [*to_lonlat(*map(float, corners[0])), *to_lonlat(*map(float, corners[1]))],
    }
