"""`swath prepare`: a source folder becomes a dataset that trains fast."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from swath.checks import Survey
from swath.checks.split_checks import check_split
from swath.commands.base import command
from swath.commands.inspect import SourceRead, describe_source, survey_of
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
from swath.data.few_labels import are_few
from swath.data.layouts.catalog import SourceSample
from swath.data.splits import (
    Area,
    assign_splits,
    default_block,
    find_lattices,
    lattice_areas,
    overridden,
)
from swath.data.statistics import band_statistics, count_labels, totals
from swath.data.store import erase_buffers, store_image
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox
from swath.geo.latitude import LATITUDE, check_located
from swath.io.atomic import atomic_folder
from swath.legend import Legend
from swath.options import PrepareOptions
from swath.progress import track
from swath.types import Finding, Result, SplitName, findings_by_kind, first_files

MIN_LATITUDE_RANGE = 5.0  # degrees that the training images should span if latitude is a band


class SplitSummary(Result):
    """One split: its images (or blocks), groups and labeled pixels."""

    images: int
    groups: list[str]
    pixels: int


class ClassShare(Result):
    """A trained class: `share` of the labeled pixels of all splits, 0..1, and of each split."""

    name: str
    code: int
    color: str
    pixels: int
    share: float
    shares: dict[str, float]


class PrepareResult(Result):
    """The dataset.

    Attributes:
        dataset: its folder.
        layout: the layout of the source.
        images: number of stored images.
        splits: by name.
        classes: the trained classes.
        bands: names of the bands, in order.
        findings: dictionaries with level, code, file, message and fix.
        skipped: names of samples that were dropped.
        read: which labels, bands and pixels were read, and where the splits come from.
    """

    dataset: str
    layout: str
    images: int
    splits: dict[str, SplitSummary]
    classes: list[ClassShare]
    bands: list[str]
    findings: list[dict[str, str]]
    skipped: list[str]
    read: SourceRead


@command(PrepareOptions)
def prepare(options: PrepareOptions) -> PrepareResult:
    """Inspect a source folder, split it by area and store it as a dataset.

    Each file of the source is opened once for the inspection and once to be stored.

    Raises:
        DataError: the folder has errors (and `skip_bad` is not given), or no labeled image is
            left.
        UsageError: an option is wrong, such as a group that does not exist.
        JobError: the dataset cannot be written.
    """
    _check_target(options)
    survey = survey_of(options)
    samples, skipped = _usable_samples(survey, options.skip_bad)
    if survey.legend is None:
        raise _unlabeled(survey, options.root)
    legend = survey.legend.all_trained() if options.learn_unlabeled else survey.legend
    _check_places(samples, survey, options)
    with atomic_folder(options.dataset, ENTRIES, [HEIGHTS, FINDINGS]) as folder:
        builder = _DatasetBuilder(folder, samples, survey, legend, options)
        manifest = builder.build()
        split_findings = [
            *_check_own_split(manifest, samples),
            *check_split(manifest, survey.duplicates, survey.findings, builder.draw),
        ]
        if builder.few:
            split_findings = [f for f in split_findings if f.code != "empty-split"]
            split_findings.append(_note_few(manifest))
        findings = [*survey.findings, *split_findings, *_check_latitude(manifest)]
        _check_unchanged(samples, survey)
        listed = json.dumps([f.as_json() for f in findings], indent=1)
        (folder / FINDINGS).write_text(listed, encoding="utf-8")
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    origin = _split_origin(options, builder.few)
    read = describe_source(survey).model_copy(update={"split": origin})
    return _summarize(options, manifest, findings, skipped, read)


def _unlabeled(survey: Survey, root: Path) -> DataError:
    """Return the error on a source without a labeled pixel, with its cause if that was found."""
    message, fix = "No pixel of the source is labeled", "Check that masks hold classes"
    causes = ("quality-drops-all", "all-nodata")
    cause = next((f for f in survey.findings if f.code in causes), None)
    if cause is not None:
        message = f"{message}. {cause.message.rstrip('.')} ({first_files([cause])})"
        fix = cause.fix.rstrip(".")
    return DataError(message, code="no-labels", file=root, fix=fix)


def _check_target(options: PrepareOptions) -> None:
    target, source = Path(options.dataset).resolve(), options.root.resolve()
    if target == source or target in source.parents:
        message, fix = "The dataset would replace its own source", "Give a folder beside the source"
        raise UsageError(message, code="target-is-source", file=options.dataset, fix=fix)


def _usable_samples(survey: Survey, skip_bad: bool) -> tuple[list[SourceSample], list[str]]:
    """Return the samples without errors, and the names of those that were dropped."""
    fatal = [f for f in survey.errors if not skip_bad or f.sample is None]
    if fatal:
        raise _error_of(fatal)
    bad = {f.sample for f in survey.errors if f.sample is not None}
    samples = [s for s in survey.catalog.samples if s.name not in bad]
    if all(s.labels is None for s in samples):
        message, fix = "No usable labeled image is left", "Run `swath inspect` on the source"
        raise DataError(message, code="no-labeled-image", file=survey.catalog.root, fix=fix)
    return samples, sorted(filter(None, bad))


def _error_of(findings: Sequence[Finding]) -> DataError:
    """Return one error for all findings: the first, and each kind with count and first files."""
    first, others = findings[0], len(findings) - 1
    message = first.message.rstrip(".")
    if others:
        more = "1 more error" if others == 1 else f"{others} more errors"
        kinds = findings_by_kind(findings)
        listed = "; ".join(f"{len(k)} {k[0].code}: {first_files(k)}" for k in kinds)
        message = f"{message} (and {more}; in all {listed}; `swath inspect` lists them)"
    return DataError(
        message,
        code=first.code,
        file=first.file,
        fix=first.fix.rstrip("."),
        findings=[f.as_json() for f in findings] if others else (),
    )


def _check_places(samples: Sequence[SourceSample], survey: Survey, options: PrepareOptions) -> None:
    """Raise an error where `--latitude` or `--gsd` does not fit the georeferencing of an image."""
    for sample in samples:
        image, file = survey.scans[sample.name].image, sample.images[0]
        if options.latitude:
            check_located(image.grid, image.bands, file, "leave out --latitude")
        if options.gsd is not None and image.grid.gsd is not None:
            message = f"The pixels are {image.grid.gsd:.3g} m by the image's CRS and transform"
            fix = "Leave out --gsd; it is for images without georeferencing"
            raise UsageError(message, code="option-conflict", file=file, fix=fix)


def _check_unchanged(samples: Sequence[SourceSample], survey: Survey) -> None:
    """Raise an error if a file of the source has changed since the inspection began."""
    for sample in samples:
        now, before = sample.stamp, survey.stamps[sample.name]
        changed = sorted({name for name, _ in now.items() ^ before.items()})
        if changed:
            message, fix = "The file has changed while it was read", "Run `swath prepare` again"
            raise DataError(message, code="file-changed", file=changed[0], fix=fix)


@dataclass
class _DatasetBuilder:
    """Stores the images of usable samples, splits them by area, and describes the result.

    Attributes:
        few: whether all labels train because they are few; known once the dataset is built.
    """

    folder: Path
    samples: Sequence[SourceSample]
    survey: Survey
    legend: Legend
    options: PrepareOptions
    few: bool = False
    _groups: Sequence[str] = ()

    def build(self) -> Manifest:
        options, scans = self.options, [self.survey.scans[s.name].image for s in self.samples]
        dtype = np.result_type(*(scan.dtype for scan in scans))
        images = self._store_images(dtype)
        stored = [StoredImage(self.folder, image) for image in images]
        samples = self._split(images, stored)
        bands = [*scans[0].bands, LATITUDE] if options.latitude else scans[0].bands
        gsds = [image.grid.gsd for image in images if image.grid.gsd is not None]
        return Manifest(
            swath_version=version("swath"),
            source=str(options.root),
            layout=self.survey.catalog.layout,
            seed=options.seed,
            dtype=str(dtype),
            bands=band_statistics([s for s in samples if s.split == "train"], stored, bands),
            legend=self.legend,
            images=images,
            samples=samples,
            scaled=not options.raw,
            gsd=median_low(gsds) if gsds else options.gsd,  # of an image, not between two
        )

    def _store_images(self, dtype: np.dtype[Any]) -> list[Image]:
        for name in set(ENTRIES) - {MANIFEST}:
            (self.folder / name).mkdir()
        samples, latitude = self.samples, self.options.latitude
        if not self.options.heights:
            samples = [replace(s, heights=None) for s in samples]
        if self.options.ignore_band_nodata:
            fill = self._band_means()
            samples = [replace(s, fill=fill) for s in samples]
        if any(s.heights for s in samples):
            (self.folder / HEIGHTS).mkdir()
        store = partial(
            store_image, self.folder, legend=self.legend, dtype=dtype, latitude=latitude
        )
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(track(pool.map(store, count(), samples), "storing", len(samples)))

    def _band_means(self) -> tuple[float, ...]:
        """Return the mean of each band's own data in all images, 0 of a band without any."""
        tallies = np.array([self.survey.scans[s.name].image.tallies for s in self.samples])
        sums, counts = tallies.sum(0).T
        return tuple((sums / np.maximum(counts, 1)).tolist())

    def _split(self, images: Sequence[Image], stored: Sequence[StoredImage]) -> list[Sample]:
        """Split the labeled areas, and erase the labels of the buffers between them."""
        grids = [image.grid for image in images]
        options = self.options
        block = options.block or self._default_block(grids)
        buffer = block // 16 if options.buffer is None else options.buffer

        def count_area(area: Area) -> list[int]:
            return count_labels(stored[area.image], area.window, self.legend)

        counts = {area: count_area(area) for area in self._areas(grids, block)}
        labeled = [area for area in counts if any(counts[area])]
        unlabeled = [area for area in counts if not any(counts[area])]
        self.few = self._are_few(counts, grids)
        self._groups = [area.group for area in labeled]
        split_of = self.draw(options.seed)
        for area in erase_buffers(self.folder, images, labeled, split_of, buffer):
            counts[area] = count_area(area)
        samples = [Sample(**vars(a), split=split_of[a.group], counts=counts[a]) for a in labeled]
        if options.unlabeled:
            samples += [Sample(**vars(a), split="unlabeled", counts=[]) for a in unlabeled]
        return samples

    def _default_block(self, grids: Sequence[GeoBox]) -> int:
        cut = [g for g, sample in zip(grids, self.samples, strict=True) if sample.group is None]
        return default_block(cut or grids[:1])

    def _are_few(self, counts: Mapping[Area, Sequence[int]], grids: Sequence[GeoBox]) -> bool:
        """Return whether labels are so few that all train, unless the user names a split."""
        if self.options.test is not None or self.options.val is not None:
            return False
        labeled = sum(map(sum, counts.values()))
        return are_few(self.samples, labeled, sum(grid.window.size for grid in grids))

    def draw(self, seed: int) -> dict[str, SplitName]:
        """Return the split of each group with labels, as drawn by a seed where none is named."""
        options, groups = self.options, self._groups
        if not groups:
            message, fix = "No valid pixel is labeled", "Check that labels and images overlap"
            raise DataError(message, code="no-labels", file=options.root, fix=fix)
        own = {s.group: s.split for s in self.samples if s.group and s.split}
        if self.few:
            return dict.fromkeys(groups, "train")
        return assign_splits(groups, options.test, options.val, seed, own)

    def _areas(self, grids: Sequence[GeoBox], block: int) -> Iterator[Area]:
        """Yield the areas of all images; blocks of images on one place share their groups."""
        names = [sample.name for sample in self.samples]
        lattices = find_lattices(grids, [sample.group is None for sample in self.samples])
        prefix = len({lattice.image for lattice in lattices}) > 1
        for i, (sample, lattice) in enumerate(zip(self.samples, lattices, strict=True)):
            if sample.group is None:
                yield from lattice_areas(i, names, grids, lattice, block, prefix)
            else:
                yield Area(sample.name, i, grids[i].window, sample.group)


