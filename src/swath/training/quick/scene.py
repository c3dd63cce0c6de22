"""The quick recipe on one scene that is labeled: features window by window, a head in seconds.

Features are those of the recipe, so that what is shown while labels are drawn is what training on
them gives.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.geo.tiling import Window
from swath.inference.tiled import PixelSource, read_scaled
from swath.metrics.calibration import probabilities
from swath.models.card import FoldScores
from swath.models.hypercolumn import HIDDEN, HYPERCOLUMN, gather_features
from swath.models.network import Network, NetworkSpec, input_scaling, load_encoder_weights
from swath.options import ENCODER
from swath.training.quick.folds import assign_folds, classes_in_one_group, score_held_out
from swath.training.quick.heads import (
    Heads,
    HeadSchedule,
    LabeledPixels,
    fit_heads,
    held_out_scores,
)
from swath.training.quick.pixels import CONTEXT, around, body_of, feature_maps
from swath.training.quick.recipe import (
    ABSENT_SCORE,
    MAX_LOCAL_BANDS,
    coarse_features,
    estimated_prior,
    install,
)
from swath.types import DESCRIBED_BY, PixelFeatures

SCHEDULE = HeadSchedule(steps=100, batch=1024)
"""Shorter than the recipe's, as the map is to follow at once."""

MAX_OTHERS = 400
"""Pixels of a window that tell the shares of the classes."""

MAX_OTHER_WINDOWS = 64
"""Windows of which there are such pixels, at most."""

MARGIN = 8
"""Pixels around a window whose features are kept, as others are interpolated from them."""


@dataclass(frozen=True)
class SceneHead:
    """A head that was fitted on the labels of a scene.

    Attributes:
        heads: its weights.
        prior: what is added to the scores of each class, (classes,); see `estimated_prior`.
    """

    heads: Heads
    prior: Tensor


