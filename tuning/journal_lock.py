"""The lock of an Optuna journal: a link that names its holder, so that one whose holder is dead is no lock.

Optuna's own is a link to the journal. A process that was killed with it holds up the next one for thirty seconds, or
for ever where the journal's path is relative, and nobody can say who held it.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path
from typing import Final

from tuning.heartbeat import process_space
from tuning.patience import PATIENCE_SECONDS, StoreAwayError

logger = logging.getLogger(__name__)

#: How old a lock must be that names no process of this machine before it is broken, in seconds: Optuna's own rule.
GRACE_SECONDS: Final = 30.0
LONGEST_DELAY_SECONDS: Final = 0.5
WARNING_SECONDS: Final = 5.0
_HOLDER: Final = "study-process"


class HolderLock:
    """Keeps other processes from a journal, Optuna's own among them; made with one link, which NFS does in one piece.

    Is what ``JournalFileBackend`` takes as ``lock_obj``.

    Args:
        journal: the journal's path.
        seconds: how long to wait for a process that lives.
    """

    def __init__(self, journal: str, seconds: float = PATIENCE_SECONDS) -> None:
        self._link = Path(f"{journal}.lock")
        self._seconds = seconds
        self._own = holder_name(os.getpid())

    def acquire(self) -> bool:
        """Take the lock, as soon as it is free.

        Raises:
            StoreAwayError: another process kept it too long.
        """
        began, delay, was_said = time.monotonic(), 0.001, False
        while True:
            try:
                os.symlink(self._own, self._link)
                return True
            except FileExistsError:
                holder, waited = self._holder(), time.monotonic() - began
            if holder is None:
                continue
            if self._is_dead(holder) or (not holder.startswith(_HOLDER) and waited > GRACE_SECONDS):
                self._break(holder)
                continue
            if waited > self._seconds:
                raise StoreAwayError(
                    f"the journal must be free, but {self._link} is held by {_said(holder)} for more than "
                    f"{self._seconds:.0f} s; end that process, or remove the file if there is none"
                )
            if waited > WARNING_SECONDS and not was_said:
                logger.warning("waiting for %s, held by %s", self._link, _said(holder))
                was_said = True
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)

    def release(self) -> None:
        """Give the lock back.

        Raises:
            RuntimeError: it was not there.
        """
        try:
            self._link.unlink()
        except FileNotFoundError:
            raise RuntimeError(f"{self._link} must be there until it is given back, but was removed") from None

    def _holder(self) -> str | None:
        try:
            return os.readlink(self._link)
        except FileNotFoundError:
            return None
        except OSError:  # a file of somebody's, no link
            return ""

    def _is_dead(self, holder: str) -> bool:
        kind, _, process = holder.partition(":")
        space, _, pid = process.rpartition(":")
        if kind != _HOLDER or space != process_space():
            return False
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _break(self, holder: str) -> None:
        """Remove the lock, unless somebody else has broken it and taken it meanwhile."""
        aside = self._link.with_name(f"{self._link.name}.{uuid.uuid4().hex}")
        try:
            os.rename(self._link, aside)
        except FileNotFoundError:
            return
        if aside.is_symlink() and os.readlink(aside) != holder:
            os.rename(aside, self._link)
            return
        aside.unlink()
        logger.warning("%s was left behind by %s, which is gone", self._link, _said(holder))


def holder_name(pid: int) -> str:
    """What a lock says of the process of this machine that holds it."""
    return f"{_HOLDER}:{process_space()}:{pid}"


def _said(holder: str) -> str:
    kind, _, process = holder.partition(":")
    space, _, pid = process.rpartition(":")
    return f"process {pid} on {space.partition(' ')[0]}" if kind == _HOLDER else "a process that gives no name"
