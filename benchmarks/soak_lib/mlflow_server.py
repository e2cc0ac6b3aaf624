"""An MLflow server of one's own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak_lib.running import StuckError

_START_SECONDS = 180.0
#: No word to its makers, and none of the half dozen processes beside it that run jobs, of which there are none here.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class MlflowServer:
    """One on a port of this machine.

    Attributes:
        folder: holds its log, and its artifacts.
        store: its database, also for looking at it while no server runs.
    """

    folder: Path
    store: str
    _port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers; a session of its own, since it has processes below it.

        Raises:
            StuckError: it does not answer.
        """
        words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--port", str(self._port)]
        words += ["--host", "127.0.0.1", "--workers", "1", "--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, **_QUIET}
        with (self.folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, cwd=self.folder, env=environment, start_new_session=True
            )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise StuckError(f"the MLflow server must answer, but does not: see {self.folder / 'mlflow.log'}")
            time.sleep(0.2)

    def kill(self) -> None:
        """All of it, at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