class SceneClassifier:
    """Features and heads of one scene.

    `features` and `predict` may be called in several threads at once, of which torch uses each for
    itself: its own threads wait for each other, which takes many times as long where other programs
    run.

    Args:
        source: the scene.
        area: its window.
        bands: number of bands.
        rgb: whether these are red, green and blue of 8 bits.
        scaling: mean and deviation of each band, for others.

    Raises:
        JobError: the weights of the encoder are missing.
    """

    def __init__(
        self,
        source: PixelSource,
        area: Window,
        bands: int,
        rgb: bool,
        scaling: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        self._source, self._area = source, area
        few: PixelFeatures = "local" if bands <= MAX_LOCAL_BANDS else "bands"
        self.kind: PixelFeatures = "encoder" if rgb else few
        mean, std = scaling
        if rgb:
            mean, std = ([255 * v for v in part] for part in input_scaling(ENCODER))
        self._fill = list(mean)
        self._spec = NetworkSpec(
            ENCODER, HYPERCOLUMN, 1, tuple(mean), tuple(std), (1, 1, 1, 1), 0, False, self.kind
        )
        self._network = Network(self._spec).eval()
        if rgb:
            load_encoder_weights(self._network, ENCODER, "auto")
        torch.set_num_threads(1)
        self._lock = threading.Lock()
        self._shown: SceneHead | None = None
        self._temperature = 1.0
        self._others: dict[int, Tensor] = {}
        self.inputs = DESCRIBED_BY[self.kind]

    @property
    def name(self) -> str:
        """Text that differs where features do."""
        numbers = ",".join(f"{v:.6g}" for v in (*self._spec.mean, *self._spec.std))
        return f"hypercolumn-1|{ENCODER}|{self.kind}|{numbers}"

    def features(self, window: Window) -> dict[str, NDArray[Any]]:
        """Compute the features of a window whose row and column are multiples of 8.

        Returns:
            By stride of their map as text, float16 (features, rows, columns), for the window and
            `MARGIN` around it; `valid`, bool, for the window alone.
        """
        read = around(window, self._area, CONTEXT)
        pixels = read_scaled(self._source, read, Fraction(1), self._fill)
        kept = around(window, self._area, MARGIN).relative_to(read)
        out: dict[str, NDArray[Any]] = {}
        deepest = self._network.stride
        for stride, maps in feature_maps(self._network, pixels.values).items():
            row, col = kept.row // stride, kept.col // stride
            stop = [-(-n // deepest) * deepest // stride for n in kept.stop]
            part = maps[0, :, row : stop[0], col : stop[1]]
            out[str(stride)] = part.to(torch.float16).contiguous().numpy()
        out["valid"] = pixels.valid[window.relative_to(read).slices]
        out["corner"] = np.array([window.row, window.col], np.int64)
        return out

    def _note_others(self, features: Mapping[str, NDArray[Any]]) -> None:
        """Keep some pixels of a window that is predicted; they tell the shares of the classes."""
        place = hash(tuple(features["corner"].tolist()))
        if place in self._others or len(self._others) >= MAX_OTHER_WINDOWS:
            return
        rows, cols = np.nonzero(features["valid"])
        some = np.random.default_rng(len(self._others)).permutation(len(rows))[:MAX_OTHERS]
        if len(some):
            values = self.sample(features, rows[some], cols[some])
            self._others[place] = torch.from_numpy(values)

    def sample(
        self, features: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the features (n, features) of pixels, counted from the corner of the window."""
        top, left = self._margins(features)
        at = torch.from_numpy(rows + top), torch.from_numpy(cols + left)
        return np.asarray(gather_features(_maps(features), *at).numpy())

    def fit(
        self,
        values: NDArray[Any],
        classes: NDArray[np.uint8],
        groups: NDArray[np.int64],
        count: int,
        report: Callable[[float], None],
    ) -> SceneHead:
        """Fit a head.

        Args:
            values: features of labeled pixels (n, features).
            classes: class indices (n,).
            groups: number of the label of each pixel (n,).
            count: number of classes.
            report: is called with the share of the work that was done, and may raise.
        """
        pixels = _labeled(values, classes, groups)
        single = assign_folds(pixels.labels, pixels.groups) is None
        optional = coarse_features(self._network, self.kind) if single else None
        given = count, replace(SCHEDULE, optional=optional), 0, _summed(report)
        heads = fit_heads(pixels, pixels.weights[None], *given)
        absent = torch.bincount(pixels.labels, minlength=count) == 0
        prior = absent * ABSENT_SCORE
        if self._others:
            scores = heads.scores(torch.cat(list(self._others.values())))
            in_one = classes_in_one_group(pixels.labels, pixels.groups)
            prior = estimated_prior(scores, absent, in_one)
        return SceneHead(heads, prior)

    def validate(
        self,
        values: NDArray[Any],
        classes: NDArray[np.uint8],
        groups: NDArray[np.int64],
        count: int,
        report: Callable[[float], None],
    ) -> FoldScores | None:
        """Fit heads on all parts of the labels but one, and score each on that one; see `fit`.

        Their temperature is that of later predictions. None where a class has a single label.
        """
        pixels = _labeled(values, classes, groups)
        folds = assign_folds(pixels.labels, pixels.groups)
        if folds is None:
            return None
        scores = held_out_scores(pixels, folds, count, SCHEDULE, 0, _summed(report))
        number = int(folds.max()) + 1
        found, calibration = score_held_out(scores, pixels.labels, pixels.groups, number)
        self._temperature = calibration.temperature
        return found

    def predict(self, features: Mapping[str, NDArray[Any]], head: SceneHead) -> NDArray[np.uint8]:
        """Return the probability of each class in percent (classes, rows, columns)."""
        self._note_others(features)
        with self._lock:
            if self._shown is not head:
                body_of(self._network).last = torch.nn.Conv2d(HIDDEN, len(head.prior), 1)
                install(self._network, head.heads, head.prior)
                self._shown = head
        top, left = self._margins(features)
        height, width = features["valid"].shape
        with torch.inference_mode():
            scores = body_of(self._network).head(_maps(features))[0]
        inside = scores[:, top : top + height, left : left + width].numpy()
        percent = probabilities(inside, self._temperature) * 100
        return np.asarray(np.rint(percent), np.uint8)

    def _margins(self, features: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
        """Return rows above and columns left of a window whose features are kept."""
        row, col = (int(v) for v in features["corner"])
        return min(MARGIN, row - self._area.row), min(MARGIN, col - self._area.col)


def _maps(features: Mapping[str, NDArray[Any]]) -> dict[int, Tensor]:
    """Return maps (1, features, rows, columns) by stride."""
    return {
        int(name): torch.from_numpy(part)[None].float()
        for name, part in features.items()
        if name.isdecimal()
    }


def _labeled(
    values: NDArray[Any], classes: NDArray[np.uint8], groups: NDArray[np.int64]
) -> LabeledPixels:
    x = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return LabeledPixels(x, torch.from_numpy(classes.astype(np.int64)), torch.from_numpy(groups))


def _summed(report: Callable[[float], None]) -> Callable[[float], None]:
    """Return a function of shares of the work that reports their sum."""
    done = 0.0

    def advance(share: float) -> None:
        nonlocal done
        done += share
        report(done)

    return advance
