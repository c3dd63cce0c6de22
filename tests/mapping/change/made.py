"""Maps of two dates with a known change, and errors that their probabilities know of."""

from pathlib import Path

import numpy as np

from tests.make import NORTH_UP, UTM, write_raster

NAMES = ("water", "forest", "field")


def true_classes(size=256, seed=0, share=0.02):
    """Return class indices of two dates: squares of 32 pixels, and changes of 6 to 16 pixels."""
    rng = np.random.default_rng(seed)
    count = -(-size // 32)
    old = np.kron(rng.integers(0, 3, (count, count)), np.ones((32, 32), int))[:size, :size]
    new = old.copy()
    while (old != new).mean() < share:
        row, col = rng.integers(0, size, 2)
        height, width = rng.integers(6, 16, 2)
        new[row : row + height, col : col + width] = rng.integers(0, 3)
    return old, new


def percents(classes, seed, separation=2.2):
    """Return calibrated percents (n, rows, columns): of a classifier of normal features."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, *classes.shape))
    scores += separation * (np.arange(3)[:, None, None] == classes)
    odds = np.exp(separation * scores)
    return np.rint(100 * odds / odds.sum(axis=0)).astype(np.uint8)


def write_date(path: Path, codes, shares=None, crs=UTM, transform=NORTH_UP, names=NAMES, **extra):
    """Write a map of codes 1.. with named classes, and percents beside it."""
    import rasterio

    extra = {"tiled": True, "blockxsize": 128, "blockysize": 128, **extra}
    codes = np.asarray(codes).astype(np.uint8)
    write_raster(path, codes, crs, transform, nodata=0, **extra)
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, **{f"class_{i}": name for i, name in enumerate(names, 1)})
    if shares is not None:
        beside = path.with_name(f"{path.stem}_probabilities.tif")
        write_raster(beside, shares, crs, transform, nodata=255, descriptions=list(names), **extra)
    return path


def two_dates(folder, size=256, share=0.02, shift=0, separation=2.2, **extra):
    """Write `old.tif` and `new.tif` with probabilities; return the true classes of both."""
    old, new = true_classes(size, share=share)
    moved = np.roll(new, (shift, shift), (0, 1))
    seen = percents(old, 1, separation), percents(moved, 2, separation)
    for name, one in zip(("old", "new"), seen, strict=True):
        write_date(folder / f"{name}.tif", one.argmax(axis=0) + 1, one, **extra)
    return old, new


def f1(found, true):
    """Return the F1 of two masks."""
    return 2 * (found & true).sum() / (found.sum() + true.sum())
