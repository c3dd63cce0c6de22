"""Checks of labels that do not fit their image: those of another image, or of nothing in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.checks.cross_checks import Scanned, listed
from swath.checks.label_fit import MIN_FIT, LabelFit, edge_fit
from swath.types import Finding

MAX_COMPARED = 200  # images whose labels do not fit that are compared with each other
TRIED = 3  # labels of other images that fit best without a measure of chance
MIN_FITTING = 5  # other images whose labels fit, before those of one that do not are told
MIN_SHARE_FITTING = 0.8  # share of the images whose labels fit, likewise
MAX_BRIGHTNESS = 2.0  # deviations below which the brightness does not follow the labels


def check_fits(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield labels that are those of another image, and labels that fit nothing of their image."""
    fits = [(s, s.scan.labels.fit) for s in scanned]
    known = [(s, fit) for s, fit in fits if fit is not None]
    unfit = [(s, fit) for s, fit in known if not fit.fits and fit.turn is None]
    pairs = _find_owners(unfit[:MAX_COMPARED])
    if pairs:
        yield _labels_of_others(pairs)
    told = {s.sample.name for s, _ in pairs} | {s.sample.name for _, s in pairs}
    rest = [
        (s, fit)
        for s, fit in unfit
        if s.sample.name not in told
        and fit.brightness < MAX_BRIGHTNESS
        and s.scan.labels.shift is None
    ]
    fitting = sum(fit.fits for _, fit in known)
    enough = fitting >= max(MIN_FITTING, MIN_SHARE_FITTING * len(known))
    odd = [(s, fit) for s, fit in rest if enough or fit.flat]
    if odd:
        yield _labels_of_nothing(odd, fitting)


def _find_owners(unfit: Sequence[tuple[Scanned, LabelFit]]) -> list[tuple[Scanned, Scanned]]:
    """Return pairs of a sample, and of the sample whose labels fit its image in its place."""
    points = [fit.points for _, fit in unfit]
    found = []
    for i, (sample, fit) in enumerate(unfit):
        edges = fit.edges
        if edges is None:
            continue
        others = [j for j, (_, other) in enumerate(unfit) if j != i and other.shape == fit.shape]
        others.sort(key=lambda j: -_mean_edge(edges, points[j]))
        scores = {j: edge_fit(edges, points[j]) for j in others[:TRIED]}
        best = max(scores, key=scores.__getitem__, default=None)
        if best is not None and scores[best] > MIN_FIT:
            found.append((sample, unfit[best][0]))
    return found


def _mean_edge(edges: NDArray[np.uint8], points: NDArray[np.int64]) -> float:
    return float(edges[points[:, 0], points[:, 1]].mean())


def _labels_of_others(pairs: Sequence[tuple[Scanned, Scanned]]) -> Finding:
    names = listed([f"{own.sample.images[0].name} by {o.sample.label_file}" for own, o in pairs])
    message = (
        f"The edges of {len(pairs)} image(s) are not those of their labels, but are met by the "
        f"labels of another image: {names}."
    )
    fix = "Check which image each label file was made of: names or numbers may be shifted by one."
    first = pairs[0][0].sample
    return Finding("warning", "labels-of-another", first.label_file, message, fix, first.name)


def _labels_of_nothing(odd: Sequence[tuple[Scanned, LabelFit]], fitting: int) -> Finding:
    flat = " (nearly one value)"
    names = listed([f"{s.sample.images[0]}{flat if fit.flat else ''}" for s, fit in odd])
    others = f", as those of {fitting} others do" if fitting else ""
    message = (
        f"Neither edges nor brightness of {len(odd)} image(s) follow their labels{others}: {names}."
    )
    fix = "Look for clouds, damaged pixels, or labels of another place, and leave such pairs out."
    first = odd[0][0].sample
    return Finding("warning", "labels-unlike-image", first.label_file, message, fix, first.name)
