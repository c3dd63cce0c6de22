"""Images to map: one or many, apart or as a mosaic, with masks, regions and an order of bands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from swath.errors import DataError, UsageError
from swath.geo.crs import turns_of, x_period
from swath.geo.footprints import meet
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.latitude import check_located, with_latitude
from swath.geo.tiling import Pixels, Window
from swath.io.labels import UNLABELED, VectorLabels, read_ignore_mask
from swath.io.labels.placement import outline
from swath.io.raster import EXTENSIONS, Raster, find_files, open_raster
from swath.io.vector import Features, read_geometries
from swath.mapping.stac import find_assets
from swath.types import PathLike

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
        warp: whether files placed by control points or RPCs are read on a north-up grid.
    """

    name: str
    files: tuple[str, ...]
    mosaic: bool = False
    bands: tuple[str, ...] | None = None
    order: tuple[int, ...] | None = None
    mask: tuple[str, ...] = ()
    regions: str | None = None
    latitude: bool = False
    warp: bool = False

    @property
    def context_files(self) -> list[str]:
        """Masks and regions."""
        return [*self.mask, *([self.regions] if self.regions else [])]

    def all_files(self) -> set[str]:
        """Return all files that are read, also sources of virtual rasters and side files."""
        found = {*self.files, *self.context_files}
        todo = [name for name in (*self.files, *self.mask) if "://" not in name]
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
        image: Raster | Mosaic
        if self.mosaic:
            image = Mosaic(self.files, self.order, warp=self.warp)
        else:
            image = Raster(self.files, self.bands, self.order, warp=self.warp)
        return InputImage(image, self.mask, self.regions, self.latitude)


class InputImage:
    """An image as it is to be mapped: masked pixels have no data, and only regions are wanted.

    Args:
        image: a raster or mosaic.
        mask: rasters whose non-zero pixels become nodata, also for the network.
        regions: polygon layer; None for all. What lies around a region is still read, as context.
        latitude: whether the latitude of each pixel is a further band, the last.

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

    def __enter__(self) -> InputImage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Mosaic:
    """Several images beside each other, as one. Where they overlap, the first with data counts.

    Args:
        paths: the images, in order; all with one CRS, pixels of one size, bands and type.
        order: bands to take from each, counted from 1.
        warp: see `Raster`.

    Raises:
        DataError: a file is damaged, or its pixels do not lie on the first one's grid.
    """

    def __init__(
        self, paths: Sequence[str], order: Sequence[int] | None = None, *, warp: bool = False
    ) -> None:
        self.paths = tuple(paths)
        self._order, self._warp = order, warp
        self._opened: dict[int, Raster] = {}
        first = self._raster(0)
        self.dtype, self.bands = first.dtype, first.bands
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

    def _raster(self, i: int) -> Raster:
        """Open an image, and close the one that was used longest ago."""
        raster = self._opened.pop(i, None) or self._open(i)
        self._opened[i] = raster
        if len(self._opened) > MAX_OPEN_FILES:
            self._opened.pop(next(iter(self._opened))).close()
        return raster

    def _open(self, i: int) -> Raster:
        return Raster([self.paths[i]], order=self._order, warp=self._warp)

    def _place(self, i: int, grid: GeoBox) -> Window:
        """Return where an image lies, in pixels of the first."""
        raster, path, first = self._raster(i), self.paths[i], self.paths[0]
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
    given: str | Path | Iterable[str | Path], bands: Sequence[str], stack: str | None = None
) -> list[ImageInput]:
    """List the images that are meant.

    Args:
        given: a raster (any path that GDAL opens), a folder of rasters, a pattern, a text file with
            one path a line, a STAC item, or several of these.
        bands: names of the model's bands, by which the assets of a STAC item and the files of a
            stack are found.
        stack: folder with the bands of one image in separate files.

    Raises:
        DataError: nothing is found, or not all bands are.
        UsageError: two images would have maps of one name.
    """
    if stack is not None:
        files = tuple(map(absolute, find_stack(stack, bands)))
        return [ImageInput(name=Path(stack).name, files=files, bands=tuple(bands))]
    several = [given] if isinstance(given, (str, Path)) else given
    out = [found for one in several for found in _expand(str(one), bands)]
    name, count = Counter(i.name for i in out).most_common(1)[0] if out else ("", 0)
    if count > 1:
        message = f"{count} images are called {name}, and so would be their maps"
        raise UsageError(message, code="same-name", fix="Map them one by one")
    return out


def find_masks(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the files that `--mask` names, each a file or a pattern, as absolute paths.

    Raises:
        DataError: a pattern matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        named = "://" in pattern or pattern.startswith("/vsi")
        files = [pattern] if named else list(map(absolute, find_files(pattern)))
        if not files:
            message, fix = f"No file matches --mask {pattern}", "Check the name or pattern"
            raise DataError(message, code="no-masks", file=pattern, fix=fix)
        found |= dict.fromkeys(files)
    return tuple(found)


def check_context(sources: Sequence[ImageInput]) -> list[str]:
    """Return a warning for each mask that touches none of the images, and for some without regions.

    Raises:
        DataError: no region touches any image, several masks fit several images only by their size,
            or a file is damaged.
    """
    if not sources[0].context_files:
        return []
    grids, out = [], []
    for source in sources:
        with source.open() as image:
            grids.append(image.grid)
    for path in sources[0].mask:
        with open_raster(path) as dataset:
            own = geobox_of(dataset)
        if not any(_touch(own, grid) for grid in grids):
            out.append(_missed(path, "mask", "--mask"))
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
    missed = [source.files[0] for source, grid in pairs if not _covers(regions, grid)]
    if len(missed) == len(sources):
        what = "the image" if len(sources) == 1 else f"any of {len(sources)} images"
        message = f"No polygon of --regions touches {what}, so nothing would be mapped"
        fix = "Check the CRS and extent of the layer, or leave out --regions"
        raise DataError(message, code="regions-miss-images", file=path, fix=fix)
    if missed:
        names = ", ".join(missed[:5]) + (", ..." if len(missed) > 5 else "")
        some = f"{len(missed)} of {len(sources)} images"
        yield f"{path}: No polygon of --regions touches {some}, whose maps have no data: {names}."


def _has_crs(path: str) -> bool:
    with open_raster(path) as dataset:
        return geobox_of(dataset).crs is not None


def _missed(path: str, what: str, option: str) -> str:
    return f"{path}: The {what} touches no image. Check its CRS and extent, or leave out {option}."


def _touch(mask: GeoBox, image: GeoBox) -> bool:
    """Return whether a mask touches an image; True where their places are not known."""
    return meet(mask, image) is not False


def _covers(regions: Features, image: GeoBox) -> bool:
    if image.crs is None and regions.crs is not None:
        return True  # an error when the image is opened, which knows more
    _, tree = regions.to_crs_indexed(image.crs)
    outlines = [outline(image.moved(shift)) for shift in turns_of(image.crs)]
    return len(tree.query(outlines, predicate="intersects")[0]) > 0


def find_stack(folder: PathLike, bands: Sequence[str]) -> list[Path]:
    """Find the file of each band in a folder.

    It is the raster whose name is the band's, or else has the band's name as a whole word.

    Raises:
        DataError: a band has no file, or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        message, fix = "The folder of the bands does not exist", "Check the path after --stack"
        raise DataError(message, code="no-such-folder", file=folder, fix=fix)
    files = sorted(filter(_has_raster_name, folder.iterdir()))
    found = []
    for band in bands:
        word = re.compile(rf"(?<![0-9A-Za-z]){re.escape(band)}(?![0-9A-Za-z])")
        exact = [f for f in files if f.stem == band]
        matches = exact or [f for f in files if word.search(f.stem)]
        if len(matches) != 1:
            names = ", ".join(m.name for m in matches) or f"none among {len(files)} rasters"
            message = f"Band {band} needs exactly one file in the folder; found: {names}"
            fix = f"Name the files after the model's bands ({', '.join(bands)})"
            raise DataError(message, code="band-missing", file=folder, fix=fix)
        found += matches
    return found


