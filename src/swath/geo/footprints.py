"""Footprints of images on the earth, and pairs of images that overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox

MIN_OVERLAP = 0.05
"""Share of the smaller image from which two images count as overlapping."""

MAX_PARTNERS = 32
"""Earlier images reported for each image; ten thousand of one area have fifty million pairs."""

EDGE_POINTS = 5
"""Points along each side of a footprint."""


def overlaps(
    grids: Sequence[GeoBox], groups: Sequence[str], least: float = MIN_OVERLAP
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of images of different groups that overlap.

    Args:
        grids: of the images; those without a CRS that lies on the earth are left out.
        groups: of the images.
        least: share of the smaller image from which two overlap.

    Yields:
        (i, j, share), i < j: the share of the smaller image that overlaps; for each j at most
        `MAX_PARTNERS` pairs.
    """
    known = [(i, shape) for i, grid in enumerate(grids) if (shape := footprint(grid)) is not None]
    outlines = shapely.transform([shape for _, shape in known], _equal_area)
    _, kinds = np.unique([groups[i] for i, _ in known], return_inverse=True)
    areas, partners = np.maximum(shapely.area(outlines), 1e-18), np.zeros(len(known), np.int64)
    tree = shapely.STRtree(outlines)
    for a, shape in enumerate(outlines):
        turned = turns(shape)
        near = np.unique(tree.query(turned)[1])
        near = near[(near > a) & (kinds[near] != kinds[a]) & (partners[near] < MAX_PARTNERS)]
        shared = shapely.area(shapely.intersection(turned[:, None], outlines[near])).sum(axis=0)
        shares = np.minimum(shared / np.minimum(areas[near], areas[a]), 1)
        enough = shares > least
        for b, share in zip(near[enough].tolist(), shares[enough].tolist(), strict=True):
            partners[b] += 1
            yield known[a][0], known[b][0], share


def meet(a: GeoBox, b: GeoBox) -> bool | None:
    """Return whether two images share an area of the earth; None where a place is unknown."""
    one, other = footprint(a), footprint(b)
    if one is None or other is None:
        return None
    return bool((shapely.area(shapely.intersection(turns(one), other)) > 0).any())


def _equal_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x and y (n, 2) of longitudes and latitudes in a plane that keeps areas."""
    return np.column_stack([points[:, 0], np.degrees(np.sin(np.radians(points[:, 1])))])


def turns(shape: shapely.Geometry) -> NDArray[Any]:
    """Return an outline (degrees) as it is, and turned once around the earth to both sides (3,)."""
    shifts = (0.0, 360.0, -360.0)
    return np.array([shapely.affinity.translate(shape, shift) for shift in shifts], object)


def footprint(grid: GeoBox) -> shapely.Polygon | None:
    """Return the outline of an image in longitude and latitude (degrees), None without any.

    Longitudes go on beyond 180 degrees, so that no outline wraps. Around a pole, the outline runs
    along the pole.
    """
    if grid.crs is None:
        return None
    steps = np.linspace(0, 1, EDGE_POINTS)[:-1]
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    points = [
        grid.point(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
        for t in steps
    ]
    found = grid.lonlat(points)
    if found is None:
        return None
    lon, lat = np.array(found)
    lon = np.unwrap(np.append(lon, lon[0]), period=360)
    lat = np.append(lat, lat[0])
    lon -= 360 * np.floor((lon.min() + 180) / 360)
    if abs(lon[-1] - lon[0]) > 180:
        pole = math.copysign(90, lat.mean())
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    shape = shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))
    return shape if shape.area else None
