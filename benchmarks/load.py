"""Measure large work: 10,000 images, a raster of 100,000 pixels a side, 200 classes, 64 bands.

Usage: python -m benchmarks.load WORK [--cases files,classes,bands,raster,maps] [--sizes
1000,3000,10000] [--verbs V,...]
       [--times 5]

WORK is a folder for what is made (40 GB). Each verb runs in a process of its own, whose processor
time (its workers included) and peak resident memory are measured, and kept in
benchmarks/results/load.jsonl; of several times, the medians and all seconds. The table that is
printed at the end shows the last of each. Its last column is how much longer one more image, band,
class or pixel takes at the larger sizes than at the smaller ones: 1 is linear, less is better; the
time to start cancels out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyogrio
import rasterio
import shapely
from benchmarks.trials import Ledger
from numpy.typing import NDArray
from tests.make import write_model

RESULTS = Ledger(Path(__file__).parent / "results" / "load.jsonl")

CHILD = """
import json, resource, sys
from swath.cli.main import main
from swath.inference.memory import peak_memory
code = 0
try:
    main()
except SystemExit as leaving:
    code = leaving.code
if code:
    sys.exit(code)
own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
sys.stderr.write("\\n" + json.dumps([seconds, peak_memory()]))
"""
"""What measures itself: `swath` with its arguments."""

SIDE = 64
"""Rows and columns of the images of which there are many."""

VIEW = 256
"""Rows and columns of the images of which there are a few, with many classes or bands."""

FEW = 40
"""How many there are of these."""

TILE = 2048
"""Rows and columns of the file that a large raster repeats."""


@dataclass(frozen=True)
class Cost:
    """What one verb took: seconds of processors, and bytes of resident memory at the peak."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Verb:
    """A command to measure, in the folder of its source; `most` is the largest size to try."""

    arguments: str
    most: int = 10**9


@dataclass(frozen=True)
class Case:
    """One kind of load.

    Attributes:
        sizes: how much of it there is.
        make: fills a folder for one size.
        verbs: by name, in order.
        square: whether there is as much of it as the square of a size.
    """

    sizes: Sequence[int]
    make: Callable[[Path, int], None]
    verbs: dict[str, Verb]
    square: bool = False


def run(arguments: Sequence[str], folder: Path) -> Cost:
    """Run a verb in a process of its own, in a folder.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"swath {' '.join(arguments)}: {done.stderr[-800:]}")
    seconds, peak = json.loads(done.stderr.splitlines()[-1])
    return Cost(seconds, peak)


def growth(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Return the ratio of the cost of one more at large and small sizes; None for few sizes."""
    if len(sizes) < 3:
        return None
    slopes = [
        (b - a) / (m - n)
        for a, b, n, m in zip(seconds, seconds[1:], sizes, sizes[1:], strict=False)
    ]
    return slopes[-1] / slopes[0] if slopes[0] > 0 else None