def _check_own_split(manifest: Manifest, samples: Sequence[SourceSample]) -> Iterator[Finding]:
    """Yield a warning where `--test` and `--val`, or missing labels, change the dataset's split."""
    own = {s.group: s.split for s in samples if s.group and s.split and s.labels is not None}
    drawn = {s.split for s in manifest.samples} & {s.split for s in samples} - {*own.values()}
    for split in sorted(drawn - {None, "unlabeled"}, key=str):
        message = f"The {split} split of the dataset has no labels: another is drawn."
        fix = f"Add its masks, or choose the groups with --{split}."
        yield Finding("warning", "own-split-unlabeled", manifest.source, message, fix)
    changed = overridden({s.group: s.split for s in manifest.samples}, own)
    moves = Counter(changed.values())
    if moves:
        told = ", ".join(f"{n} from {old} to {new}" for (old, new), n in sorted(moves.items()))
        message = f"--test and --val change the split of the dataset: groups moved {told}."
        fix = "Leave out --test and --val to keep it."
        yield Finding("warning", "own-split-overridden", manifest.source, message, fix)


def _check_latitude(manifest: Manifest) -> Iterator[Finding]:
    """Yield a warning where latitude is a band and hardly differs among the training images."""
    degrees = manifest.bands[-1]
    if manifest.latitude and degrees.max - degrees.min < MIN_LATITUDE_RANGE:
        message = f"The training images span latitudes {degrees.min:.2f} to {degrees.max:.2f} only."
        fix = "Leave out --latitude: the model will not fit other latitudes."
        yield Finding("warning", "latitude-narrow", manifest.source, message, fix)


