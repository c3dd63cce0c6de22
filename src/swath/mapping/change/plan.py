"""The plan of a change: all that its bytes depend on, fixed before the first tile."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from swath.errors import DataError, JobError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Tiling, Window
from swath.io.work_folder import FileStore, WorkFolder
from swath.legend import IGNORE, LandClass
from swath.mapping.change.chain import estimate_chain
from swath.mapping.change.dated_map import DatedMap, DateReader
from swath.mapping.change.neighborhood import outside_of_shifts
from swath.mapping.change.posterior import (
    Evidence,
    estimate_prior,
    measure_shares,
    with_change,
)
from swath.mapping.tile_store import PARTS
from swath.progress import track

PLAN = "change.json"
"""Name of the file that keeps a plan beside its parts."""

TILE_VALUES = 6 * 2**20
"""Percents of one date in a tile, at most: 1024 x 1024 pixels of six classes."""

SAMPLE_WINDOWS = 16
"""Rows and columns of windows on which the prior is estimated, where a map has more."""

SAMPLE_SIDE = 64
"""Rows and columns of such a window."""

SAMPLE_PIXELS = 2**17
"""Pixels on which the prior is estimated, at most."""

SAMPLE_VALUES = 2**22
"""Pixels times classes on which the prior is estimated, at most."""

LEAST_AGREEMENT = 0.8
"""Share of the pixels whose likeliest class is the mapped one, below which files do not belong
together; sieved maps differ a little from their probabilities."""


class ChangeRequest(BaseModel, frozen=True):
    """What the user asked for; if any of it has changed, old parts are of no use.

    Attributes:
        dates: the maps, oldest first.
        classes: name, code and color of each common class.
        files: what fixes the content of all files that pixels come from, such as size and time.
        at_least: percent from which a pixel is taken as changed; None without any percents.
        shift: pixels by which the maps may be shifted against each other.
        prior: probability of change, from one date to the next; None to estimate it.
        labels: the dates of a series; empty for two maps of which only the order counts.
    """

    dates: tuple[DatedMap, ...]
    classes: tuple[tuple[str, int, str], ...]
    files: dict[str, str]
    at_least: int | None
    shift: int
    prior: float | None = None
    labels: tuple[str, ...] = ()

    @property
    def land_classes(self) -> tuple[LandClass, ...]:
        """The common classes."""
        return tuple(LandClass(name, (code,), code, color) for name, code, color in self.classes)


class ChangePlan(BaseModel, frozen=True):
    """What was asked for, and what was estimated from the maps.

    Attributes:
        asked: see `ChangeRequest`.
        height: rows of the grid.
        width: its columns.
        transform: of the grid.
        crs: WKT, None without.
        side: rows and columns of a tile.
        shares: mean probability of each class, of each map.
        prior: probability of each pair of classes, at two dates that follow each other; empty
            without any percents.
        start: probability of each class at the first date of a series.
        sampled: pixels on which it was estimated.
    """

    asked: ChangeRequest
    height: int
    width: int
    transform: tuple[float, float, float, float, float, float]
    crs: str | None
    side: int
    shares: tuple[tuple[float, ...], ...]
    prior: tuple[tuple[float, ...], ...] = ()
    start: tuple[float, ...] = ()
    sampled: int = 0

    @property
    def grid(self) -> GeoBox:
        """Grid of the first map."""
        return GeoBox(self.height, self.width, self.transform, self.crs)

    @property
    def tiling(self) -> Tiling:
        """The tiles, without the pixels that are read around them."""
        return Tiling(self.height, self.width, (self.side, self.side), 0, 1)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole plan."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """How percents become likelihoods, of each map."""
        pairs = zip(self.asked.dates, self.shares, strict=True)
        return tuple(Evidence(date.kind, shares) for date, shares in pairs)

    @property
    def prior_change(self) -> float | None:
        """Prior probability that a pixel changes from one date to the next; None without any."""
        return 1 - float(np.trace(np.array(self.prior))) if self.prior else None


def make_plan(asked: ChangeRequest, grid: GeoBox) -> ChangePlan:
    """Estimate the prior on a sample of the maps' pixels.

    Raises:
        DataError: a map is damaged, its probabilities are of another map, or no sampled pixel has
            data in all maps.
    """
    n = len(asked.classes)
    depth = n * max(1, len(asked.labels) // 2)
    side = 1024
    while side > 128 and side * side * depth > TILE_VALUES:
        side //= 2
    most = min(SAMPLE_PIXELS, max(1, SAMPLE_VALUES // (n * max(1, len(asked.labels)))))
    windows = sample_windows(grid)
    step = max(1, math.ceil(sum(w.size for w in windows) / most))
    found = _sample(asked, grid, windows, step, most)
    uncertain = any(date.kind != "certain" for date in asked.dates)
    if uncertain and not found[-1]:  # what both maps hold may lie between the windows
        found = _sample(asked, grid, list(chunks(grid)), 1, most)
        if not found[-1]:
            raise no_common_pixel([date.path for date in asked.dates])
    evidence, likelihoods, sampled = found
    prior: NDArray[np.float64] = np.empty((0, 0))
    start = np.empty(0)
    if asked.labels:
        start, prior = estimate_chain(likelihoods)
    elif uncertain:
        prior = estimate_prior(*likelihoods)
    if asked.prior is not None:
        prior = with_change(prior, asked.prior)
    return ChangePlan(
        asked=asked,
        height=grid.height,
        width=grid.width,
        transform=grid.transform,
        crs=grid.crs,
        side=side,
        shares=tuple(one.shares for one in evidence),
        prior=tuple(map(tuple, prior.tolist())),
        start=tuple(start.tolist()),
        sampled=sampled,
    )


def no_common_pixel(paths: Sequence[str]) -> DataError:
    """Return the error for maps of which no pixel has data in two."""
    first, second, *more = paths
    message = f"No pixel has data in both this map and {first}"
    if more:
        message = f"No pixel has data in two of the {len(paths)} maps: {', '.join(paths)}"
    fix = "Check places and nodata values of the maps"
    return DataError(message, code="no-overlap", file=second, fix=fix)


def _sample(
    asked: ChangeRequest, grid: GeoBox, windows: Sequence[Window], step: int, most: int
) -> tuple[list[Evidence], list[NDArray[np.float32]], int]:
    """Read pixels with data in all maps; return evidence and likelihoods (n, pixels) of each.

    In a series, data in two maps suffice. Of the windows each `step`-th such pixel is taken, until
    there are `most`. Changes that a shift explains are left out, since they would raise the prior.
    """
    n = len(asked.classes)
    count = 0
    classes: list[list[NDArray[np.uint8]]] = [[] for _ in asked.dates]
    percents: list[list[NDArray[np.uint8]]] = [[] for _ in asked.dates]
    readers = open_dates(asked.dates, grid)
    try:
        for window in track(windows, "estimating the prior", len(windows), "windows"):
            read = window.grow(2 * asked.shift + 1).within(grid.window)
            pixels = [reader.read(read) for reader in readers]
            usable = np.zeros((read.height, read.width), bool)
            usable[window.relative_to(read).slices] = True
            held = np.stack([one.classes != IGNORE for one in pixels])
            usable &= held.sum(axis=0) >= 2
            for t, (one, other) in enumerate(pairwise(pixels)):
                usable &= outside_of_shifts(one.classes, other.classes, asked.shift) | ~(
                    held[t] & held[t + 1]
                )
            at = np.flatnonzero(usable)[window.row % step :: step][: most - count]
            count += len(at)
            for i, one in enumerate(pixels):
                classes[i].append(one.classes.ravel()[at])
                if one.percents is not None:
                    percents[i].append(one.percents.reshape(len(one.percents), -1)[:, at])
            if count == most:
                break
    finally:
        for reader in readers:
            reader.close()
    if not count and any(percents):
        return [], [], 0
    evidence, likelihoods = [], []
    for i, date in enumerate(asked.dates):
        seen = np.concatenate(classes[i])
        known = np.concatenate(percents[i], axis=1) if percents[i] else None
        _check_agreement(date, seen, known)
        evidence.append(measure_shares(date.kind, n, seen, known))
        likelihoods.append(evidence[-1].seen(seen, known))
    return evidence, likelihoods, count


def _check_agreement(
    date: DatedMap, classes: NDArray[np.uint8], percents: NDArray[np.uint8] | None
) -> None:
    """Refuse probabilities that are of another map.

    Raises:
        DataError: the likeliest class is too seldom the mapped one.
    """
    held = classes != IGNORE
    if date.kind != "probabilities" or percents is None or not held.any():
        return
    classes, percents = classes[held], percents[:, held]
    own = percents[classes, np.arange(len(classes))]
    agreement = float((own >= percents.max(axis=0)).mean())
    if agreement < LEAST_AGREEMENT:
        message = (
            f"The likeliest class is the mapped one in only {agreement:.0%} of the pixels, so the "
            f"file does not belong to {date.path}"
        )
        fix = "Predict the map anew with --probabilities, or move that file away"
        raise DataError(message, code="other-map", file=date.percents, fix=fix)


def sample_windows(grid: GeoBox) -> list[Window]:
    """Return windows that lie evenly over a raster: all of it, if it is small."""

    def starts(length: int) -> list[int]:
        count = math.ceil(length / SAMPLE_SIDE)
        if count <= SAMPLE_WINDOWS:
            return [i * SAMPLE_SIDE for i in range(count)]
        last = length - SAMPLE_SIDE
        return [round(i * last / (SAMPLE_WINDOWS - 1)) for i in range(SAMPLE_WINDOWS)]

    return [
        Window(row, col, SAMPLE_SIDE, SAMPLE_SIDE).within(grid.window)
        for row in starts(grid.height)
        for col in starts(grid.width)
    ]


_REQUEST_WORDS = {
    "dates": "the maps, what lies beside them, or --accuracy",
    "labels": "--dates",
    "files": "a map or what lies beside it",
    "at_least": "--at-least",
    "shift": "--shift",
    "prior": "--prior",
}


def freeze_plan(store: FileStore, asked: ChangeRequest, grid: GeoBox) -> ChangePlan:
    """Return the plan that lies in a store, or make one and put it there.

    Raises:
        JobError: the store holds parts of another change, or cannot be written.
    """

    def read(text: str) -> ChangePlan:
        try:
            return ChangePlan.model_validate_json(text)
        except ValidationError as error:
            message, fix = "The plan of unfinished parts is damaged", "Start over with --restart"
            raise JobError(message, code="plan-unreadable", file=store.root, fix=fix) from error

    def changes(text: str) -> list[str]:
        old = read(text).asked
        names = [n for n in ChangeRequest.model_fields if getattr(old, n) != getattr(asked, n)]
        return [_REQUEST_WORDS.get(name, name) for name in names]

    fix = "Undo the change to continue, or give --restart to remove the parts and start over"
    work = WorkFolder(store, PLAN, PARTS, fix)
    make: Any = lambda: make_plan(asked, grid).model_dump_json(indent=1)  # noqa: E731
    return read(work.open(make, changes))


def open_dates(dates: Sequence[DatedMap], grid: GeoBox) -> list[DateReader]:
    """Open maps on a grid.

    Raises:
        DataError: a file is damaged, or cannot be brought onto the grid; none stays open then.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(closing(date.open(grid))) for date in dates]
        stack.pop_all()
    return readers
