"""Changes that a shift between two maps explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE


def within(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Return which pixels (rows, columns) have a pixel of a mask within a distance.

    The distance is the larger of rows and columns.
    """
    out = mask
    for axis in (0, 1):
        reach = 0
        while reach < distance:
            step = min(2 * reach + 1, distance - reach)
            grown = out.copy()
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            grown[tuple(ahead)] |= out[tuple(behind)]
            grown[tuple(behind)] |= out[tuple(ahead)]
            out, reach = grown, reach + step
    return out


def drop_shifted(
    old: NDArray[np.uint8], new: NDArray[np.uint8], distance: int
) -> NDArray[np.bool_]:
    """Return which changes are wider than a shift between the maps can make them.

    A shift of up to `distance` pixels explains a change from class i to class j where the old map
    has j and the new map has i within that distance. Changes that are not explained are kept, and
    with them explained ones of the same classes within the distance: the edge of a wide change
    along what had its new class before.

    Args:
        old: class indices (rows, columns), `IGNORE` without data.
        new: those of the other date.
        distance: in pixels. The result is right but for `2 * distance` pixels at the edges of the
            arrays, unless these are edges of the maps.

    Returns:
        A mask of the changes that are kept.
    """
    changed: NDArray[np.bool_] = (old != new) & (old != IGNORE) & (new != IGNORE)
    if not distance or not changed.any():
        return changed
    was_new, is_old = np.zeros_like(changed), np.zeros_like(changed)
    for k in np.unique(new[changed]):
        was_new |= changed & (new == k) & within(old == k, distance)
    for k in np.unique(old[changed]):
        is_old |= changed & (old == k) & within(new == k, distance)
    wide = changed & ~(was_new & is_old)
    kept = wide.copy()
    pairs = old.astype(np.uint16) << 8 | new
    for pair in np.unique(pairs[wide]):
        same = pairs == pair
        kept |= same & changed & within(wide & same, distance)
    return kept
