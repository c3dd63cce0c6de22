"""Measure labeling in the browser: how soon the map follows a stroke, panning, and memory.

Usage: python -m benchmarks.label DUBAI [REPORT], where DUBAI is the folder of the Dubai images. It
takes less than five minutes on an idle machine, and writes REPORT, by default
benchmarks/reports/label.md. All is measured in Debian's Chromium with software GL (SwiftShader), so
that browser and server share the processor.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
from benchmarks.usage import arguments
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from tests.server.conftest import ARGUMENTS, CHROMIUM
from tests.server.labeling.page_user import (
    DUBAI,
    SCREEN,
    PageUser,
    Served,
    class_indices,
    squares,
)

from swath.geo.geobox import GeoBox
from swath.server.web_mercator import to_lonlat

REPORT = Path(__file__).parent / "reports" / "label.md"
TILE, NAME = "Tile 7", "image_part_001"
STROKES = 10
"""Polygons after the first training."""

SIDE = 24
"""Side of a polygon in pixels of the scene."""

HUGE = 40_000
"""Side of the virtual scene in pixels."""

WATCH = Path(__file__).with_name("label_watch.js").read_text(encoding="utf-8")

TEXT = """# Labeling in the browser

Made by `python -m benchmarks.label DUBAI`, in Chromium with software GL (SwiftShader) on the
machine of the server: {cores} cores of {cpu}; load before the run {load:.1f} ({state}). The view
has {view} pixels, each of one pixel of the image (Dubai, {image}). The cache of features is
empty at the start. A map counts when the last tile of the view that the new training made has
arrived; loading the page is excluded.

| | asked | measured |
|---|---|---|
| first map, from the last point of the second class's first polygon | < 15 s | {first:.1f} s |
| later maps, from the last point of a polygon: median of {count} | < 5 s | {median:.1f} s |
| the slowest of these | | {slowest:.1f} s |
| frames a second while the map is dragged during a training, worst of three | > 20 | {frames:.0f} |
| peak memory of the server; virtual scene of {huge}, three places | <= 2000 MB | {peak} MB |
"""


def tell(text: str) -> None:
    """Write what was measured so far."""
    sys.stderr.write(f"{text}\n")


def memory_of(process: int) -> int:
    """Return the peak resident memory of a process in MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1000
    return 0


@contextmanager
def opened(browser: Any, server: Served, size: tuple[int, int], at: str = "") -> Iterator[PageUser]:
    """Open the page of a server."""
    context = browser.new_context(viewport={"width": SCREEN[0], "height": SCREEN[1]})
    page: Page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(server.url + at)
    page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
    yield PageUser(page, GeoBox(size[1], size[0]))
    context.close()


def place(grid: tuple[int, int], zoom: float) -> str:
    """Return the part of the address that shows a point of a scene without CRS."""
    user = PageUser(None, GeoBox(1, 1))
    x, y = user.placement.mercator(*np.array(grid, float).reshape(2, 1))
    lon, lat = to_lonlat(float(x[0]), float(y[0]))
    return f"#at={lon:.7f},{lat:.7f},{zoom}"


def stroke(user: PageUser, corners: NDArray[Any]) -> float:
    """Draw a polygon, and return the seconds from its last point to the new map."""
    page = user.page
    page.evaluate("() => watched.begin()")
    user.polygon([*corners, corners[0]], close=False)
    for _ in range(2400):
        found = page.evaluate("() => watched.seconds()")
        if found is not None:
            return float(found)
        page.wait_for_timeout(50)
    raise SystemExit("the map did not follow within two minutes")


def frames_while_it_works(user: PageUser) -> float:
    """Train, and return the frames a second while the map is dragged meanwhile."""
    page = user.page
    page.keyboard.press("h")
    page.keyboard.press("k")
    page.mouse.move(900, 500)
    page.mouse.down()
    page.evaluate("() => watched.count()")
    end, number = time.monotonic() + 4, 0
    while time.monotonic() < end:
        number += 1
        page.mouse.move(900 + 150 * np.sin(number / 12), 500 + 100 * np.cos(number / 12))
    page.mouse.up()
    times = page.evaluate("() => watched.counted()")
    return (len(times) - 1) / (times[-1] - times[0]) * 1000


