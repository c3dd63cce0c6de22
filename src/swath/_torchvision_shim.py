"""Lets torchvision be imported beside a CPU-only torch. Import this before timm, segmentation-models-pytorch, Lightning.

torchvision from the registry is built for CUDA; beside a CPU-only torch its compiled part cannot
load, and importing it fails with "operator torchvision::nms does not exist". The three libraries
import it, and nothing here uses those operators: declaring their schemas is enough.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch

log = logging.getLogger(__name__)

OPERATORS = ("nms", "qnms")


def declare_operators() -> torch.library.Library | None:
    """Try torchvision's compiled part, and declare its two detection operators where that does not load.

    Returns:
        The library that holds the declarations, which must be kept alive; None where nothing had to
        be declared.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _known():
        return None
    for file in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError) as error:
            log.debug("torchvision's operators do not load: %s", error)
    if _known():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library


def _known() -> bool:
    """Tell whether the compiled part has said what its operators are; older ones have no `qnms`, and ask for none."""
    return hasattr(torch.ops.torchvision, OPERATORS[0])


declared = declare_operators()
"""Kept alive for as long as the program runs."""
