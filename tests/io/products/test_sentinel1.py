import numpy as np
import pytest
import rasterio
import shapely

import swath
from swath.errors import DataError
from swath.geo.tiling import Window
from swath.io.products import find_product
from swath.io.raster import Raster
from tests.errors import fails
from tests.io.products.make import (
    RTC_NAME,
    S1_NAME,
    sentinel1_grd,
    sentinel1_rtc,
    stac_item,
    zipped,
)
from tests.make import write_layer, write_model


@pytest.mark.parametrize("packed", [False, True])
def test_ground_range_detected(tmp_path, packed):
    path = sentinel1_grd(tmp_path)
    product = find_product(zipped(path) if packed else path)
    assert (product.name, product.sensor, product.level) == (S1_NAME, "sentinel-1", "GRD")
    assert product.acquired == "2022-06-12T05:25:42Z"
    assert [(b.name, b.decibels, b.amplitude) for b in product.bands] == [
        ("vv", True, True),
        ("vh", True, True),
    ]
    assert "not calibrated" in product.warnings[0]
    with rasterio.open(product.bands[0].path) as file:
        assert len(file.gcps[0]) == 9


@pytest.mark.parametrize("scale", "pad")
def test_terrain_corrected_of_all_scales(tmp_path, scale):
    product = find_product(sentinel1_rtc(tmp_path, scale))
    assert (product.name, product.level) == (RTC_NAME.format(scale=scale), "RTC")
    assert [(b.name, b.decibels, b.amplitude) for b in product.bands] == [
        (name, scale != "d", scale == "a") for name in ("vv", "vh")
    ]
    assert product.warnings == () and "ls_map" not in str(product.local_files)


def test_files_of_the_planetary_computer(tmp_path):
    folder = sentinel1_rtc(tmp_path)
    for band in ("vv", "vh"):
        next(folder.glob(f"*_{band.upper()}.tif")).rename(folder / f"iw-{band}.rtc.tiff")
    assert [b.name for b in find_product(folder).bands] == ["vv", "vh"]


def test_half_a_product_and_others(tmp_path):
    assert [b.name for b in find_product(sentinel1_grd(tmp_path / "a", ("vh",))).bands] == ["vv"]
    path = sentinel1_grd(tmp_path / "b", ("vv", "vh"))
    with fails("product-incomplete", DataError, file=path):
        find_product(path)
    slc = path.rename(path.with_name(path.name.replace("GRDH", "SLC_")))
    with fails("product-incomplete", DataError, file=slc) as caught:
        find_product(slc)
    assert "SLC" in caught.value.message


@pytest.mark.parametrize("kind", ["folder", "zip", "item"])
def test_ground_range_needs_no_option(tmp_path, kind):
    path = sentinel1_grd(tmp_path / "s")
    with Raster(find_product(path).bands, scaled=True, warp=True) as raster:
        grid, (expected, valid) = raster.grid, raster.read(raster.grid.window)
    if kind == "zip":
        path = zipped(path)
    if kind == "item":
        images = {f.name.split("-")[3]: f for f in sorted(path.glob("measurement/*"))}
        assets = {own: {"href": str(f), "roles": ["data"]} for own, f in images.items()}
        item = {"collection": "sentinel-1-grd", "platform": "sentinel-1a"}
        path = stac_item(
            tmp_path / "s" / "item.json", assets, **item, **{"sar:product_type": "GRD"}
        )
    halves = [shapely.box(10.9, 46.9, 11.001, 47.1), shapely.box(11.001, 46.9, 11.1, 47.1)]
    write_layer(tmp_path / "s" / "f.gpkg", halves, {"class": ["a", "b"]}, "EPSG:4326")

    inspected = swath.inspect(path)
    assert inspected.ok and "warped-by-points" in {f["code"] for f in inspected.findings}
    sizes = [band.resolution for band in inspected.products[0].bands]
    assert sizes == [pytest.approx(grid.transform[0])] * 2

    made = swath.prepare(
        tmp_path / "s",
        tmp_path / "d",
        images=str(path),
        labels="f.gpkg",
        test="none",
        val="none",
    )
    assert "warped-by-points" in {f["code"] for f in made.findings}
    assert made.splits["train"].pixels == valid.sum()
    stored = np.load(tmp_path / "d" / "pixels" / "000000.npy").transpose(2, 0, 1)
    assert np.array_equal(stored[:, valid], expected[:, valid])

    model = write_model(tmp_path / "m.swath", 2, "float32", names=["VV", "VH"])
    mapped = swath.predict(model, path, tmp_path / "map.tif")
    assert mapped.read[0].warped and mapped.nodata == (~valid).sum()
    with rasterio.open(tmp_path / "map.tif") as file:
        assert tuple(file.transform)[:6] == grid.transform and file.crs.to_epsg() == 4326


def test_a_window_of_ground_range_is_that_of_the_whole(tmp_path):
    bands = find_product(sentinel1_grd(tmp_path)).bands
    with Raster(bands, scaled=True, warp=True) as raster:
        whole, part = raster.grid.window, Window(3, 5, 9, 7)
        values, valid = raster.read(whole)
        own = raster.read(part)
        assert np.array_equal(own.values, values[:, *part.slices], equal_nan=True)
        assert np.array_equal(own.valid, valid[part.slices])
