"""A model at a new place: as it is, beside the polygons alone, and adapted by them.

The model was trained on the Dubai tiles 1, 3, 4, 6 and 7. It is adapted by five squares of 16
pixels a class on one image of another tile, and scored on three other images of that tile, over the
classes that have labels.

Run: `python benchmarks/few_adapt.py SHARED_DATA MODEL OUT.jsonl [--draws 2]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import few
import numpy as np
import rasterio

import swath
from swath.legend import IGNORE
from swath.metrics.confusion import confusion_matrix

TESTS = 3
"""Other images of a tile on which models are scored."""

NAMES = ["water", "land", "road", "building", "vegetation"]


def tile_images(data: Path, scene: str) -> list[tuple[few.Array, few.Array]]:
    """Return pixels and class indices of other images of a scene's tile."""
    tile, number = scene.split("/")
    others = [n for n in range(1, 10) if n != int(number)]
    chosen = np.random.default_rng(0).choice(others, TESTS, replace=False)
    return [few.read_dubai(data, f"{tile}/{n}") for n in sorted(chosen)]


def mapped(model: Path, path: Path, legend: list[str]) -> few.Array:
    """Map a file, and return class indices in the order of a legend; IGNORE for other classes."""
    out = path.with_name("mapped.tif")
    swath.predict(model, path, out)
    with rasterio.open(out) as file:
        codes = file.read(1)
    table = np.full(256, IGNORE, np.uint8)
    for c in swath.Model(model).card.legend.trained:
        if c.name in legend:
            table[c.map_code] = legend.index(c.name)
    return table[codes]


def run(data: Path, base: Path, out: Path, draws: int) -> None:
    """Append one line for each scene, draw and row: the model, labels alone, adapted."""
    for name in few.JUDGE:
        pixels, reference = few.read_dubai(data, name)
        tests = tile_images(data, name)
        for seed in range(draws):
            labels = few.draw(reference, *few.LABELS["5 polygons"], seed)
            present = np.unique(labels[labels != IGNORE])
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                write_scene(folder, pixels, labels)
                given = {"images": [folder / "scene.tif"], "labels": [folder / "labels.tif"]}
                classes = {"classes": folder / "classes.yaml"}
                swath.prepare(
                    folder, folder / "dataset", **given, **classes, test="none", val="none"
                )
                models = {"model as it is": base}
                facts: dict[str, dict[str, Any]] = {"model as it is": {}}
                for row, more in ("polygons alone", {}), ("adapted", {"from_": base}):
                    models[row] = folder / f"{len(models)}.swath"
                    result = swath.train(
                        folder / "dataset", models[row], recipe="quick", seed=seed, **more
                    )
                    facts[row] = {"seconds": result.seconds, "taken": result.adapted}
                for row, model in models.items():
                    counts = np.zeros((len(NAMES) + 1,) * 2, np.int64)
                    for values, truth in tests:
                        write_scene(folder, values, truth)
                        found = mapped(model, folder / "scene.tif", NAMES)
                        known = np.isin(truth, present)
                        found = np.where(found == IGNORE, len(NAMES), found)
                        counts += confusion_matrix(truth[known], found[known], len(NAMES) + 1)
                    facts[row]["miou"] = float(np.mean(ious(counts)[present]))
            with out.open("a") as file:
                for row, found_facts in facts.items():
                    line = {"scene": name, "labels": "adapt, 5 polygons", "draw": seed, "row": row}
                    file.write(json.dumps(line | found_facts) + "\n")
            scores = {row: round(found_facts["miou"], 3) for row, found_facts in facts.items()}
            sys.stdout.write(f"{name} {seed} {scores} {facts['adapted']['taken']}\n")
            sys.stdout.flush()


def ious(counts: few.Array) -> few.Array:
    """Return the IoU of each class."""
    right = np.diag(counts)
    return right / np.maximum(counts.sum(0) + counts.sum(1) - right, 1)


def write_scene(folder: Path, pixels: few.Array, labels: few.Array) -> None:
    """Write pixels, labels and a class file."""
    few.write_scene(folder, pixels, labels)
    lines = [f"  - {{name: {name}, code: {i + 1}}}\n" for i, name in enumerate(NAMES)]
    (folder / "classes.yaml").write_text("classes:\n" + "".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--draws", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    run(arguments.data, arguments.model, arguments.out, arguments.draws)
