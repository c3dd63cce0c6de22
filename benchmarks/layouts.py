"""Public datasets as they lie: is each folder of `../shared/data/layouts` prepared rightly?

Usage: python benchmarks/layouts.py [FOLDER ...]

Each folder goes through `swath.prepare` with as few options as possible: none, then one, then a
pair of patterns (which counts as one option) with at most one more. What the dataset should hold is
worked out here from the files, with glob patterns, regular expressions, rasterio and NumPy; no code
of Swath that finds or reads files takes part. A second table says what `swath prepare FOLDER OUT`
prints on the command line, whether it proposes patterns, and whether those prepare the folder. All
goes to benchmarks/reports/layouts.md, unless folders are named.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.features
from numpy.typing import NDArray

import swath
from swath.data.dataset import IGNORE, Dataset, Image
from swath.errors import SwathError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "layouts"
REPORT = ROOT / "benchmarks" / "reports" / "layouts.md"

PACKAGE = Path(swath.__file__).resolve().parents[1]
"""Where the command finds the package that is measured."""

SEEDS = (1, 2, 3, 4)
"""Seeds beside the usual one, so that no split is kept by chance."""

SECONDS = 300
"""A command that takes longer has failed."""

GRAY = 0x010101
"""A gray value times this is the packed color."""

BACKGROUND = "background"

UNLABELED = "needs no pattern, and says so"
"""Verdict where images without a mask are all that is amiss."""

PROPOSED = ("images", "labels", "label-band", "background", "split")
"""Options that may belong to a proposal."""


@dataclass(frozen=True)
class Pair:
    """One sample as it should be.

    Attributes:
        stacks: the stacks of files that count as its image, of which one must be there; in an array
            file, `FILE` with an index or `FILE:NAME` with one.
        labels: the file with its labels, written likewise.
        split: the dataset's own split, or None.
        required: whether the folder is incomplete without it.
    """

    stacks: tuple[tuple[str, ...], ...]
    labels: str
    split: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Layout:
    """One folder, what it holds, and how to ask for it.

    Attributes:
        folder: its name.
        pairs: finds the samples, given the folder.
        images: pattern of the images, with fields.
        labels: pattern of the labels.
        more: at most one option beside the patterns.
        simple: options that may do without patterns, tried first.
        no_data: codes that documentation calls no data, and may be left out with a finding.
        arrays: whether samples are array files, which are told apart by their pixels.
    """

    folder: str
    pairs: Callable[[Path], list[Pair]]
    images: str
    labels: str
    more: dict[str, Any] = field(default_factory=dict)
    simple: tuple[dict[str, Any], ...] = ({},)
    no_data: frozenset[int] = frozenset()
    arrays: bool = False

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Options to try, fewest first."""
        pattern = {"images": self.images, "labels": self.labels}
        return [*self.simple, pattern | self.more]


def found(root: Path, pattern: str, regex: str) -> dict[tuple[str, ...], list[str]]:
    """Return files by the groups of a regular expression, each list in natural order.

    They match a glob pattern, too. The expression must match the whole path below the root; other
    files are left out.
    """
    out: dict[tuple[str, ...], list[str]] = {}
    for path in root.glob(pattern):
        match = re.fullmatch(regex, path.relative_to(root).as_posix())
        if match:
            out.setdefault(match.groups(), []).append(str(path))
    return {key: sorted(files, key=natural) for key, files in sorted(out.items())}


