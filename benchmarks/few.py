"""Maps from a few labels: the quick recipe against random forests on the same labels.

Scenes were chosen before the first run. Recipes are decided on `DECIDE`, and only the last one is
scored on `JUDGE`. Labels are squares that lie within one class where that is possible; all other
pixels of the scene are the reference.

With `--suggest`, labels that are placed by `swath suggest` are held against random ones: two random
squares a class, then in three rounds two more a class in the regions that are suggested. A square
lies near the middle of its region, where it is most of one class; where that class has eight
already, the next region is taken. All three maps are scored on the pixels that none has labels at.

With `--full STEPS`, the full recipe is trained instead, for so many steps.

Run: `python benchmarks/few.py SHARED_DATA OUT.jsonl [--scenes decide|judge] [--draws 3]
[--labels "1 polygon"]`; then
`python benchmarks/few.py --table OUT.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

import swath
from swath.legend import IGNORE
from swath.metrics.calibration import expected_calibration_error, reliability
from swath.metrics.confusion import Scores, confusion_matrix

DECIDE = ["Tile 1/3", "Tile 3/1", "Tile 4/2", "Tile 6/1", "Tile 7/1"]
FOREST_PIXELS = 200_000
"""Pixels of a scene that forests map to be scored, at most; drawn at random."""

JUDGE = ["Tile 2/5", "Tile 5/1", "Tile 8/1", "Tile 8/4"]
COLORS = ["E2A929", "8429F6", "6EC1E4", "3C1098", "FEDD3A"]
LABELS = {
    "15 polygons": (15, 16),
    "5 polygons": (5, 16),
    "1 polygon": (1, 16),
    "50 points": (50, 1),
    "10 points": (10, 1),
}
"""Labels a class: number, and side in pixels on Dubai; on Sentinel-2 squares have a side of 4."""

START, MOST, ROUNDS = 2, 8, 3
"""Squares a class before the first suggestion, and after the last; and rounds of suggestions."""

GRID = rasterio.Affine(1, 0, 3e5, 0, -1, 2.8e6)

Array = NDArray[Any]


def scenes(data: Path, kind: str) -> Iterator[tuple[str, Array, Array]]:
    """Yield name, pixels (bands, rows, columns) and class indices of scenes."""
    for name in JUDGE if kind == "judge" else DECIDE:
        yield name, *read_dubai(data, name)
    if kind != "judge":
        return
    for path in sorted((data / "sentinel2" / "images").glob("*.tif")):
        with rasterio.open(path) as file:
            pixels = file.read()
        with rasterio.open(data / "sentinel2" / "labels" / path.name) as file:
            codes = file.read(1)
        names, indices = np.unique(codes, return_inverse=True)
        if len(names) > 1:
            yield f"Sentinel-2/{path.stem[:24]}", pixels, indices.reshape(codes.shape).astype("u1")


def read_dubai(data: Path, name: str) -> tuple[Array, Array]:
    """Read pixels and class indices of an image, such as "Tile 1/3"."""
    tile, number = name.split("/")
    folder, stem = data / "dubai" / tile, f"image_part_{int(number):03d}"
    with rasterio.open(folder / "images" / f"{stem}.jpg") as file:
        pixels = file.read()
    with rasterio.open(folder / "masks" / f"{stem}.png") as file:
        mask = file.read()[:3]
        if len(mask) == 1:
            table = file.colormap(1)
            colors = [table.get(v, (0, 0, 0, 0))[:3] for v in range(256)]
            mask = np.array(colors, np.uint8)[mask[0]].transpose(2, 0, 1)
    labels = np.full(mask.shape[1:], IGNORE, np.uint8)
    for index, color in enumerate(COLORS):
        labels[(mask == np.array(list(bytes.fromhex(color)))[:, None, None]).all(0)] = index
    return pixels, labels


def draw(reference: Array, count: int, side: int, seed: int) -> Array:
    """Return labels: `count` squares a class, at random places as far as possible within it."""
    rng = np.random.default_rng(seed)
    out, taken = np.full(reference.shape, IGNORE, np.uint8), np.zeros(reference.shape, bool)
    for index in np.unique(reference[reference != IGNORE]):
        inside = reference == index
        if inside.sum() < 2 * side * side:
            continue
        total = np.pad(inside, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)
        share = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
        share = (share + total[:-side, :-side]).ravel() / side**2
        order, found = rng.permutation(share.size), 0
        for least in (1.0, 0.9, 0.75, 0.5, 0.25):
            for place in order[share[order] >= least][:5000]:
                row, col = divmod(int(place), reference.shape[1] - side + 1)
                square = slice(row, row + side), slice(col, col + side)
                if found < count and not taken[square].any():
                    taken[square] = True
                    out[square][inside[square]] = index
                    found += 1
    return out


def score(
    predicted: Array, confidence: Array, reference: Array, labels: Array, *others: Array
) -> dict[str, float]:
    """Score a map on all pixels without a label, also of others, over the classes with labels."""
    classes = np.unique(labels[labels != IGNORE])
    known = np.isin(reference, classes)
    for given in (labels, *others):
        known &= given == IGNORE
    n = int(classes.max()) + 1
    counts = confusion_matrix(reference[known], predicted[known].clip(0, n - 1), n)
    right = reliability(confidence[known].astype(np.float32), predicted[known] == reference[known])
    return {"miou": Scores.of(counts).miou, "ece": expected_calibration_error(right)}


def forest(features: Array, labels: Array, wanted: Array) -> tuple[Array, Array]:
    """Map wanted pixels with a random forest on features (n, rows, columns)."""
    known = labels != IGNORE
    model = RandomForestClassifier(100, n_jobs=2, random_state=0)
    model.fit(features[:, known].T, labels[known])
    shares = model.predict_proba(features[:, wanted].T)
    classes, confidence = np.zeros(labels.shape, np.uint8), np.zeros(labels.shape, np.float32)
    classes[wanted], confidence[wanted] = model.classes_[shares.argmax(1)], shares.max(1)
    return classes, confidence


def thinned(reference: Array) -> Array:
    """Return the reference with labels of at most `FOREST_PIXELS` pixels."""
    kept = np.random.default_rng(0).permutation(reference.size)[:FOREST_PIXELS]
    out = np.full(reference.size, IGNORE, np.uint8)
    out[kept] = reference.ravel()[kept]
    return out.reshape(reference.shape)


def multiscale(pixels: Array) -> Array:
    """Return the bands, and their Gaussian means, gradients and Laplacians at four scales."""
    bands = pixels.astype(np.float32)
    filters = (
        ndimage.gaussian_filter,
        ndimage.gaussian_gradient_magnitude,
        ndimage.gaussian_laplace,
    )
    found = [f(band, sigma) for sigma in (1, 2, 4, 8) for f in filters for band in bands]
    return np.stack([*bands, *found])


def mapped(pixels: Array, labels: Array, seed: int, steps: int = 0) -> tuple[Array, Array, float]:
    """Map by the quick recipe, or by steps of the full one.

    Returns classes, confidence and the seconds of the training.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = train(folder, pixels, labels, seed, steps)
        swath.predict(folder / "m.swath", folder / "scene.tif", folder / "map.tif", confidence=True)
        with rasterio.open(folder / "map.tif") as file:
            codes = file.read(1)
        with rasterio.open(folder / "map_confidence.tif") as file:
            confidence = file.read(1).astype(np.float32)
        names = [c.map_code for c in swath.Model(folder / "m.swath").card.legend.trained]
    present = np.unique(labels[labels != IGNORE])
    table = np.zeros(256, np.uint8)
    table[names] = present
    return table[codes], confidence / (100 if confidence.max() > 1 else 1), seconds


