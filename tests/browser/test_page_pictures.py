"""Pictures of a study's pages, taken by a real browser as `make pictures` takes them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]

from synthetic_study import make_reports, write_study  # noqa: E402

from scripts.pictures_lib import screenshots  # noqa: E402
from scripts.pictures_lib.screenshots import Shot, report_page, terminal_page  # noqa: E402


def test_pages_are_taken_by_the_table(tmp_path: Path, browser: Browser) -> None:
    study = write_study(tmp_path / "runs" / "synthetic", make_reports(6), images=True)
    before = (study / "study.yaml").read_bytes()
    shots = (
        Shot("terminal_window.png", terminal_page),
        Shot("members.png", report_page, 'h2:text-is("Members of the front")'),
        Shot("terminal.png", terminal_page, "svg"),
        Shot("nothing.png", terminal_page, 'h2:text-is("No such section")'),
    )
    page = screenshots.new_page(browser)
    taken = screenshots.take(page, study, tmp_path, shots)
    page.close()
    assert [path.name for path in taken] == ["terminal_window.png", "members.png", "terminal.png"]
    sizes = {path.name: Image.open(path).size for path in taken}
    width, height = (screenshots.WINDOW[name] * screenshots.SCALE for name in ("width", "height"))
    assert sizes["terminal_window.png"] == (width, height)
    assert sizes["members.png"][0] <= width
    assert 100 < sizes["members.png"][1] < 2 * height
    for path in taken:
        assert len(Image.open(path).convert("RGB").getcolors(10**7) or []) > 20, "something is drawn"
    assert not (study / "report.html").exists()
    assert (study / "study.yaml").read_bytes() == before
