"""Does the driver hold up for a million tiles? Fake workers, injected deaths.

Usage: python benchmarks/scale.py [TILES] [DEATHS]    TILES default 1000000, DEATHS a share of
groups, default 0.001
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np
from usage import arguments

from swath.geo.tiling import fit_tiling
from swath.mapping.tile_store import TileStore
from swath.mapping.worker_pool import WorkerLost, run_groups

WORKERS = 1000


class Empty:
    """A store without a part."""

    root = "memory"

    def get(self, name: str) -> bytes | None:
        """Return nothing: no part is there before the run."""
        return None


class FakePool:
    """A thousand workers that take no time, and die over some groups the first time."""

    slots = WORKERS

    def __init__(self, deaths: float) -> None:
        self.random = random.Random(0)
        self.deaths = deaths
        self.count = self.died = 0
        self.busy: dict[int, Sequence[int]] = {}

    def give(self, group: Sequence[int]) -> int:
        """Take a group."""
        self.count += 1
        self.busy[self.count] = group
        return self.count

    def wait(self, handles: Iterable[int]) -> list[int]:
        """End the group that was given first."""
        return [next(iter(handles))]

    def result(self, handle: int) -> None:
        """Die now and then."""
        del self.busy[handle]
        if self.random.random() < self.deaths:
            self.died += 1
            raise WorkerLost("killed by the simulation")

    def close(self) -> None:
        """Do nothing."""


def main(tiles: int, deaths: float) -> None:
    """Run, and say what a tile cost."""
    side = int((tiles**0.5) * 1600)
    tiling = fit_tiling(side, side, most=1856 * 1856, halo=128, stride=32)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    pool, done = FakePool(deaths), np.zeros(len(tiling), np.uint8)
    pixels = 0

    def count(group: Sequence[int]) -> None:
        nonlocal pixels
        for i in group:
            done[i] += 1
            pixels += tiling[i].core.size

    run_groups(pool, TileStore(Empty(), "plan").missing(len(tiling)), count)  # type: ignore[arg-type]
    took = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (done == 1).all() and pixels == tiling.height * tiling.width  # noqa: S101
    sys.stdout.write(
        f"{len(tiling)} tiles of {pixels:.3g} pixels, {pool.count} groups given out, "
        f"{pool.died} died: {took:.1f} s, "
        f"{took / len(tiling) * 1e6:.1f} microseconds a tile, {grown / 1024:.1f} MB more\n"
    )


if __name__ == "__main__":
    tiles, deaths, *_ = [*arguments(__doc__, 0, 2), "", ""]
    main(int(tiles or 10**6), float(deaths or 0.001))
