"""How unlike the ground a model was taught on an image is, by the statistics of its bands and by what the network makes of it.

Patches are described by a few numbers each, and an image by their mean: how bright it is, the steps
from band to band, how much each band varies and how rough it is, how neighboring bands go
together, and of every class the network's mean score, with the energy of all. How far that is from
the training images is their Mahalanobis distance; how far is too far is learnt from how far each
training group is from all others.

Sources: Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples"
(Mahalanobis distance of features); Liu et al. 2020, "Energy-based out-of-distribution detection"
(energy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset
from swath.geo.geobox import GeoBox
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels, Window, iter_blocks
from swath.inference.tiled import Engine, PixelSource, predict_window
from swath.inference.tta import resample
from swath.models.card import OodStatistics

SIDE = 128
"""Side of a patch, in pixels."""

PATCHES = 96
"""Patches that are looked at, at most."""

FEWEST = 8
"""Where there are fewer training images, patches stand for themselves."""

SHRINK = 0.1
"""How far the covariance is drawn towards its diagonal: few images know little of how descriptions go together."""


@dataclass(frozen=True)
class _PatchSource:
    """A patch as a source of pixels of its own."""

    grid: GeoBox
    pixels: Pixels

    def read(self, window: Window) -> Pixels:
        """Return a part of the patch."""
        rows, cols = window.slices
        return Pixels(self.pixels.values[:, rows, cols], self.pixels.valid[rows, cols])


def fit_ood(dataset: Dataset, engine: Engine) -> OodStatistics | None:
    """Describe the training split, and measure how far its groups are from each other; None where nearly all of it is nodata.

    Args:
        dataset: the data that the network was taught with.
        engine: the network.
    """
    samples = [s for s in dataset.manifest.of("train") if sum(s.counts)]
    samples = samples[:: -(-len(samples) // PATCHES)]
    most = max(1, PATCHES // len(samples))
    described = [
        (s.group, _describe_patches(dataset.images[s.image], s.window, engine, most))
        for s in samples
    ]
    each = len(samples) < FEWEST
    found = [
        (group, row)
        for group, rows in described
        if len(rows)
        for row in (rows if each else [rows.mean(axis=0)])
    ]
    if not found:
        return None
    rows, groups = np.stack([row for _, row in found]), np.array([group for group, _ in found])
    if len(set(groups)) == 1:
        groups = np.arange(len(rows)).astype(str)
    apart = [
        float(np.median(_distances(rows[groups == g], *_fit(rows[groups != g]))))
        for g in sorted(set(groups))
        if len(rows) > 1
    ]
    mean, precision = _fit(rows)
    return OodStatistics(
        mean=[float(f"{v:.7g}") for v in mean],
        precision=[[float(f"{v:.7g}") for v in row] for row in precision],
        threshold=max([1.0, *apart]),
        images=len(samples),
    )


def ood_distance(
    source: PixelSource, engine: Engine, known: OodStatistics
) -> tuple[float, NDArray[np.float64]]:
    """Return how far an image is from the training data, 1 being usual, and its mean description (see `describe_image`).

    An image without enough valid pixels is infinitely far.
    """
    rows = _describe_patches(source, source.grid.window, engine, PATCHES)
    if not len(rows):
        return float("inf"), np.asarray(known.mean)
    mean = rows.mean(axis=0)
    return float(
        _distances(mean[None], np.asarray(known.mean), np.asarray(known.precision))[0]
    ), mean


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
    valid = pixels.valid
    values = pixels.values[:, valid].astype(np.float64)
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    both = valid[:, 1:] & valid[:, :-1]
    changes = np.abs(np.diff(pixels.values.astype(np.float64), axis=2))[:, both]
    rough = np.log1p(changes.mean(axis=1) if changes.shape[1] else np.zeros(len(mean)))
    centerd = (values - mean[:, None]) / np.maximum(deviation, 1e-9)[:, None]
    together = (centerd[1:] * centerd[:-1]).mean(axis=1)
    own = scores[:, valid].astype(np.float64)
    top = own.max(axis=0)
    energy = (top + np.log(np.exp(own - top).sum(axis=0))).mean()
    steps = np.diff(mean) / max(float(deviation.mean()), 1e-9)
    return np.concatenate(
        [[mean.mean()], steps, deviation, rough, together, own.mean(axis=1), [energy]]
    )


def _describe_patches(
    source: PixelSource, area: Window, engine: Engine, most: int
) -> NDArray[np.float64]:
    """Describe patches evenly spread over an area, at most so many: (patches, numbers); mostly nodata ones are left out.

    They are described as the network sees them, at the scale that it knows.
    """
    zoom = zoom_for(source.grid.gsd, engine.gsd)
    side = SIDE // zoom.numerator * zoom.denominator
    every = [
        Window(w.row + area.row, w.col + area.col, w.height, w.width)
        for _, w in iter_blocks(area.height, area.width, side)
    ]
    whole = [w for w in every if min(w.height, w.width) >= side // 2] or every
    rows = []
    for window in whole[:: -(-len(whole) // most)]:
        pixels = _scaled(source.read(window), zoom, engine.fill)
        if not pixels.valid.size or pixels.valid.mean() < 0.5:
            continue
        patch = _PatchSource(GeoBox(*pixels.valid.shape), pixels)
        scores = np.zeros((engine.classes or 1, *pixels.valid.shape), np.float32)
        for answer in predict_window(patch, engine):
            if answer.scores is not None:
                rows_at, cols_at = answer.window.slices
                scores[:, rows_at, cols_at] = answer.scores[: engine.classes]
        rows.append(describe_image(pixels, scores))
    return np.array(rows)


def _scaled(pixels: Pixels, zoom: Fraction, fill: Sequence[float]) -> Pixels:
    """Return pixels at another scale, without the last few rows and columns that make no whole one."""
    if zoom == 1:
        return pixels
    height, width = (n // zoom.denominator * zoom.denominator for n in pixels.valid.shape)
    valid = pixels.valid[:height, :width]
    values = np.where(
        valid,
        pixels.values[:, :height, :width].astype(np.float32),
        np.asarray(fill, np.float32)[:, None, None],
    )
    rows, cols = (
        ((np.arange(int(n * zoom)) + 0.5) / float(zoom)).astype(np.intp) for n in (height, width)
    )
    return Pixels(
        resample(values[None], zoom)[0] if valid.size else values, valid[np.ix_(rows, cols)]
    )


def _fit(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the precision matrix (inverse covariance) of descriptions (images, numbers)."""
    mean = rows.mean(axis=0)
    spread = np.maximum(rows.std(axis=0), 0.02 * np.abs(mean) + 1e-6)
    scaled = (rows - mean) / spread
    covariance = scaled.T @ scaled / len(rows)
    covariance = (1 - SHRINK) * covariance + SHRINK * np.diag(np.maximum(np.diag(covariance), 0.1))
    return mean, np.linalg.inv(covariance) / np.outer(spread, spread)


def _distances(
    rows: NDArray[np.float64], mean: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Mahalanobis distance of each description, divided by the root of its length: 1 is usual."""
    off = rows - mean
    squared = np.einsum("pi,ij,pj->p", off, precision, off) / rows.shape[1]
    found: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return found
