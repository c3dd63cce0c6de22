"""Layout `pairs`: images and masks side by side, paired by name.

Such as `images/` + `masks/` (or `labels/`, `gt/`, ...) at any depth, as one folder per scene with
both inside, and as `x.tif` + `x_mask.png` in one folder. Pairing never depends on the order of a
listing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePath
from shlex import quote
from typing import Literal, TypeAlias

import numpy as np

from swath.data.layouts.catalog import (
    Catalog,
    SourceSample,
    check_passed_over,
    files_below,
    matching,
    missing_mask,
    orphan_mask,
)
from swath.data.layouts.proposals import Content, Proposal, propose
from swath.data.layouts.proposals.words import mask_rank, words_of
from swath.data.layouts.quality_layers import quality_paths
from swath.errors import DataError
from swath.io.arrays import ARRAY_KINDS, ArrayName, array_names, parse_array
from swath.io.raster import EXTENSIONS, gdal_errors, has_raster_name, open_raster
from swath.io.vector import is_vector_file
from swath.options import SourceOptions
from swath.types import Finding, Level

OPTIONS: tuple[str, ...] = ()

MAX_PATTERNS = 3
"""Patterns of images that a mend names."""

ARRAYS_NAMED = 6  # array files that are looked into, and arrays that an error names
LOOKED = 512
"""Rows and columns of a raster that are read to tell masks from images."""

FileRole: TypeAlias = Literal["image", "mask"]


def _roles(images: str, masks: str) -> dict[str, FileRole]:
    roles: dict[str, FileRole] = dict.fromkeys(images.split(), "image")
    return roles | dict.fromkeys(masks.split(), "mask")


_FOLDERS = _roles(
    "image images img imgs sat rgb msi input inputs chips jpegimages source",
    "mask masks label labels gt groundtruth annotation annotations ann target targets seg "
    "truth "  # codespell:ignore truth
    "segmentation segmentationclass lulc landcover",
)

_SUFFIXES = _roles(
    "image img sat rgb s2hand s1hand",
    "mask masks label labels labelhand gt seg lulc groundtruth annotation "
    "truth",  # codespell:ignore truth
)


@dataclass(frozen=True)
class _PairFile:
    path: Path
    role: FileRole
    group: str
    stem: str
    name: str = ""


def recognizes(options: SourceOptions) -> bool:
    """Return True: any folder may hold pairs."""
    return True


def find(options: SourceOptions) -> Catalog:
    """List the pairs below a folder.

    The group of a pair is the path of its folders without the one that names images or masks. If
    that is one group for all, each image is a group (with a warning); a single image is cut into
    blocks.
    """
    root = options.root
    ignored = sorted({p for pattern in options.mask for p in matching(root, pattern)})
    layers = quality_paths(options.quality, root)
    images, masks = _list_files(root, [*ignored, *layers])
    if not images:
        return Catalog(root, "pairs", (), (_empty(root, bool(masks)),))
    mask_of, findings = _arranged(root, images, masks, options.unlabeled)
    findings += check_passed_over(root)
    samples = [SourceSample(f.name, (f.path,), mask_of.get(f.path), group=f.group) for f in images]
    if len({f.group for f in images}) == 1 < len(images):
        findings.append(_single_group(root))
    samples, unmatched = with_ignored(_with_groups(samples), ignored)
    if options.mask and not ignored:
        unmatched = [_no_masks(root, options.mask)]
    return Catalog(root, "pairs", tuple(samples), (*findings, *unmatched))


def _arranged(
    root: Path, images: Sequence[_PairFile], masks: Sequence[_PairFile], unlabeled: bool
) -> tuple[dict[Path, Path], list[Finding]]:
    """Return the mask of each image, and findings on what has no other."""
    mask_of, findings = _pair(images, masks)
    ambiguous = {f.file for f in findings}
    lost = [f for f in images if f.path not in mask_of and str(f.path) not in ambiguous]
    findings += [missing_mask(f.path, f.name, "mask of its name", unlabeled) for f in lost]
    layers = [] if masks else sorted(p for p in files_below(root) if is_vector_file(p))
    if layers or len(images) + len(masks) > 2:
        findings = _explained(root, images, masks, layers, mask_of, findings)
    return mask_of, findings


def _list_files(root: Path, ignored: Sequence[Path]) -> tuple[list[_PairFile], list[_PairFile]]:
    """Return the images, with names, and the masks below a folder."""
    left_out = {p.resolve() for p in ignored}
    paths = sorted(p for p in files_below(root) if has_raster_name(p))
    files = [_classify(p, root) for p in paths if p.resolve() not in left_out]
    masks = [f for f in files if f.role == "mask"]
    return _named([f for f in files if f.role == "image"]), masks


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[\W_]+", text.lower()) if w]


def _strip(stem: str) -> str:
    """Drop the last word of a name if it is the kind of file; nothing is left of `mask`."""
    match = re.fullmatch(r"(?:(.+?)(?:[^\w\])}>!?%#'\"]|_)+)?([^\W_]+)", stem)
    kind = match is not None and match[2].lower() in _SUFFIXES
    return (match[1] or "") if match and kind else stem


def _classify(path: Path, root: Path) -> _PairFile:
    """Find the role by the nearest folder that names one, else by the end of the name."""
    folders = list(PurePath(path.relative_to(root)).parts[:-1])
    words = _words(path.stem)
    role = _SUFFIXES.get(words[-1], "image") if words else "image"
    for at in range(len(folders) - 1, -1, -1):
        names = _words(folders[at])
        named = [_FOLDERS[w] for w in names if w in _FOLDERS]
        if named:
            role = named[-1]
            folders[at] = "_".join(w for w in names if w not in _FOLDERS)
            break
    return _PairFile(path, role, _nfc("/".join(filter(None, folders))), _nfc(path.stem))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _named(images: Sequence[_PairFile]) -> list[_PairFile]:
    """Name images by group and stem; of several of one name the later ones get ~2, ~3, ..."""
    taken: set[str] = set()
    out = []
    for image in images:
        name = "/".join(filter(None, (image.group, image.stem)))
        numbered = (name if i == 1 else f"{name}~{i}" for i in count(1))
        free = next(n for n in numbered if n not in taken)
        taken.add(free)
        out.append(replace(image, name=free))
    return out


def _pair(
    images: Sequence[_PairFile], masks: Sequence[_PairFile]
) -> tuple[dict[Path, Path], list[Finding]]:
    """Pair by equal names, then without the mask's suffix, then without both suffixes."""
    mask_of: dict[Path, Path] = {}
    findings: list[Finding] = []
    left = list(masks)
    for image_key, mask_key in ((_exact, _exact), (_exact, _stripped), (_stripped, _stripped)):
        of_key: dict[tuple[str, str], tuple[list[_PairFile], list[_PairFile]]]
        of_key = defaultdict(lambda: ([], []))
        for mask in left:
            of_key[mask_key(mask)][1].append(mask)
        for image in images:
            if image.path not in mask_of and image_key(image) in of_key:
                of_key[image_key(image)][0].append(image)
        candidates = [(i, m) for i, m in of_key.values() if i]
        for found, matches in candidates:
            if len(found) == len(matches) == 1:
                mask_of[found[0].path] = matches[0].path
            else:
                findings += _ambiguous(found, matches)
        settled = {m.path for _, matches in candidates for m in matches}
        left = [m for m in left if m.path not in settled]
    orphans = [orphan_mask(m.path, "The mask has no image of its name.") for m in left]
    return mask_of, findings + orphans


