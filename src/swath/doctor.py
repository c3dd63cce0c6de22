"""The data doctor: reads every pixel of a source once and says what is wrong before anything is learnt from it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.classes import Kind, Legend, found_legend, unpack
from swath.errors import DataError, SwathError
from swath.labels import MAX_DISTINCT, UNLABELLED, mask_kind, read_ignored
from swath.progress import track
from swath.raster import Grid, chunks, open_raster
from swath.sources import Catalogue, Sample
from swath.types import Finding

ENOUGH = 1 << 16
"""Distinct values of a mask after which it need not be read on."""

MOST = 0.75
"""Where this share of the images has one size, another size is odd."""

Palette: TypeAlias = dict[int, tuple[int, int, int, int]]

BLACK = 0
"""In masks of colours, black that no class has means that nobody painted there."""


@dataclass(frozen=True)
class Facts:
    """What reading one sample showed.

    Attributes:
        grid: the image's grid.
        bands: its band names.
        dtype: its type.
        valid: number of valid pixels.
        veiled: pixels whose alpha is neither 0 nor full: an alpha band has few, a band of data has many.
        codes: number of pixels by label code or packed colour.
        names: names of codes, where the labels have names.
        heights: pixels of known height; None without heights.
    """

    grid: Grid
    bands: tuple[str, ...]
    dtype: np.dtype[np.generic]
    valid: int
    veiled: int
    codes: Counter[int]
    names: dict[int, str]
    heights: int | None = None


@dataclass(frozen=True)
class Survey:
    """A source folder, read through.

    Attributes:
        catalogue: the samples.
        legend: the classes, given or found; None where none could be made.
        facts: by sample name; samples that could not be read are missing.
        findings: everything found, errors first.
    """

    catalogue: Catalogue
    legend: Legend | None
    facts: dict[str, Facts]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop `prepare`."""
        return [f for f in self.findings if f.level == "error"]


def survey(catalogue: Catalogue, legend: Legend | None) -> Survey:
    """Read all samples, in parallel, and judge them.

    Args:
        catalogue: what a layout found.
        legend: the user's classes; None to find them from all pixels of all masks.
    """
    findings = list(catalogue.findings)
    facts: dict[str, Facts] = {}
    kind = legend.kind if legend else _kind_of(catalogue.samples)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda s: _examine(s, kind, legend), catalogue.samples)
        for sample, result in zip(catalogue.samples, track(results, "reading", len(catalogue.samples)), strict=True):
            if isinstance(result, Finding):
                findings.append(result)
            else:
                facts[sample.name] = result
    for sample in catalogue.samples:
        if sample.name in facts:
            findings += _judge(sample, facts[sample.name], kind, legend)
    findings += _compare(catalogue.samples, facts)
    if legend is None:
        bad = {f.sample for f in findings if f.level == "error"}
        good = {name: fact for name, fact in facts.items() if name not in bad}
        try:
            legend = _found(good, kind)
        except SwathError as error:
            findings.append(Finding.of_error(error, catalogue.root))
    order = {"error": 0, "warning": 1, "note": 2}
    return Survey(catalogue, legend, facts, tuple(sorted(findings, key=lambda f: order[f.level])))


