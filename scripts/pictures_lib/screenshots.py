"""Pictures of pages in a browser, by a table: what file, how the page is made, what of it is shown."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.load import load_study
from analysis.report import write_report
from scripts.pictures_lib.terminal import terminal_svg

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

#: CSS pixels of the window, each two in the picture, so that it is sharp where it is shown small.
WINDOW: Final[ViewportSize] = {"width": 1100, "height": 780}
SCALE: Final = 2
#: Milliseconds that a page has to draw itself.
PATIENCE: Final = 60_000
#: Where a heading's section lies: from the heading to the next one of the same kind.
_SECTION: Final = """
heading => {
    let next = heading.nextElementSibling, bottom = heading.getBoundingClientRect().bottom;
    while (next && next.tagName !== heading.tagName) {
        bottom = Math.max(bottom, next.getBoundingClientRect().bottom);
        next = next.nextElementSibling;
    }
    const box = heading.getBoundingClientRect();
    return {x: box.x - 8, y: box.y + window.scrollY - 8, width: box.width + 16, height: bottom - box.y + 16};
}
"""


class BrowserError(RuntimeError):
    """There is no browser to take pictures with; the message says how to get one."""


@dataclass(frozen=True)
class Shot:
    """One picture of a page.

    Attributes:
        name: of the file.
        make: makes the page, from the study's directory and a folder to write to; it may change that study, which is a
            copy. Of a page that a server shows, return its address.
        selector: CSS (and Playwright's `:text-is`) of what is shown: an element, or the heading of a section, which is
            shown to the next heading. None shows what a window holds.
    """

    name: str
    make: Callable[[Path, Path], Path | str]
    selector: str | None = None


def report_page(study: Path, folder: Path) -> Path:
    """``report.html`` as today's code writes it."""
    return write_report(study)


def terminal_page(study: Path, folder: Path) -> Path:
    """The terminal while the study ran, and when it was over."""
    page = folder / "terminal.html"
    page.write_text(f"<!doctype html><meta charset='utf-8'><body>{terminal_svg(load_study(study))}", encoding="utf-8")
    return page


#: What is drawn of a study. Add a line for another page, or for another section of the report.
SHOTS: Final[Sequence[Shot]] = (
    Shot("report.png", report_page),
    Shot("report_front.png", report_page, 'h2:text-is("Front")'),
    Shot("terminal.png", terminal_page, "svg"),
)


def take(page: Page, study: Path, folder: Path, shots: Sequence[Shot] = SHOTS) -> list[Path]:
    """Take the pictures of a study into a folder that exists; the study is left as it is.

    A shot whose element is not on its page, as a section that the study has nothing for, is left out.
    """
    taken = []
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / study.resolve().name
        unneeded = shutil.ignore_patterns("candidates", "checkpoints", "ray", "optuna.journal", "mlflow_*.jsonl")
        shutil.copytree(study, copy, ignore=unneeded, symlinks=True)
        for shot in shots:
            made = shot.make(copy, Path(place))
            page.goto(made if isinstance(made, str) else made.as_uri(), wait_until="load", timeout=PATIENCE)
            if _take(page, shot, folder / shot.name):
                taken.append(folder / shot.name)
    return taken


def _take(page: Page, shot: Shot, path: Path) -> bool:
    if shot.selector is None:
        page.screenshot(path=path)
        return True
    element = page.locator(shot.selector).first
    if not element.count():
        return False
    if element.evaluate("element => /^H[1-6]$/.test(element.tagName)"):
        page.screenshot(path=path, clip=element.evaluate(_SECTION), full_page=True)
    else:
        element.screenshot(path=path)
    return True


def new_page(browser: Browser) -> Page:
    """A window of the size and sharpness that all pictures have."""
    return browser.new_page(viewport=WINDOW, device_scale_factor=SCALE)


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of Debian's Chromium.

    Raises:
        BrowserError: Playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BrowserError("Playwright must be installed: pip install -r requirements-dev.txt") from None
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise BrowserError("Chromium must be installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container has not; what is opened is the project's own.
        browser: Any = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield new_page(browser)
        finally:
            browser.close()
