"""Take the README's picture: a screenshot of `swath view` with the swipe line.

Usage: python benchmarks/view_picture.py MAP.tif IMAGE TRUTH PICTURE.png
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from usage import arguments

import swath

ARGUMENTS = "--no-sandbox --disable-gpu --use-gl=angle --use-angle=swiftshader".split()
ARGUMENTS += ["--enable-unsafe-swiftshader"]


def main(map: str, image: str, truth: str, picture: str) -> None:
    """Open the page, part image and map, click a place, and save what is seen in 256 colors."""
    page_of = swath.view(map, image, reference=truth, open=False)
    names = Path(image).name, Path(map).name
    state = f"on=1~~{names[0]}&on=0.8~~{names[1]}&swipe={names[0]}&swipe={names[1]}&swipe=0.62"
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1180, "height": 790})
        page.goto(f"{page_of.url}#{state}")
        page.wait_for_selector("html[data-ready=yes]")
        page.mouse.click(822, 330)
        page.mouse.move(20, 785)
        page.wait_for_timeout(4000)
        page.screenshot(path=picture)
        browser.close()
    page_of.close()
    with Image.open(picture) as seen:
        seen.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main(*arguments(__doc__, 4, 4))
