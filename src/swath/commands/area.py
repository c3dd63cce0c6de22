"""`swath area`: hectares of each class, corrected for the map's errors, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command
from swath.data.dataset import Dataset
from swath.errors import DataError, UsageError
from swath.evaluation.points import count_points
from swath.evaluation.reference import DatasetReference
from swath.evaluation.results import known
from swath.evaluation.scoring import MapPredictor, score_areas
from swath.evaluation.strata import Strata
from swath.geo.pixel_area import HECTARE, PixelAreas
from swath.io.map_reader import MapFile
from swath.legend import LandClass, Legend
from swath.metrics.area_estimation import Z_95, AreaEstimate, estimate_areas, estimate_strata
from swath.metrics.bootstrap import MIN_GROUPS, by_group, interval, resampled
from swath.options import AreaOptions
from swath.progress import track
from swath.types import Result

MIN_CHECKED = 2
"""Reference units that the variance of a mapped class needs."""


class ClassArea(Result):
    """The area of one class, in hectares.

    Attributes:
        name: of the class.
        code: its map code.
        mapped: area by counting pixels.
        area: error-adjusted estimate.
        interval: 95% interval of the estimate; None where it is unknown.
        users: share of the area mapped as the class that is of it (precision).
        producers: share of the class's area that is mapped as it (recall).
        checked: units of the reference that are mapped as the class (points, or labeled pixels).
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
    """Areas with confidence intervals.

    Attributes:
        classes: each class.
        overall: share of the whole area that is mapped right.
        overall_interval: 95% interval of it.
        unit: always hectares.
        method: where the estimates come from.
        assumes: what must hold for the estimates to be right.
        matrix: units by mapped (rows) and reference class (columns).
        change: areas and accuracies of change and of no change, of a map of change.
        warnings: that points of the sample are missing or were moved, or the map has changed.
    """

    classes: list[ClassArea]
    overall: float
    overall_interval: tuple[float, float] | None
    unit: str = "hectares"
    method: str
    assumes: str
    matrix: list[list[int]]
    change: list[ClassArea] = []
    warnings: list[str] = []


@command(AreaOptions)
def area(options: AreaOptions) -> AreaResult:
    """Estimate the area of each mapped class from labeled points or from held-out labels.

    Raises:
        DataError: the map or the reference is damaged, they do not fit each other, or a mapped
            class has too few reference units.
        UsageError: the map is one of change, and the reference a dataset.
    """
    from_labels = Path(options.reference).is_dir()
    with MapFile(options.map) as source:
        if from_labels and source.transitions is not None:
            message = "The reference is a dataset, whose labels are of one date, not of a change"
            fix = "Give points of `swath sample`"
            raise UsageError(message, code="option-conflict", file=options.reference, fix=fix)
        with Strata(source) as strata:
            measured = strata.measure(PixelAreas(source.grid, options.pixel, options.map))
            if from_labels:
                return _estimate_from_labels(options, source, strata.legend, measured.mapped)
            sample = count_points(options, source, strata, measured)
    legend, counts = sample.legend, sample.counts
    wanted = np.minimum(MIN_CHECKED, measured.pixels)
    _check_strata(strata.names, measured.areas, counts.sum(axis=(1, 2)), wanted, options)
    mapped = np.append(measured.mapped, np.zeros(len(legend.trained) - len(measured.mapped)))
    estimate = estimate_strata(measured.areas, counts.astype(np.float64), mapped, measured.pixels)
    matrix = counts.sum(axis=0)
    source_text = "Olofsson et al. 2014"
    if strata.names != strata.legend.names:
        source_text += "; possible changes are a stratum of their own, Stehman 2014"
    result = _result(
        legend,
        estimate,
        matrix,
        _intervals(estimate),
        f"stratified estimator on {int(matrix.sum())} checked points ({source_text})",
        "The points were drawn at random within each mapped class, as `swath sample` draws them "
        "from this very map, all of them were checked, and what the person saw is true.",
    )
    result = result.model_copy(update={"warnings": list(sample.warnings)})
    if source.transitions is None:
        return result
    # Change and no change alone, by the same strata.
    changes = np.isin([c.map_code for c in legend.trained], source.transitions.changes)
    kind = np.stack([~changes, changes], axis=1).astype(np.float64)
    joined = np.einsum("hij,ia,jb->hab", counts, kind, kind)
    both = estimate_strata(measured.areas, joined, mapped @ kind, measured.pixels)
    kinds = Legend(
        tuple(LandClass(name, (i,), i, "#000000") for i, name in enumerate(("no change", "change")))
    )
    change = _result(kinds, both, joined.sum(axis=0), _intervals(both), "", "").classes
    return result.model_copy(update={"change": change[::-1]})


