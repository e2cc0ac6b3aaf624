"""Which failed trials are taken up again: a machine that went away and a process that crashed are no outcome.

Ray's own retries are not used (``FailureConfig(max_failures=0)``): they take a diverged trial up again too, and give up
a trial whose worker dies between two trials.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from typing import Final

from ray.tune.experiment import Trial

from trainable.failure import is_outcome
from tuning.callback import error_text

#: What Ray says of an actor, and of nothing else, whose machine is gone or does not answer.
_GONE: Final = re.compile(
    r"(\d+ \(occurred at [^)\n]*\)\n)?The actor (\w+ is unavailable: |.*because its node has died\b)", re.DOTALL
)
_DISK: Final = re.compile(rf"OSError: \[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\]")


class Retries:
    """Decides on a trial whose actor failed, each time it does.

    An outcome of training (`trainable.failure.OUTCOMES`) is final. A trial whose machine was preempted, vanished or
    cannot be reached is always taken up again. After any other error, as a crash or kill of its process, it is so a few
    times. It never fails for want of disk space: that ends the study, since it would end one trial after another.

    Args:
        max_failures: how often a trial is taken up again that no machine took down with it.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._failures: Counter[str] = Counter()

    def takes_up(self, trial: Trial) -> bool:
        """Whether the trial, which has just failed, is taken up again.

        Raises:
            OSError: the disk was full every time.
        """
        text = error_text(trial)
        if is_outcome(text):
            return False
        if machine_is_gone(text):
            return True
        self._failures[trial.trial_id] += 1
        if self._failures[trial.trial_id] <= self._max_failures:
            return True
        if found := _DISK.search(text):
            raise OSError(int(found[1]), os.strerror(int(found[1])), f"trial {trial.trial_id}")
        return False


def machine_is_gone(text: str) -> bool:
    """Whether an actor failed because its machine was preempted, died, or cannot be reached.

    A process that dies on a machine that lives is reported by that machine at once; else Ray finds an actor unavailable
    first, and its node dead later.

    Args:
        text: of the error as Ray keeps it with the trial, perhaps under a line with its count. Only the text is looked
            at: the error itself is kept as a pickle, and reading one runs what is in it.
    """
    return bool(_GONE.match(text))
