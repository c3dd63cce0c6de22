"""Checks of vector layers on all images: what rasterizing loses, labels that miss the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError

from swath.checks.cross_checks import Scanned
from swath.geo.crs import turns_of
from swath.geo.geobox import GeoBox
from swath.io.labels.placement import outline
from swath.io.vector import Features, crs_code, crs_name, listed_features
from swath.types import Finding, Level

MAX_NAMES = 12  # classes that a message lists
DEGREE = 111_320.0  # meters of latitude
MOST_DECIMALS = 4  # of degrees that are taken for rounded
MIN_ROUNDED = 4  # features with rounded coordinates that are no coincidence
MAX_STEP = 3.0  # pixels between neighboring rounded coordinates


@dataclass(frozen=True)
class _Fates:
    """What became of the features of a layer on all images, and which samples have it."""

    features: Features
    samples: list[Scanned]
    visible: NDArray[np.int64]
    hidden: NDArray[np.int64]
    shared: NDArray[np.int64]
    small: NDArray[np.int64]
    contested: int

    def classes(self, positions: NDArray[np.int64]) -> set[Any]:
        """Return the classes of features."""
        return set(self.features.values[positions].tolist())

    def finding(self, level: Level, code: str, message: str, fix: str) -> Finding:
        """Return a finding on the layer; it is of a sample where only that one has the layer."""
        name = self.samples[0].sample.name if len(self.samples) == 1 else None
        return Finding(level, code, self.features.path, message, fix, name)


def check_layers(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield the findings on vector layers, each layer once for all images that have it."""
    layers: dict[int, list[Scanned]] = {}
    for s in scanned:
        if isinstance(s.sample.labels, Features):
            layers.setdefault(id(s.sample.labels), []).append(s)
    fates = [_fates(group) for group in layers.values()]
    several = len(fates) > 1
    for fate in fates:
        yield from fate.features.findings
        if len(fate.features.values) and not any(
            len(part) for part in (fate.visible, fate.hidden, fate.shared, fate.small)
        ):
            yield _missed(fate, several)
            continue
        yield from _check_lost(fate)
        yield from _check_points(fate)
        yield from _check_places(fate)
        yield from _check_rounding(fate)
    yield from _check_outside([f for f in fates if len(f.visible)])


def _fates(group: Sequence[Scanned]) -> _Fates:
    features = group[0].sample.labels
    assert isinstance(features, Features)
    tallies = [s.scan.labels.tally for s in group if s.scan.labels.tally is not None]
    visible = _union([t.visible for t in tallies])
    hidden = np.setdiff1d(_union([t.hidden for t in tallies]), visible)
    shared = np.setdiff1d(_union([t.shared for t in tallies]), np.union1d(visible, hidden))
    small = _union([t.small for t in tallies])
    small = np.setdiff1d(small, np.concatenate([visible, hidden, shared]))
    contested = sum(t.contested for t in tallies)
    return _Fates(features, list(group), visible, hidden, shared, small, contested)


def _union(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate([np.array([], np.int64), *parts]))


def _check_lost(fate: _Fates) -> Iterator[Finding]:
    features = fate.features

    def lost(positions: NDArray[np.int64]) -> str:
        """List features, and the classes that have no pixel without them."""
        ids = listed_features(features.ids(positions))
        gone = sorted(map(str, fate.classes(positions) - fate.classes(fate.visible)))
        names = f"; no pixel is left of class {', '.join(gone[:MAX_NAMES])}" if gone else ""
        return f"({ids}{names})"

    if len(fate.small):
        message = f"{len(fate.small)} polygons cover no pixel center {lost(fate.small)}."
        fix = (
            "Give them all pixels that they touch (--all-touched), if the image is not too coarse."
        )
        yield fate.finding("warning", "polygons-too-small", message, fix)
    if len(fate.shared):
        message = (
            f"{len(fate.shared)} points lie in the pixel of a later point of another class "
            f"{lost(fate.shared)}: the last counts."
        )
        fix = "Delete one of them, or say which counts (--priority FIELD)."
        yield fate.finding("warning", "points-share-pixel", message, fix)
    if len(fate.hidden) or fate.contested:
        count = "1 feature is" if len(fate.hidden) == 1 else f"{len(fate.hidden)} features are"
        hidden = f"; {count} hidden {lost(fate.hidden)}"
        message = (
            f"{fate.contested} pixels are covered by features of several classes, and the "
            f"{'highest priority' if features.how.priority else 'last feature'} counts"
            f"{hidden if len(fate.hidden) else ''}."
        )
        fix = "Check the overlaps, or say which counts (--priority FIELD)."
        level: Level = "warning" if len(fate.hidden) else "note"
        yield fate.finding(level, "labels-overlap", message, fix)


