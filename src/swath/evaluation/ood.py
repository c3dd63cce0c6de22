"""Out-of-distribution distance: how far an image is from the training images.

Patches are described by statistics of their bands and of the network's scores, and an image by the
mean of its patches: brightness, steps from band to band, deviation and roughness of each band,
correlation of neighboring bands, mean score of each class, and energy. The distance is that of
Mahalanobis; the threshold is the largest distance of a training group from all others.

Sources: Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples"
(Mahalanobis distance of features); Liu et al. 2020, "Energy-based out-of-distribution detection"
(energy).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels, Window, iter_blocks
from swath.inference.tiled import (
    ArraySource,
    PixelSource,
    TiledPredictor,
    predict_window,
    read_scaled,
)
from swath.models.card import OodStatistics

PATCH_SIDE = 128
"""Side of a patch, in pixels of the network."""

MAX_PATCHES = 96

MAX_BAND_PATCHES = 16
"""Patches that are read of an image to compare its bands alone."""

MIN_PIXELS = 64**2
"""Pixels with data from which an image is compared by its bands alone."""

MIN_IMAGES = 8
"""With fewer training images, their patches are used one by one."""

SHRINKAGE = 0.1
"""Weight of the diagonal in the covariance, for few images."""


def fit_ood(dataset: Dataset, predictor: TiledPredictor) -> OodStatistics | None:
    """Describe the training split; None where nearly all of it is nodata.

    Args:
        dataset: the training data.
        predictor: the network.
    """
    samples = [s for s in dataset.manifest.of("train") if sum(s.counts)]
    samples = samples[:: -(-len(samples) // MAX_PATCHES)]
    each = max(1, MAX_PATCHES // len(samples))
    rows: list[NDArray[np.float64]] = []
    names: list[str] = []
    for sample in samples:
        source = dataset.images[sample.image]
        found = _describe_patches(source, sample.window, predictor, each)
        if len(found) and len(samples) >= MIN_IMAGES:
            found = found.mean(axis=0, keepdims=True)
        rows.extend(found)
        names.extend([sample.group] * len(found))
    if not rows:
        return None
    return _statistics(np.stack(rows), np.array(names), len(samples))


def _statistics(rows: NDArray[np.float64], groups: NDArray[np.str_], images: int) -> OodStatistics:
    """Return the statistics of descriptions (patches, numbers) and their groups."""
    names = sorted(set(groups))
    if len(names) == 1:
        groups = np.arange(len(rows)).astype(str)
        names = sorted(set(groups))
    far = [
        float(np.median(_distances(rows[groups == g], *_mean_and_precision(rows[groups != g]))))
        for g in names
        if len(rows) > 1
    ]
    mean, precision = _mean_and_precision(rows)
    return OodStatistics(
        mean=[float(f"{v:.7g}") for v in mean],
        precision=[[float(f"{v:.7g}") for v in row] for row in precision],
        threshold=max([1.0, *far]),
        images=images,
    )


def ood_distance(
    source: PixelSource, predictor: TiledPredictor, known: OodStatistics
) -> tuple[float, NDArray[np.float64]]:
    """Return the distance of an image from the training images, and its mean description.

    1 is usual in training; an image without enough valid pixels is infinitely far. For the
    description see `describe_image`.
    """
    rows = _describe_patches(source, source.grid.window, predictor, MAX_PATCHES)
    if not len(rows):
        return float("inf"), np.asarray(known.mean)
    mean = rows.mean(axis=0)
    far = _distances(mean[None], np.asarray(known.mean), np.asarray(known.precision))
    return float(far[0]), mean


def band_distance(
    source: PixelSource, zoom: Fraction, fill: Sequence[float], known: OodStatistics
) -> float | None:
    """Return the distance of an image by its bands alone, without the network; see `ood_distance`.

    Few patches are read: about a twentieth of the pixels, 16 patches at most.

    Args:
        source: the image.
        zoom: scale at which it is shown to the network.
        fill: value of each band where there is no data.
        known: statistics of the training images.

    Returns:
        1 is usual in training; None where too few pixels have data.
    """
    area = source.grid.window
    count = min(MAX_BAND_PATCHES, max(1, area.size // (20 * PATCH_SIDE**2)))
    patches = list(_read_patches(source, area, zoom, fill, count))
    if sum(int(pixels.valid.sum()) for pixels in patches) < MIN_PIXELS:
        return None
    rows = np.array([_describe_bands(pixels) for pixels in patches])
    held = np.arange(rows.shape[1])
    covariance = np.linalg.inv(np.asarray(known.precision))[np.ix_(held, held)]
    precision = np.linalg.inv(covariance)
    mean = np.asarray(known.mean)[held]
    return float(_distances(rows.mean(axis=0)[None], mean, precision)[0])


def describe_image(pixels: Pixels, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the description of a patch.

    Args:
        pixels: values (bands, rows, columns) and validity, some of them valid.
        scores: class scores (classes, rows, columns).

    Returns:
        Mean of all bands, step from the mean of each band to the next in units of the mean
        deviation, deviation of each band, roughness (log of the mean step between columns),
        correlation of neighboring bands, mean score of each class, and energy; float64.
    """
    of_classes = scores[:, pixels.valid].astype(np.float64)
    top = of_classes.max(axis=0)
    energy = (top + np.log(np.exp(of_classes - top).sum(axis=0))).mean()
    return np.concatenate([_describe_bands(pixels), of_classes.mean(axis=1), [energy]])


