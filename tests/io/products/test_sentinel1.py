import pytest
import rasterio

from swath.errors import DataError
from swath.io.products import find_product
from tests.errors import fails
from tests.io.products.make import RTC_NAME, S1_NAME, sentinel1_grd, sentinel1_rtc, zipped


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
