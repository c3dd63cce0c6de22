"""Reference labels of a map: a split of a dataset, or a label raster or layer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample, StoredImage
from swath.data.splits import Area as Block
from swath.data.splits import areas, default_block
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, Labels, MaskReading, RasterLabels, VectorLabels
from swath.io.map_reader import MapFile
from swath.io.vector import LayerOptions, is_vector_file, read_features, refuse_losses
from swath.legend import IGNORE, Legend, ignore_codes, legend_of_codes
from swath.types import PathLike, SplitName

log = logging.getLogger(__name__)


class LabeledArea(Protocol):
    """A window of an image that is scored as a whole, and its group."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def group(self) -> str:
        """Group of all areas that overlap or neighbor it."""

    @property
    def image(self) -> int:
        """Position of its image."""

    @property
    def window(self) -> Window:
        """Its rows and columns in the image."""


class Reference(Protocol):
    """Labels to score a map with."""

    legend: Legend
    origin: str

    @property
    def areas(self) -> Sequence[LabeledArea]:
        """The areas that have labels."""

    def labels(self, area: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices (rows, columns) of an area, `IGNORE` where there is no label."""

    def heights(self, area: LabeledArea) -> NDArray[np.float32] | None:
        """Return heights in meters (rows, columns), NaN where unknown; None if all are."""
        return None

    def grid(self, area: LabeledArea) -> GeoBox:
        """Return the grid of the area's whole image."""

    def image(self, area: LabeledArea) -> StoredImage | None:
        """Return the pixels of the area's whole image, None where only labels are known."""
        return None


class DatasetReference:
    """A split of a prepared dataset.

    Args:
        dataset: the dataset.
        split: the split.
        maps: maps to score; without a CRS, one is of the image of its name.

    Raises:
        DataError: the split is empty, or neither CRS nor name gives the image of a map.
    """

    def __init__(self, dataset: Dataset, split: SplitName, maps: Iterable[MapFile] = ()) -> None:
        self.dataset = dataset
        self.legend = dataset.manifest.legend
        self.origin = str(dataset.folder)
        self._has_heights = any(image.heights for image in dataset.manifest.images)
        self._areas = dataset.manifest.of(split)
        if not self._areas:
            raise DataError(
                f"The {split} split is empty",
                code="empty-split",
                file=dataset.folder,
                fix="Choose another --split, or prepare with groups for it",
            )
        for mapped in maps:
            self._areas = _areas_of(mapped, dataset, self._areas)

    @property
    def areas(self) -> list[Sample]:
        """The samples of the split that are scored."""
        return self._areas

    def labels(self, area: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices of an area; see `Reference`."""
        return self.dataset.images[area.image].read_labels(area.window)

    def heights(self, area: LabeledArea) -> NDArray[np.float32] | None:
        """Return heights of an area; see `Reference`."""
        if not self._has_heights:
            return None
        return self.dataset.images[area.image].read_heights(area.window)

    def grid(self, area: LabeledArea) -> GeoBox:
        """Return the grid of the area's whole image."""
        return self.dataset.images[area.image].grid

    def image(self, area: LabeledArea) -> StoredImage | None:
        """Return the pixels of the area's whole image."""
        return self.dataset.images[area.image]


def _areas_of(mapped: MapFile, dataset: Dataset, areas: list[Sample]) -> list[Sample]:
    """Return the areas that a map may show: all by CRS, else those of one image, by its name."""
    images = {area.image for area in areas}
    has_crs = all(grid.crs is not None for grid in (dataset.images[i].grid for i in images))
    matches = [_name_match(mapped.path, image.name) for image in dataset.images]
    best = [i for i, length in enumerate(matches) if length and length == max(matches)]
    if (has_crs and mapped.grid.crs is not None) or (not best and len(images) == 1):
        return areas
    found = [area for area in areas if best == [area.image]]
    if found:
        return found
    code, fault = (
        ("map-unmatched", "no image has its name"),
        ("map-other-split", "the image of its name is in another split"),
        ("map-ambiguous", "several images have its name"),
    )[min(len(best), 2)]
    raise DataError(
        f"The map has no CRS to find its image among {len(images)} of the split, and {fault}",
        code=code,
        file=mapped.path,
        fix="Begin the map's name with that of its image, and choose the --split that holds it",
    )


def _name_match(path: str, name: str) -> int:
    """Return the length of the image's name that the last part of a map's path begins with."""
    stem = Path(path).with_suffix("").as_posix()
    for word in (name, name.replace("/", "_"), name.rpartition("/")[2]):
        if re.search(rf"(?:^|/){re.escape(word)}(?![A-Za-z0-9])[^/]*$", stem, re.IGNORECASE):
            return len(word)
    return 0


class LabelReference(Reference):
    """A label raster or vector layer on the grid of a map; its blocks are areas and groups.

    Args:
        path: the labels, in any CRS.
        mapped: the map.
        legend: the classes of the labels; None for those of the map and all other codes that the
            labels hold.
        field: the class column of a vector layer.
        crs: CRS of labels that declare none.

    Raises:
        DataError: the labels cannot be read onto the map's grid, or do not overlap it.
        UsageError: a class column is named for a raster.
    """

    def __init__(
        self,
        path: PathLike,
        mapped: MapFile,
        legend: Legend | None = None,
        field: str | None = None,
        crs: str | None = None,
    ) -> None:
        self.origin = str(path)
        self._grid = mapped.grid
        if is_vector_file(Path(path)):
            features = read_features(path, field, LayerOptions(crs=crs))
            refuse_losses(features.findings)
            self._labels: Labels = VectorLabels(features, mapped.grid, legend or mapped.legend)
        elif field is not None:
            message = "--label-field is for vector layers, and the labels are a raster"
            fix = "Leave out --label-field"
            raise UsageError(message, code="option-conflict", file=path, fix=fix)
        else:
            self._labels = RasterLabels(
                path, mapped.grid, warp=True, reading=MaskReading(crs=crs), legend=legend
            )
        self.legend = legend or self._joined(mapped.legend)
        block = default_block([mapped.grid])
        every = areas(0, "", mapped.grid, None, block, prefix=False)
        self._areas = [area for area in every if (self.labels(area) != IGNORE).any()]
        if not self._areas:
            raise DataError(
                "The labels do not overlap the map",
                code="no-overlap",
                file=path,
                fix="Check the CRS and extent of both",
            )

    @property
    def areas(self) -> list[Block]:
        """The blocks that hold labels."""
        return self._areas

    def labels(self, area: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices of an area; see `Reference`."""
        return self.legend.encode(self._labels.read(area.window, self.legend.kind))

    def grid(self, area: LabeledArea) -> GeoBox:
        """Return the grid of the map."""
        return self._grid

    def _joined(self, legend: Legend) -> Legend:
        """Return a legend with the codes that only the labels hold."""
        found: set[int] = set()
        for window in chunks(self._grid):
            found |= set(np.unique(self._labels.read(window, "code")).tolist())
        known = {code for c in legend.classes for code in c.codes}
        ignored = {*ignore_codes(found - {UNLABELED})} - known
        if ignored:
            template = "Labels of %s in %s are ignored; --classes FILE makes them classes."
            log.warning(template, ", ".join(map(str, sorted(ignored))), self.origin)
        extra = sorted(found - {UNLABELED} - known - ignored)
        if not extra:
            return legend
        return Legend(
            (*legend.classes, *legend_of_codes(extra, "code", self._labels.names).classes),
            origin=legend.origin,
        )
