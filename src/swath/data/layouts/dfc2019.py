"""Layout `contest`: Track 1 of the 2019 IEEE GRSS Data Fusion Contest, in any folders.

A file is named city, ground tile, satellite pass and kind, such as `JAX_163_010_RGB.tif`. Kinds:
`RGB` (uint8, 3 bands), `MSI` (uint16, the 8 bands of WorldView-3), `CLS` (uint8, LAS codes), `AGL`
(float32, meters above ground, NaN unknown). Some 28 passes show one ground tile, so the ground
tile is the group.

Source: Bosch et al. 2019, "Semantic Stereo for Incidental Satellite Images" (WACV).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from swath.data.layouts.catalog import (
    Catalog,
    SourceSample,
    files_below,
    matching,
    missing_mask,
    orphan_mask,
)
from swath.legend import LandClass, Legend
from swath.options import SourceOptions
from swath.types import Finding

OPTIONS: tuple[str, ...] = ("bands",)

KINDS = {
    "rgb": ("RGB", ("red", "green", "blue")),
    "msi": ("MSI", ("coastal", "blue", "green", "yellow", "red", "red edge", "nir 1", "nir 2")),
}
"""By value of `--bands`: kind of file, and its bands in order."""

LEGEND = Legend(
    (
        LandClass("ground", (2,), 2, "#C9A66B"),
        LandClass("trees", (5,), 5, "#22803A"),
        LandClass("building", (6,), 6, "#C8362E"),
        LandClass("water", (9,), 9, "#2B6CB0"),
        LandClass("bridge and elevated road", (17,), 17, "#8C8C8C"),
        LandClass("unlabeled", (65,), 65, "#000000", ignore=True),
    ),
    origin="a list of the contest's classes for --classes",
)
"""The contest's classes; unlabeled pixels are neither trained nor scored."""

_NAME = re.compile(r"([A-Z]{3}_\d+)_(\d+)_(RGB|MSI|CLS|AGL)\.tiff?", re.IGNORECASE)

_SPLIT_OF_WORD = {"train": "train", "test": "test"}  # words in names of folders
_SPLIT_OF_WORD |= dict.fromkeys(("val", "valid", "validate", "validation"), "val")


@dataclass(frozen=True)
class _ContestFile:
    path: Path
    ground_tile: str
    name: str


_FilesByName: TypeAlias = dict[str, list[_ContestFile]]


def recognizes(options: SourceOptions) -> bool:
    """Return whether a folder holds images with the contest's names."""
    return any(kind in ("RGB", "MSI") for kind, _ in _files(options.root))


def find(options: SourceOptions) -> Catalog:
    """List the images of the wanted kind with their classes and heights, by ground tile."""
    root = options.root
    kind, bands = KINDS[options.bands or "rgb"]
    by_kind: dict[str, _FilesByName] = {k: defaultdict(list) for k in ("RGB", "MSI", "CLS", "AGL")}
    for of_kind, file in _files(root):
        by_kind[of_kind][file.name].append(file)
    ignored = sorted({p for pattern in options.mask for p in matching(root, pattern)})
    samples = [
        SourceSample(
            name,
            (images[0].path,),
            _first(by_kind["CLS"][name]),
            bands=bands,
            group=images[0].ground_tile,
            heights=_first(by_kind["AGL"][name]),
            ignored=tuple(p for p in ignored if p.name.startswith(name)),
        )
        for name, images in sorted(by_kind[kind].items())
    ]
    if samples:
        findings = [*_check_files(by_kind, kind, options.unlabeled), *_check_heights(samples)]
    else:
        findings = [_empty(root, kind, bool(by_kind["RGB"] or by_kind["MSI"]))]
    findings += _check_own_split(root, by_kind[kind])
    return Catalog(root, "contest", tuple(samples), tuple(findings), LEGEND)


def _files(root: Path) -> Iterator[tuple[str, _ContestFile]]:
    """Yield the contest's files below a folder with their kind."""
    for path in sorted(files_below(root)):
        match = _NAME.fullmatch(path.name)
        if match:
            tile = match[1].upper()
            yield match[3].upper(), _ContestFile(path, tile, f"{tile}_{match[2]}")


def _first(files: Sequence[_ContestFile]) -> Path | None:
    return files[0].path if files else None


def _check_files(
    by_kind: Mapping[str, _FilesByName], kind: str, unlabeled: bool
) -> Iterator[Finding]:
    """Yield duplicate files, images without classes, and other files without an image."""
    for name, images in sorted(by_kind[kind].items()):
        for files in (images, by_kind["CLS"][name], by_kind["AGL"][name]):
            if len(files) > 1:
                yield _duplicate(files)
        if not by_kind["CLS"][name]:
            yield missing_mask(images[0].path, name, f"{name}_CLS.tif", unlabeled)
    for other in ("CLS", "AGL"):
        for name, files in sorted(by_kind[other].items()):
            if name not in by_kind[kind]:
                yield orphan_mask(files[0].path, f"The file has no image {name}_{kind}.tif.")


def _duplicate(files: Sequence[_ContestFile]) -> Finding:
    folders = ", ".join(str(f.path.parent) for f in files)
    message = f"The source has this file {len(files)} times (in {folders})."
    fix = "Keep one of the files, or leave the pass out (--skip-bad does)."
    return Finding("error", "duplicate-pass", str(files[1].path), message, fix, files[1].name)


def _check_heights(samples: Sequence[SourceSample]) -> Iterator[Finding]:
    without = [s for s in samples if s.heights is None]
    if 0 < len(without) < len(samples):
        message = f"{len(without)} of {len(samples)} images have no *_AGL.tif; this is the first."
        fix = "Add the files if heights are to be trained and scored there; classes are used."
        yield Finding("note", "missing-heights", str(without[0].images[0]), message, fix)


def _empty(root: Path, kind: str, others: bool) -> Finding:
    fix = "Give the folder of the contest's Track 1."
    if others:
        fix = "Give --bands rgb or --bands msi, whichever the folder has."
    return Finding("error", "no-images", str(root), f"The folder has no *_{kind}.tif.", fix)


def _check_own_split(root: Path, images: _FilesByName) -> Iterator[Finding]:
    """Yield ground tiles that the folders put into several splits, else a note on that split."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for file in (file for files in images.values() for file in files):
        words = re.split(r"[\W_]+", str(file.path.relative_to(root).parent).lower())
        splits_of[file.ground_tile] |= {_SPLIT_OF_WORD[w] for w in words if w in _SPLIT_OF_WORD}
    torn = sorted(tile for tile, splits in splits_of.items() if len(splits) > 1)
    if torn:
        listed = ", ".join(torn[:5]) + (f" and {len(torn) - 5} more" if len(torn) > 5 else "")
        message = f"The folders put one ground tile into several splits: {listed}."
        fix = "Use the split of `prepare`, and do not compare with scores of the folders' split."
        yield Finding("warning", "split-leak", str(root), message, fix)
        return
    tiles_of: dict[str, list[str]] = defaultdict(list)
    for tile, splits in sorted(splits_of.items()):
        for split in splits:
            tiles_of[split].append(tile)
    if len(tiles_of) > 1:
        own = [f"--{split} {','.join(tiles_of[split]) or 'none'}" for split in ("test", "val")]
        message = "The folders are named as splits, and `prepare` makes another split."
        fix = f"To keep the folders' split, give {' '.join(own)}."
        yield Finding("note", "own-split", str(root), message, fix)
