"""The Ray Tune trainable: one actor, one trial at a time, one report at each rung."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune import Checkpoint, Trainable

from trainable.checkpoint import mark_reports, sync
from trainable.failure import ENDING, TrialFailure
from trainable.plan import TrialPlan
from trainable.resuming import newest_states
from trainable.trial import TrialRunner


class UnlearningTrainable(Trainable):  # type: ignore[misc]
    """Runs trials of a study; the plan comes by ``tune.with_parameters``, the configuration from the searcher.

    A trial outlives its resume states: one that cannot be written is done without, and one that is damaged gives way to
    the one before it. What went wrong is said in the next report's ``news``.
    """

    def setup(self, config: dict[str, Any], plan: TrialPlan) -> None:
        self._runner = TrialRunner(plan)
        self._news: list[str] = []
        self._saving_seconds = 0.0  # since the last report
        self.reset_config(config)

    def step(self) -> dict[str, Any]:
        report = self._runner.advance()
        news, self._news = [*self._news, *report["news"]], []
        report["profile"]["checkpoint"] += self._saving_seconds
        self._saving_seconds = 0.0
        return {**report, "news": news, "done": self._runner.finished or ENDING in report}

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """As Ray's own, to last; where it cannot be written a result without a checkpoint, which Ray passes over."""
        began = time.perf_counter()
        try:
            return self._save(checkpoint_dir)
        finally:
            self._saving_seconds += time.perf_counter() - began

    def _save(self, checkpoint_dir: str | None) -> Any:
        storage = self._storage
        before = storage.checkpoint_fs_path
        try:
            with TemporaryDirectory(prefix="unlearning-") as folder:
                result = super().save(checkpoint_dir or folder)
            if storage.storage_filesystem.type_name == "local":
                sync(Path(result.checkpoint.path))
            return result
        except OSError as error:
            self._news.append(
                f"goes on without a resume state of step {self._runner.unlearner.optimiser_step}: {error}"
            )
            if storage.checkpoint_fs_path != before:  # Ray got as far as copying it
                with suppress(OSError):
                    storage.storage_filesystem.delete_dir(storage.checkpoint_fs_path)
            return _TrainingResult(checkpoint=None, metrics={})

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self._runner.save(Path(checkpoint_dir))
        mark_reports(Path(checkpoint_dir), self._runner.rung)

    def restore(self, checkpoint_path: Any) -> None:
        """As Ray's own, of an empty folder: Ray's would unpickle a file of a certain name, and so run what is in it.

        Only what is known of a resume state is read, by ``load_newest``.
        """
        result = checkpoint_path
        if not isinstance(result, _TrainingResult):
            place = result if isinstance(result, Checkpoint) else Checkpoint.from_directory(result)
            result = _TrainingResult(checkpoint=place, metrics={})
        with TemporaryDirectory(prefix="unlearning-") as empty:
            super().restore(_TrainingResult(checkpoint=Checkpoint.from_directory(empty), metrics=result.metrics))
        self.load_newest(result.checkpoint)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: see ``restore``."""

    def load_newest(self, checkpoint: Checkpoint) -> None:
        """Go on from there or, where that is damaged, from the newest sound checkpoint before it, or from the start.

        Training is deterministic: what is done again gives the same reports.
        """
        for name, at_hand in newest_states(checkpoint, self._runner.plan.depot, len(self._runner.workloads)):
            try:
                with at_hand as directory:
                    self._runner.load(directory)
                return
            except TrialFailure as damage:
                self._news.append(f"cannot go on from {name}: {damage.detail}")
        self._news.append("starts over: no resume state is intact")
        self._runner.start(self._runner.config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial without loading model and data again."""
        self._news.clear()
        self._saving_seconds = 0.0
        self._runner.start(new_config)
        return True


def threads_for(cpus_per_trial: float) -> int:
    """Torch threads of a worker: one for each whole core it was given, at least one."""
    return max(1, math.floor(cpus_per_trial))
