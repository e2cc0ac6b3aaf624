"""How long nobody works after a driver was killed: from ``--resume`` to the first trial that runs.

A small study on this machine is killed with SIGKILL in the middle of its trials, driver alone, and resumed by the
command that a user would type: Python starts, the records are read, Ray is started, and a trial is handed out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.soak_lib.running import Launch
from benchmarks.soak_lib.service_faults import kill_driver
from benchmarks.table import Result
from trainable.testing import write_tiny_study
from tuning.events import EventName, read_events
from tuning.files import StudyFiles

#: Reports after which the driver is killed.
MOMENTS: Final = (2, 4, 6)
WANTED_SECONDS: Final = 30


def run(moments: tuple[int, ...] = MOMENTS) -> Result:
    """A row for each moment at which the driver is killed.

    Raises:
        StuckError: a study did not run, or did not go on.
    """
    with tempfile.TemporaryDirectory() as folder:
        study_file = write_tiny_study(Path(folder), num_trials=4, rungs=[50, 100, 150], max_concurrent_trials=2)
        seconds = [_resumed(study_file, Path(folder) / f"after-{reports}", reports) for reports in moments]
    rows = [(f"{reports} reports", f"{taken:.1f}") for reports, taken in zip(moments, seconds, strict=True)]
    return Result(
        "Seconds from --resume to the first trial that runs, after SIGKILL of the driver",
        ("killed after", "seconds"),
        [*rows, ("median", f"{statistics.median(seconds):.1f}")],
        f"wanted on two cores: at most {WANTED_SECONDS}",
    )


def _resumed(study_file: Path, storage: Path, reports: int) -> float:
    launch = Launch(study_file, storage)
    study = launch.start()
    study.wait_for_reports(reports)
    kill_driver(study)  # what it started goes by itself, beside the resume, as where a user types it at once
    before = num_starts(launch.files)
    began = time.monotonic()
    resumed = launch.start("--resume")
    try:
        resumed.wait_for(lambda: num_starts(launch.files) > before, "a trial that runs")
        return time.monotonic() - began
    finally:
        for run in (resumed, study):
            run.kill()
            run.wait_until_gone()


def num_starts(files: StudyFiles) -> int:
    """How often a trial has begun to run, or to run again, in all launches."""
    begun = (EventName.TRIAL_STARTED, EventName.RESUMED)
    return sum(event.name in begun for event in read_events(files.events))
