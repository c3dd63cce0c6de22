"""Depthwise convolutions in training in bfloat16 on CPUs: the same results, with gradients that come several times faster.

oneDNN has no fast way for two of their gradients in bfloat16: that of 5x5 filters, and that of what
goes into strided ones. The first can be said as a convolution that it does fast; the second is fast
in float32. docs/training-speed.md has what that gains.
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

_gradients = torch.ops.aten.convolution_backward

SMALL = 3
"""Pixels a side of the largest filters whose gradient oneDNN computes fast."""


class FastDepthwise(TorchFunctionMode):
    """While it is active, depthwise convolutions under autocast on the CPU take their gradients the fast way."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or what stands for it."""
        call = (
            _conv2d if function is torch.conv2d and torch.is_autocast_enabled("cpu") else function
        )
        return call(*args, **(kwargs or {}))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Do what `torch.conv2d` does."""
    if (
        x.device.type != "cpu"
        or not groups == x.shape[1] == len(weight) > 1
        or isinstance(padding, str)
    ):
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    half = torch.get_autocast_dtype("cpu")
    out: Tensor = _Depthwise.apply(
        x.to(half), weight.to(half), _pair(stride), _pair(padding), _pair(dilation)
    )  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias.to(half).reshape(-1, 1, 1)


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        how = None, *ctx.how, False, [0, 0], len(weight)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            like = torch.empty_like(
                x, dtype=torch.float32 if max(ctx.how[0]) > 1 else x.dtype
            )  # only its shape matters
            of_x = _gradients(
                gradient.to(like.dtype), like, weight.to(like.dtype), *how, [True, False, False]
            )[0].to(x.dtype)
        if ctx.needs_input_grad[1] and max(weight.shape[2:]) <= SMALL:
            of_weight = _gradients(gradient, x, weight, *how, [False, True, False])[1]
        elif ctx.needs_input_grad[1]:
            of_weight = _of_filters(gradient, x, weight, *ctx.how)
        return of_x, of_weight, None, None, None


def _of_filters(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> Tensor:
    """Return the gradient of depthwise filters: what went in, convolved with the gradient of what came out.

    Each channel of each image is a channel there, and its gradient the filter.
    """
    images, channels, rows, cols = x.shape
    planes = x.permute(2, 3, 0, 1).reshape(1, rows, cols, images * channels).permute(0, 3, 1, 2)
    filters = gradient.reshape(images * channels, 1, *gradient.shape[2:])
    each = F.conv2d(planes, filters, None, dilation, padding, stride, images * channels)
    each = each[..., : weight.shape[2], : weight.shape[3]].reshape(images, *weight.shape)
    return each.float().sum(0).to(weight.dtype)


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
