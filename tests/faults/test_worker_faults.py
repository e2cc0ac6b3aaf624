"""Processes, machines, resume states and disks are taken from running studies, which come to what they would have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disturbed import assert_equal, with_baseline, write_study

from benchmarks.soak_lib import worker_faults
from benchmarks.soak_lib.accounts import acknowledged
from benchmarks.soak_lib.machines import Machines
from benchmarks.soak_lib.running import Launch
from tuning.record_tables import read_table

pytestmark = pytest.mark.study

#: Bytes left on a disk, on which a resume state (336 kB) does not fit and a report with its weights (81 kB) does; and
#: on which only rows fit.
SHORT, FULL = 250_000, 60_000


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def undisturbed(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage path of the study that nothing befell."""
    storage = tmp_path_factory.mktemp("undisturbed")
    study = Launch(study_file, storage).start()
    assert study.finish() == 0, study.launch.log.read_text()
    return storage


def text_of(launch: Launch) -> str:
    """What was printed, without its line ends: the terminal breaks lines where they are long."""
    return " ".join(launch.log.read_text().split())


def test_a_trial_survives_its_process_and_damaged_resume_states(
    study_file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    storage = with_baseline(tmp_path, undisturbed)
    study = Launch(study_file, storage, ("--max-failures", "4")).start()
    study.wait_for_reports(2)
    before = acknowledged(study.files)
    done = [worker_faults.kill_trial(study)]
    for fault in (worker_faults.flip_newest, worker_faults.truncate_newest, worker_faults.damage_all):
        study.wait_for_reports(study.num_reports + 1)
        done.append(fault(study))
    assert study.finish() == 0, study.launch.log.read_text()
    assert_equal(study.files, undisturbed, before)
    log = text_of(study.launch)
    assert log.count("is taken up again") == len(done), log
    assert log.count("cannot go on from checkpoint_") >= 4, log
    # States that were damaged before count among those that are kept: another trial may be left without a sound one.
    assert log.count("starts over: no resume state is intact") >= 1, log


def test_a_trial_survives_its_machine(study_file: Path, undisturbed: Path, tmp_path: Path) -> None:
    """However often: no loss of a machine counts as a failure of the trial."""
    storage = with_baseline(tmp_path, undisturbed)
    with Machines(cpus=(1, 1, 1)) as machines:
        study = Launch(study_file, storage, ("--max-failures", "0"), machines=machines).start()
        study.wait_for_reports(2)
        worker_faults.kill_machine(study)
        study.wait_for_reports(study.num_reports + 2)
        before = acknowledged(study.files)
        worker_faults.preempt_machine(study)
        assert study.finish() == 0, study.launch.log.read_text()
        assert len(machines.raylets) == 1
    assert_equal(study.files, undisturbed, before)
    # The second machine had notice, in which its trial may have made its last report.
    assert text_of(study.launch).count("is taken up again") >= 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own can be mounted only by root")
def test_a_full_disk_costs_resume_states_first_and_then_ends_the_study_to_be_resumed(
    study_file: Path, undisturbed: Path, small_disk: Path
) -> None:
    launch = Launch(study_file, with_baseline(small_disk, undisturbed))
    study = launch.start()
    study.wait_for_reports(2)

    def goes_on() -> bool:
        worker_faults.fill_disk(study, free=SHORT)  # held there: a report takes from it, an ended trial gives back
        return "goes on without a resume state of step" in text_of(launch)

    study.wait_for(goes_on, "a report after a resume state that found no room")
    filler = worker_faults.fill_disk(study, free=FULL)
    assert study.finish() == 1
    text = text_of(launch)
    assert "No space left on device" in text
    assert "--resume" in text
    assert "Traceback" not in text
    before = acknowledged(study.files)
    assert set(read_table(study.files.trials)["state"]) <= {"COMPLETE", "RUNNING", "STOPPED"}
    filler.unlink()
    assert launch.start("--resume").finish() == 0, launch.log.read_text()
    assert_equal(study.files, undisturbed, before)
