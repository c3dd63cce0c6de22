"""Estimate of what a prediction takes in memory, disk and time, before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from swath.mapping.plan import Plan
from swath.models.model import Model
from swath.types import Tta

MACHINES = (1, 10, 100, 1000)
"""Numbers of machines for which the time is estimated."""

COPIES = 3
"""Parts, scratch file and map, each at most as large as the pixels themselves."""


class Estimate(BaseModel, frozen=True):
    """What a prediction takes.

    Attributes:
        read: rows and columns that are read for a tile, of the largest image.
        halo: pixels read around a tile's core.
        memory_bytes: of each worker, at most.
        disk_bytes: of parts, scratch files and maps together, at most.
        pixels_per_second: pixels read per second for one tile with all its views, as timed.
        seconds: of computing, by number of machines like this one.
        threads: of a worker.
        tta: test-time augmentation.
        views: number of views of each tile.
        zoom: scale at which the largest image is shown to the network; 0.5 where its pixels are
            half as large as those of the training data.
        cost: pixels that go through the network for each pixel read.
        seam: share of labels that the halo of the model changes, as measured; None if unknown.
        context: `local`, or `global` where labels depend on all of a tile.
    """

    read: tuple[int, int]
    halo: int
    memory_bytes: int
    disk_bytes: int
    pixels_per_second: float
    seconds: dict[int, float]
    threads: int
    tta: Tta
    views: int
    zoom: float
    cost: float
    seam: float | None
    context: str


def estimate(model: Model, plans: Sequence[Plan]) -> Estimate:
    """Estimate what plans take; the network is timed on one tile of the largest image."""
    largest = max(plans, key=lambda plan: plan.height * plan.width)
    engine = model.open(largest.setup, largest.read, zoom=largest.asked.zoom)
    raw = np.tile(np.asarray(engine.fill, np.float32)[None, :, None, None], (1, 1, *largest.read))
    engine.runtime(raw)
    start = time.perf_counter()
    engine.runtime(raw)
    speed = raw[0, 0].size / (time.perf_counter() - start)
    tiles = sum(len(p.tiling) for p in plans)
    views, work = model.views.at(largest.asked.zoom), 0.0
    for plan in plans:  # in pixels of the largest image
        scale = float(plan.asked.zoom / largest.asked.zoom) ** 2
        work += plan.tiling.overhead * plan.height * plan.width * scale
    classes = len(model.card.legend.trained)
    sizes = {"class": 1, "confidence": 1, "probabilities": classes, "masks": classes, "height": 4}
    bytes_per_pixel = COPIES * sum(sizes[layer] for layer in largest.asked.layers)
    return Estimate(
        read=largest.read,
        halo=largest.halo,
        memory_bytes=int(largest.asked.memory_gb * 1e9),
        disk_bytes=bytes_per_pixel * sum(p.height * p.width for p in plans),
        pixels_per_second=speed,
        seconds={n: work / speed / min(n, tiles) for n in MACHINES},
        threads=largest.setup.threads,
        tta=model.tta,
        views=views.count,
        zoom=float(largest.asked.zoom),
        cost=views.cost,
        seam=model.card.seam,
        context=model.card.context,
    )
