import re

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError
from swath.io.orientation import apply_transpose
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import NORTH_UP, UTM, looked_up, noise, write_model, write_png, write_raster

PIXELS = noise(3, 40, 60, low=0, high=250)


def held(path, orientation, pixels=PIXELS, **options):
    """Save pixels (bands, rows, columns) as a camera does that is held in some way."""
    exif = Image.Exif()
    exif[274] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path, exif=exif, **options)
    return path


def seen(path):
    """Return pixels (bands, rows, columns) as viewers show them."""
    return np.asarray(ImageOps.exif_transpose(Image.open(path))).transpose(2, 0, 1)


def read(path):
    with Raster([path]) as raster:
        return raster.read(raster.grid.window).values


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.webp", "x.jpg"])
def test_a_picture_is_read_as_people_see_it(tmp_path, name, orientation):
    options = (
        {"lossless": True}
        if name == "x.webp"
        else {"quality": 95, "subsampling": 0}
        if name == "x.jpg"
        else {}
    )
    path = held(tmp_path / name, orientation, **options)
    expected = seen(path)
    assert expected.shape[1:] == ((40, 60) if orientation < 5 else (60, 40))
    np.testing.assert_allclose(read(path), expected, atol=3 if name == "x.jpg" else 0)
    with Raster([path]) as raster:
        assert raster.turned == (orientation != 1)
        assert raster.bands == ("red", "green", "blue")


def test_turning_is_what_exif_says():
    corner = np.array([[1, 2], [3, 4]])
    turned = {n: apply_transpose(corner, n).tolist() for n in range(1, 9)}
    assert turned == {
        1: [[1, 2], [3, 4]],
        2: [[2, 1], [4, 3]],
        3: [[4, 3], [2, 1]],
        4: [[3, 4], [1, 2]],
        5: [[1, 3], [2, 4]],
        6: [[3, 1], [4, 2]],
        7: [[4, 2], [3, 1]],
        8: [[2, 4], [1, 3]],
    }


def test_what_has_a_place_on_earth_is_left_as_it_is(tmp_path):
    path = held(tmp_path / "x.tif", 6)
    with rasterio.open(path, "r+") as dataset:
        dataset.crs, dataset.transform = UTM, NORTH_UP
    assert (read(path) == PIXELS).all()


def test_image_and_mask_agree_and_the_map_too(tmp_path):
    image = held(tmp_path / "s" / "images" / "x.png", 6)
    upright = seen(image)
    codes = np.where(upright[0] > 125, 2, 1).astype(np.uint8)
    write_png(tmp_path / "s" / "masks" / "x.png", codes)
    found = swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    assert "turned" in {f["code"] for f in found.findings}
    stored = Dataset(tmp_path / "d").images[0]
    assert (stored.read(stored.grid.window).values == upright).all()
    assert (stored.read_labels(stored.grid.window) == codes - 1).all()
    swath.predict(write_model(tmp_path / "m.swath"), image, tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as mapped:
        assert (mapped.read(1) == looked_up(upright, np.ones(upright.shape[1:], bool))).all()


def test_a_mask_on_its_side_is_named(tmp_path):
    held(tmp_path / "images" / "x.jpg", 6)
    write_png(tmp_path / "masks" / "x.png", noise(40, 60, high=3))
    (found,) = (f for f in swath.inspect(tmp_path).findings if f["level"] == "error")
    assert found["code"] == "labels-sideways" and found["file"].endswith("x.png")


def test_transparency_and_palettes_are_turned_too(tmp_path):
    clear = noise(4, 40, 60)
    clear[3] = np.where(clear[3] > 100, 255, 0)
    path = held(tmp_path / "a.png", 8, clear)
    with Raster([path]) as raster:
        values, valid = raster.read(raster.grid.window)
    assert (values == seen(path)[:3]).all() and (valid == (seen(path)[3] > 0)).all()
    indices = Image.fromarray(PIXELS.transpose(1, 2, 0)).quantize(16)
    exif = Image.Exif()
    exif[274] = 3
    indices.save(tmp_path / "p.png", exif=exif)
    shown = np.asarray(
        ImageOps.exif_transpose(Image.open(tmp_path / "p.png")).convert("RGB")
    ).transpose(2, 0, 1)
    assert (read(tmp_path / "p.png") == shown).all()


def test_a_palette_with_clear_colors_has_no_data_there(tmp_path):
    indices = noise(20, 30, low=0, high=4)
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    picture.save(tmp_path / "x.png", transparency=bytes([0, 255, 0, 255]))
    with Raster([tmp_path / "x.png"]) as raster:
        assert (raster.read(raster.grid.window).valid == np.isin(indices, (1, 3))).all()


def test_bands_of_a_palette_are_taken_in_any_order(tmp_path):
    table = {i: (i, 100 + i, 200 + i) for i in range(50)}
    path = write_raster(tmp_path / "x.tif", noise(9, 9, high=50), colormap=table)
    with Raster([path], order=[3, 1]) as raster:
        assert raster.bands == ("blue", "red")
        assert (raster.read(raster.grid.window).values == read(path)[[2, 0]]).all()
    with fails("band-missing", DataError, path) as caught:
        Raster([path], order=[4])
    assert re.findall(r"\d+", caught.value.message) == ["4", "3"]


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, orientation):
    assert (read(held(tmp_path / "x.png", orientation)) == PIXELS).all()
