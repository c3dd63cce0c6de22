"""Patterns to propose where images and labels do not pair by themselves.

Nothing is paired here: a proposal is text for `--images` and `--labels`, which was tried with
`patterns` and gives each label file one sample of as many files as every other. Label files are
told from images by words in their paths or, with a callback, by their content; parts of names that
label files differ in and that images have as well become fields.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from pathlib import PurePosixPath
from typing import TypeAlias

from swath.data.layouts.patterns import Pairing, match_files, natural_key, pair, split_of
from swath.errors import SwathError

RASTERS = frozenset(
    ".bmp .img .jp2 .jpeg .jpg .png .tif .tiff .vrt .webp .asc .dat .npy .npz".split()
)
"""Extensions of files that may be images or masks."""

VECTORS = frozenset(".geojson .gpkg .shp .kml .fgb .parquet".split())
"""Extensions of files that may hold labels as polygons, points or lines."""

MASK_WORDS: Mapping[str, int] = {
    **dict.fromkeys(
        "truth"  # codespell:ignore truth
        " gt gts msk groundtruth annotation annotations ann anno target targets seg"
        " segmentation segmentationclass lulc landcover lbl reference semantic".split(),
        3,
    ),
    **dict.fromkeys("m lc cm cdl nlcd zones zone cloud clouds class classes crop".split(), 2),
    **dict.fromkeys("building buildings change roads footprints".split(), 1),
}
"""Words that say that a file holds labels, and how surely."""

IMAGE_WORDS: Mapping[str, int] = {
    **dict.fromkeys("rgb".split(), 4),
    **dict.fromkeys("image images img imgs jpegimages input inputs".split(), 3),
    **dict.fromkeys(
        "sat satellite ortho aerial naip ms msi mul multispectral source features chips rgbir"
        " rgbnir s2 sentinel2 s2hand scene scenes".split(),
        2,
    ),
    **dict.fromkeys("s1 s1hand sar sentinel1 landsat pan nir raw".split(), 1),
}
"""Words that say that a file is an image, and how well it serves as one."""

OTHER_WORDS = frozenset(
    "dem dsm dtm ndsm agl elevation slope aspect height heights depth hydro cld scl qa qa60 bqa"
    " thumb thumbnail thumbnails preview quicklook browse overview instance instances id ids"
    " field edge edges boundary boundaries distance weight weights prediction predictions pred"
    " meta metadata extent footprint index invalid valid nodata confidence prob".split()
)
"""Words of files that are neither images nor classes."""

BAND_WORDS = frozenset(
    "blue green red nir swir swir1 swir2 rededge coastal cirrus thermal tir vv vh hh hv pre post"
    " before after".split()
)
"""Words that tell bands or dates of one image apart."""

SAMPLED_LABELS = 200
"""Label files by which names are compared; the patterns are tried on all."""

MOST_LOOKS = 60
"""Files that are opened to tell masks from images."""

MOST_CHOICES = 64
"""Ways to find fields in the names of images that are tried for one kind of label."""

MOST_UNMATCHED = 0.1
"""Share of label files that may have no image."""

MOST_TRIALS = 24
"""Pairs of patterns that are tried on any folder."""

MOST_MATCHES = 4_000_000
"""Matches of paths that trials may take in all, where that allows more of them."""

MOST_FITS = 6
"""Ways to find fields in a group of images whose patterns are tried."""

MOST_SETS = 4
"""Sets of images to stack that are tried for one way to find fields."""

MOST_PARTS = 12
"""Numbers of words in names by which images are told apart."""

FEW_VALUES = 64
"""A mask has at most so many values."""

_SEPARATORS = re.compile(r"([\W_]+)")
_MASK = re.compile(r"(?!un)\w*(?:mask|label)s?\d*|(?:mask|label)(?:hand|map|img|image)s?")
_GLUED = re.compile(r"([^\W\d_]{3,})(\d+)")
_GLUED_AFTER = re.compile(r"([^\W_]*\d)([^\W\d_]{3,})")
_BAND = re.compile(r"[^\W\d_]{0,5}\d+[^\W\d_]?|[^\W\d_]{1,2}|\w?[vh][vh]")


@dataclass(frozen=True)
class Content:
    """What was seen in a raster.

    Attributes:
        bands: number of bands.
        values: number of different values where these are few and whole, else None.
    """

    bands: int
    values: int | None

    @property
    def is_mask(self) -> bool:
        """Whether it looks like classes: one band of few whole values."""
        return self.bands == 1 and self.values is not None and self.values <= FEW_VALUES


Look: TypeAlias = Callable[[str], Content | None]
"""Opens a raster, given its relative path; None where it cannot be read."""


@dataclass(frozen=True)
class Proposal:
    """Patterns that pair files.

    Attributes:
        images: patterns of the images.
        labels: patterns of the labels.
        pairs: samples with labels that they give.
        masks: label files that were found in the folder, of this kind or another.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    pairs: int
    masks: int

    @property
    def options(self) -> str:
        """The options as they are to be typed."""
        words = [(name, text) for name in ("images", "labels") for text in getattr(self, name)]
        return " ".join(f"--{name} {_quoted(text)}" for name, text in words)


