"""clusters/on_premise.yaml on this machine alone: `ray up` over loopback ssh, a head and a worker, ports of their own.

Two addresses of loopback stand for two machines. A home of its own (`HOME` of every login) takes what the cluster
copies and writes, and a process namespace (`sshd`) keeps it and other Ray clusters of this machine apart.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import yaml

from scripts.cluster_lib.configuration import HEAD, WORKER, Ports, configuration
from scripts.cluster_lib.errors import ClusterError
from scripts.cluster_lib.sshd import Sshd, free_port, wait_until_open

ROOT = Path(__file__).resolve().parents[2]
#: Where studies are kept, below the home; on real machines mounted from one server.
STORAGE = "shared"
_BIN = Path(sys.executable).parent
_STARTS = 3
#: How `ray status` says that head and worker are there.
_BOTH_ACTIVE = re.compile(r"^Active:\s+2 ", re.MULTILINE)


class LocalCluster:
    """A running cluster, as a context.

    Args:
        num_cpus: of the worker; the head has none.
        show: print what commands of the cluster's life print.
    """

    def __init__(self, num_cpus: int = 2, *, show: bool = False) -> None:
        self._num_cpus, self._show = num_cpus, show
        # Short: the path of a Unix socket below it must have less than 108 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="unlearn-", dir="/tmp"))
        self.home, self._bin, self._client = (self.directory / name for name in ("home", "bin", "client"))
        self.config, self.ports = self.directory / "cluster.yaml", Ports()
        #: Address of the head; Ray listens there on `ports.ray`.
        self.head = HEAD
        self._sshd = Sshd(self.directory / "ssh", (HEAD, WORKER), {"HOME": str(self.home)})

    def __enter__(self) -> LocalCluster:
        try:
            self._prepare()
            self._sshd.__enter__()
            self._sshd.write_client(self._bin / "ssh")
            nodes = configuration(self._client / "auth_token", self._sshd.user_key, self.ports, self._num_cpus)
            self.config.write_text(yaml.safe_dump({**nodes, "cluster_name": self.directory.name}))
            self._start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.directory.exists():
            return
        try:
            self.ray("down", str(self.config), "--yes")
        finally:
            self._clear()

    @property
    def environment(self) -> dict[str, str]:
        """Of who uses the cluster from outside: the token, an ssh that knows the port, states kept apart."""
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(self._bin), str(_BIN), os.environ["PATH"]]),
            "TMPDIR": str(self._client),
            "RAY_TMPDIR": str(self._client),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._client / "auth_token"),
            "RAY_UP_enable_autoscaler_v2": "0",  # the second autoscaler does not know `provider: local`
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def ray(self, *words: str, show: bool = False, seconds: float | None = None) -> str:
        """A command of the Ray command line, from the repository; returns what it printed, if that was not shown.

        Raises:
            ClusterError: it failed; with what it printed.
            subprocess.TimeoutExpired: it took longer than ``seconds``.
        """
        done = subprocess.run(
            [str(_BIN / "ray"), *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=None if show or self._show else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        if done.returncode:
            raise ClusterError(f"ray {words[0]} must succeed, but ended with {done.returncode}: {done.stdout or ''}")
        return done.stdout or ""

    def exec(self, command: str, *, show: bool = False) -> str:
        """Run a shell command on the head."""
        return self.ray("exec", str(self.config), command, show=show)

    @contextmanager
    def dashboard(self) -> Iterator[str]:
        """The address of the dashboard, which takes jobs, through an ssh tunnel."""
        port = free_port()
        words = ["dashboard", str(self.config), "--port", str(port), "--remote-port", str(self.ports.dashboard)]
        tunnel = subprocess.Popen(
            [str(_BIN / "ray"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until_open("127.0.0.1", port)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(tunnel.pid, signal.SIGTERM)
            tunnel.wait()

    def run_study(self, flags: Sequence[str], seconds: float | None = None) -> str:
        """Submit a study as a job, follow its log to its end and return it, if it was not shown.

        Args:
            flags: of the launch command, besides those that say where: address, storage and MLflow.
            seconds: how long that may take; None for any time.
        """
        where = ["--address", "auto", "--storage-path", str(self.home / STORAGE)]
        where += ["--mlflow-tracking-uri", f"http://127.0.0.1:{self.ports.mlflow}"]
        study = shlex.join(["python", "tune_unlearning.py", *where, *flags])
        with self.dashboard() as address:
            command = f"cd ~/data-unlearning-search && exec {study}"
            return self.ray("job", "submit", "--address", address, "--", "bash", "-c", command, seconds=seconds)

    def fetch(self, source: str, target: Path) -> None:
        """Copy a study's directory from the head into ``target``."""
        target.mkdir(parents=True, exist_ok=True)
        self.ray("rsync-down", str(self.config), f"~/{STORAGE}/{source}/", f"{target}/")

    @property
    def processes(self) -> list[str]:
        """Names of the cluster's processes."""
        return self._sshd.processes

    def _start(self) -> None:
        """`ray up`, until the head's autoscaler has started the worker over ssh.

        Ray gives a node 30 s to come up, which a busy machine may exceed, and does not try again: then all begins anew.

        Raises:
            ClusterError: the worker did not come, time and again.
        """
        for _ in range(_STARTS):
            self.ray("up", str(self.config), "--yes", "--no-config-cache")
            status = self._status_with_worker()
            if _BOTH_ACTIVE.search(status):
                return
            self.ray("down", str(self.config), "--yes")
        raise ClusterError(f"the worker must join, but did not in {_STARTS} starts of the cluster: {status}")

    def _status_with_worker(self, seconds: float = 240.0) -> str:
        """What `ray status` says once the worker has joined, has failed, or the time is over."""
        end, status, had_come = time.monotonic() + seconds, "", False
        while time.monotonic() < end and not _BOTH_ACTIVE.search(status):
            has_come = self.processes.count("raylet") == len((HEAD, WORKER))
            if had_come and not has_come:
                break
            had_come = has_come
            status = self.exec("ray status") if has_come else ""
            time.sleep(0.5)
        return status

    def _prepare(self) -> None:
        """The home of all logins, and the cluster's token."""
        for directory in (self.home, self._bin, self._client):
            directory.mkdir(mode=0o700)
        (self.home / ".bashrc").write_text(
            f'export RAY_TMPDIR="{self.directory}" MLFLOW_PORT={self.ports.mlflow} PATH="{self._bin}:$PATH"\n'
        )
        token = self._client / "auth_token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))

    def _clear(self) -> None:
        """Whatever is left: a worker and MLflow outlive `ray down`, which stops the head's Ray only."""
        self._sshd.__exit__(None, None, None)
        shutil.rmtree(self.directory, ignore_errors=True)