def write_scene(folder: Path, pixels: Array, labels: Array) -> None:
    """Write pixels and labels as GeoTIFF with a position; codes of labels begin at 1."""
    shape = {"height": labels.shape[0], "width": labels.shape[1], "driver": "GTiff"}
    grid = {"crs": "EPSG:32640", "transform": GRID}
    for file, array in (
        ("scene", pixels),
        ("labels", np.where(labels == IGNORE, IGNORE, labels + 1)[None]),
    ):
        profile = {"count": len(array), "dtype": array.dtype, **shape, **grid}
        if file == "labels":
            profile["nodata"] = IGNORE
        with rasterio.open(folder / f"{file}.tif", "w", **profile) as out:
            out.write(array)


def train(folder: Path, pixels: Array, labels: Array, seed: int, steps: int = 0) -> float:
    """Write a scene and its labels, and train on them; return the seconds of the training."""
    write_scene(folder, pixels, labels)
    given = {"images": [folder / "scene.tif"], "labels": [folder / "labels.tif"]}
    swath.prepare(folder, folder / "dataset", **given, test="none", val="none")
    started = time.monotonic()
    how: dict[str, Any] = {"steps": steps} if steps else {"recipe": "quick"}
    swath.train(folder / "dataset", folder / "m.swath", seed=seed, **how)
    return time.monotonic() - started


