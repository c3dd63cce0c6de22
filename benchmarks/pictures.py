"""Make the pictures of README and docs anew: `docs/pictures/*`.

Usage: python benchmarks/pictures.py DUBAI WORK [MODEL], where DUBAI is the folder of the Dubai
images with `dubai-classes.yaml` beside it. Without MODEL one is trained for twelve minutes on tiles
1, 4, 6 and 7, with tile 3 for validation. The images of the pictures are of tile 8, which it never
saw. Those of labeling are made by label_pictures.py, which this runs, and those of the benchmark
reports by accuracy.py and recipes.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from trials import TEST
from usage import arguments
from view_picture import main as picture_of_view

import swath
from swath.legend import read_legend, rgb

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TILE, NAME = "Tile 8", "image_part_003"
MINUTES = 12
GAP, TITLE, WIDTH = 8, 26, 300


def trained(dubai: Path, work: Path) -> Path:
    """Train the model of the pictures, unless that is done."""
    model, dataset, classes = work / "dubai.swath", work / "dataset", classes_of(dubai)
    if not dataset.exists():
        swath.prepare(dubai, dataset, classes=classes, test=list(TEST), val=["Tile 3"])
    if not model.exists():
        swath.train(dataset, model, minutes=MINUTES)
    return model


def classes_of(dubai: Path) -> Path:
    """Return the class file of the masks."""
    return dubai.parent / "dubai-classes.yaml"


def colored(path: Path, classes: Path) -> NDArray[np.uint8]:
    """Return the picture (rows, columns, 3) of a map, in the colors of its classes."""
    table = np.full((256, 3), 128, np.uint8)
    for land_class in read_legend(classes).trained:
        table[land_class.map_code] = rgb(land_class.color)
    with rasterio.open(path) as file:
        return table[file.read(1)]


def drawn(pictures: dict[str, NDArray[np.uint8]], path: Path) -> None:
    """Draw pictures of one size side by side, each below its title."""
    shown = {title: Image.fromarray(array) for title, array in pictures.items()}
    first = next(iter(shown.values()))
    height = round(WIDTH * first.height / first.width)
    sheet = Image.new("RGB", ((WIDTH + GAP) * len(shown) - GAP, height + TITLE), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (title, picture) in enumerate(shown.items()):
        left = number * (WIDTH + GAP)
        pen.text((left, 4), title, "black", font)
        sheet.paste(picture.resize((WIDTH, height), Image.Resampling.BILINEAR), (left, TITLE))
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main(dubai: str, work: str, model: str | None = None) -> None:
    """Map an image that the model never saw, and draw it."""
    source, folder = Path(dubai), Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    network = Path(model) if model else trained(source, folder)
    image = source / TILE / "images" / f"{NAME}.jpg"
    mask = source / TILE / "masks" / f"{NAME}.png"
    made = folder / "map.tif"
    swath.predict(network, image, made, confidence=True)
    picture_of_view(str(made), str(image), str(mask), str(PICTURES / "view.png"))
    with rasterio.open(image) as file, rasterio.open(mask) as labels:
        photo = file.read().transpose(1, 2, 0)
        reference = labels.read([1, 2, 3]).transpose(1, 2, 0)
    with rasterio.open(folder / "map_confidence.tif") as file:
        sure = np.repeat((file.read(1).astype(np.float32) * 2.55).astype(np.uint8)[..., None], 3, 2)
    parts = {"image": photo, "reference labels": reference}
    parts |= {"map": colored(made, classes_of(source)), "confidence": sure}
    drawn(parts, PICTURES / "map.png")
    command = [sys.executable, "-m", "benchmarks.label_pictures", str(source.resolve())]
    subprocess.run(command, cwd=PICTURES.parents[1], check=True)


if __name__ == "__main__":
    main(*arguments(__doc__, 2, 3))
