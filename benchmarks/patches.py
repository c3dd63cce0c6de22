"""Patches a second of Swath's prepared dataset, torchgeo and a plain Dataset, on the same files.

Usage: python benchmarks/patches.py DUBAI CONTEST WORK WHAT, where WHAT is

- patches: 256x256 patches with labels, in batches of four
- storage: the same patches from other ways to store prepared pixels
- starving: share of a training step's speed that reading leaves

The interpreter needs torchgeo, and zarr for `storage`, beside Swath; what is not installed is left
out. DUBAI is the folder of photographs, CONTEST one of the contest's shape. WORK takes three
folders of files: Dubai's JPEGs, the same as GeoTIFFs (deflate, tiles of 512), and the contest's
TIFFs (uncompressed strips); torchgeo knows places only by coordinates, so each file gets some. All
take turns within one process, five each, and the medians go to benchmarks/results/patches-*.txt.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from usage import arguments

import swath
from swath.data.dataset import Dataset, StoredImage
from swath.geo.tiling import Window
from swath.inference.memory import freed_memory_kept
from swath.training.batches.patches import Batch, BatchStream, PatchBatches, resized, stacked
from swath.training.batches.prefetch import Prefetcher
from swath.training.batches.sampler import PatchSampler
from swath.training.recipes import Recipe

SIDE, BATCH = 256, 4
TURNS = 5
SECONDS = 1.0
"""A turn takes at least so long."""

STEPS = 10
"""Training steps in a turn."""

IMAGES = 36
"""Photographs of Dubai; the test tiles are left out."""

COLORS = {0xE2A929: 1, 0x8429F6: 2, 0x6EC1E4: 3, 0x3C1098: 4, 0xFEDD3A: 5, 0x9B9B9B: 0}
CASES = ("jpeg", "deflate", "contest")
RESULTS = Path(__file__).parent / "results"
Pair = tuple[Path, Path]


def write(path: Path, array: np.ndarray[Any, Any], place: int, **profile: Any) -> None:
    """Write a raster (bands, rows, columns) that lies at a place of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {
        "crs": "EPSG:32640",
        "transform": rasterio.Affine(0.5, 0, 3e5 + 2000 * place, 0, -0.5, 28e5),
    }
    size = {
        "count": len(array),
        "height": array.shape[1],
        "width": array.shape[2],
        "dtype": "uint8",
    }
    with rasterio.open(path, "w", **size, **where, **profile) as out:
        out.write(array)


def locate(path: Path, place: int) -> None:
    """Give a file that has no coordinates some, in a file beside it."""
    with rasterio.open(path) as file:
        width, height = file.width, file.height
    x, y = 3e5 + 2000 * place, 28e5
    wkt = rasterio.CRS.from_epsg(32640).to_wkt()
    geo = f"<GeoTransform>{x}, 0.5, 0, {y}, 0, -0.5</GeoTransform>"
    text = f"<PAMDataset><SRS>{wkt}</SRS>{geo}</PAMDataset>"
    Path(f"{path}.aux.xml").write_text(text)
    with rasterio.open(path) as file:
        assert file.crs and (file.width, file.height) == (width, height), path  # noqa: S101 - a benchmark's own check


def codes(mask: Path) -> np.ndarray[Any, Any]:
    """Return a mask of colors as codes (1, rows, columns)."""
    red, green, blue = np.asarray(Image.open(mask).convert("RGB"), np.int32).transpose(2, 0, 1)
    packed = red << 16 | green << 8 | blue
    out = np.zeros(packed.shape, np.uint8)
    for color, code in COLORS.items():
        out[packed == color] = code
    return out[None]


def make_files(dubai: Path, contest: Path, work: Path) -> dict[str, list[Pair]]:
    """Make the files once; return pairs of image and mask of each case."""
    photos = [
        p
        for tile in (1, 3, 4, 6, 7)
        for p in sorted((dubai / f"Tile {tile}" / "images").glob("*.jpg"))
    ][:IMAGES]
    done = work / "files"
    if not done.exists():
        for place, photo in enumerate(photos):
            name, mask = f"{place:03d}", codes(photo.parents[1] / "masks" / f"{photo.stem}.png")
            (work / "jpeg" / "images").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, work / "jpeg" / "images" / f"{name}.jpg")
            write(work / "jpeg" / "masks" / f"{name}.png", mask, place, driver="PNG")
            locate(work / "jpeg" / "images" / f"{name}.jpg", place)
            tiled = {
                "driver": "GTiff",
                "tiled": True,
                "blockxsize": 512,
                "blockysize": 512,
                "compress": "deflate",
            }
            write(
                work / "deflate" / "images" / f"{name}.tif",
                rasterio.open(photo).read(),
                place,
                **tiled,
            )
            write(work / "deflate" / "masks" / f"{name}.tif", mask, place, **tiled)
        for place, image in enumerate(sorted(contest.rglob("*_RGB.tif"))):
            for kind, file in (("images", image), ("masks", matching(image))):
                target = work / "contest" / kind / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                locate(target, place)
        done.touch()
    pairs = {}
    for case in CASES:
        images = sorted(
            p for p in (work / case / "images").iterdir() if p.suffix in (".jpg", ".tif")
        )
        pairs[case] = [
            (p, next((work / case / "masks").glob(f"{p.stem.removesuffix('_RGB')}*[gf]")))
            for p in images
        ]
    return pairs


