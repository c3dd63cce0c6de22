"""Estimate of what a prediction takes in memory, disk and time, before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from swath.io.map_writer import MapWriter
from swath.io.work_folder import open_store
from swath.mapping.inputs import InputImage
from swath.mapping.job import map_kinds
from swath.mapping.plan import Plan
from swath.mapping.tile_store import TileStore
from swath.mapping.workers import Worker
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
        pixels_per_second: pixels read per second in a tile with all its views, as timed: reading
            them, the network, and keeping the tile.
        seconds: of the whole run, start, opening and joining included, by number of machines like
            this one.
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


@dataclass(frozen=True)
class _Timed:
    """Seconds of the steps of a run, as measured on tiles of one image.

    Attributes:
        engine: of starting the network.
        first: of the first tile more than of a later one.
        tile: of a later tile: reading, network, and writing its part.
        joining: of each pixel of a map, with all layers.
    """

    engine: float
    first: float
    tile: float
    joining: float


def estimate(model: Model, plans: Sequence[Plan], opened: float) -> Estimate:
    """Estimate what plans take; two tiles of the largest image are mapped and thrown away.

    Args:
        model: the model of all plans.
        plans: at least one.
        opened: seconds that the start, opening the model and making the plans took.
    """
    largest = max(plans, key=lambda plan: plan.height * plan.width)
    timed = _time_tiles(model, largest)
    speed = largest.read[0] * largest.read[1] / timed.tile
    tiles = sum(len(p.tiling) for p in plans)
    views, work = model.views.at(largest.asked.zoom), 0.0
    for plan in plans:  # in pixels of the largest image
        scale = float(plan.asked.zoom / largest.asked.zoom) ** 2
        work += plan.tiling.overhead * plan.height * plan.width * scale
    shapes = [(plan.read, plan.halo, plan.asked.zoom) for plan in plans]
    starts = 1 + sum(a != b for a, b in pairwise(shapes))
    fixed = opened + timed.engine * starts + timed.first
    fixed += timed.joining * sum(p.height * p.width for p in plans)
    classes = len(model.card.legend.trained)
    sizes = {"class": 1, "confidence": 1, "probabilities": classes, "masks": classes, "height": 4}
    bytes_per_pixel = COPIES * sum(sizes[layer] for layer in largest.asked.layers)
    return Estimate(
        read=largest.read,
        halo=largest.halo,
        memory_bytes=int(largest.asked.memory_gb * 1e9),
        disk_bytes=bytes_per_pixel * sum(p.height * p.width for p in plans),
        pixels_per_second=speed,
        seconds={n: fixed + work / speed / min(n, tiles) for n in MACHINES},
        threads=largest.setup.threads,
        tta=model.tta,
        views=views.count,
        zoom=float(largest.asked.zoom),
        cost=views.cost,
        seam=model.card.seam,
        context=model.card.context,
    )


def _time_tiles(model: Model, plan: Plan) -> _Timed:
    """Time the steps of a run on the middle tile of an image and the one before or after it."""
    with (
        TemporaryDirectory(prefix="swath-plan-") as root,
        closing(plan.asked.input.open()) as image,
    ):
        index = _tile_with_data(plan, image)
        begun = time.perf_counter()
        with closing(Worker(plan, root, model)) as worker:
            engine = time.perf_counter() - begun
            times = []
            for i in [index, index + 1 if index + 1 < len(plan.tiling) else index - 1]:
                if i < 0:
                    continue
                begun = time.perf_counter()
                for _ in worker.work([i]):
                    pass
                times.append(time.perf_counter() - begun)
        joining = _time_joining(model, plan, image, index, Path(root))
    return _Timed(engine, times[0] - times[-1], times[-1], joining)


def _tile_with_data(plan: Plan, image: InputImage) -> int:
    """Return a tile near the middle with data in it and after it, the middle one where none has."""
    tiling = plan.tiling
    middle = len(tiling) // 2
    for step in (0, 1, -1, 2, -2, 4, -4, 8, -8):
        i = middle + step
        near = [k for k in (i, i + 1) if 0 <= k < len(tiling)]
        if 0 <= i and near and all(image.read(tiling[k].core).valid.any() for k in near):
            return min(i, len(tiling) - 1)
    return middle


def _time_joining(model: Model, plan: Plan, image: InputImage, index: int, folder: Path) -> float:
    """Return the seconds that each pixel takes from its part to the maps."""
    legend, core = model.card.legend, plan.tiling[index].core
    kinds, begun = map_kinds(legend), time.perf_counter()
    part = TileStore(open_store(str(folder)), plan.digest).get(index)
    assert part is not None  # noqa: S101 - it was just written
    for layer in plan.asked.layers:
        values, grid = part[layer], image.grid.part(core)
        with closing(MapWriter(folder / f"{layer}.tif", grid, kinds[layer])) as writer:
            writer.write(
                legend.decode(values) if layer == "class" else values, core.relative_to(core)
            )
            writer.finish()
    return (time.perf_counter() - begun) / core.size
