"""From which resume state a trial goes on that is handed out again."""

from __future__ import annotations

from pathlib import Path

from trainable.checkpoint import mark_reports
from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.trials import NUM_RESUME_STATES, latest_checkpoint


def state(files: StudyFiles, index: int, num_reports: int | None) -> Path:
    folder = files.ray / "00001" / f"checkpoint_{index:06d}"
    folder.mkdir(parents=True)
    if num_reports is not None:
        mark_reports(folder, num_reports)
    return folder


def newest(files: StudyFiles, num_reports: int) -> str | None:
    found = latest_checkpoint(Depot(files.root), files, "00001", num_reports)
    return None if found is None else Path(found.path).name


def test_the_newest_that_is_not_ahead_of_the_reports(tmp_path: Path) -> None:
    """A state has the number of its turn, and a trial that did something again has more turns than reports."""
    files = StudyFiles(tmp_path)
    assert newest(files, 3) is None
    for index, num_reports in enumerate((1, 2, 2, 3)):
        state(files, index, num_reports)
    assert newest(files, 3) == "checkpoint_000003"
    assert newest(files, 2) == "checkpoint_000002"
    assert newest(files, 0) is None


def test_one_that_does_not_say_is_taken_and_outdated_ones_are_dropped(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    for index in range(5):
        state(files, index, None)
    assert newest(files, 1) == "checkpoint_000004"
    kept = sorted(path.name for path in (files.ray / "00001").iterdir())
    assert kept == [f"checkpoint_{index:06d}" for index in range(5)][-NUM_RESUME_STATES - 1 :]
