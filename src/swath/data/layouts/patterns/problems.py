"""What may be wrong with samples that patterns give."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from swath.data.layouts.patterns.matching import Match, natural_key
from swath.data.layouts.patterns.samples import MatchedSample, Problem
from swath.data.layouts.patterns.split_words import split_of
from swath.types import OwnSplit

_TOKENS = re.compile(r"[^\W_]+")


def ambiguity(image: Match, shared: Sequence[str], labels: Sequence[Match]) -> Problem:
    """Return the error on an image that may belong to several labels."""
    fields = ", ".join(f"{{{f}}}" for f in shared)
    paths = ", ".join(m.path for m in labels[:3])
    return Problem(
        "error",
        "ambiguous-field",
        f"The pattern can be read in several ways, by which {fields} of this image is that of"
        f" {len(labels)} label files ({paths}).",
        "Write more of the name into the pattern, or ? for each character in the place of *.",
        (image.path, *(m.path for m in labels)),
        image.path,
    )


def split_and_group(
    name: str, images: Sequence[Match], labels: Sequence[Match]
) -> tuple[OwnSplit | None, str | None, list[Problem]]:
    """Return split and group of a sample, and what is wrong with them."""
    files = [*images, *labels]
    texts = _texts(files, "split")
    splits = {split_of(t) for t in texts} - {None}
    groups = _texts(files, "group")
    problems = []
    if len(splits) > 1 or any(len(_texts(side, "split")) > 1 for side in (images, labels)):
        problems.append(_mixed(name, "split", texts, images))
    if len(groups) > 1:
        problems.append(_mixed(name, "group", groups, images))
    split = splits.pop() if len(splits) == 1 else None
    return split, groups.pop() if len(groups) == 1 else None, problems


def _texts(files: Iterable[Match], field: str) -> set[str]:
    return {m.fields[field] for m in files if field in m.fields}


def _mixed(name: str, what: str, texts: Iterable[str], images: Sequence[Match]) -> Problem:
    return Problem(
        "error",
        f"mixed-{what}",
        f"The files of sample {name} lie in several {what}s ({', '.join(sorted(texts))}).",
        f"Write {{{what}}} in the patterns of both images and labels, or rename the files.",
        tuple(m.path for m in images),
        name,
    )


def several_labels(sample: MatchedSample) -> Problem:
    """Return the error on a sample with several label files."""
    paths = [m.source for m in sample.labels]
    return Problem(
        "error",
        "several-labels",
        f"Sample {sample.name} has {len(paths)} label files ({', '.join(paths[:3])}).",
        "Write a pattern that matches one of them, or a field in both patterns that tells them"
        " apart.",
        tuple(m.path for m in sample.labels),
        sample.name,
    )


def one_sided(
    samples: Sequence[MatchedSample], shared: Sequence[str], own: Sequence[str]
) -> Iterator[Problem]:
    """Say that files are stacked although a field that only images have tells them apart."""
    for name in own:
        if name in shared or name in ("split", "group"):
            continue
        mixed = [s for s in samples if len({m.fields[name] for m in s.images}) > 1]
        if mixed:
            yield _stacked(name, mixed)


def _stacked(name: str, mixed: Sequence[MatchedSample]) -> Problem:
    values = sorted({m.fields[name] for m in mixed[0].images}, key=natural_key)
    return Problem(
        "note",
        "stacked-field",
        f"Files of {len(mixed)} samples that differ in {{{name}}} alone are stacked"
        f" ({', '.join(values[:4])}{', ...' if len(values) > 4 else ''}).",
        f"Write {{{name}}} in the pattern of the labels, too, if these are samples of their own.",
        tuple(m.path for m in mixed[0].images),
    )


def unknown_splits(matches: Sequence[Match]) -> Iterator[Problem]:
    """Say which texts in the place of `{split}` name none."""
    files: dict[str, list[str]] = defaultdict(list)
    for match in matches:
        text = match.fields.get("split")
        if text is not None:
            files[text].append(match.path)
    for text, paths in sorted(files.items()):
        if split_of(text) is None:
            yield Problem(
                "error",
                "unknown-split",
                f"The text '{text}', where the pattern has {{split}}, names no split"
                f" ({len(paths)} files).",
                "Write * or another field there, and give the split in a file (--split FILE).",
                tuple(paths),
            )


def uneven_files(samples: Sequence[MatchedSample], shared: Sequence[str]) -> Iterator[Problem]:
    """Say which samples have more or fewer files than most, or other ones."""
    labeled = [s for s in samples if s.labels]
    counts = Counter(len(s.images) for s in labeled or samples)
    usual = max(counts, key=lambda n: (counts[n], n), default=0)
    for sample in samples:
        if len(sample.images) != usual:
            yield Problem(
                "error",
                "uneven-files",
                f"Sample {sample.name} has {_files(len(sample.images))}, and most samples have"
                f" {usual}.",
                "Add the missing files or remove what is too many, or write a pattern that matches"
                " the same files of every sample.",
                tuple(m.path for m in sample.images),
                sample.name,
            )
    if usual > 1:
        yield from _other_files([s for s in labeled if len(s.images) == usual], shared)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _other_files(samples: Sequence[MatchedSample], shared: Sequence[str]) -> Iterator[Problem]:
    """Say which samples have other files than most, though as many."""
    kinds = [_image_kinds(s, shared) for s in samples]
    usual, number = max(Counter(kinds).items(), key=lambda k: k[1], default=((), 0))
    if 2 * number <= len(samples):
        return
    for sample, own in zip(samples, kinds, strict=True):
        if own == usual:
            continue
        odd = [m.path for m, kind in zip(sample.images, own, strict=True) if kind not in usual]
        yield Problem(
            "warning",
            "other-files",
            f"Sample {sample.name} has as many files as most samples, but other ones"
            f" ({', '.join(odd[:3]) or 'in another order'}).",
            "Check that the same bands are stacked in every sample.",
            tuple(odd) or tuple(m.path for m in sample.images),
            sample.name,
        )


def _image_kinds(sample: MatchedSample, shared: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return what tells each file of a sample from its others: what wildcards took.

    Words that all have and long numbers, such as dates, are left out.
    """
    rows = []
    for match in sample.images:
        unshared = [v for f, v in match.fields.items() if f not in shared]
        rows.append([match.pattern.text, *_TOKENS.findall("|".join([match.rest, *unshared]))])
    common = set(rows[0]).intersection(*rows[1:])
    return tuple(
        tuple("#" if len(t) >= 6 and t[:6].isdigit() else t for t in row if t not in common)
        for row in rows
    )