def codes_of(side: int, classes: int, seed: int) -> NDArray[np.uint8]:
    """Draw patches of 8 pixels, each of one of so many classes; codes begin at 1."""
    patches = np.random.default_rng(seed).integers(
        1, classes + 1, (side // 8, side // 8), dtype=np.uint8
    )
    return np.kron(patches, np.ones((8, 8), np.uint8))


def write_pair(folder: Path, name: str, side: int, classes: int, bands: int, seed: int) -> None:
    """Write an image of noise over its classes, and its mask."""
    rng, codes = np.random.default_rng(seed), codes_of(side, classes, seed)
    tint = np.random.default_rng(0).integers(0, 200, (bands, classes + 1), dtype=np.uint8)
    pixels = tint[:, codes] + rng.integers(1, 50, (bands, side, side), dtype=np.uint8)
    for place, values in ((folder / "images", pixels), (folder / "masks", codes[None])):
        place.mkdir(parents=True, exist_ok=True)
        profile = {
            "driver": "GTiff",
            "height": side,
            "width": side,
            "count": len(values),
            "dtype": "uint8",
        }
        with rasterio.open(place / f"{name}.tif", "w", **profile) as out:
            out.write(values)


def many_files(folder: Path, n: int) -> None:
    """Write so many small images and masks into one folder each."""
    for i in range(n):
        write_pair(folder, f"chip{i:05d}", SIDE, 5, 3, i)


def many_classes(folder: Path, n: int) -> None:
    """Write a few images of so many classes."""
    for i in range(FEW):
        write_pair(folder, f"view{i:02d}", VIEW, n, 3, i)
    names = "".join(f"- {{name: class {code}, code: {code}}}\n" for code in range(1, n + 1))
    (folder / "classes.yaml").write_text(f"classes:\n{names}")


def many_bands(folder: Path, n: int) -> None:
    """Write a few images of so many bands."""
    for i in range(FEW):
        write_pair(folder, f"view{i:02d}", VIEW, 5, n, i)


def large_raster(folder: Path, side: int) -> None:
    """Write a virtual raster of so many pixels a side with labels, repeating one file.

    And a network of a single pixel, for what `predict` takes when the network takes next to
    nothing.
    """
    write_pair(folder / "tile", "one", TILE, 5, 3, 0)
    write_model(folder.parent / "pixel.swath")
    for name, bands in (("images", 3), ("masks", 1)):
        _repeat(folder / f"{name}.vrt", folder / "tile" / name / "one.tif", side, bands)


def _repeat(path: Path, file: Path, side: int, bands: int) -> None:
    text = f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>EPSG:32632</SRS>'
    text += "<GeoTransform>200000, 0.5, 0, 5600000, 0, -0.5</GeoTransform>"
    starts = range(0, side, TILE)
    for band in range(1, bands + 1):
        text += f'<VRTRasterBand dataType="Byte" band="{band}">'
        for row in starts:
            for col in starts:
                size = f'xSize="{min(TILE, side - col)}" ySize="{min(TILE, side - row)}"'
                text += (
                    '<SimpleSource><SourceFilename relativeToVRT="0">'
                    f"{file.resolve()}</SourceFilename>"
                    f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
                    f'<DstRect xOff="{col}" yOff="{row}" {size}/></SimpleSource>'
                )
        text += "</VRTRasterBand>"
    path.write_text(text + "</VRTDataset>")


def large_map(folder: Path, side: int) -> None:
    """Write a map of so many pixels a side, a raster of labels, and checked points."""
    large_raster(folder, side)
    profile = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "count": 1,
        "dtype": "uint8",
        "nodata": 0,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(0.5, 0, 200000, 0, -0.5, 5600000),
    }
    codes = np.concatenate([codes_of(TILE, 5, 0)] * (-(-side // TILE)), axis=1)[None, :, :side]
    with rasterio.open(folder / "map.tif", "w", **profile) as out:
        out.update_tags(1, **{f"class_{code}": f"class {code}" for code in range(1, 6)})
        for row in range(0, side, TILE):
            high = min(TILE, side - row)
            out.write(codes[:, :high], window=rasterio.windows.Window(0, row, side, high))
    _points(folder / "points.gpkg", side)


def _points(path: Path, side: int) -> None:
    """Write checked points, on one row of pixels, that agree with the map."""
    codes, cols = codes_of(TILE, 5, 0)[0], np.arange(4, side, max(8, side // 400 // 8 * 8))
    points = shapely.points(200000 + 0.5 * (cols + 0.5), 5600000 - 0.25)
    seen = codes[cols % TILE].astype(np.int64)
    pyogrio.raw.write(
        path, shapely.to_wkb(points), [seen], ["reference"], crs="EPSG:32632", geometry_type="Point"
    )


_SCENE = "--images images.vrt --labels masks.vrt"
_AFTER = {
    "train": Verb("train ../dataset ../m.swath --steps 2"),
    "evaluate": Verb("evaluate ../m.swath ../dataset"),
    "predict": Verb("predict ../m.swath images ../maps"),
}
CASES = {
    "files": Case(
        (1000, 3000, 10_000),
        many_files,
        {"inspect": Verb("inspect ."), "prepare": Verb("prepare . ../dataset"), **_AFTER},
    ),
    "classes": Case(
        (50, 100, 200),
        many_classes,
        {
            "inspect": Verb("inspect . --classes classes.yaml"),
            "prepare": Verb("prepare . ../dataset --classes classes.yaml"),
        }
        | _AFTER,
    ),
    "bands": Case(
        (16, 64, 256),
        many_bands,
        {"inspect": Verb("inspect ."), "prepare": Verb("prepare . ../dataset"), **_AFTER},
    ),
    "raster": Case(
        (12_500, 25_000, 50_000, 100_000),
        large_raster,
        {
            "inspect": Verb(f"inspect . {_SCENE}"),
            "prepare": Verb(f"prepare . ../dataset {_SCENE}", 50_000),
            "train": Verb("train ../dataset ../m.swath --steps 2", 50_000),
            "evaluate": Verb("evaluate ../m.swath ../dataset", 25_000),
            "predict, one pixel": Verb("predict ../pixel.swath images.vrt ../map.tif"),
        },
        square=True,
    ),
    "maps": Case(
        (12_500, 25_000, 50_000, 100_000),
        large_map,
        {
            "evaluate": Verb("evaluate map.tif masks.vrt"),
            "area": Verb("area map.tif --reference points.gpkg"),
            "sample": Verb("sample map.tif ../sample.gpkg"),
        },
        square=True,
    ),
}


def measure(name: str, size: int, verbs: Sequence[str], work: Path) -> dict[str, Cost]:
    """Run a case at one size; return the cost of each verb."""
    case = CASES[name]
    folder = work / name / str(size)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "source").mkdir(parents=True)
    case.make(folder / "source", size)
    costs = {}
    for verb, command in case.verbs.items():
        if size <= command.most and (not verbs or verb in verbs):
            costs[verb] = cost = run(command.arguments.split(), folder / "source")
            sys.stderr.write(
                f"{name} {size} {verb}: {cost.seconds:.1f} s, {cost.peak / 1e6:.0f} MB\n"
            )
    shutil.rmtree(folder)
    return costs


def keep(name: str, size: int, measured: Sequence[dict[str, Cost]]) -> None:
    """Add the median cost of each verb, of all times it was measured, to the results."""
    for verb in measured[0]:
        seconds, peaks = [m[verb].seconds for m in measured], [m[verb].peak for m in measured]
        what = {"case": name, "verb": verb, "size": size, "day": str(datetime.date.today())}
        cost = {"seconds": round(median(seconds), 1), "megabytes": round(median(peaks) / 1e6)}
        RESULTS.add(
            what | cost | ({"times": [round(s, 1) for s in seconds]} if len(measured) > 1 else {})
        )


def table(name: str) -> Iterator[str]:
    """Yield the rows of a case: what was measured last of each verb and size."""
    case = CASES[name]
    for verb in case.verbs:
        found = {r["size"]: r for r in RESULTS.rows() if (r["case"], r["verb"]) == (name, verb)}
        sizes = sorted(found)
        costs = [found[size] for size in sizes]
        more = growth(
            [size**2 if case.square else size for size in sizes], [c["seconds"] for c in costs]
        )
        cells = [
            " / ".join(f"{size:,}" for size in sizes),
            " / ".join(f"{c['seconds']:.1f}" for c in costs),
        ]
        cells += [
            " / ".join(str(c["megabytes"]) for c in costs),
            "" if more is None else f"{more:.2f}",
        ]
        if costs:
            yield f"| {name} | {verb} | {' | '.join(cells)} |"


def main() -> None:
    """Run the cases that are asked for, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--sizes", help="instead of a case's own")
    parser.add_argument("--verbs", default="", help="only these")
    parser.add_argument("--times", type=int, default=1, help="how often each is measured")
    options = parser.parse_args()
    lines = [
        "| what grows | verb | how much | processor s | peak MB | growth |",
        "|---|---|---|---|---|---|",
    ]
    for name in options.cases.split(","):
        sizes = (
            [int(size) for size in options.sizes.split(",")] if options.sizes else CASES[name].sizes
        )
        for size in sizes:
            verbs = [v for v in options.verbs.split(",") if v]
            keep(
                name, size, [measure(name, size, verbs, options.work) for _ in range(options.times)]
            )
        lines += table(name)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
