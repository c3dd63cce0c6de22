"""Measure the worth of mapping at the training resolution; results of reports/resolution.md.

Usage: python benchmarks/resolution.py DUBAI WORK [--steps N] [GROUP ...], which trains and scores
what is not in the results yet; or python benchmarks/resolution.py DUBAI WORK table

GROUP is `one` (a network is taught with pixels of 2 m, and maps other sizes) or `mixed` (taught
with images of 1, 2 and 4 m). The Dubai images have no CRS, and their tiles differ in true
resolution; here each pixel of theirs is called 1 m, and larger ones are means of them. Tiles 1, 4,
6 and 7 teach and tile 3 is mapped; the test tiles 2, 5 and 8 are not touched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from trials import Ledger

import swath
from swath.geo.tiling import Window
from swath.io.raster import Raster

RESULTS = Ledger(Path(__file__).parent / "results" / "resolution.jsonl")
TAUGHT, MAPPED, KNOWN = ("Tile 1", "Tile 4", "Tile 6", "Tile 7"), "Tile 3", 2
SIZES = (1, 2, 3, 4, 6, 8)
"""Meters of a pixel."""

MULTIPLE = 24
"""All images are cut to multiples of so many meters, so that they show the same ground."""

SIZE_OF: dict[str, Callable[[int], int]] = {
    "one": lambda i: KNOWN,
    "mixed": lambda i: (1, 2, 4)[i % 3],
}
"""Meters of a pixel of training image number i."""


def write(images: Path, tile: str, folder: Path, size_of: Callable[[int], int]) -> None:
    """Write the images of a tile with pixels of another size, and their masks (nearest)."""
    for i, path in enumerate(sorted((images / tile / "images").iterdir())):
        size = size_of(i)
        mask = (images / tile / "masks" / path.name).with_suffix(".png")
        for source, kind in ((path, "images"), (mask, "masks")):
            with Raster([source]) as opened:
                grid = opened.grid
                height, width = (
                    n // MULTIPLE * MULTIPLE // size for n in (grid.height, grid.width)
                )
                values = opened.read(Window(0, 0, height * size, width * size)).values[:3]
            blocks = values.reshape(3, height, size, width, size)
            values = (
                blocks.mean(axis=(2, 4))
                if kind == "images"
                else blocks[:, :, size // 2, :, size // 2]
            )
            row = 1 + TAUGHT.index(tile) if tile in TAUGHT else 0
            corner = from_origin(300_000 + 10_000 * i, 2_000_000 + 100_000 * row, size, size)
            place = {"crs": "EPSG:32640", "transform": corner}
            target = folder / tile / kind / f"{path.stem}.tif"
            target.parent.mkdir(parents=True, exist_ok=True)
            shape = {"count": 3, "height": height, "width": width, "dtype": "uint8"}
            with rasterio.open(
                target, "w", driver="GTiff", photometric="rgb", **shape, **place
            ) as out:
                out.write(values.round().astype(np.uint8))


def data(images: Path, work: Path, name: str, taught: Callable[[int], int], mapped: int) -> Path:
    """Make a dataset, once."""
    folder = work / name
    if not (folder / "d" / "dataset.json").exists():
        for tile in TAUGHT:
            write(images, tile, folder / "s", taught)
        write(images, MAPPED, folder / "s", lambda i: mapped)
        swath.prepare(
            folder / "s",
            folder / "d",
            classes=images.parent / "dubai-classes.yaml",
            test=MAPPED,
            val="none",
        )
    return folder / "d"


def run(images: Path, work: Path, group: str, steps: int) -> None:
    """Train one network, and score it on images of every size."""
    done = {(row["group"], row["size"], row["gsd"]) for row in RESULTS.rows()}
    model = work / f"{group}.swath"
    if not model.exists():
        begun = Path(f"{model}.training").exists()
        swath.train(
            data(images, work, group, SIZE_OF[group], KNOWN), model, steps=steps, resume=begun
        )
    for size in SIZES:
        placed = data(images, work, f"at-{size}", SIZE_OF["one"], size)
        for gsd in ("auto", "none"):
            if (group, size, gsd) not in done:
                found = swath.evaluate(model, placed, gsd=None if gsd == "auto" else gsd)
                classes = {c.name: c.iou for c in found.classes}
                row = {
                    "group": group,
                    "steps": steps,
                    "size": size,
                    "gsd": gsd,
                    "miou": found.miou,
                    "classes": classes,
                }
                RESULTS.add(row | {"accuracy": found.accuracy})


def table() -> str:
    """Return the tables in Markdown."""
    rows = {(row["group"], row["gsd"], row["size"]): row["miou"] for row in RESULTS.rows()}
    lines = [
        "| trained with | mapped | " + " | ".join(f"{size} m" for size in SIZES) + " |",
        "|---" * (2 + len(SIZES)) + "|",
    ]
    for group, gsd in dict.fromkeys(key[:2] for key in rows):
        scores = (rows.get((group, gsd, size), np.nan) for size in SIZES)
        lines.append(
            f"| {group} | {gsd} | " + " | ".join(f"{score:.3f}" for score in scores) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("groups", nargs="*", default=["one", "mixed"])
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    for group in given.groups:
        if group == "table":
            sys.stdout.write(table() + "\n")
        else:
            run(given.images, given.work, group, given.steps)


if __name__ == "__main__":
    main()
