"""Layers as QGIS has them, as files for the program; and a program that is cancelled."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyogrio
import pytest
import rasterio
import shapely

from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster
from tests.qgis.conftest import PLUGIN

HEAD = """
import json, os, sys, time
sys.path.insert(0, os.environ["PLUGINS"])
from pathlib import Path
from qgis import core
app = core.QgsApplication([], False)
app.initQgis()
from swath_qgis import install, layers, program, work
folder = Path(os.environ["FOLDER"])
"""


@pytest.fixture
def run(qgis_python: str, tmp_path: Path) -> Any:
    """Return a function that runs lines in QGIS's Python, and returns what they put into `out`."""

    def call(lines: str) -> Any:
        script = tmp_path / "script.py"
        script.write_text(
            f"{HEAD}\n{lines}\nprint('OUT' + json.dumps(out), flush=True)\nos._exit(0)\n"
        )
        env = {"PLUGINS": str(PLUGIN.parent), "FOLDER": str(tmp_path), "HOME": str(tmp_path)}
        env |= {"QT_QPA_PLATFORM": "offscreen", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [qgis_python, "-B", str(script)], env=env, capture_output=True, text=True, check=False
        )
        assert "OUT" in done.stdout, done.stderr
        return json.loads(done.stdout.split("OUT")[-1])

    return call


def test_features_are_those_that_qgis_shows(run: Any, tmp_path: Path) -> None:
    squares = [box(10 * i, 0, 5, 5) for i in range(4)]
    write_layer(tmp_path / "labels.gpkg", squares, {"kind": ["a", "a", "b", "c"]})
    path, values, same = run("""
layer = core.QgsVectorLayer(str(folder / "labels.gpkg"), "labels", "ogr")
layer.setSubsetString("kind <> 'c'")
layer.startEditing()
first = next(layer.getFeatures())
layer.changeAttributeValue(first.id(), layer.fields().lookupField("kind"), "edited")
curve = core.QgsFeature(layer.fields())
ring = "CircularString Z(0 0 1, 1 1 1, 2 0 1, 1 -1 1, 0 0 1)"
curve.setGeometry(core.QgsGeometry.fromWkt(f"CurvePolygonZ({ring})"))
curve.setAttribute("kind", "round")
layer.addFeature(curve)
nothing = core.QgsFeature(layer.fields())
nothing.setGeometry(curve.geometry())
layer.addFeature(nothing)
bare = core.QgsFeature(layer.fields())
bare.setAttribute("kind", "a")
layer.addFeature(bare)
path, values = layers.export_features(layer, "kind", folder)
again, _ = layers.export_features(layer, "kind", folder)
out = [str(path), values, path == again]
""")
    assert values == ["a", "b", "edited", "round"] and same
    meta, _, shapes, columns = pyogrio.raw.read(path)
    assert meta["crs"] == UTM and sorted(filter(None, columns[0])) == ["a", *values]
    geometries = shapely.from_wkb(shapes)
    assert len(geometries) == 6 and shapely.is_empty(geometries).sum() == 1
    geometries = geometries[~shapely.is_empty(geometries)]
    assert not shapely.has_z(geometries).any()
    assert max(shapely.area(g) for g in geometries if shapely.bounds(g)[0] == 0) > 3  # straight


def test_memory_layers_and_whole_numbers(run: Any) -> None:
    path, values = run("""
layer = core.QgsVectorLayer("Point?crs=EPSG:4326&field=code:double", "points", "memory")
for x, code in ((1, 3.0), (2, 7.0)):
    feature = core.QgsFeature(layer.fields())
    feature.setGeometry(core.QgsGeometry.fromPointXY(core.QgsPointXY(x, 50)))
    feature.setAttribute("code", code)
    layer.dataProvider().addFeature(feature)
path, values = layers.export_features(layer, "code", folder)
out = [str(path), values]
""")
    meta, _, shapes, columns = pyogrio.raw.read(path)
    assert values == [3, 7] and columns[0].tolist() == [3, 7] and meta["crs"] == "EPSG:4326"
    assert meta["geometry_type"] == "Point"


def test_classes_have_the_order_and_colors_of_the_symbology(run: Any) -> None:
    classes, other = run("""
layer = core.QgsVectorLayer("Polygon?field=kind:string", "labels", "memory")
symbols = [core.QgsFillSymbol.createSimple({"color": c}) for c in ("#ff0000", "#0000ff")]
categories = [core.QgsRendererCategory(n, s, n) for n, s in zip(("b", "a"), symbols)]
layer.setRenderer(core.QgsCategorizedSymbolRenderer("kind", categories))
path = layers.class_file(layer, "kind", ["a", "b", "c"], folder)
out = [json.loads(path.read_text()), layers.class_file(layer, "else", ["a"], folder)]
""")
    assert other is None
    assert classes["classes"] == [
        {"name": "b", "code": 1, "color": "#ff0000"},
        {"name": "a", "code": 2, "color": "#0000ff"},
        {"name": "c", "code": 3},
    ]


