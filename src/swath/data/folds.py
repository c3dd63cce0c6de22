"""Folds: the groups of a dataset in parts of like size, each of which judges in turn what the others taught."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swath.data.dataset import HEIGHTS, MANIFEST, SPLITS, Dataset, Manifest, StoredImage
from swath.data.splits import Area, buffered
from swath.data.statistics import band_statistics, count_labels, erase_labels
from swath.errors import DataError
from swath.types import SplitName


def make_folds(dataset: Dataset, k: int, seed: int) -> list[list[str]]:
    """Divide the labeled groups into k folds of about equally many labeled pixels.

    Groups are taken from the largest to the smallest (equal ones in an order drawn by seed), each
    into the smallest fold.

    Raises:
        DataError: there are fewer groups than folds.
    """
    sizes: dict[str, int] = {}
    for sample in dataset.manifest.samples:
        labeled = sum(sample.counts)
        if labeled:
            sizes[sample.group] = sizes.get(sample.group, 0) + labeled
    if len(sizes) < k:
        raise DataError(
            f"it has {len(sizes)} labeled group(s), too few for {k} folds",
            file=dataset.folder,
            fix="Give fewer --folds",
        )
    names = sorted(sizes)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    folds: list[list[str]] = [[] for _ in range(k)]
    for name in sorted(shuffled, key=lambda name: -sizes[name]):
        weights = [sum(sizes[g] for g in fold) for fold in folds]
        folds[weights.index(min(weights))].append(name)
    return [sorted(fold) for fold in folds]


def resplit(dataset: Dataset, folder: Path, test: Sequence[str]) -> Manifest:
    """Make a dataset of the same images with another split: some groups for testing, and all others for training.

    Pixels are linked, labels copied where neighbors of the test groups must lose theirs (see
    `splits.buffered`), and statistics measured anew, so that nothing of the test groups is known to
    the training.

    Args:
        dataset: the dataset.
        folder: to make; what was there goes.
        test: names of groups.

    Raises:
        DataError: a stored array is lost.
    """
    manifest = dataset.manifest
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "labels").mkdir(parents=True)
    for name in ("pixels", "valid", HEIGHTS):
        if (dataset.folder / name).is_dir():
            (folder / name).symlink_to((dataset.folder / name).resolve(), target_is_directory=True)
    labeled = [s for s in manifest.samples if s.split in SPLITS]
    split_of: dict[str, SplitName] = {
        s.group: "test" if s.group in set(test) else "train" for s in labeled
    }
    spots = [Area(s.name, s.image, s.window, s.group) for s in labeled]
    several = {
        s.image for s in labeled if len({o.group for o in labeled if o.image == s.image}) > 1
    }
    for number, image in enumerate(manifest.images):
        if image.labels is None:
            continue
        if number in several:
            shutil.copyfile(dataset.folder / image.labels, folder / image.labels)
        else:
            (folder / image.labels).symlink_to((dataset.folder / image.labels).resolve())
    sides = [min(s.window.height, s.window.width) for s in labeled if s.image in several]
    for place, window in buffered(spots, split_of, int(np.median(sides)) // 16 if sides else 0):
        erase_labels(folder / str(manifest.images[place.image].labels), window)
    images = [StoredImage(folder, image) for image in manifest.images]
    samples = [
        s.model_copy(
            update={
                "split": split_of[s.group],
                "counts": count_labels(images[s.image], s.window, manifest.legend),
            }
        )
        for s in labeled
    ]
    bands = band_statistics(
        [s for s in samples if s.split == "train"], images, [b.name for b in manifest.bands]
    )
    changed = manifest.model_copy(update={"samples": samples, "bands": bands})
    (folder / MANIFEST).write_text(changed.model_dump_json(indent=1), encoding="utf-8")
    return changed
