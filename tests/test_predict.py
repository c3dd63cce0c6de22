import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

import swath
from swath.errors import DataError, JobError, UsageError
from swath.model import Model

from .make import NORTH_UP, UTM, noise, truncate, write_raster


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.profile, dataset.tags(1), dataset.colormap(1)


def test_the_map_lies_on_the_images_own_grid(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 130, 90), UTM, NORTH_UP)
    result = swath.predict(tiny_model, image, tmp_path / "m.tif")
    codes, profile, tags, colors = read(tmp_path / "m.tif")
    assert (profile["height"], profile["width"], profile["nodata"]) == (130, 90, 0)
    assert profile["crs"] == UTM and profile["transform"] == NORTH_UP
    assert tags["class_1"] == "1" and colors[1][:3] != colors[2][:3]
    assert cog_validate(tmp_path / "m.tif")[0]
    assert result.pixels == 130 * 90 == sum(result.classes.values()) + result.nodata
    assert result.peak_rss_bytes > 50e6


def test_the_file_and_the_array_give_the_same_map(tiny_model, tmp_path):
    pixels = noise(3, 100, 100)
    swath.predict(tiny_model, write_raster(tmp_path / "i.tif", pixels), tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], Model(tiny_model).predict(pixels))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (33, 31)])
def test_any_size_is_mapped(tiny_model, tmp_path, shape):
    swath.predict(tiny_model, write_raster(tmp_path / "i.tif", noise(3, *shape)), tmp_path / "m.tif")
    codes = read(tmp_path / "m.tif")[0]
    assert codes.shape == shape and (codes > 0).all()


def test_nodata_stays_nodata(tiny_model, tmp_path):
    pixels = noise(3, 64, 64)
    pixels[:, :10] = 0
    swath.predict(tiny_model, write_raster(tmp_path / "i.tif", pixels, nodata=0), tmp_path / "m.tif")
    codes = read(tmp_path / "m.tif")[0]
    assert (codes[:10] == 0).all() and (codes[10:] > 0).all()


def test_an_older_map_is_replaced_only_by_a_whole_one(tiny_model, tmp_path):
    (tmp_path / "m.tif").write_text("old")
    image = truncate(write_raster(tmp_path / "i.tif", noise(3, 200, 200)))
    with pytest.raises(DataError, match=r"i\.tif"):
        swath.predict(tiny_model, image, tmp_path / "m.tif")
    assert (tmp_path / "m.tif").read_text() == "old"
    swath.predict(tiny_model, write_raster(tmp_path / "good.tif", noise(3, 40, 40)), tmp_path / "m.tif")
    assert read(tmp_path / "m.tif")[0].shape == (40, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.tif", "i.tif", "m.qml", "m.tif"]


def test_bands_in_separate_files_are_found_by_name(tiny_model, tmp_path):
    names = [b.name for b in Model(tiny_model).card.bands]
    pixels = noise(3, 40, 60)
    for name, band in reversed(list(zip(names, pixels, strict=True))):
        write_raster(tmp_path / "bands" / f"scene_{name}.tif", band, UTM, NORTH_UP)
    write_raster(tmp_path / "bands" / "other.tif", pixels[0], UTM, NORTH_UP)
    swath.predict(tiny_model, tmp_path / "short.tif", stack=tmp_path / "bands")
    first = tmp_path / "bands" / f"scene_{names[0]}.tif"
    swath.predict(tiny_model, first, tmp_path / "long.tif", stack=tmp_path / "bands")
    expected = Model(tiny_model).predict(pixels)
    for name in ("short.tif", "long.tif"):
        np.testing.assert_array_equal(read(tmp_path / name)[0], expected)


def test_a_missing_band_is_named(tiny_model, tmp_path):
    name = Model(tiny_model).card.bands[0].name
    write_raster(tmp_path / "bands" / f"s_{name}.tif", noise(20, 20))
    with pytest.raises(DataError, match="needs exactly one file"):
        swath.predict(tiny_model, tmp_path / "m.tif", stack=tmp_path / "bands")


def test_another_number_of_bands_is_refused(tiny_model, tmp_path):
    with pytest.raises(DataError, match=r"1 band\(s\), and the model takes 3"):
        swath.predict(tiny_model, write_raster(tmp_path / "i.tif", noise(20, 20)), tmp_path / "m.tif")


def test_another_type_of_pixel_is_warned_of(tiny_model, tmp_path, caplog):
    swath.predict(tiny_model, write_raster(tmp_path / "i.tif", noise(3, 20, 20, dtype="uint16")), tmp_path / "m.tif")
    assert "uint16" in caplog.text and "uint8" in caplog.text


def test_what_cannot_be_written_is_refused(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 20, 20))
    with pytest.raises(JobError, match="this is a folder"):
        swath.predict(tiny_model, image, tmp_path)
    with pytest.raises(UsageError, match="no MAP"):
        swath.predict(tiny_model, image)
    with pytest.raises(DataError, match="no such file"):
        swath.predict(tiny_model, tmp_path / "absent.tif", tmp_path / "m.tif")


def test_a_map_never_replaces_its_own_input(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 40, 40))
    before = image.read_bytes(), tiny_model.read_bytes()
    for target in (image, tiny_model):
        with pytest.raises(UsageError, match="replace its own input"):
            swath.predict(tiny_model, image, target)
    assert (image.read_bytes(), tiny_model.read_bytes()) == before
