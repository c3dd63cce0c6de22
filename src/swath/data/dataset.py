"""The prepared dataset: manifest, splits, and pixels on disk.

A dataset is a folder with `dataset.json` and memory-mapped NumPy arrays, one an image: `pixels/`
(rows, columns, bands) in the source's dtype, `labels/` (rows, columns) class indices with `IGNORE`,
`valid/` (rows, columns) bool where an image has nodata, and `heights/` (rows, columns) float32
meters above ground, NaN unknown, where the source has them. A *sample* is a window of an image with
a group and a split; the windows of an image do not overlap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import DataError, check_path
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
"""Contents of a dataset's folder; `HEIGHTS` and `FINDINGS` (those of `prepare`) are optional."""

MAX_OPEN_ARRAYS = 256
"""Stored arrays that are kept open; a process may have fewer open files than a dataset images."""

_PREPARE_AGAIN = "Run `swath prepare` again"

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

    With `latitude`, the last band is computed as the image is read; see `with_latitude`.
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
    """A window of an image, its group and split; `counts` are labeled pixels by class index."""

    name: str
    image: int
    window: Window
    group: str
    split: SplitName
    counts: list[int]


class Manifest(_FrozenModel):
    """Description of a dataset (`dataset.json`)."""

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
    scaled: bool = False

    def of(self, split: SplitName) -> list[Sample]:
        """Return the samples of a split."""
        return [s for s in self.samples if s.split == split]

    @property
    def latitude(self) -> bool:
        """Whether the last band is latitude, which is computed and not stored."""
        return any(image.latitude for image in self.images)

    @property
    def stored_bands(self) -> list[str]:
        """Names of the bands that are stored."""
        names = [band.name for band in self.bands]
        return names[:-1] if self.latitude else names

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which identifies data, split and statistics.

        Fields at their default are left out, so that a field of a later version changes no digest.
        """
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


class StoredImage:
    """Pixels and labels of one stored image, read from disk by windows.

    Args:
        folder: the dataset's folder.
        image: its entry in the manifest.
        open_stored: opens a stored array; `open_array` by default.
    """

    def __init__(
        self, folder: Path, image: Image, open_stored: Callable[[Path], NDArray[Any]] | None = None
    ) -> None:
        self.name = image.name
        self.grid = image.grid
        self._folder = folder
        self._image = image
        self._open = open_stored or open_array

    def read(self, window: Window) -> Pixels:
        """Return values (bands, rows, columns) and validity (rows, columns) of a window.

        Raises:
            DataError: a stored array is lost, or the latitude of a pixel is not known.
        """
        stored = self.read_stored(window)
        if not self._image.latitude:
            return stored
        return with_latitude(stored, self.grid, window, self._image.sources[0])

    def read_stored(self, window: Window) -> Pixels:
        """Return the stored bands of a window, in the dtype of the source, and validity."""
        values = self._part(self._image.pixels, window).transpose(2, 0, 1)
        if self._image.valid is None:
            return Pixels(values, np.ones(values.shape[1:], bool))
        return Pixels(values, self._part(self._image.valid, window))

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
        return np.asarray(self._open(self._folder / file)[window.slices])


class Dataset:
    """A prepared dataset.

    Args:
        folder: its folder.

    Raises:
        DataError: the folder holds no dataset, or one of a newer format.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.digest = self.manifest.digest
        """Identifies the stored dataset; see `Manifest.digest`."""

    def at_gsd(self, gsd: float | None) -> Dataset:
        """Return the dataset for a network of another ground sampling distance, in meters."""
        out = copy(self)
        out.manifest = self.manifest.model_copy(update={"gsd": gsd})
        return out

    @cached_property
    def images(self) -> list[StoredImage]:
        """The stored images, in the manifest's order."""
        cached = lru_cache(MAX_OPEN_ARRAYS)(open_array)
        return [StoredImage(self.folder, image, cached) for image in self.manifest.images]


def open_array(path: Path) -> NDArray[Any]:
    """Open a stored array, memory-mapped.

    Raises:
        DataError: the array is absent or damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        message = f"The stored array cannot be read ({error})"
        raise DataError(message, code="dataset-damaged", file=path, fix=_PREPARE_AGAIN) from error
    return array


def read_manifest(folder: Path) -> Manifest:
    """Read `dataset.json` of any format up to `FORMAT_VERSION`.

    Raises:
        DataError: the folder has none, or the file is damaged or of a newer Swath.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
        if version > FORMAT_VERSION:
            message = f"Dataset format {version} is newer than this Swath reads ({FORMAT_VERSION})"
            fix = "Update Swath, or run `swath prepare` again"
            raise DataError(message, code="dataset-too-new", file=path, fix=fix)
        return Manifest.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        message = f"The folder has no {MANIFEST}"
        fix = check_path(folder, "Make a dataset with `swath prepare`")
        raise DataError(message, code="not-a-dataset", file=folder, fix=fix) from None
    except (OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        message = "The manifest of the dataset is damaged"
        raise DataError(message, code="dataset-damaged", file=path, fix=_PREPARE_AGAIN) from error
