"""A PostgreSQL server of one's own for as long as a benchmark runs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoServerError(Exception):
    """There is no PostgreSQL server to start."""


@contextmanager
def temporary_server(password: str = "") -> Iterator[str]:
    """The URL of a fresh database, on a socket in a temporary folder; the server ends with the context.

    Args:
        password: of the one user, which is not in the URL and which the server asks for; empty: it asks nobody.

    Raises:
        NoServerError: ``initdb`` or ``pg_ctl`` is not on the path, or fails.
    """
    programs = {name: shutil.which(name) for name in ("initdb", "pg_ctl")}
    if missing := [name for name, found in programs.items() if found is None]:
        raise NoServerError(f"{' and '.join(missing)} must be on the path, but cannot be found")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        user = _owner(Path(folder))
        _call(user, "initdb", "-D", str(data), "-U", "benchmark", "-E", "UTF8", *_authentication(folder, password))
        options = f"-k {folder} -h ''"
        _call(user, "pg_ctl", "-D", str(data), "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://benchmark@/postgres?host={folder}"
        finally:
            _call(user, "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def _authentication(folder: str, password: str) -> list[str]:
    if not password:
        return ["--auth", "trust"]
    file = Path(folder) / "password"
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


def _call(user: str | None, *command: str) -> None:
    done = subprocess.run(command, user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise NoServerError(f"{command[0]} must succeed, but says {done.stderr.strip()[-200:]}")
