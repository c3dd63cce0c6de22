"""What labels of an image provide, whatever they are from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.legend import Kind

UNLABELED = int(np.iinfo(np.int64).min)
"""Value of `Labels.read` where there is no label."""


class Labels(Protocol):
    """Labels of one image."""

    names: dict[int, str]
    """Names of codes, empty where the source has none."""

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return the labels (rows, columns) of a window of the image, as codes or packed colors."""

    def close(self) -> None:
        """Close the files."""


class EmptyLabels:
    """The labels of an image that has none."""

    names: dict[int, str] = {}

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return `UNLABELED` everywhere."""
        return np.full((window.height, window.width), UNLABELED, np.int64)

    def close(self) -> None:
        """Do nothing: no file is open."""
