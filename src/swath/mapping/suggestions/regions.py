"""Regions to label next, or to check, of a model's map or of a map that was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Tile, Window
from swath.inference.tiled import TiledPredictor, plan_tiles, predict_tiles
from swath.io.map_reader import check_percents
from swath.io.map_writer import CONFIDENCE
from swath.io.raster import gdal_errors, open_raster
from swath.io.vector import VectorLayer, write_layer
from swath.legend import Legend
from swath.mapping.inputs import InputImage
from swath.mapping.suggestions.choice import choose
from swath.mapping.suggestions.labels import LabelsOfImage
from swath.mapping.suggestions.squares import (
    UNKNOWN,
    SquareGrid,
    Squares,
    join,
    side_of,
    squares_of_classes,
    squares_of_probabilities,
)
from swath.models.card import CardBand
from swath.progress import track
from swath.types import PathLike

MAX_TILES = 128
"""Tiles of an image that are mapped to find regions, evenly spread over it, at most."""


def squares_of_image(
    image: InputImage,
    predictor: TiledPredictor,
    bands: Sequence[CardBand],
    labels: LabelsOfImage,
) -> tuple[Squares, float]:
    """Map an image, and describe its squares; return the share of it that was mapped as well.

    Args:
        image: the image.
        predictor: the network, for the ground sampling distance of the image.
        bands: of the model.
        labels: of the image.

    Raises:
        DataError: the image or the labels are damaged.
    """
    grid = image.grid
    tiles = _spread_tiles(image, plan_tiles(grid, predictor))
    side = side_of(grid.height, grid.width)
    mean, std = (
        np.array([getattr(band, name) for band in bands], np.float32)[:, None, None]
        for name in ("mean", "std")
    )

    def described() -> Iterator[Squares]:
        found = predict_tiles(image, predictor, tiles)
        for one in track(found, "looking for regions", len(tiles), "tiles"):
            window, valid = one.window, one.valid
            wanted = image.wanted(window)
            if wanted is not None:
                valid = valid & wanted
            if not valid.any():
                continue
            values = (image.read(window).values.astype(np.float32) - mean) / std
            shares = np.nan_to_num(one.probabilities)
            labeled = labels.read(window)
            yield squares_of_probabilities(SquareGrid(window, side), shares, values, valid, labeled)

    seen = sum(tile.core.size for tile in tiles) / grid.window.size
    return join(described(), len(tiles)), seen


def _spread_tiles(image: InputImage, tiles: Sequence[Tile]) -> list[Tile]:
    """Return tiles that hold wanted pixels, evenly spread over all such tiles."""

    def is_wanted(tile: Tile) -> bool:
        wanted = image.wanted(tile.core)
        return wanted is None or bool(wanted.any())

    held = [tile for tile in tiles if is_wanted(tile)]
    at = np.linspace(0, len(held) - 1, min(MAX_TILES, len(held))).round().astype(int)
    return [held[i] for i in at]


def squares_of_map(classes: PathLike, confidence: PathLike) -> tuple[Squares, GeoBox]:
    """Describe the squares of a map; return its grid as well.

    Args:
        classes: raster of class codes.
        confidence: raster of percent, 0..100 and 255 for no data, as `swath predict --confidence`
            writes it.

    Raises:
        DataError: a raster is damaged, or the second is not of that kind.
    """
    with open_raster(classes) as codes, open_raster(confidence) as percents:
        check_percents(percents, confidence)
        grid = geobox_of(percents)
        side, windows = side_of(grid.height, grid.width), list(chunks(grid))

        def described() -> Iterator[Squares]:
            for window in windows:
                where = window.to_rasterio()
                with gdal_errors(str(classes)):
                    mapped = codes.read(1, window=where)
                with gdal_errors(str(confidence)):
                    percent = percents.read(1, window=where)
                valid = percent != int(CONFIDENCE.nodata)
                shares = np.minimum(percent, 100) / np.float32(100)
                yield squares_of_classes(SquareGrid(window, side), mapped, shares, valid)

        return join(described(), len(windows)), grid


def write_review(
    classes: PathLike, confidence: PathLike, legend: Legend, path: PathLike, n: int
) -> int:
    """Write the regions of a map that are to be checked first; return their number.

    Raises:
        DataError: the map is damaged.
        JobError: the layer cannot be written.
    """
    squares, grid = squares_of_map(classes, confidence)
    names = {c.map_code: c.name for c in legend.trained}
    chosen = squares[choose(squares, n)]
    write_regions(path, chosen, grid, names)
    return len(chosen)


def write_regions(path: PathLike, squares: Squares, grid: GeoBox, names: dict[int, str]) -> None:
    """Write squares as polygons to a GeoPackage, in their order.

    Columns: rank from 1; class that most pixels are mapped as; the class that is most probable
    after it, where that is known; confidence in percent; number of pixels that are expected to be
    wrong; pixels with data.

    Args:
        path: the file.
        squares: the regions.
        grid: of the map.
        names: of the classes.

    Raises:
        JobError: the layer cannot be written.
    """

    def named(classes: NDArray[np.int64]) -> NDArray[np.object_]:
        return np.array([names.get(c) for c in classes.tolist()], object)

    columns = {
        "rank": np.arange(1, len(squares) + 1),
        "class": named(squares.classes),
        "other": named(squares.others),
        "confidence": np.rint(100 * (1 - squares.shares)).astype(np.int64),
        "wrong": np.round(squares.wrong, 1),
        "pixels": squares.pixels,
    }
    if (squares.others == UNKNOWN).all():
        del columns["other"]
    shapes = [outline_of(grid, squares.window(i)) for i in range(len(squares))]
    write_layer(path, VectorLayer("Polygon", shapes, columns, grid.crs, "regions"))


def outline_of(grid: GeoBox, window: Window) -> shapely.Polygon:
    """Return the outline of a window in the CRS of a grid."""
    (top, left), (bottom, right) = (window.row, window.col), window.stop
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return shapely.Polygon([grid.point(*corner) for corner in corners])
