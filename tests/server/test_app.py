"""The server, over a real socket: answers, refusals, and that it is alive afterwards."""

import json
import socket
import time
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
import rasterio
from fastapi import FastAPI

import swath
from swath.errors import DataError, JobError, SwathError, check_path
from swath.server.app import _add_errors
from swath.server.uvicorn_server import is_loopback
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, truncate, write_jpeg, write_png, write_raster
from tests.server.test_layer import codes_of, png, write_map

TOKEN = "a-token-for-tests-only"

TILE = "/cog/tiles/WebMercatorQuad/{}/{}/{}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with maps with and without CRS, an image, and things that must not be served."""
    root = tmp_path_factory.mktemp("served")
    inside = root / "maps"
    write_map(inside / "photo-map.tif", codes_of(300, 280), None, None)
    write_jpeg(inside / "photo.jpg", noise(3, 300, 280))
    write_map(inside / "deep" / "ground.tif", codes_of(200, 200))
    write_raster(
        inside / "deep" / "ground_confidence.tif",
        noise(200, 200, low=0, high=101),
        UTM,
        NORTH_UP,
        nodata=255,
    )
    write_png(root / "secret.png", noise(8, 8))
    write_png(inside / ".hidden" / "x.png", noise(8, 8))
    (inside / "way-out.png").symlink_to(root / "secret.png")
    (inside / "outside").symlink_to(root)
    (inside / "virtual.tif").write_text(
        f"<VRTDataset><SourceFilename>{root}/secret.png</SourceFilename></VRTDataset>"
    )
    (inside / "notes.txt").write_text("private")
    (inside / "no.swath").write_text("not a model")
    return inside


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    running = swath.serve([folder], port=0, jobs=tmp_path_factory.mktemp("jobs"), upload_mb=1)
    yield running
    running.close()


@pytest.fixture
def ask(server):
    with httpx2.Client(base_url=server.url, timeout=20) as client:
        yield client
        assert client.get("/health").json() == {"status": "ok"}


def raw(server, content, seconds=5.0):
    """Send bytes; return what comes back until the connection closes or the time is up."""
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(content)
        out = b""
        try:
            while chunk := connection.recv(65536):
                out += chunk
        except TimeoutError:
            pass
        return out


def test_files_are_listed_and_nothing_else(ask):
    names = ask.get("/files").json()["rasters"]
    assert names == [
        "photo-map.tif",
        "photo.jpg",
        "virtual.tif",
        "deep/ground.tif",
        "deep/ground_confidence.tif",
    ]


def test_a_tile_shows_the_classes_of_the_map(ask, folder):
    answer = ask.get(TILE.format(18, 2**17, 2**17), params={"url": "photo-map.tif", "v": "1"})
    assert (
        answer.headers["content-type"] == "image/png"
        and "immutable" in answer.headers["cache-control"]
    )
    with rasterio.open(folder / "photo-map.tif") as dataset:
        codes, table = dataset.read(1)[:256, :256], dataset.colormap(1)
    drawn = png(answer.content)
    for code in (1, 2, 7):
        assert (drawn[codes == code] == (*table[code][:3], 255)).all()
    assert (drawn[codes == 0][:, 3] == 0).all()


def test_hidden_classes_are_not_drawn(ask, folder):
    drawn = png(
        ask.get(
            TILE.format(18, 2**17, 2**17), params={"url": "photo-map.tif", "hide": "1,7"}
        ).content
    )
    with rasterio.open(folder / "photo-map.tif") as dataset:
        codes = dataset.read(1)[:256, :256]
    np.testing.assert_array_equal(drawn[..., 3] > 0, codes == 2)
    assert not png(
        ask.get(
            TILE.format(18, 2**17, 2**17), params={"url": "photo-map.tif", "hide": "1,2,7"}
        ).content
    ).any()


