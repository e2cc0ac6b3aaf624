"""Faults of the driver, its signals and clock, and of the services that it leans on: plain functions.

Those that end the driver leave it to be resumed; the others put right what they broke, after a while.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.postgresql import Server
from benchmarks.soak_lib.mlflow_server import MlflowServer
from benchmarks.soak_lib.running import PERIOD, RunningStudy, StuckError
from tuning.journal_lock import holder_name

#: How long a service is away, in seconds; long enough for several tries of whoever misses it.
AWAY_SECONDS = 6.0
#: What environment a study needs for `step_clock_back`, but for the file.
CLOCK_FOLDER = Path(__file__).parent / "stepping_clock"
CLOCK_STEP_SECONDS = 3600.0
#: How often processes are looked for and killed; each is gone within a moment.
KILL_ROUNDS = 200


def interrupt(study: RunningStudy, number: int = signal.SIGINT) -> None:
    """One signal to the driver, which then ends by itself."""
    study.process.send_signal(number)


def press_ctrl_c(study: RunningStudy) -> None:
    """SIGINT to the whole group that the driver leads, as a terminal does."""
    os.killpg(study.process.pid, signal.SIGINT)


def interrupt_twice(study: RunningStudy, seconds: float = 1.5) -> None:
    """A second signal ``seconds`` after the first, if it still runs then."""
    study.process.send_signal(signal.SIGINT)
    time.sleep(seconds)
    if not study.has_ended:
        study.process.send_signal(signal.SIGINT)


def kill_driver(study: RunningStudy) -> None:
    """SIGKILL to the driver alone."""
    study.process.kill()
    study.process.wait()


def kill_cluster(study: RunningStudy) -> None:
    """SIGKILL to the driver and to every process of its session: raylet, GCS, workers.

    Over and over until none is left, since a process may be started while others are killed.

    Raises:
        StuckError: one is left.
    """
    for _ in range(KILL_ROUNDS):
        left = study.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        study.process.wait()
        if not left:
            return
        time.sleep(PERIOD)
    raise StuckError(f"processes must end by SIGKILL, but {study.processes()} did not")


def mlflow_down_and_back(server: MlflowServer, seconds: float = AWAY_SECONDS) -> None:
    """Kill an MLflow server and start it again after a while."""
    server.kill()
    time.sleep(seconds)
    server.start()


def restart_postgresql(server: Server, seconds: float = AWAY_SECONDS) -> None:
    """Stop a PostgreSQL server in the middle of what it does and start it again after a while."""
    server.stop()
    time.sleep(seconds)
    server.start()


@contextmanager
def locked_sqlite(database: Path) -> Iterator[None]:
    """Hold a SQLite database exclusively from another process for as long as the context lasts."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)"
    code += "; c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read(); c.execute('ROLLBACK')"
    words = [sys.executable, "-c", code, str(database)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        if holder.stdout is None or holder.stdout.readline() != "held\n":
            raise StuckError(f"{database} must be locked, but could not be")
        try:
            yield
        finally:
            holder.communicate()


def lock_sqlite(database: Path, seconds: float = AWAY_SECONDS) -> None:
    """Hold a SQLite database for a while."""
    with locked_sqlite(database):
        time.sleep(seconds)


def leave_journal_lock(study: RunningStudy) -> None:
    """Kill the driver and leave the lock that it held if it was writing its journal at that moment."""
    kill_driver(study)
    link = Path(f"{study.files.journal}.lock")
    link.unlink(missing_ok=True)
    link.symlink_to(holder_name(study.process.pid))


def step_clock_back(file: Path, seconds: float = CLOCK_STEP_SECONDS) -> None:
    """Put the wall clock of a study back that was started with ``clock_environment(file)``."""
    file.write_text(str(seconds))


def clock_environment(file: Path) -> dict[str, str]:
    """What a study needs in its environment for its clock to be put back."""
    paths = [str(CLOCK_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"STEPPING_CLOCK": str(file), "PYTHONPATH": os.pathsep.join(paths)}
