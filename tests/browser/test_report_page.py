"""The report in a real browser: what it answers to the mouse and the keys, and whether it can be read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page
from reading import contrasts, overlaps, too_faint

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))

from synthetic_study import OBJECTIVES, RETRAINED, UNTOUCHED, make_reports, write_study

from analysis.front import hypervolume, pareto_front
from analysis.load import Study, load_study
from analysis.report import write_report
from analysis.scene import choose, front_members
from analysis.select import violations
from tuning.config import Constraint, Objective
from tuning.constraints import feasible_by

CONSTRAINTS = (Constraint("fid", "<=", 1.2, True), Constraint("fid", ">=", 10.0))
NUM_POINTED, ANSWER_MS = 20, 200


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = tmp_path_factory.mktemp("runs") / "日本 study"
    bounds = list(map(str, CONSTRAINTS))
    write_study(root, make_reports(30), images=True, log_forget_images=True, constraints=bounds, num_trials=30)
    write_report(root)
    return load_study(root)


@pytest.fixture(scope="module")
def opened(browser: Browser, study: Study) -> Iterator[tuple[Page, list[str]]]:
    """The page, opened once, and what went wrong on it or was asked of a network."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not is_own(request.url) else None)
    page.goto(study.files.report.as_uri(), timeout=120_000)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 8", timeout=120_000)
    yield page, wrong
    page.close()


def is_own(url: str) -> bool:
    return url.startswith(("data:", "blob:")) or url.endswith("report.html")


