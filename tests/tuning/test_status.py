"""How studies stand: from files that tests write, as they are while a study runs, and after whatever ended it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from other_study import random_trials, write_other

from analysis.load import StudyError, load_study
from tuning.files import StudyFiles
from tuning.heartbeat import Heartbeat
from tuning.judging import Goals
from tuning.live_front import live_front
from tuning.paths import PROJECT_ROOT
from tuning.status import main
from tuning.status_view import sparkline
from tuning.study_status import study_status

START = datetime(2026, 1, 1, tzinfo=UTC)
BOUND = {"constraints": ("fid <= 1.2x",)}


def write_events(files: StudyFiles, *events: Mapping[str, Any], start: datetime = START) -> None:
    """Events at the seconds ``at`` after ``start``."""
    lines = []
    for event in sorted(events, key=lambda event: float(event["at"])):
        when = (start + timedelta(seconds=event["at"])).isoformat()
        lines.append(json.dumps({"time": when, **{key: value for key, value in event.items() if key != "at"}}))
    with files.events.open("a") as stream:
        stream.write("".join(line + "\n" for line in lines))


def launched(at: float) -> list[dict[str, Any]]:
    return [
        {"at": at, "event": "study_started", "versions": {"torch": "2.0"}},
        {"at": at + 5, "event": "stage", "stage": "trials", "done": 0, "total": 20},
    ]


def trial(at: float, number: int, *reports: tuple[float, float], seconds: float | None = None) -> list[dict[str, Any]]:
    """A trial that starts at a time, reports (training, evaluation seconds) and ends after some seconds."""
    of = {"trial_id": f"{number:05d}"}
    events: list[dict[str, Any]] = [{"at": at, "event": "trial_started", **of}]
    for training, evaluation in reports:
        at += training + evaluation
        timed = {"training_seconds": training, "evaluation_seconds": evaluation, "peak_memory_gb": 1 + number / 4}
        events.append({"at": at, "event": "report", **of, **timed})
    if seconds is not None:
        events.append({"at": events[0]["at"] + seconds, "event": "trial_ended", **of, "state": "COMPLETE"})
    return events


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command prints that goes well."""
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def as_read(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    studies: list[dict[str, Any]] = json.loads(shown(capsys, *words, "--json"))["studies"]
    return studies


def mixed_trials() -> list[dict[str, Any]]:
    trials = random_trials(6)
    trials[1]["state"], trials[5]["state"] = "FAIL", "RUNNING"
    trials[5]["reports"] = trials[5]["reports"][:1]
    return trials


def test_a_running_study_in_all_its_numbers(tmp_path: Path) -> None:
    files = StudyFiles(write_other(tmp_path / "one", mixed_trials(), front=None, num_trials=20, **BOUND))
    files.trials.write_text(files.trials.read_text().replace("00001,FAIL,,", "00001,FAIL,diverged,"))
    now = datetime.now(UTC)
    began = now - timedelta(seconds=1800)
    events = [*launched(-10), *trial(0, 0, (100, 50), (100, 50), seconds=310), *trial(0, 1, (100, 50), seconds=190)]
    events += trial(310, 2, (100, 50), seconds=200)
    events += [{"at": 700, "event": "stage", "stage": "trials", "done": 3, "total": 20}]
    write_events(files, *events, start=began)
    with Heartbeat(files):
        status = study_status(files.root, detailed=True, now=now)
    assert (status.state, status.stage, status.num_ended, status.num_trials) == ("running", "trials", 5, 20)
    assert status.trials == {"COMPLETE": 4, "FAIL": 1, "RUNNING": 1}
    assert status.num_reports == 11
    assert status.recent is not None
    assert (status.recent.trials_per_hour, status.recent.reports_per_hour) == pytest.approx((6, 8))
    assert status.overall is not None
    assert status.overall.trials_per_hour == pytest.approx(3 / (510 / 3600))
    assert status.seconds_left == pytest.approx(15 / 6 * 3600)
    details = status.details
    assert details is not None
    assert details.seconds is not None
    parts = details.seconds
    assert (parts.training, parts.evaluation, parts.other) == pytest.approx((400, 200, 310 + 190 + 200 - 600))
    assert parts.idle == pytest.approx(2 * 510 - 700)
    assert details.failures == {"diverged": 1}
    assert details.peak_memory_gb == 1.5
    assert details.methods["erasediff"] == {"FAIL": 1, "COMPLETE": 1}
    assert details.resume is None

    again = {"at": 1500, "event": "stage", "stage": "re-measure the front", "done": 1, "total": 2}
    write_events(files, again, start=began)
    with Heartbeat(files):
        later = study_status(files.root, now=now)
    assert (later.stage, later.recent, later.seconds_left) == ("re-measure the front 1/2", None, None)
    assert later.overall == status.overall


def test_the_front_so_far_and_its_growth_are_those_of_the_reports(tmp_path: Path) -> None:
    root = write_other(tmp_path / "one", random_trials(60), front=None, **BOUND)
    status, study = study_status(root, detailed=True), load_study(root)
    assert status.details is not None
    assert study.ideal is not None
    goals = Goals(study.objectives, study.constraints, study.search_reference, study.ideal)
    front = live_front(study.reports, goals)
    assert [row["trial_id"] for row in status.details.front] == front.members["trial_id"].tolist()
    assert status.hypervolume == pytest.approx(front.hypervolume)
    assert 0 < front.hypervolume < 1
    growth = dict(status.details.growth)
    assert len(growth) == 40
    for count in (1, 60):
        first = study.reports[study.reports["trial_id"] < f"{count:05d}"]
        assert growth[count] == pytest.approx(live_front(first, goals).hypervolume)
    assert list(growth.values()) == sorted(growth.values())


def test_a_finished_study_shows_what_was_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = StudyFiles(write_other(tmp_path / "one", random_trials(6), front=(0, 3), **BOUND))
    write_events(files, *launched(0), {"at": 60, "event": "finished"})
    [study] = as_read(capsys, "one", "--storage-path", tmp_path)
    assert (study["state"], study["num_members"], study["seconds_left"]) == ("finished", 2, None)
    assert study["details"]["is_remeasured"]
    assert [row["trial_id"] for row in study["details"]["front"]] == ["00000", "00003"]
    assert "re-measured" in shown(capsys, "one", "--storage-path", tmp_path)


@pytest.mark.parametrize(
    ("last", "state", "reason"),
    [
        ({"event": "finished"}, "finished", ""),
        ({"event": "interrupted"}, "interrupted", ""),
        ({"event": "failed", "reason": "StudyFailedError: no trial"}, "failed", "StudyFailedError: no trial"),
        ({"event": "message", "text": "then it was killed"}, "interrupted", ""),
    ],
)
def test_without_a_sign_of_life_the_last_launchs_word_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: dict[str, str], state: str, reason: str
) -> None:
    files = StudyFiles(write_other(tmp_path / "a b", mixed_trials(), front=(0,)))
    write_events(files, *launched(0), {"at": 50, "event": "finished"})  # then it was extended
    write_events(files, *launched(100), *trial(110, 0), {"at": 160, **last})
    [study] = as_read(capsys, "a b", "--storage-path", tmp_path)
    assert (study["state"], study["reason"]) == (state, reason)
    assert study["trials"] == {"COMPLETE": 4, "FAIL": 1, "STOPPED": 1}, "what was left behind is not running"
    resume = study["details"]["resume"]
    assert resume == (None if state == "finished" else
                      f"python tune_unlearning.py --name 'a b' --storage-path {tmp_path} --resume")  # fmt: skip
    printed = shown(capsys, "a b", "--storage-path", tmp_path)
    assert (f"To go on: {resume}" in printed) == (state != "finished")


