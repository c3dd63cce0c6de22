import numpy as np
import pytest
import rasterio

from swath.errors import DataError
from swath.io.products import default_bands, find_product, find_products
from tests.errors import fails
from tests.io.products.make import HLS_NAMES, hls

NAMES = {
    "S30": "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 cirrus swir16 swir22",
    "L30": "coastal blue green red nir08 swir16 swir22 cirrus lwir11 lwir12",
}


@pytest.mark.parametrize("kind", ["S30", "L30"])
def test_a_granule(tmp_path, kind):
    product = find_product(hls(tmp_path, kind))
    assert (product.name, product.sensor) == (HLS_NAMES[kind], f"hls-{kind.lower()}")
    assert product.acquired == ("2022-06-12T10:10:41Z", "2022-06-12T10:04:31Z")[kind == "L30"]
    assert product.baseline == "v2.0" and product.warnings == ()
    assert " ".join(b.name for b in product.bands) == NAMES[kind]
    for band in product.bands:
        with rasterio.open(band.path) as file:
            assert band.nodata == file.nodata == -9999
        scale = 0.01 if band.name.startswith("lwir") else 0.0001
        assert (band.scale, band.offset) == (scale, 0)
        assert f".{band.sensor_name}." in band.path
    assert not any(b.name.startswith("lwir") for b in default_bands(product))
    (quality,) = product.quality
    with rasterio.open(quality.path) as file:
        assert quality.kind == "fmask" and np.count_nonzero(file.read(1)) == 100


def test_half_a_granule(tmp_path):
    product = find_product(hls(tmp_path / "a", skip=("B04", "Fmask")))
    assert "B04" in product.warnings[0] and "Fmask" in product.warnings[1]
    assert product.quality == ()
    path = hls(tmp_path / "b", skip=NAMES["S30"])
    for file in path.glob("*.B*.tif"):
        file.unlink()
    with fails("product-incomplete", DataError, file=path):
        find_product(path)


def test_granules_of_one_folder_are_told_apart(tmp_path):
    for kind in ("S30", "L30"):
        for file in hls(tmp_path / kind, kind).iterdir():
            (tmp_path / "all").mkdir(exist_ok=True)
            file.rename(tmp_path / "all" / file.name)
    found = find_products(tmp_path / "all")
    assert [p.name for p in found] == sorted(HLS_NAMES.values())
    assert all(p.name in b.path for p in found for b in p.bands)
