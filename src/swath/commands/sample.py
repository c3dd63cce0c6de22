"""`swath sample`: points on a map for a person to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from swath.commands.base import check_ending, command
from swath.errors import UsageError
from swath.evaluation.sampling import draw_points
from swath.evaluation.strata import PIXELS, Strata, pixels_of
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile
from swath.io.vector import VectorLayer, write_layer
from swath.options import SampleOptions
from swath.transitions import DATES
from swath.types import Result

LEAST_OF_CHANGE = 30
"""Fewest points of a stratum of a map of change by default, if there are as many in all."""


class SampleResult(Result):
    """The sample.

    Attributes:
        points: the layer that was written.
        n: number of its points.
        classes: their number in each mapped class, or other stratum.
        columns: those that a person fills.
        warnings: that there are few points for so many classes.
    """

    points: str
    n: int
    classes: dict[str, int]
    columns: list[str] = ["reference"]
    warnings: list[str] = []


@command(SampleOptions)
def sample(options: SampleOptions) -> SampleResult:
    """Draw a stratified random sample of a map's pixels, and write their centers as a GeoPackage.

    The layer has an empty column `reference`, for the class code or name that a person sees at each
    point. It does not hold the mapped class, which would bias that person. `swath area --reference`
    reads the completed layer.

    The strata of a map of change are its transitions, and the pixels where a change was thought
    possible; the layer has a column for each date then.

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
    with MapFile(options.map) as source, Strata(source) as strata:
        grid, transitions = source.grid, source.transitions
        areas = PixelAreas(grid, options.pixel, options.map)
        least = options.least
        if least is None:
            least = LEAST_OF_CHANGE if transitions is not None else 0
        measured = strata.measure(areas)
        drawn = draw_points(strata, areas, measured, options.n, options.seed, least)
        windows = [Window(int(row), int(col), 1, 1) for row, col in drawn]
        found = np.array([strata.read(window)[1][0, 0] for window in windows])
        centers = shapely.points([grid.point(col + 0.5, row + 0.5) for row, col in drawn])
        columns = {
            "id": np.arange(1, len(drawn) + 1),
            "row": drawn[:, 0],
            "column": drawn[:, 1],
        }
        classes = strata.legend.trained if transitions is None else transitions.classes
        names = ["reference"]
        if transitions is not None:
            names = [f"reference_{date}" for date in DATES]
        columns |= {name: np.array([None] * len(drawn), object) for name in names}
        listed = ", ".join(f"{c.map_code} {c.name}" for c in classes)
        facts = {"classes": listed, "map": source.path, PIXELS: pixels_of(measured)}
        layer = VectorLayer("Point", centers, columns, grid.crs, "points", facts)
        write_layer(options.points, layer)
        counts = {name: int((found == i).sum()) for i, name in enumerate(strata.names)}
    present = sum(map(bool, counts.values()))
    warnings = []
    if options.n < least * present:
        warnings.append(
            f"{present} strata share {options.n} points, so they have fewer than {least} each, and "
            f"their intervals are rough. Draw more (-n {2 * least * present})."
        )
    return SampleResult(
        points=str(options.points), n=len(drawn), classes=counts, columns=names, warnings=warnings
    )
