"""A study's records in the object store of its storage path, so that another machine can go on with it.

The driver writes records on its own disk, where a report is acknowledged, and a thread copies what was added to the
store, all as of one moment: records and Optuna's journal of different moments would contradict each other.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.interruption import stop_at_once
from tuning.mirror.claims import Claim, SupersededError, require_claim
from tuning.mirror.growth import Extent, Growth, Moment
from tuning.mirror.segments import Segments

logger = logging.getLogger(__name__)

#: Seconds between two looks at what has changed: what a lost machine takes with it.
PERIOD: Final = 2.0
#: Seconds that the end of a study waits for a store that does not answer.
PATIENCE: Final = 60.0
#: Bytes a second at which each file is copied by itself, for people: a large one seldom, since the segments have it.
PACE: Final = 25_000


class Mirror:
    """Copies the files of a study's directory to its store while the study runs, and stops it once another one does.

    The records go there as segments, by which a study goes on, and each file by itself too for whoever looks at one.

    Args:
        files: the study's paths; this launch is their ``launch``.
        depot: where they go; without an object store there is nothing to do.
        stop: interrupts the study.
        clock: seconds.
    """

    def __init__(
        self,
        files: StudyFiles,
        depot: Depot,
        stop: Callable[[], None] = stop_at_once,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files, self._depot, self._stop, self._clock = files, depot, stop, clock
        self._claim = Claim.read(files.launch)
        self._growth = Growth(files.root, lambda: _mirrored(files))
        self._segments = Segments(self._growth, self._claim)
        self._singly: dict[str, tuple[Extent, float]] = {}  # name → what the store has, since when
        self._closing = threading.Event()
        self._warned = False
        self._superseded: SupersededError | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Copies until the block ends, and then what is left.

        Raises:
            SupersededError: a later launch has begun; in place of the interrupt by which the block ended.
        """
        if self._depot.url is None:
            yield
            return
        thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join(PATIENCE)
            if self._superseded is None and (thread.is_alive() or not self.copy(is_last=True)):
                logger.warning("the records in %s are not the latest: resume the study here", self._depot.location)
            if self._superseded is not None:
                raise self._superseded
            if not thread.is_alive():
                self._growth.close()

    def copy(self, *, is_last: bool = False) -> bool:
        """Copy what was added, and drop what is gone; whether the store has all records.

        Args:
            is_last: copy each file by itself too, however large.

        Raises:
            SupersededError: a later launch has begun. Nothing was copied.
        """
        try:
            self._copy(is_last)
        except OSError as error:
            if not self._warned:
                logger.warning("the records cannot be copied, which is tried again until they can: %s", error)
            self._warned = True
            return False
        self._warned = False
        return True

    def _copy(self, is_last: bool) -> None:
        now = self._growth.look()
        records = {name: extent for name, extent in now.items() if "/" not in name}
        due = [name for name in now if self._is_due(name, now[name], is_last)]
        gone = set(self._singly) - set(now)
        if not (due or gone or self._segments.lack(records)):
            return
        require_claim(self._claim, self._files, self._depot)
        with tempfile.TemporaryDirectory() as folder:
            staged = Depot(Path(folder) / self._files.name, self._depot.url)
            self._segments.append(records, staged)
            for name in due:
                self._copy_singly(name, now, staged)
            for name in gone:
                staged.remove(staged.root / name)
                del self._singly[name]

    def _is_due(self, name: str, extent: Extent, is_last: bool) -> bool:
        if name not in self._singly:
            return True
        copied, since = self._singly[name]
        return copied != extent and (is_last or self._clock() - since >= extent.size / PACE)

    def _copy_singly(self, name: str, now: Moment, staged: Depot) -> None:
        self._growth.copy(name, now[name], staged.root / name)
        staged.upload(staged.root / name)
        self._singly[name] = now[name], self._clock()

    def _work(self) -> None:
        try:
            self.copy()
            while not self._closing.wait(PERIOD):
                self.copy()
        except SupersededError as error:
            self._superseded = error
            self._stop()


def _mirrored(files: StudyFiles) -> Iterator[Path]:
    """Files of the directory itself, and pictures that no worker has handed over."""
    others = {files.taken_over, files.lock, files.running, files.launch, files.archive}  # of this machine; of the store
    for path in files.root.iterdir():
        if path.is_file() and not path.name.endswith(".tmp") and path not in others:
            yield path
    yield from (path for path in files.images.glob("*.png") if not path.name[0].isdigit())
