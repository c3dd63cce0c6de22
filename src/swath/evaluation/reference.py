"""What a map is held against: a split of a dataset, or labels that lie beside a map."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample, StoredImage
from swath.data.splits import Area as Block
from swath.data.splits import areas, default_block
from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, Labels, RasterLabels, VectorLabels
from swath.io.map_reader import MapFile
from swath.io.vector import VECTOR_EXTENSIONS, read_features
from swath.legend import IGNORE, Legend, legend_of_codes
from swath.types import PathLike, SplitName


class LabeledArea(Protocol):
    """A window of an image that is judged as a whole, and its group."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def group(self) -> str:
        """Group of all places that see the same ground, or neighbor it."""

    @property
    def image(self) -> int:
        """Position of its image."""

    @property
    def window(self) -> Window:
        """Where it lies in its image."""


class Reference(Protocol):
    """Labels to hold a map against."""

    legend: Legend
    origin: str

    @property
    def places(self) -> Sequence[LabeledArea]:
        """Where it is known."""

    def labels(self, place: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices (rows, columns) of a place, `IGNORE` where there is no label."""

    def heights(self, place: LabeledArea) -> NDArray[np.float32] | None:
        """Return heights above ground in meters (rows, columns), NaN where unknown; None where none are known."""

    def grid(self, place: LabeledArea) -> GeoBox:
        """Return the grid of the place's whole image."""

    def image(self, place: LabeledArea) -> StoredImage | None:
        """Return the pixels of the place's whole image, None where only labels are known."""


class DatasetReference:
    """A split of a prepared dataset.

    Args:
        dataset: the dataset.
        split: the split.
        maps: what is judged, if it is maps; where no CRS says which images one shows, it is that of
            its name.

    Raises:
        DataError: the split is empty, or no CRS and no name says which image a map shows.
    """

    def __init__(self, dataset: Dataset, split: SplitName, maps: Iterable[MapFile] = ()) -> None:
        self.dataset = dataset
        self.legend = dataset.manifest.legend
        self.origin = str(dataset.folder)
        self._has_heights = any(image.heights for image in dataset.manifest.images)
        self._places = dataset.manifest.of(split)
        if not self._places:
            raise DataError(
                f"the {split} split is empty",
                file=dataset.folder,
                fix="Choose another --split, or prepare with groups for it",
            )
        for mapped in maps:
            self._places = _shown(mapped, dataset, self._places)

    @property
    def places(self) -> list[Sample]:
        """The samples of the split that are judged."""
        return self._places

    def labels(self, place: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices of a place; see `Reference`."""
        return self.dataset.images[place.image].read_labels(place.window)

    def heights(self, place: LabeledArea) -> NDArray[np.float32] | None:
        """Return heights above ground of a place; see `Reference`."""
        return (
            self.dataset.images[place.image].read_heights(place.window)
            if self._has_heights
            else None
        )

    def grid(self, place: LabeledArea) -> GeoBox:
        """Return the grid of the place's whole image."""
        return self.dataset.images[place.image].grid

    def image(self, place: LabeledArea) -> StoredImage | None:
        """Return the pixels of the place's whole image."""
        return self.dataset.images[place.image]


def _shown(mapped: MapFile, dataset: Dataset, places: list[Sample]) -> list[Sample]:
    """Return the places that a map may show: all if CRSs tell, else those of the image of its name, or of the only image."""
    images = {place.image for place in places}
    if mapped.grid.crs is not None and all(dataset.images[i].grid.crs is not None for i in images):
        return places
    likeness = [_likeness(mapped.path, image.name) for image in dataset.images]
    best = [i for i, like in enumerate(likeness) if like and like == max(likeness)]
    if not best and len(images) == 1:
        return places
    if len(best) == 1 and best[0] in images:
        return [place for place in places if place.image == best[0]]
    named = (
        "several images have"
        if len(best) > 1
        else "one of another split has"
        if best
        else "none has"
    )
    raise DataError(
        f"no CRS says which of {len(images)} image(s) of the split it shows, and {named} its name",
        file=mapped.path,
        fix="Begin the map's name with that of its image, and choose the --split that holds it",
    )


def _likeness(path: str, name: str) -> int:
    """Return how many letters of an image's name, its folders if they tell, a map's path begins its last part with."""
    where = Path(path).with_suffix("").as_posix()
    for word in (name, name.replace("/", "_"), name.rpartition("/")[2]):
        if re.search(rf"(?:^|/){re.escape(word)}(?![A-Za-z0-9])[^/]*$", where, re.IGNORECASE):
            return len(word)
    return 0


class LabelReference:
    """A label raster or vector layer on the grid of a map; its blocks are the places, each a group.

    Args:
        path: the labels, in any CRS.
        mapped: the map.
        legend: the classes of the labels; None for those of the map and all other codes that the
            labels hold.
        field: the class column of a vector layer.

    Raises:
        DataError: the labels cannot be read onto the map's grid, or none of them lies there.
    """

    def __init__(
        self,
        path: PathLike,
        mapped: MapFile,
        legend: Legend | None = None,
        field: str | None = None,
    ) -> None:
        self.origin = str(path)
        self._grid = mapped.grid
        if Path(path).suffix.lower() in VECTOR_EXTENSIONS:
            self._labels: Labels = VectorLabels(
                read_features(path, field), mapped.grid, legend or mapped.legend
            )
        else:
            self._labels = RasterLabels(path, mapped.grid, warp=True)
        self.legend = legend or self._joined(mapped.legend)
        block = default_block([mapped.grid])
        every = areas(0, "", mapped.grid, None, block, prefix=False)
        self._places = [place for place in every if (self.labels(place) != IGNORE).any()]
        if not self._places:
            raise DataError(
                "no label lies on the map", file=path, fix="Check that both see the same ground"
            )

    @property
    def places(self) -> list[Block]:
        """The blocks that hold labels."""
        return self._places

    def labels(self, place: LabeledArea) -> NDArray[np.uint8]:
        """Return class indices of a place; see `Reference`."""
        return self.legend.encode(self._labels.read(place.window, self.legend.kind))

    def heights(self, place: LabeledArea) -> NDArray[np.float32] | None:
        """Return None: only labels are known."""
        return None

    def grid(self, place: LabeledArea) -> GeoBox:
        """Return the grid of the map."""
        return self._grid

    def image(self, place: LabeledArea) -> StoredImage | None:
        """Return None: only labels are known."""
        return None

    def _joined(self, legend: Legend) -> Legend:
        """Add the codes that only the labels hold."""
        found: set[int] = set()
        for window in chunks(self._grid):
            found |= set(np.unique(self._labels.read(window, "code")).tolist())
        extra = sorted(found - {UNLABELED} - {code for c in legend.classes for code in c.codes})
        if not extra:
            return legend
        return Legend(
            (*legend.classes, *legend_of_codes(extra, "code", self._labels.names).classes),
            origin=legend.origin,
        )