def _exact(file: _PairFile) -> tuple[str, str]:
    return file.group, file.stem


def _stripped(file: _PairFile) -> tuple[str, str]:
    return file.group, _strip(file.stem)


def _ambiguous(images: Sequence[_PairFile], masks: Sequence[_PairFile]) -> Iterator[Finding]:
    names = ", ".join(f.path.name for f in (*images, *masks))
    message = f"{len(images)} image(s) and {len(masks)} mask(s) share one name ({names})."
    fix = "Keep one image and one mask of that name, or leave them out (--skip-bad does)."
    for image in images:
        yield Finding("error", "ambiguous-pair", str(image.path), message, fix, image.name)


def _explained(
    root: Path,
    images: Sequence[_PairFile],
    masks: Sequence[_PairFile],
    layers: Sequence[Path],
    mask_of: Mapping[Path, Path],
    findings: list[Finding],
) -> list[Finding]:
    """Add the patterns that pair more files to findings; where nothing pairs, return one."""
    if "error" not in [f.level for f in findings]:
        notes = [_vector_layer(root, images, layers, "note")] if layers else []
        return [*notes, *findings]
    found = _proposal(root)
    one_an_image = len(layers) > 1 and found is not None and found.has_fields
    if layers and not one_an_image:
        return [_vector_layer(root, images, layers, "error")]
    options = _better_options(found, len(mask_of))
    if mask_of or "ambiguous-pair" in [f.code for f in findings] or not (masks or options):
        return _with_patterns(findings, options)
    return [_no_pairs(root, images, masks or layers, options)]


