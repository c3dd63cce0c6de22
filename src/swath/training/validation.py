"""Validate a network during training, a few times, in a tenth of its time."""

from __future__ import annotations

import time

import numpy as np

from swath.data.dataset import Dataset, Sample
from swath.evaluation.scoring import score_samples
from swath.inference.tiled import TiledPredictor, plan_tiles
from swath.metrics.confusion import Scores

VALIDATION_SHARE = 0.1
"""Share of a training's time that validation may take."""

MAX_VALIDATIONS = 5
"""Validations in a training at most, evenly spread; the last is at its end."""


class Validation:
    """Scores a network on the validation split, or on as much of it as there is time for.

    Args:
        dataset: its validation split is scored.
        engine: the network in training, in torch.
        seconds: expected time of the whole training.
        seed: picks the samples where there is no time for all.

    Attributes:
        samples: those that are scored; empty without a validation split.
        reserve: expected seconds of one validation.
    """

    def __init__(self, dataset: Dataset, engine: TiledPredictor, seconds: float, seed: int) -> None:
        self._dataset, self._engine = dataset, engine
        self.samples: list[Sample] = []
        self.reserve = 0.0
        self._next = self._every = 1.0
        every = [s for s in dataset.manifest.of("val") if sum(s.counts)]
        if not every:
            return
        allowed = VALIDATION_SHARE * seconds
        speed = pixels_per_second(engine)
        for i in np.random.default_rng(seed).permutation(len(every)):
            grid = dataset.images[every[i].image].grid
            pixels = sum(t.read.size for t in plan_tiles(grid, engine, every[i].window))
            cost = engine.for_gsd(grid.gsd).views.cost * pixels / speed
            if self.samples and self.reserve + cost > allowed:
                break
            self.samples.append(every[i])
            self.reserve += cost
        count = int(min(MAX_VALIDATIONS, max(1.0, allowed / self.reserve)))
        self._every = self._next = 1 / count

    def due(self, spent: float) -> bool:
        """Return whether to validate at this share of the budget; the end is not announced."""
        if spent < self._next or spent >= 1:
            return False
        self._next = (int(spent / self._every) + 1) * self._every
        return bool(self.samples)

    def run(self) -> float | None:
        """Return the mean IoU of the network as it is; None without a validation split."""
        if not self.samples:
            return None
        scored = score_samples(self._dataset, self.samples, self._engine)
        matrices = [matrix for _, matrix in scored]
        # Checkpoints take Python's numbers only.
        return float(Scores.of(np.sum(matrices, axis=0)).miou)


def pixels_per_second(engine: TiledPredictor) -> float:
    """Time the network on one small input, after a first run that does not count."""
    side = 8 * engine.stride
    raw = np.tile(np.asarray(engine.fill, np.float32)[None, :, None, None], (1, 1, side, side))
    engine.runtime(raw)
    start = time.perf_counter()
    engine.runtime(raw)
    return side * side / max(time.perf_counter() - start, 1e-6)
