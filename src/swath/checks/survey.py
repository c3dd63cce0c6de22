"""The survey: all samples read in parallel, each judged by itself, then by the others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from rasterio.enums import ColorInterp

from swath.checks.cross_checks import (
    check_classes,
    check_consistency,
    check_duplicates,
    check_overlaps,
    find_duplicates,
)
from swath.checks.image_checks import check_image
from swath.checks.label_checks import Meaning, check_labels
from swath.checks.label_colors import check_palettes, painted
from swath.checks.scan import Facts, examine
from swath.data.layouts import Catalog, SourceSample
from swath.errors import DataError, SwathError
from swath.io.labels import mask_kind
from swath.io.raster import open_raster
from swath.legend import Kind, Legend, legend_of_codes
from swath.progress import track
from swath.types import Finding

Palette: TypeAlias = dict[int, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Survey:
    """A source folder, read through.

    Attributes:
        catalog: the samples.
        legend: the classes, given or found; None where none could be made.
        facts: by sample name; samples that could not be read are missing.
        findings: everything found, errors first.
        alike: names of samples that show the same, in pairs.
        stamps: of the samples' files by sample name, from before they were read.
    """

    catalog: Catalog
    legend: Legend | None
    facts: dict[str, Facts]
    findings: tuple[Finding, ...] = field(default=())
    alike: tuple[tuple[str, str], ...] = field(default=())
    stamps: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop `prepare`."""
        return [f for f in self.findings if f.level == "error"]


def survey(catalog: Catalog, legend: Legend | None, snap: bool = False) -> Survey:
    """Read all samples, in parallel, and judge them.

    Args:
        catalog: what a layout found.
        legend: the user's classes; None to find them from all pixels of all masks.
        snap: whether values of no class are taken for the nearest class.
    """
    findings = list(catalog.findings)
    facts: dict[str, Facts] = {}
    samples = catalog.samples
    stamps = {s.name: s.stamp for s in samples}
    legend = replace(legend, snap=snap) if legend else None
    kind = legend.kind if legend else _kind_of(samples)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda s: examine(s, kind, legend), samples)
        for sample, result in zip(samples, track(results, "reading", len(samples)), strict=True):
            if isinstance(result, Finding):
                findings.append(result)
            else:
                facts[sample.name] = result
    palette = (
        [code for c in legend.classes for code in c.codes]
        if legend
        else painted((f.labels for f in facts.values()), kind)
    )
    meaning = Meaning(kind, legend, palette, snap)
    for sample in samples:
        if sample.name in facts:
            findings += check_image(sample, facts[sample.name])
            findings += check_labels(sample, facts[sample.name], meaning)
    findings += check_consistency(samples, facts)
    alike = find_duplicates(samples, facts)
    findings += check_duplicates(alike, facts)
    findings += check_overlaps(samples, facts)
    bad = {f.sample for f in findings if f.level == "error"}
    good = {name: fact for name, fact in facts.items() if name not in bad}
    if legend is None:
        try:
            legend = _found(good, meaning)
        except SwathError as error:
            findings.append(Finding.of_error(error, catalog.root))
    if legend is not None:
        findings += _about_classes(catalog, good, legend)
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda f: order[f.level])
    return Survey(
        catalog,
        legend,
        facts,
        tuple(findings),
        tuple((a.name, b.name) for a, b, _ in alike),
        stamps,
    )


def _palette(legend: Legend | None, facts: Mapping[str, Facts], kind: Kind) -> list[int]:
    if legend is None:
        return painted((fact.labels for fact in facts.values()), kind)
    return [code for c in legend.classes for code in c.codes]


def _about_classes(
    catalog: Catalog, good: Mapping[str, Facts], legend: Legend
) -> Iterator[Finding]:
    yield from check_classes(catalog.samples, good, legend, catalog.root)
    if legend.kind == "color":
        held = {code for fact in good.values() for code in fact.labels.codes}
        yield from check_palettes(catalog.root, held)


def _kind_of(samples: Sequence[SourceSample]) -> Kind:
    """Masks hold colors where most have three bands, so that one odd mask does not change what all others mean.

    Pictures with palettes hold codes while their palettes agree; each with its own order of
    colors, they hold colors. Unreadable ones are reported later.
    """
    kinds: Counter[Kind] = Counter()
    palettes: list[Palette] = []
    for path in {s.labels for s in samples if isinstance(s.labels, Path)}:
        with suppress(DataError):
            kinds[mask_kind(path)] += 1
            palettes += _palettes(path)
    merged = {code: color for palette in palettes for code, color in palette.items()}
    if any(merged[code] != color for palette in palettes for code, color in palette.items()):
        kinds["color"] += len(palettes)
        kinds["code"] -= len(palettes)
    return "color" if kinds["color"] > kinds["code"] else "code"


def _palettes(path: Path) -> list[Palette]:
    """Return the palette of a picture; a GeoTIFF's is left out, for there it only decorates codes."""
    with open_raster(path) as dataset:
        if dataset.driver == "GTiff" or dataset.colorinterp[0] != ColorInterp.palette:
            return []
        return [dataset.colormap(1)]


def _found(facts: Mapping[str, Facts], meaning: Meaning) -> Legend | None:
    """Make the legend of all codes that good samples hold; None where they hold none."""
    codes = sorted({code for fact in facts.values() for code in fact.labels.codes})
    if meaning.snap:
        codes = [code for code in codes if code in set(meaning.palette)]
    if not codes:
        return None
    names = {code: name for fact in facts.values() for code, name in fact.labels.names.items()}
    return legend_of_codes(codes, meaning.kind, names, meaning.snap)
