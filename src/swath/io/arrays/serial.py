"""Rasters of netCDF and HDF5, which are opened, read and closed one at a time.

Their libraries have one lock for all threads, and GDAL reports warnings while it holds it. The
report waits for Python's own lock, which another thread may hold while it closes a file and waits
for the library's: neither goes on. A lock that is taken before both prevents that, and costs
nothing, since the libraries work for one thread at a time in any case.
"""

from __future__ import annotations

import threading
from typing import Any

import rasterio
from rasterio.vrt import WarpedVRT

_LOCK = threading.RLock()


class _Serial:
    """What opens, reads and closes a dataset, under the lock; of the reader that follows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        with _LOCK:
            super().__init__(*args, **options)

    def read(self, *args: Any, **options: Any) -> Any:
        with _LOCK:
            return super().read(*args, **options)  # type: ignore[misc]

    def read_masks(self, *args: Any, **options: Any) -> Any:
        with _LOCK:
            return super().read_masks(*args, **options)  # type: ignore[misc]

    def dataset_mask(self, *args: Any, **options: Any) -> Any:
        with _LOCK:
            return super().dataset_mask(*args, **options)  # type: ignore[misc]

    def tags(self, *args: Any, **options: Any) -> Any:
        with _LOCK:
            return super().tags(*args, **options)  # type: ignore[misc]

    def close(self) -> None:
        with _LOCK:
            super().close()  # type: ignore[misc]


class SerialReader(_Serial, rasterio.DatasetReader):  # type: ignore[misc]
    """A raster of a netCDF or HDF5 file, or a virtual one over it."""


class _SerialWarped(_Serial, WarpedVRT):  # type: ignore[misc]
    """Such a raster on another grid."""


def warped_raster(source: rasterio.DatasetReader, **options: Any) -> WarpedVRT:
    """Return a raster on another grid; `options` are those of `WarpedVRT`."""
    kind = _SerialWarped if isinstance(source, SerialReader) else WarpedVRT
    return kind(source, **options)