def test_images_are_drawn_and_measured_as_titiler_does(ask):
    answer = ask.get(TILE.format(18, 2**17, 2**17), params={"url": "photo.jpg"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    described = ask.get(
        "/cog/WebMercatorQuad/tilejson.json", params={"url": "deep/ground.tif"}
    ).json()
    assert described["tiles"][0].startswith(str(ask.base_url)) and described[
        "bounds"
    ] == pytest.approx([9, 50.53, 9.03, 50.55], abs=0.02)
    wmts = ask.get("/cog/WMTSCapabilities.xml", params={"url": "deep/ground.tif"})
    assert "WebMercatorQuad" in wmts.text and "<Capabilities" in wmts.text
    point = ask.get("/cog/point/9.01,50.54", params={"url": "deep/ground.tif"}).json()
    value = ask.get("/values", params={"lon": 9.01, "lat": 50.54, "url": "deep/ground.tif"}).json()[
        "deep/ground.tif"
    ]
    assert point["values"] == [value["code"]]
    counts = ask.get(
        "/cog/statistics", params={"url": "deep/ground.tif", "categorical": True}
    ).json()["b1"]
    assert counts["max"] == 7


def test_a_scene_has_a_map_with_what_belongs_to_it(ask):
    found = ask.get("/scene", params={"map": "deep/ground.tif"}).json()
    assert [(row["name"], row["kind"]) for row in found["layers"]] == [
        ("deep/ground.tif", "map"),
        ("deep/ground_confidence.tif", "confidence"),
    ]
    found = ask.get("/scene").json()
    assert [row["kind"] for row in found["layers"]] == ["image", "map"] and found["pixel"] > 0
    mixed = ask.get("/scene", params={"map": "photo-map.tif", "with": "deep/ground.tif"})
    assert mixed.status_code == 400
    assert mixed.json()["detail"].startswith("photo-map.tif: ") and "CRS" in mixed.json()["detail"]


def test_the_page_is_whole_and_small(ask):
    page = ask.get("/")
    assert (
        "script-src 'self'" in page.headers["content-security-policy"]
        and "<title>Swath" in page.text
    )
    for name in (
        "viewer.js",
        "maps.js",
        "panel.js",
        "link.js",
        "viewer.css",
        "maplibre/maplibre-gl.mjs",
        "maplibre/LICENSE.txt",
    ):
        answer = ask.get(f"/static/{name}")
        assert answer.status_code == 200 and answer.headers["content-encoding"] == "gzip"
        assert (
            ask.get(
                f"/static/{name}", headers={"if-none-match": answer.headers["etag"]}
            ).status_code
            == 304
        )
    assert "http" not in page.text.split("<body>")[0]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "deep/../../secret.png",
        "..\\secret.png",
        "/etc/passwd",
        "way-out.png",
        "outside/secret.png",
        ".hidden/x.png",
        "deep/./ground.tif",
        "deep//ground.tif",
        "notes.txt",
        "virtual.tif",
        "",
        ".",
        "deep",
        "x\0.png",
        "/vsicurl/http://127.0.0.1/x.tif",
        "http://127.0.0.1/x.tif",
        "file:///etc/passwd",
        "GTIFF_DIR:1:photo-map.tif",
        "<VRTDataset></VRTDataset>",
        "vrt://photo-map.tif",
        "zip://x.zip!y.tif",
        "a" * 900,
        "a/" * 400,
        "ground.tif/..",
        "é\udcff",
    ],
)
def test_no_name_reaches_anything_else(ask, folder, name):
    quoted = quote(name.encode("utf-8", "surrogateescape"), safe="")
    for path in (
        TILE.format(0, 0, 0),
        "/scene",
        "/values",
        "/shares",
        "/cog/info",
        "/differ/0/0/0",
        "/predict",
    ):
        query = {
            "/scene": f"map={quoted}",
            "/values": f"lon=0&lat=0&url={quoted}",
            "/shares": f"url={quoted}&bbox=0,0,1,1",
            "/differ/0/0/0": f"one={quoted}&other={quoted}",
            "/predict": f"model={quoted}&image={quoted}",
        }.get(path, f"url={quoted}")
        answer = ask.request("POST" if path == "/predict" else "GET", f"{path}?{query}")
        assert answer.status_code in (400, 404, 422), (path, answer.text)
        assert str(folder) not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "/etc/passwd",
        "maplibre",
        "maplibre/../index.html",
    ],
)
def test_static_files_are_a_table(server, path):
    answer = raw(
        server,
        f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(),
    )
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (TILE.format(99, 0, 0), 404),
        (TILE.format(3, 8, 0), 404),
        (TILE.format(3, -1, 0), 404),
        (TILE.format(0, 0, "1e3"), 422),
        (TILE.format(10**30, 10**30, 10**30), 404),
        (TILE.format("nan", 0, 0), 422),
        (TILE.format(3, 0, 0) + "?tilesize=100000", 422),
        (TILE.format(3, 0, 0) + "?tilesize=nan", 422),
        (TILE.format(3, 0, 0) + "?bidx=9", 400),
        (TILE.format(3, 0, 0) + "?bidx=-1", 400),
        ("/cog/tiles/Elsewhere/0/0/0", 422),
        (TILE.format(0, 0, 0) + ".exe", 422),
        ("/cog/point/nan,inf", 400),
        ("/cog/point/1e308,0", 400),
        ("/cog/statistics?histogram_bins=1e9", 422),
        ("/cog/statistics?max_size=1000000000", 422),
        ("/differ/99/0/0?one=x&other=x", 404),
        ("/values?lon=nan&lat=0", 422),
        ("/values?lon=0&lat=inf", 422),
        ("/shares?bbox=0,0,nan,1", 400),
        ("/shares?bbox=1,2,3", 400),
        ("/shares?bbox=inf,-inf,inf,inf", 400),
        ("/nothing", 404),
        ("/cog/bbox/0,0,1,1.png", 404),
        ("/jobs/../../etc", 404),
    ],
)
def test_what_cannot_be_meant_is_refused(ask, path, status):
    url = f"{path}{'&' if '?' in path else '?'}url=photo-map.tif"
    assert ask.get(url).status_code == status


