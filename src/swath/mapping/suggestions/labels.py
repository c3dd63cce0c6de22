"""Where an image has labels, and whether they are of the model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, MaskReading, RasterLabels, VectorLabels
from swath.io.labels.class_codes import class_codes
from swath.io.vector import Features, LayerOptions, is_vector_file, read_features
from swath.legend import Kind, Legend
from swath.mapping.inputs import touches_image
from swath.types import PathLike


class LabelsOfImage:
    """The labels of an image: a vector layer, or a raster.

    Args:
        path: the labels, in any CRS.
        grid: grid of the image.
        legend: classes of the model.
        how: class column, layer and CRS of a vector layer.
        image: file of the image, for errors.

    Attributes:
        warnings: what could not be read.

    Raises:
        DataError: the labels cannot be read, lie elsewhere, or are of other classes than the
            model's; or one of labels and image has a CRS, and the other has none.
        UsageError: a column or a layer is named for a raster.
    """

    def __init__(
        self, path: PathLike, grid: GeoBox, legend: Legend, how: LayerOptions, image: PathLike
    ) -> None:
        self._path, self.warnings = Path(path), list[str]()
        if is_vector_file(self._path):
            codes = _with_codes(legend)
            features = read_features(path, None, how)
            self.warnings = [f"{f.file}: {f.message} {f.fix}" for f in features.findings]
            _check_classes(features, codes)
            self._labels: VectorLabels | RasterLabels = VectorLabels(features, grid, image=image)
            if not touches_image(features, grid):
                raise _elsewhere(self._path)
            self._kind: Kind = "code"
            self._legend: Legend | None = None
            return
        for option, given in (("--label-field", how.field), ("--layer", how.layer)):
            if given is not None:
                message = f"{option} is for vector layers, and the labels are a raster"
                fix = f"Leave out {option}"
                raise UsageError(message, code="option-conflict", file=path, fix=fix)
        self._labels = RasterLabels(path, grid, reading=MaskReading(crs=how.crs), legend=legend)
        self._legend, self._kind = legend, legend.kind

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels of a window have a label (rows, columns).

        Raises:
            DataError: a raster has a code that is none of the model's.
        """
        codes = self._labels.read(window, self._kind)
        known: NDArray[np.bool_] = codes != UNLABELED
        if self._legend is not None and not self._legend.snap:
            odd = np.unique(codes[known & ~self._legend.known(codes)]).tolist()
            if odd:
                raise _unknown([str(code) for code in odd], self._legend, self._path)
        return known

    def close(self) -> None:
        """Close the file."""
        self._labels.close()


def _with_codes(legend: Legend) -> Legend:
    """Return a legend that has the codes of maps where masks have colors."""
    if legend.kind == "code":
        return legend
    classes = tuple(replace(c, codes=(c.map_code,)) for c in legend.trained)
    return Legend(classes, origin=legend.origin)


def _check_classes(features: Features, legend: Legend) -> None:
    """Refuse features of a class that the model does not have."""
    codes, known = class_codes(features, legend, False).codes, legend.known
    distinct = features.classes[0]
    odd = [v for v in distinct if v not in codes or not known(np.array([codes[v]])).all()]
    if odd:
        raise _unknown([str(value) for value in odd], legend, Path(features.path))


def _unknown(odd: Sequence[str], legend: Legend, path: Path) -> DataError:
    listed = ", ".join(odd[:5]) + (", ..." if len(odd) > 5 else "")
    message = f"The labels have classes that the model does not have: {listed}"
    own = ", ".join(f"{c.map_code} {c.name}" for c in legend.trained[:10])
    fix = f"Train a model with these labels first, or correct them; the model has {own}"
    return DataError(message, code="unknown-class", file=path, fix=fix)


def _elsewhere(path: Path) -> DataError:
    return DataError(
        "The labels lie outside of the image",
        code="labels-miss-images",
        file=path,
        fix="Check the CRS and extent of both; for an image without labels, take "
        "`swath predict --review 20`",
    )