def responsiveness(browser: Any, dubai: Path, work: Path) -> dict[str, Any]:
    """Measure strokes and panning on one image, in a view of its own pixels."""
    scene = dubai / TILE / "images" / f"{NAME}.jpg"
    reference = class_indices(dubai / TILE / "masks" / f"{NAME}.png")
    height, width = reference.shape
    top, left = height // 2 - 300, width // 2 - 300
    part = reference[top : top + 600, left : left + 850]  # what no panel covers
    rng = np.random.default_rng(0)
    corners = {
        name: squares(part == index, 3, SIDE, rng) + (left, top)
        for index, name in enumerate(DUBAI)
        if (part == index).sum() > 20 * SIDE**2
    }
    server = Served(scene, work / "dubai.gpkg")
    try:
        with opened(browser, server, reference.shape, place((left + 300, top + 300), 17)) as user:
            user.page.wait_for_timeout(5000)  # page load is excluded; a person picks a class
            names = list(corners)
            user.add_class(names[0])
            user.polygon(corners[names[0]][0])
            user.saved(1)
            user.add_class(names[1])
            first = stroke(user, corners[names[1]][0])
            tell(f"first map {first:.1f} s")
            for name in names[2:]:
                user.add_class(name)
            rest = [(name, i) for i in range(3) for name in names if i or name not in names[:2]]
            later = []
            for name, i in rest[:STROKES]:
                user.trained()
                user.choose(name)
                later.append(stroke(user, corners[name][i]))
                tell(f"map {len(later) + 1} {later[-1]:.1f} s")
            frames = [frames_while_it_works(user) for _ in range(3)]
            tell(f"frames a second {frames}")
        return {"first": first, "later": later, "frames": frames}
    finally:
        server.kill()


def virtual_scene(image: Path, path: Path) -> None:
    """Write a virtual raster of `HUGE` pixels a side that repeats an image."""
    with rasterio.open(image) as file:
        height, width = file.shape
    bands = []
    for band in (1, 2, 3):
        parts = [
            f"<SimpleSource><SourceFilename>{image}</SourceFilename><SourceBand>{band}</SourceBand>"
            f'<DstRect xOff="{col}" yOff="{row}" xSize="{width}" ySize="{height}"/></SimpleSource>'
            for row in range(0, HUGE, height)
            for col in range(0, HUGE, width)
        ]
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">{"".join(parts)}</VRTRasterBand>'
        )
    size = f'rasterXSize="{HUGE}" rasterYSize="{HUGE}"'
    path.write_text(f"<VRTDataset {size}>{''.join(bands)}</VRTDataset>")


def memory(browser: Any, dubai: Path, work: Path) -> int:
    """Return the peak memory in MB of a server whose huge scene is labeled in three places."""
    scene = work / "huge.vrt"
    virtual_scene(dubai / TILE / "images" / f"{NAME}.jpg", scene)
    server = Served(scene, work / "huge.gpkg")
    box = np.array([[-80, -40], [-40, -40], [-40, 0], [-80, 0]])
    try:
        for number, col in enumerate((5000, 20_000, 35_000)):
            with opened(browser, server, (HUGE, HUGE), place((col, 20_000), 17)) as user:
                if not number:
                    for name in ("one", "two"):
                        user.add_class(name)
                for index, name in enumerate(("one", "two")):
                    user.choose(name)
                    user.polygon(box + (col + 100 * index, 20_000))
                    user.saved(2 * number + index + 1)
                wait_for_view(user, number + 1)
                tell(f"place {number + 1}: {memory_of(server.process.pid)} MB")
        return memory_of(server.process.pid)
    finally:
        server.kill()


def wait_for_view(user: PageUser, least: int) -> None:
    """Wait until a training has mapped the view."""
    for _ in range(600):
        status = user.status()
        view = status["map"]["view"]
        if status["round"] >= least and not status["stale"] and view["done"] == view["total"]:
            return
        user.page.wait_for_timeout(200)
    raise SystemExit("the view was not mapped within two minutes")


def report(found: dict[str, Any], peak: int, load: float) -> str:
    """Return the report."""
    cores = os.cpu_count() or 1
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return TEXT.format(
        cores=cores,
        cpu=names[0] if names else platform.processor(),
        load=load,
        state="idle" if load < 0.5 * cores else "busy: other programs ran",
        view=" x ".join(map(str, SCREEN)),
        image=f"{TILE}, {NAME}",
        first=found["first"],
        count=len(found["later"]),
        median=median(found["later"]),
        slowest=max(found["later"]),
        frames=min(found["frames"]),
        huge=f"{HUGE} x {HUGE}",
        peak=peak,
    )


def main(dubai: str, path: str | None = None) -> None:
    """Measure, and write the report."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        work = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(work / "cache")
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        found = responsiveness(browser, Path(dubai).resolve(), work)
        peak = memory(browser, Path(dubai).resolve(), work)
        browser.close()
    text = report(found, peak, load)
    (Path(path) if path else REPORT).write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(*arguments(__doc__, 1, 2))
