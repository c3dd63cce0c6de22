"""Every example of "Bring your data" runs, and does what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from tests.docs.pages import DOCS, Story, read_sections, run_line, run_section
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
SECTIONS = read_sections(PAGE)
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


STORIES: dict[str, Callable[[], Story]] = {
    "Images and masks": images_and_masks,
    "Patterns": patterns,
    "A table of pairs": a_table_of_pairs,
    "Your own split": your_own_split,
    "Scenes and layers": scenes_and_layers,
    "Masks": masks,
    "Class files": class_files,
    "Arrays": arrays,
    "Bands": bands,
}


def test_each_section_with_examples_has_a_story() -> None:
    assert list(SECTIONS) == list(STORIES)


@pytest.mark.parametrize("title", SECTIONS)
def test_examples(title: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    run_section(SECTIONS[title], STORIES[title](), capsys)


# What is refused: each row of the table


def pairs_of(make: Callable[[str], None]) -> str:
    for name in "abc":
        make(name)
    return "s"


def other_size() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png", halves(side=2 * SIDE))

    return pairs_of(make)


def two_bands() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.tif", np.stack([halves()] * 2))

    return pairs_of(make)


def one_has_other_bands() -> str:
    def make(name: str) -> None:
        names = ["red", "swir16" if name == "c" else "nir"]
        mask = f"s/{name}/masks/x.png"
        pair(f"s/{name}/images/x.tif", mask, bands=len(names), descriptions=names)

    make("d")
    return pairs_of(make)


def jpeg_masks() -> str:
    def make(name: str) -> None:
        image(f"s/{name}/images/x.tif")
        write_jpeg(Path(f"s/{name}/masks/x.jpg"), painted(halves()), QUALITY="60")

    Path("classes.yaml").write_text('[{name: a, color: "#FF0000"}, {name: b, color: "#00FF00"}]')
    return pairs_of(make) + " --classes classes.yaml"


def one_class() -> str:
    scene("s/scene.tif")
    parts = [box(r, c, 20, 20) for r in range(10, 170, 40) for c in range(10, 170, 40)]
    layer("s/fields.gpkg", {"class": ["pond"] * len(parts)}, parts)
    return "s --images scene.tif --labels fields.gpkg"


def several_layers() -> str:
    scene("s/scene.tif")
    for name in ("fields", "roads"):
        layer("s/all.gpkg", {"class": ["a", "b"]}, layer=name, append=name == "roads")
    return "s --images scene.tif --labels all.gpkg"


def no_crs() -> str:
    scene("s/scene.tif")
    layer("s/fields.gpkg", {"class": ["a", "b"]}, crs=None)
    return "s --images scene.tif --labels fields.gpkg"


def damaged() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png")

    make("d")
    Path("s/d/images/x.tif").write_bytes(b"II*")
    return pairs_of(make)


def no_mask() -> str:
    def make(name: str) -> None:
        pair(f"s/{name}/images/x.tif", f"s/{name}/masks/x.png")

    image("s/d/images/x.tif")
    return pairs_of(make)


FAULTS: dict[str, Callable[[], str]] = {
    "size-mismatch": other_size,
    "label-bands": two_bands,
    "band-mismatch": one_has_other_bands,
    "near-colors": jpeg_masks,
    "single-class": one_class,
    "layer-count": several_layers,
    "crs-missing": no_crs,
    "unreadable": damaged,
    "missing-mask": no_mask,
}
ROWS = re.findall(r"^\| `([a-z-]+)` \|.*\| `(--[^`]+)` \|$", (DOCS / PAGE).read_text(), re.M)


def test_each_row_has_a_fault() -> None:
    assert [code for code, _ in ROWS] == list(FAULTS)


@pytest.mark.parametrize(("code", "mend"), ROWS)
def test_what_is_refused_is_mended_by_the_option(
    code: str, mend: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    source = FAULTS[code]()
    source, _, others = source.partition(" ")
    run_line(f"swath prepare {source} dataset {others} # refused: {code}", capsys)
    run_line(f"swath prepare {source} dataset {others} {mend}", capsys)
    assert Path("dataset/dataset.json").is_file()
