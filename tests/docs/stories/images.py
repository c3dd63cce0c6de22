"""What the page on images says of its examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from swath.data.dataset import Dataset
from tests.docs.pages import Stories, Story
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster

SIDE = 192
CODES = (np.indices((64, 64))[1] // 32 + 1).astype(np.uint8)


def scene(folder: str, values: np.ndarray | None = None, **profile: Any) -> Path:
    """Write `image.tif` and, in `fields.gpkg`, two classes on it."""
    values = noise(2, SIDE, SIDE, high=99, dtype="int16") if values is None else values
    halves = [box(0, 0, SIDE, SIDE // 2), box(0, SIDE // 2, SIDE, SIDE // 2)]
    write_layer(Path(folder) / "fields.gpkg", halves, {"class": ["wheat", "maize"]})
    return write_raster(Path(folder) / "image.tif", values, UTM, NORTH_UP, **profile)


def numbers() -> Story:
    with rasterio.open(scene("scaled"), "r+") as file:
        file.scales, file.offsets = (0.01, 0.01), (-0.1, -0.1)
    yield
    scaled, stored = (Dataset(Path(name)).manifest for name in ("dataset", "stored"))
    assert scaled.scaled and not stored.scaled
    for one, other in zip(scaled.bands, stored.bands, strict=True):
        assert one.mean == pytest.approx(other.mean * 0.01 - 0.1, abs=1e-5)


def nodata() -> Story:
    values = noise(2, SIDE, SIDE, high=99, dtype="int16")
    values[:, :40] = -9999
    scene("filled", values)
    dead = noise(2, SIDE, SIDE, high=99, dtype="int16")
    dead[1] = -1
    scene("dead", dead, nodata=-1)
    silent, declared, kept = yield
    assert "undeclared-nodata" in silent.findings and "undeclared-nodata" not in declared.findings
    assert declared.result["read"]["no_data"] == pytest.approx(40 / SIDE)
    assert kept.result["read"]["no_data"] == 0


def alpha() -> Story:
    path = write_raster(Path("image.tif"), noise(4, 32, 32))
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    yield
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.undefined


def quality_layers() -> Story:
    for number, name in enumerate("abc"):
        located = {"crs": UTM, "transform": from_origin(500_000 + number * 5000, 5_600_000, 10, 10)}
        classes = np.full((64, 64), 4, np.uint8)
        classes[:16], classes[48:] = 9, 11
        write_raster(Path(f"cloudy/s2/{name}.tif"), noise(3, 64, 64, seed=number), **located)
        write_raster(Path(f"cloudy/labels/{name}.tif"), CODES, **located)
        write_raster(Path(f"cloudy/qa/{name}_SCL.tif"), classes, **located)
        write_raster(Path(f"cloudy/classes/{name}.tif"), classes, **located)
    by_name, snow = yield
    assert by_name.result["read"]["dropped"] == {"cloud": 0.25}
    assert snow.result["read"]["dropped"] == {"cloud": 0.25, "snow": 0.25}


def latitude() -> Story:
    for number, name in enumerate("abc"):
        located = {"crs": "EPSG:4326", "transform": from_origin(10, 20 + 20 * number, 0.01, 0.01)}
        write_raster(Path(f"world/{name}/images/x.tif"), noise(3, 64, 64, seed=number), **located)
        write_raster(Path(f"world/{name}/masks/x.tif"), CODES, **located)
    (ran,) = yield
    assert ran.result["bands"][-1] == "latitude" and "latitude-narrow" not in ran.findings


PAGE = "reference/images.md"
STORIES: Stories = {
    (PAGE, "Numbers"): numbers,
    (PAGE, "Nodata"): nodata,
    (PAGE, "Alpha"): alpha,
    (PAGE, "Quality layers"): quality_layers,
    (PAGE, "Latitude"): latitude,
}
