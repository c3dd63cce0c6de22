"""Self-training: a model's confident predictions as labels of images that have none.

One of the tiles that teach keeps its labels and two lose them; the tiles of validation judge.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import rasterio
import yaml
from PIL import Image

import swath
from swath.io.raster import gdal_env

LABELED, UNLABELED = ("Tile 1",), ("Tile 4", "Tile 7")
SURE = 80
"""Percent of confidence from which a pixel's class is a label."""


def make_labeled(images: Path, folder: Path, validation: tuple[str, ...]) -> None:
    """Make the dataset of the tiles that keep their labels, and of the tiles of validation."""
    source = folder.with_name(folder.name + "-source")
    _link(images, source, (*LABELED, *validation))
    swath.prepare(
        source,
        folder,
        classes=images.parent / "dubai-classes.yaml",
        test="none",
        val=",".join(validation),
    )


def make_guessed(images: Path, folder: Path, validation: tuple[str, ...], model: Path) -> None:
    """Make the dataset with confident predictions as labels of the tiles that have none."""
    source, classes = (
        folder.with_name(folder.name + "-source"),
        images.parent / "dubai-classes.yaml",
    )
    _link(images, source, (*LABELED, *validation))
    colors = {
        c["name"]: tuple(bytes.fromhex(c["color"][1:]))
        for c in yaml.safe_load(classes.read_text())["classes"]
    }
    for tile in UNLABELED:
        maps = source / "maps"
        swath.predict(model, images / tile / "images", maps, confidence=True)
        (source / tile / "masks").mkdir(parents=True)
        (source / tile / "images").symlink_to(
            (images / tile / "images").resolve(), target_is_directory=True
        )
        for image in sorted((images / tile / "images").iterdir()):
            Image.fromarray(_guessed(maps, image.stem, colors)).save(
                source / tile / "masks" / f"{image.stem}.png"
            )
        shutil.rmtree(maps)
    swath.prepare(source, folder, classes=classes, test="none", val=",".join(validation))


def _link(images: Path, source: Path, tiles: tuple[str, ...]) -> None:
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for tile in tiles:
        (source / tile).symlink_to((images / tile).resolve(), target_is_directory=True)


def _guessed(maps: Path, name: str, colors: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Return a mask (rows, columns, 3) in class colors; unlabeled where confidence is low."""
    with (
        gdal_env(),
        rasterio.open(maps / f"{name}.tif") as codes,
        rasterio.open(maps / f"{name}_confidence.tif") as confidence,
    ):
        sure = confidence.read(1)
        sure = (sure >= SURE) & (sure <= 100)
        classes, names = (
            codes.read(1),
            {k: v for k, v in codes.tags(1).items() if k.startswith("class_")},
        )
    mask = np.full((*classes.shape, 3), colors["unlabeled"], np.uint8)
    for key, of in names.items():
        mask[sure & (classes == int(key.removeprefix("class_")))] = colors[of]
    return mask
