"""Folds for cross-validation: the groups of a dataset in parts of about equal size."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swath.data.dataset import HEIGHTS, MANIFEST, SPLITS, Dataset, Manifest, StoredImage
from swath.data.splits import Area
from swath.data.statistics import band_statistics, count_labels
from swath.data.store import erase_buffers
from swath.errors import DataError
from swath.types import PathLike, SplitName


def make_folds(dataset: Dataset, k: int, seed: int) -> list[list[str]]:
    """Divide the labeled groups into k folds of about equally many labeled pixels.

    Groups are taken from the largest to the smallest (equal ones in an order drawn by seed), each
    into the smallest fold.

    Raises:
        DataError: there are fewer groups than folds.
    """
    sizes = Counter[str]()
    for sample in dataset.manifest.samples:
        sizes[sample.group] += sum(sample.counts)
    names = sorted(+sizes)  # those with labels
    if len(names) < k:
        message = f"The dataset has {len(names)} labeled group(s), too few for {k} folds"
        fix = "Give fewer --folds"
        raise DataError(message, code="too-few-groups", file=dataset.folder, fix=fix)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    folds: list[list[str]] = [[] for _ in range(k)]
    for name in sorted(shuffled, key=lambda name: -sizes[name]):
        weights = [sum(sizes[g] for g in fold) for fold in folds]
        folds[weights.index(min(weights))].append(name)
    return [sorted(fold) for fold in folds]


def resplit(dataset: Dataset, folder: Path, test: Sequence[str]) -> Manifest:
    """Make a dataset of the same images with some groups for testing and all others for training.

    Pixels are linked, labels copied where neighbors of the test groups lose theirs (see
    `splits.buffered`), and band statistics are those of the new training split.

    Args:
        dataset: the dataset.
        folder: the new folder; one of that name is removed.
        test: names of groups.

    Raises:
        DataError: a stored array is lost.
    """
    manifest = dataset.manifest
    labeled = [s for s in manifest.samples if s.split in SPLITS]
    split_of: dict[str, SplitName] = {s.group: "train" for s in labeled}
    split_of |= {group: "test" for group in test if group in split_of}
    divided = _divided_images(manifest)
    _link_arrays(dataset, folder, divided)
    sides = [min(s.window.height, s.window.width) for s in labeled if s.image in divided]
    buffer = int(np.median(sides)) // 16 if sides else 0
    areas = [Area(s.name, s.image, s.window, s.group) for s in labeled]
    erase_buffers(folder, manifest.images, areas, split_of, buffer)
    images = [StoredImage(folder, image) for image in manifest.images]
    samples = []
    for s in labeled:
        counts = count_labels(images[s.image], s.window, manifest.legend)
        samples.append(s.model_copy(update={"split": split_of[s.group], "counts": counts}))
    train = [s for s in samples if s.split == "train"]
    bands = band_statistics(train, images, [b.name for b in manifest.bands])
    changed = manifest.model_copy(update={"samples": samples, "bands": bands})
    (folder / MANIFEST).write_text(changed.model_dump_json(indent=1), encoding="utf-8")
    return changed


def _divided_images(manifest: Manifest) -> set[int]:
    """Return the positions of the images that have areas of several groups."""
    groups_of: dict[int, set[str]] = {}
    for sample in manifest.samples:
        if sample.split in SPLITS:
            groups_of.setdefault(sample.image, set()).add(sample.group)
    return {image for image, groups in groups_of.items() if len(groups) > 1}


def _link_arrays(dataset: Dataset, folder: Path, copied: set[int]) -> None:
    """Link all stored arrays into a new folder, but copy the labels of some images."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "labels").mkdir(parents=True)
    for name in ("pixels", "valid", HEIGHTS):
        if (dataset.folder / name).is_dir():
            _link((dataset.folder / name).resolve(), folder / name)
    for number, image in enumerate(dataset.manifest.images):
        if image.labels is None:
            continue
        if number in copied:
            shutil.copyfile(dataset.folder / image.labels, folder / image.labels)
        else:
            _link((dataset.folder / image.labels).resolve(), folder / image.labels)


def _link(source: Path, target: Path) -> None:
    """Link a file or a folder, or copy it where that is not allowed, as on Windows."""
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link_or_copy)
        else:
            _link_or_copy(source, target)


def _link_or_copy(source: PathLike, target: PathLike) -> None:
    """Give a file a second name, or copy it to another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
