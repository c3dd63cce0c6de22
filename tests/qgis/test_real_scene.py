"""A real scene in a window of QGIS, from labels to areas, with the pictures of the page.

With SWATH_PICTURES=docs/pictures/qgis the pictures are written there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from tests.make import box, write_layer, write_raster
from tests.qgis.conftest import PICTURES, PYTHON, Qgis, folder_of

pytestmark = pytest.mark.slow

UTM40 = "EPSG:32640"
PLACE = from_origin(330_000, 2_780_000, 0.5, 0.5)
CLASSES = {
    "water": ("#E2A929", "#2b7bba"),
    "land": ("#8429F6", "#d9c08b"),
    "road": ("#6EC1E4", "#555555"),
    "building": ("#3C1098", "#d7301f"),
    "vegetation": ("#FEDD3A", "#31a354"),
}
"""Colors of the masks, and of the labels in QGIS."""
SIDE = 10


@pytest.fixture(scope="module")
def scene(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scene of Dubai and 20 labeled squares."""
    folder = folder_of(tmp_path_factory, "dubai")
    source = shared_data / "dubai" / "Tile 3"
    with rasterio.open(source / "images" / "image_part_002.jpg") as file:
        image = file.read()
    with rasterio.open(source / "masks" / "image_part_002.png") as file:
        mask = file.read()[:3].astype(int)
    write_raster(folder / "scene.tif", image, UTM40, PLACE, photometric="RGB")
    wide = np.tile(image, (1, 6, 6))
    write_raster(folder / "wide.tif", wide, UTM40, PLACE, photometric="RGB")
    squares, names, reference = [], [], np.full(mask.shape[1:], 2, np.uint8)
    codes = (mask[0] << 16) + (mask[1] << 8) + mask[2]
    for code, (name, (color, _)) in enumerate(CLASSES.items(), 1):
        reference[codes == int(color[1:], 16)] = code
        found = _squares(codes == int(color[1:], 16))
        squares += [box(row, col, SIDE, SIDE, PLACE) for row, col in found]
        names += [name] * len(found)
    write_raster(folder / "reference.tif", reference, UTM40, PLACE)
    assert len(squares) == 20 and len(set(names)) == 5
    write_layer(folder / "labels.gpkg", squares, {"class": names}, UTM40)
    return folder


