"""The split as a picture: on the globe where images know their place, on the image where there is one, else as a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from swath.data.dataset import SPLITS, Dataset, Sample
from swath.geo.footprints import footprint
from swath.geo.tiling import Pixels, Window
from swath.io.render import data_url, decimation, to_rgb

WIDTH = 640
"""Of a drawing, in its own units."""

THUMB = 56
"""Longest side of a picture in the mosaic, in pixels."""

MOST = 240
"""Pictures in a mosaic, at most; of more samples, every n-th is shown."""


def draw_split(dataset: Dataset) -> dict[str, Any]:
    """Return what the report draws.

    Returns:
        `kind` (map, image or mosaic), `counts` (groups and samples by split), and for a map or
        image `shapes` (points, split, name), `height` and `picture` (address or None); for a mosaic
        `tiles` (address, split, name).
    """
    samples = [s for s in dataset.manifest.samples if s.split in SPLITS]
    parts = {split: [s for s in samples if s.split == split] for split in SPLITS}
    counts = [(split, len({s.group for s in part}), len(part)) for split, part in parts.items()]
    if len({s.image for s in samples}) == 1:
        drawn = _on_image(dataset, samples)
    else:
        drawn = _on_globe(dataset, samples) or _mosaic(dataset, samples)
    return {"counts": counts, **drawn}


def _on_image(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    grid = dataset.images[samples[0].image].grid
    scale = WIDTH / grid.width
    shapes = []
    for s in samples:
        (top, left), (bottom, right) = (s.window.row, s.window.col), s.window.stop
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        shapes.append(
            (" ".join(f"{scale * x:.1f},{scale * y:.1f}" for x, y in corners), s.split, s.name)
        )
    picture = _thumb(dataset, samples[0].image, grid.window, WIDTH)
    return {
        "kind": "image",
        "shapes": shapes,
        "height": round(scale * grid.height, 1),
        "picture": picture,
    }


def _on_globe(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Draw outlines in longitude and latitude, if all are known and lie so close together that one sees them."""
    outlines = [footprint(dataset.images[s.image].grid.part(s.window)) for s in samples]
    known = [o for o in outlines if o is not None]
    if len(known) < len(outlines):
        return None
    west, south, east, north = (
        f(o.bounds[i] for o in known) for i, f in enumerate((min, min, max, max))
    )
    flat = max(0.2, float(np.cos(np.radians((south + north) / 2))))
    scale = WIDTH / max((east - west) * flat, (north - south) / 2, 1e-9)
    if min((o.bounds[2] - o.bounds[0]) * flat * scale for o in known) < 3:
        return None
    shapes = [
        (
            " ".join(
                f"{(x - west) * flat * scale:.1f},{(north - y) * scale:.1f}"
                for x, y in o.convex_hull.exterior.coords
            ),
            s.split,
            s.name,
        )
        for s, o in zip(samples, known, strict=True)
    ]
    return {
        "kind": "map",
        "shapes": shapes,
        "height": round((north - south) * scale, 1),
        "picture": None,
    }


def _mosaic(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    ordered = sorted(samples, key=lambda s: (SPLITS.index(s.split), s.group, s.name))
    shown = ordered[:: -(-len(ordered) // MOST)]
    return {
        "kind": "mosaic",
        "tiles": [(_thumb(dataset, s.image, s.window, THUMB), s.split, s.name) for s in shown],
    }


def _thumb(dataset: Dataset, number: int, window: Window, longest: int) -> str:
    values, valid = dataset.images[number].read_stored(window)
    step = decimation(window.height, window.width, longest)
    pixels = Pixels(values[:, ::step, ::step], valid[::step, ::step])
    return data_url(to_rgb(pixels, dataset.manifest.stored_bands))