def matching(image: Path) -> Path:
    """Return the contest's classes of an image."""
    return next(image.parents[1].rglob(image.name.replace("_RGB", "_CLS")))


def prepared(work: Path, case: str) -> Dataset:
    """Prepare a case once."""
    target = work / f"{case}-dataset"
    if not (target / "dataset.json").exists():
        swath.prepare(work / case, target, test="none", val="none")
    return Dataset(target)


class Raw(BatchStream):
    """Patches at random places as they are: what the peers do, from Swath's dataset."""

    @property
    def epoch(self) -> int:
        """Not used."""
        return 1

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        rng = np.random.default_rng([self.seed, number])
        return stacked([self._patch(rng) for _ in range(BATCH)])

    def _patch(self, rng: np.random.Generator) -> Batch:
        image = int(rng.integers(len(self.sampler.dataset.images)))
        grid = self.sampler.dataset.images[image].grid
        row, col = (
            int(rng.integers(grid.height - SIDE + 1)),
            int(rng.integers(grid.width - SIDE + 1)),
        )
        return resized(
            self.sampler.read(image, Window(row, col, SIDE, SIDE)), SIDE, antialias=False
        )


class Plain(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Opens and crops files as tutorials do: TIFFs with rasterio, photographs with Pillow."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(number)
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        if pair[0].suffix == ".jpg":
            image, mask = (Image.open(p) for p in pair)
            row, col = (
                int(rng.integers(image.height - SIDE + 1)),
                int(rng.integers(image.width - SIDE + 1)),
            )
            parts = [
                np.asarray(part.crop((col, row, col + SIDE, row + SIDE))) for part in (image, mask)
            ]
            return torch.from_numpy(
                parts[0].transpose(2, 0, 1).astype(np.float32)
            ), torch.from_numpy(parts[1].astype(np.int64))
        with rasterio.open(pair[0]) as image, rasterio.open(pair[1]) as mask:
            row, col = (
                int(rng.integers(image.height - SIDE + 1)),
                int(rng.integers(image.width - SIDE + 1)),
            )
            window = rasterio.windows.Window(col, row, SIDE, SIDE)
            pixels, labels = image.read(window=window), mask.read(1, window=window)
        return torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(
            labels.astype(np.int64)
        )


def torchgeo_loader(pairs: list[Pair], workers: int) -> Any:
    """Return torchgeo's loader as in its documentation, with a RandomGeoSampler."""
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler

    class Images(RasterDataset):
        filename_glob = f"*{pairs[0][0].suffix}"

    class Masks(RasterDataset):
        filename_glob = f"*{pairs[0][1].suffix}"
        is_image = False

    dataset = Images(str(pairs[0][0].parent)) & Masks(str(pairs[0][1].parent))
    sampler = RandomGeoSampler(dataset, SIDE, length=10**6)
    return DataLoader(
        dataset, BATCH, sampler=sampler, num_workers=workers, collate_fn=stack_samples
    )


def check(sample: Any) -> None:
    """Make sure that a batch holds what all are to deliver."""
    pixels, labels = (sample["image"], sample["mask"]) if isinstance(sample, dict) else sample[:2]
    found = tuple(pixels.shape), pixels.dtype, labels.squeeze().shape, labels.dtype
    if (
        found != ((BATCH, 3, SIDE, SIDE), torch.float32, (BATCH, SIDE, SIDE), torch.int64)
        or not pixels.max() > 1
    ):
        raise ValueError(f"not the same work: {found}")


def turns(rows: dict[str, Iterator[Any]], ahead: int) -> dict[str, float]:
    """Let rows of batches take turns; return the median patches a second of each.

    What a row's workers made while others had their turn is at most `ahead` batches, which are
    thrown away first.
    """
    speeds: dict[str, list[float]] = {name: [] for name in rows}
    for row in rows.values():
        check(next(row))
    for _ in range(TURNS):
        for name, row in rows.items():
            for _ in islice(row, ahead):
                pass
            begun, count = time.perf_counter(), 0
            while time.perf_counter() - begun < SECONDS:
                next(row)
                count += BATCH
            speeds[name].append(count / (time.perf_counter() - begun))
    return {name: median(found) for name, found in speeds.items()}


def patches(work: Path, files: dict[str, list[Pair]]) -> list[str]:
    """Compare Swath with its peers; all compute with one thread, as workers do."""
    torch.set_num_threads(1)
    lines = [
        "| patches a second, in the loop / with 2 workers | " + " | ".join(CASES) + " |",
        "|---" * 4 + "|",
    ]
    columns = []
    for case in CASES:
        rows: dict[str, Iterator[Any]] = {}
        for workers in (0, 2):
            rows[f"plain Dataset/{workers}"] = iter(
                DataLoader(Plain(files[case]), BATCH, num_workers=workers)
            )
            if importlib.util.find_spec("torchgeo"):
                rows[f"torchgeo/{workers}"] = iter(torchgeo_loader(files[case], workers))
        batches = drawn(work, case, Recipe().but(patch=SIDE, batch=BATCH))
        for name, row in {
            "Swath": Raw(batches.sampler, Recipe(), 0),
            "Swath with its augmentation": batches,
        }.items():
            rows[f"{name}/0"] = (batch.recolored() for batch in row)
            rows[f"{name}/2"] = (batch.recolored() for batch in Prefetcher(row, 2))
        with freed_memory_kept():  # for all, as in training
            columns.append(turns(rows, ahead=6))
    for name in dict.fromkeys(key.partition("/")[0] for key in columns[0]):
        cells = [f"{found[f'{name}/0']:.0f} / {found[f'{name}/2']:.0f}" for found in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


Reader = Callable[[int, Window], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


def stored(work: Path, case: str) -> dict[str, Reader]:
    """Store a prepared dataset in other ways; return readers of pixels and labels."""
    dataset = prepared(work, case)
    arrays = [(whole(image, "read"), whole(image, "read_labels")) for image in dataset.images]
    folder = work / f"{case}-stored"
    shutil.rmtree(folder, ignore_errors=True)

    def mapped(i: int, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        image = dataset.images[i]
        return image.read(window).values.transpose(1, 2, 0), image.read_labels(window)

    readers: dict[str, Reader] = {"NumPy arrays, memory-mapped": mapped}
    for name, how in (
        ("GeoTIFF, not compressed", {}),
        ("GeoTIFF, deflate", {"compress": "deflate", "predictor": 2}),
        ("GeoTIFF, zstd", {"compress": "zstd", "predictor": 2}),
    ):
        readers[name] = tiffs(folder / name, arrays, how)
    if importlib.util.find_spec("zarr"):
        readers["Zarr, zstd"] = zarrs(folder / "Zarr, zstd", arrays)
    return readers


def whole(image: StoredImage, how: str) -> np.ndarray[Any, Any]:
    """Return all pixels (rows, columns, bands), or all labels."""
    found = getattr(image, how)(image.grid.window)
    return (
        np.ascontiguousarray(found.values.transpose(1, 2, 0))
        if how == "read"
        else np.ascontiguousarray(found)
    )


def tiffs(folder: Path, arrays: list[Any], how: dict[str, Any]) -> Reader:
    """Store as GeoTIFFs in tiles of 256."""
    opened = []
    for i, (pixels, labels) in enumerate(arrays):
        tiled = {
            "driver": "GTiff",
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "interleave": "pixel",
            **how,
        }
        pair = folder / f"{i}.tif", folder / f"{i}-labels.tif"
        write(pair[0], pixels.transpose(2, 0, 1), i, **tiled)
        write(pair[1], labels[None], i, **tiled)
        opened.append([rasterio.open(p) for p in pair])

    def read(i: int, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        where = window.to_rasterio()
        return opened[i][0].read(window=where).transpose(1, 2, 0), opened[i][1].read(
            1, window=where
        )

    return read


def zarrs(folder: Path, arrays: list[Any]) -> Reader:
    """Store as Zarr arrays in chunks of 256, with zstd, which is Zarr's own choice."""
    import zarr

    opened = []
    for i, pair in enumerate(arrays):
        made = []
        for kind, array in zip(("pixels", "labels"), pair, strict=True):
            chunks = (256, 256, *array.shape[2:])
            out = zarr.create_array(
                str(folder / f"{i}-{kind}"), shape=array.shape, chunks=chunks, dtype=array.dtype
            )
            out[...] = array
            made.append(out)
        opened.append(made)

    def read(i: int, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return opened[i][0][window.slices], opened[i][1][window.slices]

    return read


def size(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def storage(work: Path, files: dict[str, list[Pair]]) -> list[str]:
    """Compare ways to store pixels and labels that are many more than GDAL's cache holds."""
    lines = [
        f"| {len(files['contest'])} images of the contest | patches a second | bytes a pixel |",
        "|---|---|---|",
    ]
    dataset, readers = prepared(work, "contest"), stored(work, "contest")
    grids = [image.grid for image in dataset.images]

    def row(read: Reader) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        while True:
            parts = []
            for _ in range(BATCH):
                i = int(rng.integers(len(grids)))
                at = (
                    int(rng.integers(grids[i].height - SIDE + 1)),
                    int(rng.integers(grids[i].width - SIDE + 1)),
                )
                pixels, labels = read(i, Window(*at, SIDE, SIDE))
                tensors = (
                    np.asarray(pixels, np.float32).transpose(2, 0, 1),
                    np.asarray(labels, np.int64),
                )
                parts.append(Batch(*map(torch.from_numpy, tensors)))
            yield stacked(parts)

    speeds = turns({name: row(read) for name, read in readers.items()}, ahead=0)
    pixels = sum(grid.height * grid.width for grid in grids)
    for i, (name, speed) in enumerate(speeds.items()):
        folder = work / "contest-dataset" if not i else work / "contest-stored" / name
        lines.append(f"| {name} | {speed:.0f} | {size(folder) / pixels:.2f} |")
    return lines


def starving(work: Path, files: dict[str, list[Pair]]) -> list[str]:
    """Compare training steps on batches from disk and on one batch in memory."""
    from swath.models.network import Network, NetworkSpec
    from swath.training.full import has_bf16
    from swath.training.task import TrainingTask

    torch.manual_seed(0)
    network = Network(
        NetworkSpec(
            "tf_efficientnet_lite0", "unet", 6, (128.0,) * 3, (64.0,) * 3, Recipe().widths, 32
        )
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = TrainingTask(network, Recipe(), [1] * 6)
    optimizer = task.configure_optimizers()
    rows = {case: Prefetcher(drawn(work, case)) for case in CASES}
    kept = drawn(work, CASES[0]).batch(0)

    def seconds(row: Iterator[Batch]) -> float:
        begun = time.perf_counter()
        for batch in islice(row, STEPS):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
                loss = task.training_step(batch, 0)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
        return (time.perf_counter() - begun) / STEPS

    running = {case: iter(row) for case, row in rows.items()}
    for row in (
        repeat(kept),
        *running.values(),
    ):  # the first batch of all is waited for, once in a training
        seconds(row)
    begun = {case: row.waited for case, row in rows.items()}
    times: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    with freed_memory_kept():
        for _ in range(TURNS):
            for case, row in running.items():
                times[case].append((seconds(row), seconds(repeat(kept))))
    lines = [
        "| batches from | seconds a step | the same batch again | speed against that "
        "| of it waiting |",
        "|---" * 5 + "|",
    ]
    for case, pairs in times.items():
        read, alone = (median(column) for column in zip(*pairs, strict=True))
        waited = (rows[case].waited - begun[case]) / (STEPS * sum(pair[0] for pair in pairs))
        share = median(alone / read for read, alone in pairs)
        lines.append(f"| {case} | {read:.3f} | {alone:.3f} | {share:.3f} | {waited:.2%} |")
    return lines


def drawn(work: Path, case: str, recipe: Recipe = Recipe()) -> PatchBatches:  # noqa: B008 - frozen
    """Return the batches that a training on a case takes."""
    dataset = prepared(work, case)
    return PatchBatches(
        PatchSampler(dataset, dataset.manifest.of("train"), recipe.balance), recipe, 0
    )


GDAL_CACHE = "16"
"""Megabytes: the 45 images would all stay decoded in GDAL's own cache, which thousands do not."""


def main(dubai: str, contest: str, work: str, what: str) -> None:
    """Measure one of the three, and keep the result."""
    folder = Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    if what == "storage":
        os.environ["GDAL_CACHEMAX"] = GDAL_CACHE
    files = make_files(Path(dubai), Path(contest), folder)
    lines = {"patches": patches, "storage": storage, "starving": starving}[what](folder, files)
    lines += [
        "",
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"Swath {swath.__version__}",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"patches-{what}.txt").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*arguments(__doc__, 4, 4))
