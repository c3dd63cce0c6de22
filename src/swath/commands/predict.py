"""`swath predict`: images of any size become maps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from swath.commands.base import check_ending, command, has_ending, peak_rss_bytes
from swath.errors import DataError, JobError, UsageError
from swath.evaluation.ood import band_distance
from swath.io.arrays import is_store
from swath.io.products import is_product_path
from swath.io.quality import QualityTally, shares_of
from swath.io.raster import Raster
from swath.mapping.bad_images import BadImages, open_once
from swath.mapping.estimate import Estimate, estimate
from swath.mapping.inputs import (
    ImageInput,
    InputImage,
    check_context,
    find_inputs,
    find_masks,
    with_quality,
)
from swath.mapping.job import ImageRead, MappedImage, PredictionJob, check_outputs
from swath.mapping.pixel_checks import check_pixels
from swath.models.model import Model
from swath.options import PredictOptions
from swath.progress import began
from swath.types import Faults, Gsd, Result

MAP_ENDINGS = (".tif", ".tiff", ".gtiff")
"""Endings of maps, which are GeoTIFFs."""

FAR = 3.0
"""Distance from the training images that is told, in units of the largest of a training group."""

MIN_OF_ONE_CLASS = 64**2
"""Pixels from which a map of one class is told."""

PLAN_SAMPLED = 8
"""Images of which `--plan` samples pixels."""


class PredictResult(Result):
    """What was mapped.

    Attributes:
        map: path of the map, or of the folder of maps.
        maps: all files that were written.
        pixels: of all images.
        seconds: wall time, opening the model included, and the start of the program where the
            command line was called.
        peak_rss_bytes: largest resident memory of a process.
        classes: pixels by class name.
        nodata: pixels without data.
        tiles: number of tiles.
        overhead: pixels read for each pixel mapped.
        engine: what ran the network, with its version.
        precision: of its arithmetic.
        zooms: scales at which the images were shown to the network: 0.5 where their pixels are half
            as large as those of the training data.
        plan: what it would take, where only that was asked; nothing was mapped then.
        dropped: share of the pixels that quality layers dropped, 0..1, by reason; a pixel counts
            for one reason.
        read: how each image was read.
        skipped: names of images that were left out (`skip_bad`).
        findings: their errors: dictionaries with level, code, file, message and fix.
        warnings: sentences on a map that is hardly meant: no data anywhere, one class alone; masks
            that touch no image; numbers, resolution or latitude unlike training; images without a
            quality layer where others have one.
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
    dropped: dict[str, float] = {}
    read: list[ImageRead] = []
    skipped: list[str] = []
    findings: list[dict[str, str]] = []
    warnings: list[str] = []


@command(PredictOptions)
def predict(options: PredictOptions) -> PredictResult:
    """Map images: cloud-optimized GeoTIFFs of class codes on the images' own grids.

    Finished tiles lie in a folder beside the map until it is whole. After a kill, a full disk or an
    unreadable tile the same command continues from there, and the map is the same to the byte.

    Raises:
        DataError: an image is damaged, or its bands are not the model's; with `skip_bad`, all are.
        ModelError: the model is damaged.
        UsageError: an output is an input, or options do not go together.
        JobError: a map cannot be written, parts of another prediction are in the way, or a worker
            is lost for good.
    """
    start = began()
    model = Model(options.model, tta=options.tta)
    if options.class_masks and model.card.thresholds is None:
        message = "The model has no masks: its classes share one softmax, without thresholds"
        fix = "Train it with --heads per-class, or leave out --class-masks"
        raise UsageError(message, code="no-class-masks", file=options.model, fix=fix)
    faults: Faults | None = [] if options.skip_bad else None
    sources, many = _sources(options, model, faults)
    drop, limit = options.drop, options.clear_below
    bad = BadImages(options.skip_bad, many)
    for entry, error in faults or ():
        bad.leave_out(error, entry, Path(entry).name)
    if options.skip_bad:
        sources = [s for s in sources if bad.try_on(s, partial(open_once, s))]
        bad.check_left(len(sources))
    sources, bare = with_quality(sources, options.quality, drop, limit)
    target, jobs = options.target, []
    _check_target(target, many)
    for source in sources:
        path = target / f"{source.name}.tif" if many else target
        compare = partial(_compare_with_training, model=model, gsd=options.gsd)
        jobs.append(PredictionJob(options, model, source, path, compare))
    check_outputs(jobs, Path(options.model))
    missed = [f"{s.name}: {text}" for s in sources if s.product for text in s.product.warnings]
    sampled = _spread(sources) if options.plan else sources
    missed += check_context(sources)
    begun = time.monotonic()
    missed += check_pixels(sampled)
    # Mapping samples all images, and the estimate has the time of that.
    unsampled = (time.monotonic() - begun) * (len(sources) / len(sampled) - 1)
    if len(sampled) < len(sources):
        missed.append(
            f"Of {len(sources)} images, the pixels of {len(sampled)} were sampled for nodata and "
            "odd numbers; sizes and bands are those of all, and the speed is that of the largest."
        )
    names = {source.name for source in sampled}

    def work(job: PredictionJob, number: int) -> MappedImage:
        if options.plan:
            return MappedImage(job.plan(job.source.name in names))
        return job.run(f" ({number} of {len(jobs)})" if len(jobs) > 1 else "")

    tried = [
        (job, bad.try_on(job.source, partial(work, job, number)))
        for number, job in enumerate(jobs, 1)
    ]
    done = [(job, mapped) for job, mapped in tried if mapped is not None]
    bad.check_left(len(done))
    result = _result(options, model, [mapped for _, mapped in done], start, unsampled)
    unlike = [text for job, _ in done for text in job.warnings]
    return result.model_copy(
        update={
            "warnings": [*missed, *bare, *unlike, *result.warnings],
            "read": [job.read for job, _ in done if job.read is not None],
            "skipped": bad.names,
            "findings": [finding.as_json() for finding in bad.findings],
        }
    )