def _check_points(fate: _Fates) -> Iterator[Finding]:
    """Yield how many points of each class have a pixel, and how many lie outside the images."""
    features = fate.features
    points = shapely.get_dimensions(features.geometries) == 0
    if not points.any():
        return
    values, visible = features.values, np.isin(np.arange(len(points)), fate.visible)
    classes = sorted(set(values[points].tolist()), key=str)
    counts = []
    for name in classes[:MAX_NAMES]:
        of = points & (values == name)
        counts.append(f"{int((of & visible).sum())} of {int(of.sum())} of {name}")
    more = ", ..." if len(classes) > MAX_NAMES else ""
    message = f"Points that have a pixel: {', '.join(counts)}{more}."
    fix = "Nothing to do, if all have; others lie outside, or in the pixel of another point."
    yield fate.finding("note", "points-by-class", message, fix)


def _check_places(fate: _Fates) -> Iterator[Finding]:
    """Yield how many points, and how many other features, lie outside the images."""
    features = fate.features
    points = shapely.get_dimensions(features.geometries) == 0
    inside = np.zeros(len(points), bool)
    for s in fate.samples:
        grid = s.image.grid
        for shift in turns_of(grid.crs):
            area = outline(grid.moved(-shift))
            tree = features.to_crs_indexed(grid.crs)[1]
            inside[tree.query(area, predicate="intersects")] = True
    for of, what in ((points, "points"), (~points, "features")):
        outside = np.flatnonzero(of & ~inside)
        if len(outside):
            ids = listed_features(features.ids(outside))
            message = f"{len(outside)} of {int(of.sum())} {what} lie outside the images ({ids})."
            fix = "Nothing to do, if that is so; they label nothing."
            yield fate.finding("note", f"{what}-outside", message, fix)


def _check_rounding(fate: _Fates) -> Iterator[Finding]:
    """Yield a warning where degrees have too few decimals for the pixels of the images."""
    features, gsd = fate.features, min((s.image.grid.gsd or 0.0 for s in fate.samples), default=0.0)
    geographic = features.crs is not None and pyproj.CRS(features.crs).is_geographic
    if not geographic or not gsd or len(features.geometries) < MIN_ROUNDED:
        return
    xy = shapely.get_coordinates(features.geometries)
    for decimals in range(MOST_DECIMALS + 1):
        if np.abs(xy - xy.round(decimals)).max() < 1e-9:
            step = DEGREE / 10**decimals
            if step > MAX_STEP * gsd:
                message = (
                    f"All coordinates have at most {decimals} decimals of a degree: places are "
                    f"known to {step / 2:.3g} m, and pixels are {gsd:.3g} m."
                )
                fix = "Export the layer with all decimals, unless it is a grid of such steps."
                yield fate.finding("warning", "coordinates-rounded", message, fix)
            return


def _check_outside(fates: Sequence[_Fates]) -> Iterator[Finding]:
    """Yield a finding on the classes that lie outside all images."""
    if not fates:
        return
    known: set[Any] = set()
    inside: set[Any] = set()
    for fate in fates:
        known |= set(fate.features.classes[0])
        for part in (fate.visible, fate.hidden, fate.shared, fate.small):
            inside |= fate.classes(part)
    outside = sorted(known - inside)
    if outside:
        of = [np.isin(f.features.values.astype(object), outside) for f in fates]
        count = sum(int(which.sum()) for which in of)
        first = next(i for i, which in enumerate(of) if which.any())
        ids = listed_features(fates[first].features.ids(np.flatnonzero(of[first])))
        names = ", ".join(map(str, outside[:MAX_NAMES]))
        message = f"All {count} features of class {names} lie outside the images ({ids})."
        fix = "Nothing to do, if that is so; these classes are not trained."
        path = fates[first].features.path
        yield Finding("warning", "class-outside", path, message, fix)


