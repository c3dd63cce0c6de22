"""QGIS styles: what is written is read back, and a user's own style is kept."""

import xml.etree.ElementTree as ET

import rasterio

import swath
from swath.io.qgis import read_style, style_path, write_style
from swath.legend import LandClass, Legend
from tests.make import noise, write_raster

LEGEND = Legend(
    (LandClass('sea & "lake"', (1,), 1, "#0072B2"), LandClass("town", (300,), 300, "#E69F00"))
)


def test_names_and_colors_come_back(tmp_path):
    assert write_style(tmp_path / "m.tif", LEGEND)
    assert read_style(tmp_path / "m.tif") == {
        1: ('sea & "lake"', "#0072B2"),
        300: ("town", "#E69F00"),
    }
    renderer = ET.parse(tmp_path / "m.qml").find("pipe/rasterrenderer")
    assert renderer.get("type") == "paletted" and renderer.get("band") == "1"


def test_predict_writes_the_style_and_the_color_table(tiny_model, tmp_path):
    swath.predict(
        tiny_model, write_raster(tmp_path / "i.tif", noise(3, 40, 40)), tmp_path / "m.tif"
    )
    style = read_style(tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as dataset:
        table, tags = dataset.colormap(1), dataset.tags(1)
    assert set(style) == {1, 2, 3}
    for code, (name, color) in style.items():
        assert tags[f"class_{code}"] == name
        assert "#{:02X}{:02X}{:02X}".format(*table[code][:3]) == color


def test_a_style_that_a_user_saved_is_left_alone(tmp_path):
    mine = "<!DOCTYPE qgis><qgis version='3.22'><pipe/></qgis>"
    style_path(tmp_path / "m.tif").write_text(mine)
    assert not write_style(tmp_path / "m.tif", LEGEND)
    assert style_path(tmp_path / "m.tif").read_text() == mine
    assert read_style(tmp_path / "m.tif") == {}


def test_our_own_style_follows_the_map_and_a_broken_one_counts_for_nothing(tmp_path):
    write_style(tmp_path / "m.tif", LEGEND)
    assert write_style(tmp_path / "m.tif", Legend(LEGEND.classes[:1]))
    assert list(read_style(tmp_path / "m.tif")) == [1]
    style_path(tmp_path / "m.tif").write_text("<qgis")
    assert read_style(tmp_path / "m.tif") == {} and not write_style(tmp_path / "m.tif", LEGEND)
