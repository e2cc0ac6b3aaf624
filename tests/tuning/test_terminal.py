"""The terminal's view of a study: live, in a log, and quiet."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from analysis.select import Recommendation
from tuning.files import StudyFiles
from tuning.front_table import front_table, measured
from tuning.goals import Constraint, Objective
from tuning.remaining import duration
from tuning.summary import final_summary, mlflow_line
from tuning.terminal import StudyView

ROWS = [
    {"trial_id": "00004", "method": "siss", "step": 40, "sscd": 0.31, "sscd_stderr": 0.02, "fid": 11.0},
    {"trial_id": "00007", "method": "erasediff", "step": 20, "sscd": 0.45, "sscd_stderr": None, "fid": float("nan")},
]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_view(*, terminal: bool = False, **more: Any) -> tuple[StudyView, io.StringIO, Clock]:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None, highlight=False)
    return StudyView(console, "embedded", clock=clock, **more), out, clock


def rendered(view: StudyView) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None, record=True)
    console.print(view.render())
    return console.export_text()


def test_a_log_gets_one_line_per_change() -> None:
    view, out, clock = make_view()
    with view:
        view.stage("baseline", 4)
        clock.now += 10
        view.advance()
        view.stage("trials", 8)
        view.trials(1, 0, 0, 8)
        view.trials(2, 0, 0, 8)  # only what runs has changed: no line
        clock.now += 60
        view.trials(2, 2, 1, 8)
        view.front(ROWS, 0.25)
        view.front(ROWS, 0.25)  # nothing new: no line
        view.message("trial 00003 failed: [diverged]")
    assert out.getvalue().splitlines() == [
        "[0 s] baseline: 4",
        "[10 s] baseline 1/4, about 30 s left",
        "[10 s] trials: 8",
        "[10 s] 0 of 8 trials, 1 running, 0 failed",
        "[1 min 10 s] 3 of 8 trials, 2 running, 1 failed, about 1 min 40 s left",
        "[1 min 10 s] front: 2 members, hypervolume 0.250",
        "trial 00003 failed: [diverged]",
    ]


def test_the_live_view_shows_stage_trials_points_and_time() -> None:
    view, out, clock = make_view(terminal=True)
    with view:
        view.stage("trials", 8)
        view.trials(2, 0, 0, 8)
        clock.now += 60
        view.trials(2, 3, 1, 8)
        view.front(ROWS, 0.25)
        text = rendered(view)
        view.message("a line that stays")
    assert "embedded · trials 4/8 · 1 min 00 s elapsed" in text
    assert "50%, about 1 min 00 s left" in text
    assert "4 of 8 trials, 2 running, 1 failed" in text
    assert "front so far: 2 members, hypervolume 0.250" in text
    assert "00004" in text
    assert "0.31 ± 0.02" in text
    assert "fid" not in text, "only metrics with a standard error are shown unless others are named"
    assert "a line that stays" in out.getvalue()


def test_many_points_are_cut_short() -> None:
    view, _, _ = make_view(terminal=True, metrics=("fid",))
    view.front([{**ROWS[0], "trial_id": f"{number:05d}"} for number in range(9)], 0.5)
    text = rendered(view)
    assert "00005" in text
    assert "00006" not in text
    assert "and 3 more" in text
    assert "11" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_writes_nothing(terminal: bool) -> None:
    view, out, _ = make_view(terminal=terminal, quiet=True)
    with view:
        view.stage("baseline", 2)
        view.advance()
        view.trials(1, 0, 0, 8)
        view.front(ROWS, 0.1)
        view.message("hello")
    assert out.getvalue() == ""


def test_trials_of_before_a_resume_say_nothing_of_the_pace() -> None:
    view, out, clock = make_view()
    view.stage("trials", 10)
    view.trials(1, 6, 0, 10)
    clock.now += 30
    view.trials(1, 7, 0, 10)
    assert out.getvalue().splitlines()[-1].endswith("about 1 min 30 s left")


def test_trials_move_by_their_reports() -> None:
    view, out, clock = make_view()
    view.stage("trials", 8)
    view.trials(2, 0, 0, 8)
    for reports in (1, 2, 3):  # of 4 a trial
        clock.now += 40
        view.trials(2, 0, 0, 8, under_way=reports / 4)
    assert out.getvalue().splitlines()[2:] == [
        "[1 min 20 s] 0 of 8 trials, 2 running, 0 failed, 6% done, about 20 min 00 s left"
    ], "a line a minute at most, where no trial ends"
    assert "9%" in rendered(view)
    view.trials(1, 1, 0, 8)
    assert "1 of 8 trials" in out.getvalue().splitlines()[-1]


def test_a_stage_of_few_tasks_moves_while_they_run() -> None:
    view, out, clock = make_view()
    view.stage("measure baseline", 4)
    for second in range(1, 101):
        clock.now += 1
        view.reach(0, second / 500)
    view.reach(1, 0.25)
    assert out.getvalue().splitlines() == [
        "[0 s] measure baseline: 4",
        "[1 min 00 s] measure baseline 0/4, 12% done, about 7 min 20 s left",
        "[1 min 40 s] measure baseline 1/4, about 6 min 40 s left",
    ]


def test_an_expected_time_and_a_budget_are_shown_from_the_beginning() -> None:
    view, _, clock = make_view(terminal=True)
    view.stage("trials", 8, expected=700.0, limit=300.0)
    clock.now += 100
    assert "0%, about 3 min 20 s left" in rendered(view)
    clock.now += 250
    assert "left" not in rendered(view)


def test_no_pace_no_promise() -> None:
    view, _, clock = make_view(terminal=True)
    view.stage("report", 4)
    clock.now += 50
    assert "report 0/4 · 50 s elapsed" in rendered(view)
    view.stage("start Ray")
    assert "start Ray · 50 s elapsed" in rendered(view)
    view.stage("empty", 0)
    view.advance()
    assert "left" not in rendered(view)


NAMES = ("embedded", "a study with spaces", "исследование-" * 9, "忘却の研究" * 12, "étude [bold]x[/bold]")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("width", [80, 40])
def test_no_line_is_wider_than_the_terminal_and_the_time_is_always_seen(name: str, width: int) -> None:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=True, width=width, color_system=None, highlight=False)
    view = StudyView(console, name, clock=clock)
    view.stage("trials", 8)
    view.trials(0, 7, 1, 8)
    view.front([{**row, "nll": 5.082, "nll_stderr": 0.008} for row in ROWS], 0.25)
    view.stage("re-measure the front", 12)
    clock.now += 100
    view.reach(3, 0.27)
    shown = Console(file=io.StringIO(), width=width, color_system=None, record=True)
    shown.print(view.render())
    lines = shown.export_text().splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert "elapsed" in " ".join(lines[:3])
    if width == 80:
        assert lines[0].startswith(name[:8])
        assert lines[0].endswith("re-measure the front 3/12 · 1 min 40 s elapsed")
        assert lines[1].endswith("27%, about 4 min 30 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_was_not_measured_is_a_dash() -> None:
    console = Console(file=io.StringIO(), width=100, record=True, color_system=None)
    console.print(front_table(ROWS, ["sscd", "fid", "nll"], marked=0))
    lines = console.export_text().splitlines()
    assert lines[1].split() == ["→", "00004", "siss", "40", "0.31", "±", "0.02", "11", "–"]
    assert lines[2].split() == ["00007", "erasediff", "20", "0.45", "–", "–"]
    assert measured(ROWS) == ["sscd"]
    assert measured([]) == []


def summarise(tmp_path: Path, front: pd.DataFrame, position: int | None) -> str:
    out = io.StringIO()
    result = SimpleNamespace(
        files=StudyFiles(tmp_path / "embedded"),
        location=str(tmp_path / "embedded"),
        front=front,
        recommendation=Recommendation(position, "Knee of the front."),
        hypervolume=0.4,
        tracking_uri="sqlite:////runs/mlflow.db",
    )
    config = SimpleNamespace(
        name="embedded", objectives=(Objective("sscd", "minimize"),), constraints=(Constraint("fid", "<=", 1.2, True),)
    )
    final_summary(Console(file=out, width=60, color_system=None), result, config)  # type: ignore[arg-type]
    return out.getvalue()


def test_the_summary_says_what_to_take_home_and_where_everything_is(tmp_path: Path) -> None:
    front = pd.DataFrame(ROWS).assign(checkpoint=["checkpoints/00004-40", "checkpoints/00007-20"])
    lines = summarise(tmp_path, front, 0).splitlines()
    root = tmp_path / "embedded"
    assert "Front of embedded, re-measured; hypervolume 0.400" in lines
    assert [line.split()[:2] for line in lines if line.startswith("→")] == [["→", "00004"]]
    assert f"Recommended:  trial 00004 at step 40, {root}/checkpoints/00004-40" in lines
    assert "Knee of the front." in lines
    assert f"Report:       {root}/report.html" in lines, "long paths are not broken over lines"
    assert "Runs:         mlflow ui --backend-store-uri sqlite:////runs/mlflow.db" in lines


def test_the_summary_says_how_many_runs_a_mean_is_of(tmp_path: Path) -> None:
    front = pd.DataFrame(ROWS).assign(checkpoint=["checkpoints/00004-40", "checkpoints/00007-20"], num_repeats=[3, 1])
    lines = summarise(tmp_path, front, 0).splitlines()
    [header] = [line.split() for line in lines if "trial" in line and "method" in line]
    members = [line.replace("→", "").split() for line in lines if "00004 " in line or "00007 " in line]
    assert [row[header.index("runs")] for row in members[:2]] == ["3", "1"]


def test_the_summary_of_an_empty_front(tmp_path: Path) -> None:
    text = summarise(tmp_path, pd.DataFrame(), None)
    assert "The front of embedded is empty" in text
    assert "Recommended:" not in text
    assert "trials.csv" in text


def test_the_mlflow_line_can_be_typed_and_keeps_secrets() -> None:
    assert mlflow_line("http://host:5000") == "http://host:5000"
    assert mlflow_line("sqlite:///my runs/mlflow.db") == "mlflow ui --backend-store-uri 'sqlite:///my runs/mlflow.db'"
    assert "secret" not in mlflow_line("postgresql://me:secret@host/db")
