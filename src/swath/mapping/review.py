"""Regions of a map to review: those with most pixels that are expected to be wrong.

A pixel of confidence p is expected to be wrong with probability 1 - p. The sum over a region is the
number of its pixels that a person is expected to correct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio.errors
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.map_writer import CONFIDENCE
from swath.io.raster import gdal_env, open_raster, unreadable_error
from swath.io.vector import VectorLayer, write_layer
from swath.types import PathLike

CELL = 16
"""Side of the cells in which expected errors are added up, in pixels."""

MAX_CELLS = 64
"""Cells of a region, at most; larger uncertain areas are cut."""


@dataclass(frozen=True)
class ReviewRegion:
    """A region to review.

    Attributes:
        shape: outline in the CRS of the map.
        wrong: expected number of wrong pixels.
        pixels: number of pixels with data.
    """

    shape: shapely.Polygon
    wrong: float
    pixels: int


def uncertain_regions(confidence: PathLike, n: int) -> list[ReviewRegion]:
    """Find the regions of a map with most wrong pixels to expect.

    Cells of 16x16 pixels whose expected share of wrong pixels is in the upper tenth of the map are
    joined to their neighbors, up to 64 cells, beginning with the most uncertain cell; regions are
    ranked by their expected number of wrong pixels.

    Args:
        confidence: raster of percent, 0..100 and 255 for no data, as `swath predict --confidence`
            writes it.
        n: number of regions, at most.

    Returns:
        Regions, the most uncertain first; fewer than `n` where no more cells are uncertain.

    Raises:
        DataError: the raster is damaged, or not of that kind.
    """
    with open_raster(confidence) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] != "uint8":
            message = "The raster does not hold confidence (one band of uint8)"
            fix = "Give what `swath predict --confidence` wrote"
            raise DataError(message, code="not-confidence", file=confidence, fix=fix)
        grid = geobox_of(dataset)
        wrong, pixels = _by_cell(dataset, grid, confidence)
    share = np.divide(wrong, pixels, out=np.zeros_like(wrong), where=pixels > 0)
    labels = _joined(share, _threshold(share, pixels), n)
    numbers = range(1, labels.max() + 1)
    regions = [_region(grid, labels == number, wrong, pixels) for number in numbers]
    return sorted(regions, key=lambda r: -r.wrong)[:n]


def write_review(confidence: PathLike, path: PathLike, n: int) -> int:
    """Write the `n` most uncertain regions of a map to a GeoPackage; return their number.

    Columns: rank, expected number of wrong pixels, pixels, and the share of the former.

    Raises:
        DataError: the raster of confidence is damaged.
        JobError: the layer cannot be written.
    """
    with open_raster(confidence) as dataset:
        crs = geobox_of(dataset).crs
    regions = uncertain_regions(confidence, n)
    columns = {
        "rank": np.arange(1, len(regions) + 1),
        "wrong": np.array([round(r.wrong, 1) for r in regions], float),
        "pixels": np.array([r.pixels for r in regions], np.int64),
        "share": np.array([round(r.wrong / max(1, r.pixels), 3) for r in regions], float),
    }
    write_layer(path, VectorLayer("Polygon", [r.shape for r in regions], columns, crs, "polygons"))
    return len(regions)


def _by_cell(
    dataset: rasterio.DatasetReader, grid: GeoBox, path: PathLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the expected number of wrong pixels, and of pixels with data, of each cell."""
    shape = (-(-grid.height // CELL), -(-grid.width // CELL))
    wrong, pixels = np.zeros(shape), np.zeros(shape)
    for window in chunks(grid):
        where = window.to_rasterio()
        try:
            with gdal_env():
                percent = dataset.read(1, window=where)
        except rasterio.errors.RasterioError as error:
            raise unreadable_error(path, error) from error
        known = percent != int(CONFIDENCE.nodata)
        errors = np.where(known, 1 - np.minimum(percent, 100) / 100, 0)
        rows, cols = np.arange(0, window.height, CELL), np.arange(0, window.width, CELL)
        at = Window(window.row // CELL, window.col // CELL, len(rows), len(cols)).slices
        for sums, values in ((wrong, errors), (pixels, known)):
            by_row = np.add.reduceat(values.astype(np.float64), rows, axis=0)
            sums[at] = np.add.reduceat(by_row, cols, axis=1)
    return wrong, pixels


def _threshold(share: NDArray[np.float64], pixels: NDArray[np.float64]) -> float:
    """Return the share of wrong pixels from which a cell is uncertain: the upper tenth."""
    known = share[pixels > 0]
    return float(max(np.quantile(known, 0.9), known.mean(), 0.01)) if known.size else 1.0


def _joined(share: NDArray[np.float64], least: float, n: int) -> NDArray[np.int32]:
    """Number the uncertain cells by region: each grows from its most uncertain cell."""
    height, width = share.shape
    labels = np.zeros(share.shape, np.int32)
    order = np.argsort(share, axis=None)[::-1]
    regions = 0
    for start in order:
        seed = divmod(int(start), width)
        if share[seed] < least or regions >= 4 * n:
            break
        if labels[seed]:
            continue
        regions += 1
        edge = [seed]
        for _ in range(MAX_CELLS):
            edge = [cell for cell in edge if not labels[cell] and share[cell] >= least]
            if not edge:
                break
            cell = max(edge, key=lambda c: share[c])
            labels[cell] = regions
            row, col = cell
            around = ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1))
            edge += [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]
    return labels


def _region(
    grid: GeoBox, cells: NDArray[np.bool_], wrong: NDArray[np.float64], pixels: NDArray[np.float64]
) -> ReviewRegion:
    """Return the region of cells, cut at the edge of the map."""
    boxes = []
    for row, col in np.argwhere(cells):
        window = Window(int(row) * CELL, int(col) * CELL, CELL, CELL).within(grid.window)
        (top, left), (bottom, right) = (window.row, window.col), window.stop
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        boxes.append(shapely.Polygon([grid.point(*corner) for corner in corners]))
    return ReviewRegion(
        shapely.union_all(boxes), float(wrong[cells].sum()), int(pixels[cells].sum())
    )
