"""The one error of fetching: rule, value, remedy."""

from __future__ import annotations

from tuning.problems import Problem


class FetchError(Exception):
    """An asset cannot be had, or is not what it should be.

    Args:
        rule: what must hold.
        value: what was found instead.
        remedy: what to do.
    """

    def __init__(self, rule: str, value: str, remedy: str) -> None:
        self.problem = Problem(rule, value, remedy)
        super().__init__(str(self.problem))
