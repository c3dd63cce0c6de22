"""The survey of a source folder: scan all samples in parallel, check each, then all together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from rasterio.enums import ColorInterp

from swath.checks.band_checks import check_gray, check_scales, in_one_order
from swath.checks.band_order import check_band_order
from swath.checks.code_checks import (
    check_codes,
    check_hidden_classes,
    check_label_places,
    check_single_class,
    check_void_names,
)
from swath.checks.cross_checks import (
    Scanned,
    check_classes,
    check_consistency,
    check_duplicates,
    check_overlaps,
    find_duplicates,
)
from swath.checks.exchanged_classes import check_exchanged
from swath.checks.fit_checks import check_fits
from swath.checks.image_checks import check_image
from swath.checks.label_checks import LabelMeaning, check_labels
from swath.checks.label_colors import are_gray_codes, as_codes, check_palettes, painted
from swath.checks.layer_checks import check_layers
from swath.checks.scan import SampleScan, scan_sample
from swath.data.layouts.catalog import Catalog, SourceSample
from swath.errors import DataError, SwathError
from swath.io.labels import MaskReading, has_one_hot_bands, mask_kind
from swath.io.raster import gdal_errors, open_raster
from swath.legend import Kind, Legend, ignore_codes, legend_of_codes
from swath.progress import track
from swath.types import Finding

_LEVELS = ("error", "warning", "note")  # in the order of the findings


@dataclass(frozen=True)
class Survey:
    """Contents and faults of a source folder.

    Attributes:
        catalog: the samples.
        legend: the classes, given or found; None where none could be made.
        scans: by sample name; samples that could not be read are missing.
        findings: all findings, errors first.
        duplicates: names of samples that show the same, in pairs.
        stamps: of the samples' files by sample name, from before they were read.
    """

    catalog: Catalog
    legend: Legend | None
    scans: dict[str, SampleScan]
    findings: tuple[Finding, ...]
    duplicates: tuple[tuple[str, str], ...]
    stamps: dict[str, dict[str, str]]

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop `prepare`."""
        return [f for f in self.findings if f.level == "error"]


def run_survey(
    catalog: Catalog,
    legend: Legend | None,
    snap: bool = False,
    reading: MaskReading | None = None,
    learn_unlabeled: bool = False,
) -> Survey:
    """Scan all samples, each file once, and check them.

    Args:
        catalog: the result of a layout.
        legend: the user's classes; None to find them from all pixels of all masks, which takes
            the header of each mask before.
        snap: whether values of no class are taken for the nearest class, in masks of colors and in
            those that JPEG changed.
        reading: what the user says of label rasters.
        learn_unlabeled: whether ignored classes are trained, too.
    """
    stamps = {s.name: s.stamp for s in catalog.samples}
    reading = reading or MaskReading()
    masks = _Masks(legend.kind, reading) if legend else _look_at_masks(catalog.samples, reading)
    samples = tuple(replace(s, reading=masks.reading) for s in catalog.samples)
    scanned, unreadable = _scan(samples, masks.kind, legend)
    scanned, on_bands = in_one_order(scanned)
    chosen = {s.sample.name: s.sample for s in scanned}
    catalog = replace(catalog, samples=tuple(chosen.get(s.name, s) for s in samples))
    meaning, scanned = _meaning_of(scanned, masks, legend, snap)
    duplicates = find_duplicates(scanned)
    scans = {s.sample.name: s.scan for s in scanned}
    findings = [
        *catalog.findings,
        *unreadable,
        *_check_samples(scanned, meaning),
        *on_bands,
        *check_consistency(scanned),
        *check_scales(scanned),
        *check_gray(scanned),
        *check_duplicates(duplicates, scans),
        *check_overlaps(scanned),
        *check_fits(scanned),
        *check_exchanged(scanned),
        *check_band_order(scanned),
        *check_layers(scanned),
    ]
    bad = {f.sample for f in findings if f.level == "error"}
    good = [s for s in scanned if s.sample.name not in bad]
    findings += check_label_places(scanned)
    legend, on_classes = _find_classes(good, meaning, catalog.root, learn_unlabeled)
    findings += on_classes
    findings.sort(key=lambda f: _LEVELS.index(f.level))
    names = tuple((pair.later.name, pair.first.name) for pair in duplicates)
    return Survey(catalog, legend, scans, tuple(findings), names, stamps)


def _meaning_of(
    scanned: Sequence[Scanned], masks: _Masks, legend: Legend | None, snap: bool
) -> tuple[LabelMeaning, list[Scanned]]:
    """Return what the values of masks mean, and scans whose labels are of that kind."""
    kind, scanned = masks.kind, list(scanned)
    if legend is None and kind == "color" and not masks.palettes:
        kind, scanned = _codes_if_gray(scanned)
    snap = snap and (kind == "color" or any(s.scan.labels.lossy for s in scanned))
    legend = replace(legend, snap=snap) if legend else None
    return LabelMeaning(kind, legend, _palette(scanned, kind, legend), snap), scanned


