"""Processes that share the tiles of a job, whatever a tile is.

Workers share nothing but the folder of parts. Which worker makes a tile, in what order and how
often, changes no byte of the tile.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, TypeAlias

from swath.errors import JobError, SwathError
from swath.geo.tiling import Tiling
from swath.progress import Task

GROUP_SIZE = 8
"""Tiles that a worker gets at one time: it reads one while it computes another."""

MAX_TRIES = 4
"""How often a group is given out when the workers that have it die."""


class TileWorker(Protocol):
    """Makes tiles, and writes their parts."""

    def work(self, indices: Iterable[int]) -> Iterator[int]:
        """Make tiles; yield the number of pixels of each when its part is on the disk."""

    def close(self) -> None:
        """Close what it has open."""


OpenWorker: TypeAlias = Callable[[str, str], TileWorker]
"""Opens a worker from the JSON of a plan and the folder or URL of the parts.

It is a function of a module, so that other processes can import it.
"""


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
                    fix = (
                        "Workers may lack memory: give fewer --workers or less --memory. In a "
                        'script, put calls below `if __name__ == "__main__":`'
                    )
                    raise JobError(message, code="workers-lost", fix=fix) from death
                again.append((indices, tries))
            else:
                done(indices)


class LocalPool:
    """Processes on this machine."""

    def __init__(self, opener: OpenWorker, plan: str, root: str, count: int) -> None:
        self.slots = count
        self._arguments = (opener, plan, root, os.getpid())
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.slots, get_context("spawn"), start_worker, self._arguments)

    def give(self, group: Sequence[int]) -> Future[None]:
        """Start a group, in a new pool where the old one is broken."""
        try:
            return self._pool.submit(run_group, group)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._open()
            return self._pool.submit(run_group, group)

    def wait(self, handles: Iterable[Future[None]]) -> Iterable[Future[None]]:
        """Return groups that have ended."""
        return wait(handles, return_when="FIRST_COMPLETED").done

    def result(self, handle: Future[None]) -> None:
        """Return if the group is done; else raise `WorkerLost` or the error of the worker."""
        try:
            handle.result()
        except BrokenProcessPool as error:
            raise WorkerLost("a process was killed") from error

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


_worker: TileWorker | SwathError | None = None


def start_worker(opener: OpenWorker, plan: str, root: str, parent: int) -> None:
    """Open a worker in a new process, which ends with the process that started it."""

    def watch() -> None:
        if (starter := parent_process()) is not None:
            starter.join()  # on Windows the id of the parent stays when it has ended
        while starter is None and os.getppid() == parent:  # an actor of Ray
            time.sleep(0.5)
        os._exit(1)

    global _worker
    # Ctrl-C reaches all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    try:
        _worker = opener(plan, root)
    except SwathError as error:  # a pool reports no more of a failed start than that it is broken
        _worker = error


def run_group(group: Sequence[int]) -> None:
    """Make a group of tiles with the worker of this process.

    Raises:
        SwathError: the worker could not be opened, or a tile cannot be made.
    """
    if _worker is None or isinstance(_worker, SwathError):
        raise _worker or RuntimeError("not started")
    for _ in _worker.work(group):
        pass


def run_in_pool(pool: WorkerPool, tiling: Tiling, missing: Iterable[int], bar: Task) -> None:
    """Make missing tiles with a pool, and close it.

    Args:
        pool: the workers.
        tiling: the tiles.
        missing: indices of those to make.
        bar: advanced by the pixels of each tile that is done.
    """
    group = max(1, min(GROUP_SIZE, len(tiling) // (4 * pool.slots)))

    def advance(indices: Sequence[int]) -> None:
        bar.advance(sum(tiling[i].core.size for i in indices))

    with closing(pool):
        run_groups(pool, missing, advance, group)


def count_done(missing: Iterable[int], tiling: Tiling, bar: Task) -> Iterator[int]:
    """Pass missing tiles on, and advance the bar by those that were done before."""
    at = 0
    for i in chain(missing, [len(tiling)]):
        bar.advance(sum(tiling[k].core.size for k in range(at, i)))
        at = i + 1
        if i < len(tiling):
            yield i
