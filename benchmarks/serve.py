"""How fast tiles are served, beside plain titiler on the same file.

Usage, from the project's root: `python -m benchmarks.serve FOLDER [SIDE]`. It makes a map of SIDE x
SIDE pixels (20000) in FOLDER unless it is there, tells how long the first questions of a page take,
and then how many tiles a second each gives, and how soon, to 200 clients at once on this machine,
and to one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import rasterio
from benchmarks.usage import arguments
from rasterio.windows import Window
from tests.load import press
from tests.make import NORTH_UP, UTM
from tests.server.test_load import tile_paths

from swath.io.raster import gdal_env

CLIENTS, SECONDS = 200, 20

TITILER = """
import sys, uvicorn
from fastapi import FastAPI
from titiler.core.errors import DEFAULT_STATUS_CODES, add_exception_handlers
from titiler.core.factory import TilerFactory
app = FastAPI()
app.include_router(TilerFactory(router_prefix="/cog").router, prefix="/cog")
add_exception_handlers(app, DEFAULT_STATUS_CODES)
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


def make_map(path: Path, side: int) -> None:
    """Write a map of four classes in blobs, tiled, deflated, with overviews."""
    dice = np.random.default_rng(0)
    small = dice.random((64, 24, 24))
    blocks = [
        np.kron(b, np.ones((24, 24)))[:512, :512] + dice.random((512, 512)) * 0.2 for b in small
    ]
    blocks = [np.digitize(b, (0.3, 0.6, 0.9)).astype(np.uint8) + 1 for b in blocks]
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 1,
        "dtype": "uint8",
        "nodata": 0,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "zlevel": 1,
        "BIGTIFF": "YES",
        "NUM_THREADS": "2",
        "crs": UTM,
        "transform": NORTH_UP,
    }
    with gdal_env(), rasterio.open(path, "w", **profile) as out:
        out.write_colormap(
            1, {1: (0, 114, 178), 2: (230, 159, 0), 3: (0, 158, 115), 4: (204, 121, 167)}
        )
        out.update_tags(
            1,
            **{f"class_{i}": name for i, name in enumerate(("water", "town", "wood", "field"), 1)},
        )
        for row in range(0, side, 512):
            for col in range(0, side, 512):
                height, width = min(512, side - row), min(512, side - col)
                block = blocks[int(dice.integers(64))][:height, :width]
                out.write(block, 1, window=Window(col, row, width, height))
    levels = [2**i for i in range(1, 12) if side / 2**i > 256]
    with rasterio.Env(
        COMPRESS_OVERVIEW="DEFLATE",
        ZLEVEL_OVERVIEW="1",
        GDAL_NUM_THREADS="2",
        BIGTIFF_OVERVIEW="YES",
    ):
        with rasterio.open(path, "r+") as out:
            out.build_overviews(levels, rasterio.enums.Resampling.nearest)


def measure(name: str, url: str, paths: list[str]) -> None:
    """Press on a server and print what was found."""
    press(url, paths, 8, 3)
    found = press(url, paths, CLIENTS, SECONDS)
    median, late = (1000 * found.percentile(share) for share in (0.5, 0.99))
    sys.stdout.write(
        f"{name:8} {found.rate:6.0f} tiles/s, median {median:5.0f} ms, p99 {late:5.0f} ms, "
        f"statuses {found.statuses}, errors {len(found.errors)}\n"
    )
    alone = press(url, paths, 1, 5, seed=1)
    sys.stdout.write(
        f"{name:8} one client: median {1000 * alone.percentile(0.5):.1f} ms, "
        f"p99 {1000 * alone.percentile(0.99):.1f} ms\n"
    )


def main(folder: str, side: int = 20_000) -> None:
    """Measure both servers."""
    path = Path(folder) / f"map-{side}.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make_map(path, side)
    begun = time.monotonic()
    program = "from swath.cli.main import main; main()"
    ours = subprocess.Popen(
        [sys.executable, "-c", program, "serve", str(path), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ours.stdout is not None
    url = json.loads(ours.stdout.readline())["url"]
    sys.stdout.write(f"started in {time.monotonic() - begun:.2f} s\n")
    for question in (
        "scene",
        f"cog/tiles/WebMercatorQuad/{tile_paths(path, path.name)[0].split('WebMercatorQuad/')[1]}",
    ):
        begun = time.monotonic()
        with urlopen(url + question) as answer:
            answer.read()
        sys.stdout.write(
            f"first {question.split('?')[0]} in {1000 * (time.monotonic() - begun):.0f} ms\n"
        )
    every = tile_paths(path, path.name)
    paths = (
        every
        if len(every) < 4000
        else [every[i] for i in np.random.default_rng(1).choice(len(every), 4000, replace=False)]
    )
    measure("swath", url, paths)
    ours.terminate()
    ours.wait()
    plain = subprocess.Popen([sys.executable, "-W", "ignore", "-c", TITILER, "8499"])
    time.sleep(8)
    measure(
        "titiler",
        "http://127.0.0.1:8499/",
        [p.replace(f"url={path.name}", f"url={path}") for p in paths],
    )
    plain.terminate()


if __name__ == "__main__":
    folder, *side = arguments(__doc__, 1, 2)
    main(folder, *map(int, side))
