"""What a layout returns: the samples of a source folder, and faults in how they are arranged."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels, Window
from swath.io.arrays import ARRAY_KINDS, find_arrays, is_store
from swath.io.atomic import file_stamps
from swath.io.labels import (
    UNLABELED,
    EmptyLabels,
    Labels,
    MaskReading,
    RasterLabels,
    VectorLabels,
)
from swath.io.products import choose_bands, default_bands
from swath.io.quality import QualityMask, QualityTally
from swath.io.raster import ENVI_ENDINGS, EXTENSIONS, Raster, find_files
from swath.io.source_file import BandFile, Product, QualityFile
from swath.io.vector import Features, is_vector_file
from swath.legend import Kind, Legend
from swath.options import DROP, LAST_CLEAR
from swath.types import Finding, Level, OwnSplit, QualityReason

MIN_HEIGHT, MAX_HEIGHT = -100.0, 1000.0  # meters above ground (the tallest building has 828)


@dataclass(frozen=True)
class OpenSample:
    """Image, labels, ignore masks and quality layers of a sample, all on the image's grid."""

    raster: Raster
    labels: Labels
    masks: Sequence[Labels]
    quality: QualityMask | None = None

    def read_ignored(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels (rows, columns) of a window to ignore.

        They are those that a mask marks, which are not 0 and not nodata, and that a quality layer
        drops.
        """
        ignored = np.zeros((window.height, window.width), bool)
        for mask in self.masks:
            values = mask.read(window, "code")
            ignored |= (values != 0) & (values != UNLABELED)
        if self.quality is not None:
            ignored |= self.quality.read(window)
        return ignored

    def count_dropped(self) -> QualityTally | None:
        """Count the pixels that quality layers drop by reason; None without layers."""
        return None if self.quality is None else self.quality.count(self.raster.grid)


@dataclass(frozen=True)
class SourceSample:
    """One image with its labels.

    Attributes:
        name: unique in the catalog; a relative path without extension.
        images: files whose bands are stacked, usually one.
        labels: a label raster, a vector layer in memory, or None for an unlabeled image.
        ignored: mask rasters whose non-zero pixels are ignored.
        group: samples that show the same area share a group; None for an image that is to be cut
            into blocks, a group each.
        warp: whether a label raster may lie on another grid.
        bands: names of the bands, where the layout knows them; empty for the files' own.
        heights: raster of heights above ground in meters, NaN or nodata where unknown.
        reading: how a label raster is read.
        split: the dataset's own split, None where it has none.
        more_labels: label files that are joined to `labels`: rasters, of which the first that has a
            label gives it, or the other files of a layer in memory.
        select: bands of the image to use, by name or number from 1; all by default.
        nodata: value of the image that means no data, besides what its files declare.
        quality: layers that tell which pixels are usable; the others are ignored.
        drop: reasons of quality layers for which pixels are ignored.
        clear_below: cloud probability in percent from which a pixel is cloud.
        scaled: whether its values are physical ones; see `Raster`.
        ignore_band_nodata: whether a pixel is valid if one of its bands is.
        fill: value of each band where it alone has no data.
        erode_nodata: pixels around those without data that have none either.
        product: the product whose bands the image is, of which `select` chooses; None for others.
        warp_image: whether an image placed by control points or RPCs is read on a north-up grid;
            one of a product that control points place always is.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | Features | None
    ignored: tuple[Path, ...] = ()
    group: str | None = None
    warp: bool = False
    bands: tuple[str, ...] = ()
    heights: Path | None = None
    reading: MaskReading = field(default_factory=MaskReading)
    split: OwnSplit | None = None
    more_labels: tuple[Path, ...] = ()
    select: tuple[str, ...] = ()
    nodata: float | None = None
    product: Product | None = None
    quality: tuple[QualityFile, ...] = ()
    drop: tuple[QualityReason, ...] = DROP
    clear_below: float = LAST_CLEAR
    scaled: bool = False
    ignore_band_nodata: bool = False
    fill: tuple[float, ...] = ()
    erode_nodata: int = 0

    @property
    def parts(self) -> Sequence[Path | BandFile]:
        """Files to stack, or the chosen bands of the product.

        Raises:
            DataError: the product has no such band.
        """
        if self.product is None:
            return self.images
        if self.select:
            return choose_bands(self.product, self.select)
        return default_bands(self.product)

    warp_image: bool = False

    @property
    def is_warped(self) -> bool:
        """Whether control points or RPCs count as the image's place."""
        return self.warp_image or self.product is not None and self.product.is_placed_by_points

    @property
    def stamp(self) -> dict[str, str]:
        """Size and time of change of all files; see `file_stamps`."""
        heights = [self.heights] if self.heights else []
        own = self.images if self.product is None else sorted(self.product.local_files)
        files = *own, self.label_file, *self.more_labels, *self.ignored, *heights
        files += tuple(Path(layer.path) for layer in self.quality)
        return file_stamps(map(str, files))

    @property
    def label_file(self) -> str:
        """Path of the labels, or of the image where it has none."""
        if isinstance(self.labels, Features):
            return self.labels.path
        return str(self.labels or self.images[0])

    @contextmanager
    def open(self, legend: Legend | None = None) -> Iterator[OpenSample]:
        """Open image, labels and ignore masks, each file once.

        Raises:
            DataError: a file cannot be opened, or does not fit the image.
        """
        with ExitStack() as stack:
            raster = stack.enter_context(self.open_image())
            labels = stack.enter_context(closing(self.open_labels(raster.grid, legend)))
            masks = [
                stack.enter_context(closing(RasterLabels(path, raster.grid, warp=True)))
                for path in self.ignored
            ]
            quality = self.open_quality(raster.grid)
            if quality is not None:
                stack.callback(quality.close)
            yield OpenSample(raster, labels, masks, quality)

    def open_quality(self, grid: GeoBox) -> QualityMask | None:
        """Open the quality layers on the image's grid; None without any.

        Raises:
            DataError: see `QualityMask`.
        """
        if not self.quality:
            return None
        return QualityMask(self.quality, grid, self.drop, self.clear_below, self.images[0])

    def open_labels(self, grid: GeoBox, legend: Legend | None = None) -> Labels:
        """Open the labels on the image's grid.

        Raises:
            DataError: see `RasterLabels` and `VectorLabels`.
        """
        if self.labels is None:
            return EmptyLabels()
        if isinstance(self.labels, Features):
            found = legend is not None and legend.found
            return VectorLabels(self.labels, grid, legend, found=found, image=self.images[0])
        if self.more_labels:
            return MosaicLabels((self.labels, *self.more_labels), grid, self.reading, legend)
        return RasterLabels(self.labels, grid, warp=self.warp, reading=self.reading, legend=legend)

    def open_image(self) -> Raster:
        """Open the image.

        Raises:
            DataError: see `Raster`.
        """
        try:
            return Raster(
                self.parts,
                self.bands,
                select=self.select if self.product is None else (),
                nodata=self.nodata,
                scaled=self.scaled,
                ignore_band_nodata=self.ignore_band_nodata,
                fill=self.fill,
                erode_nodata=self.erode_nodata,
                warp=self.is_warped,
            )
        except DataError as error:
            if error.code != "grid-mismatch":
                raise
            message = f"The grid (size, CRS or transform) is not that of {self.images[0]}"
            fix = "Write an --images pattern that leaves out the files of another grid"
            raise DataError(message, code=error.code, file=error.file, fix=fix) from error

    def open_heights(self, grid: GeoBox) -> Raster | None:
        """Open the heights, which lie on the image's grid; None without.

        Raises:
            DataError: they cannot be opened, have several bands, or do not fit the image.
        """
        if self.heights is None:
            return None
        raster = Raster([self.heights])
        own, bands = raster.grid, len(raster.bands)
        if (own.height, own.width) == (grid.height, grid.width) and bands == 1:
            return raster
        raster.close()
        sizes = f"{own.width}x{own.height}, and the image {grid.width}x{grid.height}"
        message = f"The heights have {bands} band(s) of {sizes}"
        fix = "Give one band on the image's pixels, or leave out all heights (prepare --no-heights)"
        raise DataError(message, code="size-mismatch", file=self.heights, fix=fix)


class MosaicLabels:
    """Label rasters of an image on any grids; the first that has a label gives it.

    Args:
        paths: the rasters.
        grid: the image's grid.
        reading: how label rasters are read.
        legend: the user's classes, None where they are found.

    Raises:
        DataError: see `RasterLabels`.
    """

    names: dict[int, str] = {}

    def __init__(
        self, paths: Sequence[Path], grid: GeoBox, reading: MaskReading, legend: Legend | None
    ) -> None:
        self._stack = ExitStack()
        self._parts: list[RasterLabels] = []
        try:
            for path in paths:
                part = RasterLabels(path, grid, warp=True, reading=reading, legend=legend)
                self._parts.append(self._stack.enter_context(closing(part)))
        except BaseException:
            self.close()
            raise

    def read(self, window: Window, kind: Kind) -> NDArray[np.int64]:
        """Return labels (rows, columns) of a window."""
        out = self._parts[0].read(window, kind)
        for part in self._parts[1:]:
            missing = out == UNLABELED
            if missing.any():
                out = np.where(missing, part.read(window, kind), out)
        return out

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def known_heights(pixels: Pixels) -> NDArray[np.float32]:
    """Return heights in meters (rows, columns), NaN where invalid or out of range."""
    heights = pixels.values[0]
    known = pixels.valid & (heights >= MIN_HEIGHT) & (heights <= MAX_HEIGHT)
    return np.where(known, heights, np.nan).astype(np.float32)


def missing_mask(image: Path, sample: str, mask: str, unlabeled: bool) -> Finding:
    """Return the finding on an image without `mask`; a note where `--unlabeled` allows it."""
    message = f"The image has no {mask}."
    fix = "Add the mask, keep the image without labels (--unlabeled), or leave it out (--skip-bad)."
    level: Level = "note" if unlabeled else "error"
    return Finding(level, "missing-mask", str(image), message, fix, sample)


def orphan_mask(mask: Path, problem: str) -> Finding:
    """Return the finding on a mask that belongs to no image, or to several."""
    fix = "Add the image, rename the mask after its image, or leave the mask out (--skip-bad)."
    return Finding("error", "orphan-mask", str(mask), problem, fix, f"mask {mask.name}")


def files_below(root: Path) -> Iterator[Path]:
    """Yield all files below a folder but hidden ones; a Zarr store is one.

    Linked folders are entered, each once; broken links are yielded.
    """
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        stores = [name for name in folders if is_store(Path(folder, name))]
        folders[:] = [n for n in folders if not n.startswith(".") and n not in stores]
        yield from (Path(folder, name) for name in (*files, *stores) if not name.startswith("."))


_SIDE_FILES = frozenset(
    ".aux .xml .tfw .tifw .pgw .pngw .jgw .jpgw .wld .prj .txt .json .md .qml .ovr .msk .rpb .cpg "
    ".dbf .shx .qix .sbn .sbx .html .pdf .csv .yaml .yml .py .sh .log .ini .cfg .lock .license "
    ".qgz .qgs .qpj .qmd .sld .lyr .lyrx .gpkg-wal .gpkg-shm .geojsonl .sha256 .md5 .hdr".split()
)
"""Endings of files that describe others, or are text; also `Thumbs.db` and files without ending."""

_ARCHIVES = frozenset(".zip .gz .tgz .tar .7z .rar .bz2 .xz".split())


def check_passed_over(root: Path) -> Iterator[Finding]:
    """Yield a note on the files of a folder whose formats are not read, by ending and count."""
    files: dict[str, list[Path]] = defaultdict(list)
    arrays: list[Path] = []
    known = EXTENSIONS | ENVI_ENDINGS | _SIDE_FILES
    for path in files_below(root):
        ending = path.suffix.lower()
        if is_vector_file(path):
            continue
        if ending.lstrip(".") in ARRAY_KINDS:
            arrays.append(path)
        elif (
            ending and ending not in known and path.name.lower() not in ("thumbs.db", "desktop.ini")
        ):
            files[ending].append(path)
    if arrays:
        message = f"{len(arrays)} file(s) of arrays were passed over: they are taken where named."
        kind = min(arrays).suffix
        fix = f"Name them, such as --images '*{kind}', if they are images or labels."
        yield Finding("note", "files-passed-over", str(min(arrays)), message, fix)
    if not files:
        return
    parts = [f"{len(found)} {ending} file(s)" for ending, found in sorted(files.items())]
    listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    first = min(path for found in files.values() for path in found)
    fix = f"Convert images to GeoTIFF, such as `rio convert {quote(str(first))} image.tif`."
    if _ARCHIVES & set(files):
        fix = "Unpack archives that hold images or labels."
    message = f"{listed} were passed over: their formats are not read."
    yield Finding("note", "files-passed-over", str(first), message, fix)


def product_sample(product: Product) -> SourceSample:
    """Return the unlabeled sample of a product."""
    images = tuple(dict.fromkeys(Path(band.path) for band in default_bands(product)))
    return SourceSample(product.name, images, None, product=product)


def product_findings(samples: Sequence[SourceSample]) -> Iterator[Finding]:
    """Yield what is missing or unusual in the products of samples, and how they are read."""
    for sample in samples:
        if sample.product is not None and sample.product.is_placed_by_points:
            message = "Ground control points place the image: it is warped as it is read (nearest)."
            fix = "Nothing, or give a terrain-corrected product (RTC)."
            file = sample.product.place
            yield Finding("note", "warped-by-points", file, message, fix, sample.name)
        if sample.product is not None:
            fix = "Use what is there, or get another version of the product."
            for message in sample.product.warnings:
                path = sample.product.place
                yield Finding("warning", "product-warning", path, message, fix, sample.name)


def matching(root: Path, pattern: str, *, folders: bool = False) -> list[Path]:
    """Return the files that match a pattern, below `root`, else the working directory; sorted.

    Args:
        root: the folder.
        pattern: see `find_files`.
        folders: whether folders that match are returned, too.
    """
    arrays = find_arrays(pattern, root)
    if arrays:
        return [Path(str(array)) for array in arrays]
    folders = folders or Path(pattern).suffix.lower() == ".gdb"  # a file geodatabase is one
    return find_files(pattern, root, folders=folders) or find_files(pattern, folders=folders)


@dataclass(frozen=True)
class Catalog:
    """The samples of a source folder, in the order of their names.

    Attributes:
        root: the folder.
        layout: name of the layout.
        samples: the samples.
        findings: faults of the arrangement (missing or ambiguous masks, ...).
        legend: the classes, where the layout knows them.
    """

    root: Path
    layout: str
    samples: tuple[SourceSample, ...]
    findings: tuple[Finding, ...] = ()
    legend: Legend | None = None
