"""The hypervolume over compute, and where the time went, by what events and tables say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_study import make_repeated_reports, make_reports

from analysis.compute import compute_figure, hypervolume_by_compute, time_table
from analysis.load import load_study
from analysis.scene import hypervolume_by_trial

StudyMaker = Callable[..., Path]


def write_events(root: Path, events: list[tuple[int, str, str | None, dict[str, object]]]) -> None:
    lines = [
        {"time": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}+00:00", "event": name, **facts}
        | ({} if trial is None else {"trial_id": trial})
        for second, name, trial, facts in events
    ]
    (root / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def report(second: int, trial: str, step: int) -> tuple[int, str, str, dict[str, object]]:
    return second, "report", trial, {"step": step, "training_seconds": 3.0, "evaluation_seconds": 2.0}


EVENTS = [
    (0, "study_started", None, {"versions": {"torch": "2"}}),
    (1, "trial_started", "00000", {}),
    (1, "trial_started", "00001", {}),
    report(7, "00001", 10),
    report(8, "00000", 10),
    report(15, "00000", 20),
    (20, "trial_ended", "00000", {"state": "COMPLETE", "seconds": 19.0}),
    (21, "trial_ended", "00001", {"state": "FAIL", "seconds": 20.0}),
    (22, "trial_started", "00002", {}),
    report(28, "00002", 10),
]


class TestByEvents:
    def test_reports_count_as_they_came(self, make_study: StudyMaker) -> None:
        root = make_study(make_reports(3), failed=False)
        write_events(root, EVENTS)
        study = load_study(root)
        table = hypervolume_by_compute(study)
        # The ends of the first two add 19 - 2 × 5 and 20 - 5 seconds that no report accounts for.
        assert list(table["seconds"]) == [5, 10, 15, 15 + 9 + 15 + 5]
        assert list(table["trial_id"]) == ["00001", "00000", "00000", "00002"]
        assert list(table["step"]) == [10, 10, 20, 10]
        assert table["hypervolume"].is_monotonic_increasing
        assert compute_figure(study).layout.xaxis.title.text.startswith("seconds")

    def test_where_the_time_went(self, make_study: StudyMaker) -> None:
        root = make_study()
        assert time_table(load_study(root)).empty
        write_events(root, EVENTS)
        table = time_table(load_study(root)).set_index("part")
        assert list(table.index) == ["training", "evaluation", "other", "idle"]
        assert table.loc["training", "seconds"] == 12
        assert table.loc["evaluation", "seconds"] == 8
        # Two slots for 27 seconds, of which trials were inside for 19 + 20 + 6.
        assert table["seconds"].sum() == 2 * 27
        assert table["share"].sum() == pytest.approx(1)


def test_without_events_ended_trials_count_as_a_whole(make_study: StudyMaker) -> None:
    study = load_study(make_study(make_reports(4), failed=False))
    table = hypervolume_by_compute(study)
    assert sorted(set(table["seconds"])) == [40, 80, 120, 160]
    by_trial = hypervolume_by_trial(study)
    assert list(table.groupby("trial_id")["hypervolume"].last()) == pytest.approx(list(by_trial["hypervolume"]))


def test_repeats_have_a_row_a_trial(make_study: StudyMaker) -> None:
    study = load_study(make_study(make_repeated_reports(6, 2), repeats=2))
    table = hypervolume_by_compute(study)
    by_trial = hypervolume_by_trial(study)
    assert list(table["trial_id"]) == list(by_trial["trial_id"])
    assert list(table["hypervolume"]) == pytest.approx(list(by_trial["hypervolume"]))


def test_nothing_to_tell(make_study: StudyMaker) -> None:
    root = make_study(retrained=False, finished=False)
    assert hypervolume_by_compute(load_study(root)).empty, "no ideal of the likelihood"
    (root / "reports.csv").unlink()
    (root / "trials.csv").unlink()
    study = load_study(root)
    assert list(hypervolume_by_compute(study).columns) == ["seconds", "trial_id", "step", "hypervolume"]
    compute_figure(study)
