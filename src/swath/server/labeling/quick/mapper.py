"""The thread that trains on the present labels and maps what is seen first."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError, SwathError
from swath.geo.tiling import Window
from swath.server.labeling.labels.class_table import LabelClass
from swath.server.labeling.labels.label_store import LabelStore, Snapshot
from swath.server.labeling.quick.feature_cache import FeatureCache
from swath.server.labeling.quick.label_pixels import geometry_key, label_pixels
from swath.server.labeling.quick.quick_map import (
    MAX_BLOCKS,
    NODATA,
    UNKNOWN,
    MappedBlock,
    QuickMap,
)
from swath.server.labeling.quick.trainer import (
    Features,
    FitStopped,
    FittedHead,
    HeadScores,
    Samples,
    Trainer,
)
from swath.server.labeling.refusal import Refused
from swath.server.labeling.view_geometry import ViewGeometry

MAX_SAMPLES = 40_000
"""Labeled pixels of one training, at most."""

MAX_VIEW_BLOCKS = 48
"""Blocks of a view that are mapped, at most; of a larger view, those in its middle."""

T = TypeVar("T")

WORKERS = min(4, os.cpu_count() or 1)
"""Blocks that are mapped at once, each by one thread: other programs that run slow them less."""

MAX_AHEAD = 16
"""Blocks of a view whose features are computed before the first training, at most."""

NICENESS = 19
"""Of the threads that train and map, so that the page stays responsive on few cores."""

MAX_HISTORY = 200
"""Scores of earlier trainings that are kept."""

_log = logging.getLogger(__name__)


def _yield_to_others() -> None:
    """Lower the priority of this thread where threads have one of their own (Linux)."""
    if sys.platform == "linux" and hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@dataclass(frozen=True)
class Round:
    """One training.

    Attributes:
        number: 1 for the first.
        revision: of the labels.
        classes: the classes with labels, in the order of the head's outputs.
        head: the classifier.
        pixels: labeled pixels by class code.
    """

    number: int
    revision: str
    classes: tuple[LabelClass, ...]
    head: FittedHead
    pixels: dict[int, int]


@dataclass(frozen=True)
class ScoredRound:
    """Scores of a training, and the class codes that they are of.

    Attributes:
        number: of the training.
        codes: class codes in the order of the head's outputs.
        scores: None where labels are too few for folds.
    """

    number: int
    codes: tuple[int, ...]
    scores: HeadScores | None

    @property
    def by_code(self) -> dict[int, float]:
        """IoU by class code, of the classes that have one."""
        if self.scores is None:
            return {}
        pairs = zip(self.codes, self.scores.classes, strict=True)
        return {code: score for code, score in pairs if score is not None}


@dataclass(frozen=True)
class Progress:
    """What the mapper does.

    Attributes:
        phase: idle, features, fitting, mapping, scoring or failed.
        share: done of the phase, 0..1.
        error: why it failed.
        seconds: of the phases of the last training; `view` until the view was mapped.
    """

    phase: str = "idle"
    share: float = 0.0
    error: SwathError | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class _Sampled:
    """Features of the pixels of one label, and how many it has."""

    values: NDArray[Any]
    pixels: int


class QuickMapper:
    """Trains when asked to, and maps the view, then the blocks around it.

    Args:
        store: the labels.
        geometry: of scene and layer.
        quick: where blocks go.
        trainer: the classifier.
        cache: features on disk.
    """

    def __init__(
        self,
        store: LabelStore,
        geometry: ViewGeometry,
        quick: QuickMap,
        trainer: Trainer,
        cache: FeatureCache,
    ) -> None:
        self._store, self._geometry, self._quick = store, geometry, quick
        self._trainer, self._cache = trainer, cache
        self._changed = threading.Condition()
        self._wanted = self._closing = False
        self._asked = self._doing = 0  # numbers of requests that end what was done before
        self._view = Window(0, 0, 0, 0)
        self._queue: list[int] | None = []
        self._ahead: list[int] = []
        self._began = 0.0
        self._samples: dict[str, _Sampled] = {}
        self._unscored: Samples | None = None
        self.progress = Progress()
        self.round: Round | None = None
        self.history: list[ScoredRound] = []
        self._pool = ThreadPoolExecutor(WORKERS, "swath-quick-block", _yield_to_others)
        self._thread = threading.Thread(target=self._run, name="swath-quick-map", daemon=True)
        self._thread.start()

    def train(self, view: Window) -> None:
        """Train on the labels as they are now; a training that runs is given up.

        Raises:
            Refused: labels of two classes are needed.
        """
        self.check_classes()
        with self._changed:
            self._view, self._wanted = view, True
            self._asked += 1
            self.progress = Progress("features")
            self._changed.notify_all()

    def check_classes(self) -> None:
        """Check that there are labels of two classes.

        Raises:
            Refused: there are not.
        """
        codes = {label.code for label in self._store.snapshot().labels if label.geometry}
        if len(codes - {None}) < 2:
            message = "Labels of at least two classes are needed"
            raise Refused(message, code="too-few-classes", status=409, fix="Label another class")

    def look(self, view: Window) -> None:
        """Map a view first; before the first training, compute its features."""
        with self._changed:
            self._view, self._queue = view, None
            self._ahead = [] if self.round else self.view_blocks()[0][:MAX_AHEAD]
            self._changed.notify_all()

    def stop(self) -> None:
        """Give up training and mapping until the next request."""
        with self._changed:
            self._wanted, self._queue, self._ahead = False, [], []
            self._unscored = None
            self._asked += 1
            self.progress = replace(self.progress, phase="idle", error=None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=10)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether it trains or maps."""
        return self.progress.phase in ("features", "fitting", "mapping", "scoring")

    def view_blocks(self) -> tuple[list[int], int]:
        """Return the blocks of the view that are mapped, nearest its middle first, and of how many.

        See `MAX_VIEW_BLOCKS`.
        """
        blocks = self._by_distance(self._quick.mosaic.meeting(self._view))
        return blocks[:MAX_VIEW_BLOCKS], len(blocks)

    def _by_distance(self, blocks: Iterable[int]) -> list[int]:
        view, cores = self._view, self._quick.mosaic.cores
        row, col = view.row + view.height / 2, view.col + view.width / 2

        def distance(index: int) -> float:
            core = cores[index]
            down, across = core.row + core.height / 2 - row, core.col + core.width / 2 - col
            return down * down + across * across

        return sorted(blocks, key=distance)

    def _run(self) -> None:
        _yield_to_others()
        while True:
            with self._changed:
                while not (self._closing or self._wanted or self._has_work()):
                    self._changed.wait()
                if self._closing:
                    return
                training, self._wanted = self._wanted, False
                self._doing = self._asked
            try:
                if training:
                    self._train()
                elif self.round is None:
                    self._look_ahead()
                elif self._unscored is not None and self._view_is_mapped():
                    self._validate(self._unscored)
                else:
                    self._map_next()
            except FitStopped:
                continue
            except Exception as error:  # noqa: BLE001 - the thread lives as long as the server
                self._fail(error)

    def _has_work(self) -> bool:
        """Return whether a block is to be mapped; the queue is made anew where the view moved."""
        now = self.round
        if now is None:
            return bool(self._ahead)
        if self._queue is None:
            done = self._quick.mapped(now.number)
            view, _ = self.view_blocks()
            rest = self._by_distance(range(len(self._quick.mosaic.cores)))[:MAX_BLOCKS]
            order = list(dict.fromkeys([*view, *rest]))[:MAX_BLOCKS]
            self._queue = [i for i in reversed(order) if i not in done]
        working = bool(self._queue) or self._unscored is not None
        if not working and self.progress.phase in ("mapping", "scoring"):
            self.progress = replace(self.progress, phase="idle", share=1.0)
        return working

    def _view_is_mapped(self) -> bool:
        """Return whether the last training has mapped the view, or there is nothing to map."""
        number = self.round.number if self.round else 0
        return not self._queue or set(self.view_blocks()[0]) <= self._quick.mapped(number)

    def _validate(self, samples: Samples) -> None:
        """Score the last training by folds."""
        now = self.round
        if now is None:
            return
        self.progress = replace(self.progress, phase="scoring", share=0.0)
        began = time.perf_counter()
        count = len(now.classes)
        scores = self._trainer.validate(samples, count, self._report, self._interrupted)
        scored = ScoredRound(now.number, tuple(c.code for c in now.classes), scores)
        spent = self.progress.seconds | {"scoring": time.perf_counter() - began}
        with self._changed:
            self._unscored = None
            self.history = [*self.history, scored][-MAX_HISTORY:]
            self.progress = replace(self.progress, phase="mapping", seconds=spent)

    def _fail(self, error: Exception) -> None:
        _log.debug("The quick map failed", exc_info=error)
        known = error
        if not isinstance(known, SwathError):
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            message = f"The quick map failed unexpectedly ({reason})"
            known = JobError(message, code="unexpected", fix="Please report it")
        with self._changed:
            self._queue, self._ahead, self._unscored = [], [], None
            self.progress = Progress("failed", error=known)

    def _interrupted(self) -> bool:
        return self._closing or self._doing != self._asked

    def _report(self, share: float) -> None:
        if self._interrupted():
            raise FitStopped
        self.progress = replace(self.progress, share=min(1.0, max(0.0, share)))

    def _train(self) -> None:
        self._began = time.perf_counter()
        snapshot, seconds = self._store.snapshot(), {}
        codes = {label.code for label in snapshot.labels}
        classes = tuple(c for c in self._store.classes.all if c.code in codes)
        self.progress = Progress("features")
        samples, pixels = self._sampled(snapshot, classes)
        seconds["features"] = time.perf_counter() - self._began
        self.progress = Progress("fitting", seconds=seconds)
        began = time.perf_counter()
        head = self._trainer.fit(samples, len(classes), self._report, self._interrupted)
        seconds["fitting"] = time.perf_counter() - began
        number = self.round.number + 1 if self.round else 1
        with self._changed:
            if self._interrupted():
                raise FitStopped
            self.round = Round(number, snapshot.revision, classes, head, pixels)
            self._unscored = samples
            self._queue = None
            self.progress = Progress("mapping", seconds=seconds)

    def _sampled(
        self, snapshot: Snapshot, classes: Sequence[LabelClass]
    ) -> tuple[Samples, dict[int, int]]:
        """Return labeled pixels with their features, and their number by class code.

        Raises:
            JobError: no label has pixels with data.
        """
        at = {c.code: i for i, c in enumerate(classes)}
        labels = [b for b in snapshot.labels if b.code in at and b.geometry is not None]
        shapes = self._geometry.to_pixels([label.geometry for label in labels])
        keys = [geometry_key(label.geometry) for label in labels]
        self._read_samples(dict(zip(keys, shapes, strict=True)))
        found = [(label, self._samples[key]) for label, key in zip(labels, keys, strict=True)]
        rows = [(label, one.values, one.pixels) for label, one in found if len(one.values)]
        if len({label.code for label, _, _ in rows}) < 2:
            message = "Labels of at least two classes with data below them are needed"
            raise JobError(message, code="too-few-classes", fix="Label pixels that have data")
        counts: dict[int, int] = {}
        for label, _, pixels in rows:
            counts[label.code or 0] = counts.get(label.code or 0, 0) + pixels
        sizes = [len(values) for _, values, _ in rows]
        return Samples(
            np.concatenate([values for _, values, _ in rows]),
            np.repeat(np.array([at[label.code or 0] for label, _, _ in rows], np.uint8), sizes),
            np.repeat(np.array([label.fid for label, _, _ in rows], np.int64), sizes),
        ), counts

    def _read_samples(self, shapes: dict[str, Any]) -> None:
        """Read the features of labels that are new, block by block; forget those of old ones."""
        self._samples = {key: one for key, one in self._samples.items() if key in shapes}
        new = {key: shape for key, shape in shapes.items() if key not in self._samples}
        by_block: dict[int, list[tuple[str, NDArray[np.int64], NDArray[np.int64]]]] = {}
        for key, shape in new.items():
            for part in label_pixels(shape, self._quick.mosaic, int(key[:8], 16)):
                by_block.setdefault(part.block, []).append((key, part.rows, part.cols))
        values: dict[str, list[NDArray[Any]]] = {key: [] for key in new}
        for features, parts in self._in_turn(by_block):
            for key, rows, cols in parts:
                valid = features["valid"][rows, cols]
                if valid.any():
                    one = self._trainer.sample(features, rows[valid], cols[valid])
                    values[key].append(one)
        for key, shape in new.items():
            joined = np.concatenate(values[key]) if values[key] else np.zeros((0, 0), np.float32)
            mixed = np.random.default_rng(int(key[:8], 16)).permutation(joined)
            self._samples[key] = _Sampled(mixed, max(len(joined), round(shape.area)))
        each = max(10, MAX_SAMPLES // max(1, len(shapes)))
        for sampled in self._samples.values():
            if len(sampled.values) > each:
                sampled.values = sampled.values[:each].copy()

    def _in_turn(self, by_block: dict[int, T]) -> Iterator[tuple[Features, T]]:
        """Yield the features of blocks, and what is given for each; few are held at a time."""
        items = list(by_block.items())
        for start in range(0, len(items), WORKERS):
            self._report(start / len(items))
            some = items[start : start + WORKERS]
            found = self._pool.map(self._features, [index for index, _ in some])
            yield from zip(found, [value for _, value in some], strict=True)

    def _features(self, index: int) -> Features:
        window = self._quick.mosaic.cores[index]
        found = self._cache.get(window)
        if found is None:
            found = self._trainer.features(window)
            self._cache.put(window, found)
        return found

    def _look_ahead(self) -> None:
        """Compute the features of some blocks, so that the first training finds them."""
        with self._changed:
            some, self._ahead = self._ahead[:WORKERS], self._ahead[WORKERS:]
        list(self._pool.map(self._features, some))

    def _map_next(self) -> None:
        """Map the first blocks of the queue."""
        with self._changed:
            now, queue = self.round, self._queue
            if now is None or not queue:
                return
            some = [queue.pop() for _ in range(min(WORKERS, len(queue)))]
            self.progress = replace(self.progress, phase="mapping")
        for _ in self._pool.map(self._map_block, some, [now] * len(some)):
            self._note_view(now.number)

    def _map_block(self, index: int, now: Round) -> None:
        """Map a block by the head of a training."""
        features = self._features(index)
        if self._interrupted():
            raise FitStopped
        percent = self._trainer.predict(features, now.head)
        best = percent.argmax(axis=0)
        valid = features["valid"]
        codes = np.array([c.code for c in now.classes], np.uint16)[best]
        confidence = np.take_along_axis(percent, best[None], axis=0)[0]
        block = MappedBlock(
            now.number,
            np.where(valid, codes, np.uint16(NODATA)),
            np.where(valid, np.minimum(confidence, 100), np.uint8(UNKNOWN)).astype(np.uint8),
        )
        self._quick.put(index, block)

    def _note_view(self, number: int) -> None:
        """Note how much of the view is mapped, and when it is whole."""
        blocks, _ = self.view_blocks()
        done = self._quick.mapped(number)
        share = sum(i in done for i in blocks) / max(1, len(blocks))
        seconds = self.progress.seconds
        if share == 1 and "view" not in seconds and blocks:
            seconds = seconds | {"view": time.perf_counter() - self._began}
        with self._changed:
            if self.progress.phase == "mapping":
                self.progress = replace(self.progress, share=share, seconds=seconds)
