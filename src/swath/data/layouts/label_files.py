"""Label files that are not one an image: joined by place, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TypeAlias

import numpy as np
from rasterio.warp import transform_bounds

from swath.data.layouts.catalog import SourceSample, matching
from swath.errors import DataError, UsageError, check_path
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.labels import with_crs
from swath.io.raster import open_raster
from swath.io.vector import (
    Features,
    LayerOptions,
    align_classes,
    is_class_name,
    is_vector_file,
    read_features,
)
from swath.options import SourceOptions

Bounds: TypeAlias = tuple[float, float, float, float]

WRITE_FIELDS = (
    "Say which belong together with a field in both patterns, such as"
    " --images 'images/{id}.tif' --labels 'labels/{id}.tif', or list them in a file (--pairs FILE)"
)
"""What to do where files do not show what belongs together."""


SIDE_FILES = (".aux.xml", ".ovr", ".msk", ".tfw", ".pgw", ".jgw", ".wld", ".prj", ".dbf", ".shx")
"""Ends of names of files that describe others, in lower case."""


def layer_options(options: SourceOptions) -> LayerOptions:
    """Return how vector layers become labels."""
    extent = options.extent
    if extent is not None:
        if options.background is None:
            message, fix = "--extent is for --background", "Name a class with --background"
            raise UsageError(message, code="option-conflict", fix=fix)
        found = matching(options.root, str(extent))
        if not found:
            message = f"No file matches --extent {extent}"
            fix = check_path(options.root / extent, "Check the name")
            raise DataError(message, code="no-such-file", file=options.root, fix=fix)
        extent = found[0]
    return LayerOptions(
        options.label_field,
        options.layer,
        options.labels_crs,
        options.priority,
        options.all_touched,
        options.label_width,
        options.background,
        extent,
    )


def with_labels(
    samples: Sequence[SourceSample], paths: Sequence[Path], how: LayerOptions
) -> list[SourceSample]:
    """Give each sample the labels of some files that lie on it.

    A layer is for all; of several rasters, each sample has those that touch it, and none where none
    does. A single raster is for all samples, if these are one or have a place.

    Args:
        samples: without labels.
        paths: label rasters, or vector files that are joined into one layer; at least one.
        how: how vector files become labels.

    Raises:
        DataError: files cannot be read or joined, or show no place.
    """
    vectors = [p for p in paths if is_vector_file(p)]
    if vectors and len(vectors) < len(paths):
        other = next(p for p in paths if not is_vector_file(p))
        message = f"The labels are vector layers and rasters, such as {vectors[0].name}"
        fix = "Give either rasters or vector layers"
        raise DataError(message, code="several-label-files", file=other, fix=fix)
    if vectors:
        layer = read_layers(vectors, how)
        return [replace(s, labels=layer, more_labels=tuple(vectors[1:])) for s in samples]
    if len(paths) == 1:
        _check_one_raster(samples, paths[0], how.crs)
        return [replace(s, labels=paths[0], warp=True) for s in samples]
    return [*_by_place(samples, paths, how.crs)]


def read_labels(path: Path, options: SourceOptions) -> Path | Features:
    """Return the path of a label raster, or the features of a vector file.

    Raises:
        DataError: see `read_features`.
    """
    return read_features(path, options=layer_options(options)) if is_vector_file(path) else path


def check_columns(layers: Sequence[Features]) -> None:
    """Check that layers have their classes in one column, and not the name of their image.

    Layers without features, and those of a column that `--label-field` names, fit all.

    Raises:
        DataError: the columns differ, or a column that no name shows to be the class has one value
            in each layer and another one in every other.
    """
    filled = [f for f in layers if len(f.values) and f.how.field is None]
    for other in filled[1:]:
        if other.field != filled[0].field:
            message = (
                f"The class column is {_column(other)}, and that of {Path(filled[0].path).name} is"
                f" {_column(filled[0])}"
            )
            fix = "Name a column that all files have (--label-field), or none if all are one class"
            raise DataError(message, code="several-label-files", file=other.path, fix=fix)
    values = [f.classes[0] for f in filled if f.field]
    own = len(values) > 1 and all(len(v) == 1 for v in values)
    if own and len({v[0] for v in values}) == len(values) and not is_class_name(filled[0].field):
        field = filled[0].field
        message = f"Column {field!r} has one value in each label file, and another in each other"
        fix = f"Say whether it is the class (--label-field {quote(field)}, or none if all are one)"
        raise DataError(message, code="class-column-ambiguous", file=filled[0].path, fix=fix)


def read_layers(paths: Sequence[Path], how: LayerOptions) -> Features:
    """Read vector files as one layer, in the CRS of the first that has features.

    Raises:
        DataError: see `read_features`; or their class columns differ.
    """
    layers = [read_features(path, options=how) for path in paths]
    filled = [layer for layer in layers if len(layer.values)] or layers[:1]
    first = filled[0]
    for other in filled[1:]:
        if other.field != first.field or (first.field and other.textual != first.textual):
            message = (
                f"The class column is {_column(other)}, and that of {Path(first.path).name} is"
                f" {_column(first)}"
            )
            fix = "Name a column that all files have (--label-field), of the same type in all"
            raise DataError(message, code="several-label-files", file=other.path, fix=fix)
    if len(layers) == 1:
        return first
    values = [layer.values for layer in align_classes(filled)]
    return replace(
        first,
        path=layers[0].path,
        geometries=np.concatenate([layer.to_crs(first.crs) for layer in filled]),
        values=np.concatenate(values),
        fids=None,
        findings=tuple(finding for layer in layers for finding in layer.findings),
    )


def _column(layer: Features) -> str:
    return f"{layer.field!r} of {'text' if layer.textual else 'numbers'}"


def _check_one_raster(samples: Sequence[SourceSample], path: Path, crs: str | None) -> None:
    """Raise an error where one raster would be laid on images by their size alone."""
    if len(samples) < 2:
        return
    labels = _label_grid(path, crs)
    if labels is None or labels.crs is not None:
        return
    grids = [g for g in (grid_of(s.images[0]) for s in samples) if g is not None]
    if grids and all(has_place(g) and g.same_as(grids[0]) for g in grids):
        return
    message = f"The label file has no CRS, and {len(samples)} images would have the same labels"
    fix = f"Name the image that it belongs to, or: {WRITE_FIELDS[0].lower()}{WRITE_FIELDS[1:]}"
    raise DataError(message, code="labels-without-place", file=path, fix=fix)


def _by_place(
    samples: Sequence[SourceSample], paths: Sequence[Path], crs: str | None
) -> Iterator[SourceSample]:
    grids = []
    for path in paths:
        grid = _label_grid(path, crs)
        if grid is None or grid.crs is None:
            message = (
                f"There are {len(paths)} label files, and without a CRS nothing says which"
                " image each belongs to"
            )
            raise DataError(message, code="several-label-files", file=path, fix=WRITE_FIELDS)
        grids.append(grid)
    for sample in samples:
        image = grid_of(sample.images[0])
        if image is not None and image.crs is None:
            message = f"There are {len(paths)} label files, and the image has no CRS"
            fix = WRITE_FIELDS
            raise DataError(message, code="several-label-files", file=sample.images[0], fix=fix)
        touching = [p for p, g in zip(paths, grids, strict=True) if image and touches(image, g)]
        if touching:
            more = tuple(touching[1:])
            yield replace(sample, labels=touching[0], more_labels=more, warp=True)
        else:
            yield sample


def _label_grid(path: Path, crs: str | None) -> GeoBox | None:
    """Return the grid of a label raster in the CRS of `--labels-crs`, None if it is unreadable."""
    grid = grid_of(path)
    return grid if grid is None or crs is None else with_crs(grid, crs, str(path))


def touches(image: GeoBox, labels: GeoBox) -> bool:
    """Return whether two grids with a CRS share at least half a pixel of the image."""
    bounds = _bounds_in(labels, str(image.crs))
    if bounds is None:
        return False
    left, bottom, right, top = _bounds(image)
    width = min(right, bounds[2]) - max(left, bounds[0])
    height = min(top, bounds[3]) - max(bottom, bounds[1])
    pixel = min((right - left) / image.width, (top - bottom) / image.height)
    return width >= pixel / 2 and height >= pixel / 2


def _bounds(grid: GeoBox) -> Bounds:
    corners = [grid.point(c, r) for c in (0, grid.width) for r in (0, grid.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@cache
def _bounds_in(grid: GeoBox, crs: str) -> Bounds | None:
    bounds = _bounds(grid)
    if grid.crs == crs:
        return bounds
    try:
        left, bottom, right, top = transform_bounds(grid.crs, crs, *bounds)
    except GDAL_ERRORS:
        return None
    found = float(left), float(bottom), float(right), float(top)
    return found if np.isfinite(found).all() else None


def grid_of(path: Path) -> GeoBox | None:
    """Return the grid of a raster, None if it cannot be read."""
    try:
        with open_raster(path) as dataset:
            return geobox_of(dataset)
    except DataError:
        return None


def has_place(grid: GeoBox) -> bool:
    """Return whether a raster says where it lies: a CRS, or a transform of its own."""
    return grid.crs is not None or grid.transform != GeoBox(1, 1).transform
