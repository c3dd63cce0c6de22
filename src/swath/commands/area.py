"""`swath area`: hectares of each class, corrected for the map's errors, with their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command
from swath.data.dataset import Dataset
from swath.errors import DataError
from swath.evaluation.reference import DatasetReference
from swath.evaluation.results import known
from swath.evaluation.sampling import measure_strata
from swath.evaluation.scoring import MapPredictor, count
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import MapFile
from swath.io.vector import Features, read_features
from swath.legend import IGNORE, Legend
from swath.metrics.area_estimation import CONFIDENCE, AreaEstimate, estimate_areas
from swath.metrics.bootstrap import FEWEST, by_group, interval, resampled
from swath.options import AreaOptions
from swath.progress import track
from swath.types import Result

HECTARE = 10_000.0


class ClassArea(Result):
    """The area of one class, in hectares.

    Attributes:
        name: of the class.
        code: that the map holds for it.
        mapped: what counting pixels gives.
        area: error-adjusted estimate.
        interval: 95% interval of it; None where it cannot be told.
        users: share of what is mapped as the class that is of it.
        producers: share of the class that is mapped as it.
        checked: units of the reference that the map shows as the class (points, or labeled
            pixels).
    """

    name: str
    code: int
    mapped: float
    area: float
    interval: tuple[float, float] | None
    users: float | None
    producers: float | None
    checked: int


class AreaResult(Result):
    """Areas with errors.

    Attributes:
        classes: each class.
        overall: share of the whole area that is mapped right.
        overall_interval: 95% interval of it.
        unit: always hectares.
        method: where the estimates come from.
        assumes: what must hold for them to be right.
        matrix: units by mapped (rows) and true class (columns).
    """

    classes: list[ClassArea]
    overall: float
    overall_interval: tuple[float, float] | None
    unit: str = "hectares"
    method: str
    assumes: str
    matrix: list[list[int]]


@command(AreaOptions)
def area(options: AreaOptions) -> AreaResult:
    """Estimate the area of each mapped class from checked points or from held-out labels.

    Raises:
        DataError: the map or the reference is damaged, they do not fit each other, or a mapped
            class was hardly checked.
    """
    with MapFile(options.map) as mapped:
        strata = measure_strata(mapped, PixelAreas(mapped.grid, options.pixel))
        if Path(options.reference).is_dir():
            return _from_labels(options, mapped, strata.legend, strata.areas)
        features = read_features(options.reference, options.field)
        matrix = _count_points(features, mapped, strata.legend)
    estimate = _estimate(strata.areas, matrix, strata.legend, options)
    spread = CONFIDENCE * estimate.area_error / HECTARE
    intervals = [
        (max(0.0, a / HECTARE - s), a / HECTARE + s)
        for a, s in zip(estimate.area, spread, strict=True)
    ]
    edge = CONFIDENCE * estimate.overall_error
    return _result(
        strata.legend,
        estimate,
        matrix,
        intervals,
        (max(0.0, estimate.overall - edge), min(1.0, estimate.overall + edge)),
        f"stratified estimator on {int(matrix.sum())} checked points (Olofsson et al. 2014)",
        "The points were drawn at random within each mapped class, as `swath sample` draws them from this very map, all of "
        "them were checked, and what the person saw is true.",
    )


def _from_labels(
    options: AreaOptions, mapped: MapFile, legend: Legend, areas: NDArray[np.float64]
) -> AreaResult:
    """Estimate from a split of a dataset; the interval comes from a bootstrap over its groups."""
    reference = DatasetReference(Dataset(options.reference), options.split, [mapped])
    if [c.map_code for c in reference.legend.trained] != [c.map_code for c in legend.trained]:
        theirs, ours = (
            [f"{c.map_code} {c.name}" for c in x.trained] for x in (reference.legend, legend)
        )
        raise DataError(
            f"its classes are {', '.join(theirs)}, and the map's are {', '.join(ours)}",
            file=options.reference,
            fix="Prepare the dataset with the map's classes",
        )
    mapper = MapPredictor(mapped, reference.legend)
    counts = [
        count(reference, place, mapper.look(reference, place))
        for place in track(reference.places, "comparing", len(reference.places))
    ]
    groups = by_group([c.place.group for c in counts], [c.matrix.T for c in counts])
    matrix = groups.sum(axis=0)
    estimate = _estimate(areas, matrix, legend, options)
    intervals: list[Any] = [None] * len(areas)
    overall = None
    if len(groups) >= FEWEST:
        draws = resampled(
            groups, lambda drawn: np.stack([_drawn(areas, matrix) for matrix in drawn])
        )
        *intervals, overall = (interval(column) for column in draws.T)
    return _result(
        legend,
        estimate,
        matrix,
        intervals,
        overall,
        f"held-out labels: {int(matrix.sum())} labeled pixels of {len(groups)} group(s) of the {options.split} split"
        + ("" if len(groups) >= FEWEST else f"; no interval, for which {FEWEST} groups are needed"),
        "Within each mapped class, the labeled ground is like all ground that the map covers: no rarer, easier or harder. "
        "Labels were chosen by people, not drawn at random, so nothing guarantees that; a sample (`swath sample`) would.",
    )


def _drawn(areas: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return areas in hectares and overall accuracy of one bootstrap draw; NaN where a mapped class was not drawn."""
    size = matrix.sum(axis=1)
    if ((areas > 0) & (size == 0)).any():
        return np.full(len(areas) + 1, np.nan)
    share = matrix / np.maximum(size, 1)[:, None]
    return np.append(areas @ share / HECTARE, areas @ np.diag(share) / areas.sum())


