"""Tiles of a series: consistent maps of several dates, and when and how often a pixel changed.

The chain of a pixel tells how much likelier any change is than none. With that, the probability of
change takes what is seen around the pixel, as between two maps. Where it is large enough, the
pixel has the likeliest sequence of its classes with a change, else its likeliest single class.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.legend import IGNORE, Legend
from swath.mapping.change.chain import Chain, fill_missing
from swath.mapping.change.dated_map import NO_PERCENT, DatePixels
from swath.mapping.change.neighborhood import HALO, change_with_neighbors, outside_of_shifts
from swath.mapping.change.plan import ChangePlan
from swath.mapping.change.registration import drop_shifted
from swath.mapping.change.tiles import ChangeWorker, pieces, tally
from swath.mapping.tile_store import LayerArrays


class SeriesWorker(ChangeWorker):
    """Makes tiles of a series, and writes their parts.

    Args:
        plan: the frozen plan, with dates.
        root: folder or URL of the parts.

    Raises:
        DataError: a map is damaged.
    """

    def __init__(self, plan: ChangePlan, root: str) -> None:
        super().__init__(plan, root)
        self._chain = Chain(np.array(plan.start), np.array(plan.prior))
        self._legend = Legend(plan.asked.land_classes)

    def make(self, core: Window) -> LayerArrays:
        """Return the layers of a tile, those of `layers_of`, and its counts."""
        asked = self._plan.asked
        steps = len(asked.labels) - 1
        halo = 2 * asked.shift * (steps + 1) + HALO
        read = core.grow(halo).within(self._plan.grid.window)
        inner = core.relative_to(read).slices
        dates = [reader.read(read) for reader in self._readers]
        held = np.stack([date.classes != IGNORE for date in dates])
        path, percents = self._decode(dates, held)
        changed = (path[1:] != path[:-1]).any(axis=0)
        for t in range(1, len(path)):
            kept = drop_shifted(path[t - 1], path[t], asked.shift)
            path[t] = np.where(kept, path[t], path[t - 1])
        moved = path[1:] != path[:-1]
        some = held.any(axis=0)
        numbers = np.arange(2, len(path) + 1, dtype=np.uint8)[:, None, None]
        when = np.where(moved, numbers, 0)
        first = np.where(moved, numbers, IGNORE).min(axis=0)
        first[first == IGNORE] = 0
        differ = self._differ(dates)
        masks = {
            "differ": differ,
            "unsure": differ & ~changed,
            "shifted": changed & ~moved.any(axis=0),
            "neither": ~some,
        }
        layers: LayerArrays = {
            "codes": self._transitions.encode(path[0], path[-1])[inner],
            "confidence": percents[inner],
            "tally": tally({name: mask[inner] for name, mask in masks.items()}),
            "held": held[(slice(None), *inner)].sum(axis=(1, 2)),
        }
        counted = {"first": first, "last": when.max(axis=0), "changes": moved.sum(axis=0)}
        for name, values in counted.items():
            layers[name] = np.where(some, values, NO_PERCENT)[inner].astype(np.uint8)
        for label, classes in zip(asked.labels, path, strict=True):
            layers[label] = self._legend.decode(classes[inner])
        return layers

    def _decode(
        self, dates: list[DatePixels], held: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return classes (dates, rows, columns) and percent of change (rows, columns)."""
        path = np.full((len(dates), held[0].size), IGNORE, np.uint8)
        ratio = np.ones(held[0].size, np.float32)
        stable = np.full(held[0].size, IGNORE, np.uint8)
        known = np.logical_or.reduce(held, axis=0)
        for some in pieces(np.flatnonzero(known)):
            found = self._chain.decode(np.stack(self._likelihoods(dates, some)))
            path[:, some], ratio[some], stable[some] = found.path, found.ratio, found.stable
        prior, usable = self._chain.any_change(len(dates)), self._usable(dates, held)
        share = change_with_neighbors(ratio.reshape(known.shape), known, usable, prior)
        percents = np.where(known, np.rint(100 * share), NO_PERCENT).astype(np.uint8)
        sure = percents.ravel() >= (self._plan.asked.at_least or 0)
        path = np.where(sure, path, stable)
        constant = (path == path[0]).all(axis=0) & known.ravel()
        for some in pieces(np.flatnonzero(constant & sure)):
            path[:, some] = self._chain.best_change(np.stack(self._likelihoods(dates, some)))
        at = np.flatnonzero(known)
        path[:, at] = fill_missing(path[:, at], held.reshape(len(dates), -1)[:, at])
        return path.reshape(held.shape), percents

    def _usable(self, dates: list[DatePixels], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pixels (rows, columns) that tell of change: no shift explains theirs."""
        usable = np.ones(held.shape[1:], bool)
        for t, (one, other) in enumerate(pairwise(dates)):
            outside = outside_of_shifts(one.classes, other.classes, self._plan.asked.shift)
            usable &= outside | ~(held[t] & held[t + 1])
        return usable

    def _differ(self, dates: list[DatePixels]) -> NDArray[np.bool_]:
        """Return where the maps, as they are, differ between dates with data."""
        differ = np.zeros(dates[0].classes.shape, bool)
        last = dates[0].classes
        for _, date in pairwise(dates):
            held = date.classes != IGNORE
            differ |= held & (last != IGNORE) & (last != date.classes)
            last = np.where(held, date.classes, last)
        return differ


def open_worker(plan: str, root: str) -> ChangeWorker:
    """Open the maps of a plan, given as JSON, to make its tiles."""
    found = ChangePlan.model_validate_json(plan)
    return (SeriesWorker if found.asked.labels else ChangeWorker)(found, root)
