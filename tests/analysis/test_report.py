"""Pictures and the page of a study, also of one that runs, has failed or has no feasible report."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_study import CONSTRAINTS, OBJECTIVES, RETRAINED, UNTOUCHED, make_repeated_reports, make_reports

from analysis.course import trials_section
from analysis.front import hypervolume, pareto_front
from analysis.load import load_study
from analysis.plots import front_figure, front_picture, hypervolume_figure
from analysis.report import main as report_main
from analysis.report import write_report
from analysis.samples import gallery
from analysis.scene import REFERENCE_METHOD, best_of_reference, compose, hypervolume_by_trial
from tuning.outcome import TIME_BUDGET

StudyMaker = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_trees")


class Page(HTMLParser):
    """The text outside of scripts and styles, and what the page would load from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.loaded, self._silent = "", list[str](), False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("script", "style")
        given = dict(attrs)
        source = given.get("src") or (given.get("href") if tag == "link" else None)
        if source and not source.startswith("data:"):
            self.loaded.append(source)

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data


def page_of(root: Path) -> Page:
    return Page(write_report(root).read_text(encoding="utf-8"))


class TestPictures:
    def test_the_scene_shows_what_matters(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        scene = compose(study)
        assert (scene.x, scene.y) == ("sscd", "nll")
        assert len(scene.feasible) + len(scene.infeasible) == 80
        assert [anchor.name for anchor in scene.anchors] == ["untouched", "retrained", "naive_deletion"]
        for table in (scene.feasible, scene.members):
            assert table["sscd"].between(*scene.x_range).all()
            assert table["nll"].between(*scene.y_range).all()
        assert scene.num_outside > 0
        assert scene.members["sscd"].is_monotonic_increasing

    def test_the_figure(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        figure = front_figure(study)
        traces = {trace.name: trace for trace in figure.data}
        assert {
            "siss", "neggrad, infeasible", "front, re-measured", "front of the search", "dominated by the front",
            "untouched model", "retrained model", "naive_deletion at its best", "recommended",
        } <= set(traces)  # fmt: skip
        assert list(traces["front, re-measured"].x) == sorted(study.front["sscd"])
        assert (np.asarray(traces["front, re-measured"].error_y.array) == 0.03).all()
        assert traces["neggrad, infeasible"].opacity < traces["siss"].opacity
        assert traces["neggrad, infeasible"].marker.symbol == traces["neggrad"].marker.symbol + "-open"
        colours = {traces[name].marker.color for name in ("siss", "siss_no_is", "naive_deletion")}
        shapes = {traces[name].marker.symbol for name in ("siss", "siss_no_is", "naive_deletion")}
        assert len(colours) == len(shapes) == 3
        assert "FID" not in figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text == "NLL, bits/dim, higher is better"

    def test_what_the_front_dominates_is_shaded(self, make_study: StudyMaker) -> None:
        figure = front_figure(load_study(make_study()))
        [shade] = [trace for trace in figure.data if trace.name == "dominated by the front"]
        [front] = [trace for trace in figure.data if trace.name == "front, re-measured"]
        corners = set(zip(shade.x, shade.y, strict=True))
        worst = (max(figure.layout.xaxis.range), min(figure.layout.yaxis.range))
        assert {*zip(front.x, front.y, strict=True), worst} <= corners
        assert set(zip(front.x[1:], front.y, strict=False)) <= corners, "between two members runs the edge of the worse"

    def test_the_reference_method_at_its_best(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        [anchor] = [anchor for anchor in compose(study).anchors if anchor.name == REFERENCE_METHOD]
        own = study.reports.query(f"method == '{REFERENCE_METHOD}' and feasible").reset_index(drop=True)
        volumes = [hypervolume(own.iloc[[n]], OBJECTIVES, UNTOUCHED, RETRAINED) for n in range(len(own))]
        best = own.iloc[int(np.argmax(volumes))]
        assert (anchor.trial_id, anchor.step, anchor.x) == (best["trial_id"], best["step"], best["sscd"])

    def test_a_reference_that_keeps_no_bound_is_the_nearest_to_it(self, make_study: StudyMaker) -> None:
        reports = make_reports(5)
        reports.loc[reports["method"] == REFERENCE_METHOD, "fid"] += 30
        study = load_study(make_study(reports))
        position = best_of_reference(study, study.reports)
        own = study.reports.query(f"method == '{REFERENCE_METHOD}'")
        assert study.reports.iloc[position]["fid"] == own["fid"].min()
        assert best_of_reference(study, study.reports.query("method == 'siss'")) is None

    def test_hypervolume_rises_trial_by_trial(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        volumes = hypervolume_by_trial(study)
        front = pareto_front(study.reports, OBJECTIVES, CONSTRAINTS, UNTOUCHED)
        assert list(volumes["trial_id"]) == sorted(study.reports["trial_id"].unique())
        assert volumes["hypervolume"].is_monotonic_increasing
        assert volumes["hypervolume"].iloc[-1] == pytest.approx(hypervolume(front, OBJECTIVES, UNTOUCHED, RETRAINED))
        assert list(hypervolume_figure(study).data[0].y) == list(volumes["hypervolume"])

    def test_the_picture_is_a_png_with_something_on_it(self, make_study: StudyMaker, tmp_path: Path) -> None:
        front_picture(load_study(make_study()), tmp_path / "front.png")
        with Image.open(tmp_path / "front.png") as image:
            assert image.width >= 1200
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20


class TestRepeats:
    """A study in which every other setting was run three times."""

    @pytest.fixture
    def root(self, make_study: StudyMaker) -> Path:
        return make_study(make_repeated_reports(20, 3), repeats=3)

    def test_the_scene_is_one_of_means(self, root: Path) -> None:
        study = load_study(root)
        scene = compose(study)
        assert len(scene.feasible) + len(scene.infeasible) == 80
        assert set(scene.feasible["num_repeats"]) == {1, 3}
        (root / "front.csv").unlink()
        running = compose(load_study(root)).members
        assert running["sscd"].tolist() == sorted(running["sscd"])
        assert set(running["num_repeats"]) == {1, 3}

    def test_bars_are_spreads_and_of_one_run_its_error(self, root: Path, tmp_path: Path) -> None:
        study = load_study(root)
        [trace] = [trace for trace in front_figure(study).data if trace.name == "front, re-measured"]
        members = study.front.sort_values("sscd", kind="stable")
        expected = members["nll_spread"].where(members["num_repeats"] > 1, members["nll_stderr"])
        assert list(trace.error_y.array) == list(expected)
        assert len(set(trace.error_y.array)) > 2
        assert any("3 runs" in text for text in trace.text)
        front_picture(study, tmp_path / "front.png")
        assert (tmp_path / "front.png").stat().st_size > 10_000

    def test_the_page_has_runs_and_spreads(self, root: Path) -> None:
        text = page_of(root).text
        for part in ("runs", "SSCD (28×28 descriptor), spread of the runs", "means over the runs of a setting"):
            assert part in text
        member = load_study(root).front.query("num_repeats == 3").iloc[0]
        assert f"{member['nll_spread']:.4g}" in text
        assert "nan" not in text.partition("Configuration")[0]

    def test_hypervolume_is_that_of_the_means_so_far(self, root: Path) -> None:
        study = load_study(root)
        volumes = hypervolume_by_trial(study).set_index("trial_id")["hypervolume"]
        front = pareto_front(study.points, OBJECTIVES, CONSTRAINTS, UNTOUCHED)
        assert volumes.iloc[-1] == pytest.approx(hypervolume(front, OBJECTIVES, UNTOUCHED, RETRAINED))
        assert not volumes.is_monotonic_increasing, "a second run may take away what the first one promised"

    def test_pages_while_it_runs(self, root: Path, tmp_path: Path) -> None:
        for name in ("front.csv", "trials.csv"):
            (root / name).unlink()
            assert "Not re-measured yet." in page_of(root).text
        front_picture(load_study(root), tmp_path / "front.png")


class TestReport:
    def test_a_finished_study(self, make_study: StudyMaker) -> None:
        root = make_study(images=True, log_forget_images=True)
        written = write_report(root)
        page = Page(written.read_text(encoding="utf-8"))
        study = load_study(root)
        assert written == root / "report.html"
        assert page.loaded == [], "nothing is loaded from elsewhere"
        for text in (
            "Study finished.",
            "FID (digit features)",
            "Knee of the front",
            "untouched-samples",
            "num_trials: 20",
            "★",
        ):
            assert text in page.text
        for row in study.front.itertuples():
            assert f"checkpoints/{row.trial_id}-{row.step}" in page.text
        assert "diverged <at step 7>" in page.text
        assert "0.24 ± 0.02 (n = 64)" in page.text
        assert re.search(r"1 FAIL", page.text)

    def test_trials_that_were_stopped_early_are_counted(self, make_study: StudyMaker) -> None:
        root = make_study()
        assert "before the last" not in trials_section(load_study(root)).html
        lines = (root / "trials.csv").read_text().replace(",COMPLETE,,", ",COMPLETE,stopped at rung 1,", 3)
        (root / "trials.csv").write_text(lines)
        assert "3 of those COMPLETE were stopped at a rung before the last." in trials_section(load_study(root)).html

    def test_trials_that_the_time_budget_ended_are_counted(self, make_study: StudyMaker) -> None:
        root = make_study()
        assert "time budget" not in trials_section(load_study(root)).html
        lines = (root / "trials.csv").read_text().replace(",COMPLETE,,", f",COMPLETE,{TIME_BUDGET},", 2)
        (root / "trials.csv").write_text(lines)
        assert "2 ended before their last rung with the time budget." in trials_section(load_study(root)).html

    def test_over_forgotten_members_are_flagged(self, make_study: StudyMaker) -> None:
        root = make_study()
        front = load_study(root).front
        over = int(((front["nll"] - 4.4) > 0.06).sum() + ((0.24 - front["sscd"]) > 0.02).sum())
        assert over > 0
        assert page_of(root).text.count(" over-forgotten") == over

    def test_nothing_feasible(self, make_study: StudyMaker, tmp_path: Path) -> None:
        reports = make_reports(6)
        root = make_study(reports.assign(fid=reports["fid"] + 90), finished=False)
        page = page_of(root)
        assert "No feasible report. The nearest is trial" in page.text
        assert "Loosen the bound" in page.text
        front_picture(load_study(root), tmp_path / "front.png")

    def test_a_front_that_did_not_stand_the_second_measurement(self, make_study: StudyMaker, tmp_path: Path) -> None:
        root = make_study()
        header, _, _ = (root / "front.csv").read_text().partition("\n")
        (root / "front.csv").write_text(header + "\n")
        page = page_of(root)
        assert "reports keep the bounds, but none of those that were re-measured" in page.text
        assert "There is none." in page.text
        front_picture(load_study(root), tmp_path / "front.png")

    def test_the_front_as_a_file_is_no_sample(self, make_study: StudyMaker) -> None:
        root = make_study(images=True)
        front_picture(load_study(root), root / "images" / "front.png")
        names = gallery(load_study(root))
        assert write_report(root).read_text().count("<img ") == len(names)
        assert "front" not in names

    def test_one_trial_and_nan_metrics(self, make_study: StudyMaker, tmp_path: Path) -> None:
        reports = make_reports(1)
        reports.loc[1:2, ["sscd", "fid"]] = np.nan
        root = make_study(reports, failed=False)
        text = page_of(root).text
        assert "4 reports" in text
        assert not re.search(r"\bnan\b", text.partition("Configuration")[0])
        front_picture(load_study(root), tmp_path / "front.png")

    def test_all_values_unknown(self, make_study: StudyMaker, tmp_path: Path) -> None:
        reports = make_reports(1)
        reports[["sscd", "nll", "fid"]] = np.nan
        root = make_study(reports, finished=False)
        assert "No report has a finite value for every bounded metric" in page_of(root).text
        front_picture(load_study(root), tmp_path / "front.png")

    def test_while_the_study_runs(self, make_study: StudyMaker, tmp_path: Path) -> None:
        root = make_study(finished=False)
        assert "still running" in page_of(root).text
        assert "Not re-measured yet." in page_of(root).text
        for name in ("reports.csv", "trials.csv", "baseline.json"):
            (root / name).unlink()
            page = page_of(root)
            front_picture(load_study(root), tmp_path / "front.png")
        assert "No trial has started yet." in page.text
        assert "Not measured yet." in page.text

    def test_one_objective(self, make_study: StudyMaker, tmp_path: Path) -> None:
        root = make_study(objectives=["maximize nll"])
        study = load_study(root)
        assert (compose(study).x, compose(study).y) == ("nll", "fid")
        assert "Searched to maximize nll" in page_of(root).text
        front_picture(study, tmp_path / "front.png")

    def test_the_command(self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_study()
        assert report_main([root.name, "--storage-path", str(root.parent)]) == 0
        assert capsys.readouterr().out.strip() == str(root / "report.html")
        assert report_main(["other", "--storage-path", str(root.parent)]) == 2
        assert "check the name" in capsys.readouterr().err


def test_a_table_cell_is_text() -> None:
    from analysis.page import Link, table

    html = table(["<a>"], [["<a href='javascript:x'>", Link("a b/<c>")]])
    assert html.count("<a ") == 1
    assert 'href="a%20b/%3Cc%3E"' in html


def test_rows_without_a_trial_id_column_are_still_a_front() -> None:
    assert len(pareto_front(pd.DataFrame({"sscd": [0.1], "nll": [4.0]}), OBJECTIVES, [], {})) == 1