def _estimate(
    areas: NDArray[np.float64], matrix: NDArray[Any], legend: Legend, options: AreaOptions
) -> AreaEstimate:
    for c, meters, checked in zip(legend.trained, areas, matrix.sum(axis=1), strict=True):
        if meters > 0 and checked < 2:
            raise DataError(
                f"{checked} of its units lie where the map shows {c.name}, and two are needed at least",
                file=options.reference,
                fix="Check more points there (`swath sample` draws some in every class)",
            )
    return estimate_areas(areas, matrix)


def _count_points(features: Features, mapped: MapFile, legend: Legend) -> NDArray[np.int64]:
    """Count points by mapped (rows) and true class (columns)."""
    n = len(legend.trained)
    matrix = np.zeros((n, n), np.int64)
    back = ~mapped.grid.affine
    for point, value in zip(features.to_crs(mapped.grid.crs), features.values, strict=True):
        if point.geom_type != "Point":
            raise DataError(
                "it holds other shapes than points",
                file=features.path,
                fix="Give the layer of `swath sample`",
            )
        col, row = (int(np.floor(v)) for v in back @ (point.x, point.y))
        if not (0 <= row < mapped.grid.height and 0 <= col < mapped.grid.width):
            raise DataError(
                f"the point at {point.x:g}, {point.y:g} lies outside the map",
                file=features.path,
                fix="Delete it",
            )
        shown = int(legend.encode(mapped.codes(Window(row, col, 1, 1)))[0, 0])
        if shown == IGNORE:
            raise DataError(
                f"the map has no data at {point.x:g}, {point.y:g}",
                file=features.path,
                fix="Delete that point",
            )
        matrix[shown, _class_of(value, legend, features)] += 1
    return matrix


def _class_of(value: Any, legend: Legend, features: Features) -> int:
    """Return the class that a person wrote: its name or its code."""
    for i, c in enumerate(legend.trained):
        if str(value).strip().lower() in (c.name.lower(), str(c.map_code)):
            return i
    listed = ", ".join(f"{c.map_code} ({c.name})" for c in legend.trained)
    raise DataError(
        f"column {features.field!r} holds {value!r}, which is no class of the map",
        file=features.path,
        fix=f"Write one of {listed}; a class that the map never shows cannot be estimated",
    )


def _result(
    legend: Legend,
    estimate: AreaEstimate,
    matrix: NDArray[Any],
    intervals: list[Any],
    overall: Any,
    method: str,
    assumes: str,
) -> AreaResult:
    return AreaResult(
        classes=[
            ClassArea(
                name=c.name,
                code=c.map_code,
                mapped=float(estimate.mapped[i] / HECTARE),
                area=float(estimate.area[i] / HECTARE),
                interval=intervals[i],
                users=known(estimate.users[i]),
                producers=known(estimate.producers[i]),
                checked=int(matrix[i].sum()),
            )
            for i, c in enumerate(legend.trained)
        ],
        overall=estimate.overall,
        overall_interval=overall,
        method=method,
        assumes=assumes,
        matrix=matrix.tolist(),
    )
