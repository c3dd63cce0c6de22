"""Text for people: one function for the result of each command, named after the command."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from swath.types import ADAPTED, DESCRIBED_BY

if TYPE_CHECKING:
    from swath.commands.area import AreaResult, ClassArea
    from swath.commands.calibrate import CalibrateResult
    from swath.commands.catalog import CatalogResult
    from swath.commands.change import ChangeResult
    from swath.commands.compare import CompareResult
    from swath.commands.crossvalidate import CrossvalidateResult
    from swath.commands.demo import DemoResult
    from swath.commands.export import ExportResult
    from swath.commands.import_onnx import ImportResult
    from swath.commands.inspect import InspectResult, ProductRead, SourceRead
    from swath.commands.label import LabelResult
    from swath.commands.predict import PredictResult
    from swath.commands.prepare import PrepareResult
    from swath.commands.quantize import QuantizeResult
    from swath.commands.sample import SampleResult
    from swath.commands.serve import ServeResult
    from swath.commands.submit import SubmitResult
    from swath.commands.suggest import SuggestResult
    from swath.commands.view import ViewResult
    from swath.evaluation.results import EvaluateResult
    from swath.mapping.estimate import Estimate
    from swath.mapping.job import ImageRead
    from swath.models.card import FoldScores
    from swath.models.catalog.entry import ListedModel
    from swath.training.result import TrainResult

MAX_NAMES = 12
"""Largest number of names in a list."""


def inspect(result: InspectResult) -> str:
    """Format what a source folder holds, and its findings."""
    total = sum(c.pixels for c in result.classes) or 1
    bands = ", ".join(result.bands) or "none"
    lines = [f"{_count(result.images, 'image')}, layout {result.layout}, bands: {bands}"]
    if result.products:
        lines = [line for product in result.products for line in _product(product)]
    if result.groups:
        lines.append(f"{_count(len(result.groups), 'group')}: {_names(result.groups)}")
    lines += [] if result.read is None else _source_read(result.read)
    for c in result.classes:
        lines.append(f"  {c.code:>5}  {c.name:<26} {c.pixels / total:6.1%}  {c.pixels} pixels")
    found = result.ood
    if found is not None:
        distance = "-" if found.distance is None else f"{found.distance:.3g}"
        limit = f"1 is usual, {found.threshold:.3g} the limit"
        lines.append(f"Distance from the training data: {distance} ({limit})")
        for b in found.bands:
            known = f"training data {b.known_low:g} to {b.known_high:g}, mean {b.known_mean:.4g}"
            lines.append(f"  {b.name:<12} {b.low:g} to {b.high:g}, mean {b.mean:.4g}; {known}")
    levels = Counter(f["level"] for f in result.findings)
    counts = ", ".join(_count(levels[level], level) for level in ("error", "warning", "note"))
    return _joined([*lines, f"Findings: {counts}", *_findings(result.findings)], result.report)


def _product(product: ProductRead) -> Iterator[str]:
    """Yield the lines on a product: what it is, its bands, its quality layers."""
    level = f" {product.level}" if product.level else ""
    baseline = f", baseline {product.baseline}" if product.baseline else ""
    yield f"{product.name}: {product.sensor}{level}, {product.acquired or 'no date'}{baseline}"
    for band in product.bands:
        own = f"({band.sensor_name})" if band.sensor_name else ""
        center = f"{band.wavelength:.3f} um" if band.wavelength else ""
        size = "unreadable" if band.resolution is None else f"{band.resolution:g}"
        numbers = "dB" if band.decibels else f"x {band.scale:.6g} {band.offset:+.6g}"
        asked = "" if band.is_default else "  only with --select-bands"
        yield f"  {band.name:<10} {own:<14} {center:>9}  {size:>6}  {numbers}{asked}"
    for layer in product.quality:
        yield f"  quality: {layer.kind} ({layer.path.rpartition('/')[2]})"


def prepare(result: PrepareResult) -> str:
    """Format the splits of a dataset, and the shares of its classes."""
    bands = ", ".join(result.bands)
    images = _count(result.images, "image")
    lines = [f"{result.dataset}: {images}, layout {result.layout}, bands: {bands}"]
    lines += _source_read(result.read)
    for name, split in result.splits.items():
        pixels = f"{split.pixels:>12} labeled pixels"
        images = "image " if split.images == 1 else "images"
        lines.append(f"  {name:<5} {split.images:>5} {images}  {pixels}  {_names(split.groups)}")
    lines.append(f"{'':35}" + "".join(f"{name:>8}" for name in result.splits))
    for c in result.classes:
        shares = "".join(f"{share:8.1%}" for share in c.shares.values())
        lines.append(f"  {c.code:>5} {c.name:<26} {shares}")
    if result.read.nodata is not None:
        value = result.read.nodata
        lines.append(
            f"The model will not know nodata {value}: declare it in images that are mapped "
            f"(rio edit-info --nodata {value} FILE)"
        )
    if result.read.erode_nodata:
        eroded = result.read.erode_nodata
        lines.append(f"Map images as they were trained: with --erode-nodata {eroded}, too")
    if result.skipped:
        lines.append(f"Skipped: {_names(result.skipped)}")
    return _joined([*lines, *_findings(result.findings)])


def train(result: TrainResult) -> str:
    """Format the speed and the validation score of a training, and what it sampled."""
    lines = [
        f"{result.model}: {result.parameters / 1e6:.1f} million weights, {result.steps} steps "
        f"in {result.seconds:.0f} s, {result.pixels_per_second / 1e6:.2f} Mpixel/s, "
        f"{result.waited:.1%} of the time waiting for data, "
        f"validation mIoU {_score(result.validation_miou)}",
        f"  initial weights: {result.first_weights}",
        f"  {'share of the pixels':<26} labeled sampled",
    ]
    lines += [f"  {c.name:<26} {c.share:8.1%} {c.drawn:7.1%}" for c in result.sampling]
    if result.with_quick:
        lines.append("Labels are few: the model is averaged with the quick recipe")
    if result.features is not None:
        lines[0] = (
            f"{result.model}: {result.parameters} weights in {result.seconds:.1f} s; a pixel is "
            f"described by {DESCRIBED_BY[result.features]}"
        )
        if result.adapted is not None:
            lines.append(f"Taken: {ADAPTED[result.adapted]}")
        if (scores := result.compared) is not None:
            lines[-1] += (
                f"; mIoU on held-out labels: corrected {_score(scores.corrected)}, as it is "
                f"{_score(scores.unchanged)}, labels alone {_score(scores.labels)} (train without "
                "--from for these; they do worse on other images than on this one)"
            )
        lines.append(_folds(result.folds) if result.folds is not None else _unscored(result))
    return _joined(lines)


def _unscored(result: TrainResult) -> str:
    """Format why no labels were held out."""
    names = _names(result.in_one_place)
    return f"No score: all labels of {names} are in one place; label each class in two or more"


def _folds(folds: FoldScores) -> str:
    """Format the scores on labels that were held out in turn."""
    own = f"mIoU {_score(folds.miou)} {_interval(folds.interval)}"
    return (
        f"{own} on {folds.pixels} labeled pixels that were held out in turn ({folds.folds} parts, "
        f"{folds.groups} groups of labels); between the labels a map has more errors\n"
        f"{_forest(folds)}"
    )


def _forest(folds: FoldScores) -> str:
    """Format what a random forest has on the same labels."""
    if folds.forest is None:
        return 'No random forest to compare with: `pip install "swath[forest]"`, and train again'
    what = "A random forest on the same bands, labels and parts has"
    better = "" if folds.forest <= folds.miou else ": it is better than this model"
    return f"{what} {_score(folds.forest)} {_interval(folds.forest_interval)}{better}"


def crossvalidate(result: CrossvalidateResult) -> str:
    """Format the scores of all folds."""
    return _joined(
        [
            f"mIoU {_score(result.miou)} {_interval(result.miou_interval)} over all folds; mean of "
            f"folds {_score(result.mean)}, standard deviation {_score(result.deviation)}",
            *(f"  {_score(f.miou)}  {f.model}  {_names(f.groups)}" for f in result.folds),
            f"Result: {result.result}",
        ]
    )


def evaluate(result: EvaluateResult) -> str:
    """Format the scores of a model or a map."""
    if result.split == "folds":
        return _evaluate_folds(result)
    part = _count(result.images, "block" if result.split == "labels" else "image")
    part += " with labels" if result.split == "labels" else f" of split {result.split}"
    lines = [
        f"mIoU {_score(result.miou)} {_interval(result.miou_interval)}, "
        f"accuracy {_score(result.accuracy)} {_interval(result.accuracy_interval)}, "
        f"kappa {_score(result.kappa)} on {part}",
        f"  {'':<32}   IoU  95% interval        F1  precision  recall  boundary",
    ]
    for c in result.classes:
        iou = f"{_score(c.iou)}  {_interval(c.iou_interval):<18}"
        rates = f"{_score(c.f1)}      {_score(c.precision)}   {_score(c.recall)}"
        lines.append(f"  {c.code:>5} {c.name:<26} {iou} {rates}     {_score(c.boundary_iou)}")
    if len(result.groups) < 3:
        lines.append(f"No intervals: {len(result.groups)} group(s) were scored, 3 are needed")
    if result.reliability is not None:
        r = result.reliability
        fitted = "not calibrated: no validation split"
        if r.temperature != 1:
            fitted = f"{_score(r.error_before)} before calibration"
        lines.append(f"Expected calibration error {_score(r.error)} ({fitted})")
    if result.unmapped:
        lines.append(f"{result.unmapped} labeled pixels have no data in the map and are not scored")
    if result.forest is not None:
        better = "" if result.miou is None or result.forest <= result.miou else ", more than this"
        own = f"{_score(result.forest)} {_interval(result.forest_interval)}{better}"
        lines.append(f"A random forest on the same bands and split: mIoU {own}")
    if result.miou_with_unlabeled is not None:
        lines.append(f"mIoU with 'unlabeled' as a class: {_score(result.miou_with_unlabeled)}")
    if result.miou3 is not None:
        known = f"heights within 1 m, known at {result.heights_known:.0%} of pixels"
        lines.append(f"mIoU-3 ({known}): {_score(result.miou3)}")
    return _joined(lines, result.report)


def _evaluate_folds(result: EvaluateResult) -> str:
    """Format the scores that a model has of its training, where nothing else was held out."""
    lines = [
        "The test split is empty: these are the scores of the training",
        *([] if result.folds is None else [_folds(result.folds)]),
        f"  {'':<32}   IoU     F1  precision  recall",
    ]
    for c in result.classes:
        rates = f"{_score(c.f1)}      {_score(c.precision)}   {_score(c.recall)}"
        lines.append(f"  {c.code:>5} {c.name:<26} {_score(c.iou)}  {rates}")
    return _joined(lines, result.report)


def compare(result: CompareResult) -> str:
    """Format the differences of two models or maps."""
    where = f"{result.groups} group(s) of the {result.split} split"
    lines = [
        f"A = {result.a}, B = {result.b}, on {where}",
        f"  {'':<20}     A      B   B - A  95% interval",
    ]
    for d in result.differences:
        change = "-" if d.difference is None else f"{d.difference:+.3f}"
        scores = f"{_score(d.a)}  {_score(d.b)}  {change}"
        lines.append(f"  {d.name:<20} {scores}  {_interval(d.interval)}")
    if result.images:
        worst = result.images[0]
        share = f"{worst.differ:.1%} of its labeled pixels differ"
        lines.append(f"Largest disagreement: {worst.name}, where {share}")
    return _joined(lines, result.report)


def predict(result: PredictResult) -> str:
    """Format what was mapped, or the estimate that `--plan` asks for."""
    if result.plan is not None:
        return _estimate(result, result.plan)
    lines = [f"{result.map}: {result.pixels / 1e6:.2f} Mpixel in {result.seconds:.1f} s"]
    lines += [f"  also {name}" for name in result.maps if name != result.map]
    lines += _images_read(result.read)
    for name, count in result.classes.items():
        lines.append(f"  {name:<26} {count / result.pixels:6.1%}")
    lines.append(f"  {'(no data)':<26} {result.nodata / result.pixels:6.1%}")
    lines += _dropped(result.dropped)
    if result.zooms != [1]:
        scales = ", ".join(map(_fraction, result.zooms))
        lines.append(f"  seen at scale {scales}, the ground sampling distance of the model")
    return _joined([*lines, *_skipped(result)])


def _skipped(result: PredictResult) -> list[str]:
    """Format the images that were left out, and why."""
    if not result.skipped:
        return []
    count = _count(len(result.skipped), "image")
    return [f"Skipped {count}: {', '.join(result.skipped)}", *_findings(result.findings)]


def _images_read(images: Sequence[ImageRead]) -> list[str]:
    """Format how images were read, a line for those that were read alike."""
    alike: dict[str, list[ImageRead]] = {}
    for image in images:
        numbers = "scale and offset applied" if image.scaled else "numbers as stored"
        quality = f"; quality {', '.join(image.quality)}" if len(images) == 1 else ""
        quality = quality if image.quality else ""
        warped = "; warped as control points or RPCs place it" if image.warped else ""
        text = f"bands {_names(image.bands)}; {numbers}{warped}{quality}"
        alike.setdefault(text, []).append(image)
    return [
        f"  read {_shown(same[0].file) if len(same) == 1 else f'{len(same)} images'}: {text}"
        for text, same in alike.items()
    ]


def _estimate(result: PredictResult, plan: Estimate) -> str:
    rows, cols = plan.read
    seam = "not measured"
    if plan.seam is not None:
        seam = f"{plan.seam:.2%} of labels differ from whole images"
    overhead = f"{result.overhead:.2f} pixels read for each one mapped"
    engine = f"{result.engine}, {result.precision}, {plan.threads} thread(s)"
    times = ", ".join(f"{_duration(s)} on {n}" for n, s in plan.seconds.items())
    lines = [
        f"{result.pixels / 1e6:.2f} Mpixel, in {result.tiles} tiles that read {cols}x{rows} pixels",
        f"  halo      {plan.halo} pixels ({seam}); {overhead}",
        f"  engine    {engine}; {plan.pixels_per_second / 1e6:.2f} Mpixel/s",
    ]
    if plan.zoom != 1:
        share = f"{plan.cost:.3g} pixels through the network for each one read"
        scale = f"{_fraction(plan.zoom)}, the ground sampling distance of the model"
        lines.append(f"  scale     {scale}; {share}")
    if plan.tta != "none":
        work = f"{plan.views} views of each tile, {plan.cost / plan.zoom**2:.3g} times the work"
        lines.append(f"  tta       {plan.tta}: {work} of one; included in the speed")
    lines += [
        f"  memory    at most {plan.memory_bytes / 1e9:.1f} GB a worker",
        f"  disk      at most {plan.disk_bytes / 1e9:.2f} GB while it runs",
        f"  time      {times} machine(s) like this one",
    ]
    if plan.context == "global":
        lines.append("  Labels depend on the whole tile in this network; expect seams.")
    return _joined([*lines, *_skipped(result)])


def sample(result: SampleResult) -> str:
    """Format how many points each class has, and the next step."""
    drawn = ", ".join(f"{name} {count}" for name, count in result.classes.items())
    columns = " and ".join(f"`{name}`" for name in result.columns)
    column = "column" if len(result.columns) == 1 else "columns"
    return (
        f"{result.points}: {result.n} points ({drawn})\n"
        f"Write the class that you see at each point into the {column} {columns}, then run "
        "`swath area MAP --reference POINTS`."
    )


def suggest(result: SuggestResult) -> str:
    """Format how many regions each mapped class has, and the next step."""
    found = ", ".join(f"{name} {count}" for name, count in result.classes.items() if count)
    seen = "" if result.seen == 1 else f"; {result.seen:.0%} of the image was searched"
    if not result.n:
        return f"{result.regions}: no regions: no errors are expected outside of the labels{seen}"
    return (
        f"{result.regions}: {result.n} regions, by the class that is mapped there: {found}{seen}\n"
        "Add labels in them, the first regions first, and train again."
    )


def area(result: AreaResult) -> str:
    """Format the area of each class, with its interval."""
    columns = f"{'mapped':>14} {'estimated':>14}  {'95% interval':<30}"
    lines = [f"  {'hectares':<26} {columns} user's  producer's"]
    lines += [_class_area(c, f"{c.code:>5} ") for c in result.classes]
    lines += [_class_area(c, " " * 6) for c in result.change]
    overall = f"Overall accuracy {result.overall:.1%} of the area"
    if result.overall_interval is not None:
        overall += " (95% interval {:.1%} to {:.1%})".format(*result.overall_interval)
    return _joined([*lines, overall, f"From: {result.method}", f"Assumes: {result.assumes}"])


def _class_area(c: ClassArea, code: str) -> str:
    between = "-" if c.interval is None else "{:,.1f} to {:,.1f}".format(*c.interval)
    hectares = f"{c.mapped:>14,.1f} {c.area:>14,.1f}  {between:<30}"
    rates = f"{_score(c.users):<6}  {_score(c.producers)}"
    return f"  {code}{c.name:<20} {hectares} {rates}"


def change(result: ChangeResult) -> str:
    """Format what became what, and what was not taken as change."""
    area = "" if result.hectares is None else f", {result.hectares:,.1f} hectares"
    lines = [
        f"{result.change}: {result.changed} of {result.pixels} pixels changed{area}"
        + (f", {result.dates[0].date} to {result.dates[-1].date}" if result.dates else ""),
        *(f"  also {name}" for name in result.files if name != result.change),
        *([] if result.report is None else [f"  report: {result.report}"]),
    ]
    if result.at_least is not None and result.prior is not None:
        origin = "estimated from the maps" if result.estimated else "as given"
        lines.append(
            f"  change is taken from a probability of {result.at_least:.0%} on; prior of change "
            f"{result.prior:.2%}{' from date to date' * bool(result.dates)}, {origin}"
        )
    lines += [
        f"  {row.date:<10} {row.changed} pixels changed"
        + ("" if row.hectares is None else f", {row.hectares:,.1f} hectares")
        + f"; data in {row.data}: {row.map}"
        for row in result.dates
    ]
    if result.counts:
        more = [f"{count} {i} times" for i, count in enumerate(result.counts) if i > 1 and count]
        once = [f"pixels that changed: {result.counts[1]} once"]
        lines.append("  " + ", ".join(once + more))
    lines.append(
        f"  of {result.differ} pixels whose classes differ, {result.unsure} are too unsure; a "
        f"shift explains {result.shifted} changes"
    )
    if result.old_only or result.new_only:
        lines.append(
            f"  data at one date alone: {result.old_only} pixels in OLD, {result.new_only} in NEW"
        )
    lines.append(f"  {'code':>5} {'from':<22} {'to':<22} {'hectares':>14} {'confidence':>10}")
    for row in result.transitions:
        size = f"{row.pixels} px" if row.hectares is None else f"{row.hectares:,.1f}"
        sure = "" if row.confidence is None else f"{row.confidence:.0f}%"
        sure = sure if row.old != row.new else ""
        to = row.new if row.old != row.new else "(no change)"
        lines.append(f"  {row.code:>5} {row.old:<22} {to:<22} {size:>14} {sure:>10}")
    lines.append(
        "Hectares are counted pixels. For areas with intervals: `swath sample CHANGE POINTS`, then "
        "`swath area CHANGE --reference POINTS`."
    )
    return _joined(lines)


def calibrate(result: CalibrateResult) -> str:
    """Format how confident a model is now."""
    labels = f"{result.pixels} labels of the split {result.split}"
    if result.thresholds is not None:
        least = ", ".join(f"{share:.3f}" for share in result.thresholds)
        return f"{result.model}: masks calibrated on {labels}; thresholds {least}"
    return (
        f"{result.model}: temperature {result.temperature:.3f}, from {labels}; calibration error "
        f"{result.error_before:.3f} before, {result.error_after:.3f} after"
    )


def import_onnx(result: ImportResult) -> str:
    """Format what a network was turned into, and how far engines agree on it."""
    classes = ", ".join(f"{name} {code}" for name, code in result.classes.items())
    factors = {f"{gain:.6g} {shift:+.6g}" for gain, shift in result.scaling}
    scaling = ", ".join(f"{gain:.6g} {shift:+.6g}" for gain, shift in result.scaling)
    if len(factors) == 1:
        scaling = factors.pop()
    numbers = "physical values" if result.scaled else "stored numbers"
    sizes = f"any multiple of {result.stride} pixels"
    if result.window is not None:
        sizes = f"windows of {result.window}x{result.window} pixels"
    seam = "not measured" if result.seam is None else f"{result.seam:.2%} of labels"
    changed = f"{result.labels_changed:.3%} of labels differ between engines"
    if result.bf16_changed is not None:
        changed += f", {result.bf16_changed:.3%} in bf16"
    return _joined(
        [
            f"{result.model}: imported; metadata: {', '.join(result.metadata) or 'none'}",
            f"  bands     {_names(result.bands)}; {result.layout}",
            f"  classes   {classes}; from {result.output}",
            f"  scaling   {scaling}, of {numbers}",
            f"  sizes     {sizes}; context {result.context}",
            f"  halo      {result.halo} pixels; seams change: {seam}",
            f"  compared  on {result.compared_on}: {changed}",
            f"  license   {result.license or 'unknown'}; source: {result.source or 'unknown'}",
        ]
    )


def catalog(result: CatalogResult) -> str:
    """Format the models of a place, and what was written."""
    if result.file is not None:
        lines = [f"{result.file}: fetched and checked"]
    else:
        lines = [f"{result.place}: {_count(len(result.models), 'model')}"]
    for model in result.models:
        lines += _listed(model)
    if result.catalog is not None:
        lines.append(f"Catalog: {result.catalog}")
    return _joined(lines)


def _listed(model: ListedModel) -> Iterator[str]:
    """Yield the lines on a model that a place lists."""
    size = "size unknown" if model.bytes is None else f"{model.bytes / 1e6:.1f} MB"
    gsd = "any resolution" if model.gsd is None else f"{model.gsd:g} m"
    yield f"  {model.name}: {size}, {gsd}, license {model.license or 'unknown'}"
    yield f"    bands    {_names(model.bands)}"
    yield f"    classes  {_names([f'{name} {code}' for name, code in model.classes.items()])}"
    if model.scores:
        yield "    mIoU     " + ", ".join(f"{v:.3f} ({k})" for k, v in model.scores.items())


def quantize(result: QuantizeResult) -> str:
    """Format how much the 8-bit network differs, and how fast it is."""
    changed = f"{result.labels_changed:.2%} of the labels of {result.compared} patches"
    return (
        f"{result.model}: int8 added, from {result.samples} patches; {changed} "
        f"differ from float32, at {result.speed:.2f} times the usual speed here"
    )


def export(result: ExportResult) -> str:
    """Format the size and the metadata of an ONNX file."""
    return f"{result.file}: {result.bytes / 1e6:.1f} MB, with {', '.join(result.metadata)}"


def submit(result: SubmitResult) -> str:
    """Format what a submission holds."""
    content = "classes and heights" if result.heights else "classes"
    return f"{result.archive}: {content} of {result.images} images in {result.seconds:.0f} s"


def view(result: ViewResult) -> str:
    """Format the address of the viewer."""
    return f"{result.url}\n  shows {', '.join(result.layers)}; Ctrl-C ends it"


def label(result: LabelResult) -> str:
    """Format the address of the page for labels, and what the labels are."""
    classes = _names(result.classes) or "none yet"
    return (
        f"{result.url}\n"
        f"  {result.features} labels in {result.labels}; classes: {classes}; Ctrl-C ends it"
    )


def serve(result: ServeResult) -> str:
    """Format the addresses of the server."""
    query = f"?token={result.token}" if result.token else ""
    return (
        f"Page:  {result.url}{query}\n"
        f"API:   {result.url}docs{query}\n"
        f"QGIS:  {result.url}cog/WMTSCapabilities.xml?url=FILE{query.replace('?', '&')}\n"
        f"{result.files} rasters; Ctrl-C ends it"
    )


def demo(result: DemoResult) -> str:
    """Format the score of the demo, and where its files are."""
    best = f"the best map from one pixel's color alone has {result.yardstick_miou:.3f}"
    shown = f"Open the viewer: {shlex.join(result.view)}"
    if result.url:
        shown = f"{result.url} shows it; Ctrl-C ends it"
    return (
        f"Held-out blocks: mIoU {result.miou:.3f}; {best}\n"
        f"Map:    {result.map}\n"
        f"Report: {result.report}\n"
        f"Model:  {result.model}\n"
        f"{result.seconds / 60:.1f} minutes in all\n"
        f"{shown}"
    )


def _joined(lines: Iterable[str], report: str | None = None) -> str:
    """Join lines; the last one is the path of the report, if there is one."""
    return "\n".join([*lines, f"Report: {report}"] if report else lines)


def _count(number: int, what: str) -> str:
    """Format a number of things."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _shown(path: str) -> str:
    """Return a path from the working directory, if it lies there, without GDAL's words."""
    text = re.sub(r"^/vsi(?:zip|tar)/\{?([^}]+)\}?", r"\1", path)
    return text.removeprefix(f"{os.getcwd()}{os.sep}")


