"""What a layout finds: samples, and what is wrong with how they are put together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import escape, glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels
from swath.io.atomic import file_stamps
from swath.io.labels import EmptyLabels, Labels, RasterLabels, VectorLabels
from swath.io.raster import Raster
from swath.io.vector import Features
from swath.legend import Legend
from swath.types import Finding

LOWEST, HIGHEST = -100.0, 1000.0
"""Meters above ground; what lies outside is no height, for the tallest building has 828."""


@dataclass(frozen=True)
class SourceSample:
    """One image with its labels.

    Attributes:
        name: unique in the catalog; a relative path without extension.
        images: files whose bands are stacked, usually one.
        labels: a label raster, a vector layer that was read already, or None for an unlabeled
            image.
        ignored: mask rasters whose non-zero pixels are ignored.
        group: samples of one group see the same ground; None where the image is to be cut into
            blocks, a group each.
        warp: True where a label raster may lie on another grid.
        bands: names of the bands, where the layout knows them; empty for the files' own.
        heights: raster of heights above ground in meters, NaN or nodata where unknown.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | Features | None
    ignored: tuple[Path, ...] = ()
    group: str | None = None
    warp: bool = False
    bands: tuple[str, ...] = ()
    heights: Path | None = None

    @property
    def stamp(self) -> dict[str, str]:
        """Size and time of change of its files; see `file_stamps`."""
        files = [
            *self.images,
            self.label_file,
            *self.ignored,
            *([self.heights] if self.heights else []),
        ]
        return file_stamps(map(str, files))

    @property
    def label_file(self) -> str:
        """Path of the labels, or of the image where it has none."""
        if isinstance(self.labels, Features):
            return self.labels.path
        return str(self.labels or self.images[0])

    def open_labels(self, grid: GeoBox, legend: Legend | None = None) -> Labels:
        """Open the labels on the image's grid.

        Raises:
            DataError: see `RasterLabels` and `VectorLabels`.
        """
        if self.labels is None:
            return EmptyLabels()
        if isinstance(self.labels, Features):
            return VectorLabels(self.labels, grid, legend)
        return RasterLabels(self.labels, grid, warp=self.warp)

    def open_image(self) -> Raster:
        """Open the image.

        Raises:
            DataError: see `Raster`.
        """
        return Raster(self.images, self.bands)

    def open_heights(self, grid: GeoBox) -> Raster | None:
        """Open the heights, which lie pixel on pixel; None without.

        Raises:
            DataError: they cannot be opened, are of several bands, or do not fit the image.
        """
        if self.heights is None:
            return None
        raster = Raster([self.heights])
        own = raster.grid
        if (own.height, own.width) == (grid.height, grid.width) and len(raster.bands) == 1:
            return raster
        raster.close()
        raise DataError(
            f"heights are {own.width}x{own.height} in {len(raster.bands)} band(s), and the image {grid.width}x{grid.height}",
            file=self.heights,
            fix="Give one band of heights on the image's own pixels, or leave all out (prepare --no-heights)",
            code="size-mismatch",
        )


def known_heights(pixels: Pixels) -> NDArray[np.float32]:
    """Return heights in meters (rows, columns), NaN where they are unknown or none that anything on Earth has."""
    heights = pixels.values[0]
    return np.where(
        pixels.valid & (heights >= LOWEST) & (heights <= HIGHEST), heights, np.nan
    ).astype(np.float32)


def files_below(root: Path) -> Iterator[Path]:
    """Yield all files below a folder but hidden ones; linked folders are entered, each once, and broken links are yielded."""
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in files if not name.startswith("."))


def matching(root: Path, pattern: str) -> list[Path]:
    """Return the files that match a pattern below the source folder, else from where the user stands; sorted."""
    below = glob(str(Path(escape(str(root))) / pattern), recursive=True)
    found = [Path(p) for p in sorted(below or glob(pattern, recursive=True))]
    literal = [p for p in (root / pattern, Path(pattern)) if p.is_file()]
    return [p for p in found if p.is_file()] or literal[:1]


@dataclass(frozen=True)
class Catalog:
    """The samples of a source folder, in the order of their names.

    Attributes:
        root: the folder.
        layout: name of the layout that was found.
        samples: the samples.
        findings: what is wrong with the arrangement (missing or ambiguous masks, ...).
        legend: the classes, where the layout knows them.
    """

    root: Path
    layout: str
    samples: tuple[SourceSample, ...]
    findings: tuple[Finding, ...] = field(default=())
    legend: Legend | None = None