def _quoted(text: str) -> str:
    return shlex.quote(text) if "'" in text else f"'{text}'"


def propose(files: Iterable[str], *, look: Look | None = None) -> Proposal | None:
    """Propose patterns for the images and labels of a folder.

    Args:
        files: all relative POSIX paths of the folder.
        look: opens a raster, to tell masks from images where words do not; at most `MOST_LOOKS`
            files are opened.

    Returns:
        The best proposal of those that pair every label file of one kind, but for a tenth at most
        that has no image, with as many images each; or None.
    """
    paths = [_File(f) for f in sorted(files, key=natural_key)]
    paths = [f for f in paths if f.extension in RASTERS | VECTORS]
    seen = _Seen(look)
    masks, images = _by_role(paths, seen)
    best: tuple[tuple[float, ...], Proposal] | None = None
    trial = _Trial([f.path for f in paths])
    for kind in _kinds(masks, images):
        for proposal in _proposals(kind, images, trial, len(masks), seen):
            rank = _rank(kind, proposal, seen)
            if best is None or rank > best[0]:
                best = rank, proposal
            break
    return best[1] if best else _by_place(masks, images, trial.paths)


def _by_place(
    masks: Sequence[_File], images: Sequence[_File], everything: Sequence[str]
) -> Proposal | None:
    """Propose one label file, or a few vector files, for all images of the largest group."""
    vectors = [f for f in masks if f.is_vector and not {*f.words[-1]} & OTHER_WORDS]
    if len(masks) == 1:
        vectors = list(masks)
    groups: dict[tuple[int, str], list[_File]] = defaultdict(list)
    for image in images:
        if not {w for words in image.words for w in words} & OTHER_WORDS:
            groups[image.depth, image.extension].append(image)
    same = {(f.depth, f.extension) for f in vectors}
    if len(same) != 1 or len(vectors) > 20 or not groups:
        return None
    group = max(groups.values(), key=len)
    patterns = (_written(group, {}),), (_written(vectors, {}),)
    try:
        pairing = pair(*(match_files(p, everything) for p in patterns))
    except SwathError:
        return None
    used = {m.path for s in pairing.samples for m in s.images}
    if used != {f.path for f in group}:
        return None
    return Proposal(*patterns, len(pairing.samples), len(masks))


class _File:
    """A path in pieces.

    Attributes:
        path: as it was listed.
        extension: in lower case, with its dot.
        parts: words and separators in turn of each folder and of the stem.
        words: words of each folder and of the stem, in lower case.
    """

    __slots__ = ("path", "extension", "parts", "words", "suffix")

    def __init__(self, path: str) -> None:
        self.path = path
        pure = PurePosixPath(unicodedata.normalize("NFC", path))
        self.suffix = pure.suffix
        self.extension = pure.suffix.lower()
        self.parts = [_tokens(part) for part in (*pure.parts[:-1], pure.stem)]
        self.words = [[t.lower() for t in part[::2] if t] for part in self.parts]

    @property
    def is_vector(self) -> bool:
        return self.extension in VECTORS

    @property
    def depth(self) -> int:
        return len(self.parts)


@lru_cache(maxsize=65536)
def _tokens_of(text: str) -> tuple[str, ...]:
    out: list[str] = []
    for i, token in enumerate(_SEPARATORS.split(text)):
        before, after = _GLUED.fullmatch(token), _GLUED_AFTER.fullmatch(token)
        if i % 2 == 0 and before and _says_kind(before[1]):
            out += [before[1], "", before[2]]
        elif i % 2 == 0 and after and _MASK.fullmatch(after[2].lower()):
            out += [after[1], "", after[2]]
        else:
            out.append(token)
    return tuple(out)


def _tokens(text: str) -> list[str]:
    """Split a name into words (even places) and separators; `img12` and `12Mask` are two words."""
    return list(_tokens_of(text))


