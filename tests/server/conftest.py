"""A browser for the tests of the pages."""

import re
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader"
).split()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there; Debian's package chromium has it")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open pages; at the end there must be no error on them, and no request to another machine.

    `failing=True` is for pages whose requests fail on purpose. `leave()` closes the pages, before
    a server ends that they would ask.
    """
    contexts, wrong, asked = [], [], []

    def open_(url, size=(1000, 700), failing=False, **options):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if not failing:
            watch(page)
        page.goto(url)
        page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        return page

    def watch(page):
        page.on(
            "console",
            lambda m: (
                wrong.append(m.text)
                if m.type in ("error", "warning") and "GL Driver" not in m.text
                else None
            ),
        )
        page.on(
            "response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None
        )

    def leave():
        while contexts:
            context = contexts.pop()
            for page in context.pages:
                page.unroute_all(behavior="ignoreErrors")
            context.close()

    open_.leave = leave
    yield open_
    leave()
    assert wrong == []
    assert asked and all(re.match(r"(http://127\.0\.0\.1:|data:|blob:)", url) for url in asked)