def natural(text: str) -> list[Any]:
    """Return a sort key by which B2 comes before B10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def joined(
    images: dict[tuple[str, ...], list[str]],
    labels: dict[tuple[str, ...], list[str]],
    split: Callable[[tuple[str, ...]], str | None] = lambda key: None,
) -> list[Pair]:
    """Pair images and labels of equal keys; one without the other is a mistake here."""
    assert labels and not labels.keys() - images.keys(), labels.keys() - images.keys()
    assert all(len(files) == 1 for files in labels.values())
    return [Pair((tuple(images[key]),), labels[key][0], split(key)) for key in labels]


def agrifieldnet(root: Path) -> list[Pair]:
    """Twelve single-band files a chip; half of the chips have labels."""
    images = found(root, "source/*/*_10m.tif", r"source/.*_source_(\w{5})/.*_B\w\w_10m\.tif")
    labels = found(root, "train_labels/*.tif", r"train_labels/.*_labels_train_(\w{5})\.tif")
    return joined(images, labels)


def kenya(root: Path) -> list[Pair]:
    """Twelve bands of the first date a tile, or, as well, of both dates; clouds are no band."""
    labels = found(root, "data/*/*_label.tif", r"data/(\d)/\d_label\.tif")
    first = found(root, "data/*/20190606/*_B*.tif", r"data/(\d)/20190606/.*_B\w\w_.*")
    both = found(root, "data/*/*/*_B*.tif", r"data/(\d)/\d{8}/.*_B\w\w_.*")
    clouds = found(root, "data/*/*/*.tif", r"data/(\d)/\d{8}/.*")
    return [
        Pair((tuple(first[key]), tuple(both[key]), tuple(clouds[key])), labels[key][0])
        for key in labels
    ]


def deepglobe(root: Path) -> list[Pair]:
    """Folders `training_data` and `test_data`."""
    images = found(root, "data/*/images/*.jpg", r"data/(\w+)_data/images/(\d+)_sat\.jpg")
    labels = found(root, "data/*/masks/*.png", r"data/(\w+)_data/masks/(\d+)_mask\.png")
    return joined(images, labels, lambda key: {"training": "train", "test": "test"}[key[0]])


def etci(root: Path) -> list[Pair]:
    """VH and VV as pictures of three bands; flood labels, of which `test_internal` has none."""
    images = found(root, "*/*/tiles/v?/*.png", r"(\w+)/(\w+)/tiles/v./(.*)_v[vh]\.png")
    labels = found(root, "*/*/tiles/flood_label/*", r"(\w+)/(\w+)/tiles/flood_label/(.*)\.png")
    return joined(images, labels, lambda key: key[0])


def ftw(root: Path) -> list[Pair]:
    """Two windows in time of four bands each."""
    images = found(root, "*/s2_images/*/*.tif", r"(\w+)/s2_images/window_[ab]/(g_\d)\.tif")
    labels = found(root, "*/label_masks/semantic_3class/*.tif", r"(\w+)/.*3class/(g_\d)\.tif")
    return joined(images, labels)


def geonrw(root: Path) -> list[Pair]:
    """Photographs beside elevation and masks."""
    images = found(root, "*/*_rgb.jp2", r"(\w+)/(\d_\d)_rgb\.jp2")
    return joined(images, found(root, "*/*_seg.tif", r"(\w+)/(\d_\d)_seg\.tif"))


def inria(root: Path) -> list[Pair]:
    """Only training images have masks."""
    images = found(root, "*/*/images/*.tif", r"\w+/(\w+)/images/(\w+)\.tif")
    labels = found(root, "*/*/gt/*.tif", r"\w+/(\w+)/gt/(\w+)\.tif")
    return joined(images, labels, lambda key: key[0])


def landcoverai(root: Path) -> list[Pair]:
    """Image and mask side by side."""
    return joined(found(root, "*.jpg", r"(.*)\.jpg"), found(root, "*_m.png", r"(.*)_m\.png"))


def levircd(root: Path) -> list[Pair]:
    """Two dates; names begin with the split. The sibling in its own folder may come along."""
    images = found(root, "levircd/?/*.png", r"levircd/[AB]/((\w+)_\d+)\.png")
    labels = found(root, "levircd/label/*.png", r"levircd/label/((\w+)_\d+)\.png")
    plus = found(root, "levircdplus/*/*/[AB]/*.png", r"levircdplus/.*/(\w+)/[AB]/(\d+)\.png")
    masks = found(root, "levircdplus/*/*/label/*.png", r"levircdplus/.*/(\w+)/label/(\d+)\.png")
    sibling = joined(plus, masks, lambda key: key[0])
    return joined(images, labels, lambda key: key[1]) + [
        Pair(pair.stacks, pair.labels, pair.split, required=False) for pair in sibling
    ]


def loveda(root: Path) -> list[Pair]:
    """Own split in the first folder; test has no masks."""
    images = found(root, "*/*/images_png/*.png", r"(\w+)/(\w+)/images_png/(\d+)\.png")
    labels = found(root, "*/*/masks_png/*.png", r"(\w+)/(\w+)/masks_png/(\d+)\.png")
    return joined(images, labels, lambda key: key[0].lower())


def oscd(root: Path) -> list[Pair]:
    """Thirteen files a date; the folders of labels name the split."""
    images = found(root, "*Images/*/imgs_?_rect/*.tif", r".*Images/(\w+)/imgs_[12]_rect/B\w\w\.tif")
    train = found(root, "*Train Labels/*/cm/cm.png", r".*Train Labels/(\w+)/cm/cm\.png")
    test = found(root, "*Test Labels/*/cm/cm.png", r".*Test Labels/(\w+)/cm/cm\.png")
    return joined(images, train | test, lambda key: "train" if key in train else "test")


def pastis(root: Path) -> list[Pair]:
    """Series of different length, of which the first date is taken; the first layer of labels."""
    images = found(root, "*/DATA_S2/*.npy", r".*/S2_(\d+)\.npy")
    labels = found(root, "*/ANNOTATIONS/*.npy", r".*/TARGET_(\d+)\.npy")
    return [Pair(((f"{images[k][0]}[0]",),), f"{labels[k][0]}[0]") for k in labels]


def potsdam(root: Path) -> list[Pair]:
    """Four bands, of which the fourth, near infrared, says it is alpha."""
    images = found(root, "4_Ortho_RGBIR/*.tif", r"4_Ortho_RGBIR/(\w+)_RGBIR\.tif")
    return joined(images, found(root, "*_label.tif", r"(\w+)_label\.tif"))


def clouds(root: Path) -> list[Pair]:
    """Four files a chip; `aaaa` is in training and in test."""
    images = found(root, "*/*_features/*/*.tif", r"\w+/(\w+)_features/(\w+)/B\d\d\.tif")
    labels = found(root, "*/*_labels/*.tif", r"\w+/(\w+)_labels/(\w+)\.tif")
    return joined(images, labels, lambda key: key[0])


def seasonet(root: Path) -> list[Pair]:
    """Four files of three resolutions a sample; the lists of its split hold numbers, no names."""
    images = found(
        root, "*/grid?/*/*m*.tif", r"(\w+)/(grid\d)/(\w+)/\3_(?:10m_RGB|10m_IR|20m|60m).tif"
    )
    labels = found(root, "*/grid?/*/*_labels.tif", r"(\w+)/(grid\d)/(\w+)/\3_labels\.tif")
    fine = {key: [f for f in files if "_10m_" in f] for key, files in images.items()}
    color = {key: [f for f in files if "_RGB" in f] for key, files in images.items()}
    return [Pair((tuple(images[k]), tuple(fine[k]), tuple(color[k])), labels[k][0]) for k in labels]


def sen12ms(root: Path) -> list[Pair]:
    """Radar and optical images, or optical alone; both lists of its split name the same files."""
    name = r"(\w+)/{0}_(\d)/\1_{0}_\2_(p\d)\.tif"
    both = found(root, "*/s?_?/*.tif", name.format("s[12]"))
    optical = found(root, "*/s2_?/*.tif", name.format("s2"))
    labels = found(root, "*/lc_?/*.tif", name.format("lc"))
    return [Pair((tuple(both[k]), tuple(optical[k])), labels[k][0]) for k in labels]


def spacenet(root: Path) -> list[Pair]:
    """Color images with a file of buildings each; what is no building is background."""
    images = found(root, "*/train/train/*/PS-RGB/*.tif", r".*_PS-RGB_(\w+)\.tif")
    return joined(
        images, found(root, "*/train/train/*/*/*.geojson", r".*_Buildings_(\w+)\.geojson")
    )


def zuericrop(root: Path) -> list[Pair]:
    """One file with two samples of one date each, and their labels."""
    file = root / "ZueriCrop.hdf5"
    return [Pair(((f"{file}:data[{i}]",),), f"{file}:gt[{i}]") for i in range(2)]


LAYOUTS = (
    Layout(
        "agrifieldnet",
        agrifieldnet,
        "source/*_source_{id}/*_B??_10m.tif",
        "train_labels/*_labels_train_{id}.tif",
        no_data=frozenset({0}),
    ),
    Layout(
        "cv4a_kenya_crop_type", kenya, "data/{id}/20190606/*_B??_*.tif", "data/{id}/*_label.tif"
    ),
    Layout(
        "deepglobelandcover",
        deepglobe,
        "data/{split}_data/images/{id}_sat.jpg",
        "data/{split}_data/masks/{id}_mask.png",
    ),
    Layout(
        "etci2021",
        etci,
        "{split}/{id}/tiles/v?/{tile}_v?.png",
        "{split}/{id}/tiles/flood_label/{tile}.png",
    ),
    Layout(
        "ftw",
        ftw,
        "{country}/s2_images/window_?/{id}.tif",
        "{country}/label_masks/semantic_3class/{id}.tif",
        no_data=frozenset({0}),
    ),
    Layout("geonrw", geonrw, "{city}/{id}_rgb.jp2", "{city}/{id}_seg.tif"),
    Layout(
        "inria",
        inria,
        "AerialImageDataset/{split}/images/{id}.tif",
        "AerialImageDataset/{split}/gt/{id}.tif",
        simple=({}, {"unlabeled": True}),
    ),
    Layout("landcoverai_out", landcoverai, "{id}.jpg", "{id}_m.png"),
    Layout("levircd", levircd, "levircd/?/{split}_{id}.png", "levircd/label/{split}_{id}.png"),
    Layout(
        "loveda",
        loveda,
        "{split}/{scene}/images_png/{id}.png",
        "{split}/{scene}/masks_png/{id}.png",
        simple=({}, {"unlabeled": True}),
        no_data=frozenset({0}),
    ),
    Layout("oscd", oscd, "*Images/{id}/imgs_?_rect/B??.tif", "*{split} Labels/{id}/cm/cm.png"),
    Layout(
        "pastis",
        pastis,
        "PASTIS-R/DATA_S2/S2_{id}.npy[0]",
        "PASTIS-R/ANNOTATIONS/TARGET_{id}.npy[0]",
        arrays=True,
    ),
    Layout("potsdam", potsdam, "4_Ortho_RGBIR/{id}_RGBIR.tif", "{id}_label.tif"),
    Layout(
        "ref_cloud_cover_detection_challenge_v1",
        clouds,
        "*/{split}_features/{id}/B??.tif",
        "*/{split}_labels/{id}.tif",
    ),
    Layout(
        "seasonet",
        seasonet,
        "{season}/{grid}/{id}/*_10m_*.tif",
        "{season}/{grid}/{id}/*_labels.tif",
    ),
    Layout(
        "sen12ms",
        sen12ms,
        "{roi}/s?_{n}/*_s?_{n}_{id}.tif",
        "{roi}/lc_{n}/*_lc_{n}_{id}.tif",
        more={"label_band": 1},
    ),
    Layout(
        "sn6",
        spacenet,
        "*/train/train/*/PS-RGB/*_PS-RGB_{id}.tif",
        "*/train/train/*/geojson_buildings/*_Buildings_{id}.geojson",
        more={"background": BACKGROUND},
    ),
    Layout(
        "zuericrop",
        zuericrop,
        "ZueriCrop.hdf5:/data[{id}]",
        "ZueriCrop.hdf5:/gt[{id}]",
        arrays=True,
    ),
)


def read(source: str) -> NDArray[Any]:
    """Return the bands (bands, rows, columns) of a file, or of a part of an array file."""
    match = re.fullmatch(r"(.+?\.\w+)(?::(\w+))?\[(\d+)\]", source)
    if match is None:
        with rasterio.open(source) as raster:
            bands: NDArray[Any] = raster.read()
        return bands
    path, name, index = match[1], match[2], int(match[3])
    if name is None:
        array = np.load(path)[index]
        return np.asarray(array[None] if array.ndim == 2 else array)
    with rasterio.open(f"netcdf:{path}:{name}") as raster:  # stores the last row first
        rows = raster.read()[:, ::-1]
    per_sample = rows.reshape(2, 24, 24, -1)  # (sample, row, column, band), one date
    return np.asarray(per_sample[index].transpose(2, 0, 1))


def read_labels(pair: Pair) -> NDArray[np.int64]:
    """Return codes or packed colors (rows, columns) of a label file; of four layers the first."""
    if pair.labels.endswith(".geojson"):
        return _buildings(pair)
    bands = read(pair.labels).astype(np.int64)
    if len(bands) == 3:
        return np.asarray(bands[0] << 16 | bands[1] << 8 | bands[2])
    return np.asarray(bands[0])


def _buildings(pair: Pair) -> NDArray[np.int64]:
    """Return 1 where the center of a pixel is in a polygon, else 0."""
    shapes = json.loads(Path(pair.labels).read_text(encoding="utf-8"))["features"]
    with rasterio.open(pair.stacks[0][0]) as raster:
        return rasterio.features.rasterize(
            [(shape["geometry"], 1) for shape in shapes],
            out_shape=raster.shape,
            transform=raster.transform,
            dtype="uint8",
        ).astype(np.int64)


@dataclass
class Outcome:
    """How a prepared dataset compares with the files.

    Attributes:
        expected: required samples.
        found: labeled images of the dataset.
        pixels: images whose pixels are equal.
        labels: images whose labels are equal.
        wrong: labeled images that are no stack that should be, or have other labels than theirs.
        split: whether the dataset's own split was kept; None where it has none.
        missing: required samples that are not there.
        notes: what else there is to say.
    """

    expected: int
    found: int = 0
    pixels: int = 0
    labels: int = 0
    wrong: int = 0
    split: bool | None = None
    missing: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether all is as it should be."""
        whole = not self.missing and not self.wrong and self.split is not False
        return whole and self.found == self.pixels == self.labels > 0