def _says_kind(word: str) -> bool:
    return bool(_mask_rank(word) or _image_rank(word))


def _mask_rank(word: str) -> int:
    word = word.lower()
    if _MASK.fullmatch(word):
        return 4
    plain = re.sub(r"^\d+|\d+$", "", word)
    return MASK_WORDS.get(word, 0) or (MASK_WORDS.get(plain, 0) if len(plain) > 2 else 0)


def _image_rank(word: str) -> int:
    word = word.lower()
    return IMAGE_WORDS.get(word, 0) or IMAGE_WORDS.get(word.rstrip("0123456789"), 0)


class _Seen:
    """Contents of files, each read once."""

    def __init__(self, look: Look | None) -> None:
        self._look = look
        self._known: dict[str, Content | None] = {}

    def __call__(self, path: str) -> Content | None:
        if self._look is None:
            return None
        if path not in self._known:
            if len(self._known) >= MOST_LOOKS:
                return None
            self._known[path] = self._look(path)
        return self._known[path]


def _role(file: _File) -> int:
    """Return how surely a file is a mask (above 0) or an image (below 0), by its words.

    The last word of the stem counts first, then the folders from the nearest, then the stem.
    """
    last = file.words[-1][-1:]
    if last and len(file.words[-1]) > 1:
        rank = _mask_rank(last[0]) - _image_rank(last[0])
        if rank:
            return rank
    for words in (*reversed(file.words[:-1]), file.words[-1]):
        for word in reversed(words):
            rank = _mask_rank(word) - _image_rank(word)
            if rank and not (rank == 2 and len(word) == 1):
                return rank
    return 0


def _by_role(files: Sequence[_File], seen: _Seen) -> tuple[list[_File], list[_File]]:
    """Tell label files from images by words, else by the content of a file of each kind."""
    ranks = {f.path: 4 if f.is_vector else _role(f) for f in files}
    kinds: dict[tuple[object, ...], list[_File]] = defaultdict(list)
    for file in files:
        kinds[_shape(file)].append(file)
    for members in kinds.values():
        rank = ranks[members[0].path]
        if members[0].is_vector or rank >= 3:
            continue
        contents = [c for c in (seen(f.path) for f in members[:2]) if c]
        if contents and all(c.is_mask for c in contents):
            ranks |= {f.path: max(rank, 1) for f in members}
        elif contents and rank > 0 and not any(c.is_mask for c in contents) and rank < 2:
            ranks |= {f.path: 0 for f in members}
    masks = [f for f in files if ranks[f.path] > 0]
    return masks, [f for f in files if ranks[f.path] <= 0 and not f.is_vector]


def _shape(file: _File) -> tuple[object, ...]:
    """Return what files of one kind share: the end of their folder's name and of the stem."""
    ends = [w for w in file.words[-1] if not any(c.isdigit() for c in w)]
    return (
        file.depth,
        file.extension,
        tuple(file.words[-2][-2:]) if file.depth > 1 else (),
        (tuple(ends[-1:])),
    )


@dataclass
class _Kind:
    """Label files of one kind: of one depth and extension, and with the same words of their own."""

    files: list[_File]
    words: tuple[str, ...]
    role: int


def _kinds(masks: Sequence[_File], images: Sequence[_File]) -> list[_Kind]:
    """Group label files by the words that no image has."""
    of_images = {w for f in images for words in f.words for w in words}
    counts = Counter(w for f in masks for words in f.words for w in {*words})
    kinds: dict[tuple[int, str, tuple[str, ...]], list[_File]] = defaultdict(list)
    for file in masks:
        own = tuple(
            w
            for words in file.words
            for w in words
            if w not in of_images
            and sum(c.isdigit() for c in w) < min(4, len(w))
            and not split_of(w)
            and (counts[w] > 1 or _mask_rank(w) or len(masks) == 1)
        )
        kinds[file.depth, file.extension, own].append(file)
    return [_Kind(files, words, max(1, _role(files[0]))) for (_, _, words), files in kinds.items()]


def _rank(kind: _Kind, proposal: Proposal, seen: _Seen) -> tuple[float, ...]:
    """Order proposals: classes rather than numbers of fields, many classes, plain names, many."""
    others = sum(w in OTHER_WORDS for w in kind.words)
    contents = [c for c in (seen(f.path) for f in kind.files[:2]) if c and c.bands == 1]
    values = max((c.values or 0 for c in contents), default=0)
    surely = max((_mask_rank(w) for w in kind.words), default=kind.role)
    # Kinds of a few files beside a large one are leftovers.
    large = proposal.pairs * 4 >= proposal.masks or proposal.pairs > 20
    vector = kind.files[0].is_vector and len(kind.files) < 2
    return (
        -others,
        -vector,
        large,
        surely,
        min(values, FEW_VALUES),
        -len(kind.words),
        proposal.pairs,
    )


