"""A map that is still being predicted, as a layer that grows with the finished tiles.

`predict` keeps the plan and the finished tiles in a folder `MAP.parts` until the map is complete
(docs/reference/formats.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
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

COARSE_STEP = 16
"""A copy of each part with every so many-th pixel is kept, for low zooms."""

MAX_WHOLE_PARTS = 48
"""Parts that are kept in full resolution."""

MAX_NEW_PARTS = 200
"""New parts that one refresh reads."""


def parts_folder(path: Path) -> Path:
    """Return the folder of a map's parts while the map is being predicted."""
    return path.with_name(path.name + ".parts")


def is_live(path: Path) -> bool:
    """Return whether a map is being predicted, or the prediction was interrupted."""
    return not path.exists() and (parts_folder(path) / "plan.json").is_file()


class LiveLayer(MapLayer):
    """The parts of a map as a layer; missing parts have no data.

    Args:
        path: the future map.

    Raises:
        DataError: the plan is damaged.
        ModelError: the model that the plan names cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._folder = parts_folder(path)
        try:
            plan = Plan.model_validate_json((self._folder / "plan.json").read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                "The plan of this prediction is damaged or missing",
                code="plan-damaged",
                file=path,
                fix="Run `swath predict` again",
            ) from error
        self._legend = Model(plan.asked.model).card.legend
        with plan.asked.input.open() as image:
            super().__init__(path, "map", image.grid, ("class",), np.dtype(self._legend.dtype))
        self._cores = [tile.core for tile in plan.tiling]
        self._edges = np.array([(c.row, c.stop[0], c.col, c.stop[1]) for c in self._cores])
        self._parts = TileStore(open_store(str(self._folder)), plan.digest)
        self._whole: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._coarse: dict[int, NDArray[Any]] = {}
        self._lock = threading.Lock()

    @property
    def legend(self) -> Legend:
        """The model's classes."""
        return self._legend

    @property
    def total(self) -> int:
        """Number of parts of the complete map."""
        return len(self._cores)

    def refresh(self) -> int:
        """Read new parts; return the number of finished ones."""
        done = sorted({int(p.stem) for p in self._folder.glob("*/*.part") if p.stem.isdecimal()})
        with self._lock:
            new = [i for i in done if i not in self._coarse and i < self.total]
        for i in new[:MAX_NEW_PARTS]:
            self._part(i)
        return len(self._coarse)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _part(self, index: int) -> NDArray[Any] | None:
        """Return the map codes of a part; None for an unfinished one."""
        with self._lock:
            if index in self._whole:
                self._whole.move_to_end(index)
                return self._whole[index]
        layers = self._parts.get(index)
        if layers is None:
            return None
        codes = self.legend.decode(layers["class"])
        with self._lock:
            self._coarse[index] = codes[::COARSE_STEP, ::COARSE_STEP].copy()
            self._whole[index] = codes
            while len(self._whole) > MAX_WHOLE_PARTS:
                self._whole.popitem(last=False)
        return codes

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        height, width = shape or (window.height, window.width)
        rows = window.row + ((np.arange(height) + 0.5) * window.height / height).astype(np.intp)
        cols = window.col + ((np.arange(width) + 0.5) * window.width / width).astype(np.intp)
        out = np.full((height, width), self.legend.nodata, self.dtype)
        coarse = min(window.height / height, window.width / width) >= COARSE_STEP
        step = COARSE_STEP if coarse else 1
        top, bottom, left, right = self._edges.T
        meets = (top < window.stop[0]) & (bottom > window.row)
        meets &= (left < window.stop[1]) & (right > window.col)
        for index in np.flatnonzero(meets).tolist():
            part = self._coarse.get(index) if coarse else self._part(index)
            if part is None:
                continue
            core = self._cores[index]
            at_row = np.flatnonzero((rows >= core.row) & (rows < core.stop[0]))
            at_col = np.flatnonzero((cols >= core.col) & (cols < core.stop[1]))
            source = np.ix_((rows[at_row] - core.row) // step, (cols[at_col] - core.col) // step)
            out[np.ix_(at_row, at_col)] = part[source]
        return Pixels(out[None], out != self.legend.nodata)
