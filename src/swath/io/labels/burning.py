"""Features of a layer that are drawn onto windows of an image's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from swath.geo.crs import turns_of
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels.placement import outline
from swath.io.vector import Features


@dataclass(frozen=True)
class Burnt:
    """The features near a window, and which of them its pixels show.

    Attributes:
        window: rows and columns of the image.
        found: positions in the layer of the features near it, shape (n,).
        shifts: by how much in x each was found east of the window, shape (n,).
        ids: which of them (1, 2, ...) each pixel shows, 0 for none, shape (rows, columns).
    """

    window: Window
    found: NDArray[np.int64]
    shifts: NDArray[np.float64]
    ids: NDArray[np.int32]


class Burner:
    """Draws the features of a layer in their order, so that later ones cover earlier ones.

    A polygon takes the pixels whose centers it covers, or all that it touches; a point takes the
    pixel that it lies in, and a line all that it touches.

    Args:
        features: the layer.
        grid: the image's grid.

    Attributes:
        geometries: those of the layer in the image's CRS, shape (n,).
        tree: their spatial index.

    Raises:
        DataError: only one side has a CRS, or no CRS leads to the other.
    """

    def __init__(self, features: Features, grid: GeoBox) -> None:
        self._grid, self._all_touched = grid, features.how.all_touched
        self.geometries, self.tree = features.to_crs_indexed(grid.crs)
        # Features may lie on the other side of 180 degrees.
        self._shifts = turns_of(grid.crs)

    def burn(self, window: Window, backward: bool = False) -> Burnt:
        """Draw the features near a window; in reverse order if `backward`."""
        ids = np.zeros((window.height, window.width), np.int32)
        found, shifts = [np.array([], np.int64)], [np.array([])]
        start = 1
        for shift in self._shifts:
            part = self._part(window, shift)
            near = np.sort(self.tree.query(outline(part)))
            if len(near):
                numbers = np.arange(start, start + len(near))
                order = slice(None, None, -1 if backward else 1)
                self._draw(near[order], numbers[order], part, ids)
                start += len(near)
                found.append(near)
                shifts.append(np.full(len(near), shift))
        return Burnt(window, np.concatenate(found), np.concatenate(shifts), ids)

    def burn_alone(self, burnt: Burnt, k: int, box: Window) -> NDArray[np.bool_]:
        """Return which pixels of a box in the window the k-th feature near it takes on its own."""
        alone = np.zeros((box.height, box.width), np.int32)
        part = self._part(burnt.window, float(burnt.shifts[k])).part(box)
        self._draw(burnt.found[k : k + 1], np.array([1]), part, alone)
        return alone > 0

    def pixel_bounds(self, burnt: Burnt, k: int) -> tuple[float, float, float, float]:
        """Return top, left, bottom and right of the k-th feature, in pixels of the window."""
        part = self._part(burnt.window, float(burnt.shifts[k]))
        west, south, east, north = self.geometries[burnt.found[k]].bounds
        corners = [(west, south), (west, north), (east, south), (east, north)]
        cols, rows = zip(*(~part.affine @ corner for corner in corners), strict=True)
        return min(rows), min(cols), max(rows), max(cols)

    def _part(self, window: Window, shift: float) -> GeoBox:
        """Return the grid of a window, moved west by `shift`."""
        return self._grid.part(window).moved(-shift)

    def _draw(
        self,
        near: NDArray[np.int64],
        numbers: NDArray[np.int64],
        part: GeoBox,
        ids: NDArray[np.int32],
    ) -> None:
        """Draw features in order, those of one rule at a time."""
        shapes = self.geometries[near]
        touched = (shapely.get_dimensions(shapes) == 1) | self._all_touched
        cuts = np.flatnonzero(np.diff(touched)) + 1
        for run in np.split(np.arange(len(near)), cuts):
            rasterio.features.rasterize(
                zip(shapes[run], numbers[run].tolist(), strict=True),
                out=ids,
                transform=part.affine,
                all_touched=bool(touched[run[0]]),
            )
