"""`swath sample`: points on a map for a person to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from swath.commands.base import check_ending, command
from swath.errors import UsageError
from swath.evaluation.sampling import draw_points
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile
from swath.io.vector import VectorLayer, write_layer
from swath.options import SampleOptions
from swath.types import Result


class SampleResult(Result):
    """The layer that was written, its number of points, and their number in each mapped class."""

    points: str
    n: int
    classes: dict[str, int]


@command(SampleOptions)
def sample(options: SampleOptions) -> SampleResult:
    """Draw a stratified random sample of a map's pixels, and write their centers as a GeoPackage.

    The layer has an empty column `reference`, for the class code or name that a person sees at each
    point. It does not hold the mapped class, which would bias that person. `swath area --reference`
    reads the completed layer.

    Raises:
        DataError: the map is damaged or no map, or has no CRS.
        UsageError: there are too few points for the classes, or the layer exists.
        JobError: the layer cannot be written.
    """
    check_ending(options.points, (".gpkg",), "POINTS")
    if Path(options.points).exists():
        raise UsageError(
            "The file exists, and may hold points that somebody labeled",
            code="file-exists",
            file=options.points,
            fix="Give another name",
        )
    with MapFile(options.map) as source:
        grid, legend = source.grid, source.legend.of_maps()
        drawn = draw_points(
            source, PixelAreas(grid, options.pixel, options.map), options.n, options.seed
        )
        windows = [Window(int(row), int(col), 1, 1) for row, col in drawn]
        codes = np.array([source.codes(window)[0, 0] for window in windows])
        centers = shapely.points([grid.point(col + 0.5, row + 0.5) for row, col in drawn])
        columns = {
            "id": np.arange(1, len(drawn) + 1),
            "row": drawn[:, 0],
            "column": drawn[:, 1],
            "reference": np.array([None] * len(drawn), object),
        }
        listed = ", ".join(f"{c.map_code} {c.name}" for c in legend.trained)
        facts = {"classes": listed, "map": source.path}
        layer = VectorLayer("Point", centers, columns, grid.crs, "points", facts)
        write_layer(options.points, layer)
    counts = {c.name: int((codes == c.map_code).sum()) for c in legend.trained}
    return SampleResult(points=str(options.points), n=len(drawn), classes=counts)
