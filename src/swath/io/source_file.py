"""Where the bands of an image lie and what their numbers mean."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel

QualityKind: TypeAlias = Literal[
    "qa_pixel", "qa_radsat", "scl", "udm2", "udm1", "fmask", "cloud_probability", "mask", "polygons"
]


class BandFile(BaseModel, frozen=True):
    """One band of an image.

    Attributes:
        path: any path that GDAL opens.
        index: band of the file, from 1.
        name: common name, such as blue or nir, where it is known; else the sensor's.
        sensor_name: name that the sensor's documentation uses, such as B02.
        wavelength: center in micrometers.
        scale: physical value = stored value * scale + offset.
        offset: see `scale`.
        nodata: stored value that means no data; None for what the file declares.
        decibels: whether the value is 10 * log10 of the scaled one.
        amplitude: whether the value in decibels is that of the square, 20 * log10.
    """

    path: str
    index: int = 1
    name: str
    sensor_name: str = ""
    wavelength: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    decibels: bool = False
    amplitude: bool = False


class QualityFile(BaseModel, frozen=True):
    """A layer that tells which pixels of an image are usable.

    Attributes:
        path: raster, any path that GDAL opens, or vector layer.
        index: band of the raster, from 1; of `udm2`, the first of its bands.
        kind: what its values mean.
    """

    path: str
    index: int = 1
    kind: QualityKind


class Product(BaseModel, frozen=True):
    """An image as a sensor's provider delivers it.

    Attributes:
        name: of the product, without extension.
        sensor: such as sentinel-2.
        level: such as L2A.
        acquired: date and time, ISO 8601, in UTC.
        baseline: version of the provider's processing.
        bands: the bands, in the sensor's order.
        quality: its quality layers.
        files: metadata files that the above was read from, and the archive around the bands.
        warnings: sentences on what is missing or not as usual.
    """

    name: str
    sensor: str
    level: str = ""
    acquired: str | None = None
    baseline: str | None = None
    bands: tuple[BandFile, ...]
    quality: tuple[QualityFile, ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Path of its metadata or archive, else of its first band."""
        return self.files[0] if self.files else self.bands[0].path

    @property
    def local_files(self) -> set[str]:
        """All files that are read of it, without URLs and paths into archives."""
        paths = {*self.files, *(b.path for b in self.bands), *(q.path for q in self.quality)}
        return {path for path in paths if "://" not in path and not path.startswith("/vsi")}
