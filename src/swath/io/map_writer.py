"""Maps on disk: written tile by tile, finished as cloud-optimized GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.features
import rasterio.shutil
from numpy.typing import NDArray

from swath.errors import JobError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.map_reader import MAPPED
from swath.io.raster import gdal_env
from swath.legend import Legend, rgb

SCRATCH_PROFILE: dict[str, Any] = dict(driver="GTiff", interleave="band", BIGTIFF="IF_SAFER")
SCRATCH_PROFILE |= dict(tiled=True, blockxsize=512, blockysize=512, compress="packbits")
COG_OPTIONS = dict(driver="COG", COMPRESS="DEFLATE", LEVEL="5", BLOCKSIZE="512")
COG_OPTIONS |= dict(BIGTIFF="IF_SAFER", NUM_THREADS="ALL_CPUS")


@dataclass(frozen=True)
class MapKind:
    """What a map holds.

    Attributes:
        dtype: of its values.
        nodata: value where there are none.
        bands: a description of each band.
        resampling: of its overviews.
        colors: color table of an 8-bit map, value to red, green, blue, alpha.
        tags: of its first band.
    """

    dtype: str
    nodata: float
    bands: tuple[str, ...]
    resampling: str = "NEAREST"
    colors: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def class_map(legend: Legend) -> MapKind:
    """Describe a map of class codes."""
    trained = legend.trained if legend.dtype == "uint8" else ()
    colors = {c.map_code: (*rgb(c.color), 255) for c in trained}
    tags = {f"class_{c.map_code}": c.name for c in legend.trained}
    return MapKind(legend.dtype, legend.nodata, ("class",), colors=colors, tags=tags)


CONFIDENCE = MapKind("uint8", 255, ("confidence",), "AVERAGE")
"""Percent 0..100 that the mapped class is right."""

HEIGHT = MapKind("float32", float("nan"), ("height above ground in meters",), "AVERAGE")


def probability_map(legend: Legend) -> MapKind:
    """Describe a map of percent 0..100, one band a class."""
    return MapKind("uint8", 255, tuple(legend.names), "AVERAGE")


def mask_map(legend: Legend) -> MapKind:
    """Describe the masks of all classes, one band each: 1 inside, 0 outside."""
    return MapKind("uint8", 255, tuple(legend.names))


class MapWriter:
    """Writes a map tile by tile, then turns it into a cloud-optimized GeoTIFF.

    The result is tiled (512), DEFLATE-compressed, has overviews, nodata, descriptions, and the
    georeferencing of the image. Equal pixels make equal files.

    Args:
        path: the file to write; a scratch file lies beside it while the writer is open.
        grid: the image's grid.
        kind: what it holds; pixels hold its nodata at first.
        extra: more georeferencing (see `Raster.extra_georeferencing`).
    """

    def __init__(
        self, path: Path, grid: GeoBox, kind: MapKind, extra: dict[str, Any] | None = None
    ) -> None:
        self._path = path
        self._kind = kind
        self._scratch = path.with_name(path.name + ".tiles.tif")
        profile = SCRATCH_PROFILE | {"height": grid.height, "width": grid.width}
        profile |= {"count": len(kind.bands), "dtype": kind.dtype, "nodata": kind.nodata}
        if grid.crs is not None:
            profile["crs"] = grid.crs
        if grid.crs is not None or grid.transform != GeoBox(1, 1).transform:
            profile["transform"] = grid.affine
        profile |= extra or {}
        with gdal_env():
            self._dataset = rasterio.open(self._scratch, "w+", **profile)
        if kind.colors:
            self._dataset.write_colormap(1, kind.colors)
        self._dataset.update_tags(1, **kind.tags)
        for i, text in enumerate(kind.bands, 1):
            self._dataset.set_band_description(i, text)

    def write(self, values: NDArray[Any], window: Window) -> None:
        """Write values (rows, columns), or (bands, rows, columns), to a window."""
        values = values if values.ndim == 3 else values[None]
        with gdal_env():
            self._dataset.write(values, window=window.to_rasterio())

    def tag_mapped(self, counts: Mapping[int, int]) -> None:
        """Tag a map, or percents of a map, with the pixels of each of the map's codes.

        Percents are known to be of a map by it; see `swath.io.map_reader.refuse_other_percents`.
        """
        listed = " ".join(f"{code}:{n}" for code, n in sorted(counts.items()))
        self.tag({MAPPED: listed})

    def tag(self, tags: dict[str, str]) -> None:
        """Add tags to the first band."""
        self._dataset.update_tags(1, **tags)

    def sieve(self, smallest: int) -> dict[int, int]:
        """Merge patches of fewer than `smallest` pixels (4-connected) into their largest neighbor.

        Nodata stays. The whole map is sieved at once, so tiles leave no trace; it takes four bytes
        of memory a pixel, and that of the outlines of all patches.

        Returns:
            Number of pixels by value, after sieving.
        """
        with gdal_env():
            sieved = self._dataset.read(1)
            data, before = sieved != self._kind.nodata, None
            while before is None or not np.array_equal(before, sieved):
                before = sieved  # a pass leaves patches whose neighbors all were small before it
                sieved = rasterio.features.sieve(before, smallest, mask=data)
            self._dataset.write(sieved, 1)
        found, counts = np.unique(sieved, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def finish(self) -> None:
        """Write the final file.

        Raises:
            JobError: the disk does not take it.
        """
        try:
            with gdal_env():
                wanted = self._checksums(self._dataset)
                self._dataset.close()
                options = COG_OPTIONS | {"OVERVIEW_RESAMPLING": self._kind.resampling}
                rasterio.shutil.copy(self._scratch, self._path, **options)
                with rasterio.open(self._path) as made:
                    if self._checksums(made) != wanted:  # GDAL reports no full disk here
                        raise rasterio.errors.RasterioIOError("The checksums differ")
        except GDAL_ERRORS as error:
            message = f"The map cannot be written ({error})"
            fix = "Make room, and give the same command again"
            raise JobError(message, code="not-writable", file=self._path.parent, fix=fix) from error

    @staticmethod
    def _checksums(dataset: Any) -> list[int]:
        return [dataset.checksum(i) for i in dataset.indexes]

    def close(self) -> None:
        """Remove the scratch file."""
        with suppress(*GDAL_ERRORS):
            self._dataset.close()
        self._scratch.unlink(missing_ok=True)
