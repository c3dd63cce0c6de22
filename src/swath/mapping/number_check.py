"""Numbers of an image held against those that a model was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.tiling import Pixels, Window
from swath.io.nodata import CERTAIN_FILLS
from swath.mapping.inputs import InputImage
from swath.models.card import CardBand

SIDE = 64  # rows and columns of the windows that are read
ALONG = 4  # windows in each direction
MARGIN = 0.05  # share of a band's range by which its middle value may lie outside
MAX_SHRINK = 20.0  # factor by which all values may be smaller than in training
FAR = 2.0  # ranges of a band by which a value lies beyond what can be a measurement
MIN_FAR = 16  # sampled pixels with one such value that are no coincidence
OFFSET = 1000.0  # that Sentinel-2 adds to stored numbers since baseline 04.00

FACTORS = {
    100.0: "percent and fractions, or centimeters and meters",
    256.0: "fractions of 1 and 8-bit values, or 8-bit and 16-bit values",
    10_000.0: "reflectance, and reflectance times 10000",
}
"""Factors between the same measurements, and what has such numbers."""

ADVICE = (
    "Check scale and bands (swath inspect IMAGE --against MODEL); --raw reads numbers as stored, "
    "without the file's scale and offset"
)
"""What to do about numbers unlike those of training."""


def check_numbers(
    image: InputImage, bands: Sequence[CardBand], dtype: str | None, advice: str = ADVICE
) -> str | None:
    """Compare a sample of an image's pixels with the ranges that a model was trained with.

    Args:
        image: the image, with the model's bands.
        bands: the model's bands.
        dtype: type of the training images, None if unknown.
        advice: what to do where the cause is not certain.

    Returns:
        A sentence that names the likely cause, or None where nothing is odd.
    """
    values = sample_values(image, len(bands))
    if not values.shape[1]:
        return None
    low, middle, high = np.percentile(values.astype(np.float64), (2, 50, 98), axis=1)
    known_low, known_high, known_mean = (
        np.array([getattr(band, name) for band in bands], np.float64)
        for name in ("min", "max", "fill")
    )
    margin = MARGIN * (known_high - known_low)
    level = np.maximum(np.abs(known_mean), np.abs(known_high) / 10)
    outside = (middle < known_low - margin) | (middle > known_high + margin)
    shrunk = (high - low < level / MAX_SHRINK) & (np.abs(high) < level / MAX_SHRINK)
    off = outside | (shrunk & shrunk.all())
    own_mean = values.mean(axis=1, dtype=np.float64)
    shift = _find_offset(low, own_mean - known_mean, known_low, known_high)
    own = str(image.dtype)
    if not off.any() and shift is None:
        far = _find_far(values, bands, known_low, known_high)
        other = f"The image is {own}, and the training images were {dtype}: check its scale."
        return far if far or own == dtype or dtype is None else other
    at = int(np.argmax(off))
    seen = (
        f"Band {bands[at].name} has values of {low[at]:.4g} to {high[at]:.4g}, and the model was "
        f"trained with {known_low[at]:.4g} to {known_high[at]:.4g}"
    )
    cause = shift or _find_factor(own_mean, known_mean, high, known_high)
    if cause is None and dtype not in (None, own):
        cause = f"the image is {own}, and the training images were {dtype}"
    return " ".join(
        [f"{seen}{f': {cause}' if cause else ''}.", *([f"{advice}."] if advice else [])]
    )


def _find_far(
    values: NDArray[Any],
    bands: Sequence[CardBand],
    known_low: NDArray[np.float64],
    known_high: NDArray[np.float64],
) -> str | None:
    """Return a sentence on a value far outside of a band's range that many pixels (bands, n) have.

    Negative values are far where training had none. Fill values that `check_pixels` reports are
    left out.
    """
    span = known_high - known_low
    negative = np.where(known_low >= 0, -MARGIN * span, -np.inf)
    least = np.maximum(known_low - FAR * span, negative)
    most = known_high + FAR * span
    for band, own, lowest, highest in zip(bands, values, least, most, strict=True):
        far = own[((own < lowest) | (own > highest)) & ~np.isin(own, CERTAIN_FILLS)]
        found, counts = np.unique(far, return_counts=True)
        if counts.max(initial=0) >= max(MIN_FAR, far.size / 2):
            value = float(found[counts.argmax()])
            return (
                f"{counts.max()} of the sampled pixels of band {band.name} are {value:.9g}, and "
                f"the model was trained with {band.min:.4g} to {band.max:.4g}: give --nodata "
                f"{value:.9g} if it means that there is no data."
            )
    return None


def sample_values(image: InputImage, bands: int) -> NDArray[Any]:
    """Return valid pixels (bands, n) of windows that are spread over an image."""
    grid = image.grid
    rows = np.linspace(0, max(0, grid.height - SIDE), ALONG).astype(int)
    cols = np.linspace(0, max(0, grid.width - SIDE), ALONG).astype(int)
    corners = dict.fromkeys((int(row), int(col)) for row in rows for col in cols)
    parts = [np.empty((bands, 0), image.dtype)]
    for row, col in corners:
        with suppress(DataError):  # damage is reported by the mapping, with its rows
            parts.append(_valid(image.read(Window(row, col, SIDE, SIDE).within(grid.window))))
    return np.concatenate(parts, axis=1)


def _valid(pixels: Pixels) -> NDArray[Any]:
    return pixels.values[:, pixels.valid]


def _find_offset(
    low: NDArray[np.float64],
    shift: NDArray[np.float64],
    known_low: NDArray[np.float64],
    known_high: NDArray[np.float64],
) -> str | None:
    """Return what an offset of 1000 in all bands of one side means; None without.

    Args:
        low: low values of the image by band.
        shift: mean of the image less that of the training images.
        known_low: smallest values of the training images.
        known_high: largest values of the training images.
    """
    if known_high.max() < 2 * OFFSET:
        return None
    source = "Sentinel-2 adds 1000 to its numbers since baseline 04.00"
    near = OFFSET / 2 < abs(np.median(shift)) < 1.5 * OFFSET
    if near and np.median(shift) > 0 and (low >= OFFSET).all() and (known_low < OFFSET).all():
        return f"all values may be 1000 too large ({source})"
    if near and np.median(shift) < 0 and (low < OFFSET).all() and (known_low >= OFFSET).all():
        return f"all values may be 1000 too small ({source})"
    return None


def _find_factor(
    mean: NDArray[np.float64],
    known_mean: NDArray[np.float64],
    high: NDArray[np.float64],
    known_high: NDArray[np.float64],
) -> str | None:
    """Return what the factor between all values of two sides means; None without."""
    for ratio in _ratios(mean, known_mean, high, known_high):
        factor = min(FACTORS, key=lambda f: abs(np.log(f / max(ratio, 1 / ratio))))
        if 0.4 < factor / max(ratio, 1 / ratio) < 2.5:
            size = "larger" if ratio > 1 else "smaller"
            return f"they are about {factor:.0f} times {size} ({FACTORS[factor]})"
    return None


def _ratios(
    mean: NDArray[np.float64],
    known_mean: NDArray[np.float64],
    high: NDArray[np.float64],
    known_high: NDArray[np.float64],
) -> Iterator[float]:
    for own, known in ((mean, known_mean), (high, known_high)):
        if (own > 0).all() and (known > 0).all():
            yield float(np.median(own / known))