def _describe_bands(pixels: Pixels) -> NDArray[np.float64]:
    """Return the part of `describe_image` that needs no scores."""
    valid = pixels.valid
    values = pixels.values[:, valid].astype(np.float64)
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    both = valid[:, 1:] & valid[:, :-1]
    changes = np.abs(np.diff(pixels.values.astype(np.float64), axis=2))[:, both]
    rough = np.log1p(changes.mean(axis=1) if changes.shape[1] else np.zeros(len(mean)))
    centered = (values - mean[:, None]) / np.maximum(deviation, 1e-9)[:, None]
    correlation = (centered[1:] * centered[:-1]).mean(axis=1)
    steps = np.diff(mean) / max(float(deviation.mean()), 1e-9)
    return np.concatenate([[mean.mean()], steps, deviation, rough, correlation])


def _describe_patches(
    source: PixelSource, area: Window, predictor: TiledPredictor, count: int
) -> NDArray[np.float64]:
    """Describe at most `count` patches of an area (patches, numbers) at the network's scale."""
    zoom = zoom_for(source.grid.gsd, predictor.gsd)
    patches = _read_patches(source, area, zoom, predictor.fill, count)
    return np.array([describe_image(p, _class_scores(p, predictor)) for p in patches])


def _read_patches(
    source: PixelSource, area: Window, zoom: Fraction, fill: Sequence[float], count: int
) -> Iterator[Pixels]:
    """Yield at most `count` patches of an area that are half valid at least."""
    side = PATCH_SIDE // zoom.numerator * zoom.denominator
    windows = [
        Window(w.row + area.row, w.col + area.col, w.height, w.width)
        for _, w in iter_blocks(area.height, area.width, side)
    ]
    windows = [w for w in windows if min(w.height, w.width) >= side // 2] or windows
    for window in windows[:: -(-len(windows) // count)]:
        pixels = read_scaled(source, window, zoom, fill)
        if pixels.valid.size and pixels.valid.mean() >= 0.5:
            yield pixels


def _class_scores(pixels: Pixels, predictor: TiledPredictor) -> NDArray[np.float32]:
    """Return the class scores of a patch, zero where no pixel is valid."""
    scores = np.zeros((predictor.output.classes or 1, *pixels.valid.shape), np.float32)
    for tile in predict_window(ArraySource(pixels), predictor):
        if tile.scores is not None:
            rows, cols = tile.window.slices
            scores[:, rows, cols] = tile.output.class_scores(tile.scores)
    return scores


def _mean_and_precision(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and precision matrix (inverse covariance) of descriptions (images, numbers)."""
    mean = rows.mean(axis=0)
    spread = np.maximum(rows.std(axis=0), 0.02 * np.abs(mean) + 1e-6)
    scaled = (rows - mean) / spread
    covariance = scaled.T @ scaled / len(rows)
    diagonal = np.diag(np.maximum(np.diag(covariance), 0.1))
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
    return mean, np.linalg.inv(covariance) / np.outer(spread, spread)


def _distances(
    rows: NDArray[np.float64], mean: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Mahalanobis distance of each description over the root of its length."""
    off = rows - mean
    squared = np.einsum("pi,ij,pj->p", off, precision, off) / rows.shape[1]
    found: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return found
