"""Labels in a GeoPackage: what a kill leaves, who may write, and what existing layers get."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from swath.errors import DataError, JobError, UsageError
from swath.geo.geobox import GeoBox
from swath.io.vector import EditedLayer, VectorLayer, read_features, read_layer, write_layer
from swath.legend import LandClass, Legend
from swath.server.labeling.labels.class_table import CLASSES
from swath.server.labeling.labels.label_store import NewLabel
from swath.server.labeling.labels.opening import LabelSource, open_labels
from swath.server.labeling.refusal import Refused
from tests.errors import fails

UTM = pyproj.CRS("EPSG:32632").to_wkt()
GRIDS = {
    "utm": GeoBox(400, 500, (10, 0, 500_000, 0, -10, 5_600_000), UTM),
    "degrees": GeoBox(400, 500, (1e-4, 0, 9.0, 0, -1e-4, 50.0), pyproj.CRS("EPSG:4326").to_wkt()),
    "pixels": GeoBox(400, 500),
}


@pytest.fixture
def opened():
    """Open stores, and close them at the end."""
    stores = []

    def opening(path, grid=GRIDS["pixels"], **how):
        store, crs, warnings = open_labels(LabelSource(path, **how), grid)
        stores.append(store)
        return store, crs, warnings

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path, opened):
    """An empty layer with two classes."""
    store, _, _ = opened(tmp_path / "l.gpkg")
    store.add_class("water", None, None)
    store.add_class("<b>town</b>", "#ff0000", 7)
    return store


def box(col, row, side=4.0):
    return shapely.box(col, row, col + side, row + side)


@pytest.mark.parametrize("name", GRIDS)
def test_a_new_layer_is_in_the_crs_of_the_scene_and_read_by_gdal_and_prepare(
    name, tmp_path, opened
):
    grid, path = GRIDS[name], tmp_path / "l.gpkg"
    store, crs, _ = opened(path, grid)
    store.add_class("water", None, None)
    store.add_class("town", None, None)
    west, south = grid.point(10, 20)
    shape = shapely.box(west, south, west + 1e-3, south + 1e-3)
    kinds = [shape, shapely.Point(west, south), shape.boundary, shapely.MultiPolygon([shape])]
    store.add([NewLabel(kind, 1 + i % 2) for i, kind in enumerate(kinds)], "ann")
    store.close()
    meta, _, wkb, values = pyogrio.raw.read(path, layer="labels")
    assert (meta["crs"] is None) == (grid.crs is None) == (crs is None)
    assert meta["fields"].tolist() == ["class", "author", "time", "source"]
    assert values[0].tolist() == ["water", "town"] * 2 and set(values[3]) == {"drawn"}
    assert [shapely.from_wkb(g).equals(kind) for g, kind in zip(wkb, kinds, strict=True)] == (
        [True] * 4
    )
    features = read_features(path)
    assert features.field == "class" and len(features.to_crs(grid.crs)) == 4
    info = pyogrio.read_info(path, layer="labels", force_total_bounds=True)
    np.testing.assert_allclose(info["total_bounds"], (west, south, west + 1e-3, south + 1e-3))
    found = pyogrio.raw.read(path, layer="labels", bbox=tuple(info["total_bounds"]))[2]
    assert len(found) == 4  # by the spatial index


def test_what_is_deleted_and_moved_is_so_in_the_spatial_index(store):
    fids = [label.fid for label in store.add([NewLabel(box(i, 0), 1) for i in range(5)], "ann")]
    store.delete(fids[:2], "ann")
    store.change(fids[2], box(300, 300), 7, None, "ann")
    store.close()
    near = pyogrio.raw.read(store.path, layer="labels", bbox=(0, 0, 20, 20))[2]
    far = pyogrio.raw.read(store.path, layer="labels", bbox=(290, 290, 310, 310))
    assert (len(near), len(far[2]), far[3][0].tolist()) == (2, 1, ["<b>town</b>"])


def test_undo_and_redo_are_per_author_and_restore_ids(store):
    first = store.add([NewLabel(box(0, 0), 1), NewLabel(box(9, 0), 1)], "ann")
    store.add([NewLabel(box(50, 0), 7)], "bob")
    store.delete([first[0].fid], "ann")
    labels, deleted = store.step("ann", "undo")
    assert [label.fid for label in labels] == [first[0].fid] and not deleted
    assert labels[0] == first[0]
    assert store.step("ann", "undo")[1] == [label.fid for label in first]
    assert len(store.snapshot().labels) == 1
    with fails("nothing-to-undo", Refused):
        store.step("ann", "undo")
    store.step("ann", "redo")
    assert store.step("ann", "redo")[1] == [first[0].fid]
    assert not store.can("ann", "redo") and store.can("bob", "undo")
    store.add([NewLabel(box(0, 90), 1)], "ann")
    assert not store.can("ann", "redo")


def test_undo_leaves_what_somebody_else_changed_since(store):
    (label,) = store.add([NewLabel(box(0, 0), 1)], "ann")
    store.change(label.fid, box(5, 5), None, label.time, "bob")
    with fails("changed-since", Refused):
        store.step("ann", "undo")
    assert store.snapshot().by_fid[label.fid].geometry.equals(box(5, 5))


def test_two_changes_of_one_label_are_both_kept(store):
    (label,) = store.add([NewLabel(box(0, 0), 1)], "ann")
    changed, conflict = store.change(label.fid, box(1, 1), None, label.time, "bob")
    assert (changed.fid, conflict) == (label.fid, None)
    mine, conflict = store.change(label.fid, box(2, 2), None, label.time, "ann")
    assert conflict == label.fid != mine.fid and mine.code == 1
    shapes = [one.geometry for one in store.snapshot().labels]
    assert shapes[0].equals(box(1, 1)) and shapes[1].equals(box(2, 2))


def test_clients_get_what_changed_since_they_asked(store):
    (first,) = store.add([NewLabel(box(0, 0), 1)], "ann")
    revision = store.revision
    (second,) = store.add([NewLabel(box(9, 0), 1)], "bob")
    store.delete([first.fid], "bob")
    _, labels, deleted, full = store.since(revision)
    assert ([label.fid for label in labels], deleted, full) == ([second.fid], [first.fid], False)
    assert store.since("other-3")[3] and store.since(None)[3] and store.since("x")[3]
    _, labels, deleted, full = store.since(store.revision)
    assert (labels, deleted, full) == ([], [], False)


def test_classes_are_renamed_with_their_labels_and_deleted_only_when_asked(store):
    fid = store.add([NewLabel(box(0, 0), 1)], "ann")[0].fid
    store.change_class(1, "lake", "#00ff00")
    assert store.snapshot().by_fid[fid].name == "lake"
    for name, code in (("LAKE ", "duplicate-name"), ("", "class-name"), ("a\x07", "class-name")):
        with fails(code, Refused):
            store.add_class(name, None, None)
    with fails("duplicate-code", Refused):
        store.add_class("road", None, 7)
    with fails("not-a-color", Refused):
        store.add_class("road", "red", None)
    with fails("class-has-labels", Refused):
        store.remove_class(1, False, "ann")
    store.order_classes([7, 1])
    assert [c.code for c in store.classes.all] == [7, 1]
    store.remove_class(1, True, "ann")
    assert not store.snapshot().labels and [c.code for c in store.classes.all] == [7]


def test_a_second_writer_is_refused_and_the_file_is_named(store, opened):
    with fails("output-in-use", JobError, store.path):
        opened(store.path)
    store.close()
    again, _, _ = opened(store.path)
    assert [c.name for c in again.classes.all] == ["water", "<b>town</b>"]


def test_changes_of_another_program_are_noticed(store):
    (label,) = store.add([NewLabel(box(0, 0), 1)], "ann")
    before = store.revision
    other = EditedLayer(store.path, "labels")
    other.update(label.fid, None, {"author": "qgis"})
    other.close()
    assert store.revision != before and store.since(before)[3]
    assert store.snapshot().labels[0].author == "qgis"


def test_an_existing_layer_keeps_its_columns_types_and_crs(tmp_path, opened):
    path = tmp_path / "old.gpkg"
    shapes = [shapely.box(9.0 + i / 1000, 49.99, 9.0005 + i / 1000, 49.995) for i in range(3)]
    columns = {"note": ["a", "b", "c"], "label": ["Wood", "lake", "wood"], "source": [1, 2, 3]}
    crs = pyproj.CRS("EPSG:4326").to_wkt()
    write_layer(path, VectorLayer("Polygon", shapes, columns, crs, "fields"))
    store, found, warnings = opened(path, GRIDS["utm"], field="label")
    assert pyproj.CRS(found) == pyproj.CRS(crs) and not warnings
    assert [c.name for c in store.classes.all] == ["lake", "Wood"]
    assert [label.code for label in store.snapshot().labels] == [2, 1, 2]
    new = store.add([NewLabel(shapely.MultiPolygon(shapes[:2]), 1)], "ann")[0]
    assert (new.author, new.source) == ("ann", "drawn")
    store.close()
    meta, _, wkb, values = pyogrio.raw.read(path, layer="fields")
    own = dict(zip(meta["fields"].tolist(), values, strict=True))
    assert own["note"].tolist()[:3] == ["a", "b", "c"]
    assert own["label"].tolist() == ["Wood", "lake", "wood", "lake"]
    assert own["source"].tolist()[:3] == [1, 2, 3] and own["label_source"].tolist()[3] == "drawn"
    assert shapely.from_wkb(wkb[0]).equals(shapes[0])


def test_a_layer_of_codes_stays_one(tmp_path, opened):
    path = tmp_path / "codes.gpkg"
    shapes = [box(0, 0), box(9, 0)]
    write_layer(path, VectorLayer("Polygon", shapes, {"class": [3, 12]}, None, "fields"))
    legend = Legend((LandClass("corn", (3,), 3, "#112233"),))
    store, _, warnings = opened(path, legend=legend)
    assert [(c.code, c.name) for c in store.classes.all] == [(3, "corn"), (12, "12")]
    assert len(warnings) == 1
    store.add([NewLabel(box(30, 0), 12)], "ann")
    store.close()
    assert pyogrio.raw.read(path, layer="fields")[3][0].tolist() == [3, 12, 12]


def test_another_format_is_taken_over_into_a_new_file(tmp_path, opened):
    source = tmp_path / "old.geojson"
    corner = {"type": "Point", "coordinates": [9.0, 49.99]}
    rows = [
        {"type": "Feature", "geometry": corner, "properties": {"class": name}}
        for name in ("wood", "lake")
    ]
    source.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    with fails("labels-format", DataError, source):
        opened(source, GRIDS["utm"])
    store, _, _ = opened(tmp_path / "new.gpkg", GRIDS["utm"], start=source)
    assert [label.name for label in store.snapshot().labels] == ["wood", "lake"]
    assert 400_000 < store.snapshot().labels[0].geometry.x < 600_000
    store.close()
    with fails("option-conflict", UsageError):
        opened(tmp_path / "new.gpkg", GRIDS["utm"], start=source)


def test_files_that_are_no_layer_of_labels_are_refused(tmp_path, opened):
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(b"SQLite format 3\0" + bytes(4000))
    with fails("unreadable", DataError, broken):
        opened(broken)
    none = tmp_path / "none.gpkg"
    write_layer(none, VectorLayer("Polygon", [box(0, 0)], {"area": [0.5]}, None, "fields"))
    with fails("no-class-column", DataError, none):
        opened(none)
    assert broken.read_bytes()[:15] == b"SQLite format 3"


def test_a_damaged_geometry_in_the_file_is_no_label_and_stays(store):
    store.add([NewLabel(box(0, 0), 1)], "ann")
    store.close()
    with sqlite3.connect(store.path) as other:
        for name in ("insert", "update1", "update2", "update3", "update4", "update6", "update7"):
            other.execute(f"DROP TRIGGER IF EXISTS rtree_labels_geom_{name}")
        other.execute("INSERT INTO labels (geom, class) VALUES (x'475000ff', 'water')")
    again, _, _ = open_labels(LabelSource(store.path), GRIDS["pixels"])
    try:
        assert [label.geometry is None for label in again.snapshot().labels] == [False, True]
    finally:
        again.close()


def test_a_failing_disk_changes_nothing(store, monkeypatch):
    store.add([NewLabel(box(0, 0), 1)], "ann")
    before = store.since(None)[1:]
    with store._layer.transaction():
        pass
    store._layer._database.execute("PRAGMA query_only=ON")
    with fails("not-writable", JobError, store.path):
        store.add([NewLabel(box(9, 9), 1)], "ann")
    store._layer._database.execute("PRAGMA query_only=OFF")
    assert store.since(None)[1:] == before and store.can("ann", "undo")
    assert len(store.add([NewLabel(box(9, 9), 1)], "ann")) == 1


WRITER = """
import sys
from pathlib import Path
import shapely
from swath.geo.geobox import GeoBox
from swath.server.labeling.labels.label_store import NewLabel
from swath.server.labeling.labels.opening import LabelSource, open_labels
store, _, _ = open_labels(LabelSource(Path(sys.argv[1])), GeoBox(400, 500))
if not store.classes.all:
    store.add_class("water", None, None)
