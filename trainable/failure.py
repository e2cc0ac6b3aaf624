"""Why a trial cannot go on, in words that survive the way from a worker to the driver."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

Reason = Literal["diverged", "degenerate", "out of memory", "no gpu", "corrupt checkpoint", "error"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
#: What training came to, and would come to again: it is the end of the trial, not an accident on the way.
OUTCOMES: Final[frozenset[Reason]] = frozenset({"diverged", "degenerate", "out of memory"})

#: Key of a report after which its trial has nothing to go on for; it says why (`trainable.quality.Ending`).
ENDING: Final = "ending"
#: Batches are split before a trial fails for lack of memory: fewer rows are no remedy any more.
OUT_OF_MEMORY_REMEDY: Final = "set gradient_checkpointing or precision bf16, or give a trial more of a GPU"

_STAMP = re.compile(r"TrialFailure\[([a-z ]+)\]")
_MEMORY = re.compile(r"\b(OutOfMemoryError|MemoryError)\b|out of memory|NODE_OUT_OF_MEMORY")


class TrialFailure(RuntimeError):  # noqa: N818  (the name is part of the design)
    """Ends one trial with a reason; the study goes on.

    The message starts with ``TrialFailure[<reason>]: ``, so that :func:`failure_reason` can read the reason off any
    traceback that contains it.

    Raises:
        ValueError: the reason is none of :data:`REASONS`.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        if reason not in REASONS:
            raise ValueError(f"a failure's reason must be one of {', '.join(REASONS)}, but got {reason!r}")
        super().__init__(reason, detail)  # the arguments, so that the exception can be pickled
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"TrialFailure[{self.reason}]: {self.detail}".rstrip()


def failure_reason(text: str) -> Reason:
    """The reason in an error's text: the last stamp of a TrialFailure, else memory, else ``error``."""
    return _stamp(text) or ("out of memory" if _MEMORY.search(text) else "error")


def is_outcome(text: str) -> bool:
    """Whether an error's text is that of a TrialFailure to which the trial would come again; see `OUTCOMES`."""
    return _stamp(text) in OUTCOMES


def _stamp(text: str) -> Reason | None:
    """The last reason of a TrialFailure in a text."""
    stamps = [reason for found in _STAMP.findall(text) for reason in REASONS if reason == found]
    return stamps[-1] if stamps else None
