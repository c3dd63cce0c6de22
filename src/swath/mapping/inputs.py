"""Images to map: one or many, apart or as a mosaic, with masks, regions and an order of bands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from swath.data.layouts.patterns.matching import natural_key
from swath.data.layouts.quality_layers import (
    QualityTarget,
    assign_quality,
    quality_paths,
    without_layer,
)
from swath.errors import DataError, UsageError, check_path
from swath.geo.crs import turns_of, x_period
from swath.geo.footprints import meet
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.latitude import check_located, with_latitude
from swath.geo.tiling import Pixels, Window
from swath.io.arrays import ArrayName, find_arrays, parse_array, stem_of
from swath.io.labels import UNLABELED, VectorLabels, read_ignore_mask
from swath.io.labels.placement import outline
from swath.io.products import (
    band_named,
    choose_bands,
    default_bands,
    describe_band,
    find_products,
    is_product_path,
)
from swath.io.products.reader import is_archive
from swath.io.products.stac import is_url
from swath.io.quality import QualityMask, check_mask
from swath.io.raster import Raster, find_files, has_raster_name, open_raster
from swath.io.source_file import BandFile, Product, QualityFile
from swath.io.vector import Features, read_geometries
from swath.models.band_matching import find_bands, says_something
from swath.options import DROP, LAST_CLEAR
from swath.types import Faults, PathLike, QualityReason

LATER_FIELDS = (
    "product",
    "quality",
    "drop",
    "clear_below",
    "scaled",
    "nodata",
    "ignore_band_nodata",
    "fill",
    "warp",
    "erode_nodata",
)
"""Fields of `ImageInput` that plans of older versions do not have."""

MAX_OPEN_FILES = 64
"""Files of a mosaic that are open at one time."""


class ImageInput(BaseModel, frozen=True):
    """An image to map, by the names of its files, so that every worker can open it.

    Attributes:
        name: what its map is called, without extension.
        files: one raster; the bands of a stack; or the images of a mosaic.
        mosaic: whether they are images beside each other, and not bands on each other.
        bands: names of the bands of a stack; None for a raster's own.
        order: bands to take, in the model's order, counted from 1; None for all as they are.
        mask: rasters whose non-zero pixels become nodata.
        regions: polygon layer outside of which nothing is mapped.
        latitude: whether the latitude of each pixel is a further band.
        quality: layers that tell which pixels are usable; the others become nodata.
        drop: reasons of quality layers for which pixels become nodata.
        clear_below: cloud probability in percent from which a pixel is cloud.
        scaled: whether values are physical ones; see `Raster`.
        nodata: value that means no data, besides what the files declare.
        ignore_band_nodata: whether a pixel is valid if one of its bands is.
        fill: value of each band where it alone has no data.
        erode_nodata: pixels around those without data that have none either.
        product: the product that the files belong to, with the bands to read; None for others.
        warp: whether files placed by control points or RPCs are read on a north-up grid; those of
            a product that control points place always are.
    """

    name: str
    files: tuple[str, ...]
    mosaic: bool = False
    bands: tuple[str, ...] | None = None
    order: tuple[int, ...] | None = None
    mask: tuple[str, ...] = ()
    regions: str | None = None
    latitude: bool = False
    product: Product | None = None
    quality: tuple[QualityFile, ...] = ()
    drop: tuple[QualityReason, ...] = DROP
    clear_below: float = LAST_CLEAR
    scaled: bool = False
    nodata: float | None = None
    ignore_band_nodata: bool = False
    fill: tuple[float, ...] = ()

    @property
    def parts(self) -> Sequence[str | BandFile]:
        """Files to read, or bands of the product in the order that is asked for.

        Raises:
            DataError: the product has fewer bands than that order counts.
        """
        if self.product is None:
            return self.files
        bands, order = self.product.bands, self.order or range(1, len(self.product.bands) + 1)
        if max(order) > len(bands):
            message = f"Band {max(order)} is wanted, and {self.name} has {len(bands)}"
            fix = f"Count these from 1: {', '.join(map(describe_band, bands))}"
            raise DataError(message, code="band-missing", file=self.product.path, fix=fix)
        return [bands[i - 1] for i in order]

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later fields at their default, so that older plans keep their bytes."""
        content: dict[str, Any] = dump(self)
        usual = type(self).model_fields
        unset = [name for name in LATER_FIELDS if getattr(self, name) == usual[name].default]
        return {key: value for key, value in content.items() if key not in unset}

    warp: bool = False
    erode_nodata: int = 0

    @property
    def is_warped(self) -> bool:
        """Whether control points or RPCs count as the image's place."""
        return self.warp or self.product is not None and self.product.is_placed_by_points

    @property
    def context_files(self) -> list[str]:
        """Masks, quality layers and regions."""
        layers = [layer.path for layer in self.quality]
        return [*self.mask, *layers, *([self.regions] if self.regions else [])]

    def all_files(self) -> set[str]:
        """Return all files that are read, also sources of virtual rasters and side files."""
        found = {*self.files, *self.context_files}
        layers = [layer.path for layer in self.quality if layer.kind != "polygons"]
        todo = [name for name in (*self.files, *self.mask, *layers) if "://" not in name]
        if self.product is not None:
            found = {*self.product.local_files, *self.context_files}
        while todo:
            with suppress(DataError), open_raster(todo.pop()) as dataset:
                new = set(dataset.files) - found
                found |= new
                todo += [name for name in new if name.lower().endswith(".vrt")]
        return found

    def open(self) -> InputImage:
        """Open the image.

        Raises:
            DataError: a file is damaged, or the files do not fit together.
        """
        read: dict[str, Any] = {
            "order": self.order if self.product is None else None,
            "scaled": self.scaled,
            "nodata": self.nodata,
            "ignore_band_nodata": self.ignore_band_nodata,
            "fill": self.fill,
            "erode_nodata": self.erode_nodata,
            "warp": self.is_warped,
        }
        image: Raster | Mosaic
        if self.mosaic:
            image = Mosaic(self.files, **read)
        else:
            image = Raster(self.parts, self.bands, **read)
        opened = InputImage(image, self.mask, self.regions, self.latitude)
        try:
            opened.quality = self._open_quality(image)
        except BaseException:
            opened.close()
            raise
        return opened

    def _open_quality(self, image: Raster | Mosaic) -> QualityMask | None:
        if not self.quality:
            return None
        return QualityMask(self.quality, image.grid, self.drop, self.clear_below, image.paths[0])


