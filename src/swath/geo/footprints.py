"""Footprints of images on the earth, and pairs of images that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely

from swath.geo.geobox import GeoBox

MIN_OVERLAP = 0.05
"""Share of the smaller image from which two images count as overlapping."""

MAX_PARTNERS = 32
"""Earlier images reported for each image; ten thousand of one area have fifty million pairs."""

EDGE_POINTS = 5
"""Points along each side of a footprint."""


def overlaps(grids: Sequence[GeoBox], groups: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of images of different groups that overlap.

    Args:
        grids: of the images; those without a CRS that lies on the earth are left out.
        groups: of the images.

    Yields:
        (i, j, share), i < j: the share of the smaller image that overlaps; for each j at most
        `MAX_PARTNERS` pairs.
    """
    known = [(i, shape) for i, grid in enumerate(grids) if (shape := footprint(grid)) is not None]
    outlines = np.array([shape for _, shape in known], object)
    _, kinds = np.unique([groups[i] for i, _ in known], return_inverse=True)
    areas, partners = np.maximum(shapely.area(outlines), 1e-15), np.zeros(len(known), np.int64)
    tree = shapely.STRtree(outlines)
    for a, shape in enumerate(outlines):
        near = np.sort(tree.query(shape))
        near = near[(near > a) & (kinds[near] != kinds[a]) & (partners[near] < MAX_PARTNERS)]
        shared = shapely.area(shapely.intersection(shape, outlines[near]))
        shares = shared / np.minimum(areas[near], areas[a])
        enough = shares > MIN_OVERLAP
        for b, share in zip(near[enough].tolist(), shares[enough].tolist(), strict=True):
            partners[b] += 1
            yield known[a][0], known[b][0], share


def footprint(grid: GeoBox) -> shapely.Polygon | None:
    """Return the outline of an image in longitude and latitude (degrees), None without any.

    Longitudes go on beyond 180 degrees, so that no outline wraps.
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
    lon, lat = found
    shape = shapely.make_valid(shapely.Polygon(zip(np.unwrap(lon, period=360), lat, strict=True)))
    return shape if shape.area else None
