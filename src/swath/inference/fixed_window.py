"""A network that takes inputs of one size only, as a runtime for windows of any smaller size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.inference.runtimes import Runtime


class FixedWindow:
    """Fills inputs up to a square of one side, and cuts scores to the size of the input.

    Windows are smaller where the image is, and where a scale leaves no whole window. They are
    continued as in a mirror at the bottom and right: a constant would change the mean of a window,
    on which the scores of networks with global context depend.

    Args:
        runtime: the network.
        side: rows and columns of its input.
    """

    def __init__(self, runtime: Runtime, side: int) -> None:
        self._runtime, self._side = runtime, side

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`.

        Raises:
            ValueError: the input is larger than the window.
        """
        rows, cols = raw.shape[2:]
        if max(rows, cols) > self._side:
            raise ValueError(f"The input has {rows}x{cols} pixels, and the window {self._side}")
        if (rows, cols) == (self._side, self._side):
            return self._runtime(raw)
        scores = self._runtime(fill_up(raw, self._side))
        return scores[:, :, :rows, :cols]


def fill_up(raw: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return pixels (batch, bands, side, side), continued as in a mirror at bottom and right."""
    more = [(0, 0), (0, 0), *((0, side - n) for n in raw.shape[2:])]
    return np.ascontiguousarray(np.pad(raw, more, mode="symmetric"))