_Span: TypeAlias = tuple[int, int, int]
"""A folder or stem by its place, tokens to its left, and tokens to its right."""


def _text(file: _File, span: _Span) -> str | None:
    part = file.parts[span[0]]
    end = len(part) - span[2]
    return "".join(part[span[1] : end]) if span[1] < end else None


@dataclass
class _Template:
    """How paths of one kind are built: fields at spans, and everything else."""

    spans: dict[_Span, str]

    def values(self, file: _File) -> dict[str, str]:
        """Return the texts of the fields of a file."""
        return {name: _text(file, span) or "" for span, name in self.spans.items()}


def _varying(files: Sequence[_File]) -> list[_Span]:
    """Return the spans in which paths of one depth differ, as short as can be.

    A word that is always a split's name is a span of its own.
    """
    out: list[_Span] = []
    for at in range(files[0].depth):
        parts = [f.parts[at] for f in files]
        if len({tuple(p) for p in parts}) == 1:
            continue
        if len({len(p) for p in parts}) > 1:
            out.append(_middle(at, parts))
            continue
        columns = [{p[i] for p in parts} for i in range(len(parts[0]))]
        out += [(at, start, len(columns) - end - 1) for start, end in _runs(columns)]
    return out


def _runs(columns: Sequence[set[str]]) -> Iterator[tuple[int, int]]:
    """Yield first and last place of words that differ without a fixed one between them."""
    start = None
    for i in range(0, len(columns), 2):
        split = len(columns[i]) > 1 and all(map(_is_split, columns[i]))
        inside = any(len(c) > 1 for c in columns[max(i - 1, 0) : i + 2])
        if start is not None and (split or not inside):
            yield start, i - 2
            start = None
        if split:
            yield i, i
        elif inside and start is None:
            start = i
    if start is not None:
        yield start, len(columns) - 1


def _is_split(text: str) -> bool:
    """Return whether a text is the name of a split, without numbers."""
    return split_of(text) is not None and not any(c.isdigit() for c in text)


def _widened(files: Sequence[_File], spans: Sequence[_Span], *, far: bool) -> list[_Span]:
    """Return the spans of each name as one and, if `far`, with the fixed words beside them.

    Words that say mask, image or split are left out, and names in which they stand between spans
    are left as they are.
    """
    out: list[_Span] = []
    for at in sorted({s[0] for s in spans}):
        own = [s for s in spans if s[0] == at]
        free = [s for s in own if not all(_is_split(_text(f, s) or "") for f in files)]
        if not free:
            out += own
            continue
        left, right = min(s[1] for s in free), min(s[2] for s in free)
        first = files[0].parts[at]
        if len(own) > 1 and any(map(_says_role, first[left : len(first) - right : 2])):
            out += own
            continue
        while far and left >= 2 and not _says_role(first[left - 2], single=False):
            left -= 2
        while far and right >= 2 and not _says_role(first[len(first) - right + 1]):
            right -= 2
        out += [(at, left, right), *(s for s in own if s not in free)]
    return out


def _says_role(word: str, *, single: bool = True) -> bool:
    if len(word) < 2 and not single:
        return False
    return bool(_mask_rank(word) or _image_rank(word) or split_of(word))


def _middle(at: int, parts: Sequence[Sequence[str]]) -> _Span:
    shortest = min(map(len, parts))
    left = right = 0
    while left + 2 < shortest and len({tuple(p[: left + 2]) for p in parts}) == 1:
        left += 2
    while left + right + 2 < shortest and len({tuple(p[-right - 2 :]) for p in parts}) == 1:
        right += 2
    return at, left, right


def _proposals(
    kind: _Kind,
    images: Sequence[_File],
    trial: _Trial,
    masks: int,
    seen: _Seen,
) -> Iterator[Proposal]:
    """Yield proposals for one kind of label that hold when they are tried, best first."""
    found: list[tuple[tuple[float, ...], Proposal]] = []
    for group in _groups(images):
        for fields, template in islice(_fits(kind, group), MOST_FITS):
            proposal = _tried(kind, fields, template, group, trial, masks)
            if proposal:
                rank, text, first = proposal
                content = seen(first)
                found.append(((*rank, min(content.bands, 3) if content else 0), text))
                break
    yield from (p for _, p in sorted(found, key=lambda f: f[0], reverse=True))


