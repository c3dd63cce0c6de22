"""Patterns with fields, and the pairs of images and labels that follow from them.

Pure functions over relative POSIX paths: no file is opened. A pattern is a path with

- `{id}` or any other field: text within one name, at least one character; where a field stands
  twice, both texts are the same;
- `{split}`: the split (train, val, test and their other spellings, in any case), also as a word in
  a longer name such as `train_features`; `{group}`: the place;
- `*` any text within a name, `?` one character, `**/` any folders, `{vv,vh}` one of several texts;
- `[...]` a set of characters, or this very text where a file's path holds it;
- after an array file, `:/group/name` the array within and `[0]` or `@0` an index.

Names match with their case, extensions without; Unicode is compared in its composed form (NFC).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from swath.errors import DataError, UsageError
from swath.types import Level

SPLITS: Mapping[str, Literal["train", "val", "test"]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Words that name a split, in lower case."""

ARRAYS = ("npy", "npz", "h5", "hdf5", "hdf", "he5", "nc", "nc4", "cdf", "zarr")
"""Extensions of array files, which alone take an array name and an index."""

MOST_PARSES = 256
"""Ways to read one path at most."""

Members: TypeAlias = Callable[[str], Iterable[str]]
"""Lists the arrays in a file, given its relative path."""

_SUFFIX = re.compile(
    rf"(?P<file>.+?\.(?:{'|'.join(ARRAYS)}))(?::/?(?P<member>[^:]+?))?"
    r"(?:\[(?P<index>\d+)\]|@(?P<at>\d+))?",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?P<folders>(?:(?<=/)|^)\*\*/)|(?P<rest>(?:(?<=/)|^)\*\*$)|(?P<star>\*+)|(?P<one>\?)"
    r"|(?P<set>\[[^\]/]+\])|\{(?P<field>[^\W\d]\w*)\}|\{(?P<choice>[^{}/]*,[^{}/]*)\}"
    r"|(?P<braces>\{[^{}/]*\})|(?P<literal>[^*?\[{]+|.)",
    re.DOTALL,
)
_EXTENSION = re.compile(r"\.[^./\s]+$")
_WORDS = re.compile(r"[^\W\d_]+")
_TOKENS = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"(\d+)")
_SPLIT_WORD = rf"(?<![^\W\d_])(?i:{'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![^\W\d_])"


@dataclass(frozen=True)
class _Part:
    kind: str
    text: str


