"""A map of doubt: where a person's look is worth most.

A pixel of confidence p is expected to be wrong with probability 1 - p, so a region's doubt is the
sum of that over its pixels: how many of them a person is expected to mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio.errors
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.raster import gdal_env, open_raster, unreadable_error
from swath.io.vector import VectorLayer, write_layer
from swath.types import PathLike

CELL = 16
"""Side of the cells in which doubt is added up, in pixels."""

LARGEST = 64
"""Cells of a region, at most: what one can look at in one go; larger doubtful areas are cut."""

NODATA = 255


@dataclass(frozen=True)
class Region:
    """A region to look at.

    Attributes:
        shape: its outline in the map's CRS.
        wrong: number of its pixels that are expected to be wrong.
        pixels: its pixels with data.
    """

    shape: shapely.Polygon
    wrong: float
    pixels: int


def uncertain_regions(confidence: PathLike, n: int) -> list[Region]:
    """Find the regions of a map where most pixels are expected to be wrong for the ground one has to look at.

    Cells of 16 pixels whose expected share of wrong pixels is far above the map's own are joined to
    their neighbors, up to 64 cells, beginning with the most doubtful; regions are ranked by the
    pixels that are expected to be wrong.

    Args:
        confidence: raster of percent, 0..100 and 255 for no data, as `swath predict --confidence`
            writes it.
        n: number of regions, at most.

    Returns:
        Regions, the most doubtful first; fewer than `n` where the map leaves no more doubt.

    Raises:
        DataError: the raster is damaged, or not of that kind.
    """
    with open_raster(confidence) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] != "uint8":
            raise DataError(
                "it is no raster of confidence",
                file=confidence,
                fix="Give what `swath predict --confidence` wrote",
            )
        grid = geobox_of(dataset)
        wrong, pixels = _by_cell(dataset, grid, confidence)
    share = np.divide(wrong, pixels, out=np.zeros_like(wrong), where=pixels > 0)
    labels = _joined(share, _threshold(share, pixels), n)
    return sorted(
        (_region(grid, labels == k, wrong, pixels) for k in range(1, labels.max() + 1)),
        key=lambda r: -r.wrong,
    )[:n]


def write_regions(path: PathLike, regions: Sequence[Region], crs: str | None) -> None:
    """Write regions to a GeoPackage: rank, expected wrong pixels, pixels, and expected share of wrong ones.

    Raises:
        JobError: the layer cannot be written.
    """
    columns = {
        "rank": np.arange(1, len(regions) + 1),
        "wrong": np.array([round(r.wrong, 1) for r in regions], float),
        "pixels": np.array([r.pixels for r in regions], np.int64),
        "share": np.array([round(r.wrong / max(1, r.pixels), 3) for r in regions], float),
    }
    write_layer(path, VectorLayer("Polygon", [r.shape for r in regions], columns, crs, "polygons"))


def write_review(confidence: PathLike, path: PathLike, n: int) -> int:
    """Write the `n` most doubtful regions of a map to a GeoPackage, and return how many there are.

    Raises:
        DataError: the raster of confidence is damaged.
        JobError: the layer cannot be written.
    """
    with open_raster(confidence) as dataset:
        crs = geobox_of(dataset).crs
    regions = uncertain_regions(confidence, n)
    write_regions(path, regions, crs)
    return len(regions)


def _by_cell(
    dataset: rasterio.DatasetReader, grid: GeoBox, path: PathLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the expected number of wrong pixels, and the pixels with data, of each cell."""
    shape = (-(-grid.height // CELL), -(-grid.width // CELL))
    wrong, pixels = np.zeros(shape), np.zeros(shape)
    for window in chunks(grid):
        where = window.to_rasterio()
        try:
            with gdal_env():
                percent = dataset.read(1, window=where)
        except rasterio.errors.RasterioError as error:
            raise unreadable_error(path, error) from error
        known = percent != NODATA
        doubt = np.where(known, 1 - np.minimum(percent, 100) / 100, 0)
        at = Window(
            window.row // CELL,
            window.col // CELL,
            -(-window.height // CELL),
            -(-window.width // CELL),
        ).slices
        for into, what in ((wrong, doubt), (pixels, known)):
            rows = np.add.reduceat(
                what.astype(np.float64), np.arange(0, window.height, CELL), axis=0
            )
            into[at] = np.add.reduceat(rows, np.arange(0, window.width, CELL), axis=1)
    return wrong, pixels


def _threshold(share: NDArray[np.float64], pixels: NDArray[np.float64]) -> float:
    """Return the share of wrong pixels from which a cell is doubtful: the upper tenth of the map, and no less than its mean."""
    known = share[pixels > 0]
    return float(max(np.quantile(known, 0.9), known.mean(), 0.01)) if known.size else 1.0


def _joined(share: NDArray[np.float64], least: float, n: int) -> NDArray[np.int32]:
    """Number the doubtful cells by region: each grows from its most doubtful cell over its most doubtful neighbors."""
    labels = np.zeros(share.shape, np.int32)
    order = np.argsort(share, axis=None)[::-1]
    regions = 0
    for start in order:
        seed = divmod(int(start), share.shape[1])
        if share[seed] < least or regions >= 4 * n:
            break
        if labels[seed]:
            continue
        regions += 1
        edge = [seed]
        for _ in range(LARGEST):
            edge = [cell for cell in edge if not labels[cell] and share[cell] >= least]
            if not edge:
                break
            cell = max(edge, key=lambda c: share[c])
            labels[cell] = regions
            row, col = cell
            around = ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1))
            edge += [
                (r, c) for r, c in around if 0 <= r < share.shape[0] and 0 <= c < share.shape[1]
            ]
    return labels


def _region(
    grid: GeoBox, cells: NDArray[np.bool_], wrong: NDArray[np.float64], pixels: NDArray[np.float64]
) -> Region:
    """Draw the outline of cells, cut at the map's edge."""
    boxes = []
    for row, col in np.argwhere(cells):
        window = Window(int(row) * CELL, int(col) * CELL, CELL, CELL).within(grid.window)
        stop_row, stop_col = window.stop
        corners = (
            (window.col, window.row),
            (stop_col, window.row),
            (stop_col, stop_row),
            (window.col, stop_row),
        )
        boxes.append(shapely.Polygon([grid.point(*corner) for corner in corners]))
    return Region(shapely.union_all(boxes), float(wrong[cells].sum()), int(pixels[cells].sum()))