class InputImage:
    """An image as it is to be mapped: masked pixels have no data, and only regions are wanted.

    Args:
        image: a raster or mosaic.
        mask: rasters whose non-zero pixels become nodata, also for the network.
        regions: polygon layer; None for all. What lies around a region is still read, as context.
        latitude: whether the latitude of each pixel is a further band, the last.

    Attributes:
        quality: layers that tell which pixels become nodata, None without.

    Raises:
        DataError: the regions cannot be read, or have no place on the image; or the latitude is
            wanted, and the image has no CRS.
    """

    def __init__(
        self,
        image: Raster | Mosaic,
        mask: Sequence[str] = (),
        regions: str | None = None,
        latitude: bool = False,
    ) -> None:
        self.image, self.grid = image, image.grid
        self.quality: QualityMask | None = None
        self._mask, self._latitude = [Path(p) for p in mask], latitude
        if latitude:
            check_located(image.grid, image.bands, self.name, "take a model without latitude")
        self._regions: VectorLabels | None = None
        if regions is not None:
            layer = read_geometries(regions)
            self._regions = VectorLabels(layer, image.grid, image=self.name)

    @property
    def name(self) -> str:
        """Path of the image, or of its first file."""
        return self.image.paths[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is read."""
        return np.result_type(self.image.dtype, np.float32) if self._latitude else self.image.dtype

    def read(self, window: Window) -> Pixels:
        """Read a window; see `Raster.read`."""
        values, valid = self.image.read(window)
        if self._mask:
            valid = valid & ~read_ignore_mask(self._mask, self.grid, window)
        if self.quality is not None:
            valid = valid & ~self.quality.read(window)
        pixels = Pixels(values, valid)
        return with_latitude(pixels, self.grid, window, self.name) if self._latitude else pixels

    def wanted(self, window: Window) -> NDArray[np.bool_] | None:
        """Return which pixel centers of a window lie in the regions; None where all do."""
        if self._regions is None:
            return None
        inside: NDArray[np.bool_] = self._regions.read(window, "code") != UNLABELED
        return inside

    def close(self) -> None:
        """Close the files."""
        self.image.close()
        if self.quality is not None:
            self.quality.close()

    def __enter__(self) -> InputImage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Mosaic:
    """Several images beside each other, as one. Where they overlap, the first with data counts.

    Args:
        paths: the images, in order; all with one CRS, pixels of one size, bands and type.
        read: how each is read; see `Raster`.

    Raises:
        DataError: a file is damaged, or its pixels do not lie on the first one's grid.
    """

    def __init__(self, paths: Sequence[str], **read: Any) -> None:
        self.paths = tuple(paths)
        self._read = read
        self._opened: dict[int, Raster] = {}
        self._orders: dict[int, list[int]] = {}
        first = self._raster(0)
        self.dtype, self.bands, self.is_scaled = first.dtype, first.bands, first.is_scaled
        places = [self._place(i, first.grid) for i in range(len(paths))]
        period = x_period(first.grid.crs)
        if period is not None and first.grid.transform[0]:
            places = _side_by_side(places, period / abs(first.grid.transform[0]))
        top, left = min(p.row for p in places), min(p.col for p in places)
        self._places = [Window(p.row - top, p.col - left, p.height, p.width) for p in places]
        height, width = max(p.stop[0] for p in self._places), max(p.stop[1] for p in self._places)
        self.grid = first.grid.part(Window(top, left, height, width))

    extra_georeferencing: dict[str, Any] = {}

    @property
    def sources(self) -> list[str]:
        """The images."""
        return list(self.paths)

    @property
    def named_by_color(self) -> bool:
        """See `Raster.named_by_color`."""
        return self._raster(0).named_by_color

    @property
    def is_warped(self) -> bool:
        """See `Raster.is_warped`."""
        return self._raster(0).is_warped

    def _raster(self, i: int) -> Raster:
        """Open an image, and close the one that was used longest ago."""
        read = self._read | ({"order": self._orders[i]} if i in self._orders else {})
        raster = self._opened.pop(i, None) or Raster([self.paths[i]], **read)
        self._opened[i] = raster
        if len(self._opened) > MAX_OPEN_FILES:
            self._opened.pop(next(iter(self._opened))).close()
        return raster

    def _in_order(self, i: int) -> Raster:
        """Open an image whose bands are those of the first, by their names where these tell.

        Raises:
            DataError: the names show that the image has other bands.
        """
        raster, known = self._raster(i), self.bands
        if raster.bands == known or not (says_something(known) and says_something(raster.bands)):
            return raster
        with Raster([self.paths[i]], **self._read | {"order": None}) as whole:
            own = whole.bands
        found = find_bands(known, [[name] for name in own])
        if len(found) != 1 and set(known) & set(own):
            message = f"The image has the bands {', '.join(own)}, and {self.paths[0]} has "
            fix = "Leave --mosaic out, or give images of the same bands"
            text = message + ", ".join(known)
            raise DataError(text, code="band-mismatch", file=self.paths[i], fix=fix)
        if len(found) == 1:
            self._opened.pop(i).close()
            self._orders[i] = [place + 1 for place in found.pop()]
        return self._raster(i)

    def _place(self, i: int, grid: GeoBox) -> Window:
        """Return where an image lies, in pixels of the first."""
        raster, path, first = self._in_order(i), self.paths[i], self.paths[0]
        col, row = ~grid.affine * raster.grid.point(0, 0)
        place = Window(round(row), round(col), raster.grid.height, raster.grid.width)
        if not raster.grid.same_as(grid.part(place)):
            message = f"The pixels of the image do not lie on the grid of {first}"
            fix = (
                "Warp all images to one grid first (`rio warp FILE NEW.tif --dst-crs EPSG:32632 "
                "--res 10 --target-aligned-pixels`), or leave --mosaic out"
            )
            raise DataError(message, code="grid-mismatch", file=path, fix=fix)
        count, known = len(raster.bands), len(self.bands)
        if count != known or raster.dtype != self.dtype:
            message = f"The image has {count} bands of {raster.dtype}, and {first} has {known} of "
            fix = "Leave --mosaic out, or give images of the same bands and type"
            raise DataError(f"{message}{self.dtype}", code="band-mismatch", file=path, fix=fix)
        return place

    def read(self, window: Window) -> Pixels:
        """Read a window; see `Raster.read`. What no image covers is invalid."""
        values = np.zeros((len(self.bands), window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        for i, place in enumerate(self._places):
            common = window.within(place)
            if not common.size:
                continue
            at = common.relative_to(window).slices
            if valid[at].all():
                continue
            part = self._raster(i).read(common.relative_to(place))
            new = part.valid & ~valid[at]
            np.copyto(values[(slice(None), *at)], part.values, where=new)
            valid[at] |= new
        return Pixels(values, valid)

    def close(self) -> None:
        """Close the files."""
        with ExitStack() as stack:
            for raster in self._opened.values():
                stack.callback(raster.close)
        self._opened.clear()


def _side_by_side(places: list[Window], period: float) -> list[Window]:
    """Return the places of images, turned around the earth where less lies between them then.

    Args:
        places: in pixels of one grid.
        period: columns around the earth; unless they are whole, no image can be turned.
    """
    around = round(period)

    def turned(start: int) -> list[Window]:
        cols = [start + (p.col - start) % around for p in places]
        return [Window(p.row, col, p.height, p.width) for p, col in zip(places, cols, strict=True)]

    def width(found: Sequence[Window]) -> int:
        return max(p.stop[1] for p in found) - min(p.col for p in found)

    if abs(period - around) > 0.1 or width(places) <= around / 2:
        return places
    return min([places, *(turned(p.col) for p in places)], key=width)


def find_inputs(
    given: str | Path | Iterable[str | Path],
    bands: Sequence[str],
    stack: str | None = None,
    *,
    by_order: bool = False,
    faults: Faults | None = None,
) -> list[ImageInput]:
    """List the images that are meant.

    Args:
        given: a raster (any path that GDAL opens), a product (folder, archive or STAC item), a
            folder of rasters or products, a pattern, a text file with one path a line, or several
            of these.
        bands: names of the model's bands, by which the bands of a product and the files of a stack
            are found.
        stack: folder with the bands of one image in separate files, or a pattern of these files,
            which are stacked in natural order as `prepare` does.
        by_order: whether the bands are chosen by their place, so that a product gives its default
            bands.
        faults: takes the errors of single entries of a list, pattern or folder, and what they name;
            None where these are raised.

    Raises:
        DataError: nothing is found, or not all bands are.
        UsageError: two images would have maps of one name.
    """
    if stack is not None:
        if not Path(stack).is_dir() and set("*?[") & set(stack):
            return [_stacked(stack, bands, by_order)]
        files = tuple(map(absolute, find_stack(stack, bands)))
        one_each = len(files) == len(bands) and not by_order and not any(map(_has_bands, files))
        names = tuple(bands) if one_each else None
        return [ImageInput(name=Path(stack).name, files=files, bands=names)]
    wanted = () if by_order else tuple(bands)
    if isinstance(given, (str, Path)):
        out = _expand(str(given), wanted, faults)
    else:
        out = _each(map(str, given), lambda one: _expand(one, wanted, faults), faults)
    name, count = Counter(i.name for i in out).most_common(1)[0] if out else ("", 0)
    if count > 1:
        message = f"{count} images are called {name}, and so would be their maps"
        raise UsageError(message, code="same-name", fix="Map them one by one")
    return out


def _stacked(pattern: str, bands: Sequence[str], by_order: bool) -> ImageInput:
    """Return the files of a pattern as one image, whose bands are the model's in their order.

    Raises:
        DataError: no file matches, or they have another number of bands.
    """
    files = tuple(
        map(absolute, sorted(find_files(pattern), key=lambda path: natural_key(path.as_posix())))
    )
    if not files:
        message, fix = f"No file matches --stack {pattern}", "Check the pattern, and quote it"
        raise DataError(message, code="no-such-file", file=pattern, fix=fix)
    with Raster(files) as raster:
        own = raster.bands
    if not by_order and len(own) != len(bands):
        message = f"The {len(files)} files of --stack have {len(own)} bands together, and the model"
        fix = "Give a pattern of all files of one sample, as in training"
        raise DataError(f"{message} {len(bands)}", code="band-mismatch", file=pattern, fix=fix)
    return ImageInput(
        name=Path(files[0]).stem, files=files, bands=None if by_order else tuple(bands)
    )


def _has_bands(path: str) -> bool:
    """Return whether a raster has several bands of data."""
    with Raster([path]) as raster:
        return len(raster.bands) > 1


def find_masks(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the files that `--mask` names, each a file or a pattern, as absolute paths.

    Raises:
        DataError: a pattern matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        named = "://" in pattern or pattern.startswith("/vsi")
        paths = [] if named else [*map(str, find_arrays(pattern))] or find_files(pattern)
        files = [pattern] if named else list(map(absolute, paths))
        if not files:
            message = f"No file matches --mask {pattern}"
            fix = check_path(pattern, "Check the name or pattern")
            raise DataError(message, code="no-masks", file=pattern, fix=fix)
        found |= dict.fromkeys(files)
    return tuple(found)


def check_context(sources: Sequence[ImageInput]) -> list[str]:
    """Return a warning for each mask that touches none of the images, and for some without regions.

    Raises:
        DataError: no region touches any image, a mask holds something else, several masks fit
            several images only by their size, or a file is damaged.
    """
    if not sources[0].mask and sources[0].regions is None:
        return []
    for path in sources[0].mask:
        check_mask(path)
    grids, out = [], []
    for source in sources:
        with source.open() as image:
            grids.append(image.grid)
    for path in sources[0].mask:
        with open_raster(path) as dataset:
            own = geobox_of(dataset)
        if not any(_touch(own, grid) for grid in grids):
            fix = "Check its CRS and extent, or leave out --mask."
            out.append(f"{path}: The mask touches no image. {fix}")
    if sources[0].regions is not None:
        out += _check_regions(sources[0].regions, sources, grids)
    unplaced = [path for path in sources[0].mask if not _has_crs(path)]
    if len(unplaced) > 1 and len(sources) > 1:
        message = (
            f"{len(unplaced)} masks have no CRS, so nothing says which of {len(sources)} images "
            "each belongs to"
        )
        fix = "Map the images one by one, each with its own --mask"
        raise DataError(message, code="ambiguous-mask", file=unplaced[0], fix=fix)
    return out


def _check_regions(
    path: str, sources: Sequence[ImageInput], grids: Sequence[GeoBox]
) -> Iterator[str]:
    """Yield a warning on the images that no region touches.

    Raises:
        DataError: these are all.
    """
    regions = read_geometries(path)
    pairs = zip(sources, grids, strict=True)
    missed = [source.files[0] for source, grid in pairs if not touches_image(regions, grid)]
    if len(missed) == len(sources):
        what = "the image" if len(sources) == 1 else f"any of {len(sources)} images"
        message = f"No polygon of --regions touches {what}, so nothing would be mapped"
        fix = "Check the CRS and extent of the layer, or leave out --regions"
        raise DataError(message, code="regions-miss-images", file=path, fix=fix)
    if missed:
        names = ", ".join(missed[:5]) + (", ..." if len(missed) > 5 else "")
        some = f"{len(missed)} of {len(sources)} images"
        yield f"{path}: No polygon of --regions touches {some}, whose maps have no data: {names}."


def touches_image(regions: Features, image: GeoBox) -> bool:
    """Return whether a feature of a layer lies in an image; True where no CRS leads to it."""
    if image.crs is None and regions.crs is not None:
        return True  # an error when the image is opened, which knows more
    _, tree = regions.to_crs_indexed(image.crs)
    outlines = [outline(image.moved(shift)) for shift in turns_of(image.crs)]
    return len(tree.query(outlines, predicate="intersects")[0]) > 0


def _has_crs(path: str) -> bool:
    with open_raster(path) as dataset:
        return geobox_of(dataset).crs is not None


def _touch(mask: GeoBox, image: GeoBox) -> bool:
    """Return whether a mask touches an image; True where their places are not known."""
    return meet(mask, image) is not False


def with_quality(
    sources: Sequence[ImageInput],
    given: Sequence[str],
    drop: tuple[QualityReason, ...] = DROP,
    clear_below: float = LAST_CLEAR,
) -> tuple[list[ImageInput], list[str]]:
    """Return images with the quality layers of `--quality`, and warnings.

    Layers that lie among the images, as in one folder, are no images.

    Raises:
        DataError: see `assign_quality`.
        UsageError: `none` is given with others.
    """
    layers = quality_paths(given, Path())
    images = [s for s in sources if s.mosaic or Path(s.files[0]).absolute() not in layers]
    sources = images or sources  # a layer is named as an image where there is no other
    found = assign_quality([_target(source) for source in sources], given)
    bare = without_layer(found, given, [source.files[0] for source in sources])
    out = [
        source.model_copy(update={"quality": files, "drop": drop, "clear_below": clear_below})
        for source, files in zip(sources, found, strict=True)
    ]
    return out, [f"{f.message} {f.fix}" for f in bare]


def _target(source: ImageInput) -> QualityTarget:
    def open_grid() -> GeoBox:
        with source.open() as image:
            return image.grid

    own = source.product.quality if source.product is not None else ()
    names: tuple[tuple[str, ...], ...] = ((source.name, *source.files),)
    if source.mosaic:
        names = tuple((file,) for file in source.files)
    return QualityTarget(names, own, open_grid)


def find_stack(folder: PathLike, bands: Sequence[str]) -> list[Path]:
    """Find the file of each band in a folder.

    It is the raster whose name is the band's, or else has the band's name as a whole word; for
    bands such as `scene-red`, else the raster of that kind for `scene`, which is returned once for
    all its bands.

    Raises:
        DataError: a band has no file, or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        message = "The folder of the bands does not exist"
        fix = check_path(folder, "Check the path after --stack")
        raise DataError(message, code="no-such-folder", file=folder, fix=fix)
    files = sorted(filter(has_raster_name, folder.iterdir()))
    found = []
    for band in bands:
        matches = _named(files, band) or _named(files, band.rpartition("-")[0])
        if len(matches) != 1:
            names = ", ".join(m.name for m in matches) or f"none among {len(files)} rasters"
            message = f"Band {band} needs exactly one file in the folder; found: {names}"
            fix = f"Name the files after the model's bands ({', '.join(bands)})"
            raise DataError(message, code="band-missing", file=folder, fix=fix)
        found += matches
    return list(dict.fromkeys(found))


def _named(files: Sequence[Path], band: str) -> list[Path]:
    """Return the files of a name, else those that have it as a whole word; none of no name."""
    if not band:
        return []
    word = re.compile(rf"(?<![0-9A-Za-z]){re.escape(band)}(?![0-9A-Za-z])")
    exact = [f for f in files if f.stem == band]
    return exact or [f for f in files if word.search(f.stem)]


def absolute(path: str | Path) -> str:
    """Return a path that means the same from every working directory.

    What is no local file (a URL, `/vsi...`, `GPKG:x`) stays as it is.
    """
    array = parse_array(path)
    if array is not None and Path(array.file).exists():
        return str(array.in_file(Path(array.file).resolve()))
    return str(Path(path).resolve()) if Path(path).exists() else str(path)


def _each(
    entries: Iterable[str], find: Callable[[str], list[ImageInput]], faults: Faults | None
) -> list[ImageInput]:
    """List the images of several entries; see `find_inputs`."""
    out = []
    for entry in entries:
        try:
            out += find(entry)
        except DataError as error:
            if faults is None:
                raise
            faults.append((entry, error))
    return out


def _expand(given: str, bands: Sequence[str], faults: Faults | None) -> list[ImageInput]:
    """List the images of a path; without `bands`, products give their default bands."""
    array = parse_array(given.removesuffix("[*]"))
    if array is not None:
        return _arrays(given, array)
    path, kind = Path(given), Path(given).suffix.lower()
    if path.is_dir():
        return _in_folder(path, given, bands, faults)
    if _is_product_file(given):
        return _of_products(given, bands, faults)
    if kind == ".txt" and path.is_file():
        return _each(_listed(path), lambda line: _expand(line, bands, faults), faults)
    if kind in (".json", ".geojson") and path.is_file():
        message = "An image is wanted, and the file is no STAC item: it may be a vector layer"
        fix = "Give a raster, such as a GeoTIFF, or a STAC item"
        raise DataError(message, code="not-a-stac-item", file=path, fix=fix)
    is_pattern = not path.exists() and "://" not in given and set(given) & set("*?[")
    return _of_pattern(given, bands, faults) if is_pattern else [_single(given)]


def _is_product_file(given: str) -> bool:
    """Return whether a path is the URL of a STAC item, an archive, or a file of a product."""
    path = Path(given)
    return is_url(given) or path.is_file() and (is_archive(path) or is_product_path(path))


def _arrays(given: str, array: ArrayName) -> list[ImageInput]:
    """Return the arrays of a name: of all files that match it, and of all indexes for `[*]`."""
    names = find_arrays(given)
    if not names and set(array.file) & set("*?["):
        message, fix = "The pattern matches no file", "Check the pattern"
        raise DataError(message, code="no-images", file=given, fix=fix)
    names = names or [array]
    return [_single(str(name)) for name in names]


def _listed(path: Path) -> list[str]:
    """Return the lines of a text file, without empty ones and comments."""
    lines = map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _of_pattern(given: str, bands: Sequence[str], faults: Faults | None) -> list[ImageInput]:
    """List the products and rasters that match a pattern."""
    matches = find_files(given, folders=True)
    products = [p for p in matches if is_product_path(p)]
    found = _each(map(str, products), lambda one: _of_products(one, bands, faults), faults)
    rasters = [p for p in matches if p.is_file() and p not in products]
    if products and not any(map(has_raster_name, rasters)):
        return found
    return [*found, *_rasters(rasters, given)]


def _in_folder(
    path: Path, given: str, bands: Sequence[str], faults: Faults | None
) -> list[ImageInput]:
    """List the product that a folder is, else its rasters, else the products below."""
    files = sorted(path.glob("[!.]*"))
    if is_product_path(path, plain=True):
        others = _of_no_product(files, find_products(path, plain=True))
        return [*_of_products(given, bands, faults), *map(_single, others)]
    before = len(faults or ())
    found = [] if any(map(has_raster_name, files)) else _of_products(given, bands, faults)
    return found if found or len(faults or ()) > before else _rasters(files, given)


def _of_no_product(files: Sequence[Path], products: Sequence[Product]) -> list[Path]:
    """Return the rasters that belong to none of the products beside them, by path and name."""
    held = {name for product in products for name in product.local_files}
    heads = tuple(product.name.partition("_AnalyticMS")[0] for product in products)
    rasters = [file for file in files if has_raster_name(file) and file.is_file()]
    return [f for f in rasters if absolute(f) not in held and not f.name.startswith(heads)]


def _of_products(given: str, bands: Sequence[str], faults: Faults | None) -> list[ImageInput]:
    out = []
    for product in find_products(given, plain=True, faults=faults):
        try:
            out.append(_of_product(product, bands, given))
        except DataError as error:
            if faults is None:
                raise
            faults.append((product.name, error))
    return out


def _of_product(product: Product, bands: Sequence[str], given: str) -> ImageInput:
    """Return the input of a product with the model's bands, by common name or the sensor's own.

    One file whose bands nothing names is read as it is.
    """
    names: tuple[str, ...] | None = tuple(bands)
    paths = list(dict.fromkeys(band.path for band in product.bands))
    if not bands:
        chosen, names = default_bands(product), None
    elif all(band_named(product, band) for band in bands):
        chosen = choose_bands(product, bands)
    elif len(paths) == 1 and (_is_unnamed(bands) or product.sensor == "unknown"):
        if len(product.bands) != len(bands):
            return ImageInput(name=product.name, files=(absolute(paths[0]),))
        chosen, names = product.bands, None
    else:
        raise _bands_missing(product, bands, given)
    files = tuple(dict.fromkeys(band.path for band in chosen))
    product = product.model_copy(update={"bands": chosen})
    return ImageInput(name=product.name, files=files, bands=names, product=product)


def _is_unnamed(bands: Sequence[str]) -> bool:
    return all(band.isdecimal() for band in bands)


def _bands_missing(product: Product, bands: Sequence[str], given: str) -> DataError:
    own = ", ".join(map(describe_band, product.bands))
    message = f"The bands of {product.name} ({own}) are not those of the model ({', '.join(bands)})"
    fix = "Take a model of these bands"
    if len(bands) <= len(default_bands(product)):
        order = ",".join(map(str, range(1, len(bands) + 1)))
        fix += f", or name the places of its bands among the reflective ones (--band-order {order})"
    return DataError(message, code="band-missing", file=given, fix=fix)


def _rasters(paths: Iterable[Path], given: str) -> list[ImageInput]:
    found = [_single(p) for p in sorted(filter(has_raster_name, paths))]
    if not found:
        message = "The folder holds no raster, or the pattern matches none"
        fix = "Name the images, or check the pattern"
        raise DataError(message, code="no-images", file=given, fix=fix)
    return found


def _single(path: str | Path) -> ImageInput:
    named = parse_array(path) is not None or Path(path).exists()
    name = stem_of(path) if named else Path(str(path).rpartition(":")[2]).stem
    return ImageInput(name=name or "image", files=(absolute(path),))