@pytest.mark.parametrize(("is_whole", "state"), [(True, "finished"), (False, "interrupted")])
def test_of_a_study_without_events_its_files_say_whether_it_came_to_its_end(
    tmp_path: Path, is_whole: bool, state: str
) -> None:
    files = StudyFiles(write_other(tmp_path / "old", random_trials(3)))
    if is_whole:
        files.timing.write_text("{}")
    status = study_status(files.root, detailed=True)
    assert status.state == state
    assert status.details is not None
    assert status.details.seconds is None
    assert status.overall is None


def test_a_study_that_has_just_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = StudyFiles(write_other(tmp_path / "young", [], front=None))
    for path in (files.baseline, files.reports, files.trials):
        path.unlink()
    began = {"at": 0, "event": "study_started", "versions": {}}
    write_events(files, began, {"at": 5, "event": "stage", "stage": "measure baseline", "done": 1, "total": 4})
    with Heartbeat(files):
        [study] = as_read(capsys, "young", "--storage-path", tmp_path)
        printed = shown(capsys, "--storage-path", tmp_path)
    assert (study["state"], study["stage"]) == ("running", "measure baseline 1/4")
    assert (study["num_ended"], study["num_reports"], study["num_members"], study["hypervolume"]) == (0, 0, None, None)
    assert "measure baseline 1/4" in printed


def test_torn_rows_and_numbers_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = random_trials(4)
    trials[2]["reports"][1] |= {"sscd": float("nan"), "nll": float("inf")}
    files = StudyFiles(write_other(tmp_path / "torn", trials, front=None, **BOUND))
    for path in (files.reports, files.trials):
        with path.open("a") as stream:
            stream.write("00004,sis")
    files.events.write_bytes(b'{"time": "2026-')
    [study] = as_read(capsys, "torn", "--storage-path", tmp_path)
    assert (study["num_reports"], study["trials"]) == (8, {"COMPLETE": 4})
    assert 0 <= study["hypervolume"] <= 1
    captured = capsys.readouterr()
    assert captured.err == ""


