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
from swath.server.block_mosaic import BlockMosaic, coarse_copy
from swath.server.layer import MapLayer

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
        self._mosaic = BlockMosaic([tile.core for tile in plan.tiling])
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
        return len(self._mosaic.cores)

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
            self._coarse[index] = coarse_copy(codes)
            self._whole[index] = codes
            while len(self._whole) > MAX_WHOLE_PARTS:
                self._whole.popitem(last=False)
        return codes

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        out = np.full(shape or (window.height, window.width), self.legend.nodata, self.dtype)
        self._mosaic.read(window, shape, out, self._block)
        return Pixels(out[None], out != self.legend.nodata)

    def _block(self, index: int, coarse: bool) -> NDArray[Any] | None:
        return self._coarse.get(index) if coarse else self._part(index)
