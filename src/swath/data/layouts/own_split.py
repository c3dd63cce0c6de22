"""The split that a dataset brings: in its folders, names, patterns or files."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from swath.data.layouts.catalog import Catalog, SourceSample
from swath.data.layouts.patterns import SPLITS, split_of
from swath.errors import DataError, UsageError, check_path
from swath.options import SourceOptions
from swath.types import Finding, OwnSplit

SPLIT_ORDER: tuple[OwnSplit, ...] = ("train", "val", "test")


def with_own_split(catalog: Catalog, options: SourceOptions) -> Catalog:
    """Give samples the split that files (`--split`), patterns, folders or names say, in that order.

    Samples of a group that lies in several splits get a group a split. Where all samples would be
    in one split, folders and names say nothing.

    Raises:
        DataError: a split file does not exist, or names no sample.
        UsageError: a split file says no split.
    """
    samples = list(catalog.samples)
    findings: list[Finding] = []
    if options.split:
        samples, findings = _from_files(samples, options)
        origin = "--split"
    elif any(s.split for s in samples):
        origin = "{split} of the patterns" if options.pairs is None else "--pairs"
    else:
        samples, origin = _from_paths(samples, catalog.root)
    if not any(s.split for s in samples):
        return replace(catalog, findings=(*catalog.findings, *findings))
    samples = _with_groups(samples)
    count = Counter(s.split for s in samples if s.labels is not None)
    counted = ", ".join(f"{count[split]} {split}" for split in SPLIT_ORDER if count[split])
    others = f", {count[None]} in none" if count[None] else ""
    message = f"The split of the dataset is kept, by {origin}: {counted or 'no label'}{others}."
    fix = "Nothing, or name other groups with --test and --val."
    findings.append(Finding("note", "own-split", str(catalog.root), message, fix))
    return replace(catalog, samples=tuple(samples), findings=(*catalog.findings, *findings))


def _from_paths(samples: Sequence[SourceSample], root: Path) -> tuple[list[SourceSample], str]:
    """Return samples with the split of their folders, else of the words of their names."""
    for read, origin in ((_of_folders, "folders"), (_of_name, "file names")):
        splits = [read(sample, root) for sample in samples]
        labeled = {x for x, s in zip(splits, samples, strict=True) if s.labels is not None}
        every = origin == "folders" or None not in splits
        if every and "train" in labeled and len(set(splits) - {None}) > 1:
            return [replace(s, split=x) for s, x in zip(samples, splits, strict=True)], origin
    return list(samples), ""


def _relative(path: Path, root: Path) -> PurePath:
    return path.relative_to(root) if path.is_relative_to(root) else PurePath(path.name)


def _files(sample: SourceSample) -> list[Path]:
    labels = [sample.labels] if isinstance(sample.labels, Path) else []
    return [*labels, *sample.images]


def _of_folders(sample: SourceSample, root: Path) -> OwnSplit | None:
    """Return the split that the folders of labels or images name; None if they contradict."""
    found = {
        split_of(folder) for path in _files(sample) for folder in _relative(path, root).parts[:-1]
    } - {None}
    return found.pop() if len(found) == 1 else None


def _of_name(sample: SourceSample, root: Path) -> OwnSplit | None:
    found = {split_of(path.stem) for path in _files(sample)} - {None}
    return found.pop() if len(found) == 1 else None


def _with_groups(samples: Sequence[SourceSample]) -> list[SourceSample]:
    """Keep each group in one split; where groups are but the splits, each image is a group."""
    splits: dict[str | None, set[OwnSplit | None]] = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    only_splits = _differ_in_split([s.group for s in samples if s.group is not None])
    out = []
    for sample in samples:
        group = sample.group
        if only_splits or group is None:
            group = sample.name
        elif len(splits[sample.group]) > 1:
            group = f"{sample.split or 'rest'}/{group}"
        out.append(replace(sample, group=group))
    return out


def _differ_in_split(groups: Sequence[str]) -> bool:
    """Return whether groups are paths that differ in folders that name a split alone."""
    paths = [group.split("/") for group in groups]
    places = {tuple(folder for folder in path if split_of(folder) is None) for path in paths}
    return len(places) == 1 and any(len(path) > len(place) for path in paths for place in places)


def _from_files(
    samples: Sequence[SourceSample], options: SourceOptions
) -> tuple[list[SourceSample], list[Finding]]:
    """Return samples with the splits of `--split`, and findings on names without a sample."""
    known = _known_names(samples, options.root)
    given: dict[str, set[OwnSplit]] = defaultdict(set)
    findings = []
    files = [_found(text, options.root) for text in options.split]
    for path in files:
        unknown: list[str] = []
        for name, split in read_split_file(path):
            owner = _owner(name, known, path)
            if owner is None:
                unknown.append(name)
            else:
                given[owner].add(split)
        if unknown:
            findings.append(_unmatched(unknown, path))
    if not given:
        message = "No name of the split files is that of a sample"
        fix = f"Write names such as {samples[0].name}" if samples else "Check the folder"
        raise DataError(message, code="split-unmatched", file=files[0], fix=fix)
    _refuse_mixed(given, files[-1])
    findings += _missing(samples, given)
    return [replace(s, split=next(iter(given.get(s.name, ())), None)) for s in samples], findings


def _owner(name: str, known: Mapping[str, set[str]], path: Path) -> str | None:
    """Return the sample that a name in a split file means, None if none."""
    owners = known.get(name) or known.get(str(PurePosixPath(name).with_suffix("")), set())
    if len(owners) > 1:
        message = f"The name {name!r} is that of {len(owners)} samples"
        fix = "Write the path of the image below the folder instead"
        raise DataError(message, code="ambiguous-split", file=path, fix=fix)
    return next(iter(owners), None)


def _unmatched(names: Sequence[str], path: Path) -> Finding:
    message = f"{len(names)} names of the split file are no samples, such as {names[0]}."
    fix = "Write names or paths of images, such as those that `swath inspect` lists."
    return Finding("warning", "split-unmatched", str(path), message, fix)


def _refuse_mixed(given: Mapping[str, set[OwnSplit]], path: Path) -> None:
    for name, splits in given.items():
        if len(splits) > 1:
            message = f"Sample {name} is in several splits ({', '.join(sorted(splits))})"
            raise DataError(message, code="mixed-split", file=path, fix="Keep one of them")


def _missing(
    samples: Sequence[SourceSample], given: Mapping[str, set[OwnSplit]]
) -> Iterator[Finding]:
    """Yield a warning where labeled samples are in no split file."""
    left = [s for s in samples if s.name not in given and s.labels is not None]
    if left:
        message = f"{len(left)} labeled samples are in no split file, such as {left[0].name}."
        fix = "Add them to a split file; they train, or validate where no file says what does."
        yield Finding("warning", "split-missing", str(left[0].images[0]), message, fix)


def _found(text: str, root: Path) -> Path:
    for path in (root / text, Path(text)):
        if path.is_file():
            return path
    message = "There is no such split file"
    fix = check_path(root / text)
    raise DataError(message, code="no-such-file", file=text, fix=fix)


def _known_names(samples: Sequence[SourceSample], root: Path) -> Mapping[str, set[str]]:
    """Return samples by all texts that name them; a name of its own is no other's."""
    known: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for path in _files(sample):
            relative = PurePosixPath(_relative(path, root).as_posix())
            for text in (relative, relative.with_suffix(""), relative.name, relative.stem):
                known[str(text)].add(sample.name)
        known[PurePosixPath(sample.name).name].add(sample.name)
    for sample in samples:
        known[sample.name] = {sample.name}
    return known


