"""Prefetched batches are the same, in the same order, and ready if there was time for them."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
import torch

from swath.training.batches.patches import Batch, BatchStream
from swath.training.batches.prefetch import Prefetcher, prefetch_threads

DEPTH = 2
"""Batches that one thread is ahead by."""


class Numbers(BatchStream):
    """Batch k holds the number k; each may take its time, and which were made is written down."""

    def __init__(self, seconds: float = 0.0, broken: int | None = None) -> None:
        self.start, self.every = 0, 1
        self.seconds, self.broken = seconds, broken
        self.made: list[int] = []
        self.threads: set[int] = set()

    def batch(self, number: int) -> Batch:
        time.sleep(self.seconds)
        if number == self.broken:
            raise OSError("the disk is gone")
        self.made.append(number)
        self.threads.add(threading.get_ident())
        return Batch(torch.full((1,), float(number)), torch.full((1,), number))


def numbers(row: Prefetcher, count: int) -> list[int]:
    return [int(batch.labels) for batch in itertools.islice(row, count)]


@pytest.mark.parametrize("threads", [1, 3])
def test_order_and_content_are_the_rows(threads: int) -> None:
    with Prefetcher(Numbers(), threads) as ahead:
        assert numbers(ahead, 40) == list(range(40))


def test_processes_share_the_row_and_each_iteration_begins_where_it_is_told() -> None:
    with Prefetcher(Numbers()) as ahead:
        ahead.batches.start, ahead.batches.every = 1, 2
        assert numbers(ahead, 3) == [1, 3, 5]
        ahead.batches.start = 40
        assert numbers(ahead, 3) == [40, 42, 44]


def test_what_is_made_is_not_made_again_where_the_next_iteration_goes_on() -> None:
    row = Numbers()
    with Prefetcher(row) as ahead:
        numbers(ahead, 3)
        row.start = 3
        numbers(ahead, 3)
    assert sorted(row.made) == sorted(set(row.made))


def test_it_is_ahead_by_a_bounded_number_of_batches_made_in_other_threads() -> None:
    row = Numbers()
    with Prefetcher(row) as ahead:
        loop = iter(ahead)
        next(loop)
        end = time.monotonic() + 20
        while len(row.made) < DEPTH and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.05)
        assert row.made == list(range(DEPTH))
        assert threading.get_ident() not in row.threads


def test_a_slow_reader_hides_behind_the_step() -> None:
    """Time that a step leaves costs no waiting; without threads 20 batches cost 20 times 20 ms."""
    row = Numbers(seconds=0.02)
    with Prefetcher(row) as ahead:
        for _ in itertools.islice(ahead, 20):
            time.sleep(0.06)
        hidden = ahead.waited
    with Prefetcher(Numbers(seconds=0.02)) as ahead:
        numbers(ahead, 20)
        bare = ahead.waited
    assert hidden < 0.5 * bare
    assert bare > 0.3


def test_an_error_reaches_the_loop_at_its_batch() -> None:
    with Prefetcher(Numbers(broken=2)) as ahead:
        loop = iter(ahead)
        assert [int(next(loop).labels) for _ in range(2)] == [0, 1]
        with pytest.raises(OSError) as caught:
            next(loop)
    assert str(caught.value) == "the disk is gone"


def test_threads_compute_on_one_processor_and_leave_the_others_theirs() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    class Counting(Numbers):
        def batch(self, number: int) -> Batch:
            seen.append(torch.get_num_threads())
            return super().batch(number)

    torch.set_num_threads(2)
    try:
        with Prefetcher(Counting()) as ahead:
            numbers(ahead, 2)
            assert torch.get_num_threads() == 2
        assert set(seen) == {1}
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert seen[-1] == 2
    finally:
        torch.set_num_threads(before)


def test_batches_for_a_gpu_are_pinned_by_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU, what would be pinned changes its sign instead."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: -tensor)
    with Prefetcher(Numbers(), pin=True) as ahead:
        batch = next(itertools.islice(ahead, 3, None))
    assert (batch.pixels.item(), batch.labels.item(), batch.heights, batch.colors) == (
        -3,
        -3,
        None,
        None,
    )


def test_every_process_has_a_thread_that_makes_batches() -> None:
    assert prefetch_threads(1) >= 1 == prefetch_threads(10**6)
