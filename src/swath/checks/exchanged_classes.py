"""Images in which two classes look as the other one does elsewhere: their codes are exchanged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from swath.checks.cross_checks import Scanned, comparable_groups, listed
from swath.legend import MAX_CODE, unpack_rgb
from swath.types import Finding

MIN_IMAGES = 5  # of one group, or of all, that can be compared
MAX_COMPARED = 500  # images that are compared with each other
MIN_OTHERS = 3  # other images that hold a class
SPREAD = 0.02  # is added to the deviation between images
MIN_GAIN = 6.0  # squared deviations that the exchange takes away
MIN_RATIO = 2.0  # of the squared deviations of all classes as they are, to those after it


def check_exchanged(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images of which two classes look as the other one does in the other images."""
    usable = [s for s in scanned if len(s.scan.class_means) > 1]
    sets = comparable_groups(usable, MIN_IMAGES, MAX_COMPARED)
    odd = [pair for _, images in sets for same in _by_bands(images) for pair in _exchanged(same)]
    if odd:
        names = listed([f"{s.sample.label_file} ({a} and {b})" for s, a, b in odd])
        message = (
            f"Two classes of {len(odd)} image(s) look as the other one does in other images: "
            f"{names}. Their codes may be exchanged."
        )
        fix = "Look at these labels beside others, and give each class one code in all files."
        first = odd[0][0].sample
        yield Finding("warning", "classes-exchanged", first.label_file, message, fix, first.name)


def _by_bands(images: Sequence[Scanned]) -> Iterator[list[Scanned]]:
    """Yield images whose means are of as many features, which is as many bands."""
    found: dict[int, list[Scanned]] = defaultdict(list)
    for s in images:
        found[len(next(iter(s.scan.class_means.values())))].append(s)
    yield from found.values()


def _exchanged(images: Sequence[Scanned]) -> Iterator[tuple[Scanned, str, str]]:
    if len(images) < MIN_IMAGES:
        return
    codes = sorted({code for s in images for code in s.scan.class_means})
    length = len(next(iter(images[0].scan.class_means.values())))
    means = np.full((len(images), len(codes), length), np.nan)
    for i, s in enumerate(images):
        for code, mean in s.scan.class_means.items():
            means[i, codes.index(code)] = mean
    for i, s in enumerate(images):
        pair = _pair(means[i], np.delete(means, i, axis=0))
        if pair is not None:
            a, b = (s.scan.labels.names.get(codes[k], _shown(codes[k])) for k in pair)
            yield s, a, b


def _shown(code: int) -> str:
    return f"code {code}" if code <= MAX_CODE else unpack_rgb(code)


def _pair(own: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return two classes, by index, whose means fit those of others once they are exchanged.

    Args:
        own: means of an image (classes, features), NaN for those it lacks.
        others: those of other images (images, classes, features).
    """
    held = (~np.isnan(others[:, :, 0])).sum(axis=0) >= MIN_OTHERS
    classes = np.flatnonzero(held & ~np.isnan(own[:, 0]))
    if len(classes) < 2:
        return None
    of = others[:, classes]
    center = np.nanmean(of, axis=0)
    spread = np.sqrt(np.nanmean(np.nanvar(of, axis=0), axis=0)) + SPREAD
    cost = (((own[classes][:, None] - center[None]) / spread) ** 2).sum(axis=2)
    total = float(np.trace(cost))
    gains = {
        (a, b): float(cost[a, a] + cost[b, b] - cost[a, b] - cost[b, a])
        for a, b in combinations(range(len(classes)), 2)
    }
    best = max(gains, key=gains.__getitem__)
    if gains[best] < MIN_GAIN or total < MIN_RATIO * (total - gains[best]):
        return None
    return int(classes[best[0]]), int(classes[best[1]])
