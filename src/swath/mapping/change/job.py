"""One job of change: the maps, the files to write, and the finished tiles between them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise, starmap
from pathlib import Path

import numpy as np

from swath.errors import DataError, JobError, UsageError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.pixel_area import HECTARE, PixelAreas
from swath.io.atomic import atomic_file, exclusive, file_stamps, refuse_replaced
from swath.io.map_reader import check_percents, refuse_other_percents
from swath.io.map_writer import MapWriter
from swath.io.qgis import style_path, write_style
from swath.io.raster import open_raster
from swath.io.work_folder import open_store
from swath.legend import MAX_CLASSES, LandClass, Legend
from swath.mapping.change import outputs as files
from swath.mapping.change.classes import join_classes
from swath.mapping.change.dated_map import (
    DatedMap,
    check_place,
    files_of,
    find_evidence,
    match_bands,
    open_map,
)
from swath.mapping.change.dates import read_dates
from swath.mapping.change.outputs import TransitionRow
from swath.mapping.change.plan import ChangePlan, ChangeRequest, freeze_plan, no_common_pixel
from swath.mapping.change.series import open_worker
from swath.mapping.change.tiles import TALLY
from swath.mapping.tile_store import PARTS, TileStore
from swath.mapping.worker_pool import LocalPool, count_done, run_in_pool
from swath.options import ChangeOptions
from swath.progress import task
from swath.transitions import Transitions

AT_LEAST = 0.8
"""Probability from which a pixel is taken as changed by default."""


ACCURACY = 0.9
"""Accuracy that maps of a series without probabilities are taken to have."""


@dataclass(frozen=True)
class DateRow:
    """A date of a series.

    Attributes:
        held: pixels whose map has data.
        changed: pixels that changed at this date.
        hectares: their area; None where the size of pixels is unknown.
    """

    held: int
    changed: int
    hectares: float | None


@dataclass(frozen=True)
class ChangedMap:
    """What came of a job.

    Attributes:
        plan: the plan.
        rows: all transitions that the map holds, those of changes first, the largest first.
        tally: pixels by what was counted of them, as `TALLY` names it.
        counts: pixels by the number of their changes, of a series.
        dates: what changed at each date of a series.
        files: paths of all files.
        polygons: number of polygons.
    """

    plan: ChangePlan
    rows: list[TransitionRow]
    tally: dict[str, int]
    counts: list[int] = field(default_factory=list)
    dates: list[DateRow] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    polygons: int = 0


OTHER_NAME = "Give CHANGE, --polygons or --table another name"
"""Mend of an output that is an input."""


def outputs_of(
    options: ChangeOptions, with_confidence: bool, dates: Sequence[str] = ()
) -> list[Path]:
    """Return all files that a comparison writes."""
    rasters = files.rasters_of(options.target, with_confidence, dates)
    given = [options.polygons, options.table]
    out = [*rasters.values(), *(Path(path) for path in given if path is not None)]
    styled = [style_path(path) for name, path in rasters.items() if name != "confidence"]
    return [*out, *styled, files.table_path(options.target)]


class ChangeJob:
    """Compares maps of two or more dates.

    Args:
        options: what the user asked for.
        maps: the maps, oldest first.
        target: path of the map of change.
        stamps: what fixes the content of the maps, by their paths, where it is not their size and
            time: they may be written anew while a comparison is interrupted.

    Attributes:
        warnings: what makes the change worse, once the maps were opened.
    """

    def __init__(
        self,
        options: ChangeOptions,
        maps: Sequence[str],
        target: Path,
        stamps: Mapping[str, str] | None = None,
    ) -> None:
        self._options, self._maps, self._target = options, list(maps), target
        self._stamps = dict(stamps or {})
        self.warnings: list[str] = []
        self._root = f"{target.resolve()}.change-parts"
        self._store = open_store(self._root)

    def run(self) -> ChangedMap:
        """Compare the maps, or continue an unfinished comparison; all files appear at the end.

        Raises:
            DataError: a map is damaged, or the maps do not fit each other.
            UsageError: options do not go together, or an output is an input.
            JobError: a file cannot be written, parts of another change are in the way, or a map
                changes meanwhile.
        """
        options, store = self._options, self._store
        labels = read_dates(self._maps) if options.dates else ()
        with exclusive(self._target):
            dates, classes, grid = self._open()
            kinds = {date.kind for date in dates}
            least = self._least(kinds)
            inputs = [name for date in dates for name in files_of(date)]
            kept = [*inputs, *(str(style_path(Path(path))) for path in self._maps)]
            refuse_replaced(outputs_of(options, kinds != {"certain"}, labels), kept, OTHER_NAME)
            state = file_stamps(inputs)
            asked = ChangeRequest(
                dates=tuple(dates),
                classes=tuple((c.name, c.map_code, c.color) for c in classes),
                files=self._stamps or state,
                at_least=least,
                shift=options.shift,
                prior=options.prior,
                labels=labels,
            )
            if options.restart:
                store.clear()
            plan = freeze_plan(store, asked, grid)
            try:
                self._make_tiles(plan)
            finally:
                if not store.holds(PARTS):
                    store.clear()
            if file_stamps(inputs) != state:
                message = "A map has changed while it was compared"
                fix = "Leave the files alone, and give the same command again with --restart"
                raise JobError(message, code="file-changed", file=self._target, fix=fix)
            changed = self._join(plan)
            store.clear()
        return changed

    def _open(self) -> tuple[list[DatedMap], tuple[LandClass, ...], GeoBox]:
        """Open the maps, and join their classes."""
        opened = [open_map(path) for path in self._maps]
        legends, grids = [o[0] for o in opened], [o[1] for o in opened]
        joined = join_classes(self._maps, legends, self._options.classes)
        dates = []
        for path, legend, grid, indices in zip(
            self._maps, legends, grids, joined.indices, strict=True
        ):
            said = check_place(path, grid, self._maps[0], grids[0])
            self.warnings += [said] if said else []
            kind, percents = find_evidence(path)
            bands: tuple[int, ...] = ()
            if percents is not None:
                if not _grid_of(percents).same_as(grid):
                    message = f"The grid is not that of {path}"
                    fix = "Predict the map anew, or move that file away"
                    raise DataError(message, code="grid-mismatch", file=percents, fix=fix)
                refuse_other_percents(percents, path)
                if kind == "probabilities":
                    bands = match_bands(percents, path, legend, indices)
                else:
                    with open_raster(percents) as dataset:
                        check_percents(dataset, percents)
            count = len(joined.classes)
            accuracy = self._accuracy if percents is None else None
            if accuracy is not None:
                kind = "accuracy"
            dates.append(
                DatedMap(
                    path=str(Path(path).resolve()),
                    kind=kind,
                    percents=None if percents is None else str(Path(percents).resolve()),
                    bands=bands,
                    indices=indices,
                    classes=count,
                    accuracy=accuracy,
                )
            )
        return dates, joined.classes, grids[0]

    @property
    def _accuracy(self) -> int | None:
        """Percent of the pixels of a map without probabilities that are right; None for all."""
        given = self._options.accuracy
        if given is None and self._options.dates:
            given = ACCURACY
        return None if given is None else min(99, max(1, round(100 * given)))

    def _warn_of_accuracy(self, bare: list[str]) -> None:
        """Warn where maps without probabilities are taken to have the accuracy of no one."""
        if bare and self._options.dates and self._options.accuracy is None:
            self.warnings.append(
                f"{', '.join(bare)} {'has' if len(bare) == 1 else 'have'} no probabilities beside; "
                f"an accuracy of {ACCURACY:.0%} is assumed. --accuracy gives another."
            )

    def _least(self, kinds: Collection[str]) -> int | None:
        """Return the percent from which a pixel has changed; None where nothing tells it."""
        options = self._options
        if set(kinds) == {"certain"}:
            for flag, value in (("--at-least", options.at_least), ("--prior", options.prior)):
                if value is not None:
                    message = f"{flag} needs probabilities, and no map has any beside it"
                    fix = (
                        "Predict the maps with `swath predict --probabilities`, tell their "
                        f"accuracy (--accuracy 0.9), or leave out {flag}"
                    )
                    raise UsageError(message, code="no-probabilities", fix=fix)
            self.warnings.append(
                "No map has probabilities beside it, so each difference between the maps is taken "
                "as change, errors of the maps too: predict both with --probabilities, or tell how "
                "accurate they are, such as --accuracy 0.9."
            )
            return None
        bare = [path for path in self._maps if find_evidence(path)[1] is None]
        self._warn_of_accuracy(bare)
        if "certain" in kinds:
            self.warnings.append(
                f"{', '.join(bare)} has no probabilities beside it, and is taken as certain."
            )
        least = AT_LEAST if options.at_least is None else options.at_least
        return max(1, math.ceil(100 * least - 1e-9))

    def _make_tiles(self, plan: ChangePlan) -> None:
        tiling, workers = plan.tiling, self._options.workers or 1
        parts = TileStore(self._store, plan.digest)
        with task(f"comparing {self._target.name}", plan.height * plan.width, "pixels") as bar:
            missing = count_done(parts.missing(len(tiling)), tiling, bar)
            first = next(missing, None)
            if first is None:
                return
            todo = chain([first], missing)
            if workers == 1:
                with closing(open_worker(plan.model_dump_json(), self._root)) as worker:
                    for size in worker.work(todo):
                        bar.advance(size)
                return
            pool = LocalPool(open_worker, plan.model_dump_json(), self._root, workers)
            run_in_pool(pool, tiling, todo, bar)

    def _join(self, plan: ChangePlan) -> ChangedMap:
        """Write all files from the parts."""
        options, target = self._options, self._target
        labels, classes = plan.asked.labels, plan.asked.land_classes
        transitions = Transitions(classes, bool(plan.prior))
        layers = files.layers_of(target, transitions, labels, Legend(classes))
        made = [str(layer.path) for layer in layers]
        with ExitStack() as stack:
            # The map is opened first, so it is put in place last.
            partial = {la.name: stack.enter_context(atomic_file(la.path)) for la in layers}
            writers = {
                la.name: stack.enter_context(
                    closing(MapWriter(partial[la.name], plan.grid, la.kind))
                )
                for la in layers
            }
            changed = self._write_tiles(plan, writers, transitions)
            rows = changed.rows
            if not rows:
                self._store.clear()
                raise no_common_pixel(self._maps)
            if len(rows) > MAX_CLASSES:
                self.warnings.append(
                    f"The map has {len(rows)} transitions; `swath sample` and `swath area` take at "
                    f"most {MAX_CLASSES}. Join classes with --classes."
                )
            writers["codes"].tag(files.class_tags(transitions, rows))
            for label, path, row in zip(labels, self._maps, changed.dates, strict=False):
                if not row.held:
                    self.warnings.append(f"{path}, of {label}, has no data on the grid.")
            for one in writers.values():
                one.finish()
            if options.table is not None:
                made.append(str(options.table))
                files.write_table(
                    stack.enter_context(atomic_file(options.table)), transitions, rows
                )
            count = 0
            if options.polygons is not None:
                made.append(str(options.polygons))
                layer = stack.enter_context(atomic_file(options.polygons))
                count = files.write_changes(
                    *(layer, partial["codes"], partial.get("confidence"), transitions),
                    target=Path(options.polygons),
                    min_area=options.min_area,
                )
            made.append(str(files.table_path(target)))
            table = stack.enter_context(atomic_file(files.table_path(target)))
            table.write_text(files.attribute_table(transitions, rows), encoding="utf-8")
            codes = [row.code for row in rows[:MAX_CLASSES]]
            write_style(target, transitions.legend(codes))
            for la in layers:
                if la.legend is not None:
                    write_style(la.path, la.legend)
                style = style_path(la.path)
                made += [str(style)] if la.name != "confidence" and style.exists() else []
        return replace(changed, files=made, polygons=count)

    def _write_tiles(
        self, plan: ChangePlan, writers: dict[str, MapWriter], transitions: Transitions
    ) -> ChangedMap:
        """Write all parts; return the transitions, and what was counted."""
        size = 1 + int(transitions.table.max())
        pixels, meters, percents = np.zeros(size, np.int64), np.zeros(size), np.zeros(size)
        tally = np.zeros(len(TALLY), np.int64)
        areas, labels = self._areas(plan.grid), plan.asked.labels
        counts, held = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
        moved, moved_meters = np.zeros(len(labels), np.int64), np.zeros(len(labels))
        parts = TileStore(self._store, plan.digest)
        for i, tile in enumerate(plan.tiling):
            part = parts.require(i, self._target)
            for layer, writer in writers.items():
                writer.write(part[layer], tile.core)
            codes = part["codes"].ravel()
            pixels += np.bincount(codes, minlength=size)
            each = None if areas is None else areas.of(tile.core)
            if each is not None:
                meters += np.bincount(codes, each.ravel(), size)
            if "confidence" in writers:
                percents += np.bincount(codes, part["confidence"].ravel(), size)
            tally += part["tally"]
            if labels:
                counts += np.bincount(part["changes"].ravel(), minlength=256)[: len(labels)]
                held += part["held"]
                for t, (before, label) in enumerate(pairwise(labels), 1):
                    mask = part[before] != part[label]
                    moved[t] += mask.sum()
                    if each is not None:
                        moved_meters[t] += each[mask].sum()
        sure = "confidence" in writers
        rows = [
            TransitionRow(
                *transitions.split(int(code)),
                int(code),
                int(pixels[code]),
                None if areas is None else float(meters[code] / HECTARE),
                float(percents[code] / pixels[code]) if sure else None,
            )
            for code in np.flatnonzero(pixels)
            if code
        ]
        rows.sort(key=lambda row: (row.old == row.new, -row.pixels))
        hectares = [None] * len(labels) if areas is None else (moved_meters / HECTARE).tolist()
        columns = zip(held.tolist(), moved.tolist(), hectares, strict=True)
        told = dict(zip(TALLY, tally.tolist(), strict=True))
        return ChangedMap(plan, rows, told, counts.tolist(), list(starmap(DateRow, columns)))

    def _areas(self, grid: GeoBox) -> PixelAreas | None:
        """Return the areas of pixels; None, with a warning, where their size is unknown."""
        try:
            return PixelAreas(grid, self._options.pixel, self._maps[0])
        except DataError as error:
            self.warnings.append(f"No hectares: {error.message}. {error.fix}.")
            return None


def _grid_of(path: str) -> GeoBox:
    with open_raster(path) as dataset:
        return geobox_of(dataset)
