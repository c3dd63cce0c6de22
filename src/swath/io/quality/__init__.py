"""Quality layers: which pixels of an image a sensor's provider calls cloud, shadow, snow, ...

`recognize` tells what a file is, `QualityMask` reads it on an image's grid, and `meanings` has what
the values of each kind mean.
"""

from swath.io.quality.meanings import REASONS
from swath.io.quality.reading import (
    QualityMask,
    QualityTally,
    missed,
    polygons_touch,
    shares_of,
    touches,
)
from swath.io.quality.recognition import MASK_FAULTS, check_mask, named_kind, recognize, split_kind

__all__ = [
    "REASONS",
    "QualityMask",
    "QualityTally",
    "MASK_FAULTS",
    "check_mask",
    "missed",
    "named_kind",
    "polygons_touch",
    "recognize",
    "shares_of",
    "split_kind",
    "touches",
]
