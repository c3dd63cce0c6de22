"""A GPU's work recorded once and replayed: at small patches it waits for a thousand small calls a step, not for arithmetic."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import logging
from collections.abc import Sequence

import torch
from torch import nn

log = logging.getLogger(__name__)


def record(network: nn.Module, shape: Sequence[int], bf16: bool) -> None:
    """Let a network that lies on a GPU replay its forward and backward passes (CUDA graphs) while it is in training mode.

    Weights have to stay where they lie, and each backward pass overwrites the gradients of the one
    before. What cannot be recorded goes on as it is, which a warning says.

    Args:
        network: whose `forward` is replaced, until `forget`; statistics of its norms are left as
            they are.
        shape: of all its inputs: (batch, bands, rows, columns), float32, channels last.
        bf16: whether it computes in bfloat16 by autocast.
    """
    device = next(network.parameters()).device
    sample = torch.zeros(tuple(shape), device=device).contiguous(memory_format=torch.channels_last)
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False):
            torch.cuda.make_graphed_callables(network, (sample,), allow_unused_input=True)
    except RuntimeError as error:
        log.warning(
            "The GPU's work cannot be recorded, which costs speed: %s", str(error).splitlines()[0]
        )
    for buffer, was in zip(network.buffers(), before, strict=True):
        buffer.copy_(was)


def forget(network: nn.Module) -> None:
    """Give a network its own `forward` back."""
    network.__dict__.pop("forward", None)
