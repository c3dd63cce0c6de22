"""Who does the tiles: this process, several here, or a Ray cluster. The only file that imports Ray.

Workers share nothing but the folder of parts. Which worker does a tile, in what order and how often
changes no byte of it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np

from swath.errors import JobError, ModelError, SwathError
from swath.inference.tiled import TilePrediction, predict_tiles
from swath.mapping.plan import Plan, layers_of
from swath.mapping.tile_store import TileStore, open_store
from swath.models.model import Model
from swath.progress import Task

GROUP = 8
"""Tiles that a worker is given at one time, so that it can read one while it computes another."""

TRIES = 4
"""How often a group is given out, where the worker that had it died."""


class Worker:
    """One model and one image, open; does tiles, and puts their parts.

    Args:
        plan: the frozen plan.
        root: folder or URL of the parts.
        model: the plan's model where it is open already.

    Raises:
        SwathError: this machine cannot run the plan.
    """

    def __init__(self, plan: Plan, root: str, model: Model | None = None) -> None:
        plan.setup.check()
        model = model or Model(plan.asked.model, tta=plan.asked.tta)
        if model.digest != plan.asked.model_sha256:
            raise ModelError(
                "this is not the model of the plan",
                file=model.path,
                fix="Share one file with all machines",
            )
        self._plan = plan
        self._engine = model.reopen(plan.setup, plan.read, plan.halo, plan.asked.zoom)
        self._image = plan.asked.input.open()
        self._parts = TileStore(open_store(root), plan.digest)
        self._layers = plan.asked.layers

    def work(self, indices: Iterable[int]) -> Iterator[int]:
        """Do tiles; yield the pixels of each when its part is on the disk. Writing goes on beside computing.

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
                for answer in predict_tiles(self._image, self._engine, tiles()):
                    writing.append(
                        (answer.window.size, writer.submit(self._put, todo.popleft(), answer))
                    )
                    if len(writing) > 1:
                        size, put = writing.popleft()
                        put.result()
                        yield size
            finally:
                for _, put in writing:
                    put.result()
            for size, _ in writing:
                yield size

    def _put(self, index: int, answer: TilePrediction) -> None:
        self._parts.put(index, layers_of(answer, self._image.wanted(answer.window), self._layers))

    def close(self) -> None:
        """Close the image."""
        self._image.close()


class WorkerLost(Exception):
    """A worker died, and with it what it was doing; not an error of what it was told to do."""


class WorkerPool(Protocol):
    """Workers that are given groups of tiles."""

    slots: int
    """How many groups they can take at one time."""

    def give(self, group: Sequence[int]) -> Any:
        """Start a group; return a handle of it."""

    def wait(self, handles: Iterable[Any]) -> Iterable[Any]:
        """Return handles of groups that have ended, at least one."""

    def result(self, handle: Any) -> None:
        """Return if the group is done; raise `WorkerLost`, or the error that it met."""

    def close(self) -> None:
        """Send them home."""


def run_groups(
    pool: WorkerPool,
    missing: Iterable[int],
    done: Callable[[Sequence[int]], None],
    group: int = GROUP,
) -> None:
    """Keep every worker busy until all tiles are done; a group whose worker died is given out again.

    Needs memory for the groups in flight only.

    Raises:
        JobError: workers died over the same group again and again.
        SwathError: what a worker met.
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
                if tries >= TRIES:
                    raise JobError(
                        f"{tries} workers died over tiles {indices[0]} to {indices[-1]} ({death})",
                        fix="They may lack memory: give fewer --workers or less --memory. All that is done is kept",
                    ) from death
                again.append((indices, tries))
            else:
                done(indices)


class LocalPool:
    """Processes on this machine.

    Args:
        plan: the frozen plan.
        root: folder of the parts.
        count: how many.
    """

    def __init__(self, plan: Plan, root: str, count: int) -> None:
        self.slots = count
        self._arguments = (plan.model_dump_json(), root, os.getpid())
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.slots, get_context("spawn"), _begin, self._arguments)

    def give(self, group: Sequence[int]) -> Future[None]:
        """Start a group; see `WorkerPool`."""
        try:
            return self._pool.submit(_do, group)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._open()
            return self._pool.submit(_do, group)

    def wait(self, handles: Iterable[Future[None]]) -> Iterable[Future[None]]:
        """Wait for a group; see `WorkerPool`."""
        return wait(handles, return_when=FIRST_COMPLETED).done

    def result(self, handle: Future[None]) -> None:
        """Tell how a group ended; see `WorkerPool`."""
        try:
            handle.result()
        except BrokenProcessPool as error:
            raise WorkerLost("a process was killed") from error

    def close(self) -> None:
        """End the processes; see `WorkerPool`."""
        self._pool.shutdown(cancel_futures=True)


_worker: Worker | SwathError | None = None


def _begin(plan: str, root: str, parent: int) -> None:
    """Open model and image in a new process; it leaves when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    global _worker
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes of a terminal; the first one decides
    threading.Thread(target=watch, daemon=True).start()
    try:
        _worker = Worker(Plan.model_validate_json(plan), root)
    except SwathError as error:  # a pool only says of a failed start that it is broken
        _worker = error


