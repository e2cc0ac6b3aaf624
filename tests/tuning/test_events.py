"""What is kept of a study that runs: events on any disk, signs of life, versions, and nothing that must not be kept."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_study import make_config

from tuning.events import LINE_LENGTH, EventLog, read_events
from tuning.files import StudyFiles
from tuning.heartbeat import STALE_SECONDS, Beat, Heartbeat, read_beat, running_beat
from tuning.logged import LoggedView, TrialEvents, study_log
from tuning.paths import PROJECT_ROOT
from tuning.record_tables import RecordsError
from tuning.records import Records, TrialState
from tuning.versions import differences, versions


class Screen:
    """A view that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **more: self.told.append((name, *arguments))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    (tmp_path / "study").mkdir()
    return StudyFiles(tmp_path / "study")


def names(files: StudyFiles) -> list[str]:
    return [event.name for event in read_events(files.events)]


def test_an_event_reads_back_with_its_time_its_trial_and_its_facts(files: StudyFiles) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    facts = {"step": np.int64(4), "feasible": np.bool_(True), "violation": np.float64("inf"), "nll": math.nan, "x": 0.5}
    EventLog(files.events).write("report", facts, "00003")
    [event] = read_events(files.events)
    assert (event.name, event.trial_id) == ("report", "00003")
    assert event.facts == {"step": 4, "feasible": True, "violation": None, "nll": None, "x": 0.5}
    assert before <= event.time <= datetime.now(UTC)
    assert json.loads(files.events.read_text())["time"].endswith("+00:00")


def test_a_line_is_bounded_and_tells_no_password(files: StudyFiles) -> None:
    log = EventLog(files.events)
    log.write("message", {"text": "postgresql://me:secret@host/db " + "ü" * 10_000})
    log.write("message", {str(number): "x" * 250 for number in range(1000)})
    lines = files.events.read_bytes().splitlines()
    assert all(len(line) <= LINE_LENGTH for line in lines)
    first, second = read_events(files.events)
    assert first.facts["text"].startswith("postgresql://me:***@host/db ü")
    assert second.facts == {"left_out": "too long"}


@pytest.mark.parametrize("torn", [b'{"time": "2026-', b'{"time": "2026-01-01T00:00:00+00:00", "event": "sta'])
def test_a_torn_line_is_passed_over_and_nothing_is_glued_to_it(files: StudyFiles, torn: bytes) -> None:
    log = EventLog(files.events)
    log.write("stage")
    with files.events.open("ab") as stream:
        stream.write(torn)
    assert names(files) == ["stage"]
    log.write("front")
    assert names(files) == ["stage", "front"]


@pytest.mark.parametrize(
    "line",
    ["", "null", "[]", "17", '{"event": "stage"}', '{"time": 3, "event": "stage"}', '{"time": "soon", "event": "x"}',
     '{"time": "2026-01-01T00:00:00", "event": 7}', "\xff\x00", '{"time": "2026-01-01", "event": "x", "trial_id": 3}'],
)  # fmt: skip
def test_what_is_no_event_is_passed_over(files: StudyFiles, line: str) -> None:
    files.events.write_bytes(line.encode("latin-1") + b'\n{"time": "2026-01-01T00:00:00", "event": "stage"}\n')
    [event] = read_events(files.events)
    assert event.time == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_full_disk_or_a_directory_that_is_gone_stops_nothing(files: StudyFiles, tmp_path: Path) -> None:
    files.events.symlink_to("/dev/full")
    EventLog(files.events).write("stage")
    gone = StudyFiles(tmp_path / "gone")
    EventLog(gone.events).write("stage")
    with Heartbeat(gone):
        assert not gone.root.exists()
    assert list(read_events(gone.events)) == []


def test_events_of_several_threads_are_whole(files: StudyFiles) -> None:
    log = EventLog(files.events)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: log.write("message", {"number": number, "text": "x" * 200}), range(200)))
    assert sorted(event.facts["number"] for event in read_events(files.events)) == list(range(200))


def records(files: StudyFiles) -> Records:
    return Records(
        files, parameters=("lambd",), metrics=("sscd",), constraints=(), baseline={},
        listener=TrialEvents(EventLog(files.events)),
    )  # fmt: skip


def test_trials_and_reports_are_kept_once_each(files: StudyFiles) -> None:
    config = {"trial_id": "00000", "method": "siss", "lambd": 0.5, "seed": 3}
    report = {**config, "step": 2, "rung": 0, "sscd": 0.5, "training_seconds": 1.5, "peak_memory_gb": 0.25}
    kept = records(files)
    kept.start_trial("00000", config)
    assert kept.add_report(report)
    assert not kept.add_report(report)
    kept.start_trial("00000", config)  # its worker was lost
    again = records(files)  # the driver was
    again.start_trial("00000", config)
    for _ in range(2):
        again.end_trial("00000", config, TrialState.FAIL, "diverged", 7.0)
    found = [(event.name, event.trial_id, dict(event.facts)) for event in read_events(files.events)]
    started = {"method": "siss", "after_step": 2}
    assert found == [
        ("trial_started", "00000", {"method": "siss"}),
        ("report", "00000", {"step": 2, "rung": 0, "training_seconds": 1.5, "peak_memory_gb": 0.25, "feasible": True,
                             "violation": 0.0}),
        ("retried", "00000", started),
        ("resumed", "00000", started),
        ("trial_ended", "00000", {"state": "FAIL", "reason": "diverged", "seconds": 7.0}),
    ]  # fmt: skip


