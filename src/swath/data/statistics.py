"""Statistics of stored images: labeled pixels of a window, and mean and range of bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import SPLITS, Band, Manifest, Sample, StoredImage
from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Window
from swath.legend import Legend
from swath.progress import track
from swath.types import PathLike


class BandMoments:
    """Mean, standard deviation and range of bands, in float64 and one pass.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".

    Attributes:
        count: number of values so far, the same for all bands.
        mean: shape (bands,).
        low: smallest value, shape (bands,); infinite before the first.
        high: largest value, shape (bands,).
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean = np.zeros(bands)
        self.low = np.full(bands, np.inf)
        self.high = np.full(bands, -np.inf)
        self._square = np.zeros(bands)

    def add(self, values: NDArray[Any]) -> None:
        """Add values (bands, n)."""
        n = values.shape[1]
        if not n:
            return
        values = np.ascontiguousarray(values)
        centered = values.astype(np.float64)
        mean = centered.mean(axis=1)
        centered -= mean[:, None]
        delta = mean - self.mean
        total = self.count + n
        squares = np.einsum("bn,bn->b", centered, centered)
        self._square += squares + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.count = total
        self.low = np.minimum(self.low, values.min(axis=1))
        self.high = np.maximum(self.high, values.max(axis=1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the population, shape (bands,); 1 for a constant band."""
        std = np.sqrt(self._square / max(self.count, 1))
        return np.where(std > 0, std, 1.0)


def count_labels(image: StoredImage, window: Window, legend: Legend) -> list[int]:
    """Count labeled pixels of a window by class index."""
    total = np.zeros(256, np.int64)
    for part in window_chunks(window):
        total += np.bincount(image.read_labels(part).ravel(), minlength=256)
    counts: list[int] = total[: len(legend.trained)].tolist()
    return counts


def window_chunks(window: Window) -> Iterator[Window]:
    """Yield parts that cover a window, each small enough for memory."""
    for part in chunks(GeoBox(window.height, window.width)):
        yield Window(window.row + part.row, window.col + part.col, part.height, part.width)


def check_class_count(manifest: Manifest, file: PathLike) -> None:
    """Check that the labels of a dataset hold at least two classes, in any split.

    Raises:
        DataError: they hold one only, so that any prediction of it is perfect.
    """
    names = manifest.legend.names
    counts = totals([s for split in SPLITS for s in manifest.of(split)], len(names))
    held = [name for name, n in zip(names, counts.tolist(), strict=True) if n]
    if len(held) == 1:
        message = f"The valid labels hold one class only, {held[0]}, which nothing can be told from"
        fix = (
            "Prepare a source with a second class; --background NAME makes one of what no polygon "
            "covers"
        )
        raise DataError(message, code="single-class", file=file, fix=fix)


def band_statistics(
    samples: Sequence[Sample], images: Sequence[StoredImage], names: Sequence[str]
) -> list[Band]:
    """Return the statistics of all valid pixels of samples, band by band.

    Raises:
        DataError: no pixel is valid.
    """
    moments = BandMoments(len(names))
    for sample in track(samples, "measuring", len(samples)):
        for part in window_chunks(sample.window):
            values, valid = images[sample.image].read(part)
            moments.add(values.reshape(len(values), -1) if valid.all() else values[:, valid])
    if not moments.count:
        message, fix = "The training split has no valid pixel", "Choose other groups"
        raise DataError(message, code="no-valid-pixel", file=images[0].name, fix=fix)
    rows = zip(names, moments.mean, moments.std, moments.low, moments.high, strict=True)
    return [
        Band(name=name, mean=mean, std=std, min=low, max=high)
        for name, mean, std, low, high in rows
    ]


def totals(samples: Sequence[Sample], n: int) -> NDArray[np.int64]:
    """Return the labeled pixels of samples by class index, shape (n,)."""
    return np.sum([s.counts for s in samples], axis=0, dtype=np.int64) + np.zeros(n, np.int64)
