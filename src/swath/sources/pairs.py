"""Layout `pairs`: images and masks side by side, paired by name.

Met as `images/` + `masks/` (or `labels/`, `gt/`, ...) at any depth, as one folder per scene with both inside, and as
`x.tif` + `x_mask.png` in one folder. Pairing never depends on the order of a listing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

from swath.options import SourceOptions
from swath.raster import EXTENSIONS
from swath.sources.catalogue import Catalogue, Sample
from swath.types import Finding

Role: TypeAlias = Literal["image", "mask"]

_FOLDERS: dict[str, Role] = dict.fromkeys(
    ("image", "images", "img", "imgs", "sat", "rgb", "msi", "input", "inputs", "chips", "jpegimages", "source"), "image"
) | dict.fromkeys(
    (
        "mask", "masks", "label", "labels", "gt", "truth", "groundtruth", "annotation", "annotations", "ann", "target",
        "targets", "seg", "segmentation", "segmentationclass", "lulc", "landcover",
    ),
    "mask",
)  # fmt: skip

_SUFFIXES: dict[str, Role] = dict.fromkeys(("image", "img", "sat", "rgb", "s2hand", "s1hand"), "image") | dict.fromkeys(
    ("mask", "masks", "label", "labels", "labelhand", "gt", "truth", "seg", "lulc", "groundtruth", "annotation"), "mask"
)


@dataclass(frozen=True)
class _File:
    path: Path
    role: Role
    group: str
    stem: str

    @property
    def exact(self) -> tuple[str, str]:
        return self.group, self.stem

    @property
    def stripped(self) -> tuple[str, str]:
        return self.group, _strip(self.stem)


def find(options: SourceOptions) -> Catalogue:
    """List the pairs below a folder.

    The group of a pair is the path of its folders without the one that says image or mask. Where that is one group for all,
    each image is a group of its own (a warning says so), and where there is one image, it is cut into blocks.
    """
    root = options.root
    ignored = {p for glob in options.mask for p in root.glob(glob)}
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file() and not _hidden(p, root))
    files = [_classify(p, root) for p in paths if p not in ignored]
    images, masks = ([f for f in files if f.role == role] for role in ("image", "mask"))
    if not images:
        return Catalogue(root, "pairs", (), (_empty(root, bool(masks)),))
    pairs, findings = _pair(images, masks)
    samples: list[Sample] = []
    for image in images:
        name = "/".join(filter(None, (image.group, image.stem)))
        mask = pairs.get(image.path)
        samples.append(Sample(name, (image.path,), mask, group=image.group))
        if mask is None:
            findings.append(_missing(image, name, options.unlabeled))
    named, doubles = _unique(samples)
    grouped, warnings = _group(named, root)
    masked, unmatched = _with_ignored(grouped, sorted(ignored), root, options.mask)
    return Catalogue(root, "pairs", tuple(masked), tuple(findings + doubles + warnings + unmatched))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[^0-9a-z]+", text.lower()) if w]


def _strip(stem: str) -> str:
    """Drop the last word of a name where it only says what kind of file it is."""
    match = re.fullmatch(r"(.+)[^0-9A-Za-z]+([0-9A-Za-z]+)", stem)
    return match[1] if match and match[2].lower() in _SUFFIXES else stem


def _classify(path: Path, root: Path) -> _File:
    """Tell image from mask by the nearest folder that says so, else by the end of the name."""
    folders = list(PurePath(path.relative_to(root)).parts[:-1])
    words = _words(path.stem)
    role: Role | None = None
    for at in range(len(folders) - 1, -1, -1):
        role = next((_FOLDERS[w] for w in reversed(_words(folders[at])) if w in _FOLDERS), None)
        if role:
            rest = [w for w in _words(folders[at]) if w not in _FOLDERS]
            folders[at] = "_".join(rest)
            break
    if role is None:
        role = _SUFFIXES.get(words[-1], "image") if len(words) > 1 else "image"
    return _File(path, role, "/".join(filter(None, folders)), path.stem)


def _pair(images: Sequence[_File], masks: Sequence[_File]) -> tuple[dict[Path, Path], list[Finding]]:
    """Pair by equal names, then by names without their kind's suffix; more than one candidate is an error."""
    pairs: dict[Path, Path] = {}
    findings: list[Finding] = []
    left = list(masks)
    for key in (lambda f: f.exact, lambda f: f.stripped):
        by_key: dict[tuple[str, str], list[_File]] = defaultdict(list)
        for mask in left:
            by_key[key(mask)].append(mask)
        wanted: dict[tuple[str, str], list[_File]] = defaultdict(list)
        for image in images:
            if image.path not in pairs:
                wanted[key(image)].append(image)
        for name, candidates in by_key.items():
            claimants = wanted.get(name, [])
            if len(candidates) == 1 and len(claimants) == 1:
                pairs[claimants[0].path] = candidates[0].path
            elif claimants:
                findings.append(_ambiguous(claimants, candidates))
            else:
                continue
            left = [m for m in left if m not in candidates]
    return pairs, findings + [_orphan(m) for m in left]


