"""The map of the present labels, block by block, and as layers of the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels, Window
from swath.legend import Legend
from swath.server.block_mosaic import BlockMosaic, coarse_copy
from swath.server.layer import MapLayer

BLOCK = 512
"""Side of a block in pixels."""

MAX_BLOCKS = 192
"""Blocks that are kept in full resolution."""

NODATA = 65535
"""Code of a pixel without data or not mapped yet."""

UNKNOWN = 255
"""Percent of such a pixel."""

MAP, CONFIDENCE = "quick-map", "quick-confidence"
"""Names of the layers."""


class MappedBlock(NamedTuple):
    """Class codes, uint16, and confidence in percent, uint8 (rows, columns), of one training."""

    round: int
    codes: NDArray[np.uint16]
    confidence: NDArray[np.uint8]


class QuickMap:
    """The blocks that are mapped, those of earlier trainings until they are mapped anew.

    Args:
        grid: grid of the scene.
    """

    def __init__(self, grid: GeoBox) -> None:
        self.grid = grid
        rows, cols = range(0, grid.height, BLOCK), range(0, grid.width, BLOCK)
        cores = [Window(r, c, BLOCK, BLOCK).within(grid.window) for r in rows for c in cols]
        self.mosaic = BlockMosaic(cores)
        self._whole: OrderedDict[int, MappedBlock] = OrderedDict()
        self._coarse: dict[int, MappedBlock] = {}
        self._counts: dict[int, dict[int, int]] = {}
        self._changed: dict[int, int] = {}
        self._lock = threading.Lock()
        self._changes = 0

    @property
    def version(self) -> str:
        """Text that changes with each block."""
        return f"q{self._changes}"

    def version_of(self, window: Window) -> str:
        """Return the version at which a block of a window changed last."""
        with self._lock:
            changed = self._changed
            return f"q{max((changed.get(i, 0) for i in self.mosaic.meeting(window)), default=0)}"

    def put(self, index: int, block: MappedBlock) -> None:
        """Keep a block; the one that was not used for longest may be dropped to its coarse copy."""
        small = MappedBlock(block.round, coarse_copy(block.codes), coarse_copy(block.confidence))
        codes, counts = np.unique(block.codes, return_counts=True)
        with self._lock:
            self._whole[index] = block
            self._whole.move_to_end(index)
            self._coarse[index] = small
            self._counts[index] = dict(zip(codes.tolist(), counts.tolist(), strict=True))
            while len(self._whole) > MAX_BLOCKS:
                self._whole.popitem(last=False)
            self._changes += 1
            self._changed[index] = self._changes

    def get(self, index: int, coarse: bool = False) -> MappedBlock | None:
        """Return a block, or its coarse copy; None where it is not there."""
        with self._lock:
            if coarse:
                return self._coarse.get(index)
            block = self._whole.get(index)
            if block is not None:
                self._whole.move_to_end(index)
            return block

    def mapped(self, round: int) -> set[int]:
        """Return the positions of whole blocks that a training has mapped."""
        with self._lock:
            return {i for i, block in self._whole.items() if block.round == round}

    def shares(self, round: int) -> dict[int, float]:
        """Return the share of each code in the pixels that a training has mapped."""
        sums: dict[int, int] = {}
        with self._lock:
            for index, block in self._coarse.items():
                for code, count in self._counts[index].items():
                    if block.round == round and code != NODATA:
                        sums[code] = sums.get(code, 0) + count
        total = sum(sums.values())
        return {code: count / total for code, count in sums.items()}

    def read(self, window: Window) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Return codes and confidence of a window, from whole blocks only."""
        shape = (window.height, window.width)
        codes, percent = np.full(shape, NODATA, np.uint16), np.full(shape, UNKNOWN, np.uint8)
        self.mosaic.read(window, None, codes, self._part("codes"))
        self.mosaic.read(window, None, percent, self._part("confidence"))
        return codes, percent

    def fill(
        self, window: Window, shape: tuple[int, int] | None, out: NDArray[Any], what: str
    ) -> None:
        """Fill an array with `codes` or `confidence` of a window, at any scale."""
        self.mosaic.read(window, shape, out, self._part(what))

    def _part(self, what: str) -> Callable[[int, bool], NDArray[Any] | None]:
        def part(index: int, coarse: bool) -> NDArray[Any] | None:
            block = self.get(index, coarse)
            return None if block is None else getattr(block, what)

        return part


class QuickLayer(MapLayer):
    """Classes or confidence of a quick map as a layer.

    Args:
        quick: the map.
        name: `MAP` or `CONFIDENCE`.
        legend: returns the classes as they are now.
    """

    def __init__(self, quick: QuickMap, name: str, legend: Callable[[], Legend | None]) -> None:
        self._quick, self._read_legend = quick, legend
        classified = name == MAP
        self._what = "codes" if classified else "confidence"
        self._nodata = NODATA if classified else UNKNOWN
        band = "class" if classified else "confidence"
        dtype = np.dtype(np.uint16 if classified else np.uint8)
        super().__init__(
            Path(name), "map" if classified else "confidence", quick.grid, (band,), dtype
        )

    @property
    def legend(self) -> Legend | None:
        """The classes as they are now; None for confidence, and before there are any."""
        return self._read_legend() if self.classified else None

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _fetch(self, window: Window, shape: tuple[int, int] | None, nearest: bool) -> Pixels:
        out = np.full(shape or (window.height, window.width), self._nodata, self.dtype)
        self._quick.fill(window, shape, out, self._what)
        return Pixels(out[None], out != self._nodata)
