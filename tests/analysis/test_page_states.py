"""The page of studies that are not as one would like: a useful page, or a clear error."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_study import CONSTRAINTS, judged, make_reports, write_table

from analysis.attainment import groups_of
from analysis.bounds import bounds_figure
from analysis.compare import write_comparison
from analysis.explore import slider_of
from analysis.front import pareto_front
from analysis.front_table import front_table
from analysis.load import load_study
from analysis.members import members_section
from analysis.plots import front_figure
from analysis.progress import Quiet
from analysis.provenance import reproduce_command
from analysis.report import main as report_main
from analysis.report import write_report
from analysis.scene import compose
from tuning.config import Constraint, load_config, to_yaml
from tuning.front_file import set_aside
from tuning.record_tables import read_table
from tuning.study_status import study_status

StudyMaker = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_trees")


def html_of(root: Path) -> str:
    return write_report(root).read_text(encoding="utf-8")


def test_a_finished_study_has_every_section(make_study: StudyMaker) -> None:
    html = html_of(make_study(make_reports(10), images=True, log_forget_images=True))
    headings = re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', html)
    assert [text for _, text in headings] == [
        "Front", "Members of the front", "Against the bounds", "Trajectories", "Baselines", "Samples", "Hypervolume",
        "Rungs", "Settings", "Trials and failures", "Configuration and versions",
    ]  # fmt: skip
    [contents] = re.findall(r"<nav .*?</nav>", html)
    assert re.findall(r'href="#([^"]+)"', contents) == [anchor for anchor, _ in headings]
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["my study 2", "Größe 研究", "исследование"])
def test_names_with_spaces_and_other_letters(
    make_study: StudyMaker, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_study(make_reports(2), name=name)
    assert report_main([name, "--storage-path", str(root.parent)]) == 0
    assert capsys.readouterr().out.strip() == str(root / "report.html")
    html = (root / "report.html").read_text(encoding="utf-8")
    assert f"<h1>{name}</h1>" in html
    assert f"{name}-again" in html


def test_what_is_text_cannot_become_markup(make_study: StudyMaker) -> None:
    reports = make_reports(5).assign(forget_image="</script><script>alert(1)</script>")
    root = make_study(reports)
    labels = (
        (root / "baseline.json").read_text().replace("FID (digit features)", "</script><img src=x onerror=alert(2)>")
    )
    (root / "baseline.json").write_text(labels)
    html = html_of(root)
    assert "</script><script>alert(1)" not in html
    assert "<img src=x" not in html


def test_a_study_that_was_moved(make_study: StudyMaker, tmp_path: Path) -> None:
    root = make_study(make_reports(5), images=True, log_forget_images=True, storage_path="/nowhere/else")
    before = html_of(root)
    moved = tmp_path / "another machine" / "synthetic"
    shutil.copytree(root, moved)
    shutil.rmtree(root)
    after = html_of(moved)
    assert after.replace(f"'{moved.parent}", str(root.parent)).count("data:image") == before.count("data:image")
    assert str(root) not in after
    assert "/nowhere/else" not in after.partition("Configuration and versions</h2>")[0]


def test_models_that_are_not_here_are_no_links(make_study: StudyMaker) -> None:
    root = make_study(make_reports(5))
    study = load_study(root)
    assert "not on this machine" in members_section(study, compose(study)).html
    for place in study.front["checkpoint"]:
        (root / place).mkdir(parents=True)
    html = members_section(study, compose(study)).html
    assert html.count('<a href="checkpoints/') == len(study.front)
    assert "not on this machine" not in html


def test_one_objective_three_objectives_and_no_bound(make_study: StudyMaker) -> None:
    reports = make_reports(5)
    html = html_of(make_study(reports, finished=False, objectives=["minimize sscd"]))
    assert "Against the bounds" in html
    html = html_of(make_study(reports, finished=False, constraints=[], objectives=["minimize sscd", "maximize nll"]))
    assert "under no bound" in html
    assert "Other bounds" not in html
    assert "Against the bounds</h2>" not in html
    three = ["minimize sscd", "maximize nll", "minimize fid"]
    root = make_study(reports, finished=False, objectives=three)
    html = html_of(root)
    assert "Searched to minimize sscd, maximize nll, minimize fid" in html
    drawn = {trace.name: trace for trace in front_figure(load_study(root)).data}
    assert not drawn.keys() & {"dominated by the front", "edge of the front"}, (
        "two axes do not show what three dominate"
    )
    assert drawn["front of the search"].mode == "markers", "rings"


def test_nothing_feasible_one_trial_and_nan(make_study: StudyMaker) -> None:
    reports = make_reports(1)
    reports.loc[0, ["sscd", "nll"]] = np.nan
    reports["fid"] += 90
    html = html_of(make_study(reports, finished=False, failed=False))
    assert "No feasible report. The nearest is trial 00000" in html
    assert "Loosen the bound" in html
    assert "NaN" not in html.partition('id="study-data"')[2].partition("</script>")[0]


def test_a_finished_study_that_is_extended_is_not_shown_as_finished(make_study: StudyMaker) -> None:
    """Neither while more trials run nor after the launch was killed, whatever the front of the first ones was."""
    root = make_study(make_reports(5))
    first = load_study(root)
    assert "Study finished." in html_of(root)
    set_aside(first.files)
    write_table(first.files.reports, judged(make_reports(10)))
    (root / "study.yaml").write_text(to_yaml(first.config.model_copy(update={"num_trials": 40})), encoding="utf-8")
    html, study = html_of(root), load_study(root)
    assert "Study finished" not in html
    assert "still running or interrupted" in html
    assert "the front before it was taken up again is in front_before.csv" in html
    assert "of 40 trials ended, 40 reports" in html
    assert "Not re-measured yet." in html
    expected = pareto_front(study.reports, study.objectives, study.constraints, study.search_reference)
    assert front_table(study)["trial_id"].tolist() == expected["trial_id"].tolist()
    assert groups_of([study]) == []
    assert study_status(root).state == "interrupted"


def test_a_bound_that_is_broken_by_little(make_study: StudyMaker) -> None:
    reports = make_reports(1).assign(fid=[19.25, 40.0, 50.0, 60.0])
    html = html_of(make_study(reports, finished=False))
    assert "step 10, 0.26% beyond (FID (digit features) 19.25, bound fid &lt;= 1.2x, which is 19.2)" in html


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bounds_that_are_kept_are_not_to_be_loosened(make_study: StudyMaker, value: float) -> None:
    """Nothing can be drawn of reports whose likelihood overflowed, but they are feasible."""
    root = make_study(make_reports(1).assign(fid=16.0, nll=value), finished=False)
    html = html_of(root)
    assert "Objectives are not finite: 4 of 4 reports keep the bounds" in html
    assert "(not finite: NLL, bits/dim in 4)" in html
    assert "Loosen the bound" not in html
    assert "beyond (" not in html


@pytest.mark.parametrize("column", ["nll", "method", "trial_id", "step"])
def test_tables_without_a_column_are_a_clear_error(
    make_study: StudyMaker, column: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_study(make_reports(2))
    for name in ("reports.csv", "front.csv"):
        read_table(root / name).drop(columns=column).to_csv(root / name, index=False)
    assert report_main([root.name, "--storage-path", str(root.parent)]) == 2
    error = capsys.readouterr().err
    assert "must have the columns that its study.yaml asks for" in error
    assert column in error.partition("asks for")[2].partition(";")[0]
    assert re.search("; put .* back", error)


def test_the_command_gives_the_same_study_under_another_name(make_study: StudyMaker, tmp_path: Path) -> None:
    root = make_study(make_reports(1))
    (root / "study.yaml").write_text(to_yaml(load_config(["--storage-path", str(tmp_path / "old"), "--seed", "5"])[0]))
    words = reproduce_command(load_study(root)).split()
    assert words[:2] == ["python", "tune_unlearning.py"]
    again, _ = load_config(words[2:])
    first = load_study(root).config
    assert again.name == "synthetic-again"
    assert again.root == root.parent / "synthetic-again"
    assert again.model_copy(update={"name": first.name, "storage_path": first.storage_path}) == first


def test_versions_of_every_launch(make_study: StudyMaker) -> None:
    root = make_study(make_reports(1))
    assert "Which versions it ran by is not recorded" in html_of(root)
    line = '{"time": "2026-01-0%d", "event": "study_started", "versions": {"torch": "2.%d"}}\n'
    (root / "events.jsonl").write_text(line % (1, 9) + line % (2, 9))
    assert "<td>torch</td><td>2.9</td>" in html_of(root)
    (root / "events.jsonl").write_text(line % (1, 9) + line % (2, 10))
    assert "<td>torch</td><td>2.9</td><td>2.10</td>" in html_of(root)


class TestSliders:
    def test_from_the_best_to_beyond_the_bound(self) -> None:
        slider = slider_of(CONSTRAINTS[0], np.array([0.9, 1.0, 1.1, 50.0, np.nan, np.inf]))
        assert slider.low <= 0.9 < 1.2 < slider.high
        assert slider.high == pytest.approx(1.2 + 4 * 0.3, abs=2 * slider.step)
        assert (slider.high - slider.low) / slider.step >= 100

    def test_of_a_lower_bound_and_of_nothing(self) -> None:
        slider = slider_of(Constraint("clip_iqa", ">=", 0.6), np.array([0.1, 0.7]))
        assert slider.low <= 0.2 + slider.step
        assert slider.high >= 0.7 - 1e-9
        nothing = slider_of(CONSTRAINTS[0], np.array([]))
        assert nothing.low < nothing.high


def test_several_names_are_compared(make_study: StudyMaker, capsys: pytest.CaptureFixture[str]) -> None:
    first = make_study(make_reports(5))
    shutil.copytree(first, first.parent / "second")
    storage = first.parent
    assert report_main([first.name, "second", "--storage-path", str(storage)]) == 0
    page = storage / f"comparison-{first.name}+second.html"
    said = capsys.readouterr()
    assert said.out.strip() == str(page)
    assert said.err.splitlines()[0] == "read the studies"
    assert "second" in page.read_text(encoding="utf-8")
    assert report_main([first.name, first.name, "--storage-path", str(storage)]) == 2
    assert "each study must be given once" in capsys.readouterr().err


def test_a_large_study_s_page_can_be_mailed(make_study: StudyMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 10 MB of 200 trials, whose pictures, of 12 kB each, would be as much by themselves."""
    monkeypatch.setattr("analysis.samples.as_data_url", lambda path: "data:image/webp;base64," + 12_000 * "A")
    root = make_study(make_reports(200), images=True, log_forget_images=True, num_trials=200)
    text = write_report(root).read_text(encoding="utf-8")
    assert text.count("data:image/webp") > 200
    assert len(text.encode()) <= 10_000_000
    assert "reports have their picture in images/ only, for want of room here" in text


