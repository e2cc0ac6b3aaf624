"""A real browser for pages that people look at: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

#: What a page has to look well at.
VIEWPORT = {"width": 1280, "height": 800}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium` brings one")
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container has not; what is opened is the project's own.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which an error of a script fails the test."""
    opened = browser.new_page(viewport=VIEWPORT)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors, f"scripts of the page failed: {errors}"


@pytest.fixture
def screenshots(request: pytest.FixtureRequest) -> Path:
    """Where a test keeps what it saw, to be looked at: ``runs/screenshots/<test file>/``."""
    folder = request.config.rootpath / "runs" / "screenshots" / request.path.stem
    folder.mkdir(parents=True, exist_ok=True)
    return folder