def _do(group: Sequence[int]) -> None:
    if not isinstance(_worker, Worker):
        raise _worker or RuntimeError("not begun")
    for _ in _worker.work(group):
        pass


class RayPool:
    """Actors on a Ray cluster, one model each, with as many cores each as the plan has threads.

    Args:
        plan: the frozen plan.
        root: folder or URL of the parts; all machines must see it, and the image, under the same
            name.
        address: of the cluster: `auto`, `HOST:PORT`, or `ray://HOST:PORT`.
        count: how many; None for as many as the cluster has room for.

    Raises:
        JobError: Ray is not installed, or the cluster is not there.
    """

    def __init__(self, plan: Plan, root: str, address: str, count: int | None = None) -> None:
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise JobError(
                "--cluster needs Ray", fix='Run `pip install "swath[cluster]"` on all machines'
            ) from error
        self._ray = ray
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise JobError(
                f"the cluster at {address} does not answer ({' '.join(str(error).split())[:200]})",
                fix="Start it with `ray start --head`, and name its address",
            ) from error
        threads = plan.setup.threads
        self._gpu = plan.setup.engine == "cuda"
        room = ray.cluster_resources().get("GPU" if self._gpu else "CPU", 1)
        count = count or max(1, int(room if self._gpu else room // threads))
        actor = ray.remote(
            num_cpus=0 if self._gpu else threads,
            num_gpus=1 if self._gpu else 0,
            max_restarts=-1,
            max_task_retries=TRIES,
        )(_Actor)
        self._actors = deque(actor.remote(plan.model_dump_json(), root) for _ in range(count))
        self._of: dict[Any, Any] = {}
        self.slots = count

    def give(self, group: Sequence[int]) -> Any:
        """Start a group; see `WorkerPool`."""
        actor = self._actors.popleft()
        handle = actor.do.remote(group)
        self._of[handle] = actor
        return handle

    def wait(self, handles: Iterable[Any]) -> Iterable[Any]:
        """Wait for a group; see `WorkerPool`."""
        ended: list[Any] = self._ray.wait(list(handles), num_returns=1)[0]
        return ended

    def result(self, handle: Any) -> None:
        """Tell how a group ended; see `WorkerPool`."""
        self._actors.append(self._of.pop(handle))
        try:
            self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, SwathError) else error from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(type(error).__name__) from error

    def close(self) -> None:
        """End the actors, and leave the cluster; see `WorkerPool`."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._ray.shutdown()


class _Actor:
    """A worker on Ray."""

    def __init__(self, plan: str, root: str) -> None:
        _begin(plan, root, os.getppid())

    def do(self, group: Sequence[int]) -> None:
        _do(group)


def run(
    plan: Plan, model: Model, root: str, workers: int | None, cluster: str | None, bar: Task
) -> None:
    """Do all tiles of a plan whose parts are missing.

    Args:
        plan: the frozen plan.
        model: its model, for work in this process.
        root: folder or URL of the parts.
        workers: processes, or actors; None for this process alone, or for what the cluster has room
            for.
        cluster: address of a Ray cluster.
        bar: told of every pixel that is done.

    Raises:
        SwathError: what a worker met.
    """
    tiling = plan.tiling
    missing = _counting(TileStore(open_store(root), plan.digest).missing(len(tiling)), plan, bar)
    first = next(missing, None)
    if first is None:
        return
    todo = (i for part in ([first], missing) for i in part)
    if cluster is None and workers in (None, 1):
        worker = Worker(plan, root, model)
        try:
            for size in worker.work(todo):
                bar.advance(size)
        finally:
            worker.close()
            if (
                len(tiling) > 1
            ):  # joining them needs its memory; the next of many small images needs the engine
                model.close()
        return
    pool = RayPool(plan, root, cluster, workers) if cluster else LocalPool(plan, root, workers or 1)
    group = max(1, min(GROUP, len(tiling) // (4 * pool.slots)))
    try:
        run_groups(
            pool,
            todo,
            lambda indices: bar.advance(sum(tiling[i].core.size for i in indices)),
            group,
        )
    finally:
        pool.close()


def _counting(missing: Iterator[int], plan: Plan, bar: Task) -> Iterator[int]:
    """Pass missing tiles on, and count those that were done before."""
    tiling, at = plan.tiling, 0
    for i in missing:
        bar.advance(sum(tiling[k].core.size for k in range(at, i)))
        at = i + 1
        yield i
    bar.advance(sum(tiling[k].core.size for k in range(at, len(tiling))))
