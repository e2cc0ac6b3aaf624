"""From which resume state a trial goes on that is handed out again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from made_records import records_of

from trainable.checkpoint import STATE_FILES, mark_reports
from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.judging import Goals
from tuning.resume_states import ResumeStates
from tuning.trials import NUM_RESUME_STATES, latest_checkpoint


@pytest.fixture(params=["directory", "store"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> Depot:
    return Depot(tmp_path / "study", None if request.param == "directory" else f"{s3}/{tmp_path.name}")


def state(depot: Depot, index: int, num_reports: int | None, *, models: int = 1, lacks: str = "") -> None:
    """A resume state, perhaps without one of its files."""
    folder = StudyFiles(depot.root).ray / "00001" / f"checkpoint_{index:06d}"
    for model in range(models):
        (folder / str(model)).mkdir(parents=True)
        for file in STATE_FILES:
            (folder / str(model) / file).touch()
    if num_reports is not None:
        mark_reports(folder, num_reports)
    if lacks:
        (folder / lacks).unlink()
    depot.hand_over([folder])


def newest(depot: Depot, num_reports: int, num_models: int = 1) -> str | None:
    found = latest_checkpoint(depot, StudyFiles(depot.root), "00001", num_reports, num_models)
    return None if found is None else Path(found.path).name


def left(depot: Depot) -> list[int]:
    """Numbers of the states that are there."""
    return [int(name.removeprefix("checkpoint_")) for name in depot.entries(depot.root / "ray" / "00001")]


def test_the_newest_that_is_not_ahead_of_the_reports(depot: Depot) -> None:
    """A state has the number of its turn, and a trial that did something again has more turns than reports."""
    assert newest(depot, 3) is None
    for index, num_reports in enumerate((1, 2, 2, 3)):
        state(depot, index, num_reports)
    assert newest(depot, 3) == "checkpoint_000003"
    assert newest(depot, 2) == "checkpoint_000002"
    assert newest(depot, 0) is None


@pytest.mark.parametrize("lacks", ["0/state.pt", "0/state.sha256", "1/state.pt", "1/state.sha256", "reports-3"])
def test_what_a_process_left_half_written_is_passed_over_and_dropped(depot: Depot, lacks: str) -> None:
    """One without its mark may be ahead of the reports: its trial would never make them again."""
    for index, num_reports in enumerate((1, 2)):
        state(depot, index, num_reports, models=2)
    state(depot, 2, 3, models=2, lacks=lacks)
    assert newest(depot, 3, num_models=2) == "checkpoint_000001"
    assert left(depot) == [0, 1], "the next one takes its number"


def test_outdated_ones_are_dropped(depot: Depot) -> None:
    for index in range(5):
        state(depot, index, index + 1)
    assert newest(depot, 5) == "checkpoint_000004"
    assert left(depot) == list(range(5))[-NUM_RESUME_STATES - 1 :]


def test_many_trials_are_looked_up_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume hands out hundreds: one that waits for a store must not wait for the one before it."""
    records, names = records_of(tmp_path / "study", Goals((), ())), [f"{number:05d}" for number in range(4)]
    for name in names:
        records.add_report({"trial_id": name, "method": "siss", "step": 10, "rung": 0, "sscd": 0.5, "nll": 4, "fid": 9})
    together, asked = threading.Barrier(len(names), timeout=10), []

    def listing(self: Depot, folder: Path) -> list[str]:
        asked.append(folder.name)
        together.wait()
        return []

    monkeypatch.setattr(Depot, "listing", listing)
    states = ResumeStates(records, Depot(records.files.root))
    for name in [*names, "00009"]:
        states.look_up(name)
    assert [states(name) for name in [*names, "00009"]] == [None] * 5
    assert sorted(asked) == names, "one that never reported has no state, and nobody is asked"
