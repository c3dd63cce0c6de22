"""Labels and clients that mean harm, or were made by another program."""

import json
import socket
import sqlite3
import time

import numpy as np
import pytest
import shapely

import swath
from swath.io.vector import VectorLayer, write_layer
from swath.server.labeling import bodies
from tests.make import write_raster
from tests.server.labeling.conftest import HALVES, Page, halves

MARKUP = "<script>document.title='x'</script>"


def damage(path):
    """Put geometries into a layer that no tool of ours writes."""
    nan = np.array([[20.0, 90], [30, np.nan], [30, 99], [20, 90]])
    blobs = [shapely.to_wkb(shapely.Polygon(nan), byte_order=1), b"", b"\xff" * 40]
    with sqlite3.connect(path) as database:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'rtree%'"
        for (name,) in database.execute(triggers).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for blob in blobs:
            head = b"GP\0\1" + (-1).to_bytes(4, "little", signed=True)
            values = (head + blob, HALVES[0])
            database.execute("INSERT INTO labels (geom, class) VALUES (?, ?)", values)


def test_a_layer_with_hostile_labels_is_opened_trained_and_extended(tmp_path, cached):
    scene = write_raster(tmp_path / "scene.tif", halves())
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = np.column_stack([150 + 30 * np.cos(angles), 60 + 30 * np.sin(angles)])
    bow = [(5, 5), (45, 45), (45, 5), (5, 45)]
    shapes = [shapely.Polygon(circle), shapely.Polygon(bow), shapely.box(60, 60, 80, 80)]
    shapes += [shapely.box(-9000, -9000, -8000, -8000), shapely.box(10, 100, 40, 150)]
    names = [HALVES[1], HALVES[0], MARKUP, HALVES[0], "x" * 5000]
    write_layer(
        tmp_path / "l.gpkg", VectorLayer("Polygon", shapes, {"class": names}, None, "labels")
    )
    damage(tmp_path / "l.gpkg")
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    page = Page(running, running._session.layer.grid)
    try:
        text = page.get("features").text
        features = json.loads(text, parse_constant=pytest.fail)["features"]
        assert len(features) == 8
        assert [f["geometry"] is None for f in features] == [False] * 5 + [True] * 3
        assert len(features[0]["geometry"]["coordinates"][0]) == 100_001
        for wanted in HALVES:
            assert page.add(page.box(3 if wanted == HALVES[0] else 180, 3), wanted).is_success
        status = page.train()
        assert (status["error"], status["round"]) == (None, 1), status
        assert page.get("conflicts").status_code == 200
        assert page.get("suggestions").status_code == 200
        assert page.post("features/delete", ids=[features[-1]["id"]]).is_success
        assert page.post("undo").is_success
        assert len(page.get("features").json()["features"]) == 10
    finally:
        page.close()


def test_hostile_labels_do_no_harm_to_the_page(tmp_path, cached, visit):
    scene = write_raster(tmp_path / "scene.tif", halves())
    shapes = [shapely.box(5, 5, 50, 50), shapely.box(120, 5, 150, 50)]
    columns = {"class": [MARKUP, "x" * 5000], "author": [MARKUP] * 2}
    write_layer(tmp_path / "l.gpkg", VectorLayer("Polygon", shapes, columns, None, "labels"))
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    try:
        page = visit(running.url)
        names = page.locator("#class-list .pick span")
        assert MARKUP in names.all_inner_texts() and names.count() == 2
        assert page.title() != "x" and page.locator("#class-list script").count() == 0
        assert page.evaluate("() => document.documentElement.scrollWidth") == 1000
        page.locator("#class-list .edit").first.click()
        assert page.locator("#class-form [name=name]").is_visible()
    finally:
        visit.leave()
        running.close()


def routes(page):
    """Return method and path of all that changes something below /label."""
    paths = page.client.get("/openapi.json").json()["paths"]
    found = [(m, p) for p, methods in paths.items() for m in methods if p.startswith("/label")]
    return [(m.upper(), p.replace("{fid}", "1").replace("{code}", "1")) for m, p in found]


def test_no_route_changes_anything_for_a_stranger(page, tmp_path, monkeypatch):
    changing = [(method, path) for method, path in routes(page) if method != "GET"]
    assert len(changing) >= 16
    before = page.state()
    body = json.dumps({"name": "evil", "ids": [1], "codes": [2, 1], "view": [0, 0, 1, 1]})
    kind = {"content-type": "application/json"}
    for method, path in changing:
        for who in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = page.client.request(method, path, content=body, headers=who | kind)
            assert answer.status_code == 403, (method, path)
            assert "access-control-allow-origin" not in answer.headers
        if method != "DELETE":
            answer = page.client.request(method, path, content=body)
            assert answer.status_code == 415, (method, path)
            huge = b"[" + b" " * bodies.MAX_BYTES + b"]"
            answer = page.client.request(method, path, content=huge, headers=kind)
            assert answer.status_code == 413, (method, path)
    assert page.state() == before and page.get("status").json()["job"] is None

    monkeypatch.setenv("SWATH_TOKEN", "a-token-for-tests-only")
    scene = write_raster(tmp_path / "other.tif", halves())
    running = swath.serve([scene], port=0, allow_label=tmp_path / "other.gpkg")
    try:
        guarded = Page(running, running._session.layer.grid)
        for method, path in routes(page):
            for token in ("", "Bearer x", "Bearer a-token-for-tests-onlx"):
                headers = kind | ({"authorization": token} if token else {})
                answer = guarded.client.request(method, path, content=body, headers=headers)
                assert answer.status_code == 401, (method, path)
        assert running._session.store.classes.all == ()
    finally:
        running.close()


def test_a_body_that_does_not_end_holds_nothing_up(page, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.4)
    port = int(page.running.url.rstrip("/").rpartition(":")[2])
    head = f"POST /label/undo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(head.encode())
        began = time.monotonic()
        assert page.get("status").status_code == 200
        assert b" 408 " in slow.recv(1000).split(b"\r\n")[0] + b" "
        assert time.monotonic() - began < 15
