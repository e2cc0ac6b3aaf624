"""A study in a process of its own, to which something is done while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tuning.files import StudyFiles
from tuning.paths import PROJECT_ROOT
from tuning.schema import local_directory

if TYPE_CHECKING:
    from benchmarks.soak_lib.machines import Machines

#: What stays of Ray for about a minute when it is killed: it reports the death to a server that is dead as well.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "")
#: How often a condition is looked at, in seconds.
PERIOD = 0.05


class StuckError(RuntimeError):
    """Something did not happen in its time."""


@dataclass(frozen=True)
class Launch:
    """How a study is started, again and again.

    Attributes:
        study_file: what ``--study`` gets.
        storage: the current directory of the process; its records are in here, and its log.
        flags: further flags.
        environment: variables besides this process's own.
        storage_path: what ``--storage-path`` gets where that is not ``storage``.
        machines: the cluster to run on; None for one that the study starts on this machine.
    """

    study_file: Path
    storage: Path
    flags: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    storage_path: str | None = None
    machines: Machines | None = None

    @property
    def log(self) -> Path:
        """Both streams of all starts, one after another."""
        return self.storage / "launch.log"

    @property
    def records(self) -> Path:
        """Where the records of studies are on this machine."""
        return self.storage / (local_directory(self.storage_path) if self.storage_path else "")

    @property
    def files(self) -> StudyFiles:
        """Of the one study there."""
        [root] = [path.parent for path in self.records.glob("*/study.yaml")]
        return StudyFiles(root)

    def start(self, *flags: str) -> RunningStudy:
        """Start the study in a session of its own, so that a signal to its group reaches its workers too."""
        words = [sys.executable, str(PROJECT_ROOT / "tune_unlearning.py"), "--study", str(self.study_file)]
        words += ["--storage-path", self.storage_path or str(self.storage), *self.flags, *flags]
        if self.machines is not None:
            words += ["--address", self.machines.address]
        self.storage.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                words,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.storage,
                env={**os.environ, **(self.environment or {})},
                start_new_session=True,
            )
        return RunningStudy(self, process)


@dataclass(frozen=True)
class RunningStudy:
    """A study that runs, or ran."""

    launch: Launch
    process: subprocess.Popen[bytes]

    @property
    def files(self) -> StudyFiles:
        """Of the one study there."""
        return self.launch.files

    @property
    def num_reports(self) -> int:
        """Rows of ``reports.csv`` so far."""
        tables = list(self.launch.records.glob("*/reports.csv"))
        return max(0, tables[0].read_bytes().count(b"\n") - 1) if tables else 0

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
        """Wait while the study runs.

        Raises:
            StuckError: the study ended first, or the time did; with the end of its log.
        """
        end = time.monotonic() + seconds
        while not condition():
            if self.has_ended or time.monotonic() > end:
                raise StuckError(f"{what} did not come: {self._state()}")
            time.sleep(PERIOD)

    def wait_for_reports(self, count: int) -> None:
        """Until ``reports.csv`` has ``count`` rows."""
        self.wait_for(lambda: self.num_reports >= count, f"report {count}")

    def finish(self, seconds: float = 600.0) -> int:
        """The exit status; what still runs after that time is killed.

        Raises:
            StuckError: the study did not end.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            state = self._state()
            self.kill()
            raise StuckError(f"the study did not end: {state}") from None

    def kill(self) -> None:
        """SIGKILL to the driver and to all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()

    def processes(self) -> list[psutil.Process]:
        """What runs in the session that it was started in, whoever the parent is by now; zombies do not run."""
        return [process for process in psutil.process_iter() if _is_of(process, self.process.pid)]

    def wait_until_gone(self, seconds: float = 150.0, lingering: Collection[str] = ()) -> None:
        """Until nothing is left of it, a killed driver's workers and services included.

        Args:
            seconds: how long that may take.
            lingering: names of processes that may still be there.

        Raises:
            StuckError: another is.
        """
        end = time.monotonic() + seconds
        while left := [name for name in map(_name, self.processes()) if name not in lingering]:
            if time.monotonic() > end:
                raise StuckError(f"processes must end with their study, but {', '.join(left)} did not")
            time.sleep(PERIOD)

    def _state(self) -> str:
        text = self.launch.log.read_text(encoding="utf-8", errors="replace")
        return f"exit status {self.process.poll()}, {self.num_reports} reports; {text[-2000:]}"


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def _is_of(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
