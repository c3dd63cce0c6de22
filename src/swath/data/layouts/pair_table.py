"""Samples that a CSV file of pairs lists (`--pairs`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from swath.data.layouts.catalog import SourceSample, missing_mask
from swath.data.layouts.label_files import read_labels
from swath.data.layouts.own_split import read_table
from swath.data.layouts.patterns import split_of
from swath.errors import DataError, as_sentence, check_path
from swath.io.arrays import file_of, parse_array, stem_of
from swath.io.vector import Features
from swath.options import SourceOptions
from swath.types import Finding, OwnSplit


@dataclass(frozen=True)
class _Columns:
    image: int
    labels: int
    group: int | None
    split: int | None


def listed_samples(options: SourceOptions, path: Path) -> tuple[list[SourceSample], list[Finding]]:
    """Return the samples of a CSV file; a file that is absent makes its row a finding."""
    if not path.is_file() and (options.root / path).is_file():
        path = options.root / path
    rows = read_table(path)
    columns = _columns(rows[0] if rows else [], path)
    samples: list[SourceSample] = []
    findings: list[Finding] = []
    taken: set[str] = set()
    known: dict[Path, Path | Features] = {}
    for row in rows[1:]:
        cells = [*(cell.strip() for cell in row), *[""] * 4]
        images = tuple(options.root / text.strip() for text in cells[columns.image].split(";"))
        name = _name(images[0], options.root)
        wrong = _wrong_row(name, cells, columns, images, options.root, path)
        if wrong is None and name in taken:
            message = f"{path.name} lists {name} twice."
            fix = "Keep one row for each image."
            wrong = Finding("error", "listed-twice", str(images[0]), message, fix, name)
        if wrong is not None:
            findings.append(wrong)
            continue
        taken.add(name)
        group, split = _facts(cells, columns, path)
        sample = SourceSample(name, images, None, group=group, split=split)
        file = options.root / cells[columns.labels]
        try:
            if not cells[columns.labels]:
                findings.append(missing_mask(images[0], name, "labels", options.unlabeled))
            else:
                if file not in known:
                    known[file] = read_labels(file, options)
                sample = replace(sample, labels=known[file], warp=True)
        except DataError as error:
            findings.append(Finding.of_error(error, images[0], name))
        samples.append(sample)
    return samples, findings


def _wrong_row(
    name: str,
    cells: Sequence[str],
    columns: _Columns,
    images: Sequence[Path],
    root: Path,
    path: Path,
) -> Finding | None:
    """Return the finding on a row that names no image, or a file that is absent."""
    absent = [p for p in (*images, root / cells[columns.labels]) if not file_of(p).exists()]
    if not absent and cells[columns.image]:
        return None
    message = f"The row of {name} in {path.name} names a file that does not exist."
    lost = str(absent[0] if absent else path)
    fix = check_path(lost, "Write paths below the folder")
    return Finding("error", "no-such-file", lost, message, as_sentence(fix), name)


def _facts(
    cells: Sequence[str], columns: _Columns, path: Path
) -> tuple[str | None, OwnSplit | None]:
    group = cells[columns.group] if columns.group is not None else ""
    text = cells[columns.split] if columns.split is not None else ""
    if text and split_of(text) is None:
        message, fix = f"The split {text!r} is unknown", "Write train, val or test"
        raise DataError(message, code="unknown-split", file=path, fix=fix)
    return group or None, split_of(text)


def _columns(head: Sequence[str], path: Path) -> _Columns:
    names = [cell.strip().lower() for cell in head]
    if not {"image", "labels"} <= set(names):
        message = f"The file has no columns image and labels (columns: {', '.join(names)})"
        fix = "Write the line image,labels first, and then the files of a pair a line"
        raise DataError(message, code="no-such-column", file=path, fix=fix)
    found = {n: names.index(n) if n in names else None for n in ("group", "split")}
    return _Columns(names.index("image"), names.index("labels"), found["group"], found["split"])


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    if parse_array(path) is not None:
        relative = file_of(relative).with_name(stem_of(path))
        return relative.as_posix().lstrip("/")
    return PurePosixPath(relative.as_posix()).with_suffix("").as_posix().lstrip("/")