def _ambiguous(images: Sequence[_File], masks: Sequence[_File]) -> Finding:
    listed = ", ".join(f.path.name for f in (*images, *masks))
    return Finding(
        "error", "ambiguous-pair", str(images[0].path),
        f"{len(images)} image(s) and {len(masks)} mask(s) share one name ({listed}).",
        "Keep one image and one mask of that name, or rename them.",
    )  # fmt: skip


def _orphan(mask: _File) -> Finding:
    return Finding(
        "error", "orphan-mask", str(mask.path), "This mask has no image of its name.",
        "Add the image, rename one of them, or leave the mask out (--skip-bad does).",
        sample=f"mask {mask.path.name}",
    )  # fmt: skip


def _missing(image: _File, name: str, unlabeled: bool) -> Finding:
    return Finding(
        "note" if unlabeled else "error", "missing-mask", str(image.path), "This image has no mask of its name.",
        "Add the mask, say --unlabeled to keep the image without labels, or leave it out (--skip-bad does).",
        sample=name,
    )  # fmt: skip


def _empty(root: Path, masks: bool) -> Finding:
    return Finding(
        "error", "no-images", str(root),
        "There are masks here but no images." if masks else "There is no image here.",
        f"Give a folder with images ({', '.join(sorted(EXTENSIONS))}), or name them with --images and --labels.",
    )  # fmt: skip


def _unique(samples: Sequence[Sample]) -> tuple[list[Sample], list[Finding]]:
    """Give samples that differ only in extension or kind folder names that differ."""
    count: dict[str, int] = defaultdict(int)
    out = []
    for sample in samples:
        count[sample.name] += 1
        again = count[sample.name]
        out.append(sample if again == 1 else replace(sample, name=f"{sample.name}~{again}"))
    findings = [
        Finding(
            "error", "ambiguous-pair", str(s.images[0]), "Another image has the same name.", "Rename one.", sample=s.name
        )
        for s in out
        if "~" in s.name and s.labels is None
    ]  # fmt: skip
    return out, findings


def _group(samples: Sequence[Sample], root: Path) -> tuple[list[Sample], list[Finding]]:
    if len({s.group for s in samples}) > 1:
        top = [replace(s, group=s.group or ".") for s in samples]
        return top, []
    if len(samples) == 1:
        return [replace(samples[0], group=None)], []
    finding = Finding(
        "warning", "single-group", str(root),
        "All images lie in one folder, so each is taken for a place of its own when the data are split.",
        "Put images that see the same ground into one folder each, or scores will be too good.",
    )  # fmt: skip
    return [replace(s, group=PurePath(s.name).name if _unique_names(samples) else s.name) for s in samples], [finding]


def _unique_names(samples: Iterable[Sample]) -> bool:
    names = [PurePath(s.name).name for s in samples]
    return len(set(names)) == len(names)


def _with_ignored(
    samples: Sequence[Sample], ignored: Sequence[Path], root: Path, globs: Sequence[str]
) -> tuple[list[Sample], list[Finding]]:
    """Give each `--mask` file to the image whose name its own begins with; the longest such name wins."""
    if globs and not ignored:
        return list(samples), [
            Finding("error", "no-masks", str(root), f"No file matches --mask {' '.join(globs)}.", "Check the pattern.")
        ]
    of: dict[str, list[Path]] = defaultdict(list)
    findings = []
    for path in ignored:
        fits = [s for s in samples if path.stem.startswith(_strip(s.images[0].stem))]
        if len(samples) == 1:
            fits = list(samples)
        longest = max((len(s.images[0].stem) for s in fits), default=0)
        fits = [s for s in fits if len(s.images[0].stem) == longest]
        if len(fits) > 1:
            group = _classify(path, root).group
            fits = [s for s in fits if (s.group or "") == group] or fits
        if len(fits) == 1:
            of[fits[0].name].append(path)
        else:
            findings.append(
                Finding(
                    "error", "orphan-mask", str(path),
                    f"This --mask file belongs to {len(fits)} images by its name.",
                    "Begin its name with the image's name.",
                )
            )  # fmt: skip
    return [replace(s, ignored=tuple(of[s.name])) for s in samples], findings
