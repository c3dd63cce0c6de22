"""The split is drawn where it lies: on the globe, on the one image, or as a mosaic."""

from rasterio.transform import from_origin

import swath
from swath.data.dataset import Dataset
from swath.reports.split_map import DRAWING_WIDTH, draw_split
from tests.make import UTM, noise, write_png, write_raster


def test_photographs_become_a_mosaic(stripes):
    drawn = draw_split(Dataset(stripes))
    assert drawn["kind"] == "mosaic" and len(drawn["tiles"]) == 4
    assert [split for _, split, _ in drawn["tiles"]] == ["train", "train", "val", "test"]
    assert drawn["counts"] == [("train", 2, 2), ("val", 1, 1), ("test", 1, 1)]


def test_blocks_lie_on_their_image(tmp_path):
    write_raster(tmp_path / "s" / "images" / "x.tif", noise(3, 128, 256))
    write_png(tmp_path / "s" / "masks" / "x.png", noise(128, 256, high=3))
    swath.prepare(tmp_path / "s", tmp_path / "d", block=128, test="1", val="none")
    drawn = draw_split(Dataset(tmp_path / "d"))
    assert (drawn["kind"], drawn["height"]) == ("image", DRAWING_WIDTH / 2)
    assert [(shape, split) for shape, split, _ in drawn["shapes"]] == [
        ("0.0,0.0 320.0,0.0 320.0,320.0 0.0,320.0", "train"),
        ("320.0,0.0 640.0,0.0 640.0,320.0 320.0,320.0", "test"),
    ]
    assert drawn["picture"].startswith("data:image/png")


def test_georeferenced_images_lie_on_the_globe(tmp_path):
    for k in range(3):
        where = from_origin(500_000 + 640 * k, 5_600_000, 10, 10)
        write_raster(
            tmp_path / "s" / f"p{k}" / "images" / "x.tif", noise(3, 64, 64, seed=k), UTM, where
        )
        write_raster(
            tmp_path / "s" / f"p{k}" / "masks" / "x.tif", noise(64, 64, seed=k, high=3), UTM, where
        )
    swath.prepare(tmp_path / "s", tmp_path / "d", test="p2", val="p1")
    drawn = draw_split(Dataset(tmp_path / "d"))
    assert drawn["kind"] == "map" and drawn["picture"] is None
    west = [min(float(xy.split(",")[0]) for xy in shape.split()) for shape, _, _ in drawn["shapes"]]
    assert [split for _, split, _ in drawn["shapes"]] == ["train", "val", "test"]
    assert west[0] < west[1] < west[2] < DRAWING_WIDTH
