"""Layout `pairs`: images and masks side by side, paired by name.

Met as `images/` + `masks/` (or `labels/`, `gt/`, ...) at any depth, as one folder per scene with
both inside, and as `x.tif` + `x_mask.png` in one folder. Pairing never depends on the order of a
listing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

from swath.data.layouts.catalog import Catalog, SourceSample, files_below, matching
from swath.io.raster import EXTENSIONS
from swath.io.vector import VECTOR_EXTENSIONS
from swath.options import SourceOptions
from swath.types import Finding

Role: TypeAlias = Literal["image", "mask"]


def _roles(images: str, masks: str) -> dict[str, Role]:
    roles: dict[str, Role] = dict.fromkeys(images.split(), "image")
    return roles | dict.fromkeys(masks.split(), "mask")


_FOLDERS = _roles(
    "image images img imgs sat rgb msi input inputs chips jpegimages source",
    "mask masks label labels gt truth groundtruth annotation annotations ann target targets seg segmentation "
    "segmentationclass lulc landcover",
)

_SUFFIXES = _roles(
    "image img sat rgb s2hand s1hand",
    "mask masks label labels labelhand gt truth seg lulc groundtruth annotation",
)


@dataclass(frozen=True)
class _PairFile:
    path: Path
    role: Role
    group: str
    stem: str
    name: str = ""


def find(options: SourceOptions) -> Catalog:
    """List the pairs below a folder.

    The group of a pair is the path of its folders without the one that says image or mask. Where
    that is one group for all, each image is a group of its own (a warning says so), and where there
    is one image, it is cut into blocks.
    """
    root = options.root
    ignored = sorted({p for pattern in options.mask for p in matching(root, pattern)})
    left_out = {p.resolve() for p in ignored}
    paths = sorted(p for p in files_below(root) if p.suffix.lower() in EXTENSIONS)
    files = [_classify(p, root) for p in paths if p.resolve() not in left_out]
    images, masks = ([f for f in files if f.role == role] for role in ("image", "mask"))
    if not images:
        return Catalog(root, "pairs", (), (_empty(root, bool(masks)),))
    images = _named(images)
    pairs, findings = _pair(images, masks)
    samples: list[SourceSample] = []
    doubtful = {f.file for f in findings}
    for image in images:
        mask = pairs.get(image.path)
        samples.append(SourceSample(image.name, (image.path,), mask, group=image.group))
        if mask is None and str(image.path) not in doubtful:
            findings.append(_missing(image, options.unlabeled))
    if not masks:
        findings += _hint_at_scenes(root)
    grouped, warnings = _group(samples, root)
    masked, unmatched = _with_ignored(grouped, ignored, root, options.mask)
    return Catalog(root, "pairs", tuple(masked), tuple(findings + warnings + unmatched))


def _hint_at_scenes(root: Path) -> list[Finding]:
    """Where no image has a mask but there is a vector layer, the folder is evidently a scene's."""
    layers = [p for p in files_below(root) if p.suffix.lower() in VECTOR_EXTENSIONS]
    return [
        Finding(
            "note",
            "vector-layer",
            str(path),
            "There are no masks here, but this vector layer.",
            f"If it holds the labels, say --images PATTERN --labels {path.name}.",
        )
        for path in layers[:1]
    ]


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[\W_]+", text.lower()) if w]


def _strip(stem: str) -> str:
    """Drop the last word of a name where it only says what kind of file it is; nothing is left of `mask`."""
    match = re.fullmatch(r"(?:(.+?)[\W_]+)?([^\W_]+)", stem)
    return match[1] or "" if match and match[2].lower() in _SUFFIXES else stem


def _classify(path: Path, root: Path) -> _PairFile:
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
        role = _SUFFIXES.get(words[-1], "image") if words else "image"
    group, stem = (
        unicodedata.normalize("NFC", text) for text in ("/".join(filter(None, folders)), path.stem)
    )
    return _PairFile(path, role, group, stem)


def _named(images: Sequence[_PairFile]) -> list[_PairFile]:
    """Name images by group and stem; of those that differ only in extension or kind folder, the later get ~2, ~3, ..."""
    taken: set[str] = set()
    out = []
    for image in images:
        name = "/".join(filter(None, (image.group, image.stem)))
        free = next(
            n for n in (name if i == 1 else f"{name}~{i}" for i in count(1)) if n not in taken
        )
        taken.add(free)
        out.append(replace(image, name=free))
    return out


def _pair(
    images: Sequence[_PairFile], masks: Sequence[_PairFile]
) -> tuple[dict[Path, Path], list[Finding]]:
    """Pair by equal names, then without the suffix of the mask's, then of both; more than one candidate is an error."""
    pairs: dict[Path, Path] = {}
    findings: list[Finding] = []
    left = list(masks)
    for image_key, mask_key in ((_exact, _exact), (_exact, _stripped), (_stripped, _stripped)):
        by_key: dict[tuple[str, str], list[_PairFile]] = defaultdict(list)
        for mask in left:
            by_key[mask_key(mask)].append(mask)
        wanted: dict[tuple[str, str], list[_PairFile]] = defaultdict(list)
        for image in images:
            if image.path not in pairs:
                wanted[image_key(image)].append(image)
        settled: set[Path] = set()
        for name, candidates in by_key.items():
            claimants = wanted.get(name, [])
            if len(candidates) == 1 and len(claimants) == 1:
                pairs[claimants[0].path] = candidates[0].path
            elif claimants:
                findings += _ambiguous(claimants, candidates)
            else:
                continue
            settled |= {m.path for m in candidates}
        left = [m for m in left if m.path not in settled]
    return pairs, findings + [_orphan(m) for m in left]


