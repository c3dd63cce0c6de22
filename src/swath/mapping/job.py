"""One prediction job: an image, the files to write, and the finished tiles between them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from swath.errors import DataError, JobError, UsageError
from swath.geo.latitude import latitude_range
from swath.geo.scale import out_of_reach
from swath.io.atomic import atomic_file, exclusive, hidden_path
from swath.io.map_writer import (
    CONFIDENCE,
    HEIGHT,
    MapKind,
    MapWriter,
    class_map,
    mask_map,
    probability_map,
)
from swath.io.qgis import style_path, write_style
from swath.io.work_folder import open_store
from swath.legend import Legend
from swath.mapping.inputs import ImageInput, InputImage
from swath.mapping.plan import (
    OutputLayer,
    Plan,
    PredictionRequest,
    freeze_plan,
    make_plan,
    make_request,
)
from swath.mapping.polygons import polygonize, write_polygons
from swath.mapping.review import write_review
from swath.mapping.tile_store import PARTS, TileStore
from swath.mapping.workers import run_plan
from swath.models.model import Model
from swath.options import PredictOptions
from swath.progress import task

log = logging.getLogger(__name__)

LATITUDE_TOLERANCE = 1.0
"""Degrees of latitude beyond those of the training data that are not warned of."""

OutputKind: TypeAlias = OutputLayer | Literal["polygons", "review", "style"]


@dataclass(frozen=True)
class MappedImage:
    """What came of a job; of a job that is only planned, the plan alone.

    Attributes:
        plan: the plan.
        files: paths of maps and vector layers.
        counts: number of pixels by class code.
    """

    plan: Plan
    files: list[str] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)


class PredictionJob:
    """Maps one image.

    Args:
        options: what the user asked for.
        model: the open model.
        source: the image.
        target: path of the class map.

    Attributes:
        source: the image.
        outputs: path of every file that the job writes, by kind.
    """

    def __init__(
        self, options: PredictOptions, model: Model, source: ImageInput, target: Path
    ) -> None:
        self.source = source
        self.outputs = output_paths(options, target, model.card.heights)
        self._options, self._model, self._target = options, model, target
        root = f"{target.resolve()}.parts"
        if options.parts is not None:
            folder = str(options.parts)
            folder = folder if "://" in folder else str(Path(folder).resolve())
            root = f"{folder}/{target.name}.parts"
        self._root, self._store = root, open_store(root)

    def plan(self) -> Plan:
        """Return a new plan, which is not kept.

        Raises:
            DataError: the image is damaged, or does not fit the model.
            JobError: the memory does not suffice for a tile, or the engine is not installed.
        """
        with self.source.open() as image:
            self._check(image)
            return self._make_plan(self._request(image), image)

    def run(self) -> MappedImage:
        """Map the image, or continue an unfinished map; all outputs appear when all are whole.

        Raises:
            DataError: the image is damaged, or does not fit the model.
            JobError: a file cannot be written, parts of another prediction are in the way, or the
                image changes meanwhile.
        """
        options, store = self._options, self._store
        with exclusive(self._target), self.source.open() as image:
            self._check(image)
            if options.restart:
                store.clear()
            asked = self._request(image)
            plan = freeze_plan(store, asked, lambda: self._make_plan(asked, image))
            name, pixels = f"predicting {self._target.name}", plan.height * plan.width
            try:
                with task(name, pixels, "pixels") as bar:
                    run_plan(plan, self._model, self._root, options.workers, options.cluster, bar)
            finally:
                if not store.holds(PARTS):
                    store.clear()
            if self._request(image).files != plan.asked.files:
                raise JobError(
                    "An image, mask or regions file has changed while it was mapped",
                    code="file-changed",
                    file=image.name,
                    fix="Leave the files alone, and give the same command again with --restart",
                )
            mapped = self._join(plan, image)
            if not options.keep_parts:
                store.clear()
        return mapped

    def _make_plan(self, asked: PredictionRequest, image: InputImage) -> Plan:
        workers = 1 if self._options.cluster else self._options.workers or 1
        return make_plan(asked, self._model, image, workers)

    def _request(self, image: InputImage) -> PredictionRequest:
        options, model = self._options, self._model
        layers: list[OutputLayer] = [k for k in MAP_LAYERS if k in self.outputs]
        if "confidence" not in layers and {"polygons", "review"} & set(self.outputs):
            layers.insert(1, "confidence")
        settings: dict[str, Any] = {
            "engine": options.engine,
            "precision": options.precision,
            "memory_gb": options.memory,
            "halo": options.halo,
            "threads": options.threads,
            "zoom": model.zoom(model.gsd_of(options.gsd, image.grid.gsd)),
        }
        return make_request(model, self.source, image, layers, settings)

    def _check(self, image: InputImage) -> None:
        """Refuse an image of other bands than the model's; warn of what makes a map worse."""
        card, raster, name = self._model.card, image.image, image.name
        if len(raster.bands) != len(card.image_bands):
            raise DataError(
                f"The image has {len(raster.bands)} band(s), and the model takes "
                f"{len(card.image_bands)} ({', '.join(card.image_bands)})",
                code="band-mismatch",
                file=name,
                fix="Give an image with these bands, --band-order, or --stack FOLDER where the "
                "bands are separate files",
            )
        if str(raster.dtype) != card.dtype:
            log.warning(
                "%s is %s, and the model was trained with %s: check the scale.",
                name,
                raster.dtype,
                card.dtype,
            )
        gsd = self._model.gsd_of(self._options.gsd, image.grid.gsd)
        if out_of_reach(gsd, card.mapped_gsd):
            log.warning(
                "%s has pixels of %.3g m, and the model was trained with %.3g m. The image is "
                "rescaled by %s, which is the limit. Expect a worse map.",
                name,
                gsd,
                card.mapped_gsd,
                self._model.zoom(gsd),
            )
        if card.latitude:
            (low, high), known = latitude_range(image.grid), card.bands[-1]
            if low < known.min - LATITUDE_TOLERANCE or high > known.max + LATITUDE_TOLERANCE:
                log.warning(
                    "%s lies at latitudes of %.1f to %.1f degrees, and the model was trained with "
                    "%.1f to %.1f: expect a worse map.",
                    name,
                    low,
                    high,
                    known.min,
                    known.max,
                )

    def _join(self, plan: Plan, image: InputImage) -> MappedImage:
        """Join the parts to maps."""
        legend, outputs = self._model.card.legend, self.outputs
        georeferencing = image.image.extra_georeferencing
        with ExitStack() as stack:
            # The class map is opened first, so it is closed and put in place last.
            paths: dict[OutputLayer, Path] = {}
            writers: dict[OutputLayer, MapWriter] = {}
            for layer in plan.asked.layers:
                if layer in outputs:
                    paths[layer] = stack.enter_context(atomic_file(outputs[layer]))
                else:  # only polygons or review regions need the layer
                    scratch = hidden_path(self._target, f"partial.{layer}.tif")
                    paths[layer] = stack.enter_context(_removed_after(scratch))
            for layer, path in paths.items():
                writer = MapWriter(path, image.grid, _map_kind(layer, legend), georeferencing)
                writers[layer] = stack.enter_context(closing(writer))
            counts = self._write_tiles(plan, writers)
            if self._options.sieve:
                sieved = writers["class"].sieve(self._options.sieve)
                counts = {code: sieved.get(code, 0) for code in counts}
            for writer in writers.values():
                writer.finish()
            self._write_vectors(paths, stack)
            write_style(self._target, legend)
        files = [str(path) for kind, path in outputs.items() if kind != "style"]
        return MappedImage(plan, files, counts)

    def _write_tiles(self, plan: Plan, writers: dict[OutputLayer, MapWriter]) -> dict[int, int]:
        """Write all parts; return the number of pixels by class code."""
        legend, parts = self._model.card.legend, TileStore(self._store, plan.digest)
        counts = np.zeros(256, np.int64)
        for i, tile in enumerate(plan.tiling):
            part = parts.get(i)
            if part is None:
                raise JobError(
                    f"Part {i} was damaged after it was done",
                    code="damaged-part",
                    file=self._target,
                    fix="Give the same command again, which computes the part anew",
                )
            for layer, writer in writers.items():
                values = legend.decode(part[layer]) if layer == "class" else part[layer]
                writer.write(values, tile.core)
            counts += np.bincount(part["class"].ravel(), minlength=256)
        codes = [c.map_code for c in legend.trained]
        by_code: dict[int, int] = dict(zip(codes, counts.tolist(), strict=False))
        return by_code | {legend.nodata: int(counts[len(codes) :].sum())}

    def _write_vectors(self, paths: dict[OutputLayer, Path], stack: ExitStack) -> None:
        options, legend = self._options, self._model.card.legend
        if "polygons" in self.outputs:
            polygons = polygonize(
                paths["class"],
                paths["confidence"],
                min_area=options.min_area,
                simplify=options.simplify,
            )
            target = self.outputs["polygons"]
            write_polygons(stack.enter_context(atomic_file(target)), polygons, legend, target)
        if "review" in self.outputs:
            write_review(paths["confidence"], self.outputs["review"], options.review)


