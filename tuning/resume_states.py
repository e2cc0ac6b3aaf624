"""What tells of a trial that is handed out again the resume state that it goes on from."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ray.tune import Checkpoint

from trainable.depot import Depot
from tuning.records import Records
from tuning.trials import latest_checkpoint

#: Trials that are asked for at a time: an answer takes a store some 50 ms, which hundreds of trials would add up.
NUM_AT_ONCE: Final = 16


class ResumeStates:
    """Trial → the checkpoint that it goes on from, None for one that begins.

    Args:
        records: which trials have reported; without a report there is no state, and nothing to ask a store for.
        depot: where the states are.
        num_models: how many models a trial trains.
    """

    def __init__(self, records: Records, depot: Depot, num_models: int = 1) -> None:
        self._records, self._depot, self._num_models = records, depot, num_models
        self._pool = ThreadPoolExecutor(NUM_AT_ONCE, thread_name_prefix="resume-states")
        self._found: dict[str, Future[Checkpoint | None]] = {}

    def look_up(self, name: str) -> None:
        """Begin to look for a trial's, so that nobody waits long when it is called for."""
        if num_reports := len(self._records.steps(name)):
            arguments = self._depot, self._records.files, name, num_reports, self._num_models
            self._found[name] = self._pool.submit(latest_checkpoint, *arguments)

    def __call__(self, name: str) -> Checkpoint | None:
        """The checkpoint.

        Raises:
            UnreachableError: the store does not answer.
        """
        if name not in self._found:
            self.look_up(name)
        found = self._found.pop(name, None)
        return None if found is None else found.result()
