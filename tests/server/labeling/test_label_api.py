"""Labels over HTTP: what is stored, trained and mapped, and what clients cannot do."""

import json

import httpx2
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine

import swath
from swath.errors import JobError
from swath.server.labeling.bodies import MAX_BYTES, MAX_FEATURES
from swath.server.labeling.view_geometry import MAX_POINTS
from tests.errors import fails
from tests.make import write_raster
from tests.server.labeling.conftest import HALVES, Page, halves

TURNED = Affine.translation(500_000, 5_600_000) * Affine.rotation(30) * Affine.scale(10, -10)

SCENES = {
    "pixels": (halves(), None, None),
    "utm, 12 bands": (halves(12, dtype=np.int16, low=-300, high=4000), "EPSG:32632", None),
    "degrees, 1 band": (
        halves(1, dtype=np.float32),
        "EPSG:4326",
        Affine(1e-4, 0, 9, 0, -1e-4, 50),
    ),
    "turned": (halves(), "EPSG:32632", TURNED),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_labeled_and_mapped(name, open_page):
    image, crs, transform = SCENES[name]
    if crs and transform is None:
        transform = Affine(10, 0, 500_000, 0, -10, 5_600_000)
    page = open_page(image, crs, transform)
    state = page.get("state").json()
    assert state["crs"] == crs and len(state["bands"]) == len(image)
    page.add_halves()
    status = page.train()
    assert (status["phase"], status["round"], status["error"]) == ("idle", 1, None), status
    assert status["map"]["view"] == {"done": 1, "total": 1, "capped": False}
    assert status["score"]["miou"] > 0.9 and {"features", "fitting", "view"} <= set(
        status["seconds"]
    )
    assert [c["labels"] for c in status["classes"]] == [4, 4]
    assert sum(c["share"] for c in status["classes"]) == pytest.approx(1)
    session = page.running._session
    codes, confidence = session.quick.read(session.layer.grid.window)
    right = np.where(np.arange(image.shape[2]) < image.shape[2] // 2, 1, 2)
    assert (codes == right).mean() > 0.97 and confidence.max() <= 100
    lon, lat = page.at(150.5, 80.5)
    values = page.client.get("/values", params={"lon": lon, "lat": lat, "url": "quick-map"}).json()
    assert values["quick-map"]["class"] == "light"
    page.close()
    meta, _, wkb, _ = pyogrio.raw.read(state_path(page), layer="labels")
    assert (meta["crs"] or None) == crs and len(wkb) == 8


def state_path(page):
    return page.running._session.store.path


@pytest.mark.parametrize("name", SCENES)
def test_a_vertex_comes_back_where_it_was(name, open_page):
    image, crs, transform = SCENES[name]
    if crs and transform is None:
        transform = Affine(10, 0, 500_000, 0, -10, 5_600_000)
    page = open_page(image, crs, transform, classes=None)
    page.post("classes", name="dark")
    given = page.box(33.3, 44.4)
    answer = page.add(given, "dark").json()["features"][0]["geometry"]
    sent = shapely.from_geojson(json.dumps(given))
    back = shapely.from_geojson(json.dumps(answer))
    np.testing.assert_allclose(
        np.sort(shapely.get_coordinates(sent), axis=0),
        np.sort(shapely.get_coordinates(back), axis=0),
        atol=1e-9,
    )
    stored = page.running._session.store.snapshot().labels[0].geometry
    pixels = page.running._session.geometry.to_pixels([stored])[0]
    assert pixels.bounds == pytest.approx((33.3, 44.4, 45.3, 56.4), abs=1e-4)


def test_changes_are_seen_undone_and_merged(page):
    (first,) = page.add(page.box(90, 100), "dark", author="ann").json()["features"]
    revision = page.get("state").json()["revision"]
    changed = page.post(
        f"features/{first['id']}", "PATCH", code=2, seen=first["properties"]["time"], author="bob"
    ).json()
    assert changed["conflict"] is None
    assert changed["features"][0]["properties"]["class"] == "light"
    both = page.post(
        f"features/{first['id']}",
        "PATCH",
        geometry=page.box(92, 100),
        seen=first["properties"]["time"],
        author="ann",
    ).json()
    assert both["conflict"] == first["id"] != both["features"][0]["id"]
    since = page.get("features", since=revision).json()
    assert not since["full"] and {f["id"] for f in since["features"]} == {
        first["id"],
        both["features"][0]["id"],
    }
    page.post(f"features/{both['features'][0]['id']}", "PATCH", code=1)
    (overlap,) = page.get("conflicts").json()["conflicts"]
    assert sorted(overlap["classes"]) == ["dark", "light"] and overlap["pixels"] == 120
    undone = page.post("undo", author="bob").json()
    assert undone["features"][0]["properties"]["class"] == "dark" and not undone["can_undo"]
    deleted = page.post("features/delete", ids=[first["id"], 999], author="ann").json()
    assert deleted["deleted"] == [first["id"]]
    restored = page.post("undo", author="ann").json()
    assert [f["id"] for f in restored["features"]] == [first["id"]] and restored["can_redo"]


@pytest.mark.parametrize(
    ("geometry", "code"),
    [
        ({"type": "Polygon", "coordinates": []}, "geometry-empty"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1e-3, -1e-3]]]}, "geometry-invalid"),
        ({"type": "Polygon", "coordinates": [[["a", 0], [1, 1], [2, 2]]]}, "geometry-invalid"),
        ({"type": "Polygon", "coordinates": {"a": 1}}, "geometry-invalid"),
        ({"type": "Polygon"}, "geometry-invalid"),
        ({"type": "GeometryCollection", "geometries": []}, "geometry-invalid"),
        ({"type": ["Polygon"], "coordinates": []}, "geometry-invalid"),
        ({"type": "Point", "coordinates": [1e-4, 1e400]}, "geometry-invalid"),
        ({"type": "Point", "coordinates": [170, 80]}, "outside-scene"),
        ({"type": "Point", "coordinates": [1e300, 0]}, "outside-scene"),
        ({"type": "Point", "coordinates": [None, None]}, "geometry-invalid"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1e-4, -1e-4], [0, 0], [0, 0]]]},
            "geometry-empty",
        ),
    ],
)
def test_geometries_that_cannot_be_used_change_nothing(geometry, code, page):
    before = page.state()
    content = json.dumps({"features": [{"geometry": geometry, "class": "dark"}]})
    content = content.replace("Infinity", "1e400")
    answer = page.client.post(
        "/label/features", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400 and answer.json()["code"] == code, answer.text
    assert page.state() == before


def test_a_label_that_is_sent_again_is_stored_once(open_page):
    page = open_page(halves(), None, None)
    page.post("classes", name="dark")
    stroke = {"geometry": page.box(5, 5), "class": "dark", "key": "0123456789abcdef"}
    other = stroke | {"key": "0123456789abcdef-2"}
    (first,) = page.post("features", features=[stroke]).json()["features"]
    again = page.post("features", features=[other, stroke])
    assert again.status_code == 201
    assert [f["id"] for f in again.json()["features"]] == [first["id"], first["id"] + 1]
    page.close()
    page = open_page(halves(), None, None)
    assert page.post("features", features=[stroke]).json()["features"][0]["id"] == first["id"]
    page.post("features/delete", ids=[first["id"]])
    assert page.post("features", features=[stroke]).json()["features"] == []
    assert len(page.state()[0]) == 1
    refused = page.post("features", features=[stroke | {"key": "'; DROP TABLE labels"}])
    assert refused.json()["code"] == "bad-request"


def test_a_geometry_is_mended_and_cut_to_the_scene(page):
    bow = [page.at(*point) for point in ((10, 10), (30, 30), (30, 10), (10, 30), (10, 10))]
    answer = page.add({"type": "Polygon", "coordinates": [bow]}, "dark").json()["features"][0]
    assert answer["geometry"]["type"] == "MultiPolygon"
    over = page.add(page.box(190, 150, 500, 500), "light").json()["features"][0]
    stored = page.running._session.store.snapshot().by_fid[over["id"]]
    assert stored.geometry.bounds == pytest.approx((190, 150, 200, 160))


def test_large_requests_are_refused(page):
    before = page.state()
    angles = np.linspace(0, 2 * np.pi, 100_000)
    ring = [page.at(50 + 20 * np.cos(a), 50 + 20 * np.sin(a)) for a in angles]
    many = page.add({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, "dark")
    assert (many.status_code, many.json()["code"]) == (413, "too-many-points")
    assert len(ring) > MAX_POINTS
    one = {"geometry": page.box(3, 3), "class": "dark"}
    several = page.post("features", features=[one] * (MAX_FEATURES + 1))
    assert (several.status_code, several.json()["code"]) == (413, "too-many-features")
    for headers in ({}, {"transfer-encoding": "chunked"}):
        content = iter([b"[" * 100_000] * (MAX_BYTES // 100_000 + 2)) if headers else None
        body = content if headers else b" " * (MAX_BYTES + 1)
        answer = page.client.post(
            "/label/features", content=body, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert page.state() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'"x"',
        b"[" * 100_000,
        b'{"features": [{"geometry": {"type": "Point", "coordinates": [NaN, 1]}}]}',
        b'{"features": [{"geometry": {"type": "Point", "coordinates": [Infinity, 1]}}]}',
        b'{"features": []}',
        b'{"features": [1]}',
        b'{"features": [{"geometry": null, "class": "dark"}]}',
        b'{"features": "x", "admin": true}',
        b"\xff\xfe\x00",
    ],
)
def test_bodies_that_are_no_labels_change_nothing(content, page):
    before = page.state()
    answer = page.client.post(
        "/label/features", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400 and answer.json()["code"] in ("not-json", "bad-request")
    assert page.state() == before


def test_other_pages_and_other_media_types_are_refused(page):
    before = page.state()
    body = json.dumps({"name": "evil"})
    for headers, status in (
        ({"origin": "https://evil.example", "content-type": "application/json"}, 403),
        ({"sec-fetch-site": "cross-site", "content-type": "application/json"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "evil.example", "content-type": "application/json"}, 421),
    ):
        answer = page.client.post("/label/classes", content=body, headers=headers)
        assert answer.status_code == status
    for method in ("DELETE", "PATCH", "PUT"):
        answer = page.client.request(
            method, "/label/classes/1?labels=delete", headers={"origin": "https://evil.example"}
        )
        assert answer.status_code == 403
    assert page.state() == before


def test_names_with_markup_are_given_back_as_they_are(page):
    name = "<img src=x onerror=alert(1)> & \"'; DROP TABLE labels; --"
    assert page.post("classes", name=name).status_code == 201
    added = page.add(page.box(50, 50), name, author="</script>").json()["features"][0]
    assert added["properties"]["class"] == name and added["properties"]["author"] == "</script>"
    answer = page.get("features")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for bad in ("", " ", "x" * 61, "a\u202eb", "Dark"):
        refused = page.post("classes", name=bad)
        assert refused.status_code in (400, 409) and refused.json()["code"] in (
            "class-name",
            "duplicate-name",
        )


def test_a_class_is_renamed_recolored_ordered_and_deleted(page):
    renamed = page.post("classes/1", "PATCH", name="shadow", color="#010203").json()["classes"][0]
    assert (renamed["name"], renamed["color"], renamed["labels"]) == ("shadow", "#010203", 4)
    ordered = page.post("classes/order", "PUT", codes=[2, 1]).json()["classes"]
    assert [c["code"] for c in ordered] == [2, 1]
    assert page.post("classes/order", "PUT", codes=[2]).json()["code"] == "class-order"
    refused = page.client.delete("/label/classes/1")
    assert (refused.status_code, refused.json()["code"]) == (409, "class-has-labels")
    kept = page.client.delete("/label/classes/1", params={"labels": "delete"}).json()["classes"]
    assert [c["code"] for c in kept] == [2]
    assert {f["properties"]["class"] for f in page.get("features").json()["features"]} == {"light"}
    assert page.client.delete("/label/classes/77").status_code == 404


def test_before_there_are_labels_nothing_is_trained(open_page):
    page = open_page(halves(), None, None)
    for path in ("train",):
        answer = page.post(path, view=page.view)
        assert (answer.status_code, answer.json()["code"]) == (409, "too-few-classes")
    assert page.post("finish").json()["code"] == "too-few-classes"
    assert page.get("suggestions").json()["code"] == "no-map"
    assert page.post("accept", geometry=page.box(0, 0)).json()["code"] == "no-map"
    assert page.post("undo").json()["code"] == "nothing-to-undo"
    tile = page.client.get(
        "/cog/tiles/WebMercatorQuad/18/131072/131072", params={"url": "quick-map"}
    )
    assert tile.status_code == 200
    scene = page.client.get("/scene").json()
    assert scene["label"] is True
    assert [row["kind"] for row in scene["layers"]] == ["image", "map", "confidence"]


def test_the_map_follows_the_labels_and_says_what_is_needed(page):
    status = page.train()
    version = status["map"]["version"]
    assert not status["stale"] and status["classes"][0]["need"] == "enough"
    assert page.get("status", view=page.view).json()["map"]["version"] == version
    assert page.get("status", view=[50, 50, 51, 51]).json()["map"]["version"] == "q0"
    assert page.get("status", view=[1, 2, 3]).status_code == 422
    page.post("classes", name="third")
    assert page.get("status").json()["classes"][2]["need"] == "none"
    page.add(page.box(60, 100), "third")
    assert page.get("status").json()["stale"]
    status = page.train()
    assert status["round"] == 2 and status["map"]["version"] != version
    assert status["classes"][2]["need"] == "more" and status["score"] is None
    places = page.get("suggestions").json()["places"]
    assert 1 <= len(places) <= 3
    west, south, east, north = page.view
    for place in places:
        lon, lat = place["center"]
        assert west <= lon <= east and south <= lat <= north


def test_an_area_of_the_map_and_an_object_become_labels(page):
    page.train()
    answer = page.post("accept", geometry=page.box(110, 10, 60, 60), min_confidence=50)
    (label,) = answer.json()["features"]
    assert answer.status_code == 201 and label["properties"]["source"] == "accepted"
    assert label["properties"]["class"] == "light"
    stored = page.running._session.store.snapshot().by_fid[label["id"]].geometry
    assert stored.area == pytest.approx(3600, rel=0.1)
    empty = page.post("accept", geometry=page.box(110, 10), codes=[1])
    assert empty.json()["code"] == "area-empty"
    assert page.post("undo").json()["deleted"] == [label["id"]]
    found = page.post("object", point=page.at(20.5, 80.5)).json()
    assert found["pixels"] == pytest.approx(100 * 160, rel=0.05)
    assert page.add(found["geometry"], "dark").status_code == 201
    assert page.post("object", point=[100, 50]).json()["code"] == "outside-scene"


def test_a_server_without_leave_has_no_labels(tmp_path, cached):
    scene = write_raster(tmp_path / "s.tif", halves())
    running = swath.serve([scene], port=0)
    try:
        assert httpx2.get(f"{running.url}scene").json()["label"] is False
        for method, path in (("GET", "state"), ("POST", "features"), ("DELETE", "classes/1")):
            assert httpx2.request(method, f"{running.url}label/{path}").status_code == 404
    finally:
        running.close()
    assert [p.name for p in tmp_path.iterdir()] == ["s.tif"]


def test_labels_of_several_people_need_the_token(tmp_path, cached, monkeypatch):
    monkeypatch.setenv("SWATH_TOKEN", "a-token-for-tests-only")
    scene = write_raster(tmp_path / "s.tif", halves())
    running = swath.serve([scene], port=0, allow_label=tmp_path / "l.gpkg")
    try:
        with fails("output-in-use", JobError, tmp_path / "l.gpkg"):
            swath.label(scene, tmp_path / "l.gpkg", open=False)
        page = Page(running, running._session.layer.grid)
        assert page.get("state").status_code == 401
        assert page.post("classes", name="dark").status_code == 401
        page.client.headers["authorization"] = "Bearer a-token-for-tests-only"
        page.add_halves()
        for author in ("ann", "bob"):
            page.add(page.box(50, 50), "dark", author=author)
        authors = [f["properties"]["author"] for f in page.get("features").json()["features"]]
        assert authors[-2:] == ["ann", "bob"]
        assert page.train()["round"] == 1
    finally:
        running.close()


def test_labels_and_classes_are_there_after_a_restart(open_page):
    first = open_page(halves(), None, None)
    first.add_halves()
    before = first.state()
    first.close()
    second = open_page(halves(), None, None)
    assert second.state() == before and second.get("state").json()["warnings"]
    names = [c["name"] for c in second.get("state").json()["classes"]]
    assert tuple(names) == HALVES and second.train()["round"] == 1
