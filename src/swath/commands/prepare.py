"""`swath prepare`: a source folder becomes a dataset that trains fast."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks import Survey
from swath.checks.split_checks import check_split
from swath.commands.base import command
from swath.commands.inspect import survey_of
from swath.data.dataset import (
    ENTRIES,
    FINDINGS,
    HEIGHTS,
    MANIFEST,
    SPLITS,
    Image,
    Manifest,
    Sample,
    StoredImage,
)
from swath.data.layouts import SourceSample as SourceSample
from swath.data.layouts.catalog import known_heights
from swath.data.splits import Area, areas, assign_splits, buffered, default_block
from swath.data.statistics import band_statistics, count_labels, erase_labels, totals
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.latitude import LATITUDE, check_located, with_latitude
from swath.geo.tiling import Pixels
from swath.io.atomic import allocate_npy, atomic_folder
from swath.io.labels import read_ignore_mask
from swath.legend import IGNORE, Legend
from swath.options import PrepareOptions
from swath.progress import track
from swath.types import Finding, Result, SplitName

FEW_DEGREES = 5.0
"""Training images that lie within so many degrees of latitude cannot teach what it means."""


class SplitSummary(Result):
    """One split: its images (or blocks), groups and labeled pixels."""

    images: int
    groups: list[str]
    pixels: int


class ClassShare(Result):
    """A learnt class: `share` of the labeled pixels of all splits, 0..1, and of each split."""

    name: str
    code: int
    color: str
    pixels: int
    share: float
    shares: dict[str, float]


class PrepareResult(Result):
    """What was prepared; `images` counts stored images, `skipped` names samples that were dropped."""

    dataset: str
    layout: str
    images: int
    splits: dict[str, SplitSummary]
    classes: list[ClassShare]
    bands: list[str]
    findings: list[dict[str, str]]
    skipped: list[str]


@command(PrepareOptions)
def prepare(options: PrepareOptions) -> PrepareResult:
    """Inspect a source folder, split it by place and store it as a dataset.

    Raises:
        DataError: the folder has errors (and `skip_bad` is not given), or no labeled image is
            left.
        UsageError: an option is wrong, such as a group that does not exist.
        JobError: the dataset cannot be written.
    """
    target, source = Path(options.dataset).resolve(), options.root.resolve()
    if target == source or target in source.parents:
        raise UsageError(
            "the dataset would replace its own source",
            file=options.dataset,
            fix="Give a folder beside it",
        )
    found = survey_of(options)
    samples, skipped = _usable(found, options.skip_bad)
    if found.legend is None:
        raise DataError(
            "no pixel is labeled", file=found.catalog.root, fix="Check that masks hold classes"
        )
    legend = found.legend.all_trained() if options.learn_unlabeled else found.legend
    if options.latitude:
        for sample in samples:
            image = found.facts[sample.name].image
            check_located(image.grid, image.bands, sample.images[0], "leave out --latitude")
    if options.gsd is not None:
        _check_untold(samples, found)
    with atomic_folder(options.dataset, ENTRIES, [HEIGHTS, FINDINGS]) as folder:
        manifest = _build(folder, samples, found, legend, options)
        findings = [
            *found.findings,
            *check_split(manifest, found.alike),
            *_judge_latitude(manifest),
        ]
        _check_unchanged(samples, found)
        (folder / FINDINGS).write_text(
            json.dumps([f.as_json() for f in findings], indent=1), encoding="utf-8"
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return _summarize(options, manifest, findings, skipped)


def _check_untold(samples: Sequence[SourceSample], found: Survey) -> None:
    """Refuse to be told the ground sampling distance of files that tell it themselves."""
    for sample in samples:
        own = found.facts[sample.name].image.grid.gsd
        if own is not None:
            raise UsageError(
                f"its pixels are {own:.3g} m by its CRS and transform",
                file=sample.images[0],
                fix="Leave --gsd out; it is for images whose files tell none",
            )


def _check_unchanged(samples: Sequence[SourceSample], found: Survey) -> None:
    """Refuse a source that was not the same from the first look to the last."""
    for sample in samples:
        now, before = sample.stamp, found.stamps[sample.name]
        changed = sorted(
            name for name in now.keys() | before.keys() if now.get(name) != before.get(name)
        )
        if changed:
            raise DataError(
                "it has changed while it was read",
                file=changed[0],
                fix="Leave it alone, and prepare again",
            )


def _usable(found: Survey, skip_bad: bool) -> tuple[list[SourceSample], list[str]]:
    """Return the samples without errors, and the names of those that were dropped."""
    fatal = [f for f in found.errors if not skip_bad or f.sample is None]
    if fatal:
        first = fatal[0]
        more = "1 more error" if len(fatal) == 2 else f"{len(fatal) - 1} more errors"
        others = f" (and {more}; `swath inspect` lists them)" if len(fatal) > 1 else ""
        what = first.message[:1].lower() + first.message[1:].rstrip(".")
        raise DataError(
            f"{what}{others}", file=first.file, fix=first.fix.rstrip("."), code=first.code
        )
    bad = {f.sample for f in found.errors}
    samples = [s for s in found.catalog.samples if s.name not in bad]
    if not any(s.labels is not None for s in samples):
        raise DataError(
            "no usable labeled image is left",
            file=found.catalog.root,
            fix="Run `swath inspect` on it",
        )
    return samples, sorted(name for name in bad if name)


def _build(
    folder: Path,
    samples: Sequence[SourceSample],
    found: Survey,
    legend: Legend,
    options: PrepareOptions,
) -> Manifest:
    """Store all images, place them, and describe the result."""
    for name in set(ENTRIES) - {MANIFEST}:
        (folder / name).mkdir()
    if not options.heights:
        samples = [replace(s, heights=None) for s in samples]
    if any(s.heights for s in samples):
        (folder / HEIGHTS).mkdir()
    facts = [found.facts[s.name].image for s in samples]
    dtype = np.result_type(*(f.dtype for f in facts))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        stored = pool.map(
            lambda i: _store(folder, i, samples[i], legend, dtype, options.latitude),
            range(len(samples)),
        )
        images = list(track(stored, "storing", len(samples)))
    cut = [i for i, s in enumerate(samples) if s.group is None]
    block = options.block or default_block([images[i].grid for i in cut] or [images[0].grid])
    spots = list(_places(samples, [image.grid for image in images], block))
    opened = [StoredImage(folder, image) for image in images]
    counts = {p: count_labels(opened[p.image], p.window, legend) for p in spots}
    labeled = [p for p in spots if sum(counts[p])]
    if not labeled:
        raise DataError(
            "no valid pixel is labeled",
            file=options.root,
            fix="Check that labels and images overlap",
        )
    split_of = assign_splits([p.group for p in labeled], options.test, options.val, options.seed)
    for place, window in buffered(
        labeled, split_of, block // 16 if options.buffer is None else options.buffer
    ):
        erase_labels(folder / str(images[place.image].labels), window)
        counts[place] = count_labels(opened[place.image], place.window, legend)
    entries = [_entry(p, split_of[p.group], counts[p]) for p in labeled]
    if options.unlabeled:
        kept = set(labeled)
        entries += [_entry(p, "unlabeled", []) for p in spots if p not in kept]
    names = [*facts[0].bands, LATITUDE] if options.latitude else facts[0].bands
    gsds = [g for g in (image.grid.gsd for image in images) if g is not None]
    return Manifest(
        swath_version=version("swath"),
        source=str(options.root),
        layout=found.catalog.layout,
        seed=options.seed,
        dtype=str(dtype),
        bands=band_statistics([e for e in entries if e.split == "train"], opened, names),
        legend=legend,
        images=images,
        samples=entries,
        gsd=median_low(gsds) if gsds else options.gsd,  # one that images have,
    )


def _places(samples: Sequence[SourceSample], grids: Sequence[GeoBox], block: int) -> Iterator[Area]:
    """Yield the places of all images; those that are cut and lie on one grid see the same ground, so they share groups."""
    origins = np.array([grid.point(0, 0) for grid in grids])
    first = []
    for i, (sample, grid) in enumerate(zip(samples, grids, strict=True)):
        near = np.abs(origins[: i + 1] - origins[i]).max(axis=1) <= max(
            map(abs, grid.transform[:2])
        )
        same = (j for j in np.flatnonzero(near).tolist() if grids[j].same_as(grid))
        first.append(i if sample.group is not None else next(same))
    prefix = len(set(first)) > 1
    for i, (sample, grid) in enumerate(zip(samples, grids, strict=True)):
        mine = areas(i, sample.name, grid, sample.group, block, prefix)
        shared = areas(first[i], samples[first[i]].name, grid, sample.group, block, prefix)
        for place, ground in zip(mine, shared, strict=True):
            yield replace(place, group=ground.group)


def _store(
    folder: Path,
    number: int,
    sample: SourceSample,
    legend: Legend,
    dtype: np.dtype[Any],
    latitude: bool,
) -> Image:
    """Write pixels, labels and validity of one image as arrays."""
    name = f"{number:06d}.npy"
    has_labels = sample.labels is not None
    with sample.open_image() as raster, closing(sample.open_labels(raster.grid, legend)) as labels:
        grid = raster.grid
        shape = (grid.height, grid.width)
        pixels = allocate_npy(folder / "pixels" / name, dtype, (*shape, len(raster.bands)))
        valid: NDArray[np.bool_] | None = None
        indices = (
            allocate_npy(folder / "labels" / name, np.dtype(np.uint8), shape)
            if has_labels
            else None
        )
        for window in chunks(grid, raster.pixel_bytes):
            values, usable = raster.read(window)
            if sample.ignored:
                usable &= ~read_ignore_mask(sample.ignored, grid, window)
            if latitude:
                with_latitude(
                    Pixels(values, usable), grid, window, sample.images[0]
                )  # refuses pixels that have none
            pixels[window.slices] = values.transpose(1, 2, 0)
            if valid is None and not usable.all():
                valid = allocate_npy(folder / "valid" / name, np.dtype(bool), shape)
                valid[:] = True
            if valid is not None:
                valid[window.slices] = usable
            if indices is not None:
                codes = labels.read(window, legend.kind)
                indices[window.slices] = np.where(usable, legend.encode(codes), np.uint8(IGNORE))
        complete = valid is None
        del pixels, valid, indices
    return Image(
        name=sample.name,
        sources=[str(p) for p in sample.images],
        pixels=f"pixels/{name}",
        labels=f"labels/{name}" if has_labels else None,
        valid=None if complete else f"valid/{name}",
        heights=_store_heights(folder, name, sample, grid),
        latitude=latitude,
        grid=grid,
    )


def _store_heights(folder: Path, name: str, sample: SourceSample, grid: GeoBox) -> str | None:
    """Write the heights of one image, in meters, as an array; NaN where they are unknown."""
    raster = sample.open_heights(grid)
    if raster is None:
        return None
    with raster:
        heights = allocate_npy(
            folder / HEIGHTS / name, np.dtype(np.float32), (grid.height, grid.width)
        )
        for window in chunks(grid):
            heights[window.slices] = known_heights(raster.read(window))
    return f"{HEIGHTS}/{name}"


def _judge_latitude(manifest: Manifest) -> Iterator[Finding]:
    """Say where latitude is learnt and hardly differs among the training images."""
    degrees = manifest.bands[-1]
    if manifest.latitude and degrees.max - degrees.min < FEW_DEGREES:
        yield Finding(
            "warning",
            "latitude-narrow",
            manifest.source,
            f"The training images lie at {degrees.min:.2f} to {degrees.max:.2f} degrees of latitude, which tells little.",
            "Leave out --latitude: a model that knows it is of no use elsewhere.",
        )


def _entry(place: Area, split: SplitName, counts: list[int]) -> Sample:
    return Sample(
        name=place.name,
        image=place.image,
        window=place.window,
        group=place.group,
        split=split,
        counts=counts,
    )


def _share(counts: NDArray[np.int64], index: int) -> float:
    return float(counts[index] / counts.sum()) if counts.any() else 0.0


def _summarize(
    options: PrepareOptions, manifest: Manifest, findings: Sequence[Finding], skipped: list[str]
) -> PrepareResult:
    n = len(manifest.legend.trained)
    of = {split: totals(manifest.of(split), n) for split in SPLITS}
    total = np.sum(list(of.values()), axis=0)
    return PrepareResult(
        dataset=str(options.dataset),
        layout=manifest.layout,
        images=len(manifest.images),
        splits={
            split: SplitSummary(
                images=len(manifest.of(split)),
                groups=sorted({s.group for s in manifest.of(split)}),
                pixels=int(of[split].sum()),
            )
            for split in SPLITS
        },
        classes=[
            ClassShare(
                name=c.name,
                code=c.map_code,
                color=c.color,
                pixels=int(total[i]),
                share=_share(total, i),
                shares={split: _share(of[split], i) for split in SPLITS},
            )
            for i, c in enumerate(manifest.legend.trained)
        ],
        bands=[b.name for b in manifest.bands],
        findings=[f.as_json() for f in findings],
        skipped=skipped,
    )
