"""How well labels fit the edges and the brightness of their image, as they are and turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import Decimated
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED

SIDE = 256  # rows and columns of the decimated image that is compared, at most
MIN_POINTS = 400  # boundary pixels that are needed
MAX_POINTS = 4000  # boundary pixels that are compared
ROLLS = 48  # moved labels, of which no edge is that of the image
MIN_FIT = 8.0  # deviations of moved labels by which turned ones exceed their mean
MAX_FIT = 3.0  # deviations by which labels that do not fit may exceed it
COLOR_STEP = 4  # pixels of the decimated image of which one is compared in its brightness
MIN_OTHERS = 0.1  # share of the labeled pixels that are not of the commonest class
MAX_GRAY = np.float32(1e9)
FLAT = 0.02  # deviation of brightness, as share of its mean, of an image that shows nothing

Codes: TypeAlias = NDArray[np.int64]
Edges: TypeAlias = NDArray[np.float32]

TURNS: dict[str, Callable[[Codes], Codes]] = {
    "mirrored top to bottom": lambda a: a[::-1],
    "mirrored left to right": lambda a: a[:, ::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
    "turned by 90 degrees to the left": lambda a: np.rot90(a),
    "turned by 90 degrees to the right": lambda a: np.rot90(a, -1),
    "transposed": lambda a: a.T,
    "turned and mirrored": lambda a: a[::-1, ::-1].T,
}
"""What brings labels onto an image that they do not fit; the last four need squares."""


@dataclass(frozen=True)
class LabelFit:
    """How well labels fit their image.

    Attributes:
        shape: rows and columns of the decimated image in which edges are compared.
        boundaries: where labels change there, one bit a pixel.
        edges: the image's edges, 0 to 255 (rows, columns); None where the labels fit them.
        turn: the turn that brings the labels onto the image, if one does.
        brightness: deviations of moved labels by which the brightness of the image differs more
            between the classes; infinite where the edges fit.
        flat: whether the brightness of the image is nearly one throughout.
    """

    shape: tuple[int, int]
    boundaries: NDArray[np.uint8]
    edges: NDArray[np.uint8] | None = None
    turn: str | None = None
    brightness: float = np.inf
    flat: bool = False

    @property
    def fits(self) -> bool:
        """Whether the labels fit the image's edges."""
        return self.edges is None

    @property
    def points(self) -> Codes:
        """Rows and columns (points, 2) where labels change."""
        size = self.shape[0] * self.shape[1]
        bits = np.unpackbits(self.boundaries, count=size).reshape(self.shape)
        return _thinned(np.argwhere(bits))


class FitScanner:
    """Brightness and labels of an image, decimated window by window.

    Args:
        grid: of the image.
    """

    def __init__(self, grid: GeoBox) -> None:
        self._gray = Decimated(grid, SIDE, 1, 0, np.float32)
        self._codes = Decimated(grid, SIDE, 1, UNLABELED, np.int64)

    def add(self, window: Window, gray: NDArray[np.float32], codes: Codes) -> None:
        """Add a window: brightness and labels, both (rows, columns)."""
        self._gray.add(window, gray[None], None)
        self._codes.add(window, codes[None], None)

    def find(self) -> LabelFit | None:
        """Return how well the labels fit; None where they have too few boundaries to say."""
        # Undeclared fill values may be too large to be squared.
        gray = np.nan_to_num(self._gray.values[0]).clip(-MAX_GRAY, MAX_GRAY)
        codes = self._codes.values[0]
        if min(gray.shape) < 32:
            return None
        marked = _boundaries(codes)
        own = _thinned(np.argwhere(marked))
        if len(own) < MIN_POINTS:
            return None
        edges = edges_of(gray)
        fit = LabelFit(edges.shape, np.packbits(marked))
        mean, spread = _moved_fit(edges, own)
        if spread and _fit(edges, own) > mean + MAX_FIT * spread:
            return fit
        labeled = gray[codes != UNLABELED]
        top = float(edges.max())
        return LabelFit(
            fit.shape,
            fit.boundaries,
            (edges * (255 / top if top else 0)).astype(np.uint8),
            _find_turn(edges, codes, mean + MIN_FIT * spread) if spread else None,
            _fit_of_brightness(gray[::COLOR_STEP, ::COLOR_STEP], codes[::COLOR_STEP, ::COLOR_STEP]),
            bool(labeled.std() < FLAT * abs(labeled.mean())),
        )


