"""Labels on the grid of an image, from a mask, a label raster on another grid, or polygons.

A label is a whole number, the user's own code or a packed color; `UNLABELED` marks pixels that
have none.
"""

from swath.io.labels.bands import MaskReading, has_one_hot_bands, mask_kind
from swath.io.labels.placement import Placement, label_turns, lie_apart, missing_image, with_crs
from swath.io.labels.protocol import UNLABELED, EmptyLabels, Labels
from swath.io.labels.raster_labels import MAX_DISTINCT, RasterLabels, read_ignore_mask
from swath.io.labels.tally import LayerTally
from swath.io.labels.vector_labels import VectorLabels

__all__ = [
    "MAX_DISTINCT",
    "UNLABELED",
    "EmptyLabels",
    "Labels",
    "LayerTally",
    "MaskReading",
    "Placement",
    "RasterLabels",
    "VectorLabels",
    "has_one_hot_bands",
    "label_turns",
    "lie_apart",
    "mask_kind",
    "missing_image",
    "read_ignore_mask",
    "with_crs",
]
