"""Tiles of a map of change: what became what in a window, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.io.work_folder import open_store
from swath.legend import IGNORE
from swath.mapping.change.dated_map import NO_PERCENT, DatePixels
from swath.mapping.change.neighborhood import HALO, change_with_neighbors, outside_of_shifts
from swath.mapping.change.plan import ChangePlan, open_dates
from swath.mapping.change.posterior import Floats, best_pairs, change_ratio
from swath.mapping.change.registration import drop_shifted
from swath.mapping.tile_store import LayerArrays, TileStore
from swath.transitions import Transitions

PIXELS_AT_ONCE = 2**16
"""Pixels whose probabilities are computed at one time."""

TALLY = ("differ", "unsure", "shifted", "old only", "new only", "neither")
"""Pixels of a tile that are counted: those whose mapped classes differ; of these, those that are
not change because that is not sure enough, or is explained by a shift; those with data at one date
alone (not counted in a series), and at none."""


def tally(masks: dict[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return the pixels of masks, in the order of `TALLY`; 0 for those that are left out."""
    return np.array([masks[name].sum() if name in masks else 0 for name in TALLY], np.int64)


class ChangeWorker:
    """Makes tiles of a change, and writes their parts.

    Args:
        plan: the frozen plan, with two maps.
        root: folder or URL of the parts.

    Raises:
        DataError: a map is damaged.
    """

    def __init__(self, plan: ChangePlan, root: str) -> None:
        self._plan = plan
        self._parts = TileStore(open_store(root), plan.digest)
        self._transitions = Transitions(plan.asked.land_classes)
        self._prior = np.array(plan.prior)
        self._evidence = plan.evidence
        self._readers = open_dates(plan.asked.dates, plan.grid)

    def work(self, indices: Iterable[int]) -> Iterator[int]:
        """Make tiles; yield the number of pixels of each when its part is on the disk.

        Raises:
            DataError: a tile cannot be read.
            JobError: a part cannot be written.
        """
        for i in indices:
            core = self._plan.tiling[i].core
            self._parts.put(i, self.make(core))
            yield core.size

    def make(self, core: Window) -> LayerArrays:
        """Return the layers of a tile: codes, percents of change, and the tally."""
        shift = self._plan.asked.shift
        halo = 2 * shift + (HALO + 2 * shift if self._plan.prior else 0)
        read = core.grow(halo).within(self._plan.grid.window)
        inner = core.relative_to(read).slices
        one, other = (reader.read(read) for reader in self._readers)
        held = (one.classes != IGNORE) & (other.classes != IGNORE)
        percents = None
        if self._plan.prior:
            was, now, percents = self._decide(one, other, held)
        else:
            was, now = np.where(held, one.classes, IGNORE), np.where(held, other.classes, IGNORE)
        changed = (was != now) & held
        kept = drop_shifted(was, now, shift)
        now = np.where(kept, now, was)
        differ = held & (one.classes != other.classes)
        masks = {
            "differ": differ,
            "unsure": differ & ~changed,
            "shifted": changed & ~kept,
            "old only": (one.classes != IGNORE) & ~held,
            "new only": (other.classes != IGNORE) & ~held,
            "neither": (one.classes == IGNORE) & (other.classes == IGNORE),
        }
        layers: LayerArrays = {
            "codes": self._transitions.encode(was[inner], now[inner]),
            "tally": tally({name: mask[inner] for name, mask in masks.items()}),
        }
        if percents is not None:
            layers["confidence"] = percents[inner]
        return layers

    def _decide(
        self, one: DatePixels, other: DatePixels, held: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return old and new class, and percent of change, of a window (rows, columns)."""
        ratio = np.ones(held.size, np.float32)
        stable = np.full(held.size, IGNORE, np.uint8)
        for some in pieces(np.flatnonzero(held)):
            was_like, now_like = self._likelihoods((one, other), some)
            ratio[some], stable[some] = change_ratio(was_like, now_like, self._prior)
        usable = outside_of_shifts(one.classes, other.classes, self._plan.asked.shift)
        share = change_with_neighbors(
            ratio.reshape(held.shape), held, usable, self._plan.prior_change or 0.0
        )
        percents = np.where(held, np.rint(100 * share), NO_PERCENT).astype(np.uint8).ravel()
        was, now = stable, stable.copy()
        changed = held.ravel() & (percents >= (self._plan.asked.at_least or 0))
        for some in pieces(np.flatnonzero(changed)):
            was_like, now_like = self._likelihoods((one, other), some)
            was[some], now[some] = best_pairs(was_like, now_like, self._prior)
        shape = held.shape
        return was.reshape(shape), now.reshape(shape), percents.reshape(shape)

    def _likelihoods(self, dates: Sequence[DatePixels], at: NDArray[np.intp]) -> list[Floats]:
        """Return the likelihoods of each date (n, pixels) of some pixels of a window."""
        out = []
        for evidence, date in zip(self._evidence, dates, strict=True):
            percents = date.percents
            if percents is not None:
                percents = percents.reshape(len(percents), -1)[:, at]
            out.append(evidence.seen(date.classes.ravel()[at], percents))
        return out

    def close(self) -> None:
        """Close the maps."""
        for reader in self._readers:
            reader.close()


def pieces(at: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield indices in pieces of `PIXELS_AT_ONCE`."""
    return (at[i : i + PIXELS_AT_ONCE] for i in range(0, len(at), PIXELS_AT_ONCE))
