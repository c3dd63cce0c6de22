"""Batches made before they are asked for, in threads beside the loop, so that a step never waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from swath.training.patches import Batch, Batches

PROCESSORS = 4
"""Of so many processors of a training process, one may make batches."""

THREADS = 4
"""More than these make batches only get in each other's way."""


class Prefetcher:
    """A row of batches, of which the next few are made while a step runs.

    Order and content are the row's own: batch number k depends on k alone, so it does not matter
    which thread made it, or when. How far it is ahead is bounded by two batches a thread. Each
    iteration begins where the row begins by then; what is made already is not made again.

    Args:
        batches: the row.
        threads: how many make batches.
        pin: put batches where a GPU copies them from while it computes.

    Attributes:
        batches: the row.
        waited: seconds that the loop has waited for batches.
    """

    def __init__(self, batches: Batches, threads: int = 1, pin: bool = False) -> None:
        self.batches = batches
        self.waited = 0.0
        self._pin = pin
        self._depth = 2 * threads
        self._made: dict[int, Future[Batch]] = {}
        # A thread of torch computes on all processors unless told otherwise, and these would crowd
        # out the step.
        self._pool = ThreadPoolExecutor(threads, "batches", torch.set_num_threads, (1,))

    def __iter__(self) -> Iterator[Batch]:
        number, every = self.batches.start, self.batches.every
        while True:
            wanted = range(number, number + self._depth * every, every)
            self._made = {n: self._made.get(n) or self._pool.submit(self._make, n) for n in wanted}
            asked = time.monotonic()
            batch = self._made[number].result()
            self.waited += time.monotonic() - asked
            yield batch
            number += every

    def _make(self, number: int) -> Batch:
        batch = self.batches.batch(number)
        return batch.pinned() if self._pin else batch

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._made = {}
        torch.set_num_threads(
            torch.get_num_threads()
        )  # threads that start from now on compute as this one does again


def threads_beside(processes: int) -> int:
    """Return how many threads make batches in each of so many training processes of this machine."""
    return max(1, min(THREADS, (os.cpu_count() or 1) // (PROCESSORS * processes)))
