"""How far a tile must look beyond its core: measured on real images when a network is packed.

A network that is shown half an image says other things near the cut than one that sees all of it.
How many labels differ, by distance from the cut, tells what any halo costs.
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
from swath.geo.tiling import Window
from swath.inference.tiled import Engine
from swath.inference.tta import resample

log = logging.getLogger(__name__)

UNMEASURED = 256
"""Halo of a network for which no image is large enough to measure one."""

TOLERATED = 0.001
"""Share of labels that tiles may change."""

CORE = 1024
"""Side of the cores for which the share is worked out; larger cores, which `predict` prefers, have less."""

LONG, WIDE = 768, 256
"""Smallest image that tells anything: rows and columns, either way round."""

LONGEST, WIDEST = 1536, 384
"""No more of an image is looked at: rows and columns, either way round. It is cut across the rows; more columns would say
little more, and take as long as all the rest of packing."""

IMAGES = 16
"""No more images are looked at."""

GLOBAL_SIDE, GLOBAL_HALO = 1024, 128
"""Read window of a network that looks at all of it, and its halo, which makes seams milder and cannot remove them."""


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        halo: smallest multiple of the stride that changes at most `TOLERATED` of the labels;
            `UNMEASURED` without images.
        seam: the share that it changes, None where that was not measured.
        context: `global` where a label depends on pixels at any distance.
    """

    halo: int
    seam: float | None
    context: Literal["local", "global"]


def measure_halo(engine: Engine, dataset: Dataset) -> Measured:
    """Measure a network on the training images of a dataset."""
    images = sorted({s.image for s in dataset.manifest.of("train")})
    strips = [strip for i in images if (strip := _strip(dataset, i, engine.stride)) is not None]
    strips = [
        strips[i]
        for i in np.linspace(0, len(strips) - 1, min(IMAGES, len(strips))).round().astype(int)
    ]
    context = find_context(engine, len(dataset.manifest.bands))
    if not strips:
        halo = GLOBAL_HALO if context == "global" else UNMEASURED
        log.warning(
            "No image has %d x %d pixels to measure the halo on, so it is %d pixels.",
            LONG,
            WIDE,
            halo,
        )
        return Measured(halo, None, context)
    rates = changes_by_distance(engine, strips)
    if context == "global":
        return Measured(
            GLOBAL_HALO, share(rates, GLOBAL_HALO, GLOBAL_SIDE - 2 * GLOBAL_HALO), context
        )
    halos = range(0, len(rates), engine.stride)
    halo = next((h for h in halos if share(rates, h, CORE) <= TOLERATED), UNMEASURED)
    return Measured(halo, share(rates, halo, CORE), context)


def find_context(engine: Engine, bands: int) -> Literal["local", "global"]:
    """Tell whether what a network says at one end of a long strip depends on the other end."""
    shape = (1, bands, 2 * engine.stride, max(4096, 4 * engine.stride))
    rng = np.random.default_rng(0)
    spread = np.abs(np.asarray(engine.fill, np.float32))[None, :, None, None] + 1
    strip = (rng.random(shape, np.float32) * 2 * spread).astype(np.float32)
    other = strip.copy()
    other[..., -shape[3] // 8 :] = 0
    ends = [engine.runtime(raw)[..., : engine.stride].copy() for raw in (strip, other)]
    size = float(np.abs(ends[0]).max())
    return "global" if float(np.abs(ends[0] - ends[1]).max()) > 1e-5 * max(size, 1.0) else "local"


def changes_by_distance(
    engine: Engine, strips: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Return the share of labels that differ at each distance, in pixels, from where an image is cut in two.

    Args:
        engine: the network.
        strips: raw pixels (bands, rows, columns), cut across the rows in the middle; multiples of
            twice the stride.
    """
    length = min(s.shape[1] for s in strips) // 2
    wrong, seen = np.zeros(length), 0
    for strip in strips:
        whole, half = _labels(engine, strip), strip.shape[1] // 2
        upper = _labels(engine, strip[:, :half]) != whole[:half]
        lower = _labels(engine, strip[:, half:]) != whole[half:]
        wrong += upper[::-1][:length].sum(axis=1) + lower[:length].sum(axis=1)
        seen += 2 * strip.shape[2]
    return wrong / seen


def share(rates: NDArray[np.float64], halo: int, core: int) -> float:
    """Return the share of the labels of a square core that differ: its four sides see what lies beyond the halo."""
    return float(4 * rates[halo:].sum() / core)


def _labels(engine: Engine, raw: NDArray[np.float32]) -> NDArray[np.intp]:
    labels: NDArray[np.intp] = engine.runtime(np.ascontiguousarray(raw[None]))[0][
        : engine.classes
    ].argmax(axis=0)
    return labels


def _strip(dataset: Dataset, image: int, stride: int) -> NDArray[np.float32] | None:
    """Read the middle of an image, its longer side along the rows; None where it is too small or has no data in it.

    It is shown at the scale at which a network that learns the dataset will see it, and its size is
    of that.
    """
    source = dataset.images[image]
    grid = source.grid
    zoom = zoom_for(grid.gsd, dataset.manifest.gsd)
    if max(grid.height, grid.width) * zoom < LONG or min(grid.height, grid.width) * zoom < WIDE:
        return None
    unit = 2 * stride * zoom.denominator
    most = (LONGEST, WIDEST) if grid.height >= grid.width else (WIDEST, LONGEST)
    height, width = (
        min(n, int(m / zoom)) // unit * unit
        for n, m in zip((grid.height, grid.width), most, strict=True)
    )
    values, valid = source.read(
        Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
    )
    if not valid.size or valid.mean() < 0.9:
        return None
    fill = np.array([b.mean for b in dataset.manifest.bands], np.float32)[:, None, None]
    raw: NDArray[np.float32] = resample(
        np.where(valid, values.astype(np.float32), fill)[None], zoom
    )[0]
    return raw if height >= width else raw.transpose(0, 2, 1)