def absolute(path: str | Path) -> str:
    """Return a path that means the same from every working directory.

    What is no local file (a URL, `/vsi...`, `GPKG:x`) stays as it is.
    """
    return str(Path(path).resolve()) if Path(path).exists() else str(path)


def _expand(given: str, bands: Sequence[str]) -> list[ImageInput]:
    path, kind = Path(given), Path(given).suffix.lower()
    if path.is_dir():
        return _rasters(path.glob("[!.]*"), given)
    if kind == ".txt" and path.is_file():
        lines = map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())
        named = [line for line in lines if line and not line.startswith("#")]
        return [found for line in named for found in _expand(line, bands)]
    if kind in (".json", ".geojson") and path.is_file():
        return [_of_item(path, bands)]
    if not path.exists() and "://" not in given and set(given) & set("*?["):
        return _rasters(find_files(given), given)
    return [_single(given)]


def _of_item(path: Path, bands: Sequence[str]) -> ImageInput:
    name, assets = find_assets(path, bands)
    files = tuple(map(absolute, assets))
    if len(set(files)) == 1:
        return ImageInput(name=name, files=files[:1])
    return ImageInput(name=name, files=files, bands=tuple(bands))


def _rasters(paths: Iterable[Path], given: str) -> list[ImageInput]:
    found = [_single(p) for p in sorted(filter(_has_raster_name, paths))]
    if not found:
        message = "The folder holds no raster, or the pattern matches none"
        fix = "Name the images, or check the pattern"
        raise DataError(message, code="no-images", file=given, fix=fix)
    return found


def _has_raster_name(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _single(path: str | Path) -> ImageInput:
    name = Path(str(path).rpartition(":")[2] if not Path(path).exists() else path).stem
    return ImageInput(name=name or "image", files=(absolute(path),))
