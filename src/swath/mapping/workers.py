"""Workers that predict tiles: this process, several here, or a Ray cluster.

Workers share nothing but the folder of parts. Which worker predicts a tile, in what order and how
often, changes no byte of the tile. This is the only module that imports Ray.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np

from swath.errors import JobError, ModelError, SwathError
from swath.inference.tiled import TilePrediction, predict_tiles
from swath.io.work_folder import open_store
from swath.mapping.plan import Plan, layers_of
from swath.mapping.tile_store import TileStore
from swath.mapping.worker_pool import (
    MAX_TRIES,
    LocalPool,
    WorkerLost,
    count_done,
    run_group,
    run_in_pool,
    start_worker,
)
from swath.models.model import Model
from swath.progress import Task


class Worker:
    """Predicts tiles with an open model and image, and writes their parts.

    Args:
        plan: the frozen plan.
        root: folder or URL of the parts.
        model: the model of the plan where it is open already.

    Raises:
        SwathError: this machine cannot run the plan.
    """

    def __init__(self, plan: Plan, root: str, model: Model | None = None) -> None:
        plan.setup.check()
        model = model or Model(plan.asked.model, tta=plan.asked.tta)
        if model.digest != plan.asked.model_sha256:
            message = "The model is not the one of the plan"
            fix = "Share one file with all machines, and do not replace it meanwhile"
            raise ModelError(message, code="other-model", file=model.path, fix=fix)
        self._plan = plan
        self._engine = model.reopen(plan.setup, plan.read, plan.halo, plan.asked.zoom)
        self._image = plan.asked.input.open()
        self._parts = TileStore(open_store(root), plan.digest)
        self._layers = plan.asked.layers

    def work(self, indices: Iterable[int]) -> Iterator[int]:
        """Predict tiles; yield the number of pixels of each when its part is on the disk.

        A part is written while the next tile is computed.

        Raises:
            DataError: a tile cannot be read.
            JobError: a part cannot be written.
        """
        todo: deque[int] = deque()

        def tiles() -> Iterator[Any]:
            for i in indices:
                tile = self._plan.tiling[i]
                wanted = self._image.wanted(tile.core)
                if wanted is not None and not wanted.any():
                    empty = np.zeros((tile.core.height, tile.core.width), bool)
                    self._put(i, TilePrediction(tile.core, empty, None, self._engine.output))
                    continue
                todo.append(i)
                yield tile

        with ThreadPoolExecutor(1, "swath-write") as writer:
            writing: deque[tuple[int, Future[None]]] = deque()
            try:
                for tile in predict_tiles(self._image, self._engine, tiles()):
                    put = writer.submit(self._put, todo.popleft(), tile)
                    writing.append((tile.window.size, put))
                    if len(writing) > 1:
                        size, put = writing.popleft()
                        put.result()
                        yield size
            finally:
                for _, put in writing:
                    put.result()
            for size, _ in writing:
                yield size

    def _put(self, index: int, tile: TilePrediction) -> None:
        wanted = self._image.wanted(tile.window)
        self._parts.put(index, layers_of(tile, wanted, self._layers))

    def close(self) -> None:
        """Close the image."""
        self._image.close()


def open_worker(plan: str, root: str) -> Worker:
    """Open model and image of a plan, given as JSON."""
    return Worker(Plan.model_validate_json(plan), root)


class _RayPool:
    """Actors on a Ray cluster, one model each, with as many cores each as the plan has threads.

    Parts and image have one name on all machines.
    """

    def __init__(self, plan: Plan, root: str, address: str, count: int | None = None) -> None:
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            fix = 'Run `pip install "swath[cluster]"` on all machines'
            raise JobError("--cluster needs Ray", code="missing-package", fix=fix) from error
        self._ray, gpu = ray, plan.setup.engine == "cuda"
        try:
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(address=address, ignore_reinit_error=True, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            cause = " ".join(str(error).split())[:200]
            message = f"The cluster at {address} cannot be reached ({cause})"
            fix = "Start the cluster with `ray start --head`, and name its address"
            raise JobError(message, code="no-cluster", fix=fix) from error
        kind, share = ("GPU", 1) if gpu else ("CPU", plan.setup.threads)
        needs = {"num_cpus": 0, "num_gpus": 1} if gpu else {"num_cpus": share, "num_gpus": 0}
        self.slots = count or max(1, int(ray.cluster_resources().get(kind, 1) // share))
        actor = ray.remote(**needs, max_restarts=-1, max_task_retries=MAX_TRIES)(_Actor)
        self._actors = deque(actor.remote(plan.model_dump_json(), root) for _ in range(self.slots))
        self._of: dict[Any, Any] = {}

    def give(self, group: Sequence[int]) -> Any:
        actor = self._actors.popleft()
        handle = actor.run.remote(group)
        self._of[handle] = actor
        return handle

    def wait(self, handles: Iterable[Any]) -> Iterable[Any]:
        ended: list[Any] = self._ray.wait(list(handles), num_returns=1)[0]
        return ended

    def result(self, handle: Any) -> None:
        self._actors.append(self._of.pop(handle))
        try:
            self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, SwathError) else error from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(type(error).__name__) from error

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._ray.shutdown()


class _Actor:
    """A worker on Ray."""

    def __init__(self, plan: str, root: str) -> None:
        start_worker(open_worker, plan, root, os.getppid())

    def run(self, group: Sequence[int]) -> None:
        run_group(group)


def run_plan(
    plan: Plan, model: Model, root: str, workers: int | None, cluster: str | None, bar: Task
) -> None:
    """Predict all tiles of a plan whose parts are missing.

    Args:
        plan: the frozen plan.
        model: the model of the plan, for work in this process.
        root: folder or URL of the parts.
        workers: processes, or actors; None for this process alone, or for what the cluster has room
            for.
        cluster: address of a Ray cluster: `auto`, `HOST:PORT`, or `ray://HOST:PORT`.
        bar: advanced by the pixels of each tile that is done.

    Raises:
        JobError: Ray is not installed, or the cluster cannot be reached.
        SwathError: the error of a worker.
    """
    tiling = plan.tiling
    missing = count_done(TileStore(open_store(root), plan.digest).missing(len(tiling)), tiling, bar)
    first = next(missing, None)
    if first is None:
        return
    todo = chain([first], missing)
    if cluster is None and workers in (None, 1):
        with closing(Worker(plan, root, model)) as worker:
            try:
                for size in worker.work(todo):
                    bar.advance(size)
            finally:
                # Joining many tiles needs the memory of the engine, which the next of many small
                # images uses again.
                if len(tiling) > 1:
                    model.close()
        return
    count = workers or 1
    if cluster:
        run_in_pool(_RayPool(plan, root, cluster, workers), tiling, todo, bar)
    else:
        run_in_pool(LocalPool(open_worker, plan.model_dump_json(), root, count), tiling, todo, bar)
