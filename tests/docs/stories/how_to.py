"""What the how-to pages by task say of their commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import swath
from tests.docs.pages import Stories, Story
from tests.docs.stories.start import photos
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    noise,
    train_small,
    write_jpeg,
    write_layer,
    write_model,
    write_pairs,
    write_png,
    write_raster,
)
from tests.networks import local, pooled

SIDE = 256


def land(**card: Any) -> None:
    """Write a model of three classes, a dataset of four places that has them, and a scene."""
    write_model(Path("land.swath"), card=card)
    photos()
    swath.prepare("photos", "dataset")


def read(path: str) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def qgis_polygons() -> Story:
    write_raster(Path("farm/scene.tif"), noise(3, SIDE, SIDE), UTM, NORTH_UP)
    write_raster(Path("neighbor.tif"), noise(3, 96, 96, seed=1), UTM, NORTH_UP)
    parts = [box(16 * i, 32 * j, 16, 32) for i in range(16) for j in range(8)]
    kinds = [("wheat", "maize")[(i + j) % 2] for i in range(16) for j in range(8)]
    write_layer(Path("farm/fields.gpkg"), parts, {"class": kinds})
    looked, _, smaller, _, scored, mapped, _, _, reviewed = yield
    assert looked.result["read"]["labels"][0]["column"] == "class"
    assert set(smaller.classes) == {"wheat", "maize"} and scored.result["classes"]
    assert set(mapped.result["classes"]) == {"wheat", "maize"}
    assert Path("map.qml").is_file()
    assert {"class", "area_m2", "confidence"} <= set(pyogrio.read_info("map.gpkg")["fields"])
    assert reviewed.result["maps"] and Path("map2_review.gpkg").is_file()


def few_labels() -> Story:
    parts = [box(32 * i + 8, 32 * j + 8, 6, 6) for i in range(4) for j in range(4)]
    kinds = [("wheat", "maize")[(i + j) % 2] for i in range(4) for j in range(4)]
    for place in ("farm", "village"):
        write_raster(Path(place, "scene.tif"), noise(3, 128, 128), UTM, NORTH_UP)
        write_layer(Path(place, "fields.gpkg"), parts, {"class": kinds})
    _, trained, mapped, scored, suggested, shown, _, adapted = yield
    assert shown.result["layers"][-1] == "next.gpkg"
    assert adapted.result["adapted"] in ("unchanged", "corrected")
    assert scored.result["split"] == "folds" and Path("fields-report/index.html").is_file()
    assert 0 < suggested.result["n"] <= 20 and Path("next.gpkg").is_file()
    assert trained.result["folds"]["folds"] == 5 and trained.result["features"] == "encoder"
    assert set(mapped.result["classes"]) == {"wheat", "maize"}


def embeddings() -> Story:
    true = np.kron(np.array([[0, 1], [1, 0]]), np.ones((64, 64), int))
    image = noise(64, 128, 128, low=-40, high=0, dtype="int8") + (40 * true).astype(np.int8)
    image[:, :8] = -128
    write_raster(Path("farm/embeddings.tif"), image, UTM, NORTH_UP, nodata=-128)
    parts = [box(row, col, 6, 6) for row in (20, 90) for col in (10, 40, 80, 110)]
    kinds = [("wheat", "maize")[true[row, col]] for row in (20, 90) for col in (10, 40, 80, 110)]
    write_layer(Path("farm/fields.gpkg"), parts, {"class": kinds})
    _, trained, mapped, suggested = yield
    assert trained.result["features"] == "bands" and mapped.result["nodata"] == 8 * 128
    assert suggested.result["n"] <= 20


COLORS = np.array([[0xE2, 0xA9, 0x29], [0x84, 0x29, 0xF6], [0x9B, 0x9B, 0x9B]], np.uint8)


def color_masks() -> Story:
    codes = np.repeat([0, 1, 2, 0], 16)[None].repeat(64, axis=0)
    painted = COLORS[codes].transpose(2, 0, 1)
    for number, name in enumerate("ABC"):
        for root in ("city", "jpegs"):
            image = noise(3, 64, 64, seed=number)
            write_raster(Path(f"{root}/{name}/images/x.png"), image, driver="PNG")
        write_png(Path(f"city/{name}/masks/x.png"), painted)
        write_jpeg(Path(f"jpegs/{name}/masks/x.jpg"), painted, QUALITY="60")
    looked, prepared, _, snapped = yield
    assert set(looked.classes) == {"#E2A929", "#8429F6", "#9B9B9B"}
    assert Path("colors/index.html").is_file()
    assert prepared.classes == snapped.classes == {"water": 1, "land": 2}
    assert "snapped-colors" in snapped.findings


def recipes() -> Story:
    photos()
    swath.prepare("photos", "dataset")
    ran = yield
    assert len(ran) == 10
    assert Path("masks_masks.tif").is_file()
    assert swath.Model("new.swath").card.training.first_weights


def resolution() -> Story:
    land(gsd=20.0)
    write_jpeg(Path("photo.jpg"), noise(3, 64, 64))
    write_pairs(Path("pictures") / "a", ["x"], size=64)
    write_pairs(Path("pictures") / "b", ["x"], size=64)
    write_pairs(Path("pictures") / "c", ["x"], size=64)
    scaled, photo, as_is, prepared, python = yield
    assert scaled.result["zooms"] == [0.5]
    assert photo.result["zooms"] == as_is.result["zooms"] == [1]
    assert prepared.result["images"] == 3
    assert python.result["codes"].shape == (64, 64)
    assert read("map.tif").shape == (96, 128)


def large_rasters() -> Story:
    photos()
    swath.prepare("photos", "dataset")
    train_small(Path("dataset"), Path("land.swath"), steps=2)
    write_raster(Path("huge.tif"), noise(3, 300, 300), UTM, NORTH_UP)
    for number in range(2):
        located = from_origin(500_000 + 640 * number, 5_600_000, 10, 10)
        write_raster(Path(f"scenes/{number}.tif"), noise(3, 64, 64), UTM, located)
    planned, mapped, mosaic, _, _ = yield
    assert planned.result["plan"] and planned.result["maps"] == []
    assert mapped.result["pixels"] == 300 * 300
    assert mosaic.result["pixels"] == 64 * 128


def cluster() -> Story:
    write_model(Path("land.swath"))
    for column in range(2):
        located = from_origin(500_000 + 640 * column, 5_600_000, 10, 10)
        write_raster(Path(f"tiles/r00c0{column}.tif"), noise(3, 64, 64, seed=column), UTM, located)
    codes = np.ones((64, 64), np.uint8)
    codes[:, 32:] = 3
    write_raster(Path("labels.tif"), codes, UTM, NORTH_UP)
    Path("part-00.txt").write_text("tiles/r00c00.tif\ntiles/r00c01.tif\n")
    one, planned, listed, mosaic, scored = yield
    assert one.result["pixels"] == 64 * 64 and planned.result["plan"]
    assert len(listed.result["maps"]) == 2 and Path("maps/r00c01.tif").is_file()
    assert mosaic.result["pixels"] == 64 * 128 and scored.result["miou"] is not None


def python() -> Story:
    pytest.importorskip("xarray")
    photos()
    *_, arrays, labeled, cube, files = yield
    names = arrays.result
    assert names["codes"].shape == (96, 128) and 0 <= names["water"] <= 1
    assert labeled.result["codes"].dims == ("y", "x")
    assert cube.result["maps"].dims == ("time", "y", "x")
    assert files.result["result"].pixels == 96 * 128


def accuracy_and_area() -> Story:
    photos()
    swath.prepare("photos", "dataset")
    for number, name in enumerate(("land", "other")):
        train_small(Path("dataset"), Path(f"{name}.swath"), steps=2, seed=number)
    swath.predict("land.swath", "scene.tif", "map.tif")
    write_raster(Path("labels.tif"), read("map.tif"), UTM, NORTH_UP)
    scored, folds, compared, by_labels, mapped, _, unlike, sampled = yield
    assert scored.result["miou"] is not None and len(folds.result["folds"]) == 3
    assert compared.result["differences"]
    assert by_labels.result["accuracy"] == 1
    assert mapped.result["maps"] and Path("map_review.gpkg").is_file()
    assert unlike.result["ood"]["distance"] > 0
    assert sampled.result["n"] == 300
    fill_in("points.gpkg", "map.tif")
    assert swath.area("map.tif", reference="points.gpkg").overall == 1


def fill_in(points: str, path: str) -> None:
    """Write the map's own class at each point into the column `reference`."""
    meta, _, shapes, _ = pyogrio.raw.read(points)
    places = [(p.x, p.y) for p in shapely.from_wkb(shapes)]
    with rasterio.open(path) as file:
        codes = [str(value[0]) for value in file.sample(places)]
    Path(points).unlink()
    write_layer(
        Path(points),
        shapely.from_wkb(shapes),
        {"reference": codes},
        crs=meta["crs"],
        geometry_type="Point",
    )


