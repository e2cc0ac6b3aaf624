"""Brings what is queued to MLflow: by one thread, which nobody waits for.

What runs have (params, metrics, tags) and what is given as files have a queue each. A store's database may work where
the place of its artifacts does not, for instance a directory of the machine that made the experiment: metrics go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.tracking.key import StudyKey
from tuning.tracking.spool import Spool
from tuning.tracking.store import MlflowStore
from tuning.tracking.write import Write

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 30.0
GATHER_SECONDS: Final = 0.3
#: How long no try must have worked for a store to count as away, so that nobody waits for it any more.
AWAY_SECONDS: Final = 5.0


class Failing:
    """Failures in a row, and when to try again."""

    def __init__(self) -> None:
        self.count = 0
        self._since = self._next_try = 0.0

    def note(self, began: float) -> None:
        """A try that began then has failed."""
        self._since = self._since if self.count else began
        self.count += 1
        self._next_try = time.monotonic() + self.delay

    def clear(self) -> None:
        """A try has worked."""
        self.count, self._next_try = 0, 0.0

    @property
    def delay(self) -> float:
        """Seconds to wait before the next try."""
        return min(FIRST_DELAY_SECONDS * 2.0 ** (self.count - 1), LONGEST_DELAY_SECONDS)

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next_try

    @property
    def is_away(self) -> bool:
        """Whether it has failed for so long that nobody should wait."""
        return self.count > 0 and time.monotonic() - self._since > AWAY_SECONDS

    def is_away_after(self, count: int) -> bool:
        """Whether that is so after more than `count` failures."""
        return self.count > count and self.is_away

    def hurry(self) -> None:
        """The next try is due now."""
        self._next_try = 0.0


class Delivery:
    """One study's way to an MLflow store.

    Args:
        files: the study's paths: what is not delivered is kept there, and goes on when they are opened again.
        tracking_uri: of the store.
        key: which runs are the study's.
        depot: where pictures are that workers have handed over; None: beside the study.
    """

    def __init__(self, files: StudyFiles, tracking_uri: str, key: StudyKey, depot: Depot | None = None) -> None:
        self._uri, self._key, self._depot = tracking_uri, key, depot
        self._records, self._files = Spool(files.mlflow_spool), Spool(files.mlflow_file_spool)
        self._store_fails, self._files_fail = Failing(), Failing()
        self.run_ids: dict[str, str] = {}
        self._closing, self._hurry = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def add(self, write: Write) -> None:
        """Queue a write; it outlives this process once this returns."""
        self._records.append(write)

    def __len__(self) -> int:
        """Writes that are not delivered."""
        return len(self._records) + len(self._files)

    def flush(self, timeout: float) -> bool:
        """Wait until everything is delivered, at most `timeout` seconds; whether it is.

        What is away is tried once more, not waited for.
        """
        end = time.monotonic() + timeout
        if self._store_fails.is_away or self._files_fail.is_away:
            self._files_fail.hurry()
            self._hurry.set()
        for spool, fails in ((self._records, self._store_fails), (self._files, self._files_fail)):
            spool.wait_until(partial(fails.is_away_after, fails.count), end - time.monotonic())
        return not len(self)

    def close(self, timeout: float) -> bool:
        """Deliver what is left, but try what fails only once more; whether everything is delivered."""
        self._files_fail.hurry()
        self._closing.set()
        self._hurry.set()
        self._thread.join(timeout)
        if len(self):
            logger.warning("%d writes to MLflow are kept in the study's spool until it is resumed", len(self))
        return not len(self)

    def _work(self) -> None:
        """Deliver until closed; after an error start from a new store, with growing delays."""
        store: MlflowStore | None = None
        while True:
            closing, files_are_due = self._closing.is_set(), self._files_are_due()
            writes = self._records.wait(0.0 if files_are_due else 0.1 if closing else 1.0)
            if closing and (self._store_fails.is_away or not (len(self._records) or files_are_due)):
                return
            if not writes and not files_are_due:
                self._records.done()  # of lines that are no writes
                continue
            began = time.monotonic()
            try:
                store = store or MlflowStore(self._uri, self._key, self._depot)
                store.apply(writes)
            except Exception as error:  # of MLflow, its drivers, the network or the server: none may end a study
                store = None
                self._note(self._store_fails, self._records, began, error, "MLflow cannot be written, which")
                if closing:
                    return
                self._pause(self._store_fails.delay)
                continue
            self._note_applied(store, writes)
            if self._files_are_due():
                self._hand_over(store)
            if not len(self):
                self._pause(GATHER_SECONDS)

    def _note_applied(self, store: MlflowStore, writes: Sequence[Write]) -> None:
        """Runs have what they were to have; what of it lies in files is next in the other queue."""
        if self._store_fails.count:
            logger.warning("MLflow is written again")
        self.run_ids = store.run_ids
        self._store_fails.clear()
        for write in writes:
            if (files := write.files_alone()) is not None:
                self._files.append(files)
        self._records.done()

    def _files_are_due(self) -> bool:
        return len(self._files) > 0 and not self._store_fails.count and self._files_fail.is_due

    def _hand_over(self, store: MlflowStore) -> None:
        began = time.monotonic()
        try:
            store.hand_over(self._files.wait(0.0))
        except Exception as error:  # of a file system, a bucket or the server: metrics need none of them
            what = f"MLflow's artifacts cannot be put into {store.artifacts}; metrics go on, and this"
            self._note(self._files_fail, self._files, began, error, what)
            return
        if self._files_fail.count:
            logger.warning("MLflow's artifacts are written again")
        self._files_fail.clear()
        self._files.done()

    def _note(self, fails: Failing, spool: Spool, began: float, error: Exception, what: str) -> None:
        if not fails.count:
            logger.warning("%s is tried again until it can: %s", what, _brief(error))
        fails.note(began)
        spool.notify()

    def _pause(self, seconds: float) -> None:
        """Wait, unless somebody waits for this thread."""
        self._hurry.wait(seconds)
        self._hurry.clear()


def _brief(error: Exception) -> str:
    """The kind of an error and the start of its first line; the rest may hold a whole request."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}"