def _better_options(found: Proposal | None, pairs: int) -> str:
    """Return the options of a proposal that pairs as many files as are paired, else none."""
    return found.options if found and found.pairs >= max(1, pairs) else ""


def _proposal(root: Path) -> Proposal | None:
    files = {p.relative_to(root).as_posix(): p for p in files_below(root)}
    return propose(files, look=lambda name: _look(files[name]))


def _with_patterns(findings: Sequence[Finding], options: str) -> list[Finding]:
    """Add patterns, if there are any, to the mends of errors on what belongs together."""
    codes = ("missing-mask", "orphan-mask", "ambiguous-pair") if options else ()
    told = f"Name the files that belong together: {options}. Or: "
    return [
        replace(f, fix=told + f.fix) if f.code in codes and f.level == "error" else f
        for f in findings
    ]


def _no_pairs(
    root: Path, images: Sequence[_PairFile], labels: Sequence[_PairFile | Path], options: str
) -> Finding:
    """Return the one error on a folder where no image has a mask of its name."""
    files = [f.path if isinstance(f, _PairFile) else f for f in (images[0], *labels[:1])]
    shown = [str(path.relative_to(root)) for path in files]
    vector = bool(labels) and is_vector_file(files[-1])
    what = "vector layers" if vector else "masks"
    have = f" {len(labels)} {what} have no image, such as {shown[-1]}." if labels else ""
    message = f"0 of {len(images)} images found a mask, such as {shown[0]}.{have}"
    fix = options or "--images 'images/{id}.tif' --labels 'masks/{id}_mask.png'"
    told = "Give patterns" if options else "Say with patterns which belong together, such as"
    more = " (and --background NAME, if what lies outside the shapes is a class)" if vector else ""
    return Finding("error", "no-pairs", str(root), message, f"{told}: {fix}{more}.")


def _look(path: Path) -> Content | None:
    """Return bands and number of values of a part of a raster, None if it cannot be read."""
    try:
        with open_raster(path) as dataset, gdal_errors(path):
            shape = min(dataset.height, LOOKED), min(dataset.width, LOOKED)
            count = dataset.count
            if count > 1:
                return Content(count, None)
            values = dataset.read(1, window=((0, shape[0]), (0, shape[1])))
    except DataError:
        return None
    distinct = np.unique(values)
    whole = distinct.dtype.kind in "iu" or bool((distinct == np.round(distinct)).all())
    return Content(count, len(distinct) if whole else None)


def _empty(root: Path, masks: bool) -> Finding:
    message = "The folder has masks but no images." if masks else "The folder has no images."
    kinds = ", ".join(sorted(EXTENSIONS))
    fix = f"Give a folder with images ({kinds}), or name them with --images and --labels."
    arrays = _arrays(root)
    if arrays:
        message = f"{message[:-1]} but arrays, of which none is taken by itself."
        fix = (
            "Name those of images and of labels, with {id} in the place where samples differ, such"
            f" as {_array_patterns(root, arrays)}: {', '.join(arrays[:ARRAYS_NAMED])}."
        )
    return Finding("error", "no-images", str(root), message, fix)


def _arrays(root: Path) -> list[str]:
    """Return the arrays of the first array files below a folder, as they are to be written."""
    files = [p for p in files_below(root) if p.suffix.lower().lstrip(".") in ARRAY_KINDS]
    out: list[str] = []
    for path in sorted(files)[:ARRAYS_NAMED]:
        with suppress(DataError):
            name = ArrayName(path.relative_to(root).as_posix())
            out += [str(replace(name, member=member)) for member in array_names(path)]
    return out


def _array_patterns(root: Path, arrays: Sequence[str]) -> str:
    """Return patterns for arrays: those that pair them, else of those that words tell."""
    found = _proposal(root)
    if found and found.has_fields:
        return found.options
    labels = [a for a in arrays if any(mask_rank(word) for word in words_of(a))]
    images = [a for a in arrays if a not in labels]
    if not (images and labels):
        return f"--images '{_with_field(arrays[0])}'"
    return f"--images '{_with_field(images[0])}' --labels '{_with_field(labels[0])}'"


def _with_field(array: str) -> str:
    """Return a name with a field: for the last number of a file's name, else for the index."""
    name = parse_array(array) or ArrayName(array)
    stem = re.sub(r"\d+(?=\D*$)", "{id}", PurePath(name.file).stem)
    if "{id}" not in stem:
        return f"{array}[{{id}}]"
    return str(name.in_file(PurePath(name.file).with_stem(stem)))