@dataclass(frozen=True)
class Pattern:
    """A pattern that was parsed.

    Attributes:
        text: as it was given.
        parts: of the file's path.
        member: name of an array in the file, a pattern itself, or None.
        index: index along the first axis of an array, or None.
    """

    text: str
    parts: tuple[_Part, ...]
    member: Pattern | None = None
    index: int | None = None

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in order of their places, each once."""
        own = [p.text for p in self.parts if p.kind == "field"]
        return tuple(dict.fromkeys([*own, *(self.member.fields if self.member else ())]))

    @cached_property
    def is_literal(self) -> bool:
        """Whether the file's path is plain text."""
        return all(p.kind == "literal" for p in self.parts)

    @cached_property
    def _greedy(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled("")

    @cached_property
    def _lazy(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled("?")

    def _compiled(self, lazy: str) -> tuple[re.Pattern[str], ...]:
        """Compile with `{split}` as one of its words, and then with it as any text."""
        loose = re.compile(_regex(self.parts, lazy, "[^/]+" + lazy))
        if not any(p == _Part("field", "split") for p in self.parts):
            return (loose,)
        return re.compile(_regex(self.parts, lazy, _SPLIT_WORD)), loose

    def match(self, path: str) -> tuple[dict[str, str], str] | None:
        """Return the fields of a path and the text that wildcards took; None if it does not match.

        The path is in NFC.
        """
        for regex in self._greedy:
            found = regex.fullmatch(path)
            if found:
                texts = found.groupdict()
                fields = {k: v for k, v in texts.items() if not k.startswith("_w")}
                return fields, "|".join(v for k, v in texts.items() if k.startswith("_w"))
        return None

    def is_ambiguous(self, path: str, fields: Mapping[str, str]) -> bool:
        """Return whether another reading of a path gives other fields, of those given."""
        found = next((m for m in (r.fullmatch(path) for r in self._lazy) if m), None)
        return found is not None and any(found[k] != v for k, v in fields.items())

    def readings(self, path: str) -> Iterator[dict[str, str]]:
        """Yield the fields of all ways to read a path, at most `MOST_PARSES`."""
        yield from islice(_readings(self.parts, 0, path, 0, {}), MOST_PARSES)


def _regex(parts: Sequence[_Part], lazy: str, split: str) -> str:
    out: list[str] = []
    seen: set[str] = set()
    wild = 0
    for part in parts:
        if part.kind == "literal":
            out.append(re.escape(part.text))
        elif part.kind == "extension":
            out.append(f"(?i:{re.escape(part.text)})")
        elif part.kind == "field":
            body = split if part.text == "split" else f"[^/]+{lazy}"
            out.append(f"(?P={part.text})" if part.text in seen else f"(?P<{part.text}>{body})")
            seen.add(part.text)
        else:
            out.append(f"(?P<_w{wild}>{_wildcard(part)}{lazy if part.kind != 'one' else ''})")
            wild += 1
    return "".join(out).replace("{0}", lazy)


def _wildcard(part: _Part) -> str:
    if part.kind == "choice":
        return f"(?:{'|'.join(map(re.escape, part.text.split(',')))}){{1}}"
    if part.kind == "set":
        return f"{_set(part.text)}{{1}}"
    return {"folders": "(?:[^/]+/)*", "rest": ".+", "star": "[^/]*", "one": "[^/]"}[part.kind]


def _set(text: str) -> str:
    """Return a set of characters as a regular expression; `[!...]` is all but these."""
    inner = text[1:-1]
    negated = inner[0] == "!" and len(inner) > 1
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
    return f"(?!/)[{'^' if negated else ''}{inner}]"


def _readings(
    parts: Sequence[_Part], number: int, text: str, at: int, fields: dict[str, str]
) -> Iterator[dict[str, str]]:
    if number == len(parts):
        if at == len(text):
            yield fields
        return
    part = parts[number]
    bound = fields.get(part.text) if part.kind == "field" else None
    if bound is not None:
        ends = [at + len(bound)] if text.startswith(bound, at) else []
    else:
        ends = _ends(part, parts[number + 1] if number + 1 < len(parts) else None, text, at)
    for end in ends:
        new = fields | {part.text: text[at:end]} if part.kind == "field" else fields
        yield from _readings(parts, number + 1, text, end, new)


def _ends(part: _Part, following: _Part | None, text: str, at: int) -> list[int]:
    """Return where a part that begins at a place of a path may end."""
    if part.kind in ("literal", "extension"):
        same = text[at : at + len(part.text)]
        equal = same == part.text
        if part.kind == "extension":
            equal = same.casefold() == part.text.casefold()
        return [at + len(part.text)] if equal else []
    if part.kind == "choice":
        return [at + len(t) for t in part.text.split(",") if text.startswith(t, at)]
    if part.kind in ("one", "set"):
        fits = re.match(_wildcard(part), text[at:])
        return [at + 1] if fits else []
    if part.kind == "rest":
        return [len(text)]
    if part.kind == "folders":
        return [at, *(i + 1 for i in range(at, len(text)) if text[i] == "/")]
    slash = text.find("/", at)
    last = len(text) if slash < 0 else slash
    ends = range(last, at - (part.kind == "star"), -1)
    if following is not None and following.kind == "literal":
        return [end for end in ends if text.startswith(following.text, end)]
    if following is not None and following.kind == "extension":
        end = len(text) - len(following.text)
        return [end] if end in ends else []
    return list(ends)


def parse(text: str, files: Iterable[str] = ()) -> Pattern:
    """Parse a pattern.

    Args:
        text: the pattern.
        files: the paths it is for; brackets and braces that they hold are taken literally.

    Raises:
        UsageError: it is empty, or braces hold what is no name of a field.
    """
    path = _normal(text.replace(os.sep, "/") if os.sep != "/" else text)
    while path.startswith("./"):
        path = path[2:]
    if not path.strip("/"):
        raise UsageError(
            "The pattern is empty",
            code="bad-pattern",
            fix="Give a path below the folder, such as 'images/{id}.tif'",
        )
    paths = files if isinstance(files, (list, tuple, set, frozenset, dict)) else list(files)
    suffix = _SUFFIX.fullmatch(path)
    if suffix is None or path in paths:
        return Pattern(text, tuple(_parts(path, text, paths)))
    member, index = suffix["member"], suffix["index"] or suffix["at"]
    return Pattern(
        text,
        tuple(_parts(suffix["file"], text, paths)),
        Pattern(member, tuple(_parts(member, text, (), extension=False))) if member else None,
        int(index) if index else None,
    )


def _normal(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _parts(
    path: str, text: str, files: Iterable[str], *, extension: bool = True
) -> Iterator[_Part]:
    literal = ""
    for found in _PART.finditer(path):
        kind = str(found.lastgroup)
        if kind in ("set", "choice", "braces") and any(found[0] in _normal(f) for f in files):
            kind = "literal"
        if kind == "braces":
            raise UsageError(
                f"The pattern {text} holds {found[0]}, which is no field",
                code="bad-pattern",
                fix="Name a field with letters, digits and _, such as {id}",
            )
        if kind == "literal":
            literal += found[0]
            continue
        if literal:
            yield _Part("literal", literal)
            literal = ""
        yield _Part(kind, found[kind])
    tail = _EXTENSION.search(literal) if extension else None
    if tail:
        if tail.start():
            yield _Part("literal", literal[: tail.start()])
        yield _Part("extension", tail[0])
    elif literal:
        yield _Part("literal", literal)


@dataclass(frozen=True)
class Match:
    """A file that a pattern matches, or an array in one.

    Attributes:
        path: the file's path, as it was listed.
        fields: texts of the fields.
        pattern: the pattern.
        member: name of the array in the file, or None.
        index: index along the first axis of the array, or None.
        rest: text that wildcards took.
    """

    path: str
    fields: Mapping[str, str]
    pattern: Pattern = field(repr=False, compare=False)
    member: str | None = None
    index: int | None = None
    rest: str = field(default="", repr=False, compare=False)

    @property
    def source(self) -> str:
        """The path with name and index of the array, as a pattern would give it."""
        name = f":/{self.member}" if self.member else ""
        return f"{self.path}{name}{'' if self.index is None else f'[{self.index}]'}"

    @property
    def split(self) -> Literal["train", "val", "test"] | None:
        """The split that `{split}` names; None without, or where the text names none."""
        return split_of(self.fields.get("split", ""))


def split_of(text: str) -> Literal["train", "val", "test"] | None:
    """Return the split that a text names, by one of its words; None if none or several do."""
    named = {SPLITS[w] for w in _WORDS.findall(text.lower()) if w in SPLITS}
    return named.pop() if len(named) == 1 else None


def natural_key(text: str) -> list[str | int]:
    """Return a sort key by which `img2` comes before `img10`."""
    parts: list[str | int] = list(_DIGITS.split(text))
    for i in range(1, len(parts), 2):
        parts[i] = int(parts[i])
    return parts


def _order(match: Match) -> tuple[list[str | int], str, list[str | int], int]:
    member = natural_key(match.member or "")
    return natural_key(match.path), match.path, member, match.index or 0


def match_files(
    patterns: Sequence[str],
    files: Iterable[str],
    *,
    option: str | None = None,
    members: Members | None = None,
) -> list[Match]:
    """Return the files that match a pattern, in natural order.

    A file that several patterns match is taken by the first.

    Args:
        patterns: see the module.
        files: relative POSIX paths.
        option: name of the option that the patterns are from; with it, a pattern that matches
            nothing is an error.
        members: lists the arrays in a file; needed where a pattern's array name has fields.

    Raises:
        UsageError: see `parse`.
        DataError: a pattern of the option matches nothing.
    """
    paths = {path: _normal(path) for path in files}
    out: dict[tuple[str, str | None, int | None], Match] = {}
    for text in patterns:
        pattern = parse(text, paths)
        found = list(_matches(pattern, paths, members))
        if not found and any(p.kind == "set" for p in pattern.parts):  # brackets as they are
            plain = tuple(_Part("literal", p.text) if p.kind == "set" else p for p in pattern.parts)
            found = list(_matches(Pattern(text, plain, pattern.member), paths, members))
        if not found and option:
            raise DataError(
                f"No file matches {option} '{text}'",
                code="no-such-file",
                fix=_mend(pattern, paths.values()),
            )
        for match in found:
            out.setdefault((match.path, match.member, match.index), match)
    return sorted(out.values(), key=_order)


def _matches(
    pattern: Pattern, paths: Mapping[str, str], members: Members | None
) -> Iterator[Match]:
    for path, normal in paths.items():
        found = pattern.match(normal)
        if not found:
            continue
        fields, rest = found
        if pattern.member is None:
            yield Match(path, fields, pattern, None, pattern.index, rest)
        elif pattern.member.is_literal:
            name = pattern.member.text.strip("/")
            yield Match(path, fields, pattern, name, pattern.index, rest)
        else:
            yield from _matched_members(pattern, path, found, members(path) if members else ())


def _matched_members(
    pattern: Pattern, path: str, found: tuple[dict[str, str], str], names: Iterable[str]
) -> Iterator[Match]:
    fields, rest = found
    for name in names:
        inner = pattern.member.match(_normal(name.strip("/"))) if pattern.member else None
        if inner and all(fields.get(k, v) == v for k, v in inner[0].items()):
            yield Match(
                path,
                fields | inner[0],
                pattern,
                name.strip("/"),
                pattern.index,
                f"{rest}|{inner[1]}",
            )


def _mend(pattern: Pattern, paths: Iterable[str]) -> str:
    """Return what to do about a pattern that matches nothing: a folder or case that differs."""
    paths = list(paths)
    loose = re.compile(_regex(pattern.parts, "", "[^/]+"), re.IGNORECASE)
    other = next((p for p in paths if loose.fullmatch(p)), None)
    if other is not None:
        return f"Write it with the case of the names, such as {other}"
    name = "".join(_shown(p) for p in pattern.parts)
    deeper = f"**/{name}"
    if any(map(Pattern(deeper, tuple(_parts(deeper, deeper, ()))).match, paths)):
        return f"Write '{deeper}' for files in folders below"
    example = min(paths, key=natural_key, default=None)
    return f"Check it against the files, such as {example}" if example else "Check the folder"


def _shown(part: _Part) -> str:
    if part.kind in ("field", "choice"):
        return f"{{{part.text}}}"
    return part.text


@dataclass(frozen=True)
class Problem:
    """What is wrong with a pairing, in the words of a finding.

    Attributes:
        level: error, warning or note.
        code: stable name of the kind.
        message: one sentence.
        fix: one sentence.
        files: relative paths it is about, at least one.
        sample: name of the sample that cannot be used, or None.
    """

    level: Level
    code: str
    message: str
    fix: str
    files: tuple[str, ...]
    sample: str | None = None


@dataclass(frozen=True)
class MatchedSample:
    """Files that belong together.

    Attributes:
        name: the part in which samples differ; unique.
        images: image files, stacked in this order.
        labels: label files; empty where there are none.
        split: the dataset's own split, or None.
        group: the place, or None.
    """

    name: str
    images: tuple[Match, ...]
    labels: tuple[Match, ...] = ()
    split: Literal["train", "val", "test"] | None = None
    group: str | None = None


@dataclass(frozen=True)
class Pairing:
    """Images and labels by their fields.

    Attributes:
        samples: samples with labels, in natural order of their names.
        unlabeled: samples without labels.
        ambiguous: images that may belong to several labels.
        unmatched_labels: labels without an image.
        shared: fields that pair images and labels; empty where labels are joined by place, and each
            sample has all.
        problems: what is wrong.
    """

    samples: tuple[MatchedSample, ...] = ()
    unlabeled: tuple[MatchedSample, ...] = ()
    ambiguous: tuple[Match, ...] = ()
    unmatched_labels: tuple[Match, ...] = ()
    shared: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def unmatched_images(self) -> tuple[Match, ...]:
        """Images without labels, and those that may belong to several."""
        return (*(m for s in self.unlabeled for m in s.images), *self.ambiguous)


_Key: TypeAlias = tuple[str, ...]


def pair(images: Sequence[Match], labels: Sequence[Match]) -> Pairing:
    """Pair images and labels by the fields that all patterns of both have.

    Images of equal shared fields are one sample. Where none is shared, or `{split}` alone, images
    of equal fields are one sample, and without fields each is one; they have all labels, or those
    of their split. A file that is among the labels is no image.

    Raises:
        UsageError: several label files have fields, and images have none of them.
    """
    taken = {(m.path, m.member, m.index) for m in labels}
    images = [m for m in images if (m.path, m.member, m.index) not in taken]
    images, labels = sorted(images, key=_order), sorted(labels, key=_order)
    own, theirs = _common_fields(images), _common_fields(labels)
    shared = tuple(f for f in own if f in theirs)
    if not {*shared} - {"split"}:
        _check_shared(images, labels, own, theirs)
        by = {m: i for i, m in enumerate(map(id, images))}
        names = tuple(f for f in own)
        identity = [f for f in names if f != "split"]
        keys = {id(m): _key(m, names) if identity else (str(by[id(m)]),) for m in images}
        return _by_place(images, labels, keys, names if identity else (), shared)
    return _by_fields(images, labels, shared, own)


def _common_fields(matches: Sequence[Match]) -> tuple[str, ...]:
    """Return the fields that all patterns of some matches have."""
    patterns = list({id(m.pattern): m.pattern for m in matches}.values())
    if not patterns:
        return ()
    return tuple(f for f in patterns[0].fields if all(f in p.fields for p in patterns))


def _check_shared(
    images: Sequence[Match], labels: Sequence[Match], own: Sequence[str], theirs: Sequence[str]
) -> None:
    named = {f for m in labels for f in m.pattern.fields} - {"split"}
    if len(images) > 1 and len(labels) > 1 and named:
        shown = ", ".join(f"{{{f}}}" for f in sorted(named))
        other = ", ".join(f"{{{f}}}" for f in own) or "no field"
        raise UsageError(
            f"The patterns of images and labels share no field: the labels have {shown},"
            f" and all image patterns have {other} in common",
            code="no-shared-field",
            fix="Write the same field in both, such as --images 'img/{id}.tif'"
            " --labels 'mask/{id}.tif', or * in the place of one that only the labels have",
        )


def _key(match: Match, names: Sequence[str]) -> _Key:
    return _key_of(match.fields, names)


def _key_of(fields: Mapping[str, str], names: Sequence[str]) -> _Key:
    return tuple((split_of(fields[n]) or fields[n]) if n == "split" else fields[n] for n in names)


def _by_place(
    images: Sequence[Match],
    labels: Sequence[Match],
    keys: Mapping[int, _Key],
    names: Sequence[str],
    shared: tuple[str, ...],
) -> Pairing:
    """Give each sample all labels, or those of its split."""
    of_split: dict[_Key, list[Match]] = defaultdict(list)
    for label in labels:
        of_split[_key(label, shared)].append(label)
    grouped: dict[_Key, list[Match]] = defaultdict(list)
    for image in images:
        grouped[keys[id(image)]].append(image)
    titles = _names(grouped, names)
    joined = {key: tuple(files) for key, files in of_split.items()}
    samples, unlabeled = list[MatchedSample](), list[MatchedSample]()
    used, problems = set(), list[Problem]()
    for key, files in grouped.items():
        of = _key(files[0], shared)
        split, group, wrong = _facts(titles[key], files, ())
        problems += wrong
        sample = MatchedSample(titles[key], tuple(files), joined.get(of, ()), split, group)
        (samples if sample.labels else unlabeled).append(sample)
        used.add(of)
    return Pairing(
        _sorted(samples),
        _sorted(unlabeled),
        (),
        tuple(m for key, files in of_split.items() if key not in used for m in files),
        (),
        (*problems, *_uneven(samples, unlabeled, names), *_unknown_splits([*images, *labels])),
    )


def _by_fields(
    images: Sequence[Match], labels: Sequence[Match], shared: tuple[str, ...], own: Sequence[str]
) -> Pairing:
    of_key: dict[_Key, list[Match]] = defaultdict(list)
    for label in labels:
        of_key[_key(label, shared)].append(label)
    grouped: dict[_Key, list[Match]] = defaultdict(list)
    ambiguous: list[Match] = []
    problems: list[Problem] = []
    others: dict[_Key, set[_Key]] | None = None
    for image in images:
        key = _key(image, shared)
        readings = _other_keys(image, shared, key)
        if key not in of_key or len(readings) > 1:
            hits = {k: None for k in readings if k in of_key}
            if not hits:
                others = _other_labels(labels, shared) if others is None else others
                hits = {k: None for r in readings for k in others.get(r, ())}
            if len(hits) > 1:
                ambiguous.append(image)
                problems.append(_ambiguity(image, shared, [of_key[k][0] for k in hits]))
                continue
            key = next(iter(hits), key)
        grouped[key].append(image)
    titles = _names({**grouped, **{k: [] for k in of_key}}, shared)
    samples, unlabeled = list[MatchedSample](), list[MatchedSample]()
    for key, files in grouped.items():
        found = of_key.get(key, [])
        split, group, wrong = _facts(titles[key], files, found)
        sample = MatchedSample(titles[key], tuple(files), tuple(found), split, group)
        (samples if found else unlabeled).append(sample)
        problems += wrong
        if len(found) > 1:
            problems.append(_several(sample))
    problems += [*_uneven(samples, unlabeled, shared), *_unknown_splits([*images, *labels])]
    problems += _one_sided(samples, shared, own)
    unmatched = tuple(m for key, files in of_key.items() if key not in grouped for m in files)
    return Pairing(
        _sorted(samples), _sorted(unlabeled), tuple(ambiguous), unmatched, shared, tuple(problems)
    )


def _is_ambiguous(match: Match, shared: Sequence[str]) -> bool:
    fields = {f: match.fields[f] for f in shared if f in match.pattern.fields}
    if match.pattern.member is not None:
        inner = match.pattern.member.fields
        fields = {f: v for f, v in fields.items() if f not in inner}
    return match.pattern.is_ambiguous(_normal(match.path), fields)


def _other_keys(match: Match, shared: Sequence[str], first: _Key) -> list[_Key]:
    """Return the keys of all readings of a match, its own first."""
    if not _is_ambiguous(match, shared):
        return [first]
    readings = match.pattern.readings(_normal(match.path))
    every = [_key_of({**match.fields, **r}, shared) for r in readings]
    return list(dict.fromkeys([first, *every]))


def _other_labels(labels: Sequence[Match], shared: Sequence[str]) -> dict[_Key, set[_Key]]:
    """Return the labels' keys by the keys of their other readings."""
    out: dict[_Key, set[_Key]] = defaultdict(set)
    for label in labels:
        own = _key(label, shared)
        for other in _other_keys(label, shared, own):
            if other != own:
                out[other].add(own)
    return out


def _ambiguity(image: Match, shared: Sequence[str], labels: Sequence[Match]) -> Problem:
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


def _facts(
    name: str, images: Sequence[Match], labels: Sequence[Match]
) -> tuple[Literal["train", "val", "test"] | None, str | None, list[Problem]]:
    """Return split and group of a sample, and what is wrong with them."""
    problems = []
    files = [*images, *labels]
    texts = {m.fields["split"] for m in files if "split" in m.fields}
    splits = {split_of(t) for t in texts} - {None}
    sides = ({m.fields["split"] for m in s if "split" in m.fields} for s in (images, labels))
    on_one_side = max(map(len, sides))
    if len(splits) > 1 or on_one_side > 1:
        problems.append(_mixed(name, "split", texts, images))
    groups = {m.fields["group"] for m in files if "group" in m.fields}
    if len(groups) > 1:
        problems.append(_mixed(name, "group", groups, images))
    return (
        next(iter(splits)) if len(splits) == 1 else None,
        next(iter(groups)) if len(groups) == 1 else None,
        problems,
    )


def _mixed(name: str, what: str, texts: Iterable[str], images: Sequence[Match]) -> Problem:
    return Problem(
        "error",
        f"mixed-{what}",
        f"The files of sample {name} lie in several {what}s ({', '.join(sorted(texts))}).",
        f"Write {{{what}}} in the patterns of both images and labels, or rename the files.",
        tuple(m.path for m in images),
        name,
    )


def _several(sample: MatchedSample) -> Problem:
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


def _one_sided(
    samples: Sequence[MatchedSample], shared: Sequence[str], own: Sequence[str]
) -> Iterator[Problem]:
    """Say that files are stacked although a field that only images have tells them apart."""
    for name in own:
        if name in shared or name in ("split", "group"):
            continue
        mixed = [s for s in samples if len({m.fields[name] for m in s.images}) > 1]
        if mixed:
            values = sorted({m.fields[name] for m in mixed[0].images}, key=natural_key)
            yield Problem(
                "note",
                "stacked-field",
                f"Files of {len(mixed)} samples that differ in {{{name}}} alone are stacked"
                f" ({', '.join(values[:4])}{', ...' if len(values) > 4 else ''}).",
                f"Write {{{name}}} in the pattern of the labels, too, if these are samples of"
                " their own.",
                tuple(m.path for m in mixed[0].images),
            )


def _unknown_splits(matches: Sequence[Match]) -> Iterator[Problem]:
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


def _uneven(
    samples: Sequence[MatchedSample], unlabeled: Sequence[MatchedSample], shared: Sequence[str]
) -> Iterator[Problem]:
    """Say which samples have more or fewer files than most, or other ones."""
    counts = Counter(len(s.images) for s in samples or unlabeled)
    if not counts:
        return
    usual = max(counts, key=lambda n: (counts[n], n))
    for sample in (*samples, *unlabeled):
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
        yield from _other_files([s for s in samples if len(s.images) == usual], shared)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _other_files(samples: Sequence[MatchedSample], shared: Sequence[str]) -> Iterator[Problem]:
    """Say which samples have other files than most, though as many."""
    kinds = {id(s): _image_kinds(s, shared) for s in samples}
    counts = Counter(kinds.values())
    usual, number = counts.most_common(1)[0] if counts else ((), 0)
    if 2 * number <= len(samples):
        return
    for sample in samples:
        if kinds[id(sample)] != usual:
            odd = [
                m.path
                for m, kind in zip(sample.images, kinds[id(sample)], strict=True)
                if kind not in usual
            ]
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


def _names(grouped: Mapping[_Key, Sequence[Match]], fields: Sequence[str]) -> dict[_Key, str]:
    """Name samples by the fields in which they differ; without fields, by their paths."""
    keys = list(grouped)
    if not fields:
        return _path_names(grouped)
    varying = [i for i in range(len(fields)) if len({k[i] for k in keys}) > 1]
    if not varying:
        varying = [i for i, f in enumerate(fields) if f != "split"]
    plain = [i for i in varying if fields[i] != "split"]
    for chosen in (plain, varying):
        names = {k: "/".join(k[i] for i in chosen) for k in keys}
        if chosen and len(set(names.values())) == len(keys):
            return names
    return {k: "/".join(k) for k in keys}


def _path_names(grouped: Mapping[_Key, Sequence[Match]]) -> dict[_Key, str]:
    """Name samples by path without the folders that all have, and without extension if unique."""
    first = {key: files[0] for key, files in grouped.items()}
    common = os.path.commonprefix(
        [f"{PurePosixPath(m.path).parent.as_posix()}/" for m in first.values()]
    )
    cut = common.rfind("/") + 1 if common != "./" else 0
    full = {k: m.source[cut:] for k, m in first.items()}
    short = {k: PurePosixPath(m.path[cut:]).with_suffix("").as_posix() for k, m in first.items()}
    names = {m.path: k for k, m in first.items()}
    unique = len(set(short.values())) == len(short) and len(names) == len(first)
    return short if unique else full


def _sorted(samples: Iterable[MatchedSample]) -> tuple[MatchedSample, ...]:
    return tuple(sorted(samples, key=lambda s: (natural_key(s.name), s.name)))
