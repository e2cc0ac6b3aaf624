"""Which failed trials are taken up again: a machine that went away and a process that crashed are no outcome.

Ray's own retries are not used (``FailureConfig(max_failures=0)``): they take a diverged trial up again too, and give up
a trial whose worker dies between two trials.
"""

from __future__ import annotations

import errno
import os
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from ray.exceptions import ActorUnavailableError, RayActorError
from ray.tune.experiment import Trial

from trainable.failure import is_outcome
from tuning.callback import error_text

#: Says Ray of an actor whose machine is gone and was not announced to go.
_NODE_DIED: Final = "its node has died"
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
        if machine_is_gone(_error(trial)):
            return True
        self._failures[trial.trial_id] += 1
        if self._failures[trial.trial_id] <= self._max_failures:
            return True
        if found := _DISK.search(text):
            raise OSError(int(found[1]), os.strerror(int(found[1])), f"trial {trial.trial_id}")
        return False


def machine_is_gone(error: Any) -> bool:
    """Whether an actor failed because its machine was preempted, died, or cannot be reached.

    A process that dies on a machine that lives is reported by that machine at once; else Ray finds an actor unavailable
    first, and its node dead later.
    """
    if not isinstance(error, RayActorError):
        return False
    return isinstance(error, ActorUnavailableError) or error.preempted or _NODE_DIED in str(error)


def _error(trial: Trial) -> object:
    """The last failure as Ray caught it; None where it was none of an actor."""
    if trial.pickled_error_file is None:
        return None
    return pickle.loads(Path(trial.pickled_error_file).read_bytes())
