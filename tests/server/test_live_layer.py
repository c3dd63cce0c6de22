"""A map is watched while it is being predicted."""

import os
import time

import numpy as np
import rasterio

import swath
from swath.server.live_layer import LiveLayer, is_live, parts_folder
from swath.server.web_mercator import MercatorTile
from tests.make import noise, write_raster


def test_parts_appear_as_they_are_done(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 500, 600))
    target = tmp_path / "m.tif"
    swath.predict(tiny_model, image, target, memory=0.9, keep_parts=True)
    with rasterio.open(target) as dataset:
        whole = dataset.read(1)
    os.rename(target, tmp_path / "whole.tif")
    parts = sorted(parts_folder(target).glob("*/*.part"))
    hidden = [part.rename(part.with_suffix(".later")) for part in parts[1:]]
    assert is_live(target)
    running = swath.view(target, image, open=False)
    try:
        import httpx2

        ask = httpx2.Client(base_url=running.url, timeout=20)
        first = ask.get("/progress", params={"url": "m.tif"}).json()
        assert (first["whole"], first["done"], first["total"]) == (False, 1, len(parts))
        layer = LiveLayer(target)
        layer.refresh()
        values, valid = layer.read(layer.grid.window)
        np.testing.assert_array_equal(values[0][valid], whole[valid])
        assert valid.any() and (len(parts) == 1 or not valid.all())
        for part in hidden:
            part.rename(part.with_suffix(".part"))
        second = ask.get("/progress", params={"url": "m.tif"}).json()
        assert second["done"] == len(parts) and (
            len(parts) == 1 or second["version"] != first["version"]
        )
        np.testing.assert_array_equal(layer.read(layer.grid.window).values[0], whole)
        np.testing.assert_array_equal(
            layer.tile(MercatorTile(18, 2**17, 2**17)).values[0], whole[:256, :256]
        )
        os.rename(tmp_path / "whole.tif", target)
        time.sleep(0.05)
        assert ask.get("/progress", params={"url": "m.tif"}).json()["whole"]
        assert not ask.get("/scene").json()["layers"][-1]["live"]
    finally:
        running.close()
