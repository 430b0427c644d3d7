"""A real browser: the chromium of this machine. Without one these tests are skipped and say how to get it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_world import TELEPHONE
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESK = {"width": 1280, "height": 900}
ZOOMED = {"width": 640, "height": 450}
"""What is left of a desk's window at 200 % zoom: half of its width, each point drawn by four."""
LOOKS = (("light", TELEPHONE), ("dark", TELEPHONE), ("light", ZOOMED), ("dark", ZOOMED))


def found_browser() -> str:
    """Return the program, or skip."""
    asked = os.environ.get("WINBACK_TEST_BROWSER")
    found = next((path for name in ([asked] if asked else NAMES) if (path := shutil.which(name))), None)
    if found is None:
        how = "install chromium (Debian: apt-get install chromium), or name a program with WINBACK_TEST_BROWSER"
        pytest.skip(f"NO BROWSER, so no page is tested in one: {how}")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a file of tests; it ends with it, because its loop is in the way of other tests'."""
    program = found_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def telephone(chromium: Browser) -> Iterator[BrowserContext]:
    """A telephone whose owner has switched JavaScript off."""
    with AtHome(chromium, viewport=TELEPHONE, java_script_enabled=False) as context:
        yield context


@pytest.fixture
def desk(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that draws every point by four, as at 200 % zoom."""
    with AtHome(chromium, viewport=DESK, device_scale_factor=2) as context:
        yield context


class AtHome:
    """A context of a browser in which every request has to stay on this machine."""

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(locale="en-GB", **options)
        self.context.set_default_timeout(20_000)
        self.asked: set[str | None] = set()
        self.context.on("request", lambda request: self.asked.add(urlsplit(request.url).hostname))

    def __enter__(self) -> BrowserContext:
        return self.context

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.asked <= {"127.0.0.1"}


class Eye:
    """Looks at a page in every light and size: axe finds nothing, and nothing has to be moved sideways to be read."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, page: Page, name: str) -> None:
        self.seen.append(name)
        before = page.viewport_size
        self._look(page, name)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(before)

    def _look(self, page: Page, name: str) -> None:
        for scheme, viewport in LOOKS:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(viewport)
            where = f"{name}, {scheme}, {viewport['width']} wide"
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 0, where
            result = Axe().run(page)
            assert result.violations_count == 0, f"{where}: {result.generate_report()}"


@pytest.fixture
def eye() -> Eye:
    return Eye()
