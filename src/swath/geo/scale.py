"""How large the ground is shown: scales at which images are brought to the ground sampling distance that a network knows."""

from __future__ import annotations

from fractions import Fraction
from itertools import count

TOLERATED = 1.15
"""A network is left to work this far from the ground sampling distance it was taught with: half of the range of scales (in
logarithms) that the default recipe shows it where that distance is known."""

NEAR = 1.1
"""So near to what is wanted is a scale whose fraction has a small denominator."""

SMALLEST, LARGEST = Fraction(1, 8), Fraction(4)
"""Scales are between these. Were an image shrunk more, tiles would be mostly halo; were it enlarged more, each of its pixels
would cost more than sixteen of the network, and show nothing."""


def ratio(gsd: float | None, known: float | None) -> float:
    """Return the network's pixels for each of an image, along a side; 1 where one distance is not known.

    Args:
        gsd: ground sampling distance of the image, in meters.
        known: that the network knows.

    Returns:
        gsd / known, between `SMALLEST` and `LARGEST`.
    """
    if gsd is None or known is None:
        return 1.0
    return min(max(gsd / known, float(SMALLEST)), float(LARGEST))


def zoom_for(gsd: float | None, known: float | None) -> Fraction:
    """Return the scale at which an image is shown to a network: the fraction of smallest denominator within `NEAR` of `ratio`.

    It is 1 where they differ by no more than `TOLERATED`. Small denominators keep the windows short
    that are whole in pixels of both image and network.
    """
    wanted = ratio(gsd, known)
    if _within(wanted, TOLERATED):
        return Fraction(1)
    near = (Fraction(round(wanted * below), below) for below in count(1))
    return next(zoom for zoom in near if _within(float(zoom) / wanted, NEAR))


def out_of_reach(gsd: float | None, known: float | None) -> bool:
    """Tell whether an image stays further from what a network knows than is tolerated, at any scale that is allowed."""
    return (
        gsd is not None
        and known is not None
        and not _within(ratio(gsd, known) / (gsd / known), TOLERATED)
    )


def _within(factor: float, most: float) -> bool:
    return 1 / most <= factor <= most