def _note_few(manifest: Manifest) -> Finding:
    """Return the note that all labels train because they are few."""
    labeled = int(totals(manifest.of("train"), len(manifest.legend.trained)).sum())
    share = labeled / sum(image.grid.window.size for image in manifest.images)
    message = (
        f"The labels are few ({labeled} pixels, {share:.2%} of the images): all of them train."
    )
    fix = (
        "`swath train --recipe quick` holds them out in turn for its score. Name groups with "
        "--test and --val to hold out some for good."
    )
    return Finding("note", "few-labels", manifest.source, message, fix)


def _split_origin(options: PrepareOptions, few: bool) -> dict[str, str]:
    """Return where the groups of each split come from."""
    if few:
        return {"test": "none (few labels)", "val": "none (few labels)"}
    drawn = f"drawn by seed {options.seed}"
    given = {"test": options.test, "val": options.val}
    return {split: drawn if names is None else f"--{split}" for split, names in given.items()}


def _summarize(
    options: PrepareOptions,
    manifest: Manifest,
    findings: Sequence[Finding],
    skipped: list[str],
    read: SourceRead,
) -> PrepareResult:
    trained, samples = manifest.legend.trained, {split: manifest.of(split) for split in SPLITS}
    pixels = {split: totals(samples[split], len(trained)) for split in SPLITS}
    total = np.sum(list(pixels.values()), axis=0)
    shares = {split: counts / max(1, counts.sum()) for split, counts in pixels.items()}
    splits = {
        split: SplitSummary(
            images=len(samples[split]),
            groups=sorted({s.group for s in samples[split]}),
            pixels=int(pixels[split].sum()),
        )
        for split in SPLITS
    }
    classes = [
        ClassShare(
            name=c.name,
            code=c.map_code,
            color=c.color,
            pixels=int(total[i]),
            share=total[i] / max(1, total.sum()),
            shares={split: shares[split][i] for split in SPLITS},
        )
        for i, c in enumerate(trained)
    ]
    return PrepareResult(
        dataset=str(options.dataset),
        layout=manifest.layout,
        images=len(manifest.images),
        splits=splits,
        classes=classes,
        bands=[b.name for b in manifest.bands],
        findings=[f.as_json() for f in findings],
        skipped=skipped,
        read=read,
    )
