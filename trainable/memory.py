"""What is done when memory runs out: the work is done anew with half the rows in a network call."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

_LOG = logging.getLogger(__name__)
Result = TypeVar("Result")


class RowLimit:
    """The largest number of rows in a network call that memory holds: halved when it does not, and never raised again.

    Work must give the same whatever the limit, but for rounding, and start from its beginning when it is called again.

    Args:
        rows: where to begin, >= 1.
        purpose: what the rows are of, for the message.
    """

    def __init__(self, rows: int, purpose: str) -> None:
        self.rows = rows
        self._purpose = purpose
        self._news: list[str] = []

    def run(self, work: Callable[[int], Result]) -> Result:
        """``work(rows)`` with the rows that memory holds.

        Raises:
            torch.OutOfMemoryError: it does not hold one.
        """
        while True:
            try:
                return work(self.rows)
            except torch.OutOfMemoryError:
                if self.rows == 1:
                    raise
            # Out here the traceback is gone, and with it the tensors that its frames held.
            self._halve()

    def news(self) -> list[str]:
        """What was not told yet, one sentence each time the limit was lowered."""
        told, self._news = self._news, []
        return told

    def _halve(self) -> None:
        given, self.rows = self.rows, self.rows // 2
        text = f"memory does not hold {given} rows in {self._purpose}; from here on {self.rows} rows a network call"
        self._news.append(text)
        _LOG.warning(text)
        gc.collect()
        torch.cuda.empty_cache()
