"""Make torchvision importable with a CPU-only torch.

Import this module before timm, segmentation-models-pytorch and Lightning, which import torchvision.
torchvision from PyPI is built for CUDA; with a CPU-only torch its compiled part does not load, and
its import fails with "operator torchvision::nms does not exist". Nothing here uses those operators,
so it is enough to declare their schemas.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

OPERATORS = ("nms", "qnms")


def declare_operators() -> torch.library.Library | None:
    """Declare torchvision's two detection operators, unless its compiled part loads.

    Returns:
        The library with the declarations, which must be kept alive; None if nothing was declared.
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
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library  # type: ignore[no-any-return]


def _known() -> bool:
    # older versions have no `qnms`, and do not need it
    return hasattr(torch.ops.torchvision, OPERATORS[0])


declared = declare_operators()
"""Kept alive for as long as the program runs."""