class Counting(Quiet):
    def __init__(self) -> None:
        self.rows, self.done, self.stages = 0, 0, list[str]()

    def total(self, rows: int) -> None:
        self.rows = rows

    def stage(self, name: str) -> None:
        self.stages.append(f"{name} at {self.done}")

    def advance(self, rows: int) -> None:
        self.done += rows


def test_one_who_watches_hears_of_every_part(make_study: StudyMaker, tmp_path: Path) -> None:
    one, two = make_study(make_reports(2)), make_study(make_reports(2), name="second")
    watch = Counting()
    write_report(one, watch)
    assert watch.stages == ["read the study at 0", "gather pictures at 1", "draw the page at 2"]
    assert watch.done == watch.rows
    watch = Counting()
    write_comparison([one, two], tmp_path / "page.html", watch)
    assert watch.stages == ["read the studies at 0", "draw the page at 2"]
    assert watch.done == watch.rows


def test_progress_is_told_beside_the_result_and_not_where_it_is_quiet(
    make_study: StudyMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_study(make_reports(2))
    words = [root.name, "--storage-path", str(root.parent)]
    assert report_main(words) == 0
    told, _, last = capsys.readouterr().err.rstrip().rpartition("\n")
    assert told.splitlines()[0] == "read the study"
    assert last.startswith("draw the page")
    assert report_main([*words, "--quiet"]) == 0
    assert capsys.readouterr() == (f"{root / 'report.html'}\n", "")


def test_a_bound_that_is_not_known_keeps_nothing_and_costs_no_page(make_study: StudyMaker) -> None:
    """The untouched model's FID was not finite: bounds relative to it are not known."""
    root = make_study(make_reports(5), finished=False)
    baseline = json.loads((root / "baseline.json").read_text(encoding="utf-8"))
    baseline["untouched"]["fid"]["value"] = None
    (root / "baseline.json").write_text(json.dumps(baseline), encoding="utf-8")
    assert '"bound":null' in html_of(root)


def test_a_label_is_text_to_figures(make_study: StudyMaker) -> None:
    root = make_study(make_reports(5))
    text = (root / "baseline.json").read_text(encoding="utf-8")
    (root / "baseline.json").write_text(text.replace("FID (digit features)", "<b>FID</b>"), encoding="utf-8")
    study = load_study(root)
    assert "&lt;b&gt;FID" in str(bounds_figure(study).layout)
    assert "<b>FID" not in str(bounds_figure(study).layout)
