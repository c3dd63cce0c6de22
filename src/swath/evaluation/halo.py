"""How many pixels around a tile's core must be read, measured on real images at packing.

Near the edge of its input a network predicts other labels than within a larger image. The share of
labels that differ, by distance from the edge, gives the cost of any halo.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset
from swath.geo.scale import zoom_for
from swath.inference.runtimes import Runtime
from swath.inference.tiled import TiledPredictor, centered_window, read_scaled

log = logging.getLogger(__name__)

DEFAULT_HALO = 256
"""Halo of a network for which no image is large enough to measure one."""

MAX_SEAM = 0.001
"""Share of labels that tiles may change."""

CORE = 1024
"""Side of the cores for which the share is computed; `predict` prefers larger ones, with less."""

MIN_STRIP = 768, 256
"""Smallest image to measure on: longer and shorter side, in pixels of the network."""

MAX_STRIP = 1536, 384
"""Largest part of an image that is measured: longer and shorter side."""

MAX_IMAGES = 16

RECEPTIVE_SIDE = 320
"""Rows of the images in which the pixels are found that a score depends on."""

GLOBAL_SIDE, GLOBAL_HALO = 1024, 128
"""Read window of a network with global context, and its halo, which makes seams milder."""


@dataclass(frozen=True)
class MeasuredHalo:
    """A measured halo.

    Attributes:
        halo: smallest multiple of the stride that changes at most `MAX_SEAM` of the labels;
            `DEFAULT_HALO` without images.
        seam: the share that it changes, None where that was not measured.
        context: `global` where a label depends on pixels at any distance.
    """

    halo: int
    seam: float | None
    context: Literal["local", "global"]


def measure_halo(predictor: TiledPredictor, dataset: Dataset) -> MeasuredHalo:
    """Measure the halo of a network on the training images of a dataset."""
    images = sorted({s.image for s in dataset.manifest.of("train")})
    strips = [strip for i in images if (strip := _strip(dataset, i, predictor)) is not None]
    chosen = np.linspace(0, len(strips) - 1, min(MAX_IMAGES, len(strips))).round().astype(int)
    strips = [strips[i] for i in chosen]
    context = find_context(predictor, len(dataset.manifest.bands))
    if not strips:
        halo = GLOBAL_HALO if context == "global" else DEFAULT_HALO
        log.warning(
            "No image has %d x %d pixels to measure the halo on, so it is %d pixels.",
            *MIN_STRIP,
            halo,
        )
        return MeasuredHalo(halo, None, context)
    return halo_on(predictor, strips, context)


def halo_on(
    predictor: TiledPredictor,
    strips: Sequence[NDArray[np.float32]],
    context: Literal["local", "global"],
) -> MeasuredHalo:
    """Measure the halo of a network of a context on parts of images; see `changes_by_distance`."""
    rates = changes_by_distance(predictor, strips)
    if context == "global":
        seam = seam_share(rates, GLOBAL_HALO, GLOBAL_SIDE - 2 * GLOBAL_HALO)
        return MeasuredHalo(GLOBAL_HALO, seam, context)
    halos = range(0, len(rates), predictor.stride)
    halo = next((h for h in halos if seam_share(rates, h, CORE) <= MAX_SEAM), DEFAULT_HALO)
    return MeasuredHalo(halo, seam_share(rates, halo, CORE), context)


def receptive_halo(runtime: Runtime, bands: int, stride: int) -> MeasuredHalo:
    """Return the halo of all pixels that a score depends on, as not-a-number spreads to it.

    Rows are counted, so that images of few columns suffice.

    Args:
        runtime: the network in torch, in which not-a-number is never lost.
        bands: number of bands.
        stride: of the network.
    """
    side, reach = RECEPTIVE_SIDE // stride * stride, 0
    middle = side // 2 // stride * stride
    for at in range(middle, middle + stride):
        raw = np.zeros((1, bands, side, 8 * stride), np.float32)
        raw[..., at, 4 * stride + at - middle] = np.nan
        reached = np.flatnonzero(np.isnan(runtime(raw)).any(axis=(0, 1, 3)))
        reach = max(reach, at - int(reached[0]), int(reached[-1]) - at)
        if len(reached) == side:
            return MeasuredHalo(GLOBAL_HALO, None, "global")
    return MeasuredHalo(-(-reach // stride) * stride, 0.0, "local")


def reach_of_scores(runtime: Runtime, strips: Sequence[NDArray[np.float32]]) -> int:
    """Return the distance from a cut, in pixels, within which scores change noticeably.

    It is for images that say nothing of labels, such as noise. A change is noticeable if it is more
    than `MAX_SEAM` of the largest score.

    Args:
        runtime: the network.
        strips: see `changes_by_distance`.
    """
    reach = 0
    for strip in strips:
        whole, half = runtime(np.ascontiguousarray(strip[None]))[0].copy(), strip.shape[1] // 2
        largest = float(np.abs(whole).max())
        for part, place in (
            (strip[:, :half], slice(0, half)),
            (strip[:, half:], slice(half, None)),
        ):
            off = np.abs(runtime(np.ascontiguousarray(part[None]))[0] - whole[:, place])
            rows = np.flatnonzero(off.max(axis=(0, 2)) > MAX_SEAM * largest)
            if len(rows):
                reach = max(reach, half - int(rows[0]) if place.start == 0 else int(rows[-1]) + 1)
    return reach


def find_context(predictor: TiledPredictor, bands: int) -> Literal["local", "global"]:
    """Return whether scores at one end of a long strip depend on pixels at the other end."""
    shape = (1, bands, 2 * predictor.stride, max(4096, 4 * predictor.stride))
    rng = np.random.default_rng(0)
    spread = np.abs(np.asarray(predictor.fill, np.float32))[None, :, None, None] + 1
    strip = (rng.random(shape, np.float32) * 2 * spread).astype(np.float32)
    other = strip.copy()
    other[..., -shape[3] // 8 :] = 0
    ends = [predictor.runtime(raw)[..., : predictor.stride].copy() for raw in (strip, other)]
    size = float(np.abs(ends[0]).max())
    return "global" if float(np.abs(ends[0] - ends[1]).max()) > 1e-5 * max(size, 1.0) else "local"


def changes_by_distance(
    predictor: TiledPredictor, strips: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Return the share of labels that differ at each distance from a cut, in pixels.

    Args:
        predictor: the network.
        strips: raw pixels (bands, rows, columns), cut across the rows in the middle; multiples of
            twice the stride.
    """
    length = min(s.shape[1] for s in strips) // 2
    wrong, seen = np.zeros(length), 0
    for strip in strips:
        whole, half = _labels(predictor, strip), strip.shape[1] // 2
        upper = _labels(predictor, strip[:, :half]) != whole[:half]
        lower = _labels(predictor, strip[:, half:]) != whole[half:]
        wrong += upper[::-1][:length].sum(axis=1) + lower[:length].sum(axis=1)
        seen += 2 * strip.shape[2]
    return wrong / seen