def read_split_file(path: Path) -> Iterator[tuple[str, OwnSplit]]:
    """Yield names and their splits: of a CSV with columns name and split, or a list of names.

    Raises:
        DataError: the file is not UTF-8, or a split is unknown.
        UsageError: the file is no such CSV, nor named after a split.
    """
    rows = read_table(path)
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if {"name", "split"} <= set(head):
        name, split = head.index("name"), head.index("split")
        for row in rows[1:]:
            found = SPLITS.get(row[split].strip().lower()) if len(row) > split else None
            if found is None:
                message = f"The row {','.join(row)} names no split"
                fix = "Write train, val or test"
                raise DataError(message, code="unknown-split", file=path, fix=fix)
            yield row[name].strip(), found
        return
    own = split_of(path.stem)
    if own is None or any(len(row) > 1 for row in rows):
        message = "The split file has no columns name and split, and is not named after a split"
        fix = "Give a CSV with these columns, or lists of names: train.txt, val.txt, test.txt"
        raise UsageError(message, code="bad-split-file", file=path, fix=fix)
    for row in rows:
        yield row[0].strip(), own


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file (comma, or tab) that are not empty.

    Raises:
        DataError: the file is absent, or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message, fix = "The file is not UTF-8", "Save it as UTF-8"
        raise DataError(message, code="not-utf8", file=path, fix=fix) from error
    except OSError as error:
        message, fix = "The file cannot be read", check_path(path)
        raise DataError(message, code="no-such-file", file=path, fix=fix) from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = csv.reader(text.splitlines(), delimiter=delimiter)
    return [row for row in rows if any(cell.strip() for cell in row)]
