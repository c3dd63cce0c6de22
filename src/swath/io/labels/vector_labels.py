"""Labels from the features of a vector layer."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels.burning import Burner, Burnt
from swath.io.labels.class_codes import class_codes
from swath.io.labels.placement import outline
from swath.io.labels.protocol import UNLABELED
from swath.io.labels.tally import FeatureCounter, LayerTally
from swath.io.raster import open_raster
from swath.io.vector import Features, crs_code
from swath.io.warping import control_points_error, count_points
from swath.legend import Kind, Legend
from swath.types import PathLike


class VectorLabels:
    """Features on an image's grid: a pixel has the class of the last polygon over its center.

    Points take the pixel that they lie in, and lines all that they touch.

    Args:
        features: the layer.
        grid: the image's grid.
        legend: the classes, which text must match by name; without them text gets 1, 2, ... in
            alphabetical order.
        found: whether the legend was found in these labels, so that a class without it has no
            pixel.
        image: file of the image, for errors.

    Raises:
        DataError: a class name of a feature in the image is not in the legend, only one side has
            a CRS, or no CRS leads to the other.
    """

    def __init__(
        self,
        features: Features,
        grid: GeoBox,
        legend: Legend | None = None,
        *,
        found: bool = False,
        image: PathLike | None = None,
    ) -> None:
        if grid.crs is None and image is not None:
            _check_control_points(image, features)
        self._burner = Burner(features, grid)
        codes, self.names, self._background = class_codes(features, legend, found)
        distinct, at = features.classes
        self._path, self._kind = features.path, "code" if legend is None else legend.kind
        if self._kind == "color" and any(codes.get(v) == v for v in distinct):
            raise self._colors_wanted(None if legend is None else legend.origin)
        if legend is not None and not found:
            self._check_known(features, grid, codes, legend)
        table = np.array([codes.get(value, UNLABELED) for value in distinct], np.int64)
        self._codes = table[at]
        self._extent: VectorLabels | None = None
        if self._background is not None and features.extent is not None:
            self._extent = VectorLabels(features.extent, grid)
        self._counter = FeatureCounter(self._burner, self._codes, grid)
        self._last: Burnt | None = None

    def _colors_wanted(self, origin: str | None = None) -> DataError:
        """Return the error on class codes or names where classes have colors alone."""
        message = "The layer has class codes or names, and the masks of other images have colors"
        fix = "Name the classes and their colors with --classes FILE"
        if origin is not None:
            message = "The layer has class codes, and the classes have colors without codes"
            shown = '{name: water, code: 1, color: "#0072B2"}'
            fix = f"Give each class its code in {origin}, as in {shown}"
        return DataError(message, code="labels-codes", file=self._path, fix=fix)

    def _check_known(
        self, features: Features, grid: GeoBox, codes: Collection[object], legend: Legend
    ) -> None:
        """Raise an error where a feature in the image is of a class that the legend lacks."""
        missing = {value for value in features.classes[0] if value not in codes}
        if not missing:
            return
        near = self._burner.tree.query(outline(grid))
        for name in sorted(missing & set(features.values[near].tolist())):
            count = int((features.values == name).sum())
            message = f"Class {name!r} of {count} features is not among the classes"
            fix = f"Add it to {legend.origin}, with `ignore: true` if it is not to be trained"
            raise DataError(message, code="unknown-class", file=features.path, fix=fix)

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window; `kind` must be that of the legend.

        Raises:
            DataError: colors are wanted, and no legend has them.
        """
        if kind != self._kind:
            raise self._colors_wanted()
        burnt = self._last = self._burner.burn(window)
        out = np.full((window.height, window.width), UNLABELED, np.int64)
        if len(burnt.found):
            winners = self._codes[burnt.found][np.maximum(burnt.ids, 1) - 1]
            out = np.where(burnt.ids > 0, winners, out)
        if self._background is not None:
            around = burnt.ids == 0
            if self._extent is not None:
                around &= self._extent.read(window, "code") != UNLABELED
            out[around] = self._background
        return out

    def count(self, window: Window) -> None:
        """Count what became of the features in a window that was read last."""
        if self._last is not None and self._last.window == window:
            self._counter.add(self._last)

    @property
    def tally(self) -> LayerTally:
        """What became of the features in all windows that were counted."""
        return self._counter.tally

    def close(self) -> None:
        """Do nothing: no file is open."""


def _check_control_points(image: PathLike, features: Features) -> None:
    """Raise an error where control points or RPCs alone place an image."""
    with open_raster(image) as dataset:
        points, rpcs = count_points(dataset), dataset.rpcs
    if (points or rpcs) and features.crs is not None:
        raise control_points_error(str(image), points, crs_code(features.crs, "EPSG:4326"))
