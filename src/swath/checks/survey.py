"""The survey of a source folder: scan all samples in parallel, check each, then all together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from rasterio.enums import ColorInterp

from swath.checks.cross_checks import (
    Scanned,
    check_classes,
    check_consistency,
    check_duplicates,
    check_overlaps,
    find_duplicates,
)
from swath.checks.image_checks import check_image
from swath.checks.label_checks import LabelMeaning, check_labels
from swath.checks.label_colors import check_palettes, painted
from swath.checks.layer_checks import check_layers
from swath.checks.scan import SampleScan, scan_sample
from swath.data.layouts import Catalog, SourceSample
from swath.errors import DataError, SwathError
from swath.io.labels import mask_kind
from swath.io.raster import open_raster
from swath.legend import Kind, Legend, legend_of_codes
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


def run_survey(catalog: Catalog, legend: Legend | None, snap: bool = False) -> Survey:
    """Scan all samples, each file once, and check them.

    Args:
        catalog: the result of a layout.
        legend: the user's classes; None to find them from all pixels of all masks, which takes
            the header of each mask before.
        snap: whether values of no class are taken for the nearest class.
    """
    samples = catalog.samples
    stamps = {s.name: s.stamp for s in samples}
    legend = replace(legend, snap=snap) if legend else None
    kind = legend.kind if legend else _kind_of_masks(samples)
    scanned, unreadable = _scan(samples, kind, legend)
    scans = {s.sample.name: s.scan for s in scanned}
    meaning = LabelMeaning(kind, legend, _palette(scanned, kind, legend), snap)
    duplicates = find_duplicates(scanned)
    findings = [
        *catalog.findings,
        *unreadable,
        *_check_samples(scanned, meaning),
        *check_consistency(scanned),
        *check_duplicates(duplicates, scans),
        *check_overlaps(scanned),
        *check_layers(scanned),
    ]
    bad = {f.sample for f in findings if f.level == "error"}
    good = [s for s in scanned if s.sample.name not in bad]
    try:
        legend = legend or _find_legend(good, meaning)
    except SwathError as error:
        findings.append(Finding.of_error(error, catalog.root))
    if legend is not None:
        findings += _check_legend(good, legend, catalog.root)
    findings.sort(key=lambda f: _LEVELS.index(f.level))
    names = tuple((pair.later.name, pair.first.name) for pair in duplicates)
    return Survey(catalog, legend, scans, tuple(findings), names, stamps)


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
    if not codes:
        return None
    names = {code: name for s in scanned for code, name in s.scan.labels.names.items()}
    return legend_of_codes(sorted(codes), meaning.kind, names, meaning.snap)


def _check_legend(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    yield from check_classes(scanned, legend, root)
    if legend.kind == "color":
        yield from check_palettes(root, {code for s in scanned for code in s.scan.labels.codes})


_Palette: TypeAlias = dict[int, tuple[int, int, int, int]]


def _kind_of_masks(samples: Sequence[SourceSample]) -> Kind:
    """Return whether most masks hold colors, so that one odd mask does not change the others.

    Palette images hold codes while their palettes agree; each with its own order of colors, they
    hold colors. Unreadable masks are reported by the scan.
    """
    kinds: Counter[Kind] = Counter()
    palettes: list[_Palette] = []
    for path in {s.labels for s in samples if isinstance(s.labels, Path)}:
        with suppress(DataError):
            kind, palette = _read_header(path)
            kinds[kind] += 1
            palettes += [] if palette is None else [palette]
    if not _agree(palettes):
        kinds["color"] += len(palettes)
        kinds["code"] -= len(palettes)
    return "color" if kinds["color"] > kinds["code"] else "code"


def _read_header(path: Path) -> tuple[Kind, _Palette | None]:
    """Read kind and palette of a mask; a GeoTIFF's palette is left out, it only colors codes."""
    with open_raster(path) as dataset:
        has_palette = dataset.colorinterp[0] == ColorInterp.palette and dataset.driver != "GTiff"
        return mask_kind(dataset), dataset.colormap(1) if has_palette else None


def _agree(palettes: Sequence[_Palette]) -> bool:
    merged = {code: color for palette in palettes for code, color in palette.items()}
    return all(merged[code] == color for palette in palettes for code, color in palette.items())
