"""Predict one real image with Swath, its peers and the bare runtime; one process a run, medians.

Usage: python benchmarks/predict.py MODEL.swath IMAGES WORK [--side 8192] [--peer-side 2048] [--runs
5] [--peers PYTHON]

IMAGES is a folder of photographs that are tiled to a GeoTIFF of SIDE pixels a side. PYTHON is an
interpreter that has torchgeo and geoai beside Swath; without it they are left out. All run the same
weights: the peers as a torch module in eager float32, as their documentation shows, and torchgeo
with the stitching that it leaves to the user.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

CUT = 256
"""Pixels near the cut of a larger image that are not compared."""

PIXEL = 0.5
"""Meters; torchgeo needs a CRS."""


def make_image(folder: Path, path: Path, side: int) -> None:
    """Tile photographs to one GeoTIFF of 512 blocks, DEFLATE."""
    photos = [rasterio.open(p).read() for p in sorted(folder.rglob("*.jpg"))[:18]]
    high, wide = min(p.shape[1] for p in photos), min(p.shape[2] for p in photos)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=side,
        width=side,
        count=3,
        dtype="uint8",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        photometric="rgb",
        crs="EPSG:32640",
        transform=rasterio.Affine(PIXEL, 0, 3e5, 0, -PIXEL, 28e5),
    ) as out:
        places = [(row, col) for row in range(0, side, high) for col in range(0, side, wide)]
        for k, (row, col) in enumerate(places):
            piece = photos[k % len(photos)][:, : min(high, side - row), : min(wide, side - col)]
            out.write(piece, window=Window(col, row, piece.shape[2], piece.shape[1]))


def run_swath(model: str, image: str, target: str, precision: str) -> dict[str, Any]:
    """Predict with the verb."""
    import swath

    result = swath.predict(model, image, target, precision=precision, restart=True)
    return {"seconds": result.seconds, "overhead": result.overhead, "tiles": result.tiles}


def run_runtime(model: str, image: str, precision: str) -> dict[str, Any]:
    """Run the bare engine on one tile, as often as the plan has tiles, at most ten times."""
    from swath.commands.predict import predict
    from swath.models.model import Model

    foreseen = predict(model, image, "x.tif", precision=precision, plan=True)
    opened = Model(model)
    from swath.inference.runtimes import choose_setup

    shape = foreseen.plan.read  # type: ignore[union-attr]
    runtime = opened.open(choose_setup("auto", precision), shape).runtime
    raw = np.random.default_rng(0).integers(0, 256, (1, 3, *shape)).astype(np.float32)
    runtime(raw)
    times = []
    for _ in range(min(10, foreseen.tiles)):
        start = time.perf_counter()
        runtime(raw)
        times.append(time.perf_counter() - start)
    return {"seconds": sum(times), "pixels_read": len(times) * raw[0, 0].size}


def run_torchgeo(model: str, image: str, target: str) -> dict[str, Any]:
    """Predict windows of 512 with a stride of 384 from GridGeoSampler; keep the middle of each."""
    import swath._torchvision_shim  # noqa: F401

    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    from swath.models.model import Model

    class Image(RasterDataset):
        filename_glob = Path(image).name

    network = Model(model).in_torch()
    start = time.monotonic()
    dataset = Image(str(Path(image).parent))
    size, stride = 512, 384
    margin = (size - stride) // 2
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=GridGeoSampler(dataset, size, stride),
        collate_fn=stack_samples,
    )
    with rasterio.open(image) as source:
        height, width, transform, profile = (
            source.height,
            source.width,
            source.transform,
            source.profile,
        )
    out = np.zeros((height, width), np.uint8)
    with torch.inference_mode():
        for batch in loader:
            labels = network(batch["image"]).argmax(1).to(torch.uint8).numpy()
            for one, bounds in zip(labels, batch["bounds"], strict=True):
                col, row = (round(v) for v in ~transform * (bounds[0].start, bounds[1].stop))
                kept = []
                for at, length in ((row, height), (col, width)):
                    first = 0 if at <= 0 else at + margin
                    kept.append(
                        (slice(first, length if at + size >= length else at + size - margin), at)
                    )
                inside = tuple(slice(part.start - at, part.stop - at) for part, at in kept)
                out[kept[0][0], kept[1][0]] = one[inside]
    with rasterio.open(target, "w", **profile | {"count": 1, "photometric": None}) as made:
        made.write(out, 1)
    return {"seconds": time.monotonic() - start}


def run_geoai(model: str, image: str, target: str) -> dict[str, Any]:
    """Call geoai's own function with its own defaults; it divides by 255, which is taken back."""
    import swath._torchvision_shim  # noqa: F401

    import torch
    from geoai.train import semantic_inference_on_geotiff

    from swath.models.model import Model

    opened = Model(model)

    class Raw(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = opened.in_torch()

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            return self.network(scaled * 255)

    start = time.monotonic()
    semantic_inference_on_geotiff(
        Raw(),
        image,
        target,
        num_classes=len(opened.card.legend.trained),
        device=torch.device("cpu"),
        quiet=True,
    )
    return {"seconds": time.monotonic() - start}


def whole(model: str, image: str, side: int, precision: str) -> np.ndarray[Any, Any]:
    """Return class codes of the upper left SIDE pixels, from one pass of the network."""
    from swath.inference.runtimes import choose_setup
    from swath.models.model import Model

    opened = Model(model)
    with rasterio.open(image) as source:
        raw = source.read(window=Window(0, 0, side, side)).astype(np.float32)[None]
    scores = opened.open(choose_setup("auto", precision), raw.shape[2:]).runtime(raw)[0]
    return opened.card.legend.decode(
        scores[: len(opened.card.legend.trained)].argmax(0).astype(np.uint8)
    )


def one(words: list[str]) -> None:
    """Run one contestant in this process, and print what it took."""
    kind, *rest = words
    made = {
        "swath": run_swath,
        "runtime": run_runtime,
        "torchgeo": run_torchgeo,
        "geoai": run_geoai,
    }[kind](*rest)
    made["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write("\n" + json.dumps(made) + "\n")


def in_turns(contestants: dict[str, tuple[str, ...]], runs: int) -> dict[str, dict[str, float]]:
    """Run each contestant in a process of its own, in turn, several times; return medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for turn in range(runs):
        for name, (python, *words) in contestants.items():
            done = subprocess.run(
                [python, __file__, "one", *words], check=True, capture_output=True, text=True
            )
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            sys.stdout.write(f"{turn} {name}: {found[name][-1]}\n")
            sys.stdout.flush()
    return {
        name: {key: median(f[key] for f in made) for key in made[0]} for name, made in found.items()
    }


def differs(path: Path, truth: np.ndarray[Any, Any], legend: Any | None = None) -> float:
    """Return the share of labels unlike whole-image inference; `legend` decodes indices.

    What lies near the cut where the whole ends and the image goes on is left out, for there the
    whole lacks context.
    """
    with rasterio.open(path) as made:
        side = len(truth) if made.height == len(truth) else len(truth) - CUT
        found, truth = made.read(1, window=Window(0, 0, side, side)), truth[:side, :side]
    return float(((found if legend is None else legend.decode(found)) != truth).mean())


def contestants(given: argparse.Namespace, images: dict[int, Path]) -> dict[str, tuple[str, ...]]:
    """Return who runs: `who precision side`, and the words of its process."""
    found: dict[str, tuple[str, ...]] = {}
    model, here = str(given.model), sys.executable
    for precision in given.precisions.split(","):
        for side, path in images.items():
            name = f"swath {precision} {side}"
            found[name] = (
                here,
                "swath",
                model,
                str(path),
                str(given.work / f"{name}.tif"),
                precision,
            )
        found[f"runtime {precision} {given.side}"] = (
            here,
            "runtime",
            model,
            str(images[given.side]),
            precision,
        )
    for peer in ("torchgeo", "geoai") if given.peers else ():
        name = f"{peer}  {given.peer_side}"
        found[name] = (
            given.peers,
            peer,
            model,
            str(images[given.peer_side]),
            str(given.work / f"{name}.tif"),
        )
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    for name in ("model", "images", "work"):
        parser.add_argument(name, type=Path)
    for name, default in (
        ("--side", 8192),
        ("--peer-side", 2048),
        ("--runs", 5),
        ("--whole", 2816),
    ):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--precisions", default="float32,bf16,int8")
    parser.add_argument("--peers", default="")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = str(given.model)
    from swath.models.model import Model

    legend = Model(model).card.legend
    images = {side: given.work / f"{side}.tif" for side in (given.side, given.peer_side)}
    for side, path in images.items():
        make_image(given.images, path, side)
    took = in_turns(contestants(given, images), given.runs)
    wholes = {
        (side, precision): whole(model, str(path), min(given.whole, side), precision)
        for side, path in images.items()
        for precision in {"float32", *given.precisions.split(",")}
    }
    for name, medians in took.items():
        who, precision, length = name.split(" ")
        side = int(length)
        pixels = medians.get("pixels_read", side**2)
        speed = f"{pixels / medians['seconds'] / 1e6:.3f}"
        line = f"| {who} {precision} | {side} | {speed} | {medians['rss'] / 1e9:.2f} |"
        if who != "runtime":
            path, known = given.work / f"{name}.tif", legend if who != "swath" else None
            same = differs(path, wholes[side, precision or "float32"], known)
            line += f" {same:.3%} | {differs(path, wholes[side, 'float32'], known):.3%} |"
        sys.stdout.write(line + "\n")
    for precision in given.precisions.split(","):
        ran, bare = (
            took[f"swath {precision} {given.side}"],
            took[f"runtime {precision} {given.side}"],
        )
        share = (
            given.side**2
            / ran["seconds"]
            * ran["overhead"]
            / (bare["pixels_read"] / bare["seconds"])
        )
        sys.stdout.write(
            f"{precision}: {ran['overhead']:.3f} pixels read a pixel, "
            f"{share:.3f} of the bare runtime's speed\n"
        )


if __name__ == "__main__":
    one(sys.argv[2:]) if sys.argv[1:2] == ["one"] else main()