def compare(folder: Path, layout: Layout, pairs: Sequence[Pair]) -> Outcome:
    """Compare a prepared dataset with the files."""
    dataset = Dataset(folder)
    manifest = dataset.manifest
    path = folder / "findings.json"
    findings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    outcome = Outcome(sum(pair.required for pair in pairs), missing=len(pairs))
    splits: dict[int, set[str]] = {}
    for sample in manifest.samples:
        if sample.split != "unlabeled":
            splits.setdefault(sample.image, set()).add(sample.split)
    met: dict[int, set[str]] = {}
    for at in sorted(splits):
        image = manifest.images[at]
        outcome.found += 1
        which = _pair_of(folder, image, layout, pairs)
        if which is None or which in met:
            outcome.wrong += 1
            outcome.notes.append(f"no such sample: {_shown(image)}")
            continue
        met[which] = splits[at]
        pair = pairs[which]
        outcome.pixels += _same_pixels(folder, image, pair, outcome)
        same = _same_labels(folder, image, dataset, pair, layout, findings, outcome)
        outcome.labels += same
        outcome.wrong += not same
    outcome.missing = sum(p.required for i, p in enumerate(pairs) if i not in met)
    outcome.split = _own_split_kept([(pairs[i].split, s) for i, s in met.items()], outcome)
    outcome.notes = [
        text if count == 1 else f"{text} ({count}x)"
        for text, count in Counter(outcome.notes).items()
    ]
    return outcome


