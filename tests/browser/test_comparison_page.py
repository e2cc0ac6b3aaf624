"""The comparison page as a reader meets it: drawn without a network, within the window, with legends that work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request
from reading import contrasts, overlaps, too_faint

sys.path.append(str(Path(__file__).parents[1] / "analysis"))
from several_studies import two_groups
from synthetic_study import write_study

from analysis.compare import write_comparison


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(two_groups(tmp_path_factory.mktemp("runs")))


def opened(page: Page, path: Path) -> list[str]:
    """Shows a page until its figures are drawn; what it asked for besides itself."""
    requested: list[str] = []

    def note(request: Request) -> None:
        requested.append(request.url)

    page.on("request", note)
    page.set_default_timeout(120_000)  # a busy machine takes its time to read plotly
    page.goto(path.as_uri())
    drawn = "[...document.querySelectorAll('.plotly-graph-div')].every(d => d.querySelector('.main-svg'))"
    page.wait_for_function(drawn)
    return [url for url in requested if url != path.as_uri() and not url.startswith(("data:", "blob:"))]


def test_everything_is_drawn_within_the_window_without_a_network(
    page: Page, comparison: Path, screenshots: Path
) -> None:
    assert opened(page, comparison) == []
    assert page.locator(".plotly-graph-div").count() == 4
    headings = page.locator("h2").all_inner_texts()
    assert headings == [
        "Studies", "Fronts", "Hypervolume by trial and by time", "Methods", "Attainment over seeds",
        "Settings that differ",
    ]  # fmt: skip
    fronts = page.locator(".plotly-graph-div").first
    for name in ("study", "tpe 1", "ehvi 3", "method", "siss", "models", "untouched", "retrained"):
        assert fronts.locator(".legend text", has_text=name).count() >= 1
    page.screenshot(path=screenshots / "first_screen.png")
    page.screenshot(path=screenshots / "whole.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = "[...document.querySelectorAll('.plotly-graph-div')].map(d => d.getBoundingClientRect().right)"
    assert max(page.evaluate(cut)) <= 1280
    assert len(contrasts(page)) > 100
    assert too_faint(page) == []
    assert overlaps(page) == []


def test_a_click_on_a_study_in_the_legend_hides_its_front(page: Page, comparison: Path) -> None:
    opened(page, comparison)
    shown = """() => document.querySelectorAll('.plotly-graph-div')[0].calcdata
        .filter(trace => trace[0].trace.visible === true && trace[0].trace.text).map(trace => trace[0].trace.name)"""
    names = [*(f"tpe {seed}" for seed in (1, 2, 3)), *(f"ehvi {seed}" for seed in (1, 2, 3))]
    assert page.evaluate(shown) == names
    legend = page.locator(".plotly-graph-div").first.locator(".legend .traces", has_text="tpe 2")
    legend.locator(".legendtoggle").click()
    page.wait_for_function(f"({shown})().length === 5")
    assert page.evaluate(shown) == [name for name in names if name != "tpe 2"]


def test_names_with_markup_are_text(page: Page, tmp_path: Path, screenshots: Path) -> None:
    odd = write_study(tmp_path / "<b onclick=alert(1)>x", name="odd")
    other = write_study(tmp_path / "日本 Übung", seed=4, model="other")
    assert opened(page, write_comparison([odd, other])) == []
    assert page.locator("h1").inner_text() == "Comparison of <b onclick=alert(1)>x, 日本 Übung"
    assert page.locator("b").count() == 0
    fronts = page.locator(".plotly-graph-div").first
    assert fronts.locator(".legend text", has_text="<b onclick=alert(1)>x").count() == 1
    assert "do not compare" in page.locator(".warning").first.inner_text()
    page.screenshot(path=screenshots / "gains.png", full_page=True)