def suggested(pixels: Array, reference: Array, side: int, seed: int) -> Array:
    """Return labels: two random squares a class, and up to eight in regions that are suggested."""
    labels = draw(reference, START, side, seed)
    counts = {int(c): START for c in np.unique(labels[labels != IGNORE])}
    for number in range(ROUNDS):
        wanted = (MOST - START) // ROUNDS * len(counts)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            train(folder, pixels, labels, seed)
            given = (folder / "scene.tif", folder / "labels.tif", folder / "regions.gpkg")
            swath.suggest(folder / "m.swath", *given, n=8 * wanted)
            regions = shapely.from_wkb(pyogrio.raw.read(given[-1])[2])
        for region in regions:
            if wanted and place_square(labels, reference, region, side, counts):
                wanted -= 1
        sys.stdout.write(f"  round {number + 1}: {counts}\n")
    return labels


def place_square(
    labels: Array, reference: Array, region: Any, side: int, counts: dict[int, int]
) -> bool:
    """Label a square near the middle of a region; return whether a class had room for it."""
    col, row = ~GRID * region.centroid.coords[0]
    shifts = range(-side, side + 1, max(1, side // 4))
    found: list[tuple[int, int, int, int, int]] = []
    for down, right in ((d, r) for d in shifts for r in shifts):
        top = int(np.clip(row - side / 2 + down, 0, labels.shape[0] - side))
        left = int(np.clip(col - side / 2 + right, 0, labels.shape[1] - side))
        inside = reference[top : top + side, left : left + side]
        known = inside[np.isin(inside, list(counts))]
        taken = (labels[top : top + side, left : left + side] != IGNORE).any()
        if known.size and not taken:
            count = np.bincount(known)
            best = int(count.argmax())
            if counts[best] < MOST:
                found.append((int(count[best]), -(down**2) - right**2, top, left, best))
    if not found:
        return False
    _, _, top, left, best = max(found)
    counts[best] += 1
    square = labels[top : top + side, left : left + side]
    square[reference[top : top + side, left : left + side] == best] = best
    return True


def compare_placing(data: Path, out: Path, kind: str, draws: int, only: str) -> None:
    """Append a line of JSON for each scene, draw and way to place labels."""
    for name, pixels, reference in scenes(data, kind):
        if not name.startswith(only):
            continue
        side = 4 if name.startswith("Sentinel") else 16
        for seed in range(draws):
            given = {
                "15 polygons": draw(reference, 15, side, seed),
                "8 polygons": draw(reference, MOST, side, seed),
                "8 polygons by suggest": suggested(pixels, reference, side, seed),
            }
            for title, labels in given.items():
                classes, confidence, seconds = mapped(pixels, labels, seed)
                found = score(classes, confidence, reference, labels, *given.values())
                facts = {"scene": name, "labels": title, "draw": seed, "row": "quick"}
                with out.open("a") as file:
                    file.write(json.dumps(facts | found | {"seconds": seconds}) + "\n")
                sys.stdout.write(f"{name} {title} {seed} {found['miou']:.3f}\n")
                sys.stdout.flush()


def run_full(
    data: Path, out: Path, kind: str, draws: int, titles: list[str], only: str, steps: int
) -> None:
    """Append one line of JSON for each scene, kind of labels and draw: the full recipe."""
    for name, pixels, reference in scenes(data, kind):
        if not name.startswith(only):
            continue
        for title in titles:
            for seed in range(draws):
                labels = draw(reference, *LABELS[title], seed)
                classes, confidence, seconds = mapped(pixels, labels, seed, steps)
                found = score(classes, confidence, reference, labels) | {"seconds": seconds}
                facts = {"scene": name, "labels": title, "draw": seed, "row": f"{steps} steps"}
                with out.open("a") as file:
                    file.write(json.dumps(facts | found) + "\n")
                sys.stdout.write(f"{name} {title} {seed} {found['miou']:.3f}\n")
                sys.stdout.flush()


def run(data: Path, out: Path, kind: str, draws: int, titles: list[str]) -> None:
    """Append one line of JSON for each scene, kind of labels, draw and row."""
    for name, pixels, reference in scenes(data, kind):
        wide, some = multiscale(pixels), thinned(reference)
        for title in titles:
            count, side = LABELS[title]
            side = min(side, 4) if name.startswith("Sentinel") else side
            for seed in range(draws):
                labels = draw(reference, count, side, seed)
                rows: dict[str, dict[str, float]] = {}
                for row, features in (("forest, bands", pixels), ("forest, multiscale", wide)):
                    rows[row] = score(*forest(features, labels, some != IGNORE), some, labels)
                classes, confidence, seconds = mapped(pixels, labels, seed)
                rows["quick"] = score(classes, confidence, reference, labels) | {"seconds": seconds}
                with out.open("a") as file:
                    for row, found in rows.items():
                        facts = {"scene": name, "labels": title, "draw": seed, "row": row}
                        file.write(json.dumps(facts | found) + "\n")
                scores = {row: round(found["miou"], 3) for row, found in rows.items()}
                sys.stdout.write(f"{name} {title} {seed} {scores}\n")


def table(path: Path) -> None:
    """Print the means over draws as a table of Markdown."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        facts = json.loads(line)
        found[facts["labels"], facts["scene"], facts["row"]].append(facts)
    sys.stdout.write(
        "| labels a class | scene | forest, bands | forest, multiscale | quick | its ECE |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for labels, scene in dict.fromkeys(key[:2] for key in found):
        cells = [found[labels, scene, r] for r in ("forest, bands", "forest, multiscale", "quick")]
        means = [f"{np.mean([f['miou'] for f in cell]):.3f}" for cell in cells]
        ece = np.mean([f["ece"] for f in cells[2]])
        sys.stdout.write(f"| {labels} | {scene} | {' | '.join(means)} | {ece:.3f} |\n")


def placing_table(path: Path) -> None:
    """Print the means over draws for each way to place labels as a table of Markdown."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in path.read_text().splitlines():
        facts = json.loads(line)
        found[facts["scene"], facts["labels"]].append(facts["miou"])
    columns = ("8 polygons", "8 polygons by suggest", "15 polygons")
    sys.stdout.write(f"| scene | draws | {' | '.join(columns)} |\n|---|---|---|---|---|\n")
    for scene in dict.fromkeys(key[0] for key in found):
        means = [f"{np.mean(found[scene, column]):.3f}" for column in columns]
        draws = len(found[scene, columns[0]])
        sys.stdout.write(f"| {scene} | {draws} | {' | '.join(means)} |\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--scenes", choices=["decide", "judge"], default="judge")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--labels", nargs="+", choices=list(LABELS), default=list(LABELS))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--suggest", action="store_true")
    parser.add_argument("--full", type=int, metavar="STEPS", help="steps of the full recipe")
    parser.add_argument("--only", default="", help="begin of the names of scenes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.table and arguments.suggest:
        placing_table(arguments.data)
    elif arguments.table:
        table(arguments.data)
    elif arguments.suggest:
        given = arguments.scenes, arguments.draws, arguments.only
        compare_placing(arguments.data, arguments.out, *given)
    elif arguments.full:
        given = arguments.scenes, arguments.draws, arguments.labels, arguments.only
        run_full(arguments.data, arguments.out, *given, arguments.full)
    else:
        run(arguments.data, arguments.out, arguments.scenes, arguments.draws, arguments.labels)