def edges_of(gray: NDArray[np.float32]) -> Edges:
    """Return the strength of edges to the right and below (rows - 1, columns - 1)."""
    # The square root, so that a few strong edges do not decide.
    across: Edges = np.sqrt(np.abs(np.diff(gray, axis=1)))[:-1]
    down: Edges = np.sqrt(np.abs(np.diff(gray, axis=0)))[:, :-1]
    return across + down


def edge_fit(edges: NDArray[np.uint8] | Edges, points: Codes) -> float:
    """Return by how many deviations of moved boundaries others fit the edges better."""
    values = edges.astype(np.float32)
    mean, spread = _moved_fit(values, points)
    return (_fit(values, points) - mean) / spread if spread else 0.0


def _find_turn(edges: Edges, codes: Codes, needed: float) -> str | None:
    square = codes.shape[0] == codes.shape[1]
    names = list(TURNS) if square else list(TURNS)[:3]
    turned = (_thinned(np.argwhere(_boundaries(TURNS[name](codes)))) for name in names)
    fits = [_fit(edges, points) for points in turned]
    best = int(np.argmax(fits))
    return names[best] if fits[best] > needed else None


def _boundaries(codes: Codes) -> NDArray[np.bool_]:
    """Return the labeled pixels (rows - 1, columns - 1) that a boundary parts from the next."""
    here, right, below = codes[:-1, :-1], codes[:-1, 1:], codes[1:, :-1]
    labeled = (here != UNLABELED) & (right != UNLABELED) & (below != UNLABELED)
    found: NDArray[np.bool_] = labeled & ((here != right) | (here != below))
    return found


def _thinned(points: Codes) -> Codes:
    return points[:: max(1, len(points) // MAX_POINTS)]


def _rolls(shape: tuple[int, ...]) -> Codes:
    """Return moves (rolls, 1, 2) of labels, around the image, that are far from none."""
    rng = np.random.default_rng(0)
    least, most = np.array(shape) // 6, np.array(shape) - np.array(shape) // 6
    return rng.integers(least, most, (ROLLS, 2))[:, None]


def _moved_fit(edges: Edges, points: Codes) -> tuple[float, float]:
    """Return mean and deviation of the fit of boundaries that are moved far."""
    moved = [_fit(edges, points + by) for by in _rolls(edges.shape)]
    return float(np.mean(moved)), float(np.std(moved))


def _fit(edges: Edges, points: Codes) -> float:
    rows, cols = points[:, 0] % edges.shape[0], points[:, 1] % edges.shape[1]
    return float(edges[rows, cols].mean())


def _fit_of_brightness(gray: NDArray[np.float32], codes: Codes) -> float:
    """Return by how many deviations of moved labels the classes differ more in brightness.

    It is infinite where nearly all labels are of one class, from which nothing can be told.
    """
    held, classes = np.unique(codes, return_inverse=True)
    classes = classes.reshape(codes.shape)
    labeled = codes != UNLABELED
    counts = np.bincount(classes[labeled], minlength=len(held))
    if counts.max() > (1 - MIN_OTHERS) * counts.sum():
        return float(np.inf)
    own = _between(gray, classes, labeled)
    moves = [tuple(by[0].tolist()) for by in _rolls(gray.shape)]
    moved = [
        _between(gray, np.roll(classes, by, (0, 1)), np.roll(labeled, by, (0, 1))) for by in moves
    ]
    spread = float(np.std(moved))
    return (own - float(np.mean(moved))) / spread if spread else 0.0


def _between(gray: NDArray[np.float32], classes: Codes, labeled: NDArray[np.bool_]) -> float:
    """Return the share of the variance of brightness that lies between the classes."""
    values, held = gray[labeled].astype(np.float64), classes[labeled]
    values = values - values.mean()
    counts = np.bincount(held)
    sums = np.bincount(held, values)
    total = float((values**2).sum())
    return float((sums**2 / np.maximum(counts, 1)).sum()) / total if total else 0.0
