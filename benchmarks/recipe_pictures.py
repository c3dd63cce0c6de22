"""Draw reports/recipes.png (images, labels, maps) and reports/shares.png (class shares)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from swath.data.dataset import Dataset, Sample
from swath.legend import IGNORE, LandClass, rgb
from swath.models.model import Model

WIDTH, GAP, LINE = 216, 6, 18
"""Pixels: of a picture in a row, between two, and of a line of text."""

FONT = ImageFont.load_default(13)


def draw_maps(
    dataset: Dataset, examples: Sequence[str], models: Mapping[str, Path], path: Path
) -> None:
    """Draw a row an example: image, labels and each model's map, with a legend."""
    legend, samples = dataset.manifest.legend, {s.name: s for s in dataset.manifest.samples}
    opened = {name: Model(model) for name, model in models.items()}
    rows = [
        (_title(samples[e]), [_shrunk(p) for p in _panels(dataset, samples[e], opened)])
        for e in examples
    ]
    width = (2 + len(models)) * (WIDTH + GAP) + GAP
    page = Image.new(
        "RGB", (width, 2 * LINE + sum(p[0].height + LINE + GAP for _, p in rows)), "white"
    )
    write = ImageDraw.Draw(page)
    for i, name in enumerate(["image", "truth", *models]):
        write.text((GAP + i * (WIDTH + GAP), 2), name, "black", FONT)
    top = LINE
    for title, panels in rows:
        write.text((GAP, top + 1), title, "#555555", FONT)
        for i, panel in enumerate(panels):
            page.paste(panel, (GAP + i * (WIDTH + GAP), top + LINE))
        top += panels[0].height + LINE + GAP
    _legend(write, legend.classes, top)
    _save(page, path)


def draw_shares(
    datasets: Sequence[tuple[str, Dataset, Callable[[Sample], str]]], path: Path
) -> None:
    """Draw a bar of class shares for each group of each titled dataset."""
    charts = [
        (title, data.manifest.legend, _shares(data.manifest.samples, of))
        for title, data, of in datasets
    ]
    bar, left, width = 22, 84, 720
    height = sum(3 * LINE + len(rows) * (bar + GAP) for _, _, rows in charts)
    page = Image.new("RGB", (left + width + GAP, height), "white")
    write, top = ImageDraw.Draw(page), 0
    for title, legend, rows in charts:
        write.text((GAP, top + 2), title, "black", FONT)
        top += LINE + 2
        for name, shares in rows.items():
            write.text((GAP, top + 3), name, "black", FONT)
            edges = left + np.rint(np.concatenate([[0], np.cumsum(shares)]) * width).astype(int)
            for land, share, x, end in zip(legend.trained, shares, edges, edges[1:], strict=False):
                if end <= x:
                    continue
                write.rectangle((x, top, end - 1, top + bar), land.color)
                if end - x > 36:
                    write.text((x + 4, top + 3), f"{share:.1%}", _readable(land.color), FONT)
            top += bar + GAP
        _legend(write, legend.trained, top)
        top += 2 * LINE - 2
    _save(page, path)


def _panels(
    dataset: Dataset, sample: Sample, models: Mapping[str, Model]
) -> list[NDArray[np.uint8]]:
    """Return image, truth and maps of a sample, (rows, columns, 3) each."""
    image, legend = dataset.images[sample.image], dataset.manifest.legend
    pixels = image.read(sample.window).values
    colors = legend.colors()
    colors[IGNORE] = next((rgb(c.color) for c in legend.classes if c.ignore), (255, 255, 255))
    by_code = np.full(256, IGNORE, np.uint8)
    for i, land in enumerate(legend.trained):
        by_code[land.map_code] = i
    maps = [colors[by_code[model.predict(pixels)]] for model in models.values()]
    return [pixels.transpose(1, 2, 0), colors[image.read_labels(sample.window)], *maps]


def _title(sample: Sample) -> str:
    split = "training" if sample.split == "train" else sample.split
    return f"{sample.name.replace('/image_part_', ', image ')} ({split})"


def _shrunk(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an image at the width of the page's columns, without mixing class colors."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    size = (WIDTH, round(image.height * WIDTH / image.width))
    few = image.getcolors(256) is not None
    return image.resize(size, Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS)


def _shares(
    samples: Sequence[Sample], of: Callable[[Sample], str]
) -> dict[str, NDArray[np.float64]]:
    counts: dict[str, NDArray[np.int64]] = defaultdict(
        lambda: np.zeros(len(samples[0].counts), np.int64)
    )
    for sample in samples:
        counts[of(sample)] = counts[of(sample)] + sample.counts
    return {name: total / total.sum() for name, total in counts.items()}


def _legend(write: ImageDraw.ImageDraw, classes: Sequence[LandClass], top: int) -> None:
    """Draw a line of colors and names."""
    x = GAP
    for land in classes:
        write.rectangle((x, top + 3, x + 12, top + 14), land.color)
        write.text((x + 17, top + 1), land.name, "black", FONT)
        x += 17 + int(write.textlength(land.name, FONT)) + 16


def _readable(color: str) -> str:
    return "black" if np.dot(rgb(color), (0.299, 0.587, 0.114)) > 140 else "white"


def _save(page: Image.Image, path: Path) -> None:
    """Save in 256 colors, which halves the file and is not seen."""
    page.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
