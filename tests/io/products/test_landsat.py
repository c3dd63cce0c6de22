import math

import numpy as np
import pytest
import rasterio

from swath.errors import DataError
from swath.io.products import default_bands, find_product, find_products
from tests.errors import fails
from tests.io.products.make import LANDSAT_NAMES, SUN, landsat, stored, tarred

OLI_COMMON = "coastal blue green red nir08 swir16 swir22 lwir11".split()
TM_COMMON = "blue green red nir08 swir16 lwir swir22".split()


def documented(band, level, number):
    """Return the physical numbers of a band by the handbook, from a plain reading."""
    with rasterio.open(band.path) as file:
        numbers = file.read(1).astype(float)
    if level == "L1TP":
        place = int(band.sensor_name[1:]) - 1
        return (numbers * (2e-5 + place * 1e-7) - 0.1) / math.sin(math.radians(SUN))
    if band.name.startswith("lwir"):
        return numbers * 0.00341802 + 149
    return numbers * 0.0000275 - 0.2


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("metadata", ["json", "txt", "xml"])
def test_level_2_with_all_forms_of_metadata(tmp_path, metadata, packed):
    path = landsat(tmp_path, 9, metadata=(metadata,))
    product = find_product(tarred(path) if packed else path)
    assert (product.name, product.sensor, product.level) == (LANDSAT_NAMES[9], "landsat-9", "L2SP")
    assert (product.acquired, product.baseline) == ("2022-06-12T10:04:31Z", "LPGS_16.2.0")
    assert [b.name for b in product.bands] == OLI_COMMON
    for band in product.bands:
        numbers = stored(band.sensor_name, 30, low=7000, high=40000)
        np.testing.assert_allclose(
            numbers * band.scale + band.offset, documented(band, "L2SP", 9), rtol=1e-9
        )
        assert band.nodata == 0
    assert [b.name for b in default_bands(product)] == OLI_COMMON[:-1]
    assert [q.kind for q in product.quality] == ["qa_pixel", "qa_radsat"]
    for quality in product.quality:
        with rasterio.open(quality.path) as file:
            assert file.shape == (20, 20)
    assert product.warnings == ()


def test_numbers_of_bands_before_landsat_8(tmp_path):
    for number in (5, 7):
        product = find_product(landsat(tmp_path, number))
        assert (product.sensor, [b.name for b in product.bands]) == (f"landsat-{number}", TM_COMMON)
        assert [b.sensor_name for b in product.bands] == [f"B{i}" for i in range(1, 8)]


@pytest.mark.parametrize("number", [5, 7, 9])
def test_level_1_is_divided_by_the_sine_of_the_sun(tmp_path, number):
    product = find_product(landsat(tmp_path, number, level="L1TP"))
    for band in product.bands:
        with rasterio.open(band.path) as file:
            found = file.read(1) * band.scale + band.offset
        np.testing.assert_allclose(found, documented(band, "L1TP", number), rtol=1e-6)
    names = [b.name for b in product.bands]
    assert not any(name.startswith("lwir") for name in names)
    assert ("pan" in names) == (number != 5)
    assert "pan" not in [b.name for b in default_bands(product)]


def test_half_a_product(tmp_path):
    product = find_product(landsat(tmp_path / "a", metadata=()))
    assert (product.bands[3].scale, product.bands[3].offset) == (0.0000275, -0.2)
    assert "MTL" in product.warnings[0] and product.files == ()
    path = landsat(tmp_path / "b", level="L1TP", metadata=())
    with fails("product-incomplete", DataError, file=path) as caught:
        find_product(path)
    assert "MTL.json" in caught.value.message
    product = find_product(landsat(tmp_path / "c", skip=("SR_B3", "QA_")))
    assert "green" not in [b.name for b in product.bands] and product.quality == ()
    assert "SR_B3" in product.warnings[0] and "QA_PIXEL" in product.warnings[1]
    path = landsat(tmp_path / "d", skip=("_B", "QA_"))
    with fails("product-incomplete", DataError, file=path):
        find_product(path)


@pytest.mark.parametrize(
    "old, new, level",
    [
        ('"2.75e-05"', '"much"', "L2SP"),
        ('"LANDSAT_METADATA_FILE"', '"OTHER"', "L2SP"),
        ("{", "", "L2SP"),
        (f'"{SUN}"', '"-3.0"', "L1TP"),
        ("REFLECTANCE_MULT_BAND_2", "RADIANCE_OF_BAND_2", "L1TP"),
    ],
)
def test_damaged_metadata(tmp_path, old, new, level):
    path = landsat(tmp_path, level=level)
    (file,) = path.glob("*MTL.json")
    file.write_text(file.read_text().replace(old, new).replace('"RADIANCE_MULT_BAND_2"', '"x"'))
    with fails("product-damaged", DataError, file=file):
        find_product(path)


def test_several_scenes_in_a_folder_and_a_metadata_file_of_one(tmp_path):
    for number in (5, 9):
        path = landsat(tmp_path / str(number), number)
        (tmp_path / "all").mkdir(exist_ok=True)
        for file in path.iterdir():
            file.rename(tmp_path / "all" / file.name)
    names = [LANDSAT_NAMES[9], LANDSAT_NAMES[5]]
    assert [p.name for p in find_products(tmp_path / "all")] == names
    product = find_product(tmp_path / "all" / f"{names[1]}_MTL.json")
    assert product.name == names[1] and all(names[1] in b.path for b in product.bands)


def test_a_compressed_archive_cannot_be_read_in_place(tmp_path):
    path = tarred(landsat(tmp_path), "w:gz", ".tar.gz")
    with fails("compressed-archive", DataError, file=path) as caught:
        find_product(path)
    assert "python -m tarfile -e" in caught.value.fix
