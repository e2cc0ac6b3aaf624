"""Where a study's time went: how much of the workers' time was spent inside trials, and how long it all took."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tuning.files import StudyFiles, write_text_atomic


@dataclass(frozen=True)
class Timing:
    """The content of ``timing.json``; all in seconds but ``utilisation``.

    Attributes:
        study_seconds: from the start of the study to its front, this process alone.
        trials_seconds: from the first trial's start to the last trial's end.
        busy_seconds: sum over trials of the time inside their training and evaluation.
        slots: trials that could run at a time.
        peak_memory_gb: of the largest worker, as it reported it.
    """

    study_seconds: float
    trials_seconds: float
    busy_seconds: float
    slots: int
    peak_memory_gb: float

    @property
    def utilisation(self) -> float:
        """busy_seconds / (slots · trials_seconds), in [0, 1]; 0 where no trial ran."""
        whole = self.slots * self.trials_seconds
        return self.busy_seconds / whole if whole > 0 else 0.0

    def save(self, files: StudyFiles) -> None:
        write_text_atomic(files.timing, json.dumps({**asdict(self), "utilisation": self.utilisation}, indent=2) + "\n")


class TrialClock(Callback):  # type: ignore[misc]
    """Notes when trials run, by a clock that never goes back."""

    def __init__(self, slots: int) -> None:
        self.began = time.monotonic()
        self._slots = slots
        self._first_start: float | None = None
        self._last_end = self.began
        self._busy = 0.0
        self._memory = 0.0

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if self._first_start is None:
            self._first_start = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: Any
    ) -> None:
        self._last_end = time.monotonic()
        self._busy += float(result.get("time_this_iter_s", 0.0))
        self._memory = max(self._memory, float(result.get("peak_memory_gb", 0.0)))

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return time.monotonic() - self.began

    def timing(self, study_began: float) -> Timing:
        """What was noted, for a study that began at ``study_began`` of ``time.monotonic``."""
        start = self._last_end if self._first_start is None else self._first_start
        return Timing(
            study_seconds=time.monotonic() - study_began,
            trials_seconds=self._last_end - start,
            busy_seconds=self._busy,
            slots=self._slots,
            peak_memory_gb=self._memory,
        )
