"""Measuring what a dataset stores: labeled pixels of a window, and statistics of bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Band, Sample, StoredImage
from swath.data.moments import Moments
from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Window
from swath.legend import IGNORE, Legend
from swath.progress import track


def count_labels(image: StoredImage, window: Window, legend: Legend) -> list[int]:
    """Count labeled pixels by class index."""
    total = np.zeros(256, np.int64)
    for piece in pieces(window):
        total += np.bincount(image.read_labels(piece).ravel(), minlength=256)
    counts: list[int] = total[: len(legend.trained)].tolist()
    return counts


def pieces(window: Window) -> Iterator[Window]:
    """Yield parts of a window that are small enough to be worked on in little memory."""
    for part in chunks(GeoBox(window.height, window.width)):
        yield Window(window.row + part.row, window.col + part.col, part.height, part.width)


def erase_labels(path: Path, window: Window) -> None:
    """Take the labels of a window out of a stored array."""
    labels = np.load(path, mmap_mode="r+")
    labels[window.slices] = IGNORE
    labels.flush()


def band_statistics(
    samples: Sequence[Sample], images: Sequence[StoredImage], names: Sequence[str]
) -> list[Band]:
    """Measure the bands of all valid pixels of samples.

    Raises:
        DataError: none is valid.
    """
    moments = Moments(len(names))
    for sample in track(samples, "measuring", len(samples)):
        for piece in pieces(sample.window):
            values, valid = images[sample.image].read(piece)
            moments.add(values.reshape(len(values), -1) if valid.all() else values[:, valid])
    if not moments.count:
        raise DataError(
            "the training split has no valid pixel", file=images[0].name, fix="Choose other groups"
        )
    return [
        Band(name=name, mean=mean, std=std, min=low, max=high)
        for name, mean, std, low, high in zip(
            names, moments.mean, moments.std, moments.low, moments.high, strict=True
        )
    ]


def totals(samples: Sequence[Sample], n: int) -> NDArray[np.int64]:
    """Add up the labeled pixels of samples by class index, shape (n,)."""
    return (
        np.sum([s.counts for s in samples], axis=0, dtype=np.int64)
        if samples
        else np.zeros(n, np.int64)
    )
