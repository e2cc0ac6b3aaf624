"""What a study looks for: objectives and constraints, and how they are written down."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

Direction = Literal["minimize", "maximize"]
Operator = Literal["<=", ">="]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_CONSTRAINT = re.compile(rf"\s*(?P<metric>[^\s<>=]+)\s*(?P<op><=|>=)\s*(?P<bound>{_NUMBER})\s*(?P<relative>[xX×]?)\s*")


@dataclass(frozen=True)
class Objective:
    """A metric to push down or up.

    Args:
        metric: name in ``metrics.METRICS``.
        direction: ``"minimize"`` or ``"maximize"``.
    """

    metric: str
    direction: Direction

    @property
    def sign(self) -> float:
        """Factor that turns the metric into one to minimise: 1 or −1."""
        return 1.0 if self.direction == "minimize" else -1.0

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"


@dataclass(frozen=True)
class Constraint:
    """A bound that a metric must keep.

    Args:
        metric: name in ``metrics.METRICS``.
        op: ``"<="`` or ``">="``.
        bound: finite; in the metric's unit, or a factor where `relative`.
        relative: the bound is `bound` times the untouched model's value.
    """

    metric: str
    op: Operator
    bound: float
    relative: bool = False

    def __str__(self) -> str:
        number = repr(float(self.bound)).removesuffix(".0")
        return f"{self.metric} {self.op} {number}{'x' if self.relative else ''}"


def metrics_of(objectives: Iterable[Objective], constraints: Iterable[Constraint]) -> tuple[str, ...]:
    """Every metric that a report is judged by, each once: the objectives' first."""
    metrics = [*(objective.metric for objective in objectives), *(constraint.metric for constraint in constraints)]
    return tuple(dict.fromkeys(metrics))


def parse_constraint(text: str) -> Constraint:
    """Reads ``"fid <= 1.2x"`` (1.2 times the untouched model's value) or ``"clip_iqa >= 0.6"`` (as it stands).

    Raises:
        ValueError: the text is not metric, ``<=`` or ``>=``, finite number and an optional ``x``.
    """
    match = _CONSTRAINT.fullmatch(text)
    if match is None or not math.isfinite(float(match["bound"])):
        raise ValueError(
            f"a constraint must read 'METRIC <= NUMBER' or 'METRIC >= NUMBER', with an x after the number for a "
            f"multiple of the untouched model's value, but got {text!r}; write for instance 'fid <= 1.2x'"
        )
    return Constraint(match["metric"], cast(Operator, match["op"]), float(match["bound"]), bool(match["relative"]))


def parse_objective(text: str) -> Objective:
    """Reads ``"minimize sscd"`` or ``"sscd minimize"``.

    Raises:
        ValueError: the text is not one metric and one direction.
    """
    directions = ("minimize", "maximize")
    words = text.split()
    metrics = [word for word in words if word not in directions]
    if len(words) != 2 or len(metrics) != 1:
        raise ValueError(
            f"an objective must read 'minimize METRIC' or 'maximize METRIC', but got {text!r}; "
            f"write for instance 'minimize sscd'"
        )
    direction = next(word for word in words if word in directions)
    return Objective(metrics[0], cast(Direction, direction))


def as_constraint(value: object) -> Constraint:
    """A constraint from its text, from a mapping of its fields, or from itself.

    Raises:
        ValueError: it is none of these, or the text reads as no constraint.
    """
    if isinstance(value, Constraint):
        return value
    if isinstance(value, str):
        return parse_constraint(value)
    if isinstance(value, Mapping) and {"metric", "op", "bound"} <= set(value):
        suffix = "x" if value.get("relative") else ""
        return parse_constraint(f"{value['metric']} {value['op']} {value['bound']}{suffix}")
    raise ValueError(f"a constraint must be a text such as 'fid <= 1.2x', but got {value!r}")


def as_objective(value: object) -> Objective:
    """An objective from its text, from a mapping of its fields, or from itself.

    Raises:
        ValueError: it is none of these, or the text reads as no objective.
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        return parse_objective(value)
    if isinstance(value, Mapping) and {"metric", "direction"} <= set(value):
        return parse_objective(f"{value['metric']} {value['direction']}")
    raise ValueError(f"an objective must be a text such as 'minimize sscd', but got {value!r}")
