"""Which images see the same ground, by where they lie on the earth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely

from swath.geo.geobox import GeoBox

SHARED = 0.05
"""Share of the smaller image from which two are said to see the same ground."""

PARTNERS = 32
"""Images that are told of at most as overlapping a later one; ten thousand images of one place have fifty million pairs."""

EDGE = 5
"""Points by which a side is drawn on the globe."""


def overlaps(grids: Sequence[GeoBox], groups: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Yield pairs (i, j), i < j, of images of two groups that overlap, and the share of the smaller that the other sees too.

    Images without a CRS, or with one that is not on the earth, are left out, and of the images that
    overlap j all but the first `PARTNERS`.
    """
    places = [(i, shape) for i, grid in enumerate(grids) if (shape := footprint(grid)) is not None]
    outlines = np.array([shape for _, shape in places], object)
    _, kinds = np.unique([groups[i] for i, _ in places], return_inverse=True)
    areas, partners = np.maximum(shapely.area(outlines), 1e-15), np.zeros(len(places), np.int64)
    tree = shapely.STRtree(outlines)
    for a, shape in enumerate(outlines):
        near = np.sort(tree.query(shape))
        near = near[(near > a) & (kinds[near] != kinds[a]) & (partners[near] < PARTNERS)]
        shares = shapely.area(shapely.intersection(shape, outlines[near])) / np.minimum(
            areas[near], areas[a]
        )
        for b, share in zip(
            near[shares > SHARED].tolist(), shares[shares > SHARED].tolist(), strict=True
        ):
            partners[b] += 1
            yield places[a][0], places[b][0], share


def footprint(grid: GeoBox) -> shapely.Polygon | None:
    """Return an image's outline in longitude and latitude; longitudes beyond 180 degrees go on, so that none wraps."""
    if grid.crs is None:
        return None
    steps = np.linspace(0, 1, EDGE)[:-1]
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
