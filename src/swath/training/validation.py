"""Validation while a network learns: a few looks at the validation split, in a tenth of the time."""

from __future__ import annotations

import time

import numpy as np

from swath.data.dataset import Dataset, Sample
from swath.evaluation.scoring import score_samples
from swath.inference.tiled import TiledPredictor, plan_tiles
from swath.metrics.confusion import Scores

SHARE = 0.1
"""Share of a training's time that validation may take."""

LOOKS = 5
"""At most so many looks, evenly spread; the last is at the end."""


class Validation:
    """Scores a network on the validation split, or on as much of it as there is time for.

    Args:
        dataset: whose split is scored.
        engine: the network that learns, in torch.
        seconds: expected time of the whole training.
        seed: picks the samples where there is no time for all.

    Attributes:
        samples: those that are scored; empty without a validation split.
        reserve: expected seconds of one look.
    """

    def __init__(self, dataset: Dataset, engine: TiledPredictor, seconds: float, seed: int) -> None:
        self._dataset = dataset
        self._engine = engine
        self.samples: list[Sample] = []
        self.reserve = 0.0
        self._next = 1.0
        self._every = 1.0
        every = [s for s in dataset.manifest.of("val") if sum(s.counts)]
        if not every:
            return
        speed = pixels_per_second(engine)
        for i in np.random.default_rng(seed).permutation(len(every)):
            grid = dataset.images[every[i].image].grid
            cost = (
                engine.for_gsd(grid.gsd).views.cost
                * sum(t.read.size for t in plan_tiles(grid, engine, every[i].window))
                / speed
            )
            if self.samples and self.reserve + cost > SHARE * seconds:
                break
            self.samples.append(every[i])
            self.reserve += cost
        views = int(min(LOOKS, max(1.0, SHARE * seconds / self.reserve)))
        self._every = self._next = 1 / views

    def due(self, spent: float) -> bool:
        """Tell whether it is time for a look, at this share of the budget; the one at the end is not announced here."""
        if spent < self._next or spent >= 1:
            return False
        self._next = (int(spent / self._every) + 1) * self._every
        return bool(self.samples)

    def look(self) -> float | None:
        """Return the mean IoU of the network as it is; None without a validation split."""
        if not self.samples:
            return None
        matrices = [
            matrix for _, matrix in score_samples(self._dataset, self.samples, self._engine)
        ]
        return float(
            Scores.of(np.sum(matrices, axis=0)).miou
        )  # NumPy's own number would be no number in a checkpoint


def pixels_per_second(engine: TiledPredictor) -> float:
    """Time the network on one small input, after a first run that does not count."""
    side = 8 * engine.stride
    raw = np.tile(np.asarray(engine.fill, np.float32)[None, :, None, None], (1, 1, side, side))
    engine.runtime(raw)
    start = time.perf_counter()
    engine.runtime(raw)
    return side * side / max(time.perf_counter() - start, 1e-6)