def _intervals(estimate: AreaEstimate) -> list[Any]:
    """Return the 95% intervals of the areas in hectares, and of the overall accuracy."""
    center, spread = estimate.area / HECTARE, Z_95 * estimate.area_error / HECTARE
    intervals = np.stack([np.maximum(0, center - spread), center + spread], axis=1).tolist()
    edge = Z_95 * estimate.overall_error
    return [*intervals, (max(0.0, estimate.overall - edge), min(1.0, estimate.overall + edge))]


def _estimate_from_labels(
    options: AreaOptions, source: MapFile, legend: Legend, areas: NDArray[np.float64]
) -> AreaResult:
    """Estimate from a split of a dataset; the interval comes from a bootstrap over its groups."""
    reference = DatasetReference(Dataset(options.reference), options.split, [source])
    ours, theirs = ([(c.map_code, c.name) for c in x.trained] for x in (legend, reference.legend))
    codes = [code for code, _ in ours]
    if {code for code, _ in theirs} != set(codes):
        mine, other = (", ".join(f"{code} {name}" for code, name in x) for x in (ours, theirs))
        raise DataError(
            f"The dataset's classes are {other}, and the map's are {mine}",
            code="classes-differ",
            file=options.reference,
            fix="Prepare the dataset with the map's classes",
        )
    legend, areas = reference.legend, areas[[codes.index(code) for code, _ in theirs]]
    scored = score_areas(reference, MapPredictor(source, legend))
    scores = list(track(scored, "comparing", len(reference.areas)))
    groups = by_group([s.area.group for s in scores], [s.matrix.T for s in scores])
    matrix = groups.sum(axis=0)
    estimate = _estimate(areas, matrix, legend, options)
    intervals: list[Any] = [None] * (len(areas) + 1)
    method = (
        f"held-out labels: {int(matrix.sum())} labeled pixels of {len(groups)} group(s) "
        f"of the {options.split} split"
    )
    if len(groups) >= MIN_GROUPS:
        draws = resampled(groups, lambda drawn: np.stack([_draw_areas(areas, m) for m in drawn]))
        intervals = [interval(column) for column in draws.T]
    else:
        method += f"; no interval, for which {MIN_GROUPS} groups are needed"
    return _result(
        legend,
        estimate,
        matrix,
        intervals,
        method,
        "Within each mapped class, the labeled area is like the whole area that the map covers: no "
        "rarer, easier or harder. Labels were chosen by people, not drawn at random, so nothing "
        "guarantees that; a sample (`swath sample`) would.",
    )


def _draw_areas(areas: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return hectares and overall accuracy of one bootstrap draw; NaN if it lacks a class."""
    size = matrix.sum(axis=1)
    if ((areas > 0) & (size == 0)).any():
        return np.full(len(areas) + 1, np.nan)
    share = matrix / np.maximum(size, 1)[:, None]
    return np.append(areas @ share / HECTARE, areas @ np.diag(share) / areas.sum())


def _estimate(
    areas: NDArray[np.float64], matrix: NDArray[Any], legend: Legend, options: AreaOptions
) -> AreaEstimate:
    wanted = np.full(len(areas), MIN_CHECKED)
    _check_strata(legend.names, areas, matrix.sum(axis=1), wanted, options)
    return estimate_areas(areas, matrix)


def _check_strata(
    names: Sequence[str],
    areas: NDArray[np.float64],
    checked: NDArray[Any],
    wanted: NDArray[Any],
    options: AreaOptions,
) -> None:
    for name, meters, count, least in zip(names, areas, checked, wanted, strict=True):
        if meters > 0 and count < least:
            raise DataError(
                f"The reference has {count:.0f} unit(s) where the map shows {name}, "
                f"and needs {least}",
                code="too-few-points",
                file=options.reference,
                fix="Label more points there (`swath sample` draws some in every class)",
            )


def _result(
    legend: Legend,
    estimate: AreaEstimate,
    matrix: NDArray[Any],
    intervals: list[Any],
    method: str,
    assumes: str,
) -> AreaResult:
    """Collect the result; the last interval is that of the overall accuracy."""
    classes = [
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
    ]
    return AreaResult(
        classes=classes,
        overall=estimate.overall,
        overall_interval=intervals[-1],
        method=method,
        assumes=assumes,
        matrix=matrix.tolist(),
    )
