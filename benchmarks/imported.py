"""Compare imported networks of ukis-csmask with its own code, for reports/imported.md.

Usage: python benchmarks/imported.py DATA WORK WHAT, where DATA is the folder with `sentinel2`,
WORK keeps models and rasters, and WHAT is

- import: imports the four networks, and measures them on a raster of real pixels
- chips: compares both inside of windows of the five Sentinel-2 chips
- seams: compares both with one pass over 768 x 768 pixels
- own, swath: times the package's code, or `swath predict`, on 3000 x 3000 pixels
- inside: compares the map of `swath` with the package's network inside of windows

The package (ukis-csmask 1.0.0) is installed, or its folder is on PYTHONPATH. The raster mirrors
each chip within a fifth of the columns, so that all of its pixels are real.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

import swath
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Tile
from swath.inference.runtimes import OpenVinoRuntime
from swath.models.model import Model

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
PLACES = (2, 3, 4, 8, 11, 12)
"""Numbers of these bands in the chips."""

CLASSES = "clear,cloud,shadow"
NETWORKS = ("4b_l1c", "4b_l2a", "6b_l1c", "6b_l2a")
SIDE, WINDOW, PASS = 3000, 256, 768
MEASURED = "4b_l2a"


def chips(data: Path) -> dict[str, NDArray[np.uint16]]:
    """Return the bands (6, rows, columns) of each chip by its name."""
    out = {}
    for path in sorted((data / "sentinel2" / "images").glob("*.tif")):
        with rasterio.open(path) as file:
            out[path.stem] = file.read(PLACES).clip(1).astype(np.uint16)
    return out


def raster(data: Path, work: Path, name: str, side: int, bands: int) -> Path:
    """Write a raster of mirrored chips side by side, and return its path."""
    path = work / f"{name}.tif"
    if path.exists():
        return path
    found = list(chips(data).values())
    width = side // len(found)
    parts = [
        np.pad(c, [(0, 0), (0, side - 224), (0, max(0, width - 224))], mode="symmetric")[
            :bands, :, :width
        ]
        for c in found
    ]
    pixels = np.concatenate(parts, axis=2)
    shape = {"count": bands, "height": side, "width": pixels.shape[2], "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 56e5, 10, 10)}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **shape, **place) as file:
        file.write(pixels)
        for i, band in enumerate(BANDS[:bands], 1):
            file.set_band_description(i, band)
    return path


def reflectance(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Turn stored numbers (bands, rows, columns) into what the package takes."""
    return np.ascontiguousarray(pixels.transpose(1, 2, 0).astype(np.float32) / 10_000)


def own_class(pixels: NDArray[Any], level: str) -> Any:
    """Run the package's code on an image (bands, rows, columns)."""
    from ukis_csmask.mask import CSmask

    return CSmask(reflectance(pixels), list(BANDS[: len(pixels)]), level, batch_size=1)


def own_window(network: Any, pixels: NDArray[Any]) -> NDArray[np.intp]:
    """Return the labels of the package's network for a window, smaller ones mirrored."""
    rows, cols = pixels.shape[1:]
    padded = np.pad(pixels, [(0, 0), (0, WINDOW - rows), (0, WINDOW - cols)], mode="symmetric")
    values = network.normalize(reflectance(padded), network.band_mean, network.band_std)
    values = values.astype(np.float32).transpose(2, 0, 1)[None]
    scores = network.session.run(None, {network.input_names: values})[0]
    labels: NDArray[np.intp] = scores[0].argmax(axis=0)[:rows, :cols]
    return labels


def model_path(work: Path, network: str) -> Path:
    """Return the path of an imported network."""
    return work / f"{network}.swath"


def do_import(data: Path, work: Path) -> None:
    """Import all networks."""
    for network in NETWORKS:
        image = raster(data, work, f"probe{network[0]}", 900, int(network[0]))
        begun = time.perf_counter()
        result = swath.import_onnx(
            f"ukis_csmask:model_{network}.onnx",
            model_path(work, network),
            classes=CLASSES,
            scale=0.0001,
            image=image,
            license="Apache-2.0",
            source="https://pypi.org/project/ukis-csmask/1.0.0/",
        )
        keys = ("window", "context", "halo", "seam", "difference", "labels_changed", "bf16_changed")
        show(network, seconds=time.perf_counter() - begun, **{k: getattr(result, k) for k in keys})


def do_chips(data: Path, work: Path) -> None:
    """Compare maps of chips with the package's network on the same windows."""
    for network in NETWORKS:
        model = Model(model_path(work, network))
        bands = len(model.card.bands)
        runtimes = [model.open(model.setup(precision=p)) for p in ("float32", "bf16")]
        own, off = None, np.zeros(2)
        for pixels in chips(data).values():
            own = own or own_class(pixels[:bands], network[-3:])
            expected = own_window(own, pixels[:bands])
            for k, runtime in enumerate(runtimes):
                found = runtime.runtime(pixels[None, :bands].astype(np.float32))
                off[k] += (found[0].argmax(axis=0) != expected).mean() / len(chips(data))
        show(network, float32=off[0], bf16=off[1])


