"""Numbers unlike those of the training images are said, with the likely cause."""

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError
from swath.io.raster import Raster
from swath.mapping.inputs import InputImage
from swath.mapping.number_check import check_numbers, sample_values
from swath.models.card import CardBand
from tests.errors import fails
from tests.make import looked_up, noise, write_model, write_raster


def bands(low, mean, high, count=3):
    known = {"fill": mean, "mean": 0, "std": 1, "min": low, "max": high}
    return [CardBand(name=str(i), **known) for i in range(1, count + 1)]


def told(tmp_path, values, known, dtype="uint16"):
    path = write_raster(tmp_path / "image.tif", values)
    with InputImage(Raster([path])) as image:
        return check_numbers(image, known, dtype)


def reflectance(seed=0, low=300, high=3000, size=100):
    return noise(3, size, size, seed=seed, low=low, high=high, dtype="uint16")


@pytest.mark.parametrize(
    ("change", "known", "cause"),
    [
        (lambda x: x / np.float32(10_000), bands(250, 1600, 3100), "10000 times smaller"),
        (lambda x: x, bands(0.02, 0.16, 0.3), "10000 times larger"),
        (lambda x: (x // 12).astype("uint8"), bands(0.02, 0.5, 1), "256 times larger"),
        (lambda x: x / np.float32(3000), bands(0, 120, 255), "256 times smaller"),
        (lambda x: (x // 12).astype("uint8"), bands(77, 30000, 65535), "256 times smaller"),
        (lambda x: x + 1000, bands(250, 1600, 3100), "1000 too large"),
        (lambda x: x, bands(1250, 2600, 4100), "1000 too small"),
    ],
)
def test_the_likely_cause_is_named(tmp_path, change, known, cause):
    text = told(tmp_path, change(reflectance()), known)
    assert text is not None and cause in text


@pytest.mark.parametrize(
    ("values", "known"),
    [
        (reflectance(), bands(250, 1600, 3100)),
        (reflectance(low=300, high=700), bands(0, 1600, 12000)),  # a dark scene
        (noise(3, 60, 70), bands(0, 0, 255)),
        (np.full((3, 50, 50), 12, np.uint8), bands(0, 110, 255)),  # water alone
        (noise(3, 60, 70).astype("f4"), bands(0, 110, 255)),  # another type, the same numbers
        (np.zeros((3, 40, 40), np.float32) * np.nan, bands(0, 110, 255)),
    ],
)
def test_usual_numbers_are_no_warning(tmp_path, values, known):
    assert told(tmp_path, values, known) is None


def test_another_type_is_named_where_nothing_else_explains_the_numbers(tmp_path):
    text = told(tmp_path, reflectance().astype("int32") - 60_000, bands(0, 1600, 3100))
    assert text is not None and "int32" in text and "uint16" in text


def test_few_pixels_of_a_large_image_are_read(tmp_path):
    path = write_raster(tmp_path / "image.tif", noise(1, 1000, 1000))
    with Raster([path]) as raster:
        assert sample_values(raster).shape == (1, 16 * 64 * 64)


def test_predict_warns_and_says_so_in_its_result(tmp_path):
    image = write_raster(tmp_path / "image.tif", reflectance())
    model = write_model(tmp_path / "m.swath")
    result = swath.predict(model, image, tmp_path / "map.tif")
    assert len(result.warnings) == 1 and str(image) in result.warnings[0]


def test_bands_are_found_by_their_names(tmp_path):
    values = noise(3, 64, 64)
    model = write_model(tmp_path / "m.swath", names=["B04", "B03", "B02"])
    right = looked_up(values, np.ones((64, 64), bool))
    turned = write_raster(
        tmp_path / "turned.tif",
        np.concatenate([values[::-1], noise(1, 64, 64, seed=3)]),
        descriptions=["B02", "B03", "B04", "B08"],
    )
    swath.predict(model, turned, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as made:
        assert (made.read(1) == right).all()


def test_bands_of_other_names_are_refused_and_an_order_may_be_given(tmp_path):
    values = noise(3, 64, 64)
    image = write_raster(tmp_path / "other.tif", values, descriptions=["B11", "B03", "B02"])
    model = write_model(tmp_path / "m.swath", names=["B04", "B03", "B02"])
    with fails("band-mismatch", DataError, image):
        swath.predict(model, image, tmp_path / "map.tif")
    swath.predict(model, image, tmp_path / "map.tif", band_order=[1, 2, 3])
    with rasterio.open(tmp_path / "map.tif") as made:
        assert (made.read(1) == looked_up(values, np.ones((64, 64), bool))).all()


def test_predict_says_what_was_read(tmp_path):
    values = reflectance()
    image = write_raster(tmp_path / "image.tif", values[::-1], descriptions=["B02", "B03", "B04"])
    model = write_model(tmp_path / "m.swath", names=["B04", "B03", "B02"], max=4000)
    (read,) = swath.predict(model, image, tmp_path / "map.tif").read
    assert read.file == str(image) and read.bands == ["B04", "B03", "B02"]
    assert not read.scaled and read.quality == []
