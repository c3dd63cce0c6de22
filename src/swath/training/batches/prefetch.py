"""Make batches in threads beside the training loop, so that a step never waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from swath.training.batches.patches import Batch, BatchStream

CORES_PER_THREAD = 4
"""Of so many cores of a training process, one may make batches."""

MAX_THREADS = 4
"""More threads than these hinder each other."""


class Prefetcher:
    """A stream of batches of which the next few are made while a step runs.

    Order and content are those of the stream: batch k depends on k alone, whichever thread makes
    it. It is at most two batches a thread ahead. Each iteration begins at the stream's current
    `start`; batches that are made already are not made again.

    Args:
        batches: the stream.
        threads: how many make batches.
        pin: put batches into memory that a GPU copies from while it computes.

    Attributes:
        waited: seconds that the loop has waited for batches.
    """

    def __init__(self, batches: BatchStream, threads: int = 1, pin: bool = False) -> None:
        self.batches = batches
        self.waited = 0.0
        self._pin = pin
        self._depth = 2 * threads
        self._made: dict[int, Future[Batch]] = {}
        # By default each thread of torch computes on all cores, which would slow the step down.
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

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._made = {}
        # Threads that start from now on compute as this one does.
        torch.set_num_threads(torch.get_num_threads())


def prefetch_threads(processes: int) -> int:
    """Return how many threads make batches in each of so many training processes here."""
    return max(1, min(MAX_THREADS, (os.cpu_count() or 1) // (CORES_PER_THREAD * processes)))
