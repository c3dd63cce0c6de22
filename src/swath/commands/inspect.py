"""`swath inspect`: contents and faults of a source folder, or of an image before it is mapped."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swath.checks import ImageScan, SampleScan, Survey, run_survey, scan_sample
from swath.commands.base import command
from swath.data.layouts.catalog import Catalog, SourceSample, product_findings, product_sample
from swath.data.layouts.label_options import LABEL_OPTIONS, given_options
from swath.data.layouts.layout import find_layout, with_quality
from swath.errors import DataError, JobError, ModelError, UsageError
from swath.evaluation.ood import ood_distance
from swath.io.arrays import is_store, stem_of
from swath.io.labels import MaskReading
from swath.io.products import (
    choose_bands,
    default_bands,
    find_product,
    find_products,
    is_product_path,
)
from swath.io.quality import QualityTally, shares_of
from swath.io.raster import Raster
from swath.io.source_file import BandFile, Product, QualityFile
from swath.io.vector import Features
from swath.legend import read_legend
from swath.mapping.inputs import InputImage, find_stack
from swath.mapping.number_check import check_numbers
from swath.models.band_matching import match_bands
from swath.models.card import Card
from swath.models.model import Model
from swath.options import InspectOptions, PrepareOptions, SourceOptions
from swath.types import Finding, Result


class ClassCount(Result):
    """A class: `code` is its value in a map, `pixels` its number of labeled pixels."""

    name: str
    code: int
    pixels: int


class BandComparison(Result):
    """Range and mean of a band in the image, and in the training data (`known_*`)."""

    name: str
    mean: float
    low: float
    high: float
    known_mean: float
    known_low: float
    known_high: float


class OodResult(Result):
    """Distance of an image from the training data of a model.

    Attributes:
        distance: 1 is usual among the training images; None where the image has other bands, or no
            data.
        threshold: largest distance of a training group from all others; beyond it, expect a worse
            map.
        bands: statistics band by band.
    """

    distance: float | None
    threshold: float
    bands: list[BandComparison]


class LabelsRead(Result):
    """Where labels came from.

    Attributes:
        file: the layer, or the first of the rasters, relative to the source.
        files: number of files.
        column: class column of a layer.
        values: classes in that column, sorted.
        features: number of features of a layer.
    """

    file: str
    files: int
    column: str | None = None
    values: list[str] = []
    features: int | None = None


class SourceRead(Result):
    """What was read of a source.

    Attributes:
        labels: where the labels came from: label rasters together, and each layer.
        unlabeled: number of images without labels.
        bands: names of the bands of most images, in order; `select_bands` has taken them.
        nodata: value of `nodata` that was given, as text, since it may be `nan`.
        erode_nodata: pixels around those without data that have none either.
        no_data: share of the images' pixels without data, 0..1; None where no image was read.
        dropped: share of the images' pixels that quality layers dropped, 0..1, by reason; a pixel
            counts for one reason.
        split: where the splits come from, by split; empty where nothing was split.
    """

    labels: list[LabelsRead]
    unlabeled: int
    bands: list[str]
    nodata: str | None = None
    erode_nodata: int = 0
    no_data: float | None
    dropped: dict[str, float] = {}
    split: dict[str, str] = {}


class BandRead(Result):
    """A band of a product.

    Attributes:
        name: common name, such as blue.
        sensor_name: the sensor's own, such as B02.
        wavelength: center in micrometers.
        resolution: size of its pixels in units of the CRS; None where it cannot be read.
        scale: physical value = stored value * scale + offset.
        offset: see `scale`.
        decibels: whether values are read as decibels.
        is_default: whether it is taken where no bands are asked for.
        file: path of its file.
    """

    name: str
    sensor_name: str
    wavelength: float | None
    resolution: float | None
    scale: float
    offset: float
    decibels: bool
    is_default: bool
    file: str


class ProductRead(Result):
    """What a product holds: see `swath.io.source_file.Product`; `quality` has its layers."""

    name: str
    sensor: str
    level: str
    acquired: str | None
    baseline: str | None
    bands: list[BandRead]
    quality: list[QualityFile]


class InspectResult(Result):
    """Contents and faults of a source.

    Attributes:
        layout: the layout; `image` where an image was compared with a model, `product` where the
            source is one.
        images: their number.
        bands: names of the bands of most images.
        groups: names of the images' groups.
        classes: the classes, with their pixels.
        findings: dictionaries with level, code, file, message and fix, errors first.
        report: path of the page, if one was asked for.
        ood: distance of the image from the training data (`against`).
        read: which labels, bands and pixels were read; None with `against` and of products.
        products: what the products hold, where the source is one or several.
    """

    layout: str
    images: int
    bands: list[str]
    groups: list[str]
    classes: list[ClassCount]
    findings: list[dict[str, str]]
    report: str | None = None
    ood: OodResult | None = None
    read: SourceRead | None = None
    products: list[ProductRead] = []

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return all(f["level"] != "error" for f in self.findings)


@command(InspectOptions)
def inspect(options: InspectOptions) -> InspectResult:
    """List the contents and the faults of a source folder; a missing folder is a finding, too.

    Of a product, its bands and quality layers are listed, and no pixel is read. With `against`, the
    source is an image, and is compared with the training data of a model.

    Raises:
        DataError: the bands of the image are not found in a folder (`against`).
        ModelError: the model is damaged, or has no statistics of its training data.
        UsageError: the class file or an option is wrong.
        JobError: the report cannot be written, or its packages are missing.
    """
    if options.against is not None:
        return _compare_with_training(options, Path(options.source))
    if not (options.images or options.labels) and is_product_path(options.source):
        return _describe_products(str(options.source))
    survey = survey_of(options)
    result = summarize(survey)
    if options.report is None:
        return result
    try:
        from swath.reports.inspection import write_findings
    except ImportError as error:
        message, fix = f"The report needs {error.name}", 'Run `pip install "swath[report]"`'
        raise JobError(message, code="package-missing", fix=fix) from error
    page = write_findings(options.report, survey, result.model_dump(mode="json"))
    return result.model_copy(update={"report": str(page)})


def _describe_products(source: str) -> InspectResult:
    """Return what the products at a path hold."""
    read, findings = [], []
    for product in find_products(source):
        default, bands = default_bands(product), []
        for band in product.bands:
            size, fault = _pixel_size(band, product)
            findings += [fault] if fault else []
            bands.append(
                BandRead(
                    name=band.name,
                    sensor_name=band.sensor_name,
                    wavelength=band.wavelength,
                    resolution=size,
                    scale=band.scale,
                    offset=band.offset,
                    decibels=band.decibels,
                    is_default=band in default,
                    file=band.path,
                )
            )
        findings += product_findings([product_sample(product)])
        facts = product.model_dump(include={"name", "sensor", "level", "acquired", "baseline"})
        read.append(ProductRead(**facts, bands=bands, quality=list(product.quality)))
    return InspectResult(
        layout="product",
        images=len(read),
        bands=[band.name for band in read[0].bands if band.is_default],
        groups=[],
        classes=[],
        findings=[finding.as_json() for finding in findings],
        products=read,
    )


def _pixel_size(band: BandFile, product: Product) -> tuple[float | None, Finding | None]:
    """Return the size of a band's pixels, or what is wrong with its file."""
    try:
        with Raster([band], warp=product.is_placed_by_points) as raster:
            return abs(raster.grid.transform[0]), None
    except DataError as error:
        return None, Finding.of_error(error, Path(band.path), product.name)