def test_only_this_machines_own_names_are_answered(ask):
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "",
        "evil.example:80",
        "[::1",
    ):
        assert ask.get("/files", headers={"host": host}).status_code in (400, 421)
    for host in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert ask.get("/files", headers={"host": host}).status_code == 200


def test_foreign_pages_start_nothing_and_read_nothing(ask):
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert ask.post("/predict?model=x", headers=headers).status_code == 403
        assert ask.delete("/jobs/x", headers=headers).status_code == 403
    assert (
        "access-control-allow-origin"
        not in ask.get("/files", headers={"origin": "https://evil.example"}).headers
    )


def test_a_token_is_asked_for(folder, monkeypatch):
    monkeypatch.setenv("SWATH_TOKEN", TOKEN)
    running = swath.serve([folder], port=0, allow_origin="https://maps.example")
    try:
        with httpx2.Client(base_url=running.url, timeout=20) as client:
            assert running.token == TOKEN and client.get("/health").status_code == 200
            for path in (
                "/",
                "/files",
                "/metrics",
                "/openapi.json",
                "/static/viewer.js",
                TILE.format(0, 0, 0) + "?url=photo-map.tif",
            ):
                assert client.get(path).status_code == 401
            for wrong in (TOKEN[:-1], TOKEN + "x", "", TOKEN.upper(), "é"):
                assert client.get("/files", params={"token": wrong}).status_code == 401
            assert (
                client.get("/files", headers={"authorization": f"Bearer {TOKEN}"}).status_code
                == 200
            )
            assert (
                client.get(
                    "/files", params={"token": TOKEN}, headers={"host": "any.example"}
                ).status_code
                == 200
            )
            first = client.get("/", params={"token": TOKEN, "map": "x"})
            assert (first.status_code, first.headers["location"]) == (303, "/?map=x")
            assert (
                "HttpOnly" in first.headers["set-cookie"]
                and client.get("/files").status_code == 200
            )
            assert client.get(
                "/files", headers={"cookie": "swath-token=wrong"}, params={}
            ).status_code in (200, 401)
            shared = client.get("/files", headers={"origin": "https://maps.example"})
            assert shared.headers["access-control-allow-origin"] == "https://maps.example"
            wmts = client.get(
                "/cog/WMTSCapabilities.xml", params={"url": "deep/ground.tif", "token": TOKEN}
            )
            assert f"token={TOKEN}" in wmts.text
    finally:
        running.close()


def test_where_a_token_is_made(monkeypatch):
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and is_loopback("::1")
    assert (
        not is_loopback("0.0.0.0")
        and not is_loopback("::")
        and not is_loopback("no.such.host.invalid")
    )
    monkeypatch.setenv("SWATH_TOKEN", "short")
    with fails("token-too-short", DataError) as caught:
        swath.serve(["."], port=0)
    assert "SWATH_TOKEN" in caught.value.message


def test_a_served_port_is_not_taken_twice(server, folder):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    with fails("port-unavailable", JobError) as caught:
        swath.serve([folder], port=port)
    assert str(port) in caught.value.message
    with fails("no-such-file", DataError, folder / "absent"):
        swath.serve([folder / "absent"], port=0)


