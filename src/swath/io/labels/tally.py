"""What became of the features of a layer: which have a pixel, and why others have none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels.burning import Burner, Burnt


@dataclass(frozen=True)
class LayerTally:
    """What became of the features of a layer on one image; positions in the layer, shape (n,).

    Attributes:
        visible: features that have a pixel.
        hidden: those whose pixels all went to later features of other classes.
        small: polygons that cover no pixel center.
        shared: points whose pixel went to a point of another class.
        contested: pixels that features of several classes cover.
    """

    visible: NDArray[np.int64]
    hidden: NDArray[np.int64]
    small: NDArray[np.int64]
    shared: NDArray[np.int64]
    contested: int


class FeatureCounter:
    """Counts window by window what became of the features of a layer.

    Args:
        burner: draws the features.
        codes: of the features, shape (n,).
        grid: the image's grid.
    """

    def __init__(self, burner: Burner, codes: NDArray[np.int64], grid: GeoBox) -> None:
        self._burner, self._codes, self._grid = burner, codes, grid
        self._seen: dict[str, list[NDArray[np.int64]]] = {
            key: [np.array([], np.int64)] for key in ("visible", "hidden", "small", "shared")
        }
        self._contested = 0

    def add(self, burnt: Burnt) -> None:
        """Count the features near a window."""
        if not len(burnt.found):
            return
        has = np.bincount(burnt.ids.ravel(), minlength=len(burnt.found) + 1)[1:] > 0
        self._seen["visible"].append(burnt.found[has])
        for k in np.flatnonzero(~has).tolist():
            fate = self._fate(burnt, k)
            if fate is not None:
                self._seen[fate].append(burnt.found[k : k + 1])
        if self._may_differ(burnt.found):
            first = self._burner.burn(burnt.window, backward=True)
            codes = self._codes[burnt.found]
            differ = codes[first.ids - 1] != codes[burnt.ids - 1]
            self._contested += int(((burnt.ids > 0) & differ).sum())

    @property
    def tally(self) -> LayerTally:
        """What became of the features in all windows that were counted."""
        merged = {key: np.unique(np.concatenate(parts)) for key, parts in self._seen.items()}
        seen = merged["visible"]
        for key in ("hidden", "shared", "small"):
            merged[key] = np.setdiff1d(merged[key], seen)
            seen = np.union1d(seen, merged[key])
        return LayerTally(**merged, contested=self._contested)

    def _fate(self, burnt: Burnt, k: int) -> str | None:
        """Return why a feature near a window has no pixel there, None if it lost none."""
        top, left, bottom, right = bounds = self._burner.pixel_bounds(burnt, k)
        box = _box_around(bounds, burnt.window)
        if box is None:
            return None
        thin = self._is_thin(burnt.found[k])
        if thin or (_holds_center(top, bottom) and _holds_center(left, right)):
            own = self._burner.burn_alone(burnt, k, box)
            if own.any():
                return self._fate_below(burnt, k, burnt.ids[box.slices][own])
        return "small" if not thin and self._is_inside(bounds, burnt.window) else None

    def _fate_below(self, burnt: Burnt, k: int, ids: NDArray[np.int32]) -> str | None:
        """Return what a feature is whose pixels show others (`ids`); None if all of its class."""
        winners = burnt.found[ids - 1]
        others = winners[self._codes[winners] != self._codes[burnt.found[k]]]
        if not len(others):
            return None
        points = (shapely.get_dimensions(self._burner.geometries[others]) == 0).any()
        return "shared" if points and self._is_thin(burnt.found[k]) else "hidden"

    def _is_thin(self, position: int) -> bool:
        """Return whether a feature is a point or line."""
        return int(shapely.get_dimensions(self._burner.geometries[position])) < 2

    def _is_inside(self, bounds: tuple[float, float, float, float], window: Window) -> bool:
        """Return whether bounds in pixels of a window lie wholly in the image."""
        top, left, bottom, right = bounds
        rows = top + window.row >= 0 and bottom + window.row <= self._grid.height
        return rows and left + window.col >= 0 and right + window.col <= self._grid.width

    def _may_differ(self, found: NDArray[np.int64]) -> bool:
        """Return whether the boxes around any features of two classes overlap."""
        if len(np.unique(self._codes[found])) < 2:
            return False
        geometries = self._burner.geometries
        i, j = self._burner.tree.query(geometries[found])
        i = found[i]
        ahead = (j > i) & (self._codes[i] != self._codes[j])
        a, b = (shapely.bounds(geometries[k[ahead]]) for k in (i, j))
        low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
        return bool((low < high).all(axis=1).any())


def _box_around(bounds: tuple[float, float, float, float], window: Window) -> Window | None:
    """Return bounds in pixels of a window with a margin of one pixel, None outside the window."""
    top, left = (max(0, math.floor(low) - 1) for low in bounds[:2])
    bottom = min(window.height, math.ceil(bounds[2]) + 1)
    right = min(window.width, math.ceil(bounds[3]) + 1)
    if bottom <= top or right <= left:
        return None
    return Window(top, left, bottom - top, right - left)


def _holds_center(low: float, high: float) -> bool:
    """Return whether a range of rows or columns holds the center of a pixel."""
    return math.ceil(low - 0.5 - 1e-9) <= math.floor(high - 0.5 + 1e-9)