def _find_classes(
    good: Sequence[Scanned], meaning: LabelMeaning, root: Path, learn_unlabeled: bool
) -> tuple[Legend | None, list[Finding]]:
    """Return the classes, given or found, and findings on them; None where none could be made."""
    findings = [*check_codes(good, meaning, root)]
    try:
        legend = meaning.legend or _find_legend(good, meaning)
    except SwathError as error:
        return None, [*findings, Finding.of_error(error, root)]
    if legend is not None:
        trained = legend.all_trained() if learn_unlabeled else legend
        findings += check_single_class(good, trained, root)
        findings += check_hidden_classes(good, trained, root)
        findings += check_void_names(good, trained, root)
        findings += _check_legend(good, legend, root)
    return legend, findings


def _scan(
    samples: Sequence[SourceSample], kind: Kind, legend: Legend | None
) -> tuple[list[Scanned], list[Finding]]:
    """Scan samples in parallel; return those that could be read, and findings on the others."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        mapped = pool.map(lambda s: scan_sample(s, kind, legend), samples)
        results = list(zip(samples, track(mapped, "reading", len(samples)), strict=True))
    scanned = [Scanned(s, found) for s, found in results if not isinstance(found, Finding)]
    return scanned, [found for _, found in results if isinstance(found, Finding)]


def _palette(scanned: Sequence[Scanned], kind: Kind, legend: Legend | None) -> list[int]:
    """Return the values of the classes, or those that were evidently painted."""
    if legend is None:
        return painted((s.scan.labels for s in scanned), kind)
    return [code for c in legend.classes for code in c.codes]


def _check_samples(scanned: Sequence[Scanned], meaning: LabelMeaning) -> Iterator[Finding]:
    for sample, scan in scanned:
        yield from check_image(sample, scan)
        yield from check_labels(sample, scan, meaning)


def _find_legend(scanned: Sequence[Scanned], meaning: LabelMeaning) -> Legend | None:
    """Make the legend of all codes that samples hold; None where they hold none."""
    codes = {code for s in scanned for code in s.scan.labels.codes}
    if meaning.snap:
        codes &= set(meaning.palette)
    if meaning.kind == "code":
        codes -= set(ignore_codes(codes))
    if not codes:
        return None
    names = {code: name for s in scanned for code, name in s.scan.labels.names.items()}
    return legend_of_codes(sorted(codes), meaning.kind, names, meaning.snap)


def _check_legend(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    yield from check_classes(scanned, legend, root)
    if legend.kind == "color":
        yield from check_palettes(root, {code for s in scanned for code in s.scan.labels.codes})


_Palette: TypeAlias = dict[int, tuple[int, int, int, int]]


class _Masks(NamedTuple):
    """What the masks of a source hold."""

    kind: Kind
    reading: MaskReading
    palettes: bool = False  # whether some have palettes


def _look_at_masks(samples: Sequence[SourceSample], reading: MaskReading) -> _Masks:
    """Find what most masks hold, so that one odd mask does not change the others.

    Palette images hold codes while their palettes agree; each with its own order of colors, they
    hold colors. Unreadable masks are reported by the scan.
    """
    kinds: Counter[Kind | None] = Counter()  # None for masks whose pixels leave it open
    one_hot: Counter[bool] = Counter()
    palettes: list[_Palette] = []
    for path in {s.labels for s in samples if isinstance(s.labels, Path)}:
        with suppress(DataError):
            kind, hot, palette = _read_header(path, reading)
            kinds[kind] += 1
            one_hot[hot] += kind is not None
            palettes += [] if palette is None else [palette]
    if not _agree(palettes) and reading.band is None:
        kinds["color"] += len(palettes)
        kinds["code"] -= len(palettes)
    if kinds["color"] > kinds["code"] or (kinds[None] and not kinds["code"]):
        return _Masks("color", reading, bool(palettes))
    if one_hot[True] > one_hot[False]:
        reading = replace(reading, one_hot=True)
    return _Masks("code", reading, bool(palettes))


def _read_header(path: Path, reading: MaskReading) -> tuple[Kind | None, bool, _Palette | None]:
    """Read what a mask holds: its kind, whether bands are classes, and its palette.

    A GeoTIFF's palette is left out, since it only colors codes.
    """
    with open_raster(path) as dataset, gdal_errors(path):
        if reading.band is not None:
            return "code", False, None
        has_palette = dataset.colorinterp[0] == ColorInterp.palette and dataset.driver != "GTiff"
        hot = has_one_hot_bands(dataset)
        kind = None if hot is None else mask_kind(dataset)
        return kind, bool(hot), dataset.colormap(1) if has_palette else None


def _codes_if_gray(scanned: Sequence[Scanned]) -> tuple[Kind, list[Scanned]]:
    """Return masks of three equal bands as codes, and all others as they are."""
    if not are_gray_codes([s.scan.labels for s in scanned]):
        return "color", list(scanned)
    found = [replace(s.scan, labels=as_codes(s.scan.labels)) for s in scanned]
    return "code", [Scanned(s.sample, scan) for s, scan in zip(scanned, found, strict=True)]


def _agree(palettes: Sequence[_Palette]) -> bool:
    merged = {code: color for palette in palettes for code, color in palette.items()}
    return all(merged[code] == color for palette in palettes for code, color in palette.items())