def test_uploads_are_bounded_and_looked_at(ask, tiny_model, folder):
    (folder / "m.swath").write_bytes(tiny_model.read_bytes())

    def post(content):
        return ask.post("/predict", params={"model": "m.swath"}, content=content)

    assert post(b"x" * 1_000_001).status_code == 413
    assert post(iter([b"x" * 600_000] * 3)).status_code == 413
    for content in (
        b"",
        b"not an image",
        b"<VRTDataset/>",
        b"II*\0" + b"\0" * 20,
        b"\x89PNG\r\n\x1a\nbroken",
    ):
        answer = post(content)
        assert answer.status_code == 400 and "Traceback" not in answer.text
    assert ask.post("/predict", params={"model": "photo.jpg"}, content=b"x").status_code == 404
    assert ask.get("/jobs").json() == []


def test_an_image_becomes_a_map(ask, folder, tiny_model, tmp_path):
    (folder / "m.swath").write_bytes(tiny_model.read_bytes())
    upload = write_raster(tmp_path / "i.tif", noise(3, 120, 90), UTM, NORTH_UP)
    jobs = [
        ask.post(
            "/predict", params={"model": "m.swath", "name": "mine.tif"}, content=upload.read_bytes()
        ).json(),
        ask.post(
            "/predict", params={"model": "m.swath"}, content=truncate(upload).read_bytes()
        ).json(),
    ]
    done, failed = (finished(ask, job["id"]) for job in jobs)
    assert (done["state"], done["progress"], done["name"]) == ("done", 1, "mine.tif")
    assert failed["state"] == "failed" and failed["map"] is None and "damaged" in failed["error"]
    assert str(folder.parent) not in json.dumps(failed)
    scene = ask.get("/scene", params={"map": done["map"]}).json()
    assert [row["kind"] for row in scene["layers"]] == ["image", "map"]
    assert [job["id"] for job in ask.get("/jobs").json()] == [failed["id"], done["id"]]
    assert 'swath_jobs{state="done"} 1.0' in ask.get("/metrics").text
    for job in jobs:
        assert (
            ask.delete(job["href"]).status_code == 204 and ask.get(job["href"]).status_code == 404
        )
    assert ask.get("/scene", params={"map": done["map"]}).status_code == 404


def finished(ask, job):
    for _ in range(600):
        found = ask.get(f"/jobs/{job}").json()
        if found["state"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_without_a_folder_for_them_there_are_no_predictions(folder):
    running = swath.serve([folder / "photo.jpg"], port=0)
    try:
        answer = httpx2.post(f"{running.url}predict?model=m.swath", content=b"x")
        assert answer.status_code == 403 and "--jobs" in answer.json()["detail"]
        assert running.files == 1
    finally:
        running.close()


def test_slow_clients_are_let_go(server, monkeypatch):
    from swath.server import uvicorn_server
    from swath.server.predictions import uploads

    monkeypatch.setattr(uvicorn_server, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(uvicorn_server, "LINGER_SECONDS", 0.4)
    monkeypatch.setattr(uploads, "CHUNK_SECONDS", 0.4)
    begun = time.monotonic()
    assert raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow:") == b""
    assert raw(server, b"") == b""
    head = (
        b"POST /predict?model=no.swath HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    )
    assert raw(server, head + b"abc").startswith(b"HTTP/1.1 408")
    assert raw(
        server, b"GET /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
    ).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - begun < 9  # less than the shortest of them unchanged


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /files HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
        b"Connection: close\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(server, ask, content):
    answer = raw(server, content, seconds=0.7)
    assert answer == b"" or answer.split(b" ")[1] in (
        b"400",
        b"404",
        b"408",
        b"421",
        b"422",
        b"431",
    )


def test_near_names_of_a_lost_file_stay_on_the_machine(tmp_path):
    (tmp_path / "secret.tif").touch()
    app, lost = FastAPI(), tmp_path / "secrets.tif"
    _add_errors(app)
    error = DataError("Gone", code="no-such-file", file=lost, fix=check_path(lost))
    assert str(tmp_path / "secret.tif") in str(error)
    body = app.exception_handlers[SwathError](None, error).body.decode()
    assert "secrets.tif" in body and "secret.tif" not in body and str(tmp_path) not in body