for i in range(100000):
    (label,) = store.add([NewLabel(shapely.Point(i % 400, 5).buffer(3), 1)], "ann")
    print(label.fid, flush=True)
"""


def test_after_a_kill_at_most_the_stroke_in_hand_is_lost(tmp_path, opened):
    path, confirmed = tmp_path / "l.gpkg", []
    random = np.random.default_rng(0)
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(8):
            confirmed.append(int(process.stdout.readline()))
        time.sleep(float(random.uniform(0, 0.05)))
        os.kill(process.pid, signal.SIGKILL)
        confirmed += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        store, _, _ = opened(path)
        found = [label.fid for label in store.snapshot().labels]
        store.close()
        assert found[: len(confirmed)] == confirmed and len(found) <= len(confirmed) + 1
        confirmed = found
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count = database.execute("SELECT count(*) FROM rtree_labels_geom").fetchone()[0]
    assert count == len(confirmed)
    assert len(pyogrio.raw.read(path, layer="labels")[2]) == len(confirmed)


def test_a_stroke_is_quick_beside_thousands(store):
    for start in range(0, 5000, 500):
        store.add([NewLabel(box(i % 400, i // 400), 1) for i in range(start, start + 500)], "ann")
    store.snapshot()
    seconds = []
    for i in range(15):
        began = time.perf_counter()
        store.add([NewLabel(box(i, 90), 1)], "ann")
        store.snapshot()
        seconds.append(time.perf_counter() - began)
    assert np.median(seconds) < 0.25  # 0.02 on an idle machine


def test_labels_are_read_by_gdal_while_this_process_writes_them(store):
    done = threading.Event()

    def write():
        while not done.is_set():
            store.add([NewLabel(box(0, 0), 1)], "ann")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [len(read_layer(store.path, empty=True).fids) for _ in range(15)]
    finally:
        done.set()
        writer.join()
    assert counts == sorted(counts) and counts[-1] > 0


def test_the_classes_table_is_not_taken_for_a_layer(store):
    store.add([NewLabel(box(0, 0), 1)], "ann")
    store.close()
    listed = {str(name): kind for name, kind in pyogrio.list_layers(store.path)}
    assert listed[CLASSES] is None and len(listed) == 2