def _shown(image: Image) -> str:
    return ", ".join(Path(source).name for source in image.sources[:2]) + (
        f", ... ({len(image.sources)} files)" if len(image.sources) > 2 else ""
    )


def _pair_of(folder: Path, image: Image, layout: Layout, pairs: Sequence[Pair]) -> int | None:
    """Return the place of the sample that an image is, by its files or, of arrays, pixels."""
    if layout.arrays:
        stored = np.load(folder / image.pixels)
        same = (i for i, p in enumerate(pairs) if np.array_equal(_stack(p.stacks[0])[0], stored))
        return next(same, None)
    files = tuple(str(Path(source).resolve()) for source in image.sources)
    resolved = ([tuple(str(Path(f).resolve()) for f in s) for s in pair.stacks] for pair in pairs)
    return next((i for i, stacks in enumerate(resolved) if files in stacks), None)


def _stack(files: Sequence[str]) -> tuple[NDArray[Any], list[bool]]:
    """Return stacked bands (rows, columns, bands) on the finest grid, and which were on it.

    Bands of a coarser file are left 0.
    """
    arrays = [read(file) for file in files]
    rows, cols = max(a.shape[1:] for a in arrays)
    fine = [a.shape[1:] == (rows, cols) for a in arrays]
    blank = [
        a if f else np.zeros((len(a), rows, cols), a.dtype)
        for a, f in zip(arrays, fine, strict=True)
    ]
    exact = [f for a, f in zip(arrays, fine, strict=True) for _ in a]
    return np.concatenate(blank).transpose(1, 2, 0), exact