def _compare_with_training(image: InputImage, model: Model, gsd: Gsd) -> str | None:
    """Return a sentence on an image whose bands are far from those of the training images."""
    card = model.card
    if card.ood is None or not card.ranges_known:
        return None
    zoom = model.zoom(model.gsd_of(gsd, image.grid.gsd))
    distance = None
    with suppress(DataError):  # damage is reported by the mapping, with its rows
        distance = band_distance(image, zoom, [band.fill for band in card.bands], card.ood)
    if distance is None or distance <= FAR * card.ood.threshold:
        return None
    return (
        f"{image.name}: The bands are unlike those of the training images, by a distance of "
        f"{distance:.3g}, and {card.ood.threshold:.3g} is the largest of a training group. Check "
        "their order and scale (swath inspect IMAGE --against MODEL); if they are right, expect a "
        "worse map, and label a part of it."
    )


def _spread(sources: list[ImageInput]) -> list[ImageInput]:
    """Return images at equal distances in a list, `PLAN_SAMPLED` at most."""
    places = np.linspace(0, len(sources) - 1, min(PLAN_SAMPLED, len(sources)))
    return [sources[int(place)] for place in places]


def _check_target(target: Path, many: bool) -> None:
    """Refuse a name of MAP that means another format, a folder for one map, a file for many.

    Raises:
        UsageError: it does.
    """
    if not many:
        if target.is_dir():
            message, fix = "MAP is a folder, and a file is to be written", "Give a file name"
            raise JobError(message, code="is-a-folder", file=target, fix=fix)
        check_ending(target, MAP_ENDINGS, "MAP")
    elif not target.is_dir() and target.suffix.lower() in MAP_ENDINGS:
        message = "There are several images, and MAP names one file instead of a folder"
        fix = f"Give a folder ({target.with_suffix('')}), or --mosaic for one map"
        raise UsageError(message, code="map-is-a-file", file=target, fix=fix)


def _result(
    options: PredictOptions, model: Model, mapped: list[MappedImage], start: float, more: float
) -> PredictResult:
    legend, plans = model.card.legend, [m.plan for m in mapped]
    setup, tilings = plans[0].setup, [p.tiling for p in plans]
    pixels = sum(p.height * p.width for p in plans)

    def count(code: int) -> int:
        return sum(m.counts.get(code, 0) for m in mapped)

    classes = {c.name: count(c.map_code) for c in legend.trained}
    nodata = count(legend.nodata)
    tallies = _tallies(mapped, pixels)
    return PredictResult(
        map=str(options.target),
        maps=[name for m in mapped for name in m.files],
        pixels=pixels,
        seconds=time.monotonic() - start,
        peak_rss_bytes=peak_rss_bytes(),
        classes=classes,
        nodata=nodata,
        tiles=sum(map(len, tilings)),
        overhead=sum(t.overhead * t.height * t.width for t in tilings) / pixels,
        engine=f"{setup.engine} {setup.version}",
        precision=setup.precision,
        zooms=sorted({float(p.asked.zoom) for p in plans}),
        plan=estimate(model, plans, time.monotonic() - start + more) if options.plan else None,
        dropped=shares_of(tallies),
        warnings=[] if options.plan else [*_check_outside(tallies), *_check_classes(classes)],
    )


