"""What is done to the workers of studies, by name; what a study needs for it is made for the while."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.soak_lib import worker_faults as faults
from benchmarks.soak_lib.machines import Machines
from benchmarks.soak_lib.running import RunningStudy
from benchmarks.soak_lib.setting import Scenario, Setting, alone

#: Bytes that are left on a disk: a resume state soon does not fit any more, reports still do for a while.
LEFT: Final = 1_000_000
#: Reports of a study after which a trial may be the last one with two resume states.
EARLY: Final = 6


def on_machines(inject: Callable[[RunningStudy], object]) -> Scenario:
    """A study on three machines that can be lost."""

    @contextmanager
    def scenario(folder: Path) -> Iterator[Setting]:
        with Machines(cpus=(1, 1, 1)) as machines:
            yield Setting(inject, machines=machines)

    return scenario


def with_states(inject: Callable[[RunningStudy], object]) -> Scenario:
    """A study early enough that trials with two resume states are still to come."""

    @contextmanager
    def scenario(folder: Path) -> Iterator[Setting]:
        yield Setting(inject, last_moment=EARLY)

    return scenario


@contextmanager
def disk_full(folder: Path) -> Iterator[Setting]:
    """A study on a disk of its own, which somebody fills and makes room on when the study has ended."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    try:
        yield Setting(_fill_until_it_ends, storage=disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill_until_it_ends(study: RunningStudy) -> None:
    filler = faults.fill_disk(study, LEFT)
    study.finish()
    filler.unlink()


WORKER_SCENARIOS: Mapping[str, Scenario] = {
    "trial's process killed": alone(faults.kill_trial),
    "machine killed": on_machines(faults.kill_machine),
    "spot notice": on_machines(faults.preempt_machine),
    "resume state truncated": with_states(faults.truncate_newest),
    "resume state with a bit flipped": with_states(faults.flip_newest),
    # Only root can mount a disk.
    **({"disk full": disk_full} if os.geteuid() == 0 else {}),
}
