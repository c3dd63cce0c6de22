"""The prepared dataset: its manifest, its splits, and its pixels on disk.

A dataset is a folder with `dataset.json` and one memory-mapped NumPy array an image: `pixels/`
(rows, columns, bands) in the source's dtype, `labels/` (rows, columns) class indices with `IGNORE`,
`valid/` (rows, columns) bool where an image has nodata, and `heights/` (rows, columns) float32
meters above ground, NaN unknown, where the source has them. A *sample* is a window of an image with
a group and a split; the windows of an image do not overlap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.latitude import with_latitude
from swath.geo.tiling import Pixels, Window
from swath.legend import IGNORE, Legend
from swath.types import PathLike, SplitName

FORMAT_VERSION = 1
MANIFEST = "dataset.json"
HEIGHTS = "heights"
FINDINGS = "findings.json"
ENTRIES = (MANIFEST, "pixels", "labels", "valid")
"""What a dataset's folder holds, and nothing else but `HEIGHTS` and `FINDINGS` (what the doctor found)."""

OPEN_FILES = 256
"""Stored arrays that are kept open; a process may not have as many files open as a dataset has images."""

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""The splits whose samples are labeled."""


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class Band(_FrozenModel):
    """A band and its statistics over the valid pixels of the training split."""

    name: str
    mean: float
    std: float
    min: float
    max: float


class Image(_FrozenModel):
    """One stored image; file names are relative to the dataset's folder.

    With `latitude`, that of each pixel is worked out as it is read, and is its last band.
    """

    name: str
    sources: list[str]
    pixels: str
    labels: str | None
    valid: str | None
    heights: str | None = None
    latitude: bool = False
    grid: GeoBox


class Sample(_FrozenModel):
    """A window of an image, its place and its split; `counts` are labeled pixels by class index."""

    name: str
    image: int
    window: Window
    group: str
    split: SplitName
    counts: list[int]


class Manifest(_FrozenModel):
    """All that is known of a dataset but its pixels (`dataset.json`)."""

    format_version: int = FORMAT_VERSION
    swath_version: str
    source: str
    layout: str
    seed: int
    dtype: str
    bands: list[Band]
    legend: Legend
    images: list[Image]
    samples: list[Sample]
    gsd: float | None

    def of(self, split: SplitName) -> list[Sample]:
        """Return the samples of a split."""
        return [s for s in self.samples if s.split == split]

    @property
    def latitude(self) -> bool:
        """Whether the last band is latitude, which is not stored but worked out."""
        return any(image.latitude for image in self.images)

    @property
    def stored_bands(self) -> list[str]:
        """Names of the bands that are stored."""
        return [band.name for band in self.bands[: len(self.bands) - self.latitude]]

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: names the data, the split and the statistics a model was made with.

        Fields at their default are left out, so that a field that a later Swath adds changes no
        digest.
        """
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


class StoredImage:
    """Pixels and labels of one stored image, read from disk as they are needed.

    Args:
        folder: the dataset's folder.
        image: its entry in the manifest.
        opened: opens a stored array.
    """

    def __init__(
        self, folder: Path, image: Image, opened: Callable[[Path], NDArray[Any]] | None = None
    ) -> None:
        self.name = image.name
        self.grid = image.grid
        self._folder = folder
        self._image = image
        self._opened = opened or open_array

    def read(self, window: Window) -> Pixels:
        """Return values (bands, rows, columns) and validity (rows, columns) of a window inside the image.

        Raises:
            DataError: a stored array is lost, or the latitude of a pixel is not known.
        """
        stored = self.read_stored(window)
        return (
            with_latitude(stored, self.grid, window, self._image.sources[0])
            if self._image.latitude
            else stored
        )

    def read_stored(self, window: Window) -> Pixels:
        """Return the same of those bands that are stored, in the dtype of the source."""
        values = self._part(self._image.pixels, window).transpose(2, 0, 1)
        valid = (
            np.ones(values.shape[1:], bool)
            if self._image.valid is None
            else self._part(self._image.valid, window)
        )
        return Pixels(values, valid)

    def read_labels(self, window: Window) -> NDArray[np.uint8]:
        """Return class indices (rows, columns); all `IGNORE` for an unlabeled image."""
        if self._image.labels is None:
            return np.full((window.height, window.width), IGNORE, np.uint8)
        return self._part(self._image.labels, window)

    def read_heights(self, window: Window) -> NDArray[np.float32]:
        """Return heights above ground in meters (rows, columns), float32, NaN where unknown."""
        if self._image.heights is None:
            return np.full((window.height, window.width), np.nan, np.float32)
        return self._part(self._image.heights, window)

    def _part(self, file: str, window: Window) -> NDArray[Any]:
        return np.asarray(self._opened(self._folder / file)[window.slices])


class Dataset:
    """A prepared dataset, opened.

    Args:
        folder: what `prepare` wrote.

    Raises:
        DataError: it is no dataset, or one of a newer format.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)

    @cached_property
    def images(self) -> list[StoredImage]:
        """The stored images, in the manifest's order."""
        opened = lru_cache(OPEN_FILES)(open_array)
        return [StoredImage(self.folder, image, opened) for image in self.manifest.images]


def open_array(path: Path) -> NDArray[Any]:
    """Open a stored array without reading it.

    Raises:
        DataError: it is absent or damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the stored array cannot be read ({error})", file=path, fix="Run `swath prepare` again"
        ) from error
    return array


def read_manifest(folder: Path) -> Manifest:
    """Read `dataset.json`; every format up to `FORMAT_VERSION` is understood.

    Raises:
        DataError: the folder has none, it is damaged, or it is of a newer Swath.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
        if version > FORMAT_VERSION:
            raise DataError(
                f"its format {version} is newer than this Swath reads ({FORMAT_VERSION})",
                file=path,
                fix="Update Swath, or run `swath prepare` again",
            )
        return Manifest.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"there is no {MANIFEST} here", file=folder, fix="Make it with `swath prepare`"
        ) from None
    except (OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise DataError(
            "the manifest is damaged", file=path, fix="Run `swath prepare` again"
        ) from error