def survey_of(options: SourceOptions) -> Survey:
    """Find the samples of a source folder and check them; missing files are findings.

    Raises:
        UsageError: the class file or an option is wrong.
    """
    legend = read_legend(options.classes) if options.classes is not None else None
    try:
        catalog = find_layout(options)
    except DataError as error:
        findings = (Finding.of_error(error, options.root),)
        catalog = Catalog(options.root, options.layout, (), findings)
    return run_survey(
        catalog,
        legend or catalog.legend,
        options.snap_colors,
        MaskReading(options.label_band, fit=options.fit_labels, crs=options.labels_crs),
        isinstance(options, PrepareOptions) and options.learn_unlabeled,
    )


def summarize(survey: Survey) -> InspectResult:
    """Return the result for a survey."""
    samples, scans = survey.catalog.samples, survey.scans.values()
    pixels = sum((scan.labels.codes for scan in scans), Counter[int]())
    classes = survey.legend.classes if survey.legend else ()
    read = describe_source(survey)
    return InspectResult(
        layout=survey.catalog.layout,
        images=len(samples),
        bands=read.bands,
        groups=sorted({s.group for s in samples if s.group is not None}),
        classes=[
            ClassCount(name=c.name, code=c.map_code, pixels=sum(pixels[code] for code in c.codes))
            for c in classes
        ],
        findings=[f.as_json() for f in survey.findings],
        read=read,
    )


