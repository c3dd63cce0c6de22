"""Virtual rasters (VRT) over arrays, so that GDAL reads them by windows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import rasterio
import rasterio.errors

from swath.io.arrays.serial import SerialReader

GDAL_TYPES: Mapping[str, str] = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
"""GDAL's names of types, by NumPy's."""


def open_quietly(path: str, driver: str | None = None) -> rasterio.DatasetReader:
    """Open a raster without rasterio's warning of missing georeferencing; see `serial`."""
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    with rasterio.Env():
        return SerialReader(path, driver=driver)


def raw_raster(
    path: str,
    dtype: str,
    shape: Sequence[int],
    *,
    offset: int,
    steps: Sequence[int],
    big_endian: bool = False,
) -> rasterio.DatasetReader:
    """Open the bytes of a file as a raster.

    Args:
        path: any path that GDAL opens.
        dtype: type of the values, one of `GDAL_TYPES`.
        shape: bands, rows and columns.
        offset: bytes before the first value.
        steps: bytes from a band, row and column to the next.
        big_endian: whether the most significant byte is first.
    """
    count, rows, cols = shape
    order = "MSB" if big_endian else "LSB"
    bands = [
        f'<VRTRasterBand dataType="{GDAL_TYPES[dtype]}" band="{i + 1}"'
        ' subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename>'
        f"<ImageOffset>{offset + i * steps[0]}</ImageOffset>"
        f"<PixelOffset>{steps[2]}</PixelOffset><LineOffset>{steps[1]}</LineOffset>"
        f"<ByteOrder>{order}</ByteOrder></VRTRasterBand>"
        for i in range(count)
    ]
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    with rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL"):
        return rasterio.open(_document(rows, cols, bands))


def band_raster(
    path: str,
    dataset: rasterio.DatasetReader,
    bands: Sequence[int],
    *,
    crs: str | None = None,
    nodata: bool = True,
) -> rasterio.DatasetReader:
    """Open some bands of a raster as one.

    Args:
        path: any path that GDAL opens.
        dataset: the same, open.
        bands: the bands, from 1.
        crs: CRS in place of the raster's, as WKT or authority and code.
        nodata: whether declared nodata values are kept.
    """
    rows, cols = dataset.shape
    known = crs or (dataset.crs.to_wkt() if dataset.crs else "")
    head = f"<SRS>{escape(known)}</SRS>" if known else ""
    if not dataset.transform.is_identity:
        terms = ", ".join(map(repr, dataset.transform.to_gdal()))
        head += f"<GeoTransform>{terms}</GeoTransform>"
    parts = [_band(path, dataset, n, i, nodata) for i, n in enumerate(bands, 1)]
    return open_quietly(_document(rows, cols, [head, *parts]))


def _band(path: str, dataset: rasterio.DatasetReader, number: int, place: int, nodata: bool) -> str:
    rows, cols = dataset.shape
    kind = GDAL_TYPES[dataset.dtypes[number - 1]]
    value = dataset.nodatavals[number - 1] if nodata else None
    declared = "" if value is None else f"<NoDataValue>{value!r}</NoDataValue>"
    block = dataset.block_shapes[number - 1]
    rect = f'xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"'
    return (
        f'<VRTRasterBand dataType="{kind}" band="{place}">{declared}'
        f"<Scale>{dataset.scales[number - 1]!r}</Scale>"
        f"<Offset>{dataset.offsets[number - 1]!r}</Offset>"
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename>'
        f"<SourceBand>{number}</SourceBand>"
        f'<SourceProperties RasterXSize="{cols}" RasterYSize="{rows}" DataType="{kind}"'
        f' BlockXSize="{block[1]}" BlockYSize="{block[0]}"/>'
        f"<SrcRect {rect}/><DstRect {rect}/></SimpleSource></VRTRasterBand>"
    )


def _document(rows: int, cols: int, parts: Sequence[str]) -> str:
    return f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">{"".join(parts)}</VRTDataset>'
