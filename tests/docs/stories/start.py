"""What README and "Getting started" say of their commands."""

from __future__ import annotations

from pathlib import Path

import rasterio

from tests.docs.pages import Stories, Story
from tests.make import NORTH_UP, UTM, noise, write_pairs, write_raster


def photos() -> None:
    """Write pairs of four places, and a scene."""
    for name in "ABCD":
        write_pairs(Path("photos") / name, ["x"], size=96)
    write_raster(Path("scene.tif"), noise(3, 96, 128), UTM, NORTH_UP)


def readme() -> Story:
    photos()
    yield
    assert Path("map.tif").is_file() and Path("land.swath").is_file()


def install() -> Story:
    yield


def quickstart() -> Story:
    photos()
    ran = yield
    prepared, scored = ran[1], ran[3]
    assert prepared.split == {"train": 2, "val": 1, "test": 1}
    assert scored.result["miou"] is not None and Path("report/index.html").is_file()
    assert Path("map_confidence.tif").is_file()
    with rasterio.open("map.tif") as made, rasterio.open("scene.tif") as scene:
        assert made.transform == scene.transform


STORIES: Stories = {
    ("README.md", ""): readme,
    ("getting-started/install.md", ""): install,
    ("getting-started/quickstart.md", ""): quickstart,
}