def describe_source(survey: Survey) -> SourceRead:
    """Return which labels, bands and pixels of a source were read."""
    catalog, images = survey.catalog, [scan.image for scan in survey.scans.values()]
    nodata = next((s.nodata for s in catalog.samples), None)
    total, valid = sum(i.grid.window.size for i in images), sum(i.valid for i in images)
    bands = Counter(image.bands for image in images).most_common(1)
    return SourceRead(
        labels=[*_describe_labels(catalog)],
        unlabeled=sum(s.labels is None for s in catalog.samples),
        bands=list(bands[0][0]) if bands else [],
        nodata=None if nodata is None else f"{nodata:.17g}",
        erode_nodata=max((s.erode_nodata for s in catalog.samples), default=0),
        no_data=1 - valid / total if total else None,
        dropped=_dropped(survey, total),
    )


def _dropped(survey: Survey, pixels: int) -> dict[str, float]:
    """Return the share of all pixels that quality layers dropped, by reason."""
    tallies = [scan.dropped for scan in survey.scans.values() if scan.dropped is not None]
    rest = pixels - sum(tally.pixels for tally in tallies)
    return shares_of([*tallies, QualityTally(pixels=rest)])


def _describe_labels(catalog: Catalog) -> Iterator[LabelsRead]:
    files = dict.fromkeys(s.labels for s in catalog.samples if isinstance(s.labels, Path))
    if files:
        yield LabelsRead(file=_below(next(iter(files)), catalog.root), files=len(files))
    labels = (s.labels for s in catalog.samples)
    for layer in {id(x): x for x in labels if isinstance(x, Features)}.values():
        yield LabelsRead(
            file=_below(Path(layer.path), catalog.root),
            files=1,
            column=layer.field or None,
            values=[str(value) for value in sorted(set(layer.values.tolist()))],
            features=len(layer.geometries),
        )


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _compare_with_training(options: InspectOptions, source: Path) -> InspectResult:
    """Scan an image, and compare it with the training data of a model where their bands agree."""
    given = given_options(options, ["labels", "pairs", *LABEL_OPTIONS])
    if given:
        message = f"{' and '.join(given)} is for labels, and --against takes an image alone"
        fix = f"Leave out {' and '.join(given)}"
        raise UsageError(message, code="option-conflict", fix=fix)
    model = Model(str(options.against))
    card, statistics = model.card, model.card.ood
    if statistics is None:
        message, fix = "The model has no statistics of its training data", "Train the model again"
        if card.imported is not None:
            fix = "Map a part of the image and look at it: an imported network has none"
        raise ModelError(message, code="no-training-statistics", file=model.path, fix=fix)
    read: dict[str, Any] = {
        "select": tuple(options.select_bands),
        "nodata": options.nodata,
        "scaled": card.scaled and not options.raw,
        "ignore_band_nodata": options.ignore_band_nodata,
        "erode_nodata": options.erode_nodata,
    }
    ood = OodResult(distance=None, threshold=statistics.threshold, bands=[])
    product = find_product(source) if is_product_path(source) else None
    if product is None:
        files = _image_files(options, source, card.image_bands)
        try:
            read["select"] = read["select"] or _bands_by_name(files, card, source)
        except DataError as error:
            return _image_result([Finding.of_error(error, source)], [], ood)
        sample = SourceSample(stem_of(source), files, None, **read, warp_image=options.warp)
    else:
        chosen = read["select"] or tuple(card.image_bands)
        choose_bands(product, chosen)  # an error where one is missing
        sample = dataclasses.replace(
            product_sample(product), **read | {"select": chosen}, warp_image=options.warp
        )
        read["select"] = ()
    sample = with_quality([sample], options, None)[0]
    scan = scan_sample(sample, "code", None)
    bands = [] if isinstance(scan, Finding) else [*scan.image.bands]
    findings = [scan] if isinstance(scan, Finding) else [*_check_input(scan.image, card, source)]
    if not isinstance(scan, Finding) and len(bands) == len(card.image_bands):
        names = None if read["select"] else card.image_bands
        fill = [band.fill for band in card.bands]
        raster = Raster(sample.parts, names, **read, warp=sample.is_warped, fill=fill)
        with InputImage(raster, latitude=card.latitude) as image:
            image.quality = sample.open_quality(image.grid)
            distance, _ = ood_distance(image, model.predictor, statistics)
            findings += _check_numbers(image, card, source)
        compared = _compare_bands(scan.image, card)
        ood = OodResult(distance=distance, threshold=statistics.threshold, bands=compared)
        findings += _check_distance(distance, statistics.threshold, source)
        findings += _note_dropped(scan, source)
    return _image_result(findings, bands, ood)