def _squares(inside: NDArray[np.bool_], most: int = 4) -> list[tuple[int, int]]:
    """Return corners of squares that lie wholly inside, spread over the image."""
    places = [(row, col) for row in range(20, 600, 11) for col in range(20, 640, 13)]
    whole = [(r, c) for r, c in places if inside[r : r + SIDE, c : c + SIDE].all()]
    return whole[:: max(1, len(whole) // most)][:most]


@pytest.fixture(scope="module")
def seen(session: Callable[..., dict[str, Any]], scene: Path) -> dict[str, Any]:
    """Return what was seen on the way from labels to areas."""
    pictures = Path(os.environ.get(PICTURES, scene / "pictures")).resolve()
    pictures.mkdir(exist_ok=True, parents=True)
    told = session(
        [
            *(["install"], ["open"], ["shoot", "labels"], ["click", "train"]),
            *(["click", "map_view"], ["click", "map_all"], ["tree"], ["shoot", "map"]),
            *(["form"], ["settings"], ["table"], ["click", "suggest"], ["next"]),
        ],
        scene=scene / "scene.tif",
        labels=scene / "labels.gpkg",
        field="class",
        colors={name: color for name, (_, color) in CLASSES.items()},
        model=scene / "dubai.swath",
        map=scene / "dubai-scene-all.tif",
        points=scene / "points.gpkg",
        reference=scene / "reference.tif",
        pictures=pictures,
    )
    for path in pictures.glob("*.png"):
        with PIL.Image.open(path) as picture:
            picture.convert("RGB").save(path.with_suffix(".webp"), quality=88, method=6)
        path.unlink()
    return told


def test_twenty_labels_become_a_map(seen: dict[str, Any], scene: Path) -> None:
    for button in ("train", "map_view", "map_all", "suggest"):
        assert seen[button]["ok"] == [True], seen[button]["status"]
    layers = [["Map", True], ["Confidence", False]]
    assert seen["tree"] == {"dubai-scene-view": layers, "dubai-scene-all": layers}
    with rasterio.open(scene / "dubai-scene-all.tif") as file:
        codes = file.read(1)
        colors = {file.colormap(1)[int(code)][:3] for code in np.unique(codes)}
    labeled = {tuple(bytes.fromhex(color[1:])) for _, color in CLASSES.values()}
    assert colors <= labeled and len(colors) >= 3


def test_areas_have_intervals(seen: dict[str, Any], scene: Path) -> None:
    with rasterio.open(scene / "dubai-scene-all.tif") as file:
        hectares = file.width * file.height * 0.25 / 10_000
    total = sum(row[3] for row in seen["areas"])
    assert total == pytest.approx(hectares, rel=0.01)
    assert all(low < area < high for _, _, _, area, low, high, *_ in seen["areas"])


def test_next_goes_through_the_suggested_places(seen: dict[str, Any]) -> None:
    assert seen["next"]["moved"] and seen["next"]["status"].startswith("Place 2 of ")


def test_five_pictures_are_taken(seen: dict[str, Any], scene: Path) -> None:
    folder = Path(os.environ.get(PICTURES, scene / "pictures"))
    names = ("labels", "map", "form", "settings", "areas")
    for name in names:
        with PIL.Image.open(folder / f"{name}.webp") as picture:
            assert picture.width >= 500 and len(np.unique(picture.convert("RGB"))) > 20


def test_a_cancelled_map_goes_on(
    seen: dict[str, Any], session: Callable[..., dict[str, Any]], scene: Path, program: Path
) -> None:
    """Cancel in the middle by a click: nothing half is left, and the next click goes on."""
    target = scene / "dubai-wide-all.tif"
    unfinished = scene / "dubai-wide-all.tif.unfinished"
    task = {
        "scene": scene / "wide.tif",
        "labels": scene / "labels.gpkg",
        "field": "class",
        "colors": {},
        "model": scene / "dubai.swath",
        "canceled": unfinished,
    }
    first = session([["install"], ["open"], ["click", "map_all", True]], **task)
    assert first["map_all cancelled"]["ok"] == [False]
    assert "Cancelled" in first["map_all cancelled"]["status"]
    assert not target.exists() and not list(scene.glob("dubai-wide-all_*"))
    kept = [p for p in unfinished.glob("parts/**/[!.]*.part") if p.stat().st_size]
    assert kept and not [p for p in unfinished.rglob("*") if p.name.endswith(".partial")]
    second = session([["install"], ["open"], ["click", "map_all"]], **task)
    assert second["map_all"]["ok"] == [True] and not unfinished.exists()
    whole = scene / "whole.tif"
    words = [program, "predict", scene / "dubai.swath", scene / "wide.tif", whole, "--confidence"]
    subprocess.run(words, check=True, capture_output=True)
    assert target.read_bytes() == whole.read_bytes()


def test_bands_in_files_and_polygons_in_another_crs(
    qgis: Qgis, shared_data: Path, tmp_path: Path
) -> None:
    """Six bands in six files are one image, in training and in mapping."""
    folder = shared_data / "landsat"
    bands = sorted(folder.glob("lsat7_2000_*.tif"))
    layer = folder / "landsat96_polygons.shp"
    model, target = tmp_path / "land.swath", tmp_path / "land.tif"
    trained = qgis.run("train", RASTERS=bands, LABELS=layer, FIELD="id", KIND=0, MODEL=model)
    assert trained.code == 0 and model.exists(), trained.text
    mapped = qgis.run("map", MODEL=model, RASTERS=bands, MAP=target)
    assert mapped.code == 0, mapped.text
    with rasterio.open(target) as file:
        assert len(np.unique(file.read(1))) > 3 and file.shape == rasterio.open(bands[0]).shape


def test_a_cancelled_full_training_goes_on(qgis: Qgis, field: Path, tmp_path: Path) -> None:
    """Cancel after the first checkpoint; the second run takes the dataset and goes on from it."""
    model = tmp_path / "full.swath"
    script = tmp_path / "script.py"
    script.write_text(TRAINING)
    places = [str(qgis.profiles / "profiles" / "default" / "python" / "plugins"), str(field)]
    done = subprocess.run(
        [PYTHON, str(script), *places, str(model)],
        env={**qgis.env, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FIRST cancelled False" in done.stdout, done.stdout + done.stderr
    assert "SECOND trained True" in done.stdout, done.stdout + done.stderr
    assert model.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"full.swath", "script.py"}


TRAINING = """
import os, sys, threading, time
from pathlib import Path
plugins, field, model = sys.argv[1:]
sys.path[:0] = [plugins, "/usr/share/qgis/python/plugins"]
from qgis import core
app = core.QgsApplication([], False)
app.initQgis()
from swath_qgis.provider import SwathProvider
provider = SwathProvider()
core.QgsApplication.processingRegistry().addProvider(provider)
scene, labels = f"{field}/scene.tif", f"{field}/labels.gpkg"
given = {"RASTERS": [scene], "LABELS": labels, "FIELD": "kind", "KIND": 1, "MODEL": model}
given["STEPS"] = 50

def train(cancel):
    feedback, context = core.QgsProcessingFeedback(False), core.QgsProcessingContext()
    context.setProject(core.QgsProject.instance())
    def watch():
        while cancel and not Path(model + ".training", "last.ckpt").exists():
            time.sleep(0.05)
        if cancel:
            feedback.cancel()
    threading.Thread(target=watch, daemon=True).start()
    algorithm = core.QgsApplication.processingRegistry().createAlgorithmById("swath:train")
    _, ok = algorithm.run(given, context, feedback, {}, True)
    return ok, feedback.textLog()

ok, log = train(True)
print("FIRST", "trained" if ok else "cancelled", Path(model).exists())
ok, log = train(False)
print("SECOND", "trained" if ok else "failed", "--resume" in log and "swath prepare" not in log)
sys.stdout.flush()
os._exit(0)
"""
