"""Layout `pattern`: files that patterns with fields match, or that a CSV file lists."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from swath.data.layouts.catalog import Catalog, SourceSample, files_below, matching, missing_mask
from swath.data.layouts.label_files import (
    SIDE_FILES,
    check_columns,
    grid_of,
    layer_options,
    read_labels,
    with_labels,
)
from swath.data.layouts.pair_table import listed_samples
from swath.data.layouts.pairs import with_ignored
from swath.data.layouts.patterns import (
    Match,
    MatchedSample,
    Pairing,
    Problem,
    match_files,
    pair,
    parse,
)
from swath.data.layouts.quality_layers import quality_paths
from swath.errors import DataError, SwathError, UsageError
from swath.io.arrays import (
    GDAL_NAME,
    array_names,
    array_shape,
    parse_array,
)
from swath.io.vector import Features, align_classes
from swath.options import SourceOptions
from swath.types import Finding, Level

OPTIONS: tuple[str, ...] = ("pairs",)

MOST_STACKS = 500
"""Stacks of files whose grids are compared for a note."""

NAMED = 3
"""Files that a finding names at most."""


def recognizes(options: SourceOptions) -> bool:
    """Return whether a file of pairs is given, or a pattern has braces."""
    if options.pairs is not None:
        return True
    patterns = [*options.images, *options.labels]
    return any("[*]" in p or "{" in p and not matching(options.root, p) for p in patterns)


def find(options: SourceOptions) -> Catalog:
    """List the samples that patterns or `--pairs` give; blocks are cut from a single one.

    The group of a sample is `{group}` or that column, else the fields of its folders, else itself.

    Raises:
        DataError: a pattern matches nothing, or files cannot be read.
        UsageError: patterns are wrong or missing, or contradict `--pairs`.
    """
    if options.pairs is not None:
        if options.images or options.labels:
            message = "--pairs and patterns of images or labels are given"
            fix = "Give --pairs, or --images and --labels"
            raise UsageError(message, code="option-conflict", fix=fix)
        samples, findings = listed_samples(options, Path(options.pairs))
    else:
        samples, findings = _matched(options)
    if not any(s.labels for s in samples) and not options.unlabeled and not findings:
        findings = [_none(options)]
    samples = _with_groups(samples)
    return Catalog(options.root, "pattern", tuple(samples), tuple(findings))


def _none(options: SourceOptions) -> Finding:
    message = "No image has labels."
    fix = "Check --images and --labels against the files."
    return Finding("error", "no-pairs", str(options.root), message, fix)


# Patterns


def _matched(options: SourceOptions) -> tuple[list[SourceSample], list[Finding]]:
    root = options.root
    if not options.images or not (options.labels or options.unlabeled):
        raise UsageError(
            "Patterns need --images and --labels",
            code="option-missing",
            fix="Name both, such as --images 'img/{id}.tif' --labels 'mask/{id}.tif'",
        )
    files = {
        path.relative_to(root).as_posix(): path
        for path in files_below(root)
        if not path.name.lower().endswith(SIDE_FILES)
    }
    labels = _matches(options.labels, files, root, "--labels")
    ignored = _ignored(options, files)
    left_out = {str(path) for path in ignored}
    layers = quality_paths(options.quality, root)
    every = _matches(options.images, files, root, "--images")
    every = [m for m in every if (root / m.path).absolute() not in layers]
    images = [m for m in every if str(root / m.source) not in left_out]
    try:
        pairing = pair(images, labels)
    except SwathError as error:
        raise type(error)(error.message, code=error.code, file=root, fix=error.fix) from error
    samples, findings = _samples_of(pairing, options)
    findings += _unpaired(pairing, options)
    if ignored:
        samples, orphans = _masked(samples, images, ignored, files, options)
        findings += orphans
    return samples, findings


def _matches(
    patterns: Sequence[str], files: Mapping[str, Path], root: Path, option: str
) -> list[Match]:
    """Return the files of some patterns; one without fields may also match outside the folder."""
    out: dict[str, Match] = {}
    for text in patterns:
        below = given = str(parse_array(text) or text) if GDAL_NAME.match(text) else text
        for head in (f"{root.as_posix()}/", f"{root.resolve().as_posix()}/"):
            below = below.removeprefix(head)
        find = partial(
            match_files,
            members=lambda path: array_names(root / path),
            lengths=lambda source: array_shape(root / source)[0],
        )
        try:  # the folder may hold one of its own name
            found = (given != below and find([given], files)) or find([below], files, option=option)
        except SwathError as error:
            outside = [] if "{" in text else matching(root, text)
            if not outside:
                file = error.file or root
                raise type(error)(
                    error.message, code=error.code, file=file, fix=error.fix
                ) from error
            found = [Match(str(path.absolute()), {}, parse(text)) for path in outside]
        for match in found:
            out.setdefault(match.source, match)
    return list(out.values())


def _samples_of(
    pairing: Pairing, options: SourceOptions
) -> tuple[list[SourceSample], list[Finding]]:
    root = options.root
    unlabeled = pairing.unlabeled if options.unlabeled or not pairing.samples else ()
    plain = [_plain(s, root) for s in (*pairing.samples, *unlabeled)]
    names = {None, *(s.name for s in plain), *(m.path for m in pairing.ambiguous)}
    findings = _findings([p for p in pairing.problems if p.sample in names], root)
    findings += _other_grids([s for s in plain if len(s.images) > 1], root)
    read = _each_read if pairing.shared else _all_joined
    out, wrong = read((*pairing.samples, *unlabeled), plain, options)
    return _sorted(out), [*findings, *wrong]


def _all_joined(
    matched: Sequence[MatchedSample], plain: Sequence[SourceSample], options: SourceOptions
) -> tuple[list[SourceSample], list[Finding]]:
    """Return samples with the labels of all, and findings on those without."""
    out = _joined(matched, plain, options)
    lost = [s for s in out if s.labels is None and any(m.labels for m in matched)]
    what = "labels that touch it"
    return out, [missing_mask(s.images[0], s.name, what, options.unlabeled) for s in lost]


def _each_read(
    matched: Sequence[MatchedSample], plain: Sequence[SourceSample], options: SourceOptions
) -> tuple[list[SourceSample], list[Finding]]:
    """Return samples with labels of their own, and findings on those that cannot be read."""
    out: list[SourceSample] = []
    findings: list[Finding] = []
    for sample, known in zip(matched, plain, strict=True):
        if not sample.labels:
            out.append(known)
            continue
        try:
            labels = read_labels(options.root / sample.labels[0].source, options)
            out.append(replace(known, labels=labels, warp=True))
        except DataError as error:
            findings.append(Finding.of_error(error, known.images[0], known.name))
    return _aligned(out), findings


def _aligned(samples: Sequence[SourceSample]) -> list[SourceSample]:
    """Number the classes of all layers together, so that a name has one code in all samples."""
    layers = [s.labels for s in samples if isinstance(s.labels, Features)]
    if not layers:
        return list(samples)
    check_columns(layers)
    aligned = iter(align_classes(layers))
    return [
        replace(s, labels=next(aligned)) if isinstance(s.labels, Features) else s for s in samples
    ]


def _plain(sample: MatchedSample, root: Path) -> SourceSample:
    images = tuple(root / m.source for m in sample.images)
    group = sample.group if sample.group is not None else _folder_fields(sample)
    return SourceSample(sample.name, images, None, group=group, split=sample.split)


def _folder_fields(sample: MatchedSample) -> str | None:
    """Return the texts of fields in the folders of the first image, but the split."""
    first = sample.images[0]
    folders, _, _ = first.pattern.text.rpartition("/")
    names = dict.fromkeys(re.findall(r"\{(\w+)\}", folders))
    return "/".join(first.fields[n] for n in names if n != "split" and n in first.fields) or None


def _joined(
    samples: Sequence[MatchedSample], plain: Sequence[SourceSample], options: SourceOptions
) -> list[SourceSample]:
    """Give samples the label files of all, or those of their split, by place."""
    of_files: dict[tuple[Path, ...], list[SourceSample]] = defaultdict(list)
    for sample, known in zip(samples, plain, strict=True):
        of_files[tuple(options.root / m.source for m in sample.labels)].append(known)
    out: list[SourceSample] = []
    for files, members in of_files.items():
        out += with_labels(members, files, layer_options(options)) if files else members
    return out


def _other_grids(samples: Sequence[SourceSample], root: Path) -> Iterator[Finding]:
    """Yield a note where files of a sample have other grids than its finest."""
    coarse: list[Path] = []
    for sample in samples[:MOST_STACKS]:
        grids = [(path, grid_of(path)) for path in sample.images]
        known = [(path, grid) for path, grid in grids if grid is not None]
        finest = max((g.height * g.width for _, g in known), default=0)
        coarse += [path for path, grid in known if grid.height * grid.width < finest]
    if coarse:
        message = (
            f"{len(coarse)} files of {len(samples)} stacks have coarser pixels, such as"
            f" {coarse[0].name}: they are resampled (bilinear) onto the finest grid of their stack."
        )
        fix = "Nothing, or write an --images pattern that leaves them out."
        yield Finding("note", "resampled-bands", str(coarse[0]), message, fix)


def _sorted(samples: Sequence[SourceSample]) -> list[SourceSample]:
    return sorted(samples, key=lambda s: s.name)


def _findings(problems: Sequence[Problem], root: Path) -> list[Finding]:
    return [
        Finding(p.level, p.code, str(root / p.files[0]), p.message, p.fix, p.sample)
        for p in problems
    ]


def _unpaired(pairing: Pairing, options: SourceOptions) -> Iterator[Finding]:
    """Yield one finding on images without labels, and one on labels without image."""
    if not pairing.samples:
        yield _nothing_pairs(pairing, options)
        return
    rows = (
        ([m for s in pairing.unlabeled for m in s.images], "images have no labels", "unpaired"),
        (pairing.unmatched_labels, "label files have no image", "unpaired-labels"),
    )
    for matches, what, code in rows:
        if not matches:
            continue
        named = ", ".join(m.path for m in matches[:NAMED])
        more = ", ..." if len(matches) > NAMED else ""
        kept = code == "unpaired" and options.unlabeled
        message = f"{len(matches)} {what} by the patterns ({named}{more})."
        fix = "They are left out; change the patterns if they belong together."
        if kept:
            fix = "They are kept without labels; change the patterns if they have any."
        file = str(options.root / matches[0].path)
        yield Finding("note" if kept else "warning", code, file, message, fix)


def _nothing_pairs(pairing: Pairing, options: SourceOptions) -> Finding:
    images = [m.path for m in pairing.unmatched_images]
    labels = [m.path for m in pairing.unmatched_labels]
    example = f", such as {images[0]}" if images else ""
    other = f"; {len(labels)} label files have no image, such as {labels[0]}" if labels else ""
    message = f"0 of {len(images)} images found labels by the patterns{example}{other}."
    fix = "Write the pattern so that the fields of both sides are the same text."
    file = options.root / images[0] if images else options.root
    level: Level = "note" if options.unlabeled and not labels else "error"
    return Finding(level, "no-pairs", str(file), message, fix)


# Masks of pixels to ignore


def _ignored(options: SourceOptions, files: Mapping[str, Path]) -> list[Path]:
    out: list[Path] = []
    for text in options.mask:
        found = [options.root / m.source for m in match_files([text], files)] or (
            [] if "{" in text else matching(options.root, text)
        )
        if not found:
            message = f"No file matches --mask '{text}'"
            fix = "Check the pattern"
            raise DataError(message, code="no-masks", file=options.root, fix=fix)
        out += [p for p in found if p not in out]
    return out


def _masked(
    samples: Sequence[SourceSample],
    images: Sequence[Match],
    ignored: Sequence[Path],
    files: Mapping[str, Path],
    options: SourceOptions,
) -> tuple[list[SourceSample], list[Finding]]:
    """Give samples their masks, by the fields of the pattern, else by the names."""
    if not any("{" in text for text in options.mask):
        return with_ignored(samples, ignored)
    pairing = pair(images, match_files(options.mask, files))
    of_image = {
        options.root / s.images[0].source: tuple(options.root / m.source for m in s.labels)
        for s in pairing.samples
    }
    return [replace(s, ignored=of_image.get(s.images[0], ())) for s in samples], []


# Groups


def _with_groups(samples: Sequence[SourceSample]) -> list[SourceSample]:
    """Set the groups: those known if they differ, else each sample; None for a single sample."""
    if len(samples) == 1 and samples[0].group is None:
        return list(samples)
    known = {s.group for s in samples}
    if len(known) > 1:
        return [replace(s, group=s.group or s.name) for s in samples]
    return [replace(s, group=s.name if len(samples) > 1 else None) for s in samples]
