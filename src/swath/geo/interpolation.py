"""Linear interpolation between the nodes of a coarse grid, at which PROJ was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def interpolate(
    nodes: NDArray[np.float64], position: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Interpolate a grid of nodes (rows, columns) linearly along one axis.

    Args:
        nodes: values at the nodes; at least two along the axis.
        position: where values are wanted (n,), in steps between nodes: 0 is the first node.
        axis: 0 for rows, 1 for columns.

    Returns:
        The grid with `n` values along the axis.
    """
    left = np.minimum(position.astype(np.intp), nodes.shape[axis] - 2)
    low = nodes.take(left, axis)
    out: NDArray[np.float64] = nodes.take(left + 1, axis)
    out -= low
    out *= np.expand_dims(position - left, 1 - axis)
    out += low
    return out