def _names(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _source_read(read: SourceRead) -> list[str]:
    """Format one line each: sources of labels, pixels without data, sources of the splits."""
    lines = []
    for labels in read.labels:
        if labels.features is None:
            such = f"{labels.files} rasters such as " if labels.files > 1 else ""
            lines.append(f"Labels: {such}{labels.file}")
            continue
        column = "no class column" if labels.column is None else f"column {labels.column}"
        values = f" ({_names(labels.values)})" if labels.values else ""
        lines.append(
            f"Labels: {labels.file}, {column}{values}, {_count(labels.features, 'feature')}"
        )
    if read.unlabeled:
        lines.append(f"Labels: none for {read.unlabeled} image(s)")
    if read.no_data is not None:
        given = "" if read.nodata is None else f", with --nodata {read.nodata}"
        eroded = f", with --erode-nodata {read.erode_nodata}" if read.erode_nodata else ""
        lines.append(f"No data: {read.no_data:.1%} of the pixels{given}{eroded}")
    lines += _dropped(read.dropped)
    if read.split:
        lines.append("Split: " + ", ".join(f"{k} {v}" for k, v in read.split.items()))
    return lines


def _dropped(shares: dict[str, float]) -> list[str]:
    """Format one line on what quality layers dropped, by reason; none where that is nothing."""
    if not shares:
        return []
    parts = ", ".join(f"{reason} {share:.1%}" for reason, share in shares.items())
    return [f"Dropped by quality layers: {sum(shares.values()):.1%} of the pixels ({parts})"]


def _findings(findings: Sequence[dict[str, str]]) -> list[str]:
    """Format one line per kind of finding: level, code, count, first files, message and mend."""
    from swath.types import Finding, describe_kind, findings_by_kind

    shown = [{**f, "file": _shown(f["file"])} for f in findings]
    kinds = findings_by_kind(Finding(**f) for f in shown)  # type: ignore[arg-type]
    return [f"  {kind[0].level:<7} {describe_kind(kind)}" for kind in kinds]


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"({interval[0]:.3f} to {interval[1]:.3f})"


def _fraction(zoom: float) -> str:
    return str(Fraction(zoom).limit_denominator(100))


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
