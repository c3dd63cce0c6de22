"""What "Bring your data" says of its examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from tests.docs.pages import Stories, Story
from tests.make import (
    LEVEL,
    UTM,
    box,
    noise,
    place,
    write_jpeg,
    write_layer,
    write_model,
    write_png,
    write_raster,
)

PAGE = "how-to/bring-your-data.md"
SIDE, SCENE = 64, 192
GREEN, RED = (0, 255, 0), (255, 0, 0)


def halves(low: int = 1, high: int = 2, side: int = SIDE) -> NDArray[np.uint8]:
    """Return codes (rows, columns): the west has one, the east the other."""
    out = np.full((side, side), low, np.uint8)
    out[:, side // 2 :] = high
    return out


def image(path: str, bands: int = 3, side: int = SIDE, **place_of: Any) -> None:
    seed = sum(path.encode())
    write_raster(Path(path), noise(bands, side, side, seed=seed), **place_of)


def pair(image_path: str, mask: str, codes: NDArray[Any] | None = None, **options: Any) -> None:
    """Write an image and its mask."""
    image(image_path, **options)
    write = write_png if mask.endswith("png") else write_raster
    write(Path(mask), halves() if codes is None else codes)


def scene(path: str, bands: int = 3, pixel: int = 10) -> None:
    """Write an image of 1920 m in UTM."""
    located = {"crs": UTM, "transform": from_origin(500_000, 5_600_000, pixel, pixel)}
    image(path, bands, SCENE * 10 // pixel, **located)


def layer(path: str, columns: dict[str, Any], parts: list[Any] | None = None, **more: Any) -> None:
    """Write polygons; by default the western and the eastern half of `scene`."""
    west, east = box(0, 0, SCENE, SCENE // 2), box(0, SCENE // 2, SCENE, SCENE // 2)
    write_layer(Path(path), [west, east] if parts is None else parts, columns, **more)


def images_and_masks() -> Story:
    for name in "ABCD":
        pair(f"farms/{name}/images/x.tif", f"farms/{name}/masks/x.png")
    for split in ("train", "val", "test"):
        pair(f"city/images/{split}/x.tif", f"city/labels/{split}/x.tif")
    for name in "xyz":
        pair(f"trees/{name}.tif", f"trees/{name}_mask.png")
    looked, farms, city, trees, named = yield
    assert looked.result["images"] == 4 and looked.classes == {"1": 1, "2": 2}
    assert farms.split == {"train": 2, "val": 1, "test": 1}
    assert city.split == {"train": 1, "val": 1, "test": 1} and "own-split" in city.findings
    assert trees.result["images"] == 3
    groups = {name: split["groups"] for name, split in named.result["splits"].items()}
    assert groups == {"train": ["A"], "val": ["B"], "test": ["C", "D"]}


def patterns() -> Story:
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        pair(f"roads/img/{split}/{name}_RGB.tif", f"roads/ann/{split}/{name}_cls.png")
    for name in "abc":
        for band in (2, 3, 10):
            image(f"bands/s2/{name}_B{band}.tif", 1)
        write_raster(Path(f"bands/labels/{name}.tif"), halves())
    looked, roads, by_file, bands = yield
    proposed = looked.result["findings"][0]["fix"]
    assert re.findall(r"--\w+ '[^']+'", roads.line) == re.findall(r"--\w+ '[^']+'", proposed)
    assert roads.split == by_file.split == {"train": 2, "val": 0, "test": 1}
    assert len(bands.result["bands"]) == 3 and bands.result["images"] == 3


def a_table_of_pairs() -> Story:
    image("survey/2019/0412.tif")
    image("survey/2019/0413.tif")
    image("survey/2020/0001.tif", 1)
    image("survey/2020/0002.tif", 2)
    for name in ("north", "south", "east"):
        write_png(Path(f"survey/drawn/{name}.png"), halves())
    (ran,) = yield
    assert ran.result["splits"]["test"]["groups"] == ["east"]
    assert ran.split == {"train": 2, "val": 0, "test": 1}


def your_own_split() -> Story:
    for name in "ABCD":
        pair(f"farms/{name}/images/x.tif", f"farms/{name}/masks/x.png")
    Path("farms/test.txt").write_text("C/images/x\nD/images/x\n")
    listed, table = yield
    assert listed.result["splits"]["test"]["groups"] == ["C", "D"]
    groups = {name: split["groups"] for name, split in table.result["splits"].items()}
    assert groups == {"train": ["A", "B"], "val": ["C"], "test": ["D"]}


def scenes_and_layers() -> Story:
    scene("farm/scene.tif")
    layer("farm/fields.gpkg", {"class": ["wheat", "maize"]})
    layer("farm/survey.gpkg", {"crop": ["wheat", "maize"], "soil": ["loam", "clay"]})
    points = [shapely.Point(place(c + 0.5, r + 0.5)) for r in range(9, 190, 20) for c in (20, 120)]
    kinds = ["oak", "elm"] * (len(points) // 2)
    layer("farm/trees.geojson", {"class": kinds}, points, geometry_type="Point")
    ponds = [box(r, c, 20, 20) for r in range(10, 170, 40) for c in range(10, 170, 40)]
    layer("farm/ponds.gpkg", {"class": ["pond"] * len(ponds)}, ponds)
    layer("farm/mapped.gpkg", {"name": ["north"]}, [box(0, 0, SCENE // 2, SCENE)])
    for number, name in enumerate("abc"):
        transform = from_origin(500_000 + number * 5_000, 5_600_000, 10, 10)
        image(f"tiles/images/{name}.tif", crs=UTM, transform=transform)
        houses = [box(8, 8, 16, 16, transform)]
        layer(f"tiles/buildings/{name}.geojson", {"class": ["house"]}, houses)
    fields, _, named, trees, ponds_all, ponds_mapped, houses_ran = yield
    assert set(fields.classes) == set(named.classes) == {"wheat", "maize"}
    assert named.result["read"]["labels"][0]["column"] == "crop"
    pixels = sum(split["pixels"] for split in trees.result["splits"].values())
    assert len(points) * 20 < pixels <= len(points) * 36
    assert set(ponds_all.classes) == set(ponds_mapped.classes) == {"land", "pond"}
    total = [sum(c["pixels"] for c in ran.result["classes"]) for ran in (ponds_all, ponds_mapped)]
    assert total[1] < 0.6 * total[0]
    assert set(houses_ran.classes) == {"house", "other"} and houses_ran.result["images"] == 3


def onehot(side: int = SIDE) -> NDArray[np.uint8]:
    codes = halves(side=side)
    return np.stack([(codes == k) * np.uint8(255) for k in (1, 2, 3, 4)])


def masks() -> Story:
    for name in "ab":
        pair(f"codes/{name}/images/x.tif", f"codes/{name}/masks/x.tif", halves(3, 7))
        image(f"onehot/{name}/images/x.tif")
        names = ["grass", "sand", "ice", "mud"]
        write_raster(Path(f"onehot/{name}/masks/x.tif"), onehot(), descriptions=names)
        four = np.stack([noise(SIDE, SIDE), halves(), noise(SIDE, SIDE), noise(SIDE, SIDE)])
        pair(f"stack/{name}/images/x.tif", f"stack/{name}/masks/x.tif", four)
    codes, bands, chosen = yield
    assert codes.classes == {"3": 3, "7": 7}
    assert bands.classes["grass"] == 1 and bands.classes["sand"] == 2
    assert chosen.classes == {"1": 1, "2": 2}


def painted(codes: NDArray[Any]) -> NDArray[np.uint8]:
    return np.array([RED, GREEN], np.uint8)[codes - 1].transpose(2, 0, 1)


def class_files() -> Story:
    for name in "abc":
        stripes = np.repeat([1, 2, 3, 9], SIDE // 4).astype(np.uint8)[None].repeat(SIDE, axis=0)
        pair(f"codes/{name}/images/x.tif", f"codes/{name}/masks/x.tif", stripes)
        pair(f"painted/{name}/images/x.tif", f"painted/{name}/masks/x.png", painted(halves()))
        image(f"jpeg/{name}/images/x.tif")
        write_jpeg(Path(f"jpeg/{name}/masks/x.jpg"), painted(halves(side=SIDE)), QUALITY="60")
    codes, colors, _, snapped = yield
    assert codes.classes == {"water": 1, "forest": 2}
    assert colors.classes == {"road": 1, "field": 2}
    assert set(snapped.classes) == {"road", "field"} and "snapped-colors" in snapped.findings


def arrays() -> Story:
    xr = pytest.importorskip("xarray")
    stack, labels = noise(3, 4, SIDE, SIDE), np.stack([halves()] * 3)
    for number in range(3):
        Path("cube/s2").mkdir(parents=True, exist_ok=True)
        Path("cube/target").mkdir(exist_ok=True)
        np.save(f"cube/s2/S2_{number}.npy", stack[number])
        np.save(f"cube/target/T_{number}.npy", labels[number])
    np.savez("cube/all.npz", images=stack, labels=labels)
    degrees = 0.001 * np.arange(SCENE)
    coords = {
        "time": ("time", [0, 30], {"units": "days since 2024-06-01"}),
        "lat": ("lat", 50 - degrees, {"units": "degrees_north"}),
        "lon": ("lon", 10 + degrees, {"units": "degrees_east"}),
    }
    values = noise(2, SCENE, SCENE).astype("f4")
    data = {name: (("time", "lat", "lon"), values) for name in ("ndvi", "evi")}
    xr.Dataset(data, coords=coords).to_netcdf("cube/year.nc", engine="scipy")
    parts = [shapely.box(10, 49.8, 10.1, 50), shapely.box(10.1, 49.8, 10.2, 50)]
    layer("cube/fields.gpkg", {"class": ["wheat", "maize"]}, parts, crs="EPSG:4326")
    files, members, dated = yield
    assert files.result["images"] == members.result["images"] == 3
    assert len(files.result["bands"]) == 4 and len(dated.result["bands"]) == 1
    assert set(dated.classes) == {"wheat", "maize"}


HILLS = ["scene-red", "scene-green", "scene-blue", "relief"]


def bands() -> Story:
    for name, pixel in (("blue", 10), ("red", 10), ("swir", 20)):
        scene(f"scene/{name}.tif", 1, pixel)
    layer("scene/fields.gpkg", {"class": ["wheat", "maize"]})
    for name in "ABC":
        pair(f"farms/{name}/images/x.tif", f"farms/{name}/masks/x.png")
    scene("hills/scene.tif")
    coarse = {"crs": UTM, "transform": from_origin(500_000, 5_600_000, 20, 20)}
    write_raster(Path("hills/relief.tif"), np.full((96, 96), 50, np.uint8), **coarse)
    layer("hills/fields.gpkg", {"class": ["wheat", "maize"]})
    write_model(Path("scene.swath"), names=["blue", "red", "swir"])
    write_model(Path("hills.swath"), 4, names=HILLS)
    stacked, hills, _, _, chosen = yield
    with rasterio.open("hills/scene.tif") as scene_file, rasterio.open("map.tif") as made:
        np.testing.assert_array_equal(made.read(1), np.where(scene_file.read(1) >= LEVEL, 1, 3))
    assert (stacked.result["images"], stacked.result["bands"]) == (1, ["blue", "red", "swir"])
    assert hills.result["bands"] == HILLS
    assert hills.result["images"] == 1 and min(hills.split.values()) > 0
    assert chosen.result["bands"] == ["blue", "red"]


STORIES: Stories = {
    (PAGE, "Images and masks"): images_and_masks,
    (PAGE, "Patterns"): patterns,
    (PAGE, "A table of pairs"): a_table_of_pairs,
    (PAGE, "Your own split"): your_own_split,
    (PAGE, "Scenes and layers"): scenes_and_layers,
    (PAGE, "Masks"): masks,
    (PAGE, "Class files"): class_files,
    (PAGE, "Arrays"): arrays,
    (PAGE, "Bands"): bands,
}