def _tallies(mapped: Sequence[MappedImage], pixels: int) -> list[QualityTally]:
    """Return what quality layers dropped of all images, of which some may have none."""
    tallies = [m.dropped for m in mapped if m.dropped is not None]
    unread = pixels - sum(tally.pixels for tally in tallies)
    return [*tallies, QualityTally(pixels=unread)] if tallies else []


def _check_outside(tallies: Sequence[QualityTally]) -> list[str]:
    """Return what part of the images quality layers do not cover."""
    outside = sum(tally.outside for tally in tallies)
    if not outside:
        return []
    share = outside / sum(tally.pixels for tally in tallies)
    return [f"{share:.1%} of the pixels lie outside of the quality layers, and are kept."]


def _check_classes(classes: dict[str, int]) -> list[str]:
    """Return what is hardly meant about all maps, by their pixels of each class."""
    mapped = [name for name, pixels in classes.items() if pixels]
    if len(mapped) != 1 or len(classes) == 1 or sum(classes.values()) < MIN_OF_ONE_CLASS:
        return []
    return [
        f"The whole map is of one class, {mapped[0]}: check the bands of the image, their order "
        "and scale (swath inspect IMAGE --against MODEL)."
    ]


def _sources(
    options: PredictOptions, model: Model, faults: Faults | None
) -> tuple[list[ImageInput], bool]:
    """List the images; return also whether MAP is a folder for their maps.

    Errors of single images of many are added to `faults`, if that is a list.
    """
    stack = None if options.stack is None else str(options.stack)
    by_order = options.band_order is not None
    found = find_inputs(
        options.image, model.card.image_bands, stack, by_order=by_order, faults=faults
    )
    if stack is not None:
        _check_stack(options, found[0])
    if options.mosaic:
        found = [_mosaic(options, found)]
    regions = options.regions
    extras = {
        "order": None if options.band_order is None else tuple(options.band_order),
        "mask": find_masks(options.mask),
        "regions": None if regions is None else str(Path(regions).resolve()),
        "latitude": model.card.latitude,
        "scaled": model.card.scaled and not options.raw,
        "nodata": options.nodata,
        "ignore_band_nodata": options.ignore_band_nodata,
        "fill": _fill(model) if options.ignore_band_nodata else (),
        "erode_nodata": options.erode_nodata,
        "warp": options.warp,
    }
    many = len(found) + len(faults or ()) > 1 or _may_be_many(options) and not options.mosaic
    if len(found) > 1 and options.polygons is not None:
        message = "--polygons names one file, and there are many images"
        fix = "Map them one by one, or with --mosaic"
        raise UsageError(message, code="option-conflict", fix=fix)
    sources = [i.model_copy(update=extras) for i in found]
    return sources, many


def _may_be_many(options: PredictOptions) -> bool:
    """Return whether MAP is a folder even for one image.

    IMAGE may be many images then: a folder, a list, a pattern, or a product, which may have several
    scenes. Of the last two MAP names a file if it ends like one.
    """
    image = Path(str(options.image))
    if options.stack is not None or is_store(image):
        return False
    if not image.exists() and set(image.name) & set("*?["):
        return options.target.suffix.lower() not in MAP_ENDINGS
    if is_product_path(image, plain=image.is_dir()):
        return not has_ending(options.target)
    return image.is_dir() or image.suffix == ".txt"


def _fill(model: Model) -> tuple[float, ...]:
    """Return the training mean of each band of an image."""
    card = model.card
    return tuple(band.fill for band in card.bands[: len(card.image_bands)])


def _mosaic(options: PredictOptions, images: list[ImageInput]) -> ImageInput:
    if any(image.product for image in images):
        message = "--mosaic takes plain images, and a product is given"
        fix = "Map the products without --mosaic"
        raise UsageError(message, code="option-conflict", fix=fix)
    if any(image.bands for image in images):
        message = "--mosaic takes images of one file each"
        fix = "Stack their bands first (`rio stack A.tif B.tif -o NEW.tif`)"
        raise UsageError(message, code="option-conflict", fix=fix)
    files = tuple(file for image in images for file in image.files)
    return ImageInput(name=options.target.stem, files=files, mosaic=True)


def _check_stack(options: PredictOptions, stack: ImageInput) -> None:
    """Refuse an image that is named with --stack and lies elsewhere."""
    if isinstance(options.image, (str, Path)) and Path(options.image).is_file():
        with Raster([options.image]) as image, Raster(stack.files, stack.bands) as bands:
            same = image.grid.same_as(bands.grid)
        if not same:
            message = f"The grid of the image is not that of the bands in {options.stack}"
            fix = "Leave IMAGE out, or name one of the bands"
            raise DataError(message, code="grid-mismatch", file=options.image, fix=fix)
