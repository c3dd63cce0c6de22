"""Images whose first three bands are in reverse order (BGR) among others of the same scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.checks.cross_checks import Scanned, comparable_groups, listed
from swath.types import Finding

MAX_COMPARED = 500  # images that are compared with each other
MIN_IMAGES = 5  # images of one group, or of all, that can be compared
MIN_OVERLAP = 0.6  # of colors with the nearest other image in reverse order
MIN_GAIN = 0.05  # by which that exceeds the overlap as is
MIN_RATIO = 1.5  # of what is missing to a whole overlap as is, to that in reverse order
MIN_RATIO_UNGROUPED = 1.8  # the same among images that may show different scenes
MAX_ODD = 0.34  # share of the images, above which nothing tells which are in order


def check_band_order(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images whose colors are those of others once their first three bands are reversed."""
    usable = [s for s in scanned if s.image.colors is not None]
    sets = comparable_groups(usable, MIN_IMAGES, MAX_COMPARED)
    odd = [s for grouped, images in sets for s in _reversed(images, grouped)]
    if odd:
        names = listed([str(s.sample.images[0]) for s in odd])
        message = (
            f"The colors of {len(odd)} image(s) are those of others of the source once their "
            f"first and third band are exchanged (BGR instead of RGB): {names}."
        )
        fix = "Look at them beside the others, and write their bands in the order of these."
        yield odd[0].finding("bands-reversed", message, fix)


def _reversed(images: Sequence[Scanned], grouped: bool) -> list[Scanned]:
    """Return the images in reverse order, fewer than the others, of one group or of all."""
    if len(images) < MIN_IMAGES:
        return []
    colors = np.stack([np.asarray(s.image.colors, np.float32) for s in images])
    colors = np.sqrt(colors / colors.sum(axis=(1, 2, 3), keepdims=True))
    as_is = colors.reshape(len(colors), -1)
    same, swapped = as_is @ as_is.T, as_is @ colors[:, :, ::-1].reshape(as_is.shape).T
    np.fill_diagonal(same, 0)
    np.fill_diagonal(swapped, 0)
    odd = _camp(np.where(np.maximum(same, swapped) > MIN_OVERLAP, same - swapped, 0))
    if not odd.any() or odd.mean() > MAX_ODD:
        return []
    overlap, after = same[:, ~odd].max(axis=1), swapped[:, ~odd].max(axis=1)
    told = odd & (after > MIN_OVERLAP) & (after - overlap > MIN_GAIN)
    ratio = MIN_RATIO if grouped else MIN_RATIO_UNGROUPED
    told &= 1 - overlap > ratio * (1 - after)
    return [images[i] for i in np.flatnonzero(told).tolist()]


def _camp(agreement: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which images agree more with the others if they are reversed, one after the other."""
    signs = np.ones(len(agreement), np.float32)
    for _ in range(len(signs)):
        gain = signs * (agreement @ signs)
        worst = int(gain.argmin())
        if gain[worst] >= -1e-6:
            break
        signs[worst] *= -1
    return signs < 0