def do_seams(data: Path, work: Path) -> None:
    """Compare tiles of both with one pass over a part of the raster."""
    model = Model(model_path(work, MEASURED))
    bands = len(model.card.bands)
    with rasterio.open(raster(data, work, "made", SIDE, bands)) as file:
        # The second boundary of two chips is in its middle.
        col = 2 * SIDE // 5 - PASS // 2
        pixels = file.read(window=((1000, 1000 + PASS), (col, col + PASS)))
    own = own_class(pixels, MEASURED[-3:])
    whole = free_scores(model, pixels).argmax(axis=0)
    codes = model.predict(pixels)
    theirs = own.csm[:, :, 0]
    show("one pass", own=(theirs != whole).mean(), swath=(codes != whole).mean())
    shifted = {}
    step = 100
    own_moved = own_class(pixels[:, step:, step:], MEASURED[-3:]).csm[:, :, 0]
    shifted["own"] = (own_moved != theirs[step:, step:]).mean()
    shifted["swath"] = (model.predict(pixels[:, step:, step:]) != codes[step:, step:]).mean()
    show("windows moved by 100 pixels", **shifted)


def free_scores(model: Model, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return scores of all pixels in one pass, in float32, from the network with free sizes."""
    import onnx

    network = onnx.load_from_string(model.network())
    for end in (network.graph.input[0], network.graph.output[0]):
        for axis, name in ((2, "height"), (3, "width")):
            end.type.tensor_type.shape.dim[axis].dim_param = name
    runtime = OpenVinoRuntime(network.SerializeToString(), shape=pixels.shape[1:])
    return runtime(pixels[None].astype(np.float32))[0]


def do_own(data: Path, work: Path) -> None:
    """Time the package's code from the raster to a map, with reading and writing."""
    with rasterio.open(raster(data, work, "made", SIDE, 4)) as file:
        begun, spent = time.perf_counter(), cpu()
        pixels, profile = file.read(), file.profile
    labels = own_class(pixels, MEASURED[-3:]).csm
    profile |= {"count": 1, "dtype": "uint8"}
    with rasterio.open(work / "own.tif", "w", **profile) as file:
        file.write(labels[None, :, :, 0])
    show("own", seconds=time.perf_counter() - begun, cpu_seconds=cpu() - spent)


def do_swath(data: Path, work: Path) -> None:
    """Time `predict`, from the model file to the map."""
    for precision in ("bf16", "float32"):
        begun, spent = time.perf_counter(), cpu()
        result = swath.predict(
            model_path(work, MEASURED),
            raster(data, work, "made", SIDE, 4),
            work / f"swath-{precision}.tif",
            precision=precision,
        )
        show(
            f"swath, {precision}",
            seconds=time.perf_counter() - begun,
            cpu_seconds=cpu() - spent,
            tiles=result.tiles,
            overhead=result.overhead,
        )


def do_inside(data: Path, work: Path) -> None:
    """Compare cores of the map with the package's network on the same windows."""
    model = Model(model_path(work, MEASURED))
    with rasterio.open(raster(data, work, "made", SIDE, 4)) as file:
        pixels = file.read()
    tiles: list[Tile] = list(model.predictor.tiling(GeoBox(*pixels.shape[1:])))
    own = own_class(pixels[:, :WINDOW, :WINDOW], MEASURED[-3:])
    for precision in ("bf16", "float32"):
        with rasterio.open(work / f"swath-{precision}.tif") as file:
            mapped = file.read(1)
        off = []
        for tile in tiles[:: len(tiles) // 24]:
            expected = own_window(own, pixels[(slice(None), *tile.read.slices)])
            core = expected[tile.core.relative_to(tile.read).slices]
            off.append((mapped[tile.core.slices] != core).mean())
        show(f"inside, {precision}", tiles=len(off), mean=np.mean(off), worst=np.max(off))
    with rasterio.open(work / "own.tif") as file:
        show("map against own map", differ=(file.read(1) != mapped).mean())


def cpu() -> float:
    """Return the processor time of this process in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def show(what: str, **values: Any) -> None:
    """Print a row as JSON."""
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
    sys.stdout.write(json.dumps({"what": what} | rounded, default=float) + "\n")
    sys.stdout.flush()


def main(data: str, work: str, *whats: str) -> None:
    """Run what is asked for."""
    Path(work).mkdir(parents=True, exist_ok=True)
    for what in whats:
        globals()[f"do_{what}"](Path(data), Path(work))


if __name__ == "__main__":
    main(*sys.argv[1:])
