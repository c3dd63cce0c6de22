"""Maps on disk: written tile by tile, finished as a cloud-optimised GeoTIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
import rasterio.windows
from numpy.typing import NDArray

from swath.classes import Legend, rgb
from swath.grid import Window
from swath.raster import Grid, gdal


class MapWriter:
    """Writes a single-band map tile by tile, then turns it into a cloud-optimised GeoTIFF.

    The result is tiled (512), DEFLATE-compressed, has overviews (nearest), a colour table (8 bits), class names as tags, nodata
    and the georeferencing of the image.

    Args:
        path: the file to write; a scratch file lies beside it while the writer is open.
        grid: the image's grid.
        legend: the classes; pixels hold its nodata at first.
        extra: more georeferencing (see `Raster.extra_georeferencing`).
    """

    def __init__(self, path: Path, grid: Grid, legend: Legend, extra: dict[str, Any] | None = None) -> None:
        self._path = path
        self._scratch = path.with_name(path.name + ".tiles.tif")
        profile: dict[str, Any] = {
            "driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "dtype": legend.dtype,
            "nodata": legend.nodata, "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "lzw",
            "BIGTIFF": "IF_SAFER",
        }  # fmt: skip
        if grid.crs is not None:
            profile["crs"] = grid.crs
        if grid.crs is not None or grid.transform != Grid(1, 1).transform:
            profile["transform"] = grid.affine
        profile |= extra or {}
        with gdal():
            self._dataset = rasterio.open(self._scratch, "w", **profile)
        if legend.dtype == "uint8":
            self._dataset.write_colormap(1, {c.map_code: (*rgb(c.color), 255) for c in legend.learnt})
        self._dataset.update_tags(1, **{f"class_{c.map_code}": c.name for c in legend.learnt})
        self._dataset.set_band_description(1, "class")

    def write(self, codes: NDArray[Any], window: Window) -> None:
        """Write codes (rows, columns) to a window."""
        where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        self._dataset.write(codes, 1, window=where)

    def finish(self) -> None:
        """Write the final file."""
        with gdal():
            self._dataset.close()
            rasterio.shutil.copy(
                self._scratch, self._path, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE="512",
                OVERVIEW_RESAMPLING="NEAREST", BIGTIFF="IF_SAFER", NUM_THREADS="ALL_CPUS",
            )  # fmt: skip

    def close(self) -> None:
        """Remove the scratch file."""
        self._dataset.close()
        self._scratch.unlink(missing_ok=True)