def _exact(file: _PairFile) -> tuple[str, str]:
    return file.group, file.stem


def _stripped(file: _PairFile) -> tuple[str, str]:
    return file.group, _strip(file.stem)


def _ambiguous(images: Sequence[_PairFile], masks: Sequence[_PairFile]) -> list[Finding]:
    listed = ", ".join(f.path.name for f in (*images, *masks))
    return [
        Finding(
            "error",
            "ambiguous-pair",
            str(image.path),
            f"{len(images)} image(s) and {len(masks)} mask(s) share one name ({listed}).",
            "Keep one image and one mask of that name, rename them, or leave them out (--skip-bad does).",
            sample=image.name,
        )
        for image in images
    ]


def _orphan(mask: _PairFile) -> Finding:
    return Finding(
        "error",
        "orphan-mask",
        str(mask.path),
        "This mask has no image of its name.",
        "Add the image, rename one of them, or leave the mask out (--skip-bad does).",
        sample=f"mask {mask.path.name}",
    )


def _missing(image: _PairFile, unlabeled: bool) -> Finding:
    return Finding(
        "note" if unlabeled else "error",
        "missing-mask",
        str(image.path),
        "This image has no mask of its name.",
        "Add the mask, say --unlabeled to keep the image without labels, or leave it out (--skip-bad does).",
        sample=image.name,
    )


def _empty(root: Path, masks: bool) -> Finding:
    return Finding(
        "error",
        "no-images",
        str(root),
        "There are masks here but no images." if masks else "There is no image here.",
        f"Give a folder with images ({', '.join(sorted(EXTENSIONS))}), or name them with --images and --labels.",
    )


def _group(samples: Sequence[SourceSample], root: Path) -> tuple[list[SourceSample], list[Finding]]:
    if len({s.group for s in samples}) > 1:
        top = [replace(s, group=s.group or ".") for s in samples]
        return top, []
    if len(samples) == 1:
        return [replace(samples[0], group=None)], []
    finding = Finding(
        "warning",
        "single-group",
        str(root),
        "All images lie in one folder, so each is taken for a place of its own when the data are split.",
        "Put images that see the same ground into one folder each, or scores will be too good.",
    )
    short = _unique_names(samples)
    return [replace(s, group=PurePath(s.name).name if short else s.name) for s in samples], [
        finding
    ]


def _begins_with(stem: str, name: str) -> bool:
    """Tell whether `name` is the head of `stem`, and no number or word is cut in two; an empty name is of any."""
    head, following = (
        unicodedata.normalize("NFC", text)
        for text in (stem[: len(name)], stem[len(name) : len(name) + 1])
    )
    return head == unicodedata.normalize("NFC", name) and not (name and following.isalnum())


def _unique_names(samples: Iterable[SourceSample]) -> bool:
    names = [PurePath(s.name).name for s in samples]
    return len(set(names)) == len(names)


def _with_ignored(
    samples: Sequence[SourceSample], ignored: Sequence[Path], root: Path, globs: Sequence[str]
) -> tuple[list[SourceSample], list[Finding]]:
    """Give each `--mask` file to the image whose name its own begins with.

    The longest such name wins, and among equal ones the image that shares most folder names with
    the file.
    """
    if globs and not ignored:
        return list(samples), [
            Finding(
                "error",
                "no-masks",
                str(root),
                f"No file matches --mask {' '.join(globs)}.",
                "Check the pattern.",
            )
        ]
    of: dict[str, list[Path]] = defaultdict(list)
    named: dict[str, list[SourceSample]] = defaultdict(list)
    for sample in samples:
        named[unicodedata.normalize("NFC", _strip(sample.images[0].stem))].append(sample)
    findings = []
    for path in ignored:
        heads = {
            unicodedata.normalize("NFC", path.stem[:length]) for length in range(len(path.stem) + 1)
        }
        fits = [
            s
            for head in heads
            for s in named.get(head, ())
            if _begins_with(path.stem, _strip(s.images[0].stem))
        ]
        if len(samples) == 1:
            fits = list(samples)
        longest = max((len(s.images[0].stem) for s in fits), default=0)
        fits = [s for s in fits if len(s.images[0].stem) == longest]
        near = [
            len({*path.resolve().parent.parts} & {*s.images[0].resolve().parent.parts})
            for s in fits
        ]
        fits = [s for s, shared in zip(fits, near, strict=True) if shared == max(near)]
        if len(fits) == 1:
            of[fits[0].name].append(path)
        else:
            findings.append(
                Finding(
                    "error",
                    "orphan-mask",
                    str(path),
                    f"This --mask file belongs to {len(fits)} images by its name.",
                    "Begin its name with the image's name, or leave it out (--skip-bad does).",
                    sample=f"mask {path.name}",
                )
            )
    return [replace(s, ignored=tuple(of[s.name])) for s in samples], findings
