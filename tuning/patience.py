"""Waits for a store that is away: a database that is restarted, or one that another process has locked."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError

logger = logging.getLogger(__name__)

#: How long a store may stay away in all before a study ends, in seconds.
PATIENCE_SECONDS: Final = 300.0
FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 10.0

T = TypeVar("T")


class StoreAwayError(RuntimeError):
    """A store did not come back in time; nothing was written since it went."""


class _NoAnswerError(Exception):
    """One call that found the store away."""


class Patience:
    """Makes a call again, with growing delays, while the store is away; once it has given up it makes no more.

    Args:
        store: what to call it before a user; without passwords.
        seconds: how long one absence may last.
        holders: says who keeps the store from answering, where that can be found out.
    """

    def __init__(self, store: str, seconds: float = PATIENCE_SECONDS, holders: Callable[[], str] = lambda: "") -> None:
        self._store, self._seconds, self._holders = store, seconds, holders
        self._given_up: StoreAwayError | None = None

    def __call__(self, work: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """What ``work`` returns.

        Args:
            work: a call to the store.
            again: the same after a try whose effect is not known; may be made often. None: ``work`` itself.

        Raises:
            StoreAwayError: the store stayed away too long, now or before.
        """
        if self._given_up:
            raise self._given_up
        end, delay = time.monotonic() + self._seconds, 0.0
        while True:
            try:
                result = (again or work)() if delay else work()
            except (_NoAnswerError, OperationalError, InterfaceError) as error:
                self._give_up_after(end, error)
                if not delay:
                    logger.warning("%s, which is tried again for %d s", self._why(error), self._seconds)
                delay = min(max(2 * delay, FIRST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)
                time.sleep(delay)
                continue
            if delay:
                logger.warning("%s answers again", self._store)
            return result

    def _give_up_after(self, end: float, error: Exception) -> None:
        if time.monotonic() > end:
            self._given_up = StoreAwayError(f"{self._why(error)}, for more than {self._seconds:.0f} s; see to it first")
            raise self._given_up from error

    def _why(self, error: Exception) -> str:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        holders = self._holders()
        held = f"; held by {holders}" if holders else ""
        return f"{self._store} does not answer ({reason[0] if reason else type(error).__name__}{held})"


def report_absence(engine: Any) -> None:
    """Make what a database says when it is away pass through libraries that would try again, or hide it.

    Optuna's own five tries at making a trial can make two: one whose commit was done and not confirmed is made again.
    """

    def replace(context: Any) -> Exception | None:
        error = context.sqlalchemy_exception
        return _NoAnswerError(str(error.orig)) if isinstance(error, (OperationalError, InterfaceError)) else None

    event.listen(engine, "handle_error", replace, retval=True)


def away_behind(error: BaseException) -> StoreAwayError | None:
    """The absence that another error came from, None where it did not."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, StoreAwayError):
        seen = seen.__cause__ or seen.__context__
    return seen


def is_news(record: logging.LogRecord) -> bool:
    """A filter of logs: whether a record is of anything but an absence, of which the user is told in the end."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or away_behind(error) is None


def file_holders(path: str) -> str:
    """Who has locks on a file, as ``process 17``; nobody where this machine's kernel names none."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as table:
            locks = [line.split() for line in table]
    except OSError:
        return ""
    pids = {words[4] for words in locks if words[1] != "->" and words[5].rpartition(":")[2] == str(inode)}
    return ", ".join(f"process {pid}" for pid in sorted(pids - {str(os.getpid())}, key=int))
