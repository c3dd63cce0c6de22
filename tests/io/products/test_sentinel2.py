import re

import numpy as np
import pytest
import rasterio

from swath.errors import DataError
from swath.io.products import default_bands, find_product, find_products
from swath.io.products.bands import SENTINEL2A, SENTINEL2B
from tests.errors import fails
from tests.io.products.make import S2_L1C, S2_NAME, s2_resolution, sentinel2, stored, zipped

COMMON = "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 swir16 swir22".split()


def check_values(product, quantification=10000, offset=-1000):
    """Hold every band against a plain reading, and the documented sum against scale and offset."""
    for band in product.bands:
        numbers = stored(band.sensor_name, s2_resolution(band.sensor_name))
        with rasterio.open(band.path) as file:
            np.testing.assert_array_equal(file.read(band.index), numbers)
        documented = (numbers.astype(float) + offset) / quantification
        np.testing.assert_allclose(numbers * band.scale + band.offset, documented, atol=1e-9)
        assert band.nodata == 0


@pytest.mark.parametrize("packed", [False, True])
def test_level_2a_of_folder_and_zip(tmp_path, packed):
    path = sentinel2(tmp_path)
    path = zipped(path) if packed else path
    product = find_product(path)
    assert (product.name, product.sensor, product.level) == (S2_NAME, "sentinel-2", "L2A")
    assert (product.acquired, product.baseline) == ("2022-06-12T10:10:41Z", "04.00")
    assert [b.name for b in product.bands] == COMMON
    assert [b.sensor_name for b in product.bands] == [b for b in SENTINEL2A if b != "B10"]
    assert all(b.wavelength == SENTINEL2A[b.sensor_name].wavelength for b in product.bands)
    check_values(product)
    (quality,) = product.quality
    assert quality.kind == "scl" and "SCL_20m" in quality.path
    with rasterio.open(quality.path) as file:
        assert set(np.unique(file.read(1))) == set(range(9))
    assert product.warnings == ()
    assert default_bands(product) == product.bands
    images = {b.path for b in product.bands} | {quality.path}
    local = {str(path)} if packed else {str(path / "MTD_MSIL2A.xml"), *images}
    assert product.local_files == local


@pytest.mark.parametrize("below", ["MTD_MSIL2A.xml", ""])
def test_metadata_file_and_parent_folder(tmp_path, below):
    path = sentinel2(tmp_path)
    assert find_product(path / below).bands == find_product(path).bands
    assert [p.name for p in find_products(tmp_path)] == [S2_NAME]
    assert find_product(tmp_path) is None


def test_level_1c_before_baseline_4_has_no_offset_and_has_masks(tmp_path):
    path = sentinel2(tmp_path, S2_L1C, level="1C", baseline="02.08", offset=None)
    product = find_product(path)
    assert (product.level, product.baseline, len(product.bands)) == ("L1C", "02.08", 13)
    assert [b.wavelength for b in product.bands] == [b.wavelength for b in SENTINEL2B.values()]
    check_values(product, offset=0)
    assert [(q.kind, q.index) for q in product.quality] == [("mask", 1), ("mask", 2)]


def test_offsets_are_those_of_each_band(tmp_path):
    path = sentinel2(tmp_path)
    file = path / "MTD_MSIL2A.xml"
    text = file.read_text().replace('band_id="3">-1000', 'band_id="3">-500')
    file.write_text(text.replace("N_VALUE unit", 'N_VALUE note="a" unit'))
    offsets = {b.sensor_name: round(b.offset, 9) for b in find_product(path).bands}
    assert offsets.pop("B04") == -0.05 and set(offsets.values()) == {-0.1}


