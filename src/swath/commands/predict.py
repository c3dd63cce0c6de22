"""`swath predict`: images of any size become maps."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swath.commands.base import command
from swath.errors import DataError, JobError, UsageError
from swath.geo.latitude import latitude_range
from swath.geo.scale import out_of_reach
from swath.inference.memory import peak_memory
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
from swath.io.qgis import write_style
from swath.io.raster import Raster
from swath.mapping.estimate import Estimate, estimate
from swath.mapping.inputs import ImageInput, InputImage, find_inputs
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
from swath.mapping.tile_store import TileStore, open_store
from swath.mapping.workers import run
from swath.models.model import Model
from swath.options import PredictOptions
from swath.progress import task
from swath.types import Result

log = logging.getLogger(__name__)

NEAR = 1.0
"""Degrees of latitude beyond those of the training data that are not worth a word."""


class PredictResult(Result):
    """What was mapped.

    Attributes:
        map: path of the map, or of the folder of maps.
        maps: all files that were written.
        pixels: of all images.
        seconds: wall time, opening the model included.
        peak_rss_bytes: largest resident memory of a process.
        classes: pixels by class name.
        nodata: pixels without data.
        tiles: number of tiles.
        overhead: pixels read for each pixel mapped.
        engine: what ran the network, with its version.
        precision: of its arithmetic.
        zooms: scales at which the network saw the images: 0.5 where their pixels are half as large
            as those that it knows.
        plan: what it would take, where only that was asked; nothing was mapped then.
    """

    map: str
    maps: list[str]
    pixels: int
    seconds: float
    peak_rss_bytes: int
    classes: dict[str, int]
    nodata: int
    tiles: int
    overhead: float
    engine: str
    precision: str
    zooms: list[float]
    plan: Estimate | None = None


@dataclass
class _Made:
    """What came of one image."""

    plan: Plan
    files: list[str] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)


@command(PredictOptions)
def predict(options: PredictOptions) -> PredictResult:
    """Map images: cloud-optimized GeoTIFFs of class codes on the images' own grids.

    Tiles that are done lie in a folder beside the map until it is whole. After a kill, a full disk
    or an unreadable tile the same command goes on from there, and the map is the same to the byte.

    Raises:
        DataError: an image is damaged, or its bands are not the model's.
        ModelError: the model is damaged.
        JobError: a map cannot be written, parts of another prediction are in the way, or a worker
            is lost for good.
    """
    start = time.monotonic()
    model = Model(options.model, tta=options.tta)
    found, many = _inputs(options, model)
    targets = [options.target / f"{i.name}.tif" if many else options.target for i in found]
    _keep_inputs(options, found, targets)
    if options.class_masks and model.card.thresholds is None:
        raise UsageError(
            "it has no masks: its classes share one softmax, and it keeps no thresholds",
            file=options.model,
            fix="Train it with --heads per-class, or leave out --class-masks",
        )
    if not many and options.target.is_dir():
        raise JobError(
            "this is a folder, and a file is to be written here",
            file=options.target,
            fix="Give a file name",
        )
    if options.plan:
        return _result(
            options, model, [_Made(p) for p in _plans(options, model, found, targets)], start
        )
    return _result(
        options,
        model,
        [_map(options, model, *pair) for pair in zip(found, targets, strict=True)],
        start,
    )


def _result(
    options: PredictOptions, model: Model, made: list[_Made], start: float
) -> PredictResult:
    """Sum up what was made, or is only planned."""
    legend, tilings, setup = model.card.legend, [m.plan.tiling for m in made], made[0].plan.setup
    counts = {
        code: sum(m.counts.get(code, 0) for m in made)
        for code in [legend.nodata, *(c.map_code for c in legend.trained)]
    }
    pixels = sum(t.height * t.width for t in tilings)
    return PredictResult(
        map=str(options.target),
        maps=[name for m in made for name in m.files],
        pixels=pixels,
        seconds=time.monotonic() - start,
        peak_rss_bytes=_peak_rss_bytes(),
        classes={c.name: counts[c.map_code] for c in legend.trained},
        nodata=counts[legend.nodata],
        tiles=sum(map(len, tilings)),
        overhead=sum(t.overhead * t.height * t.width for t in tilings) / pixels,
        engine=f"{setup.engine} {setup.version}",
        precision=setup.precision,
        zooms=sorted({float(m.plan.asked.zoom) for m in made}),
        plan=estimate(model, [m.plan for m in made]) if options.plan else None,
    )


def _inputs(options: PredictOptions, model: Model) -> tuple[list[ImageInput], bool]:
    """List the images, and tell whether MAP is a folder for their maps."""
    bands = model.card.image_bands
    found = find_inputs(options.image, bands, None if options.stack is None else str(options.stack))
    if options.stack is not None:
        _check_stack(options, found[0])
    extras = {
        "order": None if options.band_order is None else tuple(options.band_order),
        "mask": tuple(str(Path(p).resolve()) for p in options.mask),
        "regions": None if options.regions is None else str(Path(options.regions).resolve()),
        "latitude": model.card.latitude,
    }
    found = [i.model_copy(update=extras) for i in found]
    given = str(options.image)
    many = (
        len(found) > 1 or Path(given).is_dir() and options.stack is None or given.endswith(".txt")
    )
    if options.mosaic:
        files = tuple(f for i in found for f in i.files)
        if any(i.bands for i in found):
            raise UsageError(
                "--mosaic takes images of one file each",
                fix="Stack their bands first (gdalbuildvrt -separate)",
            )
        return [ImageInput(name=options.target.stem, files=files, mosaic=True, **extras)], False
    if many and options.polygons is not None:
        raise UsageError(
            "--polygons names one file, and there are many images",
            fix="Map them one by one, or with --mosaic",
        )
    return found, many


def _check_stack(options: PredictOptions, stack: ImageInput) -> None:
    """Refuse an image that was named beside a stack and lies elsewhere."""
    if isinstance(options.image, (str, Path)) and Path(options.image).is_file():
        with Raster([options.image]) as image, Raster(stack.files, stack.bands) as bands:
            if not image.grid.same_as(bands.grid):
                raise DataError(
                    f"its grid is not that of the bands in {options.stack}",
                    file=options.image,
                    fix="Leave IMAGE out, or name one of the bands",
                )


def _keep_inputs(options: PredictOptions, found: list[ImageInput], targets: list[Path]) -> None:
    """Refuse to write over an image, one of its bands, or the model.

    Raises:
        UsageError: an output is one of them.
    """
    inputs = [
        Path(options.model),
        *(Path(f) for i in found for f in (*i.files, *i.mask, *([i.regions] if i.regions else []))),
    ]
    outputs = [p for t in targets for p in _outputs(options, t).values()]
    outputs += [] if options.polygons is None else [Path(options.polygons)]
    there = [p for p in inputs if p.is_file()]
    for target in outputs:
        if target.exists() and any(p.samefile(target) for p in there):
            raise UsageError(
                "the map would replace its own input", file=target, fix="Give MAP another name"
            )


def _outputs(
    options: PredictOptions, target: Path, heights: bool = False
) -> dict[OutputLayer, Path]:
    """Name the file of each layer that is to be kept."""
    out: dict[OutputLayer, Path] = {"class": target}
    wanted: list[tuple[OutputLayer, bool, str]] = [
        ("confidence", options.confidence, "confidence"),
        ("probabilities", options.probabilities, "probabilities"),
        ("masks", options.class_masks, "masks"),
        ("height", heights, "AGL"),
    ]
    for layer, asked, word in wanted:
        if asked:
            out[layer] = target.with_name(f"{target.stem}_{word}.tif")
    return out


def _plans(
    options: PredictOptions, model: Model, found: list[ImageInput], targets: list[Path]
) -> Iterator[Plan]:
    """Yield fresh plans that are not kept."""
    for one, target in zip(found, targets, strict=True):
        with one.open() as image:
            _check(image, model, model.gsd_of(options.gsd, image.grid.gsd))
            yield make_plan(
                _ask(options, model, one, image, target), model, image, options.workers or 1
            )


def _ask(
    options: PredictOptions, model: Model, one: ImageInput, image: InputImage, target: Path
) -> PredictionRequest:
    """Describe what is wanted of an image."""
    layers = list(_outputs(options, target, model.card.heights))
    if (options.polygons is not None or options.review) and "confidence" not in layers:
        layers.insert(1, "confidence")
    how: dict[str, Any] = {
        "engine": options.engine,
        "precision": options.precision,
        "memory_gb": options.memory,
        "halo": options.halo,
        "threads": options.threads,
        "zoom": model.zoom(model.gsd_of(options.gsd, image.grid.gsd)),
    }
    return make_request(model, one, image, layers, how)


def _root(options: PredictOptions, target: Path) -> str:
    if options.parts is None:
        return str(target.resolve()) + ".parts"
    root = str(options.parts) if "://" in str(options.parts) else str(Path(options.parts).resolve())
    return f"{root}/{target.name}.parts"


def _map(options: PredictOptions, model: Model, one: ImageInput, target: Path) -> _Made:
    """Map one image."""
    with exclusive(target), one.open() as image:
        _check(image, model, model.gsd_of(options.gsd, image.grid.gsd))
        root = _root(options, target)
        store = open_store(root)
        if options.restart:
            store.clear()
        asked = _ask(options, model, one, image, target)
        here = 1 if options.cluster else options.workers or 1
        plan = freeze_plan(store, asked, lambda: make_plan(asked, model, image, here))
        try:
            with task(f"predicting {target.name}", plan.height * plan.width, "pixels") as bar:
                run(plan, model, root, options.workers, options.cluster, bar)
        finally:
            if not store.holds_parts():
                store.clear()
        if _ask(options, model, one, image, target).files != plan.asked.files:
            raise JobError(
                "an image, mask or regions file has changed while it was mapped",
                file=image.image.paths[0],
                fix="Leave them alone, and give the same command again with --restart",
            )
        made = _join(options, model, plan, image, target)
        if not options.keep_parts:
            store.clear()
    return made


def _join(
    options: PredictOptions, model: Model, plan: Plan, image: InputImage, target: Path
) -> _Made:
    """Join the parts to maps; all outputs of an image appear when all are whole."""
    legend, parts = model.card.legend, TileStore(open_store(_root(options, target)), plan.digest)
    kinds: dict[OutputLayer, MapKind] = {
        "class": class_map(legend),
        "confidence": CONFIDENCE,
        "probabilities": probability_map(legend),
        "masks": mask_map(legend),
        "height": HEIGHT,
    }
    outputs = _outputs(options, target, model.card.heights)
    counts = np.zeros(256, np.int64)
    with ExitStack() as stack:
        paths = {layer: stack.enter_context(atomic_file(path)) for layer, path in outputs.items()}
        for layer in plan.asked.layers:
            if layer not in paths:  # only the polygons or the review want it
                paths[layer] = stack.enter_context(
                    _scratch(hidden_path(target, f"partial.{layer}.tif"))
                )
        writers = {
            layer: stack.enter_context(
                _writing(
                    MapWriter(path, image.grid, kinds[layer], image.image.extra_georeferencing)
                )
            )
            for layer, path in paths.items()
        }
        for i, tile in enumerate(plan.tiling):
            part = parts.get(i)
            if part is None:
                raise JobError(
                    f"part {i} was damaged after it was done",
                    file=target,
                    fix="Give the same command again to mend it",
                )
            for layer, writer in writers.items():
                writer.write(
                    legend.decode(part[layer]) if layer == "class" else part[layer], tile.core
                )
            counts += np.bincount(part["class"].ravel(), minlength=256)
        by_code = dict(zip((c.map_code for c in legend.trained), counts.tolist(), strict=False)) | {
            legend.nodata: int(counts[len(legend.trained) :].sum())
        }
        if options.sieve:
            by_code = dict.fromkeys(by_code, 0) | writers["class"].sieve(options.sieve)
        for writer in writers.values():
            writer.finish()
        files = [str(p) for p in outputs.values()]
        if options.polygons is not None:
            goal = Path(options.polygons)
            shapes = polygonize(
                paths["class"],
                paths["confidence"],
                min_area=options.min_area,
                simplify=options.simplify,
            )
            write_polygons(stack.enter_context(atomic_file(goal)), shapes, legend, goal)
            files.append(str(goal))
        if options.review:
            regions = target.with_name(f"{target.stem}_review.gpkg")
            write_review(paths["confidence"], regions, options.review)
            files.append(str(regions))
        write_style(target, legend)  # the map itself appears last
    return _Made(plan, files, by_code)


@contextmanager
def _writing(writer: MapWriter) -> Iterator[MapWriter]:
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _check(image: InputImage, model: Model, gsd: float | None) -> None:
    """Refuse an image with other bands than the model's; warn of what makes a map doubtful."""
    card, raster = model.card, image.image
    if len(raster.bands) != len(card.image_bands):
        names = ", ".join(card.image_bands)
        raise DataError(
            f"it has {len(raster.bands)} band(s), and the model takes {len(card.image_bands)} ({names})",
            file=raster.paths[0],
            fix="Give an image with these bands, --band-order, or --stack FOLDER where they are separate files",
        )
    if str(raster.dtype) != card.dtype:
        log.warning(
            "%s is %s, and the model was taught with %s: check the scale.",
            raster.paths[0],
            raster.dtype,
            card.dtype,
        )
    if out_of_reach(gsd, card.mapped_gsd):
        log.warning(
            "%s has pixels of %.3g m, and the model was taught with %.3g m: it is shown at scale %s, which "
            "is as far as that goes. Expect a worse map.",
            raster.paths[0],
            gsd,
            card.mapped_gsd,
            model.zoom(gsd),
        )
    if card.latitude:
        (low, high), known = latitude_range(image.grid), card.bands[-1]
        if low < known.min - NEAR or high > known.max + NEAR:
            log.warning(
                "%s lies at latitudes of %.1f to %.1f degrees, and the model was taught with %.1f to %.1f: expect a worse map.",
                raster.paths[0],
                low,
                high,
                known.min,
                known.max,
            )


def _peak_rss_bytes() -> int:
    """Return the largest resident memory of this process or of a worker, in bytes."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(peak_memory(), workers if sys.platform == "darwin" else workers * 1024)
