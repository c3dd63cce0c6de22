"""Scores and calibration by folds over groups of labels, where there are no others to hold out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MAX_FOLDS = 5


def assign_folds(labels: Tensor, groups: Tensor) -> Tensor | None:
    """Divide groups of labels between folds, so that each fold has pixels of each class.

    The groups of the rarest class come first, the largest before the others, each into the fold
    that has fewest pixels of the class.

    Args:
        labels: class indices, int64 (n,).
        groups: group of each pixel, int64 (n,).

    Returns:
        Fold of each pixel, int64 (n,); None where a class has a single group, which cannot both
        train a network and score it.
    """
    names, index = np.unique(groups.numpy(), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(counts, (index, labels.numpy()), 1)
    present = counts.sum(0) > 0
    of_class = (counts > 0).sum(0)[present]
    folds = min(MAX_FOLDS, int(of_class.min()))
    if folds < 2:
        return None
    fold = np.full(len(names), -1)
    filled = np.zeros((folds, counts.shape[1]), np.int64)
    for c in sorted(np.flatnonzero(present), key=lambda c: (counts[:, c] > 0).sum()):
        members = np.flatnonzero((counts[:, c] > 0) & (fold < 0))
        for group in members[np.argsort(-counts[members, c], kind="stable")]:
            least = min(range(folds), key=lambda k: (filled[k, c], filled[k].sum()))
            fold[group] = least
            filled[least] += counts[group]
    return torch.from_numpy(fold[index])
