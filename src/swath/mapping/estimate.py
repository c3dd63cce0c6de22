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

TIMED = 3
"""Tiles that are mapped to time them, in a row: the next is read while one is computed."""

COPIES = 3
"""Parts, scratch file and map, each at most as large as the pixels themselves."""


class Estimate(BaseModel, frozen=True):
    """What a prediction takes.

    Attributes:
        read: rows and columns that are read for a tile, of the largest image.
        halo: pixels read around a tile's core.
        memory_bytes: of each worker, at most.
        disk_bytes: of parts, scratch files and maps together, at most.
        pixels_per_second: pixels read per second with all views, as timed from one tile to the next
            of a row.
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
        first: of a row of tiles more than `tile` for each.
        tile: from one tile of a row to the next.
        joining: of each pixel of a map, with all layers.
    """

    engine: float
    first: float
    tile: float
    joining: float


def estimate(model: Model, plans: Sequence[Plan], opened: float) -> Estimate:
    """Estimate what plans take; `TIMED` tiles of the largest image are mapped and thrown away.

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
    """Time the steps of a run on tiles in the middle of an image."""
    with (
        TemporaryDirectory(prefix="swath-plan-") as root,
        closing(plan.asked.input.open()) as image,
    ):
        tiles = _tiles_with_data(plan, image)
        begun = time.perf_counter()
        with closing(Worker(plan, root, model)) as worker:
            engine = time.perf_counter() - begun
            begun = time.perf_counter()
            ends = [time.perf_counter() - begun for _ in worker.work(tiles)]
            ends = ends or [time.perf_counter() - begun]  # no pixel was wanted
        joining = _time_joining(model, plan, image, tiles[0], Path(root))
    return _of_row(engine, ends, joining)


def _of_row(engine: float, ends: Sequence[float], joining: float) -> _Timed:
    """Return times of steps; `ends` are those of a row of tiles, as `Worker.work` yields them.

    It yields each tile after the next one is computed, and the last two at the end.
    """
    tile = ends[1] - ends[0] if len(ends) > 2 else ends[-1] / len(ends)
    return _Timed(engine, ends[-1] - len(ends) * tile, tile, joining)


def _tiles_with_data(plan: Plan, image: InputImage) -> range:
    """Return `TIMED` tiles near the middle with data in each, the middle ones where none have."""
    tiling = plan.tiling
    count = min(TIMED, len(tiling))
    middle = (len(tiling) - count) // 2
    for step in (0, 1, -1, 2, -2, 4, -4, 8, -8):
        row = range(middle + step, middle + step + count)
        inside = 0 <= row.start and row.stop <= len(tiling)
        if inside and all(image.read(tiling[i].core).valid.any() for i in row):
            return row
    return range(middle, middle + count)


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
