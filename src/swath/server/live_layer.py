"""A map that is still being predicted: its parts, as a layer that grows.

`predict` keeps its plan and the finished tiles in a folder `MAP.parts` until the map is whole (see
docs/formats.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.tiling import Pixels, Window
from swath.io.work_folder import open_store
from swath.legend import Legend
from swath.mapping.plan import Plan
from swath.mapping.tile_store import TileStore
from swath.models.model import Model
from swath.server.layer import MapLayer
from swath.server.web_mercator import Placement

COARSE = 16
"""A picture of each part with every so many-th pixel is kept, for the map seen from afar."""

KEPT = 48
"""Parts that are kept whole."""

AT_ONCE = 200
"""New parts that are taken in before an answer."""


def parts_folder(path: Path) -> Path:
    """Return where the parts of a map lie while it is being predicted."""
    return path.with_name(path.name + ".parts")


def is_live(path: Path) -> bool:
    """Tell whether a map is being predicted, or its prediction was cut off."""
    return not path.exists() and (parts_folder(path) / "plan.json").is_file()


class LiveLayer(MapLayer):
    """The parts of a map as a layer; what is not there yet has no data.

    Args:
        path: the map to come.

    Raises:
        DataError: the plan is damaged.
        ModelError: the model it names is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = "map"
        self._folder = parts_folder(path)
        try:
            plan = Plan.model_validate_json((self._folder / "plan.json").read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                "the plan of this prediction is damaged or gone", file=path, fix="Predict it again"
            ) from error
        self._legend = Model(plan.asked.model).card.legend
        with plan.asked.input.open() as image:
            self.grid = image.grid
        self.place = Placement(self.grid)
        self.bands: tuple[str, ...] = ("class",)
        self.dtype = np.dtype(self._legend.dtype)
        self._cores = [tile.core for tile in plan.tiling]
        self._edges = np.array([(c.row, c.stop[0], c.col, c.stop[1]) for c in self._cores])
        self._parts = TileStore(open_store(str(self._folder)), plan.digest)
        self._whole: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._coarse: dict[int, NDArray[Any]] = {}
        self._guard = threading.Lock()

    @cached_property
    def legend(self) -> Legend:
        """The model's classes."""
        return self._legend

    @cached_property
    def shallowest(self) -> int:
        """All zooms are drawn: the coarse pictures are small."""
        return 0

    @property
    def total(self) -> int:
        """How many parts the map will have."""
        return len(self._cores)

    def refresh(self) -> int:
        """Take in new parts; returns how many are done."""
        done = sorted({int(p.stem) for p in self._folder.glob("*/*.part") if p.stem.isdecimal()})
        with self._guard:
            new = [i for i in done if i not in self._coarse and i < self.total]
        for i in new[:AT_ONCE]:
            self._part(i)
        return len(self._coarse)

    def close(self) -> None:
        """Nothing is open."""

    def _part(self, index: int) -> NDArray[Any] | None:
        """Return the map codes of a part; None where it is not done."""
        with self._guard:
            if index in self._whole:
                self._whole.move_to_end(index)
                return self._whole[index]
        layers = self._parts.get(index)
        if layers is None:
            return None
        codes = self.legend.decode(layers["class"])
        with self._guard:
            self._coarse[index] = codes[::COARSE, ::COARSE].copy()
            self._whole[index] = codes
            while len(self._whole) > KEPT:
                self._whole.popitem(last=False)
        return codes

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        """Read a window, or a picture of it, from the parts that are done."""
        height, width = shape or (window.height, window.width)
        rows = window.row + ((np.arange(height) + 0.5) * window.height / height).astype(np.intp)
        cols = window.col + ((np.arange(width) + 0.5) * window.width / width).astype(np.intp)
        out = np.full((height, width), self.legend.nodata, self.dtype)
        coarse = min(window.height / height, window.width / width) >= COARSE
        top, bottom, left, right = self._edges.T
        meets = (
            (top < window.stop[0])
            & (bottom > window.row)
            & (left < window.stop[1])
            & (right > window.col)
        )
        for index in np.flatnonzero(meets).tolist():
            part = self._coarse.get(index) if coarse else self._part(index)
            if part is None:
                continue
            core, step = self._cores[index], COARSE if coarse else 1
            in_rows = np.flatnonzero((rows >= core.row) & (rows < core.stop[0]))
            in_cols = np.flatnonzero((cols >= core.col) & (cols < core.stop[1]))
            found = part[
                np.ix_((rows[in_rows] - core.row) // step, (cols[in_cols] - core.col) // step)
            ]
            out[np.ix_(in_rows, in_cols)] = found
        return Pixels(out[None], out != self.legend.nodata)