def change() -> Story:
    write_model(Path("land.swath"))
    for seed, name in enumerate(("old", "new")):
        write_raster(Path(f"{name}.tif"), noise(3, 96, 128, seed=seed), UTM, NORTH_UP)
    write_raster(Path("2021.tif"), np.ones((96, 128), np.uint8), UTM, NORTH_UP, nodata=0)
    for k, name in enumerate(("train_0", "train_1", "val_0", "test_0")):
        mask = np.zeros((64, 64), np.uint8)
        mask[:, 8 * k : 8 * k + 32] = 1
        for date in ("A", "B"):
            write_png(Path(f"levir/{date}/{name}.png"), noise(3, 64, 64, seed=k))
        write_png(Path(f"levir/label/{name}.png"), mask)
    *_, compared, shown, series, prepared, _, mapped, drawn = yield
    assert prepared.split == {"train": 2, "val": 1, "test": 1}
    assert len(mapped.result["classes"]) == 2
    assert [row["date"] for row in series.result["dates"]] == ["2019", "2021", "2024"]
    assert Path("series_2021.tif").is_file() and Path("series_first_change.tif").is_file()
    assert compared.result["prior"] is not None and Path("changes.csv").is_file()
    assert "change_confidence.tif" in shown.result["layers"]
    assert drawn.result["columns"] == ["reference_old", "reference_new"]