def test_half_a_product(tmp_path):
    without = sentinel2(tmp_path / "a", skip=("MTD",))
    with fails("product-incomplete", DataError, file=without) as caught:
        find_product(without)
    assert "MTD_MSIL2A.xml" in caught.value.message
    empty = sentinel2(tmp_path / "b", skip=("IMG_DATA",))
    with fails("product-incomplete", DataError, file=empty):
        find_product(empty)
    some = find_product(sentinel2(tmp_path / "c", skip=("B05", "B11", "SCL", "B02_10m")))
    assert {b.sensor_name for b in some.bands} == {*SENTINEL2A} - {"B05", "B10", "B11"}
    assert "B05, B11" in some.warnings[0] and "SCL" in some.warnings[1]
    assert some.bands[1].path.endswith("B02_20m.jp2")


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY b "10000">]><a><QUANTIFICATION_VALUE>&b;</QUANTIFICATION_VALUE></a>',
        "<a><b></a>",
        "",
        "<a><BOA_QUANTIFICATION_VALUE>ten</BOA_QUANTIFICATION_VALUE></a>",
        "<a><BOA_QUANTIFICATION_VALUE>0</BOA_QUANTIFICATION_VALUE></a>",
        "<a><BOA_QUANTIFICATION_VALUE>nan</BOA_QUANTIFICATION_VALUE></a>",
    ],
)
def test_damaged_or_hostile_metadata(tmp_path, content):
    path = sentinel2(tmp_path)
    (path / "MTD_MSIL2A.xml").write_text(content)
    with fails("product-damaged", DataError, file=path / "MTD_MSIL2A.xml"):
        find_product(path)


@pytest.mark.parametrize("old, new", [("_ADD_OFFSET", "_OTHER"), ('band_id="3"', 'band_id="4"')])
def test_offsets_that_are_missing_are_an_error(tmp_path, old, new):
    path = sentinel2(tmp_path, baseline="05.10")
    file = path / "MTD_MSIL2A.xml"
    file.write_text(file.read_text().replace(old, new))
    with fails("product-damaged", DataError, file=file) as caught:
        find_product(path)
    assert "B04" in caught.value.message


@pytest.mark.parametrize("offset", [None, -1000])
def test_own_processing_may_have_offsets(tmp_path, offset):
    product = find_product(sentinel2(tmp_path, baseline="99.99", offset=offset))
    check_values(product, offset=offset or 0)


def test_entities_in_another_encoding_are_refused(tmp_path):
    path = sentinel2(tmp_path)
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'
    (path / "MTD_MSIL2A.xml").write_bytes(text.encode("utf-16"))
    with fails("product-damaged", DataError):
        find_product(path)


def test_a_damaged_zip(tmp_path):
    path = zipped(sentinel2(tmp_path))
    path.write_bytes(path.read_bytes()[:5000])
    with fails("product-damaged", DataError, file=path):
        find_product(path)


def test_a_product_of_several_tiles_gives_its_granules(tmp_path):
    path = sentinel2(tmp_path, level="1C", offset=None, baseline="02.00")
    (granule,) = (path / "GRANULE").iterdir()
    other = path / "GRANULE" / granule.name.replace("T32TQM", "T32TQN")
    for file in granule.rglob("*.jp2"):
        new = other / file.relative_to(granule)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(file.read_bytes())
    found = find_products(path)
    assert [p.name for p in found] == [granule.name, other.name]
    assert all(len(p.bands) == 13 and p.name in b.path for p in found for b in p.bands)
    with fails("several-products", DataError, file=path):
        find_product(path)


def test_the_old_format(tmp_path):
    path = sentinel2(tmp_path, level="1C", offset=None, baseline="02.00")
    name = "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R022_V20160101T000000_20160101T000000"
    old = path.rename(path.with_name(f"{name}.SAFE"))
    (old / "MTD_MSIL1C.xml").rename(old / "S2A_OPER_MTD_SAFL1C_PDMC_20160101T000000_R022.xml")
    for file in list(old.rglob("*IMG_DATA/*.jp2")):
        band = re.search(r"B\w\w(?=\.jp2)", file.name)[0]
        file.rename(file.with_name(f"S2A_OPER_MSI_L1C_TL_SGS__20160101_A002737_T32TQM_{band}.jp2"))
    product = find_product(old)
    assert (product.name, product.level, len(product.bands)) == (name, "L1C", 13)
    check_values(product, offset=0)