def _image_result(findings: Sequence[Finding], bands: list[str], ood: OodResult) -> InspectResult:
    listed = [f.as_json() for f in findings]
    return InspectResult(
        layout="image", images=1, bands=bands, groups=[], classes=[], findings=listed, ood=ood
    )


def _image_files(options: InspectOptions, source: Path, bands: Sequence[str]) -> tuple[Path, ...]:
    if not source.is_dir() or is_store(source):
        return (source,)
    if options.images:
        fix = "Give the image, or the folder of its bands, as SOURCE"
        raise UsageError("--against takes one image", code="option-conflict", fix=fix)
    return tuple(find_stack(source, bands))


def _bands_by_name(files: Sequence[Path], card: Card, source: Path) -> tuple[str, ...]:
    """Return the names of the model's bands in an image, none where names tell nothing."""
    if source.is_dir() and len(files) == len(card.image_bands):
        return ()
    with Raster(files) as image:
        places = match_bands(card.image_bands, [[name] for name in image.bands], source)
        return () if places is None else tuple(image.bands[place] for place in places)


def _check_numbers(image: InputImage, card: Card, source: Path) -> Iterator[Finding]:
    wrong = check_numbers(image, card.bands, card.dtype, advice="")
    if wrong is not None:
        fix = (
            "Give numbers in the scale of the training data, and bands in its order; --raw reads "
            "numbers as stored, without the file's scale and offset."
        )
        yield Finding("warning", "other-numbers", str(source), wrong, fix)


def _compare_bands(image: ImageScan, card: Card) -> list[BandComparison]:
    return [
        BandComparison(
            name=name,
            mean=own.mean,
            low=own.low,
            high=own.high,
            known_mean=known.fill,
            known_low=known.min,
            known_high=known.max,
        )
        for name, own, known in zip(image.bands, image.stats, card.bands, strict=False)
    ]


def _check_input(image: ImageScan, card: Card, source: Path) -> Iterator[Finding]:
    """Yield an error where an image has other bands than a model, a warning for another type."""
    bands, own, trained = card.image_bands, len(image.bands), len(card.image_bands)
    if own != trained:
        message = (
            f"The image has {own} band(s), and the model takes {trained} ({', '.join(bands)})."
        )
        fix = "Give an image with these bands."
        yield Finding("error", "other-bands", str(source), message, fix)
    elif str(image.dtype) != card.dtype:
        message = f"The image is {image.dtype}, and the model was trained on {card.dtype}."
        fix = "Convert the image to the type and scale of the training data."
        yield Finding("warning", "other-type", str(source), message, fix)


def _note_dropped(scan: SampleScan, source: Path) -> Iterator[Finding]:
    if scan.dropped is not None and scan.dropped.shares:
        shares = scan.dropped.shares
        parts = ", ".join(f"{reason} {share:.1%}" for reason, share in shares.items())
        message = f"Quality layers dropped {sum(shares.values()):.1%} of the pixels ({parts})."
        fix = "Nothing, or drop other reasons (--drop)."
        yield Finding("note", "quality-dropped", str(source), message, fix)


def _check_distance(distance: float, threshold: float, source: Path) -> Iterator[Finding]:
    if distance > threshold:
        limit = f"above {threshold:.3g}, the largest of a training group"
        message = f"The distance of the image from the training data is {distance:.3g}, {limit}."
        fix = "Check bands, their order and scale; if they are right, label a part of the area."
        yield Finding("warning", "unlike-training", str(source), message, fix)