def view_and_serve() -> Story:
    write_model(Path("land.swath"))
    write_raster(Path("scene.tif"), noise(3, 96, 128), UTM, NORTH_UP)
    swath.predict("land.swath", "scene.tif", "map.tif", confidence=True)
    for path in ("labels.tif", "old.tif", "maps/map.tif"):
        write_raster(Path(path), read("map.tif"), UTM, NORTH_UP)
    Path("models").mkdir()
    regions = [box(32, 40, 8, 8), box(8, 8, 8, 8)]
    write_layer(Path("next.gpkg"), regions, {"rank": [2, 1]})
    alone, compared, two, outlined, served, open_to_all = yield
    assert outlined.result["layers"][-1] == "next.gpkg"
    assert alone.result["layers"] and len(compared.result["layers"]) > len(two.result["layers"]) - 1
    assert served.result["token"] is None and served.result["files"] == 1
    assert open_to_all.result["token"]


def contest() -> Story:
    rng = np.random.default_rng(0)
    for place in ("004", "007", "011"):
        stem = f"JAX_{place}_001"
        codes = rng.choice([2, 5, 6, 9, 17], (4, 4)).repeat(32, 0).repeat(32, 1).astype(np.uint8)
        image = noise(3, 128, 128, seed=int(place))
        for folder in ("Train-Track1", "Validate-Track1-RGB"):
            write_raster(Path(folder) / f"{stem}_RGB.tif", image)
        write_raster(Path("Train-Track1") / f"{stem}_CLS.tif", codes)
        heights = codes.astype(np.float32) / 2
        write_raster(Path("Train-Track1") / f"{stem}_AGL.tif", heights)
    prepared, trained, scored, _ = yield
    assert prepared.result["layout"] == "contest" and trained.result["steps"] == 2
    assert "miou3" in scored.result and Path("submission.zip").is_file()


def reproducibility() -> Story:
    write_model(Path("land.swath"))
    (ran,) = yield
    assert ran.result["card"].training.seed == 0


