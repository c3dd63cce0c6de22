"""A product of three resolutions against the same bands resampled beforehand: time and memory.

Usage: python benchmarks/resolutions.py WORK MODEL [--side 10980] [--rounds 3]

MODEL takes the twelve bands of Sentinel-2 L2A. A folder of band files of 10, 20 and 60 m is made in
WORK, each a virtual raster that repeats one tile, and a folder of the same bands at 10 m. Both are
mapped in turns, each by a process of its own; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from rasterio.transform import from_origin

BANDS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10}
BANDS |= {"B05": 20, "B06": 20, "B07": 20, "B8A": 20, "B11": 20, "B12": 20, "B01": 60, "B09": 60}
TILE = 1080  # rows and columns at 10 m of the tile that is repeated
CRS = "EPSG:32632"
VRT = """<VRTDataset rasterXSize="{n}" rasterYSize="{n}"><SRS>{crs}</SRS>
<GeoTransform>600000,{gsd},0,5600040,0,-{gsd}</GeoTransform>
<VRTRasterBand dataType="UInt16" band="1">{sources}</VRTRasterBand></VRTDataset>"""
SOURCE = """<SimpleSource><SourceFilename relativeToVRT="1">tiles/{name}.tif</SourceFilename>
<SrcRect xOff="0" yOff="0" xSize="{w}" ySize="{h}"/>
<DstRect xOff="{x}" yOff="{y}" xSize="{w}" ySize="{h}"/></SimpleSource>"""


def write_band(folder: Path, name: str, gsd: int, values: np.ndarray, side: int) -> None:
    """Write a tile, and a virtual raster of `side` pixels of 10 m that repeats it."""
    (folder / "tiles").mkdir(parents=True, exist_ok=True)
    size, n = len(values), side * 10 // gsd
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": size, "width": size}
    tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    transform = from_origin(600000, 5600040, gsd, gsd)
    with rasterio.open(
        folder / "tiles" / f"{name}.tif", "w", **profile, **tiling, crs=CRS, transform=transform
    ) as out:
        out.write(values, 1)
    sources = "".join(
        SOURCE.format(name=name, x=x, y=y, w=min(size, n - x), h=min(size, n - y))
        for y in range(0, n, size)
        for x in range(0, n, size)
    )
    text = VRT.format(n=n, gsd=gsd, crs=CRS, sources=sources)
    (folder / f"{name}.vrt").write_text(text, encoding="utf-8")


def make(work: Path, side: int) -> None:
    """Write both folders of bands."""
    rng = np.random.default_rng(0)
    for name, gsd in BANDS.items():
        size = TILE * 10 // gsd
        values = np.cumsum(rng.integers(-20, 21, (size, size)), axis=1) % 4000 + 300
        values = values.astype(np.uint16)
        write_band(work / "three", name, gsd, values, side)
        factor = gsd // 10
        write_band(work / "one", name, 10, values.repeat(factor, 0).repeat(factor, 1), side)


def run(model: str, folder: Path) -> tuple[float, float]:
    """Map a folder of bands; return seconds and the largest memory in GB."""
    words = [sys.executable, "-m", "swath", "predict", model, str(folder / "map.tif")]
    words += ["--stack", str(folder), "--json", "--restart", "--quality", "none"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    return result["seconds"], result["peak_rss_bytes"] / 1e9


def main() -> None:
    """Make the folders, map them in turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("model")
    parser.add_argument("--side", type=int, default=10980)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    make(given.work, given.side)
    found: dict[str, list[tuple[float, float]]] = {"three": [], "one": []}
    for _ in range(given.rounds):
        for name, runs in found.items():
            runs.append(run(given.model, given.work / name))
            sys.stdout.write(f"{name}: {runs[-1][0]:.1f} s, {runs[-1][1]:.2f} GB\n")
    three, one = (median(seconds for seconds, _ in found[name]) for name in ("three", "one"))
    most = max(memory for _, memory in found["three"])
    times = f"three resolutions {three:.1f} s, one {one:.1f} s, ratio {three / one:.2f}"
    sys.stdout.write(f"{times}; {most:.2f} GB\n")


if __name__ == "__main__":
    main()
