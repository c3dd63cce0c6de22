"""A person at the page of labeling, with mouse and keys, on a scene of known grid."""

import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import rasterio

from swath.server.web_mercator import HALF_EXTENT, Placement, to_mercator
from tests.server.screen import until

DUBAI = {
    "water": "E2A929",
    "land": "8429F6",
    "road": "6EC1E4",
    "building": "3C1098",
    "vegetation": "FEDD3A",
}
"""Classes of the masks, by color."""

SCREEN = (1400, 900)

WORLD = 512
"""Side of the world in pixels of the screen at zoom 0."""


SERVE = """
import os, sys
import swath
from swath.commands import label
if os.environ.get("COLORS"):
    label.TORCH = ("a_package_that_is_not_there",)
running = swath.label(sys.argv[1], sys.argv[2], open=False, port=int(sys.argv[3]))
print("ready", flush=True)
running.wait()
"""


class Served:
    """`swath label` in a process that can be killed, always at one address."""

    def __init__(self, scene, labels):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.arguments = [str(scene), str(labels), str(self.port)]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        command = [sys.executable, "-c", SERVE, *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


class PageUser:
    """Draws where pixels of the scene are.

    Args:
        page: the page of Playwright, which is ready.
        grid: grid of the scene.
    """

    def __init__(self, page, grid):
        self.page, self.placement = page, Placement(grid)

    def screen(self, points):
        """Return where on the screen points (n, 2) in columns and rows are."""
        lon, lat, zoom = self.view()
        size = self.page.viewport_size
        there = self.placement.mercator(*np.asarray(points, float).T)
        here = to_mercator(lon, lat)
        scale = WORLD * 2**zoom / (2 * HALF_EXTENT)
        x = (there[0] - here[0]) * scale + size["width"] / 2
        y = (here[1] - there[1]) * scale + size["height"] / 2
        return np.column_stack([x, y])

    def view(self):
        """Return longitude, latitude and zoom of the view, as soon as it stands still."""
        before = None
        while before != (now := self.page.evaluate("() => location.hash")):
            before = now
            self.page.wait_for_timeout(150)
        return [float(v) for v in re.search(r"at=([^&]+)", now)[1].replace("%2C", ",").split(",")]

    def whole_view(self):
        """Show all of the scene."""
        self.page.locator("[data-do=fit]").click()
        self.page.wait_for_timeout(400)

    def add_class(self, name):
        """Add a class, and choose it."""
        if self.page.locator("#class-form").is_hidden():
            self.page.locator("#class-add").click()
        self.page.locator("#class-form [name=name]").fill(name)
        self.page.locator("#class-form [type=submit]").click()
        self.page.locator("#class-list .pick span").get_by_text(name, exact=True).wait_for()

    def choose(self, name):
        """Choose a class by its key."""
        names = self.page.locator("#class-list .pick span").all_inner_texts()
        self.page.keyboard.press(str(names.index(name) + 1))
        self.page.locator("#class-list .pick[aria-pressed=true]", has_text=name).wait_for()

    def polygon(self, points, close=True):
        """Draw a polygon with corners (n, 2) in columns and rows."""
        self.page.keyboard.press("g")
        for x, y in self.screen(points).tolist():
            self.page.mouse.click(x, y)
        if close:
            self.page.keyboard.press("Enter")

    def drag(self, start, stop):
        """Drag from one point in columns and rows to another."""
        (x, y), end = self.screen([start, stop]).tolist()
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=5)
        self.page.mouse.up()

    def saved(self, count, seconds=60.0):
        """Wait until so many labels are saved."""
        until(lambda: self.page.locator("#saved").inner_text() == f"{count} saved", seconds)

    def trained(self, seconds=240.0):
        """Wait until a training and the map after it are done; return the status."""
        until(lambda: not self.status()["busy"] and not self.status()["stale"], seconds)
        return self.status()

    def status(self):
        """Return what the server does."""
        return self.page.evaluate("async () => (await fetch('/label/status')).json()")


def squares(inside, count, side, rng):
    """Return corners (count, 4, 2) in columns and rows of squares apart from each other.

    Args:
        inside: where a class is, bool (rows, columns); squares lie in it as far as possible.
        count: number of squares.
        side: of a square in pixels.
        rng: chooses among the places.
    """
    total = np.pad(inside, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)
    share = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
    share = (share + total[:-side, :-side]) / side**2
    found = np.zeros((0, 2))
    for least in (1.0, 0.95, 0.9, 0.8, 0.6, 0.4):
        for place in rng.permutation(np.argwhere(share >= least)):
            if len(found) == count:
                break
            if not len(found) or np.abs(found - place).max(axis=1).min() > 1.5 * side:
                found = np.vstack([found, place])
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    return found[:, None, ::-1] + corners


def class_indices(mask):
    """Return class indices (rows, columns), in the order of `DUBAI`, of a mask; 255 for none."""
    with rasterio.open(mask) as file:
        colors = file.read()[:3]
        if len(colors) == 1:  # a palette
            table = file.colormap(1)
            known = [table.get(value, (0, 0, 0))[:3] for value in range(256)]
            colors = np.array(known, np.uint8)[colors[0]].transpose(2, 0, 1)
    out = np.full(colors.shape[1:], 255, np.uint8)
    for index, color in enumerate(DUBAI.values()):
        out[(colors == np.array(list(bytes.fromhex(color)))[:, None, None]).all(0)] = index
    return out