def test_a_view_is_told_all_and_stages_messages_and_better_fronts_are_kept(files: StudyFiles) -> None:
    screen = Screen()
    view = LoggedView(screen, EventLog(files.events))
    view.stage("measure baseline", 2)
    view.advance()
    view.reach(1, 0.7)
    view.trials(1, 0, 0, 5, under_way=0.5)
    view.front([{}], 0.25)
    view.front([{}], 0.25)
    view.message("trial 00003 failed: diverged")
    assert [name for name, *_ in screen.told] == ["stage", "advance", "reach", "trials", "front", "front", "message"]
    assert screen.told[0] == ("stage", "measure baseline", 2)
    assert [dict(event.facts) for event in read_events(files.events)] == [
        {"stage": "measure baseline", "done": 0, "total": 2},
        {"stage": "measure baseline", "done": 1, "total": 2},
        {"members": 1, "hypervolume": 0.25},
        {"text": "trial 00003 failed: diverged"},
    ]


def test_of_very_many_parts_not_each_is_kept(files: StudyFiles) -> None:
    view = LoggedView(Screen(), EventLog(files.events))
    view.stage("fetch pictures", 1000)
    for _ in range(1000):
        view.advance()
    done = [event.facts["done"] for event in read_events(files.events)]
    assert (done[0], done[-1]) == (0, 1000)
    assert len(done) < 50, "one a second"


@contextmanager
def running(files: StudyFiles, screen: Screen | None = None, resume: bool = False) -> Iterator[LoggedView]:
    with study_log(make_config(files.root), files, screen or Screen(), resume=resume) as view:  # type: ignore[arg-type]
        yield view


@pytest.mark.parametrize(
    ("error", "name", "facts"),
    [
        (None, "finished", {}),
        (KeyboardInterrupt(), "interrupted", {}),
        (RecordsError("bad columns"), "failed", {"reason": "RecordsError: bad columns"}),
        (ValueError("the prompt 'a secret person'"), "failed", {"reason": "ValueError"}),
    ],
)
def test_a_study_says_how_it_ended(files: StudyFiles, error: BaseException | None, name: str, facts: object) -> None:
    with pytest.raises(type(error)) if error else nullcontext(), running(files):
        assert running_beat(files) is not None
        if error:
            raise error
    first, last = read_events(files.events)
    assert first.facts["versions"] == versions()
    assert (first.name, first.facts["resumed"], first.facts["num_trials"]) == ("study_started", False, 20)
    assert (last.name, last.facts) == (name, facts)
    assert not files.running.exists()


def test_warnings_of_the_project_are_shown_and_kept_while_a_study_runs(files: StudyFiles) -> None:
    screen, logger = Screen(), logging.getLogger("tuning.tracking")
    with running(files, screen):
        logger.warning("cannot write %s", "https://me:secret@mlflow.example")
        logger.info("nobody needs this")
    logger.warning("too late")
    text = "warning: cannot write https://me:***@mlflow.example"
    assert screen.told == [("message", text)]
    assert [event.facts["text"] for event in read_events(files.events) if event.name == "message"] == [text]


def test_a_resume_by_other_versions_says_which(files: StudyFiles) -> None:
    for screen in (Screen(), Screen()):
        with running(files, screen, resume=True):
            pass
        assert screen.told == []
    now = versions()
    files.events.write_text(files.events.read_text().replace(f'"torch": "{now["torch"]}"', '"torch": "2.0.0"'))
    with running(files, screen, resume=True):
        pass
    [(_, text)] = screen.told
    assert text == f"resumed by other versions than the study last ran by: torch 2.0.0 → {now['torch']}"


def test_versions_are_those_of_the_project_its_code_and_its_libraries() -> None:
    found = versions()
    assert {"project", "code", "python", "torch", "ray", "optuna", "mlflow"} <= set(found)
    assert len(found["code"]) == 12
    assert differences({"ray": "1", "gone": "2"}, {"ray": "3", "new": "4"}) == ["ray 1 → 3"]


def test_signs_of_life_are_given_anew(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    with Heartbeat(files, period=0.05):
        first = files.running.stat().st_mtime_ns
        end = time.monotonic() + 10
        while files.running.stat().st_mtime_ns == first:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert not files.running.exists()


def test_the_sign_of_another_process_is_left_to_it(files: StudyFiles) -> None:
    other = replace(Beat.now(), pid=1)
    with Heartbeat(files, period=60):
        files.running.write_text(json.dumps(vars(other)))
    assert read_beat(files.running) == other


@pytest.mark.parametrize(
    ("age", "runs"), [(-30, True), (0, True), (STALE_SECONDS - 5, True), (STALE_SECONDS + 5, False)]
)
def test_another_machines_sign_holds_for_a_minute(files: StudyFiles, age: float, runs: bool) -> None:
    time = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    beat = replace(Beat.now(), pid=2**22 + 1, host="elsewhere", processes="elsewhere", time=time)
    files.running.write_text(json.dumps(vars(beat)))
    assert (running_beat(files) is not None) == runs


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": 1}', '{"pid": "x", "host": "a"}'])
def test_a_sign_that_cannot_be_read_is_none(files: StudyFiles, content: str) -> None:
    files.running.write_text(content)
    assert running_beat(files) is None


def test_a_process_that_was_killed_runs_no_more_at_once(files: StudyFiles) -> None:
    """Its sign of life is fresh, and it is not even waited for by its parent."""
    code = "import sys, time; from tuning.files import StudyFiles; from tuning.heartbeat import Heartbeat\n"
    code += "with Heartbeat(StudyFiles(sys.argv[1])): print(flush=True); time.sleep(60)"
    words = [sys.executable, "-c", code, str(files.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        beat = running_beat(files)
        assert beat is not None
        assert beat.pid == process.pid
        process.kill()
        end = time.monotonic() + 10
        while running_beat(files) is not None:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert files.running.exists()