def _missed(fate: _Fates, several: bool) -> Finding:
    """Return the error on a layer that meets no image, with both extents and the likely cause."""
    features, sample = fate.features, fate.samples[0]
    grid = sample.image.grid
    bounds = _bounds(features)
    cause, fix = _cause(features, bounds, grid)
    message = (
        f"No feature meets {'its image' if several else 'an image'}: the labels lie at "
        f"{_extent(bounds)} in {crs_name(features.crs)}, and {sample.sample.images[0].name} at "
        f"{_extent(_outline(grid).bounds)} in {crs_name(grid.crs)}. {cause}."
    )
    return fate.finding("error", "labels-miss-images", message, fix)


def _bounds(features: Features) -> tuple[float, float, float, float]:
    west, south, east, north = shapely.total_bounds(features.geometries).tolist()
    return west, south, east, north


def _extent(bounds: tuple[float, float, float, float]) -> str:
    west, south, east, north = bounds
    return f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}"


def _cause(
    features: Features, bounds: tuple[float, float, float, float], grid: GeoBox
) -> tuple[str, str]:
    """Return the likely cause why a layer meets no image, and the mend."""
    west, south, east, north = bounds
    option = f"--labels-crs {crs_code(grid.crs)}"
    own = f"Name the CRS that they are in: {option}."
    swapped = (south, west, north, east)
    geographic = features.crs is not None and pyproj.CRS(features.crs).is_geographic
    if _meets(swapped, features.crs, grid):
        fix = "Save the layer again with x (longitude) before y (latitude)."
        return "They would meet with x and y swapped: the order of the axes is wrong", fix
    for x, y, what in ((-1, 1, "x"), (1, -1, "y"), (-1, -1, "x and y")):
        xs, ys = sorted((x * west, x * east)), sorted((y * south, y * north))
        if _meets((xs[0], ys[0], xs[1], ys[1]), features.crs, grid):
            fix = "Write longitudes in the west and latitudes in the south as negative numbers."
            return f"They would meet with the sign of {what} changed", fix
    if geographic and max(abs(west), abs(east)) > 360:
        return "The coordinates are no degrees, but are read as degrees", own
    if features.crs != grid.crs and _meets(bounds, grid.crs, grid):
        return "The coordinates would meet the image in the image's CRS", own
    if not geographic and _meets(bounds, "EPSG:4326", grid):
        fix = "Name the CRS that they are in: --labels-crs EPSG:4326."
        return "The coordinates are degrees, but are not read as degrees", fix
    if features.crs is None or grid.crs is None:
        fix = "Give the image its CRS (rio edit-info --crs EPSG:CODE IMAGE), and --labels-crs."
        return "Without a CRS, the coordinates of both are compared as they are", fix
    for crs in _usual_crs(grid):
        if _meets(bounds, crs, grid):
            fix = f"Name the CRS that they are in: --labels-crs {crs}."
            return f"The coordinates would meet the image in {crs_name(crs)}", fix
    given = features.how.crs
    fix = "Give the labels of this area" + (
        f", or leave out --labels-crs {given}." if given else "."
    )
    return "They lie elsewhere in every usual CRS", fix


def _usual_crs(grid: GeoBox) -> list[str]:
    """Return web Mercator and the UTM zones of WGS 84 around an image; none without a CRS."""
    try:
        move = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        middle = _outline(grid).centroid
        lon, _ = move.transform(middle.x, middle.y)
        zone = int((lon + 180) // 6)
    except (ProjError, CRSError, ValueError, OverflowError):
        return []
    zones = [(zone + step) % 60 + 1 for step in (0, -1, 1)]
    return ["EPSG:3857", *(f"EPSG:{side + z}" for z in zones for side in (32600, 32700))]


def _meets(bounds: tuple[float, float, float, float], crs: str | None, grid: GeoBox) -> bool:
    """Return whether an extent in a CRS meets an image."""
    image = _outline(grid)
    box = shapely.box(*bounds)
    if crs is None or grid.crs is None:
        return crs is None and grid.crs is None and bool(box.intersects(image))
    try:
        move = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True)
    except (ProjError, CRSError):
        return False
    there = shapely.transform(
        image.segmentize(image.length / 40), move.transform, interleaved=False
    )
    xy = shapely.get_coordinates(there)
    return bool(np.isfinite(xy).all() and box.intersects(shapely.box(*there.bounds)))


def _outline(grid: GeoBox) -> shapely.Polygon:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.point(*corner) for corner in corners])
