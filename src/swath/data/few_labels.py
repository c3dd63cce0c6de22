"""Labels that are too few to hold some of them out by area: all of them train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.data.layouts.catalog import SourceSample
from swath.io.vector import Features

MAX_FEATURES = 200
"""Features of layers that are few, at most."""

MAX_PIXELS = 50_000
"""Labeled pixels of rasters that are few, at most."""

MAX_SHARE = 0.05
"""Share of the pixels of the images that few labels cover, at most."""


def are_few(samples: Sequence[SourceSample], labeled: int, pixels: int) -> bool:
    """Return whether labels in images that are cut into blocks are few.

    Args:
        samples: of the source.
        labeled: number of pixels with a label.
        pixels: number of pixels of their images.
    """
    if any(s.group is not None or s.split is not None for s in samples):
        return False
    found = {id(s.labels): s.labels for s in samples if s.labels is not None}.values()
    layers = [labels for labels in found if isinstance(labels, Features)]
    number = int(np.sum([len(layer.values) for layer in layers]))
    if any(layer.how.background is not None for layer in layers):
        return False
    few = number <= MAX_FEATURES if len(layers) == len(found) else labeled <= MAX_PIXELS
    return few and labeled <= MAX_SHARE * pixels
