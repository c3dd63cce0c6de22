"""Writing of stored images: pixels, labels, validity and heights as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import HEIGHTS, Image
from swath.data.layouts.catalog import SourceSample, known_heights
from swath.data.splits import Area, buffered
from swath.geo.geobox import GeoBox, chunks
from swath.geo.latitude import with_latitude
from swath.geo.tiling import Pixels
from swath.io.atomic import allocate_npy
from swath.legend import IGNORE, Legend
from swath.types import SplitName


def store_image(
    folder: Path,
    number: int,
    sample: SourceSample,
    legend: Legend,
    dtype: np.dtype[Any],
    latitude: bool,
) -> Image:
    """Write one image of a dataset, in one pass over its files.

    Args:
        folder: the dataset's folder.
        number: position of the image in the dataset.
        sample: its files.
        legend: the classes.
        dtype: type of the stored pixels.
        latitude: whether latitude is a further band, which is not stored.

    Raises:
        DataError: a file is damaged or does not fit, or a pixel has no latitude.
        OSError: the disk has no room.
    """
    name = f"{number:06d}.npy"
    with sample.open(legend) as source:
        grid = source.raster.grid
        shape = grid.height, grid.width
        pixels_shape = *shape, len(source.raster.bands)
        pixels = allocate_npy(folder / "pixels" / name, dtype, pixels_shape)
        labels: NDArray[np.uint8] | None = None
        valid: NDArray[np.bool_] | None = None
        if sample.labels is not None:
            labels = allocate_npy(folder / "labels" / name, np.dtype(np.uint8), shape)
        for window in chunks(grid, source.raster.pixel_bytes):
            values, usable = source.raster.read(window)
            usable &= ~source.read_ignored(window)
            if latitude:  # an error where a valid pixel has none
                with_latitude(Pixels(values, usable), grid, window, sample.images[0])
            pixels[window.slices] = values.transpose(1, 2, 0)
            if valid is None and not usable.all():
                valid = allocate_npy(folder / "valid" / name, np.dtype(bool), shape)
                valid[:] = True
            if valid is not None:
                valid[window.slices] = usable
            if labels is not None:
                indices = legend.encode(source.labels.read(window, legend.kind))
                labels[window.slices] = np.where(usable, indices, np.uint8(IGNORE))
    return Image(
        name=sample.name,
        sources=[str(p) for p in sample.images],
        pixels=f"pixels/{name}",
        labels=None if labels is None else f"labels/{name}",
        valid=None if valid is None else f"valid/{name}",
        heights=_store_heights(folder, name, sample, grid),
        latitude=latitude,
        grid=grid,
    )


def _store_heights(folder: Path, name: str, sample: SourceSample, grid: GeoBox) -> str | None:
    raster = sample.open_heights(grid)
    if raster is None:
        return None
    with raster:
        shape = grid.height, grid.width
        heights = allocate_npy(folder / HEIGHTS / name, np.dtype(np.float32), shape)
        for window in chunks(grid):
            heights[window.slices] = known_heights(raster.read(window))
    return f"{HEIGHTS}/{name}"


def erase_buffers(
    folder: Path,
    images: Sequence[Image],
    areas: Iterable[Area],
    split_of: Mapping[str, SplitName],
    buffer: int,
) -> set[Area]:
    """Erase the stored labels of `areas` within `buffer` pixels of another split.

    See `splits.buffered`; returns the areas that lost labels.
    """
    changed = set()
    for area, window in buffered(list(areas), split_of, buffer):
        labels = np.load(folder / str(images[area.image].labels), mmap_mode="r+")
        labels[window.slices] = IGNORE
        labels.flush()
        changed.add(area)
    return changed
