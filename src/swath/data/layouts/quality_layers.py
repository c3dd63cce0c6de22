"""Quality layers of images: found by files and patterns, paired by name, else by place.

A layer belongs to the image that has the texts of its `{fields}` in its name, or the same beginning
of the name, as `T32_0101_SCL.tif` belongs to `T32_0101.tif`; `SCL.tif` belongs to the image in its
folder. A layer whose name tells nothing belongs to all images that it touches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TypeAlias

from swath.data.layouts.catalog import files_below, matching
from swath.data.layouts.patterns import match_files
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.quality import missed, recognize, split_kind, touches
from swath.io.raster import open_raster
from swath.io.source_file import QualityFile
from swath.types import Finding

AUTO, NONE = "auto", "none"

_QUALITY_WORDS = frozenset(
    "qa pixel radsat scl udm udm1 udm2 dn fmask msk cldprb cld cloud clouds prob probability mask "
    "masks quality 10m 20m 60m".split()
)
"""Words of file names that tell the kind of a layer, not the image."""

WHOLE_NAME = 1000
"""Added to the score of a field that is the whole name of an image."""


@dataclass(frozen=True)
class QualityTarget:
    """An image that quality layers are looked for.

    Attributes:
        names: the image by its name and the paths of its files; of a mosaic, each image so.
        own: layers that it brings.
        open_grid: opens the image and returns its grid.
    """

    names: tuple[tuple[str, ...], ...]
    own: tuple[QualityFile, ...]
    open_grid: Callable[[], GeoBox]

    @cached_property
    def grid(self) -> GeoBox:
        """The grid of the image."""
        return self.open_grid()


@dataclass(frozen=True)
class _GivenLayer:
    """A layer that was given; `named` by its own path, not by a pattern."""

    file: QualityFile
    fields: tuple[str, ...]
    named: bool


_Scores: TypeAlias = Mapping[tuple[int, int], tuple[int, ...]]
"""How much a layer has of each name of an image, by the positions of image and layer."""


def assign_quality(
    targets: Sequence[QualityTarget], given: Sequence[str], root: Path | None = None
) -> list[tuple[QualityFile, ...]]:
    """Return the quality layers of each image.

    Args:
        targets: the images.
        given: values of `--quality`: `auto` for the layers that images bring, `none`, files and
            patterns, each also as `KIND:FILE`.
        root: folder that patterns start from, besides the working directory.

    Raises:
        DataError: nothing matches, a layer touches no image, or several fit one image.
        UsageError: `none` is given with others.
    """
    if NONE in given and len(given) > 1:
        fix = "Give --quality none alone, or leave it out"
        raise UsageError("--quality none is given with layers", code="option-conflict", fix=fix)
    layers = [x for text in given if text not in (AUTO, NONE) for x in _find(text, root)]
    found = _paired(targets, layers, AUTO in given)
    _check_used(targets, layers, found)
    for target, files in zip(targets, found, strict=True):
        if len(target.names) == 1:
            _check_alike(target, [f for f in files if f.kind != "polygons" and f not in target.own])
    return [tuple(files) for files in found]


def _paired(
    targets: Sequence[QualityTarget], layers: Sequence[_GivenLayer], auto: bool
) -> list[list[QualityFile]]:
    """Return the layers of each image; with `auto`, its own come first."""
    found = [list(t.own) if auto else [] for t in targets]
    scores = {(i, j): _score(t, x) for i, t in enumerate(targets) for j, x in enumerate(layers)}
    for j, layer in enumerate(layers):
        for i in _owners(j, targets, layers, scores):
            found[i].append(layer.file)
    return found


def _owners(
    j: int,
    targets: Sequence[QualityTarget],
    layers: Sequence[_GivenLayer],
    scores: _Scores,
) -> list[int]:
    """Return the images that a layer belongs to: by name, else by place.

    Of the files of a pattern, those that no image is named like are left out if others are paired.
    """
    layer = layers[j]
    if len(targets) == 1 and layer.named:
        return [0]
    owners = [i for i in range(len(targets)) if any(scores[i, j])]
    if owners:
        return [i for i in owners if _is_best(i, j, layers, scores)]
    if any(any(s) for (_, k), s in scores.items() if _of_one_pattern(layers[k], layer)):
        return []
    return _touched(layer, targets)


def without_layer(
    found: Sequence[tuple[QualityFile, ...]], given: Sequence[str], images: Sequence[str]
) -> list[Finding]:
    """Return a warning on images without a quality layer where others have one."""
    bare = [image for files, image in zip(found, images, strict=True) if not files]
    if not bare or len(bare) == len(found) or not {*given} - {AUTO, NONE}:
        return []
    shown = ", ".join(PurePath(name).name for name in bare[:3])
    more = ", ..." if len(bare) > 3 else ""
    message = f"{len(bare)} of {len(found)} images have no quality layer ({shown}{more})."
    fix = "All their pixels are kept; check --quality if they should have one."
    return [Finding("warning", "quality-missing", bare[0], message, fix)]


def quality_paths(given: Sequence[str], root: Path) -> set[Path]:
    """Return the absolute paths of the files that `--quality` names, which are no images."""
    patterns = [split_kind(text)[1] for text in given if text not in (AUTO, NONE)]
    return {Path(path).absolute() for text in patterns for path in _matched(text, root)}


def _matched(pattern: str, root: Path | None) -> dict[str, tuple[str, ...]]:
    """Return the files of a pattern, each with the texts of its fields."""
    if "{" in pattern and not Path(pattern).exists():
        return _with_fields(pattern, root)
    return dict.fromkeys(_files(pattern, root), ())


def _find(text: str, root: Path | None) -> Iterator[_GivenLayer]:
    """Yield the layers of one value of `--quality`."""
    kind, pattern = split_kind(text)
    head = f"{kind}:" if kind else ""
    matched, named = _matched(pattern, root), not _is_pattern(pattern)
    if not matched:
        message, fix = f"No file matches --quality {text}", "Check the name or pattern"
        raise DataError(message, code="no-quality", file=root or pattern, fix=fix)
    for path, fields in matched.items():
        yield _GivenLayer(recognize(f"{head}{path}"), fields, named)


def _is_pattern(text: str) -> bool:
    return bool(set(text) & set("*?[{")) and not Path(text).exists()


def _files(pattern: str, root: Path | None) -> list[str]:
    if "://" in pattern or pattern.startswith("/vsi"):
        return [pattern]
    found = matching(root or Path(), pattern)
    return [str(path.absolute()) for path in found]


def _with_fields(pattern: str, root: Path | None) -> dict[str, tuple[str, ...]]:
    """Return the texts of the fields by file."""
    parts = PurePath(pattern).parts
    fixed = next(k for k, part in enumerate(parts) if set(part) & set("*?[{"))
    rest = "/".join(parts[fixed:])
    for base in dict.fromkeys([(root or Path()).joinpath(*parts[:fixed]), Path(*parts[:fixed])]):
        if not base.is_dir():
            continue
        files = {path.relative_to(base).as_posix(): path for path in files_below(base)}
        matches = match_files([rest], files)
        if matches:
            return {
                str(files[m.path].absolute()): tuple(m.fields[k] for k in sorted(m.fields))
                for m in matches
            }
    return {}


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def _score(target: QualityTarget, layer: _GivenLayer) -> tuple[int, ...]:
    """Return how much a layer has of each name of an image, 0 for nothing."""
    return tuple(_score_part(names, layer) for names in target.names)


def _score_part(names: Sequence[str], layer: _GivenLayer) -> int:
    stems = {PurePath(name).stem if "." in name else PurePath(name).name for name in names}
    if layer.fields:
        return max((_score_fields(stem, names, layer.fields) for stem in stems), default=0)
    path = PurePath(layer.file.path)
    key = tuple(word for word in _words(path.stem) if word not in _QUALITY_WORDS)
    if not key:
        folders = {str(Path(name).absolute().parent) for name in names}
        return int(str(Path(path).absolute().parent) in folders)
    return max((_score_words(_words(stem), key) for stem in stems), default=0)


def _score_words(words: Sequence[str], key: Sequence[str]) -> int:
    """Return the letters of the words that a name and a key begin with, if one ends there."""
    length = min(len(words), len(key))
    if not length or words[:length] != key[:length]:
        return 0
    return len("".join(key[:length])) + (WHOLE_NAME if words == key else 0)


def _score_fields(stem: str, names: Sequence[str], fields: Sequence[str]) -> int:
    where = [_words(stem), *(_words(name) for name in names)]
    total = 0
    for text in fields:
        words = _words(text)
        if not any(_holds(known, words) for known in where):
            return 0
        total += len("".join(words)) + (WHOLE_NAME if words == where[0] else 0)
    return total


def _holds(known: Sequence[str], words: Sequence[str]) -> bool:
    """Return whether words follow each other in others."""
    n = len(words)
    return n > 0 and any(tuple(known[i : i + n]) == tuple(words) for i in range(len(known)))


def _of_one_pattern(a: _GivenLayer, b: _GivenLayer) -> bool:
    """Return whether two layers come from patterns and are of one kind."""
    return a.file.kind == b.file.kind and not a.named and not b.named


def _is_best(i: int, j: int, layers: Sequence[_GivenLayer], scores: _Scores) -> bool:
    """Return whether no other layer of its kind has more of a name of an image."""
    kind = layers[j].file.kind
    alike = [scores[i, k] for k, layer in enumerate(layers) if layer.file.kind == kind]
    own = scores[i, j]
    return any(own[p] == max(s[p] for s in alike) for p in range(len(own)) if own[p])


def _touched(layer: _GivenLayer, targets: Sequence[QualityTarget]) -> list[int]:
    """Return the images that a layer touches.

    Raises:
        DataError: there are several images, and the layer has no place.
    """
    if len(targets) > 1 and layer.file.kind != "polygons":
        with open_raster(layer.file.path) as dataset:
            placed = geobox_of(dataset).placed
        if not placed:
            images = f"none of {len(targets)} images"
            message = f"The quality layer has no CRS, and its name is that of {images}"
            fix = "Name it after its image, or map the images one by one"
            raise DataError(message, code="ambiguous-quality", file=layer.file.path, fix=fix)
    return [i for i, target in enumerate(targets) if touches(layer.file, target.grid)]


def _check_used(
    targets: Sequence[QualityTarget],
    layers: Sequence[_GivenLayer],
    found: Sequence[Sequence[QualityFile]],
) -> None:
    """Raise an error where a layer belongs to no image.

    Raises:
        DataError: see above.
    """
    used = {file for files in found for file in files}
    for layer in layers:
        polygons = layer.file.kind == "polygons"
        if layer.file not in used and (layer.named or not used):
            raise missed(layer.file.path)
        if polygons and not any(touches(layer.file, target.grid) for target in targets):
            raise missed(layer.file.path)


def _check_alike(target: QualityTarget, files: Sequence[QualityFile]) -> None:
    for k, file in enumerate(files):
        for other in files[:k]:
            if other.kind == file.kind != "mask" and _same_place(other, file):
                message = (
                    f"Two quality layers of kind {file.kind} fit one image "
                    f"({PurePath(target.names[0][0]).name}), the other is {other.path}"
                )
                fix = "Give one, or name each after its image"
                raise DataError(message, code="ambiguous-quality", file=file.path, fix=fix)


def _same_place(a: QualityFile, b: QualityFile) -> bool:
    with open_raster(a.path) as first, open_raster(b.path) as second:
        return geobox_of(first).same_as(geobox_of(second))
