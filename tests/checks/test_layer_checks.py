"""Findings on vector layers: what rasterizing loses, and labels that miss their images."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.transform import Affine

from swath import inspect, prepare
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, place, write_layer, write_png, write_raster

HALVES = [box(0, 0, 64, 32), box(0, 32, 64, 32)]
TO_DEGREES = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)


@pytest.fixture
def root(tmp_path):
    """Return a folder with an image of 64 x 64 pixels."""
    source = tmp_path / "source"
    write_raster(source / "img.tif", noise(3, 64, 64), UTM, NORTH_UP)
    return source


def write(root, shapes, classes, crs=UTM, name="f.gpkg"):
    values = np.array(classes, object if isinstance(classes[0], str) else int)
    return write_layer(root / name, shapes, {"class": values}, crs)


def found(root, labels="f.gpkg", **options):
    result = inspect(root, images=["img.tif"], labels=labels, **options)
    return {f["code"]: f for f in result.findings}


def stored(root, labels="f.gpkg", **options):
    """Prepare, and return the class names of the dataset and its labels."""
    target = root.parent / "dataset"
    prepare(root, target, images=["img.tif"], labels=labels, test=["none"], val=["none"], **options)
    manifest = json.loads((target / "dataset.json").read_text())
    names = [c["name"] for c in manifest["legend"]["classes"]]
    return names, np.load(target / manifest["images"][0]["labels"])


@pytest.mark.parametrize(
    ("shapes", "classes", "code", "lost"),
    [
        ([*HALVES, box(900, 900, 5, 5)], ["a", "b", "rice"], "class-outside", "rice"),
        ([*HALVES, box(900, 900, 5, 5)], [1, 2, 7], "class-outside", "7"),
        ([box(20, 20, 9, 9), *HALVES], ["small", "a", "b"], "labels-overlap", "small"),
        ([*HALVES, box(5.6, 5.6, 0.8, 0.8)], ["a", "b", "tree"], "polygons-too-small", "tree"),
        (
            [*HALVES, shapely.LineString([place(0, 20.9), place(64, 20.9)]).buffer(2, cap_style=2)],
            ["a", "b", "road"],
            "polygons-too-small",
            "road",
        ),
    ],
)
def test_a_class_without_a_pixel_is_a_finding_and_no_error(root, shapes, classes, code, lost):
    path = write(root, shapes, classes)
    finding = found(root)[code]
    assert (finding["level"], finding["file"]) == ("warning", str(path))
    assert lost in finding["message"] and "feature" in finding["message"]
    said = {"class-outside": "Nothing to do, if", "labels-overlap": "1 feature is hidden"}
    assert said.get(code, "") in finding["message"] + finding["fix"]
    names, labels = stored(root)
    assert names == [str(c) for c in classes if str(c) != lost]
    assert (labels == 0).sum() == (labels == 1).sum() == 64 * 32


def test_points_in_one_pixel_are_a_finding(root):
    at = [(10.4, 10.4), (10.6, 10.6), (30, 30), (9000, 9000)]
    write_layer(
        root / "f.gpkg",
        [shapely.Point(place(c, r)).buffer(0.01) for r, c in at],
        {"class": [1, 2, 2, 2]},
    )
    assert "polygons-too-small" in found(root)
    geojson = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"class": k},
                "geometry": {
                    "type": "Point",
                    "coordinates": TO_DEGREES.transform(*place(c, r)),
                },
            }
            for k, (r, c) in zip((1, 2, 2, 2), at, strict=True)
        ],
    }
    (root / "p.geojson").write_text(json.dumps(geojson))
    findings = found(root, "p.geojson")
    assert findings["points-share-pixel"]["level"] == "warning"
    assert "polygons-too-small" not in findings


def test_partial_overlaps_are_counted(root):
    write(root, [*HALVES, box(0, 30, 64, 4)], ["a", "b", "road"])
    finding = found(root)["labels-overlap"]
    assert finding["level"] == "note" and str(64 * 4) in finding["message"]


def test_neighbors_have_no_finding(root):
    write(root, HALVES, ["a", "b"])
    assert not {"labels-overlap", "polygons-too-small", "class-outside"} & set(found(root))


def test_the_highest_priority_wins(root):
    columns = {"class": np.array(["small", "large"], object), "rank": [9, 1]}
    write_layer(root / "f.gpkg", [box(20, 20, 10, 10), box(0, 0, 64, 64)], columns)
    names, labels = stored(root, priority="rank", label_field="class")
    assert names == ["large", "small"] and (labels == 1).sum() == 100


def swapped(shape):
    return shapely.transform(
        shape, lambda x, y: TO_DEGREES.transform(x, y)[::-1], interleaved=False
    )


def mercator(shape):
    move = pyproj.Transformer.from_crs(UTM, "EPSG:3857", always_xy=True)
    return shapely.transform(shape, move.transform, interleaved=False)


def degrees(shape):
    return shapely.transform(shape, TO_DEGREES.transform, interleaved=False)


@pytest.mark.parametrize(
    ("shapes", "crs", "name", "words", "mend"),
    [
        (HALVES, "EPSG:4326", "m.geojson", ["degrees", "32632"], "EPSG:32632"),
        (HALVES, "EPSG:32633", "m.gpkg", ["33N", "32N"], "EPSG:32632"),
        (HALVES, "EPSG:25833", "m.gpkg", ["33N", "32N"], "EPSG:32632"),
        ([degrees(h) for h in HALVES], "EPSG:32632", "m.gpkg", ["degrees"], "EPSG:4326"),
        ([swapped(h) for h in HALVES], "EPSG:4326", "m.gpkg", ["swapped"], None),
        ([shapely.box(7e5, 5e6, 701000, 5001000)] * 2, UTM, "m.gpkg", ["700000", "500000"], None),
        ([mercator(h) for h in HALVES], UTM, "m.gpkg", ["Mercator"], "EPSG:3857"),
    ],
)
def test_labels_that_miss_are_an_error_with_the_cause(root, shapes, crs, name, words, mend):
    path = write(root, shapes, ["a", "b"], crs, name)
    finding = found(root, name)["labels-miss-images"]
    assert (finding["level"], finding["file"]) == ("error", str(path))
    assert all(word in finding["message"] for word in [*words, "img.tif"])
    with fails("labels-miss-images", DataError, path):
        stored(root, name)
    if mend is not None:
        assert f"--labels-crs {mend}" in finding["fix"]
        names, labels = stored(root, name, labels_crs=mend)
        assert names == ["a", "b"] and (labels == 0).sum() == 64 * 32
    else:  # a CRS in which they miss the image, too, is no mend
        assert "--labels-crs" not in finding["fix"]


def test_labels_and_images_without_crs_that_lie_apart_are_an_error(tmp_path):
    root = tmp_path / "source"
    write_raster(root / "img.tif", noise(3, 64, 64), None, NORTH_UP)
    far = [shapely.affinity.translate(h, 600_000) for h in HALVES]
    path = write(root, far, ["a", "b"], None, "f.gpkg")
    with fails("labels-miss-images", DataError, path):
        stored(root)
    write(root, HALVES, ["a", "b"], None, "g.gpkg")
    assert stored(root, "g.gpkg")[0] == ["a", "b"]


def test_missing_crs_is_mended_by_the_option(root):
    path = write(root, HALVES, ["a", "b"], None)
    with fails("crs-missing", DataError, path) as caught:
        stored(root)
    assert "--labels-crs EPSG:32632" in str(caught.value.fix)
    assert stored(root, labels_crs="EPSG:32632")[0] == ["a", "b"]


def test_findings_of_reading_are_findings_of_the_source(root):
    bow = shapely.Polygon([place(*p) for p in ((0, 0), (9, 9), (9, 0), (0, 9))])
    write(root, [bow, *HALVES, *HALVES], ["a", "a", "b", "B", "a "])
    assert {"geometry-mended", "class-names-alike"} <= set(found(root))


def test_the_background_is_trained(root):
    write_layer(root / "houses.gpkg", [box(0, 0, 10, 10)], {"id": [1]})
    names, labels = stored(root, "houses.gpkg", background="other")
    assert names == ["other", "houses"]
    assert ((labels == 0).sum(), (labels == 1).sum()) == (64 * 64 - 100, 100)
    write_layer(root / "area.gpkg", [box(0, 0, 32, 64)], {})
    names, labels = stored(root, "houses.gpkg", background="other", extent="area.gpkg")
    assert ((labels == 0).sum(), (labels == 255).sum()) == (32 * 64 - 100, 32 * 64)
    with fails("no-class-column", DataError):
        stored(root, "houses.gpkg")
    with fails("option-conflict", UsageError):
        stored(root, "houses.gpkg", extent="area.gpkg")


# Options that have no effect


POLYGONS = ("f.gpkg", HALVES)
LINES = ("l.gpkg", [shapely.LineString([place(0, 9), place(64, 9)]), shapely.Point(place(9, 40))])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m.tif", {"label_field": "class"}),
        ("m.tif", {"layer": "m"}),
        ("m.tif", {"background": "other"}),
        ("m.tif", {"all_touched": True}),
        ("m.tif", {"label_width": 3}),
        ("m.tif", {"priority": "class"}),
        ("f.gpkg", {"label_band": 1}),
        ("f.gpkg", {"fit_labels": True}),
        ("f.gpkg", {"snap_colors": True}),
        ("f.gpkg", {"label_width": 3}),
        ("l.gpkg", {"all_touched": True}),
        ((), {"label_band": 1, "unlabeled": True}),
        ((), {"labels_crs": UTM, "unlabeled": True}),
    ],
)
def test_an_option_without_effect_is_refused(root, name, options):
    write_raster(root / "m.tif", noise(64, 64, high=3), UTM, NORTH_UP)
    for file, shapes in (POLYGONS, LINES):
        write(root, shapes, [1, 2], name=file)
    with fails("option-conflict", UsageError) as caught:
        found(root, name, **options)
    assert f"--{next(iter(options)).replace('_', '-')}" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m.tif", {"label_band": 1}),
        ("m.tif", {"labels_crs": UTM}),
        ("f.gpkg", {"layer": "f", "all_touched": True, "priority": "class"}),
        ("l.gpkg", {"label_width": 30.0}),
    ],
)
def test_an_option_with_effect_is_taken(root, name, options):
    write_raster(root / "m.tif", noise(64, 64, high=3), UTM, NORTH_UP)
    for file, shapes in (POLYGONS, LINES):
        write(root, shapes, [1, 2], name=file)
    assert not [f for f in found(root, name, **options).values() if f["level"] == "error"]


# The CRS of label rasters


CODES = np.repeat(noise(16, 16, high=3), 4, axis=0).repeat(4, axis=1)


def write_without_crs(path, codes, transform=NORTH_UP):
    return write_raster(path, codes, None, transform)


def test_a_label_raster_gets_its_crs(root):
    coarse = NORTH_UP * Affine.scale(4)
    write_without_crs(root / "m.tif", CODES[::4, ::4], coarse)
    assert "size-mismatch" in found(root, "m.tif")
    names, labels = stored(root, "m.tif", labels_crs=UTM)
    assert (np.array(names, int)[labels] == CODES).all()


def test_label_rasters_get_their_crs_by_place(root):
    west, east = CODES[:, :32], CODES[:, 32:]
    write_without_crs(root / "m" / "a.tif", west)
    write_without_crs(root / "m" / "b.tif", east, NORTH_UP * Affine.translation(32, 0))
    assert "several-label-files" in found(root, "m/*.tif")
    names, labels = stored(root, "m/*.tif", labels_crs=UTM)
    assert (np.array(names, int)[labels] == CODES).all()


def test_pairs_take_the_crs_of_labels(tmp_path):
    write_raster(tmp_path / "images" / "x.tif", noise(3, 64, 64), UTM, NORTH_UP)
    moved = NORTH_UP * Affine.translation(8, 8)
    write_without_crs(tmp_path / "masks" / "x.tif", CODES[8:, 8:], moved)
    target = tmp_path.parent / f"{tmp_path.name}-dataset"
    prepare(tmp_path, target, labels_crs=UTM, test=["none"], val=["none"])
    manifest = json.loads((target / "dataset.json").read_text())
    labels = np.load(target / manifest["images"][0]["labels"])
    assert (labels[:8] == 255).all() and (labels[:, :8] == 255).all()
    names = np.array([c["name"] for c in manifest["legend"]["classes"]], int)
    assert (names[labels[8:, 8:]] == CODES[8:, 8:]).all()


@pytest.mark.parametrize(
    ("name", "transform", "crs", "wanted", "code"),
    [
        ("m.tif", NORTH_UP, "EPSG:32633", UTM, "option-conflict"),
        ("m.png", None, None, UTM, "option-conflict"),
        ("m.tif", NORTH_UP, None, "EPSG:0", "option-value"),
    ],
)
def test_a_crs_that_labels_cannot_have(root, name, transform, crs, wanted, code):
    if name.endswith("png"):
        write_png(root / name, CODES)
    else:
        write_raster(root / name, CODES, crs, transform)
    assert found(root, name, labels_crs=wanted)[code]["level"] == "error"


def test_a_class_file_of_names_and_colors_is_for_layers_too(root, tmp_path):
    write(root, HALVES, ["wood", "sea"])
    rows = '[{name: sea, color: "#0000FF"}, {name: wood, color: "#00FF00"}]'
    (tmp_path / "c.yaml").write_text(rows)
    names, labels = stored(root, classes=tmp_path / "c.yaml")
    assert names == ["sea", "wood"] and (labels[:, :32] == 1).all() and (labels[:, 32:] == 0).all()


def test_features_outside_and_without_a_geometry_are_told(root):
    write(root, [*HALVES, box(900, 900, 5, 5), None], ["a", "b", "b", "a"])
    findings = found(root)
    assert findings["features-outside"]["message"].startswith("1 of 3 features")
    assert findings["geometry-missing"]["message"].startswith("1 features have no geometry")
    write(root, HALVES, ["a", "b"], name="g.gpkg")
    assert not {"features-outside", "geometry-missing"} & set(found(root, "g.gpkg"))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["water", "2", "forest", "2"], True),
        (["water", "2.0", "forest", "water"], True),
        (["1", "2", "1", "2"], False),
        (["zone 1", "zone 2", "zone 1", "zone 2"], False),
        (["B1", "2", "B1", "2"], False),
    ],
)
def test_numbers_among_names_are_told(root, names, told):
    quarters = [box(0, col, 64, 16) for col in (0, 16, 32, 48)]
    write(root, quarters, names)
    assert ("class-names-mixed" in found(root)) == told


@pytest.mark.parametrize(("decimals", "told"), [(2, True), (3, True), (4, False), (7, False)])
def test_rounded_degrees_are_told(root, decimals, told):
    rows, cols = np.random.default_rng(0).uniform(2, 62, (2, 12))
    xy = [place(*at) for at in zip(cols, rows, strict=True)]
    lines = [
        ",".join([*(f"{v:.{decimals}f}" for v in TO_DEGREES.transform(*at)), "ab"[i % 2]])
        for i, at in enumerate(xy)
    ]
    (root / "p.csv").write_text("\n".join(["lon,lat,class", *lines]))
    assert ("coordinates-rounded" in found(root, "p.csv")) == told


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)])
def test_a_wrong_sign_is_told(root, signs):
    degrees = [shapely.transform(b, TO_DEGREES.transform, interleaved=False) for b in HALVES]
    flipped = [shapely.transform(g, lambda xy: xy * signs) for g in degrees]
    write(root, flipped, ["a", "b"], "EPSG:4326")
    error = found(root)["labels-miss-images"]
    assert "sign" in error["message"] and "negative" in error["fix"]