def map_without_labels() -> Story:
    """A small network in the form of those of ukis-csmask stands for its large ones."""
    Path("ukis_csmask").mkdir()
    Path("ukis_csmask/__init__.py").touch()
    pooled(bands=4).write(Path("ukis_csmask/model_4b_l2a.onnx"), size=(64, 64))
    bands = ["blue", "green", "red", "nir"]
    known = {"band_names": bands, "img": [[0.2] * 4, [0.1] * 4]}
    data = {"dataset_statistics": known, "target_size": [64, 64]}
    Path("ukis_csmask/model_4b_l2a.json").write_text(json.dumps({"data": data}))
    deepness = {
        "model_type": "Segmentor",
        "class_names": {"0": "rest", "1": "road", "2": "roof"},
        "standardization_mean": [0.0] * 3,
        "standardization_std": [1.0] * 3,
    }
    properties = {key: json.dumps(value) for key, value in deepness.items()}
    local().write(Path("roads.onnx"), **properties)
    pixels = noise(4, 128, 128, low=200, high=6000, dtype="uint16")
    write_raster(Path("scene.tif"), pixels, UTM, NORTH_UP, descriptions=bands)
    write_raster(Path("farm/scene.tif"), pixels, UTM, NORTH_UP, descriptions=bands)
    parts = [box(32 * i, 32 * j, 32, 32) for i in range(4) for j in range(4)]
    kinds = [("wheat", "maize")[(i + j) % 2] for i in range(4) for j in range(4)]
    write_layer(Path("farm/fields.gpkg"), parts, {"class": kinds})
    codes = noise(128, 128, low=0, high=3)
    write_raster(Path("checked/images/a.tif"), pixels, UTM, NORTH_UP, descriptions=bands)
    write_png(Path("checked/masks/a.png"), codes)
    classes = [f"- {{name: {n}, code: {i}}}" for i, n in enumerate(("clear", "cloud", "shadow"))]
    Path("classes.yaml").write_text("\n".join(classes))
    swath.prepare("checked", "labeled", classes="classes.yaml", test="none", val="none")
    sys.path.insert(0, "")
    try:
        clouds, mapped, _, prepared, roads, calibrated, scored, offered, fetched = yield
    finally:
        sys.path.remove("")
    assert (clouds.result["window"], clouds.result["context"]) == (64, "global")
    assert clouds.result["metadata"] == ["statistics"] and clouds.result["seam"] is not None
    assert set(mapped.result["classes"]) == {"clear", "cloud", "shadow"}
    labeled = sum(split["pixels"] for split in prepared.result["splits"].values())
    assert 0 < labeled <= mapped.result["classes"]["clear"]
    assert roads.result["metadata"] == ["deepness"] and roads.result["bands"][0] == "red"
    assert calibrated.result["split"] == "train"
    assert calibrated.result["error_after"] <= calibrated.result["error_before"]
    assert scored.result["classes"]
    assert [m["name"] for m in offered.result["models"]] == ["clouds", "roads"]
    assert fetched.result["models"][0]["license"] == "Apache-2.0"
    assert Path("fetched.swath").read_bytes() == Path("clouds.swath").read_bytes()


STORIES: Stories = {
    ("how-to/map-without-labels.md", ""): map_without_labels,
    ("concepts/reproducibility.md", ""): reproducibility,
    ("how-to/change.md", ""): change,
    ("how-to/view-and-serve.md", ""): view_and_serve,
    ("how-to/contest.md", ""): contest,
    ("how-to/qgis-polygons.md", ""): qgis_polygons,
    ("how-to/few-labels.md", ""): few_labels,
    ("how-to/embeddings.md", ""): embeddings,
    ("how-to/color-masks.md", ""): color_masks,
    ("how-to/recipes.md", ""): recipes,
    ("how-to/resolution.md", ""): resolution,
    ("how-to/large-rasters.md", ""): large_rasters,
    ("how-to/cluster.md", ""): cluster,
    ("how-to/python.md", ""): python,
    ("how-to/accuracy-and-area.md", ""): accuracy_and_area,
}