def _kind_of(samples: Sequence[Sample]) -> Kind:
    """Masks hold colours where most have three bands, so that one odd mask does not change what all others mean.

    Pictures with palettes hold codes while their palettes agree; each with its own order of colours, they hold colours.
    Unreadable ones are reported later.
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


def _examine(sample: Sample, kind: Kind, legend: Legend | None) -> Facts | Finding:
    try:
        with sample.open_image() as raster, closing(sample.open_labels(raster.grid, legend)) as labels:
            codes: Counter[int] = Counter()
            valid = veiled = 0
            for window in chunks(raster.grid):
                pixels = raster.read(window)
                valid += int(pixels.valid.sum())
                veiled += raster.count_veiled(window)
                found = labels.read(window, kind)
                if sample.ignored:
                    found[read_ignored(sample.ignored, raster.grid, window)] = UNLABELLED
                codes.update(_counted(found))
                if len(codes) > ENOUGH:
                    break
            del codes[UNLABELLED]
            known = _known_heights(sample, raster.grid)
            return Facts(raster.grid, raster.bands, raster.dtype, valid, veiled, codes, labels.names, known)
    except SwathError as error:
        return Finding.of_error(error, sample.images[0], sample.name)


def _known_heights(sample: Sample, grid: Grid) -> int | None:
    heights = sample.open_heights(grid)
    if heights is None:
        return None
    with heights:
        return sum(int(heights.read(window).valid.sum()) for window in chunks(grid))


def _counted(labels: NDArray[np.int64]) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _judge(sample: Sample, fact: Facts, kind: Kind, legend: Legend | None) -> Iterator[Finding]:
    """Judge one sample by itself."""
    image, mask = str(sample.images[0]), sample.label_file
    if not fact.valid:
        yield Finding(
            "error", "all-nodata", image, "All its pixels are nodata.", "Leave it out (--skip-bad does).", sample.name
        )
    if fact.veiled > 0.01 * fact.grid.height * fact.grid.width:
        yield Finding(
            "warning", "alpha-values", image,
            f"Its last band is marked as alpha, but {fact.veiled} pixels of it are neither clear nor opaque: is it data?",
            "If so, say it in the file (gdal_edit.py -colorinterp_4 undefined); as alpha it only masks where it is 0.",
            sample.name,
        )  # fmt: skip
    if fact.heights == 0:
        yield Finding(
            "warning", "no-heights", str(sample.heights), "No height in this file is known.",
            "Fetch it again, or leave it out; the image is used for its classes.", sample.name,
        )  # fmt: skip
    if sample.labels is None:
        return
    unknown = _unknown(fact.codes, legend)
    if kind == "color" and unknown[BLACK]:
        yield Finding(
            "warning", "unpainted", mask,
            f"This mask has {unknown.pop(BLACK)} black pixels, and no class is black: they are taken as unlabelled.",
            "Add a class with color #000000 if black has a meaning.", sample.name,
        )  # fmt: skip
    if len(fact.codes) > MAX_DISTINCT and (legend is None or len(unknown) > MAX_DISTINCT):
        what = "colours" if kind == "color" else "values"
        yield Finding(
            "error", "mask-photograph", mask,
            f"This mask has more than {MAX_DISTINCT} different {what}, as a photograph or a lossy copy of a mask has.",
            "Give the mask in a lossless format (PNG, GeoTIFF), name its classes with --classes if it has so many, "
            "or leave the pair out (--skip-bad does).", sample.name,
        )  # fmt: skip
    elif unknown:
        listed = ", ".join(f"{_shown(code, kind)} ({count} pixels)" for code, count in unknown.most_common(5))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        yield Finding(
            "error", "unknown-code", mask,
            f"This mask holds {listed}{more}, which no class has.",
            f"Add it to {legend.origin if legend else 'the classes'}, with `ignore: true` if it is not to be learnt.",
            sample.name,
        )  # fmt: skip
    elif legend is None and min(fact.codes, default=0) < 0:
        yield Finding(
            "error", "negative-code", mask,
            f"This mask holds the negative code {min(fact.codes)} ({fact.codes[min(fact.codes)]} pixels).",
            "Name the classes with --classes FILE; `ignore: true` if it means no data.", sample.name,
        )  # fmt: skip
    elif not any(fact.codes[code] for code in _learnt(fact.codes, legend)):
        yield Finding("warning", "no-labels", mask, "No pixel of this image is labelled.", "Check the labels.", sample.name)


def _unknown(codes: Counter[int], legend: Legend | None) -> Counter[int]:
    if legend is None:
        return Counter()
    keys = np.array(list(codes), np.int64)
    return Counter({int(code): codes[int(code)] for code in keys[~legend.known(keys)]})


def _learnt(codes: Counter[int], legend: Legend | None) -> list[int]:
    return [code for c in legend.learnt for code in c.codes] if legend else list(codes)


def _shown(code: int, kind: Kind) -> str:
    return unpack(code) if kind == "color" else f"code {code}"


def _compare(samples: Sequence[Sample], facts: dict[str, Facts]) -> Iterator[Finding]:
    """Judge samples by what most of them are."""
    if not facts:
        return
    bands, _ = Counter(len(f.bands) for f in facts.values()).most_common(1)[0]
    dtype, _ = Counter(str(f.dtype) for f in facts.values()).most_common(1)[0]
    size, alike = Counter((f.grid.height, f.grid.width) for f in facts.values()).most_common(1)[0]
    for sample in samples:
        fact = facts.get(sample.name)
        if fact is None:
            continue
        image = str(sample.images[0])
        if alike >= MOST * len(facts) and (fact.grid.height, fact.grid.width) != size:
            yield Finding(
                "warning", "odd-size", image,
                f"This image is {fact.grid.width}x{fact.grid.height} pixels, and most are {size[1]}x{size[0]}.",
                "Check that it is whole.", sample.name,
            )  # fmt: skip
        if len(fact.bands) != bands:
            yield Finding(
                "error", "band-mismatch", image,
                f"This image has {len(fact.bands)} band(s) and most have {bands}.",
                "Give all images the same bands, or leave it out (--skip-bad does).", sample.name,
            )  # fmt: skip
        elif str(fact.dtype) != dtype:
            yield Finding(
                "error" if "uint8" in (str(fact.dtype), dtype) else "warning", "dtype-mismatch", image,
                f"This image is {fact.dtype} and most are {dtype}.",
                "Bring all images to one type and scale, or leave it out (--skip-bad does).", sample.name,
            )  # fmt: skip


def _found(facts: dict[str, Facts], kind: Kind) -> Legend | None:
    """Make the legend of all codes that good samples hold; None where they hold none."""
    codes = sorted({code for fact in facts.values() for code in fact.codes})
    if not codes:
        return None
    names = {code: name for fact in facts.values() for code, name in fact.names.items()}
    return found_legend(codes, kind, names)