def test_rasters_are_placed_as_qgis_places_them(run: Any, tmp_path: Path) -> None:
    for name in ("red", "nir"):
        write_raster(tmp_path / f"{name}.tif", noise(1, 20, 30), None, NORTH_UP, nodata=7)
    plain, stacked, again = run("""
rasters = [core.QgsRasterLayer(str(folder / f"{n}.tif"), n) for n in ("red", "nir")]
plain = layers.raster_files(rasters[:1], folder)
for raster in rasters:
    raster.setCrs(core.QgsCoordinateReferenceSystem("EPSG:32632"))
stacked = layers.raster_files(rasters, folder)
before = os.stat(stacked[0]).st_mtime_ns
layers.raster_files(rasters, folder)
out = [plain, stacked, os.stat(stacked[0]).st_mtime_ns == before]
""")
    assert plain == [str(tmp_path / "red.tif")] and again
    with rasterio.open(stacked[0]) as file:
        assert file.crs == UTM and file.descriptions == ("red", "nir") and file.nodata == 7
        assert (file.read(2) == rasterio.open(tmp_path / "nir.tif").read(1)).all()


def test_layers_that_are_no_files_are_refused(run: Any) -> None:
    said = run("""
said = []
web = core.QgsRasterLayer("type=xyz&url=http://localhost/{z}/{x}/{y}.png", "web", "wms")
empty = core.QgsVectorLayer("Polygon?field=kind:string", "empty", "memory")
attempts = ((layers.raster_files, [web]), (layers.export_features, empty, "kind"))
for attempt, *given in attempts:
    try:
        attempt(*given, folder)
    except program.ProgramError as error:
        said.append(str(error))
out = said
""")
    assert len(said) == 2 and "web" in said[0] and "GeoTIFF" in said[0] and "empty" in said[1]


def test_a_cancelled_program_ends_and_leaves_work_to_continue(run: Any, tmp_path: Path) -> None:
    fake = tmp_path / "swath"
    fake.write_text(
        "#!/bin/sh\ntrap 'rm -f half; exit 130' TERM\n"
        'cd "$2"; mkdir -p parts; touch parts/1 half\n'
        'echo \'{"progress": 0.5, "title": "mapping", "remark": ""}\'\n'
        "while true; do sleep 0.1; done\n"
    )
    fake.chmod(0o755)
    shares, ended, first, second, other, left = run("""
core.QgsSettings().setValue(program.SETTING, str(folder / "swath"))
shares, ended, seen = [], [], []
def once():
    with work.Work(str(folder / "map.tif")) as place:
        seen.append(place.continues({"words": 1}, []))
        words = ["predict", str(place.folder)]
        program.run(words, lambda *p: shares.append(p), print, lambda: shares)
try:
    once()
except program.Canceled:
    ended.append(sorted(p.name for p in (folder / "map.tif.unfinished").iterdir()))
with work.Work(str(folder / "map.tif")) as place:
    same = place.continues({"words": 1}, []) and (place.folder / "parts" / "1").exists()
    other = place.continues({"words": 2}, []) or (place.folder / "parts").exists()
out = [shares, ended, seen[0], same, other, (folder / "map.tif.unfinished").exists()]
""")
    assert shares == [[0.5, "mapping"]] and ended == [["parts", "request.json"]]
    assert (first, second, other, left) == (False, True, False, False)


def test_what_the_program_says_is_an_error_with_its_mend(run: Any, tmp_path: Path) -> None:
    fake = tmp_path / "swath"
    error = {"error": {"code": "no-labels", "message": "Nothing", "file": "a.tif", "fix": "Draw"}}
    fake.write_text(f"#!/bin/sh\necho 'Error: Nothing' >&2; echo '{json.dumps(error)}'; exit 1\n")
    fake.chmod(0o755)
    said, texts, old = run("""
core.QgsSettings().setValue(program.SETTING, str(folder / "swath"))
texts = []
try:
    program.run(["train"], print, texts.append, lambda: False)
except program.ProgramError as error:
    said = str(error)
try:
    old = program.version_of(str(folder / "swath"))
except program.ProgramError as error:
    old = str(error)
out = [said, texts, old]
""")
    assert said == "a.tif: Nothing. Draw. [no-labels]" and texts == []
    assert "is not the program swath" in old


SAYS = """
import sys
def main():
    print("swath 9.9" if "--version" in sys.argv else "--json-progress")
"""


@pytest.mark.slow
def test_the_program_is_installed_whole_or_not_at_all(run: Any, tmp_path: Path) -> None:
    wheel, info = tmp_path / "swath-9.9-py3-none-any.whl", "swath-9.9.dist-info"
    with ZipFile(wheel, "w") as packed:
        packed.writestr("says.py", SAYS)
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: swath\nVersion: 9.9\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        packed.writestr(f"{info}/WHEEL", tags)
        packed.writestr(f"{info}/entry_points.txt", "[console_scripts]\nswath = says:main\n")
        packed.writestr(f"{info}/RECORD", "")
    failed, left, done, version, folders, after = run("""
root = Path(core.QgsApplication.qgisSettingsDirPath()) / "swath"
task = install.InstallTask(str(folder / "no.whl"))
failed, left = task.run(), list(root.glob("*"))
task = install.InstallTask(str(folder / "swath-9.9-py3-none-any.whl"))
done = task.run() or task.error
again = install.InstallTask(str(folder / "swath-9.9-py3-none-any.whl")).run()
version = program.version_of(program.find_program())
task = install.InstallTask(str(folder / "swath-9.9-py3-none-any.whl"))
task.cancel()
after = task.run()
out = [failed, len(left), done, version, len(list(root.glob("env-*"))), after]
""")
    assert (failed, left) == (False, 0) and (done, version) == (True, "9.9")
    assert folders == 1 and after is False
