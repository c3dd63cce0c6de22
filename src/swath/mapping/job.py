"""One prediction job: an image, the files to write, and the finished tiles between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from swath.errors import JobError
from swath.io import map_writer
from swath.io.atomic import atomic_file, exclusive, hidden_path, refuse_replaced
from swath.io.map_reader import beside
from swath.io.map_writer import MapKind, MapWriter
from swath.io.qgis import style_path, write_style
from swath.io.quality import QualityTally
from swath.io.work_folder import open_store
from swath.legend import Legend
from swath.mapping import plan as plans
from swath.mapping.inputs import ImageInput, InputImage
from swath.mapping.opening import (
    check_band_count,
    odd_numbers,
    open_for_model,
    unlike_training,
)
from swath.mapping.plan import OutputLayer, Plan, PredictionRequest, freeze_plan
from swath.mapping.polygons import polygonize, write_polygons
from swath.mapping.result_check import check_result
from swath.mapping.suggestions.regions import write_review
from swath.mapping.tile_store import PARTS, TileStore
from swath.mapping.workers import run_plan
from swath.models.model import Model
from swath.options import PredictOptions
from swath.progress import task
from swath.types import Result

log = logging.getLogger(__name__)

OutputKind: TypeAlias = OutputLayer | Literal["polygons", "review", "style"]


@dataclass(frozen=True)
class MappedImage:
    """What came of a job; of a job that is only planned, the plan alone.

    Attributes:
        plan: the plan.
        files: paths of maps and vector layers.
        counts: number of pixels by class code.
        dropped: what quality layers tell of the pixels; None without layers.
    """

    plan: Plan
    files: list[str] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    dropped: QualityTally | None = None


class ImageRead(Result):
    """How an image was read.

    Attributes:
        file: the image, or its first file.
        bands: the image's own names of the bands, in the model's order.
        scaled: whether scale and offset, or decibels, were applied to a band.
        quality: files of the quality layers.
        warped: whether control points or RPCs place the image, and it was warped as it was read.
    """

    file: str
    bands: list[str]
    scaled: bool
    quality: list[str]
    warped: bool = False


class PredictionJob:
    """Maps one image.

    Args:
        options: what the user asked for.
        model: the open model.
        source: the image.
        target: path of the class map.
        compare: returns what is unlike the training data in an image, None where nothing is.

    Attributes:
        source: the image.
        outputs: path of every file that the job writes, by kind.
        read: how the image was read, once it was opened.
        warnings: what makes the map worse, once the image was opened.
    """

    def __init__(
        self,
        options: PredictOptions,
        model: Model,
        source: ImageInput,
        target: Path,
        compare: Callable[[InputImage], str | None] | None = None,
    ) -> None:
        self.source = source
        self.outputs = output_paths(options, target, model.card.heights)
        self.read: ImageRead | None = None
        self.warnings: list[str] = []
        self._odd_numbers, self._compare = False, compare
        self._options, self._model, self._target = options, model, target
        self._root = f"{target.resolve()}.parts"
        if options.parts is not None:
            folder = str(options.parts)
            folder = folder if "://" in folder else str(Path(folder).resolve())
            self._root = f"{folder}/{target.name}.parts"
        self._store = open_store(self._root)

    def plan(self, sample: bool = True) -> Plan:
        """Return a new plan, which is not kept.

        Args:
            sample: whether pixels are sampled, to warn of odd numbers.

        Raises:
            DataError: the image is damaged, or does not fit the model.
            JobError: the memory does not suffice for a tile, or the engine is not installed.
        """
        with self._open() as image:
            self._check(image, sample)
            return self._make_plan(self._request(image), image)

    def run(self, place: str = "") -> MappedImage:
        """Map the image, or continue an unfinished map; all outputs appear when all are whole.

        Args:
            place: of the job among others, for the title of its progress.

        Raises:
            DataError: the image is damaged, or does not fit the model.
            JobError: a file cannot be written, parts of another prediction are in the way, or the
                image changes meanwhile.
        """
        options, store = self._options, self._store
        with exclusive(self._target), self._open() as image:
            self._check(image)
            if options.restart:
                store.clear()
            asked = self._request(image)
            plan = freeze_plan(store, asked, lambda: self._make_plan(asked, image))
            name, pixels = f"predicting {self._target.name}{place}", plan.height * plan.width
            try:
                with task(name, pixels, "pixels") as bar:
                    run_plan(plan, self._model, self._root, options.workers, options.cluster, bar)
            finally:
                if not store.holds(PARTS):
                    store.clear()
            if self._request(image).files != plan.asked.files:
                message = "An image, mask or regions file has changed while it was mapped"
                fix = "Leave the files alone, and give the same command again with --restart"
                raise JobError(message, code="file-changed", file=image.name, fix=fix)
            mapped = self._join(plan, image)
            self._check_result(image, mapped)
            self._check_old_percents()
            if not options.keep_parts:
                store.clear()
        return mapped

    def _open(self) -> InputImage:
        self.source, image = open_for_model(self.source, self._model.card, self._warn)
        return image

    def _make_plan(self, asked: PredictionRequest, image: InputImage) -> Plan:
        workers = 1 if self._options.cluster else self._options.workers or 1
        return plans.make_plan(asked, self._model, image, workers)

    def _request(self, image: InputImage) -> PredictionRequest:
        options, model = self._options, self._model
        layers: list[OutputLayer] = [k for k in get_args(OutputLayer) if k in self.outputs]
        if "confidence" not in layers and {"polygons", "review"} & set(self.outputs):
            layers.insert(1, "confidence")
        settings = {
            "engine": options.engine,
            "precision": options.precision,
            "memory_gb": options.memory,
            "halo": options.halo,
            "threads": options.threads,
            "zoom": model.zoom(model.gsd_of(options.gsd, image.grid.gsd)),
        }
        return plans.make_request(model, self.source, image, layers, settings)

    def _check(self, image: InputImage, sample: bool = True) -> None:
        """Refuse an image of other bands than the model's; warn of what makes a map worse."""
        fix = "Give these bands, --band-order, or --stack FOLDER for bands in separate files"
        check_band_count(image, self._model.card, fix)
        self.read = ImageRead(
            file=image.name,
            bands=list(image.image.bands),
            scaled=image.image.is_scaled,
            quality=[layer.path for layer in self.source.quality],
            warped=image.image.is_warped,
        )
        odd = odd_numbers(image, self._model.card) if sample else []
        self._odd_numbers = bool(odd)
        if sample and not odd and self._compare is not None:
            far = self._compare(image)
            odd += [far] if far else []
        for text in (*odd, *unlike_training(image, self._model, self._options.gsd)):
            self._warn(text)

    def _check_result(self, image: InputImage, mapped: MappedImage) -> None:
        wrong = check_result(image, mapped.counts, self._model.card.legend, self._odd_numbers)
        if wrong is not None:
            self._warn(f"{image.name}: {wrong}")

    def _check_old_percents(self) -> None:
        """Warn of percents of an earlier map that are left beside the new one."""
        for kind in ("confidence", "probabilities"):
            old = beside(self._target, kind)
            if kind not in self.outputs and old.exists():
                self._warn(f"{old} is of an earlier map: remove it, or predict with --{kind}.")

    def _warn(self, text: str) -> None:
        log.warning(text)
        self.warnings.append(text)

    def _join(self, plan: Plan, image: InputImage) -> MappedImage:
        legend, outputs, target = self._model.card.legend, self.outputs, self._target
        kinds = map_kinds(legend)
        paths: dict[OutputLayer, Path] = {}
        writers: dict[OutputLayer, MapWriter] = {}
        with ExitStack() as stack:
            # The class map is opened first, so it is put in place last.
            for layer in plan.asked.layers:
                if layer in outputs:
                    paths[layer] = stack.enter_context(atomic_file(outputs[layer]))
                else:  # only polygons or review regions need the layer
                    scratch = hidden_path(target, f"partial.{layer}.tif")
                    paths[layer] = stack.enter_context(_removed_after(scratch))
            for layer, path in paths.items():
                extra = image.image.extra_georeferencing
                writer = MapWriter(path, image.grid, kinds[layer], extra)
                writers[layer] = stack.enter_context(closing(writer))
            counts = self._write_tiles(plan, writers)
            for kind, writer in writers.items():
                if kind in ("class", "confidence", "probabilities"):
                    writer.tag_mapped(counts)
            if self._options.sieve:
                sieved = writers["class"].sieve(self._options.sieve)
                counts = {code: sieved.get(code, 0) for code in counts}
            for writer in writers.values():
                writer.finish()
            self._write_vectors(paths, stack)
            write_style(target, legend)
        files = [str(path) for kind, path in outputs.items() if kind != "style"]
        dropped = None if image.quality is None else image.quality.count(image.grid)
        return MappedImage(plan, files, counts, dropped)

    def _write_tiles(self, plan: Plan, writers: dict[OutputLayer, MapWriter]) -> dict[int, int]:
        """Write all parts; return the number of pixels by class code."""
        legend, parts = self._model.card.legend, TileStore(self._store, plan.digest)
        counts = np.zeros(256, np.int64)
        for i, tile in enumerate(plan.tiling):
            part = parts.require(i, self._target)
            for layer, writer in writers.items():
                values = legend.decode(part[layer]) if layer == "class" else part[layer]
                writer.write(values, tile.core)
            counts += np.bincount(part["class"].ravel(), minlength=256)
        by_code = {c.map_code: int(n) for c, n in zip(legend.trained, counts, strict=False)}
        return by_code | {legend.nodata: int(counts[len(legend.trained) :].sum())}

    def _write_vectors(self, paths: dict[OutputLayer, Path], stack: ExitStack) -> None:
        how, outputs, legend = self._options, self.outputs, self._model.card.legend
        if "polygons" in outputs:
            area, smooth, confidence = how.min_area, how.simplify, paths["confidence"]
            polygons = polygonize(paths["class"], confidence, min_area=area, simplify=smooth)
            partial = stack.enter_context(atomic_file(outputs["polygons"]))
            write_polygons(partial, polygons, legend, outputs["polygons"])
        if "review" in outputs:
            given = paths["class"], paths["confidence"], legend
            write_review(*given, outputs["review"], how.review)