MAP_LAYERS: tuple[OutputLayer, ...] = ("class", "confidence", "probabilities", "masks", "height")


def output_paths(options: PredictOptions, target: Path, heights: bool) -> dict[OutputKind, Path]:
    """Return the path of every file that is written for an image, by kind.

    Args:
        options: what the user asked for.
        target: path of the class map.
        heights: whether the model predicts heights.
    """

    def beside(word: str) -> Path:
        return target.with_name(f"{target.stem}_{word}")

    wanted: list[tuple[OutputKind, bool, Path]] = [
        ("class", True, target),
        ("confidence", options.confidence, beside("confidence.tif")),
        ("probabilities", options.probabilities, beside("probabilities.tif")),
        ("masks", options.class_masks, beside("masks.tif")),
        ("height", heights, beside("AGL.tif")),
        ("polygons", options.polygons is not None, Path(options.polygons or "")),
        ("review", options.review > 0, beside("review.gpkg")),
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
    path, count = Counter(path.resolve() for path in outputs).most_common(1)[0]
    if count > 1:
        raise UsageError(
            f"{count} outputs would be this one file",
            code="same-output",
            file=path,
            fix="Give MAP or --polygons another name",
        )
    existing = [path for path in outputs if path.exists()]
    if not existing:
        return  # and nothing has to be opened
    read = {_file_id(Path(name)) for job in jobs for name in job.source.all_files()}
    read.add(_file_id(model))
    for path in existing:
        if path.is_file() and _file_id(path) in read:
            raise UsageError(
                "An output would replace an input",
                code="output-is-input",
                file=path,
                fix="Give MAP or --polygons another name",
            )


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None where there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _map_kind(layer: OutputLayer, legend: Legend) -> MapKind:
    kinds: dict[OutputLayer, MapKind] = {
        "class": class_map(legend),
        "confidence": CONFIDENCE,
        "probabilities": probability_map(legend),
        "masks": mask_map(legend),
        "height": HEIGHT,
    }
    return kinds[layer]


@contextmanager
def _removed_after(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
