"""Two hundred clients at once: no error, and the server is alive and small afterwards."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_translate
from rio_cogeo.profiles import cog_profiles

from swath.server.layer import RasterLayer
from swath.server.web_mercator import HALF_EXTENT, MercatorTile
from tests.load import press
from tests.make import NORTH_UP, UTM
from tests.server.test_layer import codes_of, write_map

CLIENTS = 200


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    """A map of 2048 x 2048 pixels in tiles with overviews."""
    folder = tmp_path_factory.mktemp("load")
    plain = write_map(folder / "plain.tif", np.tile(codes_of(512, 512), (4, 4)), UTM, NORTH_UP)
    cog_translate(
        plain,
        folder / "m.tif",
        cog_profiles.get("deflate"),
        quiet=True,
        overview_resampling="nearest",
    )
    plain.unlink()
    return folder / "m.tif"


@pytest.fixture(scope="module")
def server(cog):
    """The server as users run it, in a process of its own; yields its address and number."""
    command = [
        sys.executable,
        "-c",
        "from swath.cli.main import main; main()",
        "serve",
        str(cog),
        "--port",
        "0",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield json.loads(process.stdout.readline())["url"], process.pid
    process.terminate()
    assert process.wait(timeout=30) == 0


def tile_paths(path: Path, name: str) -> list[str]:
    """Return the addresses of the tiles of five zooms."""
    layer, out = RasterLayer(path), []
    west, south, east, north = layer.placement.bounds
    for zoom in range(layer.placement.max_zoom - 4, layer.placement.max_zoom + 1):
        side = 2 * HALF_EXTENT / 2**zoom
        for x in range(int((west + HALF_EXTENT) // side), int((east + HALF_EXTENT) // side) + 1):
            for y in range(
                int((HALF_EXTENT - north) // side), int((HALF_EXTENT - south) // side) + 1
            ):
                assert MercatorTile(zoom, x, y).exists
                out.append(f"/cog/tiles/WebMercatorQuad/{zoom}/{x}/{y}?url={name}")
    return out


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, pytest.param(58, marks=pytest.mark.slow)])
def test_two_hundred_clients_are_served(server, cog, seconds):
    url, number = server
    paths = tile_paths(cog, "m.tif")
    hostile = [
        "/cog/tiles/WebMercatorQuad/3/0/0?url=../x.tif",
        "/cog/tiles/WebMercatorQuad/99/0/0?url=m.tif",
        "/values?lon=nan&lat=0",
    ]
    found = press(url, paths * 4 + hostile * (len(paths) // 12), CLIENTS, seconds)
    assert found.errors == [] and set(found.statuses) <= {200, 404, 422}
    assert found.statuses[200] > 20 * seconds and found.percentile(0.99) < 20
    with urlopen(f"{url}health") as answer:
        assert answer.status == 200
    if Path("/proc").is_dir():
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
        assert pages * os.sysconf("SC_PAGE_SIZE") < 1.5e9


def test_a_large_cog_opens_at_once_and_only_what_is_seen_is_read(tmp_path):
    """A map of 40 000 x 40 000 pixels with overviews, empty but for one block."""
    path = tmp_path / "huge.tif"
    profile = {
        "driver": "GTiff",
        "width": 40_000,
        "height": 40_000,
        "count": 1,
        "dtype": "uint8",
        "nodata": 0,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "SPARSE_OK": True,
        "BIGTIFF": "YES",
        "crs": UTM,
        "transform": NORTH_UP,
    }
    with rasterio.open(path, "w", **profile) as out:
        out.update_tags(1, class_1="water")
        out.write(
            np.ones((512, 512), np.uint8),
            1,
            window=rasterio.windows.Window(20_480, 20_480, 512, 512),
        )
    with rasterio.Env(SPARSE_OK_OVERVIEW=True), rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8, 16, 32, 64, 128, 256], rasterio.enums.Resampling.nearest)
    begun = time.process_time()
    layer = RasterLayer(path)
    assert layer.min_zoom == 0
    side = 2 * HALF_EXTENT / 2**layer.placement.max_zoom
    x, y = layer.placement.mercator(np.array([20_580.0]), np.array([20_580.0]))
    near = layer.tile(
        MercatorTile(
            layer.placement.max_zoom,
            int((x[0] + HALF_EXTENT) // side),
            int((HALF_EXTENT - y[0]) // side),
        )
    )
    far = [
        layer.tile(
            MercatorTile(
                zoom,
                int((x[0] + HALF_EXTENT) // (2 * HALF_EXTENT / 2**zoom)),
                int((HALF_EXTENT - y[0]) // (2 * HALF_EXTENT / 2**zoom)),
            )
        )
        for zoom in range(5, 14)
    ]
    assert time.process_time() - begun < 2
    assert near.valid.any() and (near.values[0][near.valid] == 1).all() and len(far) == 9
