"""Where a value lies in a parameter's range, as it is sampled."""

from __future__ import annotations

import math
from typing import Protocol


class Range(Protocol):
    """A parameter, or its Optuna distribution."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def log(self) -> bool: ...


def value_at(where: Range, fraction: float) -> float:
    """The value at a fraction of a range, in logarithms where those are sampled; never outside of it by rounding."""
    low, high = where.low, where.high
    value = low * (high / low) ** fraction if where.log else low + (high - low) * fraction
    return float(min(max(value, low), high))


def fraction_of(where: Range, value: float) -> float:
    """Where a value lies in a range: the inverse of `value_at`."""
    low, high = where.low, where.high
    return math.log(value / low) / math.log(high / low) if where.log else (value - low) / (high - low)
