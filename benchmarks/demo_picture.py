"""Draw the README's picture from what `swath demo` left: image, truth and map of the world, held-out blocks outlined.

Usage: python benchmarks/demo_picture.py swath-demo docs/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from swath.dataset import Dataset
from swath.labels import RasterLabels
from swath.pictures import coloured, png, visible
from swath.raster import Pixels

STEP = 5


def main(demo: Path, target: Path) -> None:
    """Write the picture."""
    dataset = Dataset(demo / "dataset")
    legend, image = dataset.manifest.legend, dataset.images[0]
    small = np.s_[::STEP, ::STEP]
    values, valid = image.read(image.grid.window)
    maps = [
        RasterLabels(demo / "source" / "landcover.tif", image.grid, warp=True),
        RasterLabels(demo / "world-map.tif", image.grid),
    ]
    truth, mapped = (legend.encode(m.read(image.grid.window, "code"))[small] for m in maps)
    panels = [visible(Pixels(values[(slice(None), *small)], valid[small]), ["red", "green", "blue"])]
    panels += [coloured(classes, legend) for classes in (truth, mapped)]
    for panel in panels:
        for sample in dataset.manifest.of("test"):
            (top, left), (bottom, right) = (sample.window.row, sample.window.col), sample.window.stop
            rows, cols = slice(top // STEP, bottom // STEP), slice(left // STEP, right // STEP)
            for edge in ((rows.start, cols), (rows.stop - 1, cols), (rows, cols.start), (rows, cols.stop - 1)):
                panel[edge] = (225, 40, 50)
    gap = np.full((12, panels[0].shape[1], 3), 255, np.uint8)
    target.write_bytes(png(np.concatenate([panels[0], gap, panels[1], gap, panels[2]])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
