"""`swath sample`: points on a map for a person to check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from swath.commands.base import command
from swath.errors import UsageError
from swath.evaluation.sampling import draw_points
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile
from swath.io.vector import VectorLayer, write_layer
from swath.options import SampleOptions
from swath.types import Result


class SampleResult(Result):
    """What was drawn: the layer, its number of points, and how many of them lie in each mapped class."""

    points: str
    n: int
    classes: dict[str, int]


@command(SampleOptions)
def sample(options: SampleOptions) -> SampleResult:
    """Draw a stratified random sample of a map's pixels, and write their centers as a GeoPackage.

    The layer has a column `reference`, empty, for the class code or name that a person sees there.
    It does not tell the mapped class: whoever checks should not know what the map says. `swath area
    --reference` reads it back.

    Raises:
        DataError: the map is damaged or no map, or has no CRS.
        UsageError: there are too few points for the classes, or the layer exists.
        JobError: the layer cannot be written.
    """
    if Path(options.points).exists():
        raise UsageError(
            "it exists, and may hold points that somebody checked",
            file=options.points,
            fix="Give another name",
        )
    with MapFile(options.map) as mapped:
        areas = PixelAreas(mapped.grid, options.pixel)
        places = draw_points(mapped, areas, options.n, options.seed)
        xy = [mapped.grid.point(col + 0.5, row + 0.5) for row, col in places]
        legend = mapped.legend.of_maps()
        codes = np.array(
            [mapped.codes(Window(int(row), int(col), 1, 1))[0, 0] for row, col in places]
        )
        columns = {
            "id": np.arange(1, len(places) + 1),
            "row": places[:, 0],
            "column": places[:, 1],
            "reference": np.array([None] * len(places), object),
        }
        facts = {
            "classes": ", ".join(f"{c.map_code} {c.name}" for c in legend.trained),
            "map": mapped.path,
        }
        write_layer(
            options.points,
            VectorLayer("Point", shapely.points(xy), columns, mapped.grid.crs, "points", facts),
        )
    return SampleResult(
        points=str(options.points),
        n=len(places),
        classes={c.name: int((codes == c.map_code).sum()) for c in legend.trained},
    )
