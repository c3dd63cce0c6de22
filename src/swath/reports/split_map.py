"""The split as a drawing: outlines on a map or on the one image, else a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from swath.data.dataset import SPLITS, Dataset, Sample
from swath.geo.footprints import footprint
from swath.geo.tiling import Pixels, Window
from swath.io.render import data_url, decimation, to_rgb

DRAWING_WIDTH = 640
"""Width of a drawing in its own units."""

MOSAIC_SIDE = 56
"""Longest side of a picture in the mosaic, in pixels."""

MAX_THUMBNAILS = 240
"""Pictures in a mosaic; of more samples, every n-th is shown."""


def draw_split(dataset: Dataset) -> dict[str, Any]:
    """Draw the split of a dataset.

    Returns:
        `kind` (map, image or mosaic), `counts` (groups and samples by split), and for a map or
        image `shapes` (points, split, name), `height` and `picture` (address or None); for a mosaic
        `tiles` (address, split, name).
    """
    samples = [s for s in dataset.manifest.samples if s.split in SPLITS]
    parts = {split: [s for s in samples if s.split == split] for split in SPLITS}
    counts = [(split, len({s.group for s in part}), len(part)) for split, part in parts.items()]
    if len({s.image for s in samples}) == 1:
        drawn = _draw_on_image(dataset, samples)
    else:
        drawn = _draw_on_map(dataset, samples) or _draw_mosaic(dataset, samples)
    return {"counts": counts, **drawn}


def _draw_on_image(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    grid = dataset.images[samples[0].image].grid
    scale = DRAWING_WIDTH / grid.width
    shapes = []
    for s in samples:
        (top, left), (bottom, right) = (s.window.row, s.window.col), s.window.stop
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        shapes.append((_points([(scale * x, scale * y) for x, y in corners]), s.split, s.name))
    picture = _thumbnail(dataset, samples[0].image, grid.window, DRAWING_WIDTH)
    height = round(scale * grid.height, 1)
    return {"kind": "image", "shapes": shapes, "height": height, "picture": picture}


def _draw_on_map(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Draw outlines in longitude and latitude; None if one is unknown or too small to see."""
    outlines = [footprint(dataset.images[s.image].grid.part(s.window)) for s in samples]
    known = [o for o in outlines if o is not None]
    if len(known) < len(outlines):
        return None
    bounds = np.array([o.bounds for o in known])
    (west, south), (east, north) = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    flat = max(0.2, float(np.cos(np.radians((south + north) / 2))))
    scale = DRAWING_WIDTH / max((east - west) * flat, (north - south) / 2, 1e-9)
    if (bounds[:, 2] - bounds[:, 0]).min() * flat * scale < 3:
        return None
    shapes = []
    for s, outline in zip(samples, known, strict=True):
        corners = outline.convex_hull.exterior.coords
        drawn = [((x - west) * flat * scale, (north - y) * scale) for x, y in corners]
        shapes.append((_points(drawn), s.split, s.name))
    height = round(float(north - south) * scale, 1)
    return {"kind": "map", "shapes": shapes, "height": height, "picture": None}


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _draw_mosaic(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    ordered = sorted(samples, key=lambda s: (SPLITS.index(s.split), s.group, s.name))
    shown = ordered[:: -(-len(ordered) // MAX_THUMBNAILS)]
    pictures = [_thumbnail(dataset, s.image, s.window, MOSAIC_SIDE) for s in shown]
    tiles = [(picture, s.split, s.name) for picture, s in zip(pictures, shown, strict=True)]
    return {"kind": "mosaic", "tiles": tiles}


def _thumbnail(dataset: Dataset, number: int, window: Window, longest: int) -> str:
    values, valid = dataset.images[number].read_stored(window)
    step = decimation(window.height, window.width, longest)
    pixels = Pixels(values[:, ::step, ::step], valid[::step, ::step])
    return data_url(to_rgb(pixels, dataset.manifest.stored_bands))
