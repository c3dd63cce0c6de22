"""Faster training steps with the same results: depthwise gradients on CPUs, CUDA graphs on GPUs.

oneDNN has no fast kernel for two bfloat16 gradients of depthwise convolutions: that of 5x5 filters,
and that of the input of strided ones. The first is computed as a convolution that it does fast, the
second in float32. benchmarks/reports/training-speed.md has the gain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

log = logging.getLogger(__name__)

_convolution_backward = torch.ops.aten.convolution_backward

MAX_FAST_FILTER = 3
"""Side in pixels of the largest filters whose gradient oneDNN computes fast."""


class FastDepthwise(TorchFunctionMode):
    """Fast gradients of depthwise convolutions under autocast on the CPU, while it is active."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or its replacement."""
        replaced = function is torch.conv2d and torch.is_autocast_enabled("cpu")
        return (_conv2d if replaced else function)(*args, **(kwargs or {}))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    depthwise = groups == x.shape[1] == len(weight) > 1
    if x.device.type != "cpu" or not depthwise or isinstance(padding, str):
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    half = torch.get_autocast_dtype("cpu")
    how = _pair(stride), _pair(padding), _pair(dilation)
    out: Tensor = _Depthwise.apply(x.to(half), weight.to(half), *how)  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias.to(half).reshape(-1, 1, 1)


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution; `how` is stride, padding and dilation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *how: list[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        stride, padding, dilation = how
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        how = None, *ctx.how, False, [0, 0], len(weight)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            strided = max(ctx.how[0]) > 1
            # Only the shape of this tensor matters.
            like = torch.empty_like(x, dtype=torch.float32 if strided else x.dtype)
            given = gradient.to(like.dtype), like, weight.to(like.dtype)
            of_x = _convolution_backward(*given, *how, [True, False, False])[0].to(x.dtype)
        if ctx.needs_input_grad[1] and max(weight.shape[2:]) <= MAX_FAST_FILTER:
            of_weight = _convolution_backward(gradient, x, weight, *how, [False, True, False])[1]
        elif ctx.needs_input_grad[1]:
            of_weight = _filter_gradient(gradient, x, weight, *ctx.how)
        return of_x, of_weight, None, None, None


def _filter_gradient(gradient: Tensor, x: Tensor, weight: Tensor, *how: list[int]) -> Tensor:
    """Convolve the input with the gradient of the output, each channel of each image by itself."""
    stride, padding, dilation = how
    images, channels, rows, cols = x.shape
    planes = x.permute(2, 3, 0, 1).reshape(1, rows, cols, images * channels).permute(0, 3, 1, 2)
    filters = gradient.reshape(images * channels, 1, *gradient.shape[2:])
    each = F.conv2d(planes, filters, None, dilation, padding, stride, images * channels)
    each = each[..., : weight.shape[2], : weight.shape[3]].reshape(images, *weight.shape)
    return each.float().sum(0).to(weight.dtype)


def record(network: nn.Module, shape: Sequence[int], bf16: bool) -> None:
    """Record a network's forward and backward passes on a GPU (CUDA graphs), to replay in training.

    At small patches a GPU waits for a thousand small calls a step, not for arithmetic. Weights have
    to stay where they lie, and each backward pass overwrites the gradients of the one before. What
    cannot be recorded is computed as before, with a warning.

    Args:
        network: its `forward` is replaced until `forget`; the statistics of its norms are kept.
        shape: of all inputs: (batch, bands, rows, columns), float32, channels last.
        bf16: whether it computes in bfloat16 by autocast.
    """
    device = next(network.parameters()).device
    sample = torch.zeros(tuple(shape), device=device).contiguous(memory_format=torch.channels_last)
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False):
            torch.cuda.make_graphed_callables(network, (sample,), allow_unused_input=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        log.warning("The GPU's work cannot be recorded, which costs speed: %s", reason)
    for buffer, saved in zip(network.buffers(), before, strict=True):
        buffer.copy_(saved)


def forget(network: nn.Module) -> None:
    """Restore a network's own `forward`."""
    network.__dict__.pop("forward", None)
