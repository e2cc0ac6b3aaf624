"""One file over HTTP: resumed where it was cut, checked, and given its name only when it is whole.

What has arrived lies in ``<name>.part``; ``<name>.part.mark`` holds the server's mark of the version that it is of, so
that two versions are never joined.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.fetch_lib.answer import Answer, CutError, Login, OtherVersionError, ask
from scripts.fetch_lib.display import Meter
from scripts.fetch_lib.errors import FetchError
from scripts.fetch_lib.record import Digest, Known, digest_of

NOTHING_KNOWN: Final = Known()


@dataclass(frozen=True)
class Client:
    """How requests are made and repeated.

    Args:
        login: how a site is told who asks.
        attempts: requests in a row that bring nothing new before it is given up.
        pause_seconds: pause before the second one; it doubles each time.
        timeout_seconds: longest silence of the server.
        sleep: how to pause.
    """

    login: Login = field(default_factory=Login)
    attempts: int = 5
    pause_seconds: float = 1.0
    timeout_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Part:
    """What has arrived of a file so far."""

    final: Path

    @property
    def path(self) -> Path:
        return self.final.with_name(f"{self.final.name}.part")

    @property
    def _mark(self) -> Path:
        return self.final.with_name(f"{self.final.name}.part.mark")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def mark(self) -> str | None:
        return self._mark.read_text(encoding="utf-8") if self._mark.exists() else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def begin(self, mark: str | None) -> None:
        """Start anew with a version of the given mark."""
        self.remove()
        self.path.touch()
        if mark is not None:
            self._mark.write_text(mark, encoding="utf-8")

    def publish(self) -> None:
        """Give the file its name, once its content is safe on the disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.final)
        self._mark.unlink(missing_ok=True)


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Args:
        url: where it is.
        path: where it goes; nothing has that name before the content is whole and checked.
        known: what the content must be.
        max_bytes: more than that is refused; None: any size.
    """

    url: str
    path: Path
    known: Known = NOTHING_KNOWN
    max_bytes: int | None = None

    @property
    def part(self) -> Part:
        return Part(self.path)

    def run(self, client: Client, meter: Meter) -> Digest:
        """Fetch the file, going on from what an earlier run left.

        Raises:
            FetchError: if it cannot be had or is something else. What has arrived of it is kept.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            joined = self._receive_all(client, meter)
            digest = digest_of(self.part.path)
            if self.known.matches(digest):
                break
            self.part.remove()
            if last or not joined:  # what was joined wrongly may come out right in one piece
                raise self.known.mismatch(self.url, digest)
        self.part.publish()
        return digest

    def _receive_all(self, client: Client, meter: Meter) -> bool:
        """Request until all has arrived; tells whether it was put together from several answers."""
        part = self.part
        if not self._can_go_on():
            part.remove()
        failures, best, joined = 0, part.size(), part.size() > 0
        while part.size() == 0 or part.size() != self.known.size:
            try:
                self._receive(client, meter)
                break
            except CutError as cut:
                failures = 1 if part.size() > best else failures + 1
                best = max(best, part.size())
                if failures >= client.attempts:
                    value = f"{best} bytes of {self.url} ({cut})"
                    remedy = "check the network and run the same command again: it goes on from there"
                    raise FetchError("a download must arrive whole", value, remedy) from cut
                if isinstance(cut, OtherVersionError) or not self._can_go_on():
                    part.remove()
                joined = joined or part.size() > 0
            client.sleep(client.pause_seconds * 2 ** (failures - 1))
        return joined

    def _can_go_on(self) -> bool:
        """Whether the rest of what has arrived can be told from the rest of something else."""
        part = self.part
        too_long = self.known.size is not None and part.size() > self.known.size
        return not too_long and (part.mark() is not None or self.known.sha256 is not None)

    def _receive(self, client: Client, meter: Meter) -> None:
        """Make one request and keep what it brings."""
        part = self.part
        with ask(self.url, part.size(), part.mark(), client.login, client.timeout_seconds) as answer:
            self._check_announced(answer)
            if answer.start == 0:
                part.begin(answer.mark)
            whole = self.known.size if answer.total is None else answer.total
            meter.expect(whole)
            self._write(answer, meter)
            if whole is not None and part.size() < whole:
                raise CutError("the server sent less than it said")

    def _check_announced(self, answer: Answer) -> None:
        known, total = self.known, answer.total
        if None not in (known.size, total) and known.size != total:
            raise known.mismatch(self.url, f"{total} bytes")
        if not answer.self_ending and known.size is None and known.sha256 is None:
            rule = "the server must say how long a file of unknown size is"
            raise FetchError(rule, f"no Content-Length from {self.url}", "try a mirror")
        room = shutil.disk_usage(self.path.parent).free
        if total is not None and total - answer.start > room:
            value = f"{total - answer.start} bytes to come from {self.url} and {room} free"
            raise FetchError(f"{self.path.parent} must have room for the file", value, "make room, or choose a target")
        self._check_limit(0 if total is None else total)

    def _write(self, answer: Answer, meter: Meter) -> None:
        done = answer.start
        with self.part.path.open("ab") as file:
            for piece in answer.pieces:
                done += len(piece)
                self._check_limit(done)
                file.write(piece)
                meter.reach(done)

    def _check_limit(self, size: int) -> None:
        limits = [limit for limit in (self.known.size, self.max_bytes) if limit is not None]
        if limits and size > min(limits):
            self.part.remove()
            value = f"{size} bytes or more from {self.url}"
            raise FetchError(f"the file must have at most {min(limits)} bytes", value, "find out what the server sends")
