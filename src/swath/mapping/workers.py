"""Workers that predict tiles: this process, several here, or a Ray cluster.

Workers share nothing but the folder of parts. Which worker predicts a tile, in what order and how
often, changes no byte of the tile. This is the only module that imports Ray.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from importlib import import_module
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np

from swath.errors import JobError, ModelError, SwathError
from swath.inference.tiled import TilePrediction, predict_tiles
from swath.io.work_folder import open_store
from swath.mapping.plan import Plan, layers_of
from swath.mapping.tile_store import TileStore
from swath.models.model import Model
from swath.progress import Task

GROUP_SIZE = 8
"""Tiles that a worker gets at one time: it reads one while it computes another."""

MAX_TRIES = 4
"""How often a group is given out when the workers that have it die."""


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


class WorkerLost(Exception):
    """A worker died, and its group is not done; the group itself need not be at fault."""


class WorkerPool(Protocol):
    """Workers that get groups of tiles."""

    slots: int
    """Number of groups that they take at one time."""

    def give(self, group: Sequence[int]) -> Any:
        """Start a group; return a handle of it."""

    def wait(self, handles: Iterable[Any]) -> Iterable[Any]:
        """Return handles of groups that have ended, at least one."""

    def result(self, handle: Any) -> None:
        """Return if the group is done; else raise `WorkerLost` or the error of the worker."""

    def close(self) -> None:
        """End the workers."""


def run_groups(
    pool: WorkerPool,
    missing: Iterable[int],
    done: Callable[[Sequence[int]], None],
    group: int = GROUP_SIZE,
) -> None:
    """Keep every worker busy until all tiles are done; give out again what a dead worker had.

    Only the groups in flight are in memory.

    Args:
        pool: the workers.
        missing: indices of the tiles.
        done: called with the indices of each group that is done.
        group: number of tiles in a group.

    Raises:
        JobError: `MAX_TRIES` workers died over one group.
        SwathError: the error of a worker.
    """
    todo = iter(missing)
    again: deque[tuple[tuple[int, ...], int]] = deque()
    busy: dict[Any, tuple[tuple[int, ...], int]] = {}
    while True:
        while len(busy) < pool.slots:
            indices, tries = again.popleft() if again else (tuple(islice(todo, group)), 0)
            if not indices:
                break
            busy[pool.give(indices)] = indices, tries + 1
        if not busy:
            return
        for handle in list(pool.wait(busy)):
            indices, tries = busy.pop(handle)
            try:
                pool.result(handle)
            except WorkerLost as death:
                if tries >= MAX_TRIES:
                    tiles = f"tiles {indices[0]} to {indices[-1]}"
                    message = f"{tries} workers died over {tiles} ({death})"
                    fix = "Workers may lack memory: give fewer --workers or less --memory"
                    raise JobError(message, code="workers-lost", fix=fix) from death
                again.append((indices, tries))
            else:
                done(indices)


class _LocalPool:
    """Processes on this machine."""

    def __init__(self, plan: Plan, root: str, count: int) -> None:
        self.slots = count
        self._arguments = (plan.model_dump_json(), root, os.getpid())
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.slots, get_context("spawn"), _start_worker, self._arguments)

    def give(self, group: Sequence[int]) -> Future[None]:
        try:
            return self._pool.submit(_run_group, group)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._open()
            return self._pool.submit(_run_group, group)

    def wait(self, handles: Iterable[Future[None]]) -> Iterable[Future[None]]:
        return wait(handles, return_when="FIRST_COMPLETED").done

    def result(self, handle: Future[None]) -> None:
        try:
            handle.result()
        except BrokenProcessPool as error:
            raise WorkerLost("a process was killed") from error

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


_worker: Worker | SwathError | None = None


def _start_worker(plan: str, root: str, parent: int) -> None:
    """Open model and image in a new process, which ends with the process that started it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    global _worker
    # Ctrl-C reaches all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    try:
        _worker = Worker(Plan.model_validate_json(plan), root)
    except SwathError as error:  # a pool reports no more of a failed start than that it is broken
        _worker = error


def _run_group(group: Sequence[int]) -> None:
    if not isinstance(_worker, Worker):
        raise _worker or RuntimeError("not started")
    for _ in _worker.work(group):
        pass


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
        _start_worker(plan, root, os.getppid())

    def run(self, group: Sequence[int]) -> None:
        _run_group(group)


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
    missing = _counting(TileStore(open_store(root), plan.digest).missing(len(tiling)), plan, bar)
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
    pool = _RayPool(plan, root, cluster, workers) if cluster else _LocalPool(plan, root, count)
    group = max(1, min(GROUP_SIZE, len(tiling) // (4 * pool.slots)))

    def advance(indices: Sequence[int]) -> None:
        bar.advance(sum(tiling[i].core.size for i in indices))

    with closing(pool):
        run_groups(pool, todo, advance, group)


def _counting(missing: Iterator[int], plan: Plan, bar: Task) -> Iterator[int]:
    """Pass missing tiles on, and advance the bar by those that were done before."""
    tiling, at = plan.tiling, 0
    for i in chain(missing, [len(plan.tiling)]):
        bar.advance(sum(tiling[k].core.size for k in range(at, i)))
        at = i + 1
        if i < len(tiling):
            yield i
