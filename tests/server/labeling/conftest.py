"""Scenes that are labeled over a real socket."""

import time

import httpx2
import numpy as np
import pytest

import swath
from swath.commands import label as label_command
from swath.server.web_mercator import PIXEL_SIZE, Placement, to_lonlat
from tests.make import NORTH_UP, UTM, write_raster

HALVES = ("dark", "light")


def halves(bands=3, height=160, width=200, dtype=np.uint8, low=60, high=180):
    """Return an image whose left half is dark and whose right half is light, with noise."""
    rng = np.random.default_rng(3)
    image = np.full((bands, height, width), low, np.float64)
    image[:, :, width // 2 :] = high
    return (image + rng.normal(0, (high - low) / 20, image.shape)).astype(dtype)


class Page:
    """What the page does, over HTTP."""

    def __init__(self, running, grid):
        self.running, self.grid = running, grid
        self.client = httpx2.Client(base_url=running.url, timeout=30)
        self.placement = Placement(grid)

        self.closed = False

    def close(self):
        """End the server, which must be alive until then."""
        if not self.closed:
            self.closed = True
            assert self.client.get("/health").json() == {"status": "ok"}
            self.client.close()
            self.running.close()

    def at(self, col, row):
        """Return degrees of the page of a point in columns and rows."""
        if self.placement.in_pixels:
            return list(to_lonlat(col * PIXEL_SIZE, -row * PIXEL_SIZE))
        x, y = self.placement.mercator(np.array([float(col)]), np.array([float(row)]))
        return list(to_lonlat(float(x[0]), float(y[0])))

    def box(self, col, row, wide=12, high=12):
        corners = ((0, 0), (wide, 0), (wide, high), (0, high), (0, 0))
        ring = [self.at(col + x, row + y) for x, y in corners]
        return {"type": "Polygon", "coordinates": [ring]}

    def get(self, path, **query):
        return self.client.get(f"/label/{path}", params=query)

    def post(self, path, _method="POST", **body):
        return self.client.request(_method, f"/label/{path}", json=body)

    def add(self, geometry, name, **body):
        return self.post("features", features=[{"geometry": geometry, "class": name}], **body)

    def add_halves(self, count=4):
        """Add two classes, and labels of both."""
        for name in HALVES:
            assert self.post("classes", name=name).status_code == 201
        middle = self.grid.width // 2
        for i in range(count):
            for name, col in zip(HALVES, (4, middle + 20), strict=True):
                assert self.add(self.box(col + 14 * (i % 2), 8 + 30 * i), name).status_code == 201

    @property
    def view(self):
        return self.client.get("/scene").json()["bounds"]

    def train(self, view=None):
        """Train, and wait until the map is whole; return the status."""
        answer = self.post("train", view=view or self.view)
        assert answer.status_code == 202, answer.text
        return self.until(lambda status: not status["busy"])

    def until(self, ready, seconds=60):
        for _ in range(20 * seconds):
            status = self.get("status").json()
            if ready(status):
                return status
            time.sleep(0.05)
        raise AssertionError(status)

    def state(self):
        """Return what a request must not change, to compare."""
        answer = self.get("features").json()
        return answer["features"], self.get("state").json()["classes"]


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Keep the cache of features in the folder of the test, and classify by colors."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(label_command, "TORCH", ("a_package_that_is_not_there",))


@pytest.fixture
def open_page(tmp_path, cached):
    """Open pages on scenes, and close them at the end."""
    pages = []

    def opening(image, crs=UTM, transform=NORTH_UP, name="scene.tif", **options):
        scene = write_raster(tmp_path / name, image, crs, transform)
        running = swath.label(scene, tmp_path / "l.gpkg", open=False, **options)
        page = Page(running, running._session.layer.grid)
        pages.append(page)
        return page

    yield opening
    for page in pages:
        page.close()


@pytest.fixture
def page(open_page):
    """A scene without CRS, with two classes and labels of both."""
    page = open_page(halves(), None, None)
    page.add_halves()
    return page
