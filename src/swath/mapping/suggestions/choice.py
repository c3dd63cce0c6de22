"""Which squares of a map tell most, if somebody labels them.

A label tells about all squares like its own: those that look alike, are mapped alike and lie
near. Squares are chosen one by one, each such that most of the errors that are expected, and that
no label or chosen square tells about yet, are in squares like it. This is the greedy algorithm for
facility location (Nemhauser, Wolsey and Fisher 1978, "An analysis of approximations for maximizing
submodular set functions"; for choosing what to label: Wei, Iyer and Bilmes 2015, "Submodularity in
data subset selection and active learning").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.mapping.suggestions.squares import Squares

MAX_CANDIDATES = 2048
"""Squares that are weighed, those with most errors first."""

FEATURE_REACH = 0.5
"""Difference of features over which similarity falls to 0.61, in units of their usual spread."""

PLACE_REACH = 0.0625
"""Distance over which it does so, as a share of the extent of the map."""

OTHER_CLASS = 0.5
"""Similarity of squares of different classes, all else alike."""

MOST_TOLD = 0.99
"""Part of the errors of a square that a label elsewhere tells about, at most."""

BALANCE = 0.5
"""How much errors in rare classes count more: 0 alike, 1 so that all classes count alike."""


def choose(squares: Squares, count: int) -> NDArray[np.int64]:
    """Return the positions of the squares to label, the one that tells most first.

    Args:
        squares: of a map; those with a label are not chosen.
        count: how many, at most; there are fewer where no more errors are expected.
    """
    errors = _errors(squares)
    open_ = np.flatnonzero(~squares.labeled & (errors > 0))
    order = open_[np.argsort(-squares.shares[open_], kind="stable")]
    candidates = np.sort(order[:MAX_CANDIDATES])
    place = _described(squares)
    told = np.zeros(len(squares), np.float32)
    for i in np.flatnonzero(squares.labeled):
        np.maximum(told, _similarity(place, squares.classes, np.array([i]))[0], out=told)
    similar = _similarity(place, squares.classes, candidates)
    chosen: list[int] = []
    while len(chosen) < min(count, len(candidates)):
        gains = np.maximum(similar - MOST_TOLD * told, 0) @ errors
        gains[np.isin(candidates, chosen)] = -1
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        chosen.append(int(candidates[best]))
        np.maximum(told, similar[best], out=told)
    return np.array(chosen, np.int64)


def _errors(squares: Squares) -> NDArray[np.float32]:
    """Return the errors that are expected in each square, more where its class is rare."""
    _, at = np.unique(squares.classes, return_inverse=True)
    area = np.bincount(at, squares.pixels)[at]
    weight = (area / max(float(squares.pixels.sum()), 1)) ** -BALANCE
    return np.asarray(squares.wrong * weight, np.float32)


def _described(squares: Squares) -> NDArray[np.float32]:
    """Return numbers (n, k) whose squared differences are those of features and of places."""
    rows, cols, heights, widths = squares.windows.T.astype(np.float32)
    middle = np.stack([rows + heights / 2, cols + widths / 2], axis=1)
    extent = max(float(np.ptp(middle, axis=0).max()), 1.0) if len(middle) else 1.0
    parts = [middle / (PLACE_REACH * extent)]
    if squares.features.shape[1]:
        features = squares.features - squares.features.mean(axis=0)
        features /= np.maximum(features.std(axis=0), 1e-6)
        parts.append(features / (FEATURE_REACH * np.sqrt(2 * features.shape[1])))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _similarity(
    place: NDArray[np.float32], classes: NDArray[np.int64], of: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return how alike some squares are to all, 0..1 (squares, all)."""
    size = (place * place).sum(axis=1)
    squared = size[of][:, None] + size - 2 * place[of] @ place.T
    alike = np.exp(-np.maximum(squared, 0) / 2)
    same = classes[of][:, None] == classes
    return np.asarray(np.where(same, alike, OTHER_CLASS * alike), np.float32)
