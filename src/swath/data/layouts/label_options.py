"""Options of labels that have no effect on the labels of a source, which are refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import shapely

from swath.data.layouts.catalog import Catalog
from swath.errors import UsageError
from swath.io.vector import Features
from swath.options import SourceOptions

VECTOR_OPTIONS: tuple[str, ...] = (
    "label_field",
    "layer",
    "background",
    "extent",
    "all_touched",
    "label_width",
    "priority",
)
"""Fields of `SourceOptions` that are for vector layers."""

RASTER_OPTIONS: tuple[str, ...] = ("label_band", "fit_labels", "snap_colors")
"""Fields of `SourceOptions` that are for label rasters."""

LABEL_OPTIONS: tuple[str, ...] = (*VECTOR_OPTIONS, *RASTER_OPTIONS, "labels_crs")
"""Fields of `SourceOptions` that say how labels are read."""


def check_label_options(catalog: Catalog, options: SourceOptions) -> None:
    """Refuse options that have no effect on any labels of a catalog.

    Nothing is refused where label files could not be read, since these may be of the other kind.

    Raises:
        UsageError: an option is for labels of another kind, or there are none.
    """
    if any(f.level == "error" for f in catalog.findings):
        return
    labels = [s.labels for s in catalog.samples if s.labels is not None]
    layers = list({id(x): x for x in labels if isinstance(x, Features)}.values())
    if not labels:
        _refuse(given_options(options, LABEL_OPTIONS), "labels", "there are none")
    elif not layers:
        _refuse(given_options(options, VECTOR_OPTIONS), "vector layers", "the labels are rasters")
    elif all(isinstance(x, Features) for x in labels):
        _refuse(given_options(options, RASTER_OPTIONS), "label rasters", "the labels are layers")
    if layers:
        _check_shapes(layers, options)


def given_options(options: SourceOptions, names: Iterable[str]) -> list[str]:
    """Return those of some fields that are given, as they are typed."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]


def _check_shapes(layers: Sequence[Features], options: SourceOptions) -> None:
    """Refuse the width of points and lines where all are polygons, and the reverse."""
    dimensions = np.concatenate([shapely.get_dimensions(x.geometries) for x in layers])
    if not len(dimensions):
        return
    if (dimensions == 2).all():
        given = given_options(options, ["label_width"])
        _refuse(given, "points and lines", "all features are polygons")
    if (dimensions < 2).all() and options.label_width is None:
        given = given_options(options, ["all_touched"])
        _refuse(given, "polygons", "all features are points or lines")


def _refuse(given: Sequence[str], wanted: str, fault: str) -> None:
    if given:
        verb = "is" if len(given) == 1 else "are"
        message = f"{' and '.join(given)} {verb} for {wanted}, and {fault}"
        fix = f"Leave out {' and '.join(given)}"
        raise UsageError(message, code="option-conflict", fix=fix)