def _same_pixels(folder: Path, image: Image, pair: Pair, outcome: Outcome) -> bool:
    files = [str(Path(s).resolve()) for s in image.sources]
    stack = next(
        (s for s in pair.stacks if [str(Path(f).resolve()) for f in s] == files), pair.stacks[0]
    )
    if stack != pair.stacks[0]:
        outcome.notes.append(f"{len(stack)} files an image, of {len(pair.stacks[0])}")
    wanted, exact = _stack(stack)
    stored = np.load(folder / image.pixels, mmap_mode="r")
    if image.valid is not None:
        share = float(np.load(folder / image.valid).mean())
        outcome.notes.append(f"{1 - share:.0%} of the pixels of an image are taken for nodata")
    if wanted.shape != stored.shape:
        outcome.notes.append(f"stored {stored.shape}, not {wanted.shape}")
        return False
    return image.valid is None and np.array_equal(wanted[..., exact], stored[..., exact])


def _same_labels(
    folder: Path,
    image: Image,
    dataset: Dataset,
    pair: Pair,
    layout: Layout,
    findings: Sequence[dict[str, str]],
    outcome: Outcome,
) -> bool:
    stored = np.load(folder / str(image.labels))
    wanted = read_labels(pair)
    if stored.shape != wanted.shape:
        outcome.notes.append(f"labels {stored.shape}, not {wanted.shape}")
        return False
    index = _index_of(dataset, pair, wanted)
    lost = [code for code in index if index[code] == IGNORE]
    for code in lost:
        said = code in layout.no_data and _documented(code, findings)
        outcome.notes.append(f"{_code(code)} is left out, {'as' if said else 'not'} documented")
    indices = np.vectorize(index.get, otypes=[np.int64])(wanted)
    told_apart = len({index[c] for c in index if c not in lost}) == len(index) - len(lost)
    if not np.array_equal(indices, stored) and not lost:
        share = float((indices != stored).mean())
        outcome.notes.append(f"{share:.0%} of the labels of an image differ")
    documented = all(c in layout.no_data and _documented(c, findings) for c in lost)
    return told_apart and documented and np.array_equal(indices, stored)


