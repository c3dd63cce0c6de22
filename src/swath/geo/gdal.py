"""Exceptions of GDAL: the one place that reaches into rasterio's private module for them."""

from __future__ import annotations

import rasterio.errors
from rasterio._err import CPLE_BaseError

GDAL_ERRORS = (rasterio.errors.RasterioError, CPLE_BaseError)
"""What rasterio raises where GDAL fails; some of its calls let GDAL's own exceptions through."""
