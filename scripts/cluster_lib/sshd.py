"""An ssh server on loopback with keys of its own: neither ``~/.ssh`` nor the machine's server has a part in it.

It runs in a process namespace: who logs in sees and ends processes of this server only. `ray stop`, which `ray up` and
`ray down` call, ends every Ray process that it sees, and so none of another cluster of the machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from scripts.cluster_lib.errors import ClusterError

_NAMESPACE = "/proc/self/ns/pid"


def find_sshd() -> str:
    """Debian keeps it where users do not look.

    Raises:
        ClusterError: there is none.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if (found := shutil.which("sshd", path=path)) is None:
        raise ClusterError("sshd must be installed, but is not: apt-get install openssh-server")
    return found


def free_port() -> int:
    """A port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(address: str, port: int, seconds: float = 60.0) -> None:
    """Until something listens there.

    Raises:
        ClusterError: nothing did in that time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise ClusterError(f"{address}:{port} must be listened on within {seconds:.0f} s") from None
            time.sleep(0.05)


def _name(process: psutil.Process) -> str | None:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:  # ended since it was listed
        return None


def _alone() -> list[str]:
    """Runs a program as the first of a process namespace, which ends with it; without root, in one of users too."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child"]


def isolation_problem() -> str | None:
    """Why this machine gives no process namespaces; None if it does."""
    done = subprocess.run([*_alone(), "true"], capture_output=True, text=True)
    return done.stderr.strip() or f"unshare ended with {done.returncode}" if done.returncode else None


@dataclass
class Sshd:
    """A running server, as a context.

    Attributes:
        directory: keys and configuration go here.
        addresses: of loopback, each a machine to those who log in.
        environment: what every login gets; `HOME` is one of them.
    """

    directory: Path
    addresses: Sequence[str]
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def user_key(self) -> Path:
        """The private key that opens it, and no other."""
        return self.directory / "user"

    def __enter__(self) -> Sshd:
        self.directory.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / name)], check=True
            )
        shutil.copy(self.directory / "user.pub", self.directory / "authorized_keys")
        configuration = self.directory / "sshd_config"
        configuration.write_text("\n".join(self._lines()) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks its unprivileged half in
        with (self.directory / "log").open("wb") as log:
            words = [*_alone(), find_sshd(), "-D", "-e", "-f", str(configuration)]
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until_open(self.addresses[0], self.port)
        except ClusterError as error:
            self.__exit__(None, None, None)
            raise ClusterError(f"{error}: {(self.directory / 'log').read_text()}") from None
        self._demand_isolation()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server, and with it every process that a login left behind."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def write_client(self, path: Path) -> None:
        """Write an ``ssh`` that knows port and key, for programs that cannot be told.

        On the head Ray names the key by ``~``, which ssh takes for the user's own home.
        """
        path.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F /dev/null -p {self.port} -i {self.user_key} "$@"\n')
        path.chmod(0o755)

    @property
    def processes(self) -> list[str]:
        """Names of all processes that logins started and that still run."""
        if self._process is None:
            return []
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [name for child in children if (name := _name(child))]

    def _demand_isolation(self) -> None:
        """Raises before anything is run that would end processes of others."""
        words = [*self._client(), self.addresses[0], f"readlink {_NAMESPACE}"]
        inside = subprocess.run(words, capture_output=True, text=True, timeout=30)
        if inside.returncode or inside.stdout.strip() in ("", os.readlink(_NAMESPACE)):
            self.__exit__(None, None, None)
            raise ClusterError(f"logins must have a process namespace of their own, but {inside.stdout}{inside.stderr}")

    def _client(self) -> list[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
        chosen = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", "-p", str(self.port), "-i", str(self.user_key), *chosen]

    def _lines(self) -> list[str]:
        return [
            *(f"ListenAddress {address}:{self.port}" for address in self.addresses),
            f"HostKey {self.directory / 'host'}",
            f"AuthorizedKeysFile {self.directory / 'authorized_keys'}",
            f"SetEnv {' '.join(f'{name}={value}' for name, value in self.environment.items())}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "AuthenticationMethods publickey",
            "AllowTcpForwarding local",
        ]
