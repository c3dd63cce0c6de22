"""Files of a folder: names in words, and which are labels."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeAlias

from swath.data.layouts.patterns import split_of
from swath.data.layouts.proposals.words import image_rank, is_mask_word, mask_rank

RASTERS = frozenset(
    ".bmp .img .jfif .jp2 .jpe .jpeg .jpg .png .tif .tiff .vrt .webp .asc .dat .npy .npz".split()
)
"""Extensions of files that may be images or masks."""

VECTORS = frozenset(".geojson .gpkg .shp .kml .fgb .parquet".split())
"""Extensions of files that may hold labels as polygons, points or lines."""

MOST_LOOKS = 60
"""Files that are opened to tell masks from images."""

FEW_VALUES = 64
"""A mask has at most so many values."""

_SEPARATORS = re.compile(r"([\W_]+)")
_GLUED = re.compile(r"([^\W\d_]{3,})(\d+)")
_GLUED_AFTER = re.compile(r"([^\W_]*\d)([^\W\d_]{3,})")


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


class File:
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
    def every_word(self) -> list[str]:
        """Words of all folders and of the stem, in their order."""
        return [word for words in self.words for word in words]

    @property
    def is_vector(self) -> bool:
        """Whether it may hold labels as shapes."""
        return self.extension in VECTORS

    @property
    def depth(self) -> int:
        """Number of its folders, and one for its name."""
        return len(self.parts)


@lru_cache(maxsize=65536)
def _tokens_of(text: str) -> tuple[str, ...]:
    out: list[str] = []
    for i, token in enumerate(_SEPARATORS.split(text)):
        before, after = _GLUED.fullmatch(token), _GLUED_AFTER.fullmatch(token)
        if i % 2 == 0 and before and _says_kind(before[1]):
            out += [before[1], "", before[2]]
        elif i % 2 == 0 and after and is_mask_word(after[2]):
            out += [after[1], "", after[2]]
        else:
            out.append(token)
    return tuple(out)


def _tokens(text: str) -> list[str]:
    """Split a name into words (even places) and separators; `img12` and `12Mask` are two words."""
    return list(_tokens_of(text))


def _says_kind(word: str) -> bool:
    return bool(mask_rank(word) or image_rank(word))


class Seen:
    """Contents of files, each read once."""

    def __init__(self, look: Look | None) -> None:
        self._look = look
        self._known: dict[str, Content | None] = {}

    def __call__(self, path: str) -> Content | None:
        """Return the content of a file; None if it is unknown."""
        if self._look is None:
            return None
        if path not in self._known:
            if len(self._known) >= MOST_LOOKS:
                return None
            self._known[path] = self._look(path)
        return self._known[path]


def _role(file: File) -> int:
    """Return how surely a file is a mask (above 0) or an image (below 0), by its words.

    The last word of the stem counts first, then the folders from the nearest, then the stem.
    """
    last = file.words[-1][-1:]
    if last and len(file.words[-1]) > 1:
        rank = mask_rank(last[0]) - image_rank(last[0])
        if rank:
            return rank
    for words in (*reversed(file.words[:-1]), file.words[-1]):
        for word in reversed(words):
            rank = mask_rank(word) - image_rank(word)
            if rank and not (rank == 2 and len(word) == 1):
                return rank
    return 0


def by_role(files: Sequence[File], seen: Seen) -> tuple[list[File], list[File]]:
    """Tell label files from images by words, else by the content of a file of each kind."""
    kinds: dict[tuple[object, ...], list[File]] = defaultdict(list)
    for file in files:
        kinds[_shape(file)].append(file)
    looked = {shape for shape, members in kinds.items() if _look_like_masks(members, seen)}
    masks = [f for f in files if f.is_vector or _role(f) > 0 or _shape(f) in looked]
    taken = {f.path for f in masks}
    return masks, [f for f in files if f.path not in taken]


def _look_like_masks(files: Sequence[File], seen: Seen) -> bool:
    """Return whether files are masks by content, where words do not say so surely."""
    if files[0].is_vector or _role(files[0]) >= 3:
        return False
    contents = [c for c in (seen(f.path) for f in files[:2]) if c]
    return bool(contents) and all(c.is_mask for c in contents)


def _shape(file: File) -> tuple[object, ...]:
    """Return what files of one kind share: the end of their folder's name and of the stem."""
    ends = [w for w in file.words[-1] if not any(c.isdigit() for c in w)]
    return (
        file.depth,
        file.extension,
        tuple(file.words[-2][-2:]) if file.depth > 1 else (),
        (tuple(ends[-1:])),
    )


@dataclass
class Kind:
    """Label files of one kind: of one depth and extension, and with the same words of their own."""

    files: list[File]
    words: tuple[str, ...]
    role: int


def _is_number(word: str) -> bool:
    """Return whether a word is digits, or has four of them."""
    return sum(c.isdigit() for c in word) >= min(4, len(word))


def kinds_of(masks: Sequence[File], images: Sequence[File]) -> list[Kind]:
    """Group label files by the words that no image has."""
    of_images = {w for f in images for w in f.every_word}
    counts = Counter(w for f in masks for w in {*f.every_word})
    telling = {w for w in counts.keys() - of_images if not split_of(w) and not _is_number(w)}
    if len(masks) > 1:
        telling = {w for w in telling if counts[w] > 1 or mask_rank(w)}
    kinds: dict[tuple[int, str, tuple[str, ...]], list[File]] = defaultdict(list)
    for file in masks:
        own = tuple(filter(telling.__contains__, file.every_word))
        kinds[file.depth, file.extension, own].append(file)
    return [Kind(files, words, max(1, _role(files[0]))) for (_, _, words), files in kinds.items()]