def _groups(images: Sequence[_File]) -> Iterator[list[_File]]:
    """Yield images of one depth and extension, and those of them with as many words in a name."""
    groups: dict[tuple[int, str], list[_File]] = defaultdict(list)
    for image in images:
        groups[image.depth, image.extension].append(image)
    for group in groups.values():
        yield group
        for at in reversed(range(group[0].depth)):
            parts: dict[int, list[_File]] = defaultdict(list)
            for image in group:
                parts[len(image.parts[at])].append(image)
            if 1 < len(parts) <= MOST_PARTS:
                yield from parts.values()


def _fits(kind: _Kind, group: Sequence[_File]) -> Iterator[tuple[_Template, _Template]]:
    """Yield where fields stand in labels and in images, most labels matched first."""
    ranked: list[tuple[tuple[float, ...], _Template, _Template]] = []
    sampled = kind.files[:: max(1, len(kind.files) // SAMPLED_LABELS)]
    for number, labels in enumerate(_label_templates(kind, group)):
        values = [labels.values(f) for f in sampled]
        names = list(dict.fromkeys(labels.spans.values()))
        choices = [_candidates(name, {v[name] for v in values}, group) for name in names]
        for chosen in islice(product(*choices), MOST_CHOICES):
            spans = {span: name for name, span in zip(names, chosen, strict=True) if span}
            used = [n for n in names if n in spans.values()]
            if not spans or _overlap(list(spans), group[0]):
                continue
            wanted = {tuple(_same(n, v[n]) for n in used) for v in values}
            if len(wanted) < len(values):
                continue
            template = _Template(spans)
            texts = map(template.values, group)
            keys = (tuple(_same(n, t[n]) for n in used) for t in texts)
            counts = Counter(key for key in keys if key in wanted)
            share = len(counts) / len(wanted)
            if share < 0.5:
                continue
            even = len(set(counts.values())) == 1
            part = len(used) / len(names)
            score = (share == 1, even, part, share, -number, sum(counts.values()))
            ranked.append((score, labels, template))
    for _, labels, template in sorted(ranked, key=lambda r: r[0], reverse=True):
        yield labels, _with_repeats(template, group)


def _overlap(spans: Sequence[_Span], file: _File) -> bool:
    """Return whether two spans share tokens."""
    return any(_touch(a, b, file) for i, a in enumerate(spans) for b in spans[:i])


def _same(name: str, text: str) -> str:
    return (split_of(text) or text) if name == "split" else text


def _with_repeats(template: _Template, group: Sequence[_File]) -> _Template:
    """Add the spans in which images repeat a field, such as a folder's name in that of a file."""
    spans = dict(template.spans)
    values = [template.values(f) for f in group]
    for span in sorted(_spans(group), key=lambda s: s[1] + s[2]):
        if any(_touch(span, other, group[0]) for other in spans):
            continue
        for name in dict.fromkeys(template.spans.values()):
            if all(_text(f, span) == v[name] for f, v in zip(group, values, strict=True)):
                spans[span] = name
                break
    return _Template(dict(sorted(spans.items())))


def _touch(a: _Span, b: _Span, file: _File) -> bool:
    """Return whether two spans share tokens."""
    if a[0] != b[0]:
        return False
    size = len(file.parts[a[0]])
    return a[1] < size - b[2] and b[1] < size - a[2]


def _label_templates(kind: _Kind, group: Sequence[_File]) -> Iterator[_Template]:
    """Yield what may be fields in label paths: where they differ, or what images have as well."""
    if len(kind.files) == 1:
        variants = [_shared(kind.files[0], group)]
    else:
        narrow = _varying(kind.files)
        variants = [_widened(kind.files, narrow, far=far) for far in (True, False)] + [narrow]
    fixed = _constant_split(kind.files, group)
    seen: list[Mapping[_Span, str]] = []
    for spans in variants:
        names = _named(kind.files, [*spans, *fixed])
        if names and names not in seen:
            seen.append(names)
            yield _Template(names)


def _named(files: Sequence[_File], spans: Sequence[_Span]) -> dict[_Span, str]:
    """Name spans: the last `id`, one of splits `split`, equal ones alike."""
    names: dict[_Span, str] = {}
    texts: dict[tuple[str | None, ...], str] = {}
    sampled = files[:: max(1, len(files) // SAMPLED_LABELS)]
    words = iter(["id", *(f"part{i}" for i in range(2, 99))])
    for span in sorted(set(spans), reverse=True):
        column = tuple(_text(f, span) for f in sampled)
        if None in column:
            continue
        if column not in texts:
            splits = all(_is_split(str(t)) for t in column)
            unused = "split" not in names.values()
            texts[column] = "split" if splits and unused else next(words)
        names[span] = texts[column]
    return dict(sorted(names.items()))


def _shared(label: _File, group: Sequence[_File]) -> list[_Span]:
    """Return the longest part of the only label's path that images have as well."""
    best: tuple[int, _Span] | None = None
    whole = {"".join(t) for f in group for t in f.parts}
    texts = {"/".join("".join(p) for p in f.parts) for f in group}
    for at in reversed(range(label.depth)):
        size = len(label.parts[at])
        for left in range(0, size, 2):
            for right in range(0, size - left, 2):
                text = _text(label, (at, left, right)) or ""
                if not text or _mask_rank(text) or split_of(text) and text.isalpha():
                    continue
                if text in whole or any(_holds(t, text) for t in texts):
                    weight = len(text) + 1000 * (at == label.depth - 1)
                    if best is None or weight > best[0]:
                        best = weight, (at, left, right)
    return [best[1]] if best else []


def _holds(path: str, text: str) -> bool:
    """Return whether a path holds a text that no word is cut by."""
    at = path.find(text)
    while at >= 0:
        before, after = path[at - 1 : at], path[at + len(text) : at + len(text) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = path.find(text, at + 1)
    return False


def _constant_split(files: Sequence[_File], group: Sequence[_File]) -> list[_Span]:
    """Return where labels all have one split's name, and images have several in folders."""
    if not any(
        len({split_of("".join(f.parts[at])) for f in group} - {None}) > 1
        for at in range(group[0].depth - 1)
    ):
        return []
    first = files[0]
    for at in range(first.depth - 1):
        part = first.parts[at]
        if any(f.parts[at] != part for f in files):
            continue
        for i in range(0, len(part), 2):
            if split_of(part[i]):
                return [(at, i, len(part) - i - 1)]
    return []


def _candidates(name: str, values: set[str], group: Sequence[_File]) -> list[_Span | None]:
    """Return spans of images whose texts are those of a field of the labels, best first.

    None stands for a field that images do not have.
    """
    wanted = {_same(name, v) for v in values}
    scored: list[tuple[tuple[float, ...], _Span]] = []
    for span in _spans(group):
        texts = {_text(f, span) for f in group}
        hits = len(wanted & {_same(name, t) for t in texts if t})
        if hits < max(1, 0.5 * len(wanted)):
            continue
        plain = sum(t in values for t in texts) / len(texts)
        first = -abs(span[0] - group[0].depth) if name != "id" else -span[0]
        scored.append(((hits / len(wanted), round(plain, 1), first, -span[1] - span[2]), span))
    best = [s for _, s in sorted(scored, reverse=True)[:6]]
    return [*best, None]


def _spans(group: Sequence[_File]) -> Iterator[_Span]:
    """Yield spans of names in which files differ, or that hold a whole constant name."""
    for at in range(group[0].depth):
        parts = {tuple(f.parts[at]) for f in group}
        size = min(map(len, parts))
        for left in range(0, size, 2):
            for right in range(0, size - left, 2):
                if len(parts) == 1 and (left or right) and size > 9:
                    continue
                yield at, left, right


def _tried(
    kind: _Kind,
    labels: _Template,
    template: _Template,
    group: Sequence[_File],
    trial: _Trial,
    masks: int,
) -> tuple[tuple[float, ...], Proposal, str] | None:
    """Write the patterns for a fit, try them, and return the proposal, its rank and an image."""
    used = set(template.spans.values())
    names = {n: n if n in used or n == "split" else "" for n in labels.spans.values()}
    label_template = _Template({s: names[n] for s, n in labels.spans.items() if names[n]})
    keys = {
        tuple(_same(n, v) for n, v in sorted(label_template.values(f).items()) if n in used)
        for f in kind.files
    }
    seen: Iterable[tuple[str, ...]] = ()
    for dates in (False, True):
        present = _image_kinds(group, template, keys, dates=dates)
        if dates and present.keys() == seen:
            break
        seen = present.keys()
        for chosen in islice(_choices(present), MOST_SETS):
            files = [f for k in chosen for f in present[k]]
            both = [template.spans, label_template.spans]
            if all(_one_split(f, s) for f, s in zip((files, kind.files), both, strict=True)):
                both = [{k: v for k, v in s.items() if v != "split"} for s in both]
            both[0] = _with_repeats(_Template(both[0]), files).spans
            label_pattern = _written(kind.files, both[1])
            for patterns in _image_patterns(files, [present[k] for k in chosen], both[0]):
                pairing = trial.pairing(patterns, label_pattern)
                if pairing is None or not _holds_up(pairing, kind.files, files):
                    continue
                proposal = Proposal(patterns, (label_pattern,), len(pairing.samples), masks)
                words = {w for k in chosen for t in k for w in _words(t)}
                rank = max((_image_rank(w) for w in words), default=0)
                other = any(w in OTHER_WORDS for w in words)
                return (-other, len(pairing.samples), rank, -len(patterns)), proposal, files[0].path
    return None


def _one_split(files: Sequence[_File], spans: Mapping[_Span, str]) -> bool:
    """Return whether all files have the same text for `{split}`."""
    own = [s for s, name in spans.items() if name == "split"]
    return all(len({_text(f, s) for f in files}) == 1 for s in own)


def _image_kinds(
    group: Sequence[_File],
    template: _Template,
    keys: set[tuple[str, ...]],
    *,
    dates: bool,
) -> dict[tuple[str, ...], list[_File]]:
    """Group images by what is left of their paths; those of all labels alone, if there are any."""
    kinds: dict[tuple[str, ...], list[_File]] = defaultdict(list)
    labeled: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for file in group:
        values = template.values(file)
        rest = _rest(file, template.spans, set(values.values()), dates=dates)
        kinds[rest].append(file)
        key = tuple(_same(n, v) for n, v in sorted(values.items()))
        if key in keys:
            labeled[rest].add(key)
    every = {k for found in labeled.values() for k in found}
    whole = {k: kinds[k] for k, found in labeled.items() if len(found) == len(every)}
    return whole or {k: kinds[k] for k in labeled}


def _words(text: str) -> list[str]:
    return [w.lower() for w in _SEPARATORS.split(text)[::2] if w]


def _rest(
    file: _File, spans: Mapping[_Span, str], values: set[str], *, dates: bool
) -> tuple[str, ...]:
    """Return a path without its fields: what tells the files of one sample apart.

    Long numbers, such as dates, are left out unless `dates`.
    """
    out = []
    for at, part in enumerate(file.parts):
        cut = sorted((s[1], len(part) - s[2]) for s in spans if s[0] == at)
        tokens: list[str] = []
        i = 0
        while i < len(part):
            end = next((e for b, e in cut if b == i), None)
            if end is not None:
                tokens.append("\0")
                i = end
                continue
            run = next((e for e in range(len(part), i, -1) if "".join(part[i:e]) in values), None)
            if i % 2 == 0 and run and len("".join(part[i:run])) > 2:
                tokens.append("\0")
                i = run
                continue
            token = part[i]
            long = sum(c.isdigit() for c in token) >= 6
            tokens.append("#" if long and not dates else token)
            i += 1
        out.append("".join(tokens))
    return tuple(out)


def _choices(
    present: Mapping[tuple[str, ...], Sequence[_File]],
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield sets of kinds of images to stack, best first: bands and dates, else the best one."""
    kinds = list(present)
    if len(kinds) == 1:
        yield (kinds[0],)
        return
    most = max(len(f) for f in present.values())
    kinds = [k for k in kinds if 2 * len(present[k]) >= most] or kinds
    common = [
        {w for k in kinds for w in _words(k[at])} if at < len(kinds[0]) else set()
        for at in range(len(kinds[0]))
    ]
    shared = [
        {w for w in words if all(w in _words(k[at]) for k in kinds)}
        for at, words in enumerate(common)
    ]
    own = {
        k: [w for at, t in enumerate(k) for w in _words(t) if w not in shared[at]] for k in kinds
    }
    plain = [k for k in kinds if not any(w in OTHER_WORDS or w == "m" for w in own[k])] or kinds
    families: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for k in plain:
        families[tuple(_family(w) for w in own[k])].append(k)
    ranked = sorted(
        families.values(),
        key=lambda ks: (
            -max((_image_rank(w) for k in ks for w in own[k]), default=0),
            -len(ks),
            natural_key("/".join(ks[0])),
        ),
    )
    yield from (tuple(ks) for ks in ranked)
    yield from ((k,) for k in plain)


def _family(word: str) -> str:
    """Return one text for words that tell bands or dates of one image apart, such as `B02`."""
    if word in BAND_WORDS or (_BAND.fullmatch(word) and not _image_rank(word)):
        return "#"
    return word if _image_rank(word) else re.sub(r"\d+", "#", word)


def _image_patterns(
    files: Sequence[_File], kinds: Sequence[Sequence[_File]], spans: Mapping[_Span, str]
) -> Iterator[tuple[str, ...]]:
    """Yield patterns of chosen files: one for all, else one a kind."""
    yield (_written(files, spans),)
    if 1 < len(kinds) <= 4:
        yield tuple(_written(k, spans) for k in kinds)


def _written(files: Sequence[_File], spans: Mapping[_Span, str]) -> str:
    """Write a pattern of files of one depth, with fields at spans."""
    out = []
    for at in range(files[0].depth):
        own = sorted((s for s in spans if s[0] == at), key=lambda s: (s[1], -s[2]))
        out.append(_written_name([f.parts[at] for f in files], own, spans))
    suffixes = {f.suffix for f in files}
    return "/".join(out) + (files[0].suffix.lower() if len(suffixes) > 1 else files[0].suffix)


def _written_name(
    parts: Sequence[Sequence[str]], own: Sequence[_Span], spans: Mapping[_Span, str]
) -> str:
    """Write one name: fields at spans, and what differs elsewhere as wildcards."""
    if not own:
        return _columns(parts)
    first, following = own[0], own[1:]
    left = _columns([p[: first[1]] for p in parts])
    field = f"{{{spans[first]}}}"
    if not following:
        return left + field + _columns([p[len(p) - first[2] :] for p in parts])
    second = following[0]
    between = _columns([p[len(p) - first[2] : second[1]] for p in parts])
    shifted = [(s[0], s[1] - second[1], s[2]) for s in following]
    names = {new: spans[old] for new, old in zip(shifted, following, strict=True)}
    return left + field + between + _written_name([p[second[1] :] for p in parts], shifted, names)


def _columns(parts: Sequence[Sequence[str]]) -> str:
    """Write tokens: what all have as it is, short differences as `?`, others as `*`."""
    rows = {tuple(p) for p in parts}
    if len(rows) == 1:
        return "".join(parts[0])
    if len({len(r) for r in rows}) > 1:
        _, left, right = _middle(0, [list(r) for r in rows])
        shortest = min(map(len, rows))
        if left + right > shortest:
            right = 0
        row = next(iter(rows))
        return "".join(row[:left]) + "*" + "".join(row[len(row) - right :])
    out = "".join(_wild({r[i] for r in rows}) for i in range(len(next(iter(rows)))))
    return re.sub(r"\*+", "*", out)


def _wild(texts: set[str]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    sizes = {len(t) for t in texts}
    if len(sizes) > 1 or max(sizes) > 3:
        first, last = min(texts), max(texts)
        same = next((i for i, c in enumerate(first) if c != last[i : i + 1]), len(first))
        letters = re.match(r"[^\W\d_]*", first[:same])
        return f"{letters[0] if letters and sizes != {len(first)} else ''}*"
    columns = ({t[i] for t in texts} for i in range(len(next(iter(texts)))))
    return "".join(next(iter(c)) if len(c) == 1 else "?" for c in columns)


class _Trial:
    """The paths of a folder, on which patterns are tried as long as that takes seconds."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._left = max(MOST_TRIALS, MOST_MATCHES // max(len(paths), 1))

    def pairing(self, images: Sequence[str], labels: str) -> Pairing | None:
        """Return what patterns give; None if they cannot be used, or too many were tried."""
        self._left -= 1
        if self._left < 0:
            return None
        try:
            return pair(match_files(images, self.paths), match_files([labels], self.paths))
        except SwathError:
            return None


def _holds_up(pairing: Pairing, labels: Sequence[_File], images: Sequence[_File]) -> bool:
    """Return whether nearly all label files are used, each once, and no file beyond those meant."""
    own = {f.path for f in labels}
    if pairing.ambiguous or not pairing.shared:
        return False
    if sum(m.path in own for m in pairing.unmatched_labels) > MOST_UNMATCHED * len(labels):
        return False
    if any(len(s.labels) != 1 for s in pairing.samples):
        return False
    labeled = {s.name for s in pairing.samples}
    problems = [p for p in pairing.problems if p.level == "error"]
    if any(p.sample is None or p.sample in labeled for p in problems):
        return False
    meant = {f.path for f in images}
    used = {m.path for s in pairing.samples for m in s.images}
    all_labels = {m.path for s in pairing.samples for m in s.labels}
    return used <= meant and all_labels <= own