def map_kinds(legend: Legend) -> dict[OutputLayer, MapKind]:
    """Return what the map of each layer holds."""
    return {
        "class": map_writer.class_map(legend),
        "confidence": map_writer.CONFIDENCE,
        "probabilities": map_writer.probability_map(legend),
        "masks": map_writer.mask_map(legend),
        "height": map_writer.HEIGHT,
    }


def output_paths(options: PredictOptions, target: Path, heights: bool) -> dict[OutputKind, Path]:
    """Return the path of every file that is written for an image, by kind.

    Args:
        options: what the user asked for.
        target: path of the class map.
        heights: whether the model predicts heights.
    """
    wanted: list[tuple[OutputKind, bool, Path]] = [
        ("class", True, target),
        ("confidence", options.confidence, beside(target, "confidence")),
        ("probabilities", options.probabilities, beside(target, "probabilities")),
        ("masks", options.class_masks, beside(target, "masks")),
        ("height", heights, beside(target, "AGL")),
        ("polygons", options.polygons is not None, Path(options.polygons or "")),
        ("review", options.review > 0, target.with_name(f"{target.stem}_review.gpkg")),
        ("style", True, style_path(target)),
    ]
    return {kind: path for kind, asked, path in wanted if asked}


def check_outputs(jobs: Sequence[PredictionJob], model: Path) -> None:
    """Refuse jobs that would write over a file that one of them reads, or write a file twice.

    Raises:
        UsageError: an output is the model, an image, a band, a source of a virtual raster, a mask,
            the regions, or another output.
    """
    outputs = [path for job in jobs for path in job.outputs.values()]
    # No image has to be opened where no output exists.
    read = chain([str(model)], (name for job in jobs for name in job.source.all_files()))
    refuse_replaced(outputs, read, "Give MAP or --polygons another name")


@contextmanager
def _removed_after(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