@pytest.fixture
def report(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page as it was opened: nothing pinned, no bound moved."""
    page, wrong = opened
    page.keyboard.press("Escape")
    for button in page.locator(".bound[data-moved] button").all():
        button.click()
    page.wait_for_function("!document.querySelector('.bound[data-moved]')")
    yield page
    assert not wrong


def place_of(page: Page, key: str, figure: str = "front-figure") -> dict[str, float]:
    """Where on the screen a point of a figure is, which is brought into sight."""
    page.locator(f"#{figure}").scroll_into_view_if_needed()
    found: dict[str, float] = page.evaluate(
        """([figure, key]) => {
          const gd = document.getElementById(figure);
          const keyOf = (entry) => (Array.isArray(entry) ? entry[0] : entry);
          for (const trace of gd._fullData) {
            const place = (trace.customdata || []).findIndex((entry) => keyOf(entry) === key);
            if (place < 0) continue;
            const box = gd.getBoundingClientRect(), {xaxis, yaxis} = gd._fullLayout;
            return {x: box.left + xaxis._offset + xaxis.d2p(trace.x[place]),
                    y: box.top + yaxis._offset + yaxis.d2p(trace.y[place])};
          }
        }""",
        [figure, key],
    )
    return found


def point_at(page: Page, key: str, figure: str = "front-figure") -> None:
    place = place_of(page, key, figure)
    page.mouse.move(place["x"] - 90, place["y"] - 60)
    page.mouse.move(place["x"], place["y"], steps=3)


def shown(page: Page) -> str:
    return str(page.locator("#panel").get_attribute("data-key"))


def lonely(study: Study) -> str:
    """A feasible report that no other mark lies near to, so that pointing at it is pointing at no other."""
    points = study.reports[["sscd", "nll"]].to_numpy() / (0.6, 1.3)
    members = study.front[["sscd", "nll"]].to_numpy() / (0.6, 1.3)
    best, name = 0.0, ""
    for row, point in zip(study.reports.itertuples(), points, strict=True):
        near = [abs(point - other).max() for other in [*points, *members] if (other != point).any()]
        if row.feasible and row.nll < 4.2 and min(near) > best:
            best, name = min(near), f"{row.trial_id}-{row.step}"
    return name


class TestPointing:
    def test_the_recommended_member_is_shown_at_first(self, opened: tuple[Page, list[str]], study: Study) -> None:
        assert shown(opened[0]).startswith("member:")
        assert opened[0].locator("#panel img").count() == 2

    def test_a_point_shows_its_samples_settings_and_values(self, report: Page, study: Study, screenshots: Path) -> None:
        key = lonely(study)
        point_at(report, key)
        report.wait_for_function(f"document.getElementById('panel').dataset.key === '{key}'")
        trial, _, step = key.partition("-")
        row = study.reports.query(f"trial_id == '{trial}' and step == {step}").iloc[0]
        text = report.locator("#panel").inner_text()
        for part in (f"Trial {trial}, step {step}", row["method"], f"seed {row['seed']}", f"{row['sscd']:.4g}"[:5],
                     "Both from the same noise", "keeps the bounds"):  # fmt: skip
            assert part in text
        pictures = report.evaluate("[...document.querySelectorAll('#panel img')].map((image) => image.src)")
        known = report.evaluate("JSON.parse(document.getElementById('study-data').textContent).pictures")
        assert pictures == [known["untouched_search-samples"], known[f"{key}-samples"]]
        report.screenshot(path=screenshots / "pointed_at.png")

    def test_a_member_is_shown_beside_the_untouched_model_of_its_own_noise(self, report: Page, study: Study) -> None:
        row = study.front.iloc[0]
        report.locator(f"tr[data-point='member:{row['trial_id']}-{row['step']}']").click()
        alts = report.evaluate("[...document.querySelectorAll('#panel img')].map((image) => image.src)")
        of_page = report.evaluate(
            "Object.fromEntries([...document.querySelectorAll('img[data-picture]')]"
            ".map((image) => [image.dataset.picture, image.src]))"
        )
        assert alts == [of_page["untouched-samples"], of_page[f"{row['trial_id']}-{row['step']}-final-samples"]]

    def test_a_click_pins_and_escape_lets_go(self, report: Page, study: Study) -> None:
        key = lonely(study)
        point_at(report, key)
        place = place_of(report, key)
        report.mouse.click(place["x"], place["y"])
        assert report.locator("#panel.pinned").count() == 1
        point_at(report, "untouched")
        report.wait_for_timeout(300)
        assert shown(report) == key, "what is pinned stays"
        report.keyboard.press("Escape")
        assert report.locator("#panel.pinned").count() == 0
        point_at(report, "retrained")
        report.wait_for_function("document.getElementById('panel').dataset.key === 'retrained'")

    def test_keys_alone_lead_through_all_points(self, report: Page, study: Study) -> None:
        report.locator("tr[data-point]").first.focus()
        report.keyboard.press("Enter")
        first = shown(report)
        report.locator("#next").focus()
        report.keyboard.press("Enter")
        assert shown(report) != first
        report.locator("#previous").press("Enter")
        assert shown(report) == first

    def test_the_trial_pointed_at_is_drawn_over_the_others(self, report: Page, study: Study, screenshots: Path) -> None:
        key = lonely(study)
        trial = key.partition("-")[0]
        point_at(report, key, "trajectories-figure")
        report.wait_for_function(f"document.getElementById('trajectories-figure').dataset.trial === '{trial}'")
        drawn = report.evaluate(
            """() => {
              const gd = document.getElementById('trajectories-figure'), {xaxis, yaxis} = gd._fullLayout;
              return [...gd.querySelectorAll('svg.highlight circle')].map((circle) =>
                [xaxis.p2d(Number(circle.getAttribute('cx'))), yaxis.p2d(Number(circle.getAttribute('cy')))]);
            }"""
        )
        own = study.reports.query(f"trial_id == '{trial}'").sort_values("step")
        path = [[UNTOUCHED["sscd"], UNTOUCHED["nll"]], *own[["sscd", "nll"]].to_numpy().tolist()]
        assert np.array(drawn) == pytest.approx(np.array(path), rel=1e-4)  # plotly rounds to a hundredth of a pixel
        report.screenshot(path=screenshots / "trajectory.png")


@pytest.fixture
def large(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, Study]]:
    """The page of a study of 200 trials."""
    root = write_study(tmp_path / "large", make_reports(200), images=True, log_forget_images=True, num_trials=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.importance.NUM_TREES", 1)
        write_report(root)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((root / "report.html").as_uri(), timeout=120_000)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 8", timeout=120_000)
    yield page, load_study(root)
    page.close()


def test_pointing_is_answered_at_once(large: tuple[Page, Study]) -> None:
    """From the mouse's own time of its move to what stands beside, on the next frame that is drawn: 200 ms at most."""
    page, study = large
    page.evaluate(
        """() => {
          window.moved = 0; window.answers = [];
          document.addEventListener('mousemove', (event) => { window.moved = event.timeStamp; }, true);
          new MutationObserver(() => {
            const moved = window.moved;
            requestAnimationFrame(() => window.answers.push(performance.now() - moved));
          }).observe(document.getElementById('panel-content'), {childList: true});
        }"""
    )
    near = study.reports.query("feasible and nll < 4.4")
    for key in [f"{row.trial_id}-{row.step}" for row in near.iloc[:: len(near) // NUM_POINTED].itertuples()]:
        place = place_of(page, key)
        page.mouse.move(place["x"], place["y"])
        page.wait_for_timeout(150)
    answers = page.evaluate("window.answers")
    assert len(answers) >= NUM_POINTED // 2
    assert max(answers) <= ANSWER_MS


class TestBounds:
    @pytest.mark.parametrize("factor", [0.99, 1.02, 1.2, 1.9, 60.0])
    def test_the_front_follows_a_bound(self, report: Page, study: Study, factor: float) -> None:
        bounds = (Constraint("fid", "<=", factor, True), CONSTRAINTS[1])
        report.locator(".bound input[type=number]").first.fill(str(factor))
        expected = pareto_front(study.reports, OBJECTIVES, bounds, UNTOUCHED)
        worth = hypervolume(expected, OBJECTIVES, UNTOUCHED, RETRAINED)
        kept = study.reports.eval(f"fid <= {factor * UNTOUCHED['fid']!r} and fid >= 10")
        says = f"{kept.sum()} of {len(study.reports)} feasible, {len(expected)} on the front, hypervolume {worth:.3f}."
        report.wait_for_function("text => document.getElementById('front-says').textContent === text", arg=says)
        [front] = [trace for trace in self.traces(report) if trace.get("meta", {}).get("role") == "front"]
        assert front["x"] == pytest.approx(list(expected["sscd"]))
        assert front["y"] == pytest.approx(list(expected["nll"]))
        drawn = [trace for trace in self.traces(report) if trace.get("meta", {}).get("feasible") is True]
        assert sum(len(trace["x"]) for trace in drawn) == kept.sum()
        line = report.evaluate(
            "document.getElementById('bounds-figure').layout.shapes.find((shape) => shape.name === 'bound:0').x0"
        )
        assert line == pytest.approx(factor)

    @pytest.mark.parametrize("factor", [1.03, 1.12, 1.16, 3.0])
    def test_the_re_measured_front_follows_too(
        self, report: Page, study: Study, screenshots: Path, factor: float
    ) -> None:
        """Members that break the bound by their re-measured values are out: of edge, shade and table; and the star."""
        bounds = (Constraint("fid", "<=", factor, True), CONSTRAINTS[1])
        front = front_members(study)
        kept = violations(front, bounds, study.untouched) == 0
        report.locator(".bound input[type=number]").first.fill(str(factor))
        says = f"{kept.sum()} of the study's {len(front)} members keep these bounds"
        report.wait_for_function(
            "text => document.getElementById('members-say').textContent.startsWith(text)", arg=says
        )
        by_role = {trace["meta"].get("role"): trace for trace in self.traces(report)}
        assert by_role["edge"]["x"] == front["sscd"][kept].tolist()
        assert by_role["edge"]["y"] == front["nll"][kept].tolist()
        assert [not symbol.endswith("-open") for symbol in by_role["members"]["symbol"]] == kept.tolist()
        corners = set(zip(by_role["dominated"]["x"], by_role["dominated"]["y"], strict=True))
        assert set(zip(front["sscd"][kept], front["nll"][kept], strict=True)) <= corners
        assert bool(corners) == bool(kept.any())
        best = front.iloc[choose(study, front).position]
        is_safe = feasible_by(dict(best), bounds, study.untouched)
        assert by_role["star"]["visible"] == is_safe
        rows = report.locator("tr[data-point]").evaluate_all(
            "rows => rows.map(r => [r.className, r.cells[0].innerText])"
        )
        assert [("outside" in name, "outside the bounds" in text) for name, text in rows] == [
            (not is_kept, not is_kept) for is_kept in kept
        ]
        assert sum("★" in text for _, text in rows) == sum("marked" in name for name, _ in rows) == is_safe
        report.locator("#front-figure").scroll_into_view_if_needed()
        report.screenshot(path=screenshots / f"front_under_{factor}.png")

    @staticmethod
    def traces(page: Page) -> list[dict[str, Any]]:
        """Of the front's figure, with their data as plain lists."""
        found: list[dict[str, Any]] = page.evaluate(
            """() => document.getElementById('front-figure')._fullData.map((trace) => ({
              meta: trace._input.meta || {}, x: [...(trace.x || [])], y: [...(trace.y || [])],
              symbol: trace._input.marker && trace._input.marker.symbol, visible: trace.visible}))"""
        )
        return found

    def test_by_keys_and_back(self, report: Page, study: Study, screenshots: Path) -> None:
        own = report.locator("#front-says").inner_text()
        slider = report.locator(".bound input[type=range]").first
        slider.focus()
        for _ in range(5):
            report.keyboard.press("ArrowLeft")
        report.wait_for_function("text => document.getElementById('front-says').textContent !== text", arg=own)
        report.screenshot(path=screenshots / "bound_moved.png")
        report.locator(".bound button").first.click()
        report.wait_for_function("text => document.getElementById('front-says').textContent === text", arg=own)

    def test_three_objectives_and_equal_points(self, report: Page) -> None:
        """The page's own arithmetic on made-up points, against the same in Python."""
        rng = np.random.default_rng(0)
        goals = (Objective("a", "minimize"), Objective("b", "maximize"), Objective("c", "minimize"))
        points = pd.DataFrame(rng.integers(0, 6, (60, 3)) / 5.0, columns=["a", "b", "c"])
        reference, ideal = {"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 0.2, "b": 0.9, "c": 0.1}
        expected = pareto_front(points, goals, [], {})
        found = report.evaluate(
            """([values, goals]) => studyFront.under({key: values.a.map(String), values}, goals, [])""",
            [
                points.to_dict("list"),
                {
                    "objectives": [{"metric": goal.metric, "sign": goal.sign} for goal in goals],
                    "reference": list(reference.values()),
                    "ideal": list(ideal.values()),
                },
            ],
        )
        assert sorted(found["members"]) == sorted(expected.index)
        assert found["hypervolume"] == pytest.approx(hypervolume(expected, goals, reference, ideal))


class TestReading:
    def test_all_text_has_contrast(self, report: Page) -> None:
        assert len(contrasts(report)) > 200
        assert too_faint(report) == []

    def test_labels_lie_on_no_other_and_nothing_is_cut(self, report: Page) -> None:
        assert overlaps(report) == []

    def test_nothing_is_wider_than_the_window(self, report: Page, screenshots: Path) -> None:
        assert report.evaluate("document.documentElement.scrollWidth") <= 1280
        height = report.evaluate("document.documentElement.scrollHeight")
        for number, top in enumerate(range(0, height, 780)):
            report.evaluate(f"window.scrollTo(0, {top})")
            report.screenshot(path=screenshots / f"page_{number:02d}.png")

    def test_contents_lead_to_their_sections(self, report: Page) -> None:
        for link in report.locator("nav a").all():
            assert report.locator(str(link.get_attribute("href"))).count() == 1
