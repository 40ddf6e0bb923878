"""Pages in Chromium: a shared browser, and checks that every page must pass."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Commands of a Chromium that the system has; without them, the one that `playwright install chromium` gets."""
NARROW, WIDE = 390, 1280

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of this folder in one process, so that they share the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once for the tests of a file.

    Playwright keeps an event loop in this thread, in which other tests could not run theirs, so it ends with the file.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            # Chromium has no sandbox for root, as in a container.
            chromium = playwright.chromium.launch(
                executable_path=path, chromium_sandbox=os.geteuid() != 0, args=["--disable-background-networking"]
            )
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"Chromium does not start ({error.message.splitlines()[0]}): `playwright install chromium`")
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a file in a new window; afterwards, no window may have had an error or a request to another place."""
    problems: list[str] = []
    contexts = []

    def record_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"console {message.type}: {message.text}")

    def record_request(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            problems.append(f"request: {request.url}")

    def open_file(path: Path, *, width: int = WIDE, dark: bool = False, script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", record_message)
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("request", record_request)
        page.goto(path.absolute().as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def check_page(open_page: OpenPage) -> Callable[[Path], None]:
    """Check a page as every page must be: accessible in both themes, and no wider than a phone."""

    def check(path: Path) -> None:
        for dark in (False, True):
            page = open_page(path, dark=dark)
            assert violations(page) == []
        narrow = open_page(path, width=NARROW)
        assert overflow(narrow) == 0
        assert violations(narrow) == []

    return check


def violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds, each with its first element."""
    # axe is injected by the debugger, which the page's content security policy does not bind.
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in Axe().run(page).response["violations"]
    ]


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
