"""What the server needs of a classifier that is fitted within seconds.

The classifier itself lies in a package that may import torch; `swath.commands.label` joins both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window

Features = Mapping[str, NDArray[Any]]
"""What an encoder makes of a window: named arrays, which are cached on disk as they are."""


@dataclass(frozen=True)
class HeadScores:
    """Scores of a head on labels that its folds left out.

    Attributes:
        miou: mean IoU of the classes that have one.
        folds: number of folds.
        classes: IoU by class index; None for a class without labels in any fold.
        low: lower end of the 95% interval of `miou`, None where that is unknown.
        high: its upper end.
    """

    miou: float
    folds: int
    classes: tuple[float | None, ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Samples:
    """Labeled pixels.

    Attributes:
        values: features of each pixel (n, channels), float16 or float32.
        classes: class index of each (n,), uint8.
        groups: number of the label that each lies in (n,), for folds.
    """

    values: NDArray[Any]
    classes: NDArray[np.uint8]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class FittedHead:
    """A fitted classifier.

    Attributes:
        content: what `Trainer.predict` needs.
        inputs: in words, what the classifier uses.
    """

    content: Any = field(repr=False)
    inputs: str


class FitStopped(Exception):
    """Newer labels are there; the fit was given up."""


class Trainer(Protocol):
    """An encoder that is never trained, and a head that is fitted on labeled pixels.

    `features` and `predict` are called in several threads at once.
    """

    @property
    def encoder(self) -> str:
        """Text that names the encoder; features of a scene are cached under it."""

    def features(self, window: Window) -> Features:
        """Compute the features of a window of the scene.

        `valid` is one of the arrays, bool (rows, columns): pixels with data.
        """

    def sample(
        self, features: Features, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the features (n, channels) of pixels, counted from the window's corner (n,)."""

    def fit(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> FittedHead:
        """Fit a head, as quickly as the map is to follow the labels.

        Args:
            samples: labeled pixels.
            count: number of classes.
            report: is called with the share done, 0..1.
            stopped: returns whether to give up.

        Raises:
            FitStopped: it was given up.
        """

    def validate(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> HeadScores | None:
        """Score heads on labels that they were not fitted on, in turn; see `fit`.

        Returns:
            The scores; None where labels are too few for that.

        Raises:
            FitStopped: it was given up.
        """

    def predict(self, features: Features, head: FittedHead) -> NDArray[np.uint8]:
        """Return the probability of each class in percent (classes, rows, columns)."""
