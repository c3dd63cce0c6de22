"""Take the pictures of labeling anew: docs/pictures/label-*.webp, and the capture label.webp.

Usage: python -m benchmarks.label_pictures DUBAI, where DUBAI is the folder of the Dubai images. The
polygons lie where the reference has their classes.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.usage import arguments
from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright
from tests.server.conftest import ARGUMENTS, CHROMIUM
from tests.server.labeling.page_user import DUBAI, PageUser, Served, class_indices, squares

from swath.geo.geobox import GeoBox

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TILE, NAME = "Tile 4", "image_part_001"
SIZE = (1180, 760)
WIDTH = 900
"""Width of the capture in pixels."""

ORDER = ("vegetation", "water", "building", "land", "road")
"""Classes in the order of the colors that the page proposes: green, blue, ..."""

SIDE, EACH = 34, 4
"""Side of a polygon in pixels of the image, and polygons a class."""

ARROW = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
"""The pointer, which a screenshot has not."""


class Camera:
    """Takes pictures of a page, and frames of a capture."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def picture(self, name: str) -> None:
        """Save what is seen."""
        seen = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        seen.save(PICTURES / f"label-{name}.webp", quality=80, method=6)

    def frame(self, milliseconds: int, at: tuple[float, float] | None = None) -> None:
        """Add what is seen to the capture, with the pointer at a place."""
        seen = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        if at is not None:
            corners = [(x + at[0], y + at[1]) for x, y in ARROW]
            ImageDraw.Draw(seen).polygon(corners, fill="black", outline="white")
        height = round(WIDTH * seen.height / seen.width)
        self.frames.append(seen.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self.milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """Save the capture."""
        first, *rest = self.frames
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=self.milliseconds,
            loop=0,
            quality=55,
            method=6,
        )


SHORTEN = """(folder) => {
  const code = document.querySelector("#done-commands code");
  code.textContent = code.textContent.replaceAll(`${folder}/`, "").replaceAll(folder, ".");
}"""
"""Leaves the folder of the files out of the commands, as if one had begun in it."""


def walk(user: PageUser, camera: Camera, dubai: Path, folder: Path) -> None:
    """Go the way from no labels to the files in a folder."""
    page = user.page
    reference = class_indices(dubai / TILE / "masks" / f"{NAME}.png")
    rng = np.random.default_rng(4)
    corners = {
        name: squares(reference == list(DUBAI).index(name), EACH, SIDE, rng) for name in ORDER
    }
    user.whole_view()
    page.wait_for_timeout(1500)
    camera.frame(1200)
    camera.picture("start")
    page.locator("#auto").uncheck()
    count = 0
    for name in ORDER:
        if page.locator("#class-form").is_hidden():
            page.locator("#class-add").click()
        page.locator("#class-form [name=name]").fill(name)
        camera.frame(500)
        user.add_class(name)
        for number, one in enumerate(corners[name]):
            page.keyboard.press("g")
            for x, y in user.screen(one).tolist():
                page.mouse.click(x, y)
                if name == ORDER[0] and not number:
                    camera.frame(250, (x, y))
            if name == "building" and number == 2:
                page.wait_for_timeout(300)
                camera.picture("draw")
            page.keyboard.press("Enter")
            count += 1
            user.saved(count)
        camera.frame(500, (x, y))
    button = page.locator("#train").bounding_box()
    at = (button["x"] + 30, button["y"] + 20)
    camera.frame(500, at)
    page.locator("#train").click()
    page.wait_for_timeout(400)
    camera.frame(700, at)
    user.trained()
    page.mouse.move(20, SIZE[1] - 5)
    page.locator("#places li").first.wait_for()
    page.wait_for_timeout(2500)
    camera.frame(2500)
    camera.picture("map")
    page.keyboard.press("n")
    page.wait_for_timeout(3000)
    camera.frame(1800)
    camera.picture("next")
    page.locator("#places .edit").first.click()
    page.wait_for_timeout(2500)
    camera.frame(1500)
    user.whole_view()
    page.keyboard.press("k")
    user.trained()
    page.wait_for_timeout(2500)
    camera.frame(2000)
    page.locator("[data-act=finish]:enabled").click()
    page.locator("#done[open]").wait_for(timeout=400_000)
    page.evaluate(SHORTEN, str(folder))
    page.wait_for_timeout(1000)
    camera.frame(3000)
    camera.picture("finish")


def main(dubai: str) -> None:
    """Serve an image without labels, and take the pictures."""
    source = Path(dubai).resolve()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        work = Path(folder).resolve()
        os.environ["XDG_CACHE_HOME"] = str(work / "cache")
        scene = work / "dubai.jpg"
        shutil.copyfile(source / TILE / "images" / f"{NAME}.jpg", scene)
        server = Served(scene, work / "dubai.gpkg")
        try:
            browser = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.goto(server.url)
            page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
            height, width = class_indices(source / TILE / "masks" / f"{NAME}.png").shape
            camera = Camera(page)
            walk(PageUser(page, GeoBox(width, height)), camera, source, work)
            camera.save(PICTURES / "label.webp")
            browser.close()
        finally:
            server.kill()


if __name__ == "__main__":
    main(*arguments(__doc__, 1, 1))
