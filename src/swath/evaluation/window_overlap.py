"""How far windows of one size have to overlap, measured on pairs of windows.

A network that takes inputs of one size, or whose labels depend on all of its input, gives a pixel
other labels in other windows. Two windows that lie half a side apart show how often, by the
distance from their edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.halo import MAX_SEAM, MeasuredHalo
from swath.inference.output import OutputSpec
from swath.inference.runtimes import Runtime

LARGEST_OVERLAP = 8
"""The halo is at most a side over this; then 1.8 pixels are read for each one mapped."""


def measure_overlap(
    runtime: Runtime,
    output: OutputSpec,
    areas: Sequence[NDArray[np.float32]],
    side: int,
    context: Literal["local", "global"],
) -> MeasuredHalo:
    """Return the halo of windows of one side, and the share of labels that seams change.

    It is the least of an eighth of the side in four steps, without 0, that changes at most
    `MAX_SEAM` of the labels, or else the largest of them.

    Args:
        runtime: the network.
        output: what its scores mean.
        areas: raw pixels, each (bands, side, side * 3 / 2) or more.
        side: of the windows.
        context: what the labels depend on.

    Raises:
        ValueError: no area holds two windows.
    """
    rates = changes_in_windows(runtime, output, areas, side)
    steps = sorted({max(1, side // LARGEST_OVERLAP * k // 4) for k in range(1, 5)})
    shares = [(halo, overlap_share(rates, halo, side)) for halo in steps]
    halo, seam = next((each for each in shares if each[1] <= MAX_SEAM), shares[-1])
    return MeasuredHalo(halo, min(1.0, seam), context)


def changes_in_windows(
    runtime: Runtime, output: OutputSpec, areas: Sequence[NDArray[np.float32]], side: int
) -> NDArray[np.float64]:
    """Return the share of labels that differ between windows half a side apart.

    Returns:
        By the distance from the nearer edge, of `side // 4` pixels.

    Raises:
        ValueError: no area holds two windows.
    """
    half, length = side // 2, side // 4
    wrong, seen = np.zeros(length), 0
    for area in areas:
        for turned in (area, area.transpose(0, 2, 1)):
            if turned.shape[1] < side or turned.shape[2] < side + half:
                continue
            first, second = (
                _labels(runtime, output, turned[:, :side, at : at + side]) for at in (0, half)
            )
            differ = first[:, half : 2 * half] != second[:, :half]
            wrong += differ[:, :length].sum(axis=0) + differ[:, ::-1][:, :length].sum(axis=0)
            seen += 2 * side
    if not seen:
        raise ValueError(f"No area has {side} x {side + half} pixels")
    return wrong / seen


def overlap_share(rates: NDArray[np.float64], halo: int, side: int) -> float:
    """Return the share of the labels of a core that depend on where its window lies."""
    distance = np.arange(halo, len(rates))
    ring = 4.0 * (side - 2 * distance)
    return float((ring * rates[halo:]).sum() / (side - 2 * halo) ** 2)


def _labels(runtime: Runtime, output: OutputSpec, raw: NDArray[np.float32]) -> NDArray[np.intp]:
    scores = runtime(np.ascontiguousarray(raw[None]))[0]
    labels: NDArray[np.intp] = output.class_scores(scores).argmax(axis=0)
    return labels