def _code(code: int) -> str:
    return f"code {code}" if code < 256 else f"color #{code:06X}"


def _index_of(dataset: Dataset, pair: Pair, wanted: NDArray[np.int64]) -> dict[int, int]:
    """Return the index that the dataset has for each value of a mask, or `IGNORE`."""
    legend = dataset.manifest.legend
    trained = [c for c in legend.classes if not c.ignore]
    values = [int(v) for v in np.unique(wanted)]
    if pair.labels.endswith(".geojson"):
        names = [c.name for c in trained]
        if BACKGROUND not in names or len(names) != 2:
            return dict.fromkeys(values, IGNORE)
        empty = names.index(BACKGROUND)
        return {0: empty, 1: 1 - empty}
    of = {code: i for i, c in enumerate(trained) for code in c.codes}
    out = {}
    for value in values:
        gray = value % GRAY == 0 and max(values) > 255
        if legend.kind == "color":
            out[value] = of.get(value if max(values) > 255 else value * GRAY, IGNORE)
        else:
            out[value] = of.get(value // GRAY if gray else value, IGNORE)
    return out


def _documented(code: int, findings: Sequence[dict[str, str]]) -> bool:
    """Return whether a finding says that a code is left out."""
    told = re.compile(rf"\b{code}\b")
    about = re.compile("nodata|no data|ignore|unlabel|without label|left out|taken out", re.I)
    return any(told.search(f["message"]) and about.search(f["message"]) for f in findings)


def _own_split_kept(splits: Sequence[tuple[str | None, set[str]]], outcome: Outcome) -> bool | None:
    """Return whether every sample is in its own split.

    Training samples may serve for a split of which the dataset labels nothing.
    """
    own = {split for split, _ in splits if split}
    if not own:
        return None
    spare = {"train", "val", "test"} - own
    bad = [
        (split, got)
        for split, got in splits
        if split and not got <= ({split} | spare if split == "train" else {split})
    ]
    dealt = sum(bool(got & spare) for split, got in splits if split == "train")
    if dealt:
        outcome.notes.append(f"{dealt} training samples serve as {', '.join(sorted(spare))}")
    if bad:
        outcome.notes.append(f"{len(bad)} samples are in another split than their own")
    return not bad


def prepare(layout: Layout, pairs: Sequence[Pair], options: dict[str, Any]) -> Outcome:
    """Prepare a folder with `swath.prepare`, and compare.

    Where the dataset has a split of its own, other seeds have to keep it as well.
    """
    outcome = prepare_once(layout, pairs, options)
    for seed in SEEDS if outcome.right and outcome.split is not None else ():
        outcome = prepare_once(layout, pairs, options | {"seed": seed})
        if not outcome.right:
            break
    return outcome


def prepare_once(layout: Layout, pairs: Sequence[Pair], options: dict[str, Any]) -> Outcome:
    """Prepare a folder with one seed, and compare."""
    with tempfile.TemporaryDirectory() as work:
        target = Path(work) / "dataset"
        try:
            swath.prepare(DATA / layout.folder, target, **options)
        except SwathError as error:
            text = str(error).replace(str(DATA) + "/", "")
            expected = sum(pair.required for pair in pairs)
            return Outcome(expected, missing=expected, notes=[f"refused: {text}"])
        except Exception as error:  # noqa: BLE001 - a crash is a result, too
            expected = sum(pair.required for pair in pairs)
            return Outcome(expected, missing=expected, notes=[f"crashed: {error!r}"])
        return compare(target, layout, pairs)


def command(layout: Layout, pairs: Sequence[Pair], words: Sequence[str]) -> tuple[str, Outcome]:
    """Prepare a folder on the command line; return what was printed, and the comparison."""
    with tempfile.TemporaryDirectory() as work:
        target, source = Path(work) / "dataset", DATA / layout.folder
        line = [sys.executable, "-m", "swath", "prepare", str(source), str(target), *words]
        try:
            done = subprocess.run(
                line,
                cwd=work,
                env={**os.environ, "COLUMNS": "10000", "NO_COLOR": "1", "PYTHONPATH": str(PACKAGE)},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no end after {SECONDS} s", Outcome(len(pairs), missing=len(pairs))
        text = (done.stdout + done.stderr).replace(f"{DATA}/", "")
        if done.returncode or not target.is_dir():
            expected = sum(pair.required for pair in pairs)
            return text, Outcome(expected, missing=expected)
        return text, compare(target, layout, pairs)


def proposal(text: str) -> list[str]:
    """Return the words of the first `--images` and `--labels` that a text proposes, if any."""
    value = r"""'[^']*'|"[^"]*"|[^\s`'"]+"""
    option = rf"--(?:{'|'.join(PROPOSED)})[ =]+(?:{value})"
    for match in re.finditer(rf"{option}(?:[\s\\]+{option})*", text):
        words = shlex.split(match[0].replace("\\\n", " "))
        words[-1] = words[-1] if match[0].endswith(("'", '"')) else words[-1].rstrip(".,;:)")
        if {"--images", "--labels"} <= {*words} and not {"PATTERN", "FILE"} & {*words}:
            return words
    return []


def plain(layout: Layout, pairs: Sequence[Pair], options: dict[str, Any]) -> tuple[str, str, str]:
    """Run the command without options; return a verdict, the proposal and the error.

    `options` are those that it took to prepare the folder.
    """
    text, outcome = command(layout, pairs, ())
    lines = [line for line in text.splitlines() if line.startswith("Error")] or [""]
    if outcome.right and not options:
        return "right as it lies", "", ""
    words = proposal(text)
    if not words and options == {"unlabeled": True} and "--unlabeled" in text:
        return UNLABELED, "--unlabeled", lines[0]
    if not words:
        verdict = "prepared, but wrong" if outcome.found else "nothing proposed"
        return verdict, "", lines[0]
    for option, value in layout.more.items():
        flag = "--" + option.replace("_", "-")
        if flag not in words:
            words += [flag, str(value)]
    # A split in names is beyond what a proposal has to see.
    lenient = [Pair(p.stacks, p.labels, None, p.required) for p in pairs]
    checked = lenient if layout.folder == "levircd" else pairs
    _, after = command(layout, checked, words)
    for seed in SEEDS[:2] if after.right and after.split is not None else ():
        if after.right:
            _, after = command(layout, checked, [*words, "--seed", str(seed)])
    return "proposal is right" if after.right else "proposal is wrong", shlex.join(words), lines[0]


def best(layout: Layout, pairs: Sequence[Pair]) -> tuple[dict[str, Any], Outcome]:
    """Try options, fewest first, and return the first that are right, else the last."""
    for options in layout.attempts:
        outcome = prepare(layout, pairs, options)
        if outcome.right:
            break
    return options, outcome


def _options(options: dict[str, Any]) -> str:
    words = []
    for name, value in options.items():
        words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return f"`{shlex.join(words)}`" if words else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def report(layouts: Iterable[Layout]) -> str:
    """Run folders and return the two tables."""
    rows = [
        "| folder | options used | samples expected/found | pixels equal | labels equal "
        "| own split honored | wrong pairs | right | remarks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    second = [
        "| folder | plain command | proposed | error |",
        "|---|---|---|---|",
    ]
    right = wrong = done = 0
    verdicts: Counter[str] = Counter()
    for layout in layouts:
        pairs = layout.pairs(DATA / layout.folder)
        options, outcome = best(layout, pairs)
        done += 1
        right += outcome.right
        wrong += outcome.wrong
        split = {None: "none", True: "yes", False: "no"}[outcome.split]
        cells = (
            layout.folder,
            _options(options),
            f"{outcome.expected}/{outcome.found}",
            f"{outcome.pixels}",
            f"{outcome.labels}",
            "-" if not outcome.found else split,
            f"{outcome.wrong}",
            "yes" if outcome.right else "**no**",
            "; ".join(outcome.notes[:4]),
        )
        rows.append("| " + " | ".join(map(_cell, cells)) + " |")
        verdict, proposed, error = plain(layout, pairs, options)
        if verdict != "right as it lies":
            verdicts[verdict] += not layout.arrays and verdict != UNLABELED
            shown = (verdict, f"`{proposed}`" if proposed else "", error)
            second.append("| " + " | ".join(map(_cell, (layout.folder, *shown))) + " |")
        sys.stdout.write(f"{rows[-1]}\n    plain command: {verdict}\n")
        sys.stdout.flush()
    needed = sum(verdicts.values())
    return "\n".join(
        [
            "# Folders of public datasets",
            "",
            "Made by `python benchmarks/layouts.py`; what is compared, and how, is said there. A"
            " pair of patterns counts as one option.",
            "",
            f"Right as a whole: {right} of {done}. Wrong pairs: {wrong}.",
            "",
            *rows,
            "",
            "## What the plain command proposes",
            "",
            "`swath prepare FOLDER OUT`, where it does not prepare the folder by itself. Arrays"
            f" aside, {verdicts['proposal is right']} of {needed} folders that need a pattern get a"
            " proposal that is right.",
            "",
            *second,
            "",
        ]
    )


def main(names: Sequence[str]) -> None:
    """Run the folders that are named, or all, and write the report of all."""
    if not DATA.is_dir():
        sys.exit(f"The folders of public datasets are not here: {DATA} is absent.")
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    unknown = sorted(set(names) - {layout.folder for layout in LAYOUTS})
    if unknown:
        sys.exit(f"No such folder: {', '.join(unknown)}.")
    text = report(layout for layout in LAYOUTS if not names or layout.folder in names)
    if not names:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
