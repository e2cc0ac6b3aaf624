"""A PostgreSQL server of one's own for as long as a benchmark runs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

#: Where Debian keeps programs of a server, by its version; they are on nobody's path.
DEBIAN: Final = Path("/usr/lib/postgresql")


class NoServerError(Exception):
    """There is no PostgreSQL server to start."""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on a socket in a folder.

    Attributes:
        folder: holds the socket and the data.
        user: who runs it, None for oneself.
        password: of the one database user, which the server asks for; empty: it asks nobody.
    """

    folder: Path
    user: str | None
    password: str = ""

    @property
    def url(self) -> str:
        """Of the database that it has from the start."""
        return self._url("postgres")

    def add_database(self, name: str) -> str:
        """The URL of one more; Optuna and MLflow keep tables of one name, so that each needs its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://benchmark@/{database}?host={self.folder}"

    def start(self) -> None:
        """Returns when it answers."""
        options = f"-k {self.folder} -h ''"
        _call(self.user, "pg_ctl", "-D", self._data, "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """At once: connections break, and what was not committed is lost."""
        _call(self.user, "pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def create(self) -> None:
        """Make its data; once, before it is started."""
        options = _authentication(self.folder, self.password)
        _call(self.user, "initdb", "-D", self._data, "-U", "benchmark", "-E", "UTF8", *options)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")


def program(name: str) -> str | None:
    """Where a program of the server is: the one on the path, else Debian's newest; None if there is none."""
    installed = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name))
    return shutil.which(name) or next(map(str, reversed(installed)), None)


@contextmanager
def own_server(password: str = "") -> Iterator[Server]:
    """A fresh server in a temporary folder; it ends with the context.

    Args:
        password: of the one user, which is not in the URL and which the server asks for; empty: it asks nobody.

    Raises:
        NoServerError: ``initdb`` or ``pg_ctl`` is not there, or fails.
    """
    if missing := [name for name in ("initdb", "pg_ctl") if program(name) is None]:
        names = " and ".join(missing)
        raise NoServerError(
            f"{names} must be on the path or in {DEBIAN}/*/bin, but cannot be found; install PostgreSQL's server"
        )
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), _owner(Path(folder)), password)
        server.create()
        server.start()
        try:
            yield server
        finally:
            if (server.folder / "data" / "postmaster.pid").exists():
                server.stop()


@contextmanager
def temporary_server(password: str = "") -> Iterator[str]:
    """The URL of a fresh database, without the password; the server ends with the context.

    Raises:
        NoServerError: as `own_server`.
    """
    with own_server(password) as server:
        yield server.url


def _authentication(folder: Path, password: str) -> list[str]:
    if not password:
        return ["--auth", "trust"]
    file = folder / "password"
    file.write_text(password + "\n", encoding="utf-8")
    return ["--auth", "scram-sha-256", "--pwfile", str(file)]


def _owner(folder: Path) -> str | None:
    """Who is to run the server, None for oneself; it refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam("postgres")
    except KeyError as error:
        raise NoServerError("PostgreSQL must not be run by root, but there is no user postgres to run it") from error
    os.chown(folder, account.pw_uid, account.pw_gid)
    return "postgres"


def _call(user: str | None, name: str, *arguments: str) -> None:
    command = [program(name) or name, *arguments]
    done = subprocess.run(command, user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise NoServerError(f"{name} must succeed, but says {done.stderr.strip()[-200:]}")
