"""The first lesson: the branch of single pixels learns what color alone says, in seconds, before the network is taught."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import math
import time
from typing import cast

import torch
from torch import Tensor, nn

from swath.legend import IGNORE
from swath.models.network import Network
from swath.training.losses import Loss
from swath.training.patches import Batches

PATCHES = 32, 256
"""Patches, at least and at most, of which pixels are drawn: as many as the steps have use for."""

OF_A_PATCH = 2**11
"""Pixels of each, at most."""

HELD = 2**25
"""Values of all these pixels, at most: of many bands fewer pixels are drawn."""

DRAWING = 0.5
"""Share of the time within which they are drawn."""

STEP = 2**13
"""Pixels of a step."""

RATE = 1e-2
"""Peak learning rate, from which a cosine falls to 0."""

SLOPE = 2.0
"""How steep the edges are that the hidden units begin with, in standard deviations of the bands."""


def train_pixel_branch(
    network: Network, batches: Batches, loss: Loss, steps: int, seconds: float = math.inf
) -> float:
    """Begin a network's branch of single pixels with the data, and teach it alone for some steps.

    Patches of a step show few places, so that colors that are rare are learnt slowly from them, if
    at all; here each step sees pixels of all the ground, as they are. The norm of the branch takes
    the mean and deviation of these pixels; its first units begin as edges in random directions
    through random pixels, so that they lie where colors are (in the way of Bolager et al. 2023,
    "Sampling weights of deep neural networks").

    Args:
        network: changed in place; one without the branch is left as it is, and so is one for which
            no pixel is labeled.
        batches: training batches, of which pixels are drawn.
        loss: of the training.
        steps: 0 to begin the branch and teach nothing.
        seconds: after which it ends at the latest.

    Returns:
        Seconds that it took.
    """
    started = time.monotonic()
    if network.pixel is None:
        return 0.0
    random = torch.Generator().manual_seed(batches.seed)
    patches = min(max(PATCHES[0], steps * STEP // OF_A_PATCH), PATCHES[1])
    values, labels, heights = _drawn(batches, random, patches, started + DRAWING * seconds)
    if not len(labels):
        return time.monotonic() - started
    values = (values - network.mean.reshape(1, -1)) / network.std.reshape(1, -1)
    _begin(network.pixel, values, random)
    optimizer = torch.optim.Adam(network.pixel.parameters(), lr=RATE)
    for step in range(steps):
        spent = max(step / steps, (time.monotonic() - started) / seconds)
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * spent))
        chosen = torch.randint(len(labels), (STEP,), generator=random)
        scores = network.pixel(values[chosen].T[None, :, None]) * network.gain + network.offset
        optimizer.zero_grad()
        loss(
            scores,
            labels[chosen][None, None],
            None if heights is None else heights[chosen][None, None],
        ).backward()
        optimizer.step()
    optimizer.zero_grad()
    return time.monotonic() - started


def _drawn(
    batches: Batches, random: torch.Generator, patches: int, until: float = math.inf
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draw labeled pixels from the first patches, until some moment at the latest.

    Returns:
        Values (pixels, bands), class indices (pixels,) and, where they are learnt, heights in
        meters (pixels,).
    """
    values, labels, heights = [], [], []
    for number in range(math.ceil(patches / batches.recipe.batch)):
        batch = batches.batch(number)
        most = max(1, min(OF_A_PATCH, HELD // (patches * batch.pixels.shape[1])))
        for patch in range(len(batch.pixels)):
            known = (batch.labels[patch] != IGNORE).flatten().nonzero()[:, 0]
            chosen = known[torch.randperm(len(known), generator=random)[:most]]
            values.append(batch.pixels[patch].flatten(1)[:, chosen].T)
            labels.append(batch.labels[patch].flatten()[chosen])
            if batch.heights is not None:
                heights.append(batch.heights[patch].flatten()[chosen])
        if time.monotonic() > until:
            break
    return torch.cat(values), torch.cat(labels), torch.cat(heights) if heights else None


@torch.no_grad()
def _begin(branch: nn.Sequential, values: Tensor, random: torch.Generator) -> None:
    """Set the norm to the pixels' statistics, and the first layer to edges through some of them."""
    norm, first = cast(nn.BatchNorm2d, branch[0]), cast(nn.Conv2d, branch[1])
    cast(Tensor, norm.running_mean).copy_(values.mean(0))
    cast(Tensor, norm.running_var).copy_(values.var(0, unbiased=False))
    units, bands = first.weight.shape[:2]
    directions = torch.randn(units, bands, generator=random)
    directions *= SLOPE / directions.norm(dim=1, keepdim=True)
    through = norm(values[torch.randint(len(values), (units,), generator=random)].T[None, :, None])[
        0, :, 0
    ].T
    first.weight.copy_(directions[..., None, None])
    cast(Tensor, first.bias).copy_(-(directions * through).sum(1))
