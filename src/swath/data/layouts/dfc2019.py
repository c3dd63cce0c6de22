"""Layout `contest`: Track 1 of the 2019 IEEE GRSS Data Fusion Contest, in any arrangement of folders.

A file is named city, ground tile, satellite pass and kind, such as `JAX_163_010_RGB.tif`. Kinds:
`RGB` (uint8, 3 bands), `MSI` (uint16, the 8 bands of WorldView-3), `CLS` (uint8, LAS codes), `AGL`
(float32, meters above ground, NaN unknown). Some 28 passes see one ground tile, so the ground tile
is the group.

Source: Bosch et al. 2019, "Semantic Stereo for Incidental Satellite Images" (WACV).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.data.layouts.catalog import Catalog, SourceSample, files_below, matching
from swath.legend import LandClass, Legend
from swath.options import SourceOptions
from swath.types import Finding

KINDS = {
    "rgb": ("RGB", ("red", "green", "blue")),
    "msi": ("MSI", ("coastal", "blue", "green", "yellow", "red", "red edge", "nir 1", "nir 2")),
}
"""What `--bands` may ask for: the kind of file, and its bands in order."""

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
"""The contest's classes; unlabeled ground is neither learnt nor scored."""

NAME = re.compile(r"([A-Z]{3}_\d+)_(\d+)_(RGB|MSI|CLS|AGL)\.tiff?", re.IGNORECASE)
SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
"""Words in folder names that say that a user has split the data."""


@dataclass(frozen=True)
class _ContestFile:
    path: Path
    ground: str
    name: str
    kind: str


def recognizes(root: Path) -> bool:
    """Tell whether a folder holds images with the contest's names."""
    return any(f.kind in ("RGB", "MSI") for f in _files(root))


def find(options: SourceOptions) -> Catalog:
    """List the images of the wanted kind with their classes and heights, by ground tile."""
    root = options.root
    kind, bands = KINDS[options.bands or "rgb"]
    by_kind: dict[str, dict[str, list[_ContestFile]]] = {
        k: defaultdict(list) for k in ("RGB", "MSI", "CLS", "AGL")
    }
    for file in _files(root):
        by_kind[file.kind][file.name].append(file)
    ignored = {p for pattern in options.mask for p in matching(root, pattern)}
    samples, findings = [], []
    for name, images in sorted(by_kind[kind].items()):
        reference, heights = by_kind["CLS"][name], by_kind["AGL"][name]
        findings += [
            _twice(name, files) for files in (images, reference, heights) if len(files) > 1
        ]
        if not reference:
            findings.append(_missing(images[0], options.unlabeled))
        samples.append(
            SourceSample(
                name,
                (images[0].path,),
                reference[0].path if reference else None,
                bands=bands,
                group=images[0].ground,
                heights=heights[0].path if heights else None,
                ignored=tuple(sorted(p for p in ignored if p.name.startswith(name))),
            )
        )
    for other in ("CLS", "AGL"):
        findings += [
            _orphan(files[0], kind)
            for name, files in sorted(by_kind[other].items())
            if name not in by_kind[kind]
        ]
    findings += _without_heights(samples)
    if not samples:  # that no other file has its image then need not be said
        findings = [_empty(root, kind, bool(by_kind["RGB"] or by_kind["MSI"]))]
    return Catalog(
        root,
        "contest",
        tuple(samples),
        tuple([*findings, *_own_splits(root, by_kind[kind])]),
        LEGEND,
    )


def _files(root: Path) -> Iterator[_ContestFile]:
    for path in sorted(files_below(root)):
        match = NAME.fullmatch(path.name)
        if match:
            ground = match[1].upper()
            yield _ContestFile(path, ground, f"{ground}_{match[2]}", match[3].upper())


def _twice(name: str, files: list[_ContestFile]) -> Finding:
    where = ", ".join(str(f.path.parent) for f in files)
    return Finding(
        "error",
        "duplicate-pass",
        str(files[1].path),
        f"This pass is here {len(files)} times (in {where}).",
        "Keep one of the files, or leave the pass out (--skip-bad does).",
        sample=name,
    )


def _missing(image: _ContestFile, unlabeled: bool) -> Finding:
    return Finding(
        "note" if unlabeled else "error",
        "missing-mask",
        str(image.path),
        f"This image has no {image.name}_CLS.tif.",
        "Add it, say --unlabeled to keep the image without labels, or leave it out (--skip-bad does).",
        sample=image.name,
    )


def _orphan(file: _ContestFile, kind: str) -> Finding:
    return Finding(
        "error",
        "orphan-mask",
        str(file.path),
        f"This file has no {file.name}_{kind}.tif.",
        "Add the image, or leave this file out (--skip-bad does).",
        sample=f"mask {file.path.name}",
    )


def _without_heights(samples: Sequence[SourceSample]) -> Iterator[Finding]:
    """Say that some images have heights and others have none."""
    without = [s for s in samples if s.heights is None]
    if 0 < len(without) < len(samples):
        yield Finding(
            "note",
            "missing-heights",
            str(without[0].images[0]),
            f"{len(without)} of {len(samples)} images have no *_AGL.tif, this one first; their classes are used.",
            "Add them, if heights are to be learnt and scored there.",
        )


def _empty(root: Path, kind: str, others: bool) -> Finding:
    fix = (
        "Say --bands rgb or --bands msi, whichever is here."
        if others
        else "Give the folder of the contest's Track 1."
    )
    return Finding("error", "no-images", str(root), f"There is no *_{kind}.tif here.", fix)


def _own_splits(root: Path, images: dict[str, list[_ContestFile]]) -> Iterator[Finding]:
    """Say which ground tiles a user's own folders (train, val, test) put into several splits, or else how to keep these."""
    splits: dict[str, set[str]] = defaultdict(set)
    for files in images.values():
        for file in files:
            words = re.split(r"[\W_]+", str(file.path.relative_to(root).parent).lower())
            splits[file.ground] |= {SPLITS[w] for w in words if w in SPLITS}
    torn = sorted(ground for ground, found in splits.items() if len(found) > 1)
    if torn:
        listed = ", ".join(torn[:5]) + (f" and {len(torn) - 5} more" if len(torn) > 5 else "")
        yield Finding(
            "warning",
            "split-leak",
            str(root),
            f"The folders here put the same ground into several splits: {listed}.",
            "Let `prepare` split them (it keeps ground tiles together), and don't compare with scores of that split.",
        )
        return
    own = {
        split: sorted(ground for ground, found in splits.items() if split in found)
        for split in ("train", "val", "test")
    }
    if sum(map(bool, own.values())) > 1:
        options = " ".join(
            f"--{split} {','.join(own[split]) or 'none'}" for split in ("test", "val")
        )
        yield Finding(
            "note",
            "own-split",
            str(root),
            "The folders here are named as splits, and `prepare` makes its own all the same.",
            f"To keep yours, say {options}.",
        )