def test_names_of_any_script_and_a_study_whose_storage_is_remote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["взгляд [1]", "two words", "数字"]
    for name in names:
        write_other(tmp_path / "runs" / name, random_trials(2), storage_path="s3://bucket/studies")
    for storage in ("s3://bucket/studies", "runs"):
        studies = as_read(capsys, *names, "--storage-path", storage)
        assert [study["name"] for study in studies] == names
        assert studies[1]["details"]["resume"].endswith(
            "--name 'two words' --storage-path s3://bucket/studies --resume"
        )
    assert all(name in shown(capsys) for name in names)


def test_an_unreadable_study_keeps_nobody_from_seeing_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {
        "bytes": ("study.yaml", b"\xff\xfe\x00"),
        "columns": ("reports.csv", b"trial_id,candidate\n00000,True\n"),
        "config": ("study.yaml", b"name: x\n"),
        "json": ("baseline.json", b"{"),
        "rows": ("reports.csv", b"trial_id,step\n1\n2,3\n"),
    }
    for name, (file, content) in broken.items():
        (write_other(tmp_path / name, random_trials(2)) / file).write_bytes(content)
    write_other(tmp_path / "whole", random_trials(2))
    (tmp_path / "no study").mkdir()
    (tmp_path / "mlflow.db").write_text("")
    studies = {study["name"]: study for study in as_read(capsys, "--storage-path", tmp_path)}
    assert {name: study["state"] for name, study in studies.items()} == {
        **dict.fromkeys(broken, "unreadable"),
        "whole": "interrupted",
    }
    for name, (file, _) in broken.items():
        assert name in studies[name]["reason"], file
    assert "Traceback" not in shown(capsys, "--storage-path", tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_other(tmp_path / "closed", random_trials(2))

    def refuse(path: Path, *rest: object, **more: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(StudyError, match=r"must be readable, but got .*study.yaml"):
        study_status(root)


def test_no_study_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no study in" in shown(capsys, "--storage-path", tmp_path)
    assert as_read(capsys, "--storage-path", tmp_path) == []


def test_a_wrong_name_path_or_interval_is_refused_with_rule_value_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_other(tmp_path / "mnist", random_trials(2))
    (tmp_path / "empty").mkdir()
    for words, parts in (
        (["mnits", "empty"], ["must have a study.yaml", "but got mnits: did you mean 'mnist'?", "but got empty"]),
        (["x", "--storage-path", str(tmp_path / "nowhere")], ["must be in a directory", "nowhere", "--storage-path"]),
    ):
        assert main([*words, *([] if "--storage-path" in words else ["--storage-path", str(tmp_path)])]) == 2
        printed = capsys.readouterr().err
        assert all(part in printed for part in parts), printed
    for given in ("mnist", "0", "nan", "-1"):
        with pytest.raises(SystemExit) as refused:
            main(["--watch", given])
        assert refused.value.code == 2
        assert f"but got {given}: give a number" in " ".join(capsys.readouterr().err.split())


def test_ten_thousand_trials(tmp_path: Path, without_sync: None) -> None:
    files = StudyFiles(write_other(tmp_path / "large", random_trials(10_000), front=None, num_trials=20_000, **BOUND))
    write_events(files, *launched(0), *(event for number in range(10_000) for event in trial(number, number, (0.1, 0))))
    status = study_status(files.root, detailed=True)
    assert status.trials == {"COMPLETE": 10_000}
    assert status.num_reports == 20_000
    assert status.details is not None
    assert status.details.growth[-1][0] == 10_000
    assert status.details.growth[-1][1] == pytest.approx(status.hypervolume)


def test_the_command_draws_a_table_of_all_in_a_log_again_and_again(tmp_path: Path) -> None:
    write_other(tmp_path / "one", random_trials(2))
    words = [sys.executable, "-m", "tuning.status", "--storage-path", str(tmp_path), "--watch", "0.2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert [line.startswith("[20") and line.endswith(" UTC]\n") for line in lines] == [True, False, False] * 2
    assert lines[1].split()[:2] == ["study", "state"]
    assert lines[2].split()[:2] == ["one", "interrupted"]


def test_on_a_terminal_it_is_redrawn_in_place(tmp_path: Path) -> None:
    write_other(tmp_path / "one", random_trials(2))
    words = [sys.executable, "-m", "tuning.status", "one", "--storage-path", str(tmp_path), "--watch", "0.2"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(words, stdout=theirs, stderr=theirs, cwd=PROJECT_ROOT, env=environment)
    os.close(theirs)
    printed, end = b"", time.monotonic() + 60
    while printed.count(b"one \xc2\xb7 ") + printed.count(b"one\x1b[0m") < 3 and time.monotonic() < end:
        printed += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) == 0
    finally:
        process.kill()
        os.close(ours)
    assert b"\x1b[1A" in printed, "the cursor goes up to draw over what was there"
    assert b"[20" not in printed


def test_bars_are_as_high_as_values() -> None:
    assert sparkline([0, 0.25, 0.5]) == "▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([float("nan"), 1.0]) == "▁█"