def _vector_layer(
    root: Path, images: Sequence[_PairFile], layers: Sequence[Path], level: Level
) -> Finding:
    """Return the finding on the vector layers of a folder without masks."""
    message = "The folder has this vector layer and no masks."
    if len(layers) > 1:
        message = f"The folder has {len(layers)} vector layers, such as this, and no masks."
    options = [("--images", p) for p in _patterns(root, [f.path for f in images])]
    options += [("--labels", p.relative_to(root).as_posix()) for p in layers[:1]]
    given = " ".join(f"{option} {quote(text)}" for option, text in options)
    rest = " (several are joined, a --labels each)" if len(layers) > 1 else ""
    fix = f"If it holds the labels, give {given}{rest}."
    return Finding(level, "vector-layer", str(layers[0]), message, fix)


def _patterns(root: Path, images: Sequence[Path]) -> list[str]:
    """Return a pattern for each folder and ending of the images; for many, of each ending."""
    kinds = {path.relative_to(root).parent / f"*{path.suffix}" for path in images}
    if len(kinds) > MAX_PATTERNS or any(set(str(kind.parent)) & set("*?[") for kind in kinds):
        kinds = {Path("**", f"*{path.suffix}") for path in images}
    return sorted(kind.as_posix() for kind in kinds)


def _single_group(root: Path) -> Finding:
    message = "All images lie in one folder, so each is a group when the data are split."
    fix = "Put images of one area into one folder each, or scores will be too good."
    return Finding("warning", "single-group", str(root), message, fix)


def _with_groups(samples: Sequence[SourceSample]) -> list[SourceSample]:
    """Set the groups: folders, else the images; None for a single image."""
    if len({s.group for s in samples}) > 1:
        return [replace(s, group=s.group or ".") for s in samples]
    if len(samples) == 1:
        return [replace(samples[0], group=None)]
    short = [PurePath(s.name).name for s in samples]
    names = short if len(set(short)) == len(short) else [s.name for s in samples]
    return [replace(s, group=name) for s, name in zip(samples, names, strict=True)]


def _no_masks(root: Path, patterns: Sequence[str]) -> Finding:
    message = f"No file matches --mask {' '.join(patterns)}."
    return Finding("error", "no-masks", str(root), message, "Check the pattern.")


def with_ignored(
    samples: Sequence[SourceSample], ignored: Sequence[Path]
) -> tuple[list[SourceSample], list[Finding]]:
    """Give each `--mask` file to its image; one of no image, or of several, is an error."""
    ignored_of: dict[str, list[Path]] = defaultdict(list)
    of_stem: dict[str, list[SourceSample]] = defaultdict(list)
    for sample in samples:
        of_stem[_nfc(_strip(sample.images[0].stem))].append(sample)
    findings = []
    for path in ignored:
        owners = list(samples) if len(samples) == 1 else _owners(path, of_stem)
        if len(owners) == 1:
            ignored_of[owners[0].name].append(path)
            continue
        problem = f"The --mask file belongs to {len(owners)} images by the beginning of its name."
        findings.append(orphan_mask(path, problem))
    return [replace(s, ignored=tuple(ignored_of[s.name])) for s in samples], findings


def _owners(path: Path, of_stem: Mapping[str, list[SourceSample]]) -> list[SourceSample]:
    """Return the samples with whose stem the name of a file begins.

    Only those of the longest stem are returned, and of these those with most folders in common.
    """
    heads = {_nfc(path.stem[:length]) for length in range(len(path.stem) + 1)}
    candidates = [
        s
        for head in heads
        for s in of_stem.get(head, ())
        if _begins_with(path.stem, _strip(s.images[0].stem))
    ]
    longest = max((len(s.images[0].stem) for s in candidates), default=0)
    candidates = [s for s in candidates if len(s.images[0].stem) == longest]
    folders = set(path.resolve().parent.parts)
    shared = [len(folders & {*s.images[0].resolve().parent.parts}) for s in candidates]
    return [s for s, n in zip(candidates, shared, strict=True) if n == max(shared)]


def _begins_with(stem: str, name: str) -> bool:
    """Return whether a stem begins with a name and cuts no number or word; any does with none."""
    head, following = _nfc(stem[: len(name)]), _nfc(stem[len(name) : len(name) + 1])
    return head == _nfc(name) and not (name and following.isalnum())