def seam_share(rates: NDArray[np.float64], halo: int, core: int) -> float:
    """Return the share of the labels of a square core that its four sides change."""
    return float(4 * rates[halo:].sum() / core)


def _labels(predictor: TiledPredictor, raw: NDArray[np.float32]) -> NDArray[np.intp]:
    scores = predictor.runtime(np.ascontiguousarray(raw[None]))[0]
    labels: NDArray[np.intp] = predictor.output.class_scores(scores).argmax(axis=0)
    return labels


def _strip(dataset: Dataset, image: int, predictor: TiledPredictor) -> NDArray[np.float32] | None:
    """Read the middle of an image, longer side along the rows; None if small or partly nodata."""
    source = dataset.images[image]
    grid = source.grid
    zoom = zoom_for(grid.gsd, predictor.gsd)
    sides = sorted((grid.height, grid.width), reverse=True)
    if any(side * zoom < least for side, least in zip(sides, MIN_STRIP, strict=True)):
        return None
    size = MAX_STRIP if grid.height >= grid.width else MAX_STRIP[::-1]
    window = centered_window(grid.window, size, 2 * predictor.stride, zoom)
    if window is None:
        return None
    raw, valid = read_scaled(source, window, zoom, predictor.fill)
    if valid.mean() < 0.9:
        return None
    return raw if window.height >= window.width else raw.transpose(0, 2, 1)
