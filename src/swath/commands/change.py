"""`swath change`: what became what between maps of two or more dates, and how many hectares."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from swath.commands.base import (
    check_ending,
    command,
    missing_report_package,
    peak_rss_bytes,
)
from swath.commands.predict import MAP_ENDINGS, predict
from swath.io.atomic import refuse_replaced
from swath.io.map_reader import beside
from swath.io.qgis import style_path
from swath.io.work_folder import open_store
from swath.mapping.change.dates import check_order
from swath.mapping.change.job import OTHER_NAME, ChangedMap, ChangeJob, outputs_of
from swath.mapping.inputs import find_inputs
from swath.mapping.plan import PLAN
from swath.models.model import Model
from swath.options import ChangeOptions, command_line
from swath.transitions import DATES, Transitions
from swath.types import Result


class TransitionArea(Result):
    """One transition of a map of change.

    Attributes:
        old: name of the old class.
        new: name of the new class.
        code: in the map.
        pixels: number of its pixels.
        hectares: their area on the ellipsoid, as counted; None where the size of pixels is unknown.
        confidence: mean percent of change of its pixels; None without probabilities.
    """

    old: str
    new: str
    code: int
    pixels: int
    hectares: float | None
    confidence: float | None


class DateChange(Result):
    """What changed at one date of a series.

    Attributes:
        date: such as `2018` or `2018-06-30`.
        map: path of its consistent map.
        data: pixels where the given map has data.
        changed: pixels that changed since the date before.
        hectares: their area; None where the size of pixels is unknown.
    """

    date: str
    map: str
    data: int
    changed: int
    hectares: float | None


class ChangeResult(Result):
    """What has changed, of a series from its first date to its last.

    Attributes:
        change: path of the map of change.
        files: all files that were written.
        classes: names of the classes of both dates.
        transitions: what became what, the largest changes first; then what did not change.
        pixels: of the map, with or without data.
        changed: pixels that changed.
        hectares: their area; None where the size of pixels is unknown.
        differ: pixels whose mapped classes differ, as plain differencing counts them.
        unsure: of these, pixels that are not change because that is not sure enough.
        shifted: pixels that are not change because a shift between the maps explains it.
        old_only: pixels that have data in the old map alone; 0 in a series.
        new_only: pixels that have data in the new map alone; 0 in a series.
        at_least: probability from which a pixel is changed; None without probabilities.
        prior: probability of change before a pixel is seen, from one date to the next; None
            without probabilities.
        estimated: whether the prior was estimated from the maps.
        dates: the dates of a series; empty for two maps.
        counts: pixels of a series by the number of their changes, 0 first.
        polygons: number of polygons, None where none were asked for.
        seconds: wall time.
        report: path of the page, None without one.
        peak_rss_bytes: largest resident memory of a process.
        warnings: what makes the change worse: other grids, maps without probabilities.
    """

    change: str
    files: list[str]
    classes: list[str]
    transitions: list[TransitionArea]
    pixels: int
    changed: int
    hectares: float | None
    differ: int
    unsure: int
    shifted: int
    old_only: int
    new_only: int
    at_least: float | None
    prior: float | None
    estimated: bool
    dates: list[DateChange]
    counts: list[int]
    polygons: int | None
    seconds: float
    peak_rss_bytes: int
    report: str | None = None
    warnings: list[str] = []


@command(ChangeOptions)
def change(options: ChangeOptions) -> ChangeResult:
    """Compare maps of two or more dates.

    With probabilities beside the maps, the probability of change of a pixel follows from them
    (see `swath.mapping.change.posterior`), and a change counts from `at_least` on. With `dates`,
    the maps are made consistent (see `swath.mapping.change.chain`): a pixel changes where that is
    likelier than an error, and a date without data has the class of the date before. Finished tiles
    lie in a folder beside the output until it is whole; the same command continues from there.

    Raises:
        DataError: a map is damaged, or the maps do not fit each other.
        UsageError: an output is an input, or options do not go together.
        JobError: a file cannot be written, or parts of another change are in the way.
    """
    write = None if options.report is None else _report_writer()
    start, target = time.monotonic(), options.target
    check_ending(target, MAP_ENDINGS, "CHANGE")
    if options.table is not None:
        check_ending(options.table, (".csv",), "--table")
    maps = [str(path) for path in options.files[:-1]]
    said = [] if options.dates else check_order(*map(str, options.files[-3:-1]))
    stamps: dict[str, str] = {}
    if options.with_model:
        _check_outputs(options)
        maps, more = _predict_both(options)
        said += more
        stamps = {path: _prediction(path) for path in maps}
    job = ChangeJob(options, maps, target, stamps)
    found = job.run()
    if options.with_model:
        for path in maps:  # kept until now, so that an interrupted comparison begins with them
            open_store(_parts_of(path)).clear()
    result = _result(options, found, [*said, *job.warnings, *_hidden_change(found)], start)
    if write is None or options.report is None:
        return result
    images = options.files[1:-1] if options.with_model else []
    page = write(
        *(options.report, target, result.model_dump(mode="json"), command_line(options)),
        images=images,
        pixel=options.pixel,
    )
    return result.model_copy(update={"report": str(page)})


def _report_writer() -> Callable[..., Path]:
    """Return what writes the page; tell before any work where its packages are missing."""
    try:
        from swath.reports.change import write_change_report
    except ImportError as error:
        raise missing_report_package(error) from error
    return write_change_report


def _date_maps(options: ChangeOptions) -> list[Path]:
    """Return the map of each date that a model makes."""
    return [beside(options.target, date) for date in DATES]


def _check_outputs(options: ChangeOptions) -> None:
    """Refuse outputs that are one of both images or the model, before anything is predicted.

    Raises:
        UsageError: an output is an input, or two have one name.
    """
    model, *images = options.files[:-1]
    maps = _date_maps(options)
    beside_maps = (path for m in maps for path in (beside(m, "probabilities"), style_path(m)))
    outputs = [*outputs_of(options, True), *maps, *beside_maps]
    bands = Model(model).card.image_bands
    found = (source for image in images for source in find_inputs(image, bands))
    read = (name for source in found for name in source.all_files())
    refuse_replaced(outputs, chain([model], read), OTHER_NAME)


def _predict_both(options: ChangeOptions) -> tuple[list[str], list[str]]:
    """Map both images beside the output; return the maps, and what was said of them."""
    model, *images = options.files[:-1]
    maps, said = [], []
    for image, path in zip(images, _date_maps(options), strict=True):
        result = predict(
            *(model, image, path),
            probabilities=True,
            keep_parts=True,
            workers=options.workers,
            restart=options.restart,
        )
        maps.append(str(path))
        said += result.warnings
    return maps, said


def _hidden_change(found: ChangedMap) -> list[str]:
    """Return a warning where maps differ much and nearly all of it counts as errors of the maps."""
    plan, differ = found.plan, found.tally["differ"]
    changed = sum(row.pixels for row in found.rows if row.old != row.new)
    changed = sum(found.counts[1:]) or changed
    compared = sum(row.pixels for row in found.rows)
    estimated = plan.asked.prior is None and plan.prior_change is not None
    if not estimated or differ < 0.01 * compared or changed >= 0.02 * differ:
        return []
    return [
        f"The maps differ at {differ / max(1, compared):.1%} of the pixels, and nearly all of it "
        "counts as errors of the maps, by their probabilities. Change that is rarer than these "
        "errors is not found. Give --prior 0.02 if about 2% changed, or check points of "
        "`swath sample`, which estimate the area of change without the map's help."
    ]


def _prediction(path: str) -> str:
    """Return a digest of all that the bytes of a map depend on, from its kept parts."""
    return hashlib.sha256(open_store(_parts_of(path)).get(PLAN) or b"").hexdigest()


def _parts_of(path: str) -> str:
    return f"{Path(path).resolve()}.parts"


def _result(
    options: ChangeOptions, found: ChangedMap, warnings: list[str], start: float
) -> ChangeResult:
    plan, tally = found.plan, found.tally
    transitions = Transitions(plan.asked.land_classes)
    names = [c.name for c in transitions.classes]
    changes = [row for row in found.rows if row.old != row.new]
    hectares = [row.hectares for row in changes if row.hectares is not None]
    least = plan.asked.at_least
    return ChangeResult(
        change=str(options.target),
        files=found.files,
        classes=names,
        transitions=[
            TransitionArea(
                old=names[row.old],
                new=names[row.new],
                code=row.code,
                pixels=row.pixels,
                hectares=row.hectares,
                confidence=row.confidence,
            )
            for row in found.rows
        ],
        pixels=plan.height * plan.width,
        changed=sum(row.pixels for row in changes),
        hectares=None if found.rows[0].hectares is None else sum(hectares),
        differ=tally["differ"],
        unsure=tally["unsure"],
        shifted=tally["shifted"],
        old_only=tally["old only"],
        new_only=tally["new only"],
        at_least=None if least is None else least / 100,
        prior=plan.prior_change,
        estimated=plan.asked.prior is None and plan.prior_change is not None,
        dates=[
            DateChange(
                date=label,
                map=str(beside(options.target, label)),
                data=row.held,
                changed=row.changed,
                hectares=row.hectares,
            )
            for label, row in zip(plan.asked.labels, found.dates, strict=True)
        ],
        counts=found.counts,
        polygons=None if options.polygons is None else found.polygons,
        seconds=time.monotonic() - start,
        peak_rss_bytes=peak_rss_bytes(),
        warnings=warnings,
    )
