"""How a label raster comes onto the grid of an image: pixel on pixel, warped, or by its size."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import Literal, TypeAlias

import rasterio
import shapely
import shapely.affinity

from swath.errors import DataError, UsageError
from swath.geo.crs import turns_of, x_period
from swath.geo.footprints import meet
from swath.geo.geobox import GeoBox
from swath.io.vector.crs import crs_name, parse_crs

MAX_STRETCH = 0.005
"""Largest difference of the aspects of labels and image that `--fit-labels` resamples."""

Placement: TypeAlias = Literal["same", "warped", "fitted"]
"""How labels come onto an image's grid: pixel on pixel, warped by CRS or transform, or by size."""


def place(labels: GeoBox, image: GeoBox, path: str, *, warp: bool, fit: bool) -> Placement:
    """Return how labels come onto an image's grid.

    Args:
        labels: grid of the label file.
        image: grid of the image.
        path: the label file, for errors.
        warp: whether the labels may lie anywhere.
        fit: whether labels of the image's aspect but another size are resampled.

    Raises:
        DataError: they do not, or lie elsewhere.
    """
    if (not warp or labels.crs is None) and lie_apart(labels, image):
        raise missing_image(labels, image, path)
    same_kind = (labels.crs is None) == (image.crs is None)
    if same_kind and has_place(labels) and has_place(image):
        return "same" if labels.same_as(image) else "warped"
    if _same_size(labels, image):
        return "same"
    _check_sideways(labels, image, path)
    stretch = labels.width * image.height / (labels.height * image.width)
    one_aspect = abs(stretch - 1) <= MAX_STRETCH
    if fit and one_aspect:
        return "fitted"
    message = f"The labels are {_sizes(labels, image)}"
    fix = "Make the labels on the image's own pixels, or give both a CRS and transform"
    if one_aspect:
        message, fix = f"{message}, of one aspect", "Resample the labels (--fit-labels)"
    raise DataError(message, code="size-mismatch", file=path, fix=fix)


def _sizes(labels: GeoBox, image: GeoBox) -> str:
    return f"{labels.width}x{labels.height} pixels and the image {image.width}x{image.height}"


def _check_sideways(labels: GeoBox, image: GeoBox, path: str) -> None:
    """Raise an error where neither side has a CRS, and one has the other's size turned."""
    turned = (labels.height, labels.width) == (image.width, image.height)
    if not turned or labels.crs is not None or image.crs is not None:
        return
    message = f"The labels are {_sizes(labels, image)}, as viewers show it: one lies sideways"
    fix = "Turn one of them; EXIF orientations are applied already"
    raise DataError(message, code="labels-sideways", file=path, fix=fix)


def missing_image(labels: GeoBox, image: GeoBox, path: str) -> DataError:
    """Return the error on labels that lie elsewhere than their image."""
    places = [f"{_bounds(box)} in {short_crs_name(box)}" for box in (labels, image)]
    message = f"The labels lie at {places[0]}, and the image at {places[1]}: they do not meet"
    fix = f"Check both (`rio info {shlex.quote(path)}`)"
    crs = rasterio.CRS.from_wkt(image.crs) if image.crs else None
    code = None if crs is None else crs.to_epsg()
    # Without a code, a transform alone would leave labels in another CRS where they are.
    if _same_size(labels, image) and (code or None in (crs, labels.crs) or labels.same_crs(image)):
        moved = f"--transform {shlex.quote(str(list(image.transform)))}"
        if code:
            moved = f"--crs EPSG:{code} {moved}"
        command = f"rio edit-info {shlex.quote(path)} {moved}"
        fix = f"Check both; if the labels are of this image, `{command}` says so"
    return DataError(message, code="labels-miss-images", file=path, fix=fix)


def with_crs(labels: GeoBox, wanted: str, path: str) -> GeoBox:
    """Return the grid of a label file in the CRS that `--labels-crs` names.

    Raises:
        UsageError: the CRS is not known, the file declares another, or it has no transform, so that
            the CRS has no effect.
    """
    named = replace(labels, crs=rasterio.CRS.from_wkt(parse_crs(wanted).to_wkt()).to_wkt())
    if labels.crs is not None:
        if labels.same_crs(named):
            return labels
        message = f"The labels declare {crs_name(labels.crs)}, and --labels-crs is {wanted}"
        command = f"rio edit-info {shlex.quote(path)} --crs {shlex.quote(wanted)}"
        fix = f"Leave out --labels-crs, or correct the file (`{command}`)"
        raise UsageError(message, code="option-conflict", file=path, fix=fix)
    if not has_place(labels):
        message = "The labels have no transform, so that --labels-crs has no effect"
        fix = "Leave out --labels-crs: labels without a place are laid on their image by size"
        raise UsageError(message, code="option-conflict", file=path, fix=fix)
    return named


def short_crs_name(box: GeoBox) -> str:
    """Return the name that a CRS has in its WKT."""
    if box.crs is None:
        return "no CRS"
    return box.crs.partition('"')[2].partition('"')[0] or "a CRS without a name"


def _bounds(box: GeoBox) -> str:
    """Write the extent of a raster in its CRS."""
    corners = [(0, 0), (0, box.height), (box.width, 0), (box.width, box.height)]
    xs, ys = zip(*(box.point(*corner) for corner in corners), strict=True)
    return f"x {min(xs):.8g} to {max(xs):.8g}, y {min(ys):.8g} to {max(ys):.8g}"


def _same_size(a: GeoBox, b: GeoBox) -> bool:
    return (a.height, a.width) == (b.height, b.width)


def has_place(box: GeoBox) -> bool:
    """Return whether a raster has a place: a CRS, or a transform that does not count pixels."""
    a, b, c, d, e, f = box.transform
    counts = abs(a) == abs(e) == 1 and b == d == 0
    return box.crs is not None or not (counts and abs(c) <= box.width and abs(f) <= box.height)


def lie_apart(labels: GeoBox, image: GeoBox) -> bool:
    """Return whether two rasters evidently do not meet; a missing CRS is taken for the other's."""
    if not (has_place(labels) and has_place(image)):
        return False
    if labels.crs is None or image.crs is None or labels.same_crs(image):
        shifts = turns_of(image.crs or labels.crs)
        moved = [shapely.affinity.translate(outline(labels), shift) for shift in shifts]
        return not any(_touch(one, outline(image)) for one in moved)
    return meet(labels, image) is False


def label_turns(labels: GeoBox, image: GeoBox) -> list[float]:
    """Return by how much x of labels is shifted around the earth so that they meet their image.

    It is 0 alone, except for labels and images on other sides of 180 degrees or of 0 and 360.
    """
    shifts = turns_of(labels.crs)
    own = outline(labels)
    if labels.same_crs(image):
        area = outline(image)
    else:  # PROJ's x lie half around both sides of 0
        half = (x_period(labels.crs) or math.inf) / 2
        _, south, _, north = own.bounds
        area = shapely.box(-half, south, half, north)
    moved = [(shift, shapely.affinity.translate(own, shift)) for shift in shifts]
    return [shift for shift, one in moved if len(shifts) > 1 and _touch(one, area)] or [0.0]


def outline(grid: GeoBox) -> shapely.Polygon:
    """Return the outline of a grid in its CRS."""
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.point(*corner) for corner in corners])


def _touch(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    return bool(shapely.intersects(a, b) and not shapely.touches(a, b))
