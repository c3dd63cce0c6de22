"""Scales that bring images to the ground sampling distance that a network was trained with."""

from __future__ import annotations

from fractions import Fraction
from itertools import count

TOLERATED_RATIO = 1.15
"""Images are not rescaled if their ground sampling distance differs by no more than this factor.

It is half of the range of scales (in logarithms) that the default recipe trains with.
"""

NEAR_RATIO = 1.1
"""A scale is taken if it differs from the wanted one by no more than this factor."""

MIN_ZOOM, MAX_ZOOM = Fraction(1, 8), Fraction(4)
"""Range of scales: below it, tiles would be mostly halo; above it, cost grows without detail."""


def ratio(gsd: float | None, known: float | None) -> float:
    """Return the network's pixels for each of an image, along a side.

    Args:
        gsd: ground sampling distance of the image, in meters.
        known: that of the network.

    Returns:
        gsd / known, between `MIN_ZOOM` and `MAX_ZOOM`; 1 where one of them is None.
    """
    if gsd is None or known is None:
        return 1.0
    return min(max(gsd / known, float(MIN_ZOOM)), float(MAX_ZOOM))


def zoom_for(gsd: float | None, known: float | None) -> Fraction:
    """Return the scale for an image: the simplest fraction within `NEAR_RATIO` of `ratio`.

    It is 1 where `ratio` is within `TOLERATED_RATIO`. Small denominators keep the windows short
    that are whole in pixels of both image and network. For the arguments see `ratio`.
    """
    wanted = ratio(gsd, known)
    if _within(wanted, TOLERATED_RATIO):
        return Fraction(1)
    near = (Fraction(round(wanted * below), below) for below in count(1))
    return next(zoom for zoom in near if _within(float(zoom) / wanted, NEAR_RATIO))


def out_of_reach(gsd: float | None, known: float | None) -> bool:
    """Return whether no allowed scale brings an image within `TOLERATED_RATIO` of a network."""
    if gsd is None or known is None:
        return False
    return not _within(ratio(gsd, known) / (gsd / known), TOLERATED_RATIO)


def _within(factor: float, most: float) -> bool:
    return 1 / most <= factor <= most
