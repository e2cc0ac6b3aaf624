"""What was found that rules look at, and what a rule answers with; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from analysis.certificates.document import number

KEPT, BROKEN, UNDECIDED = "kept", "broken", "not enough evidence"
#: Probability, at most, of finding a trace where there is none: over all statistics and images of a rule.
LEVEL: Final = 0.05
#: 1 / (n + 1) with as many images as are needed is the level itself, but for rounding.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Rule:
    """One rule and what became of it.

    Attributes:
        name: a word or two.
        rule: what must hold, with its levels.
        finding: what was found.
        outcome: `KEPT`, `BROKEN` or `UNDECIDED`.
        numbers: what it was decided by.
    """

    name: str
    rule: str
    finding: str
    outcome: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Findings:
    """What the rules look at: one forget set's measurements.

    Attributes:
        measured: model → metric → ``value``, ``stderr``, ``num`` and where there is one an interval ``low``, ``high``.
        among_unseen: statistic → model → a standing for each forget image.
        is_unseen: whether the images compared with were never trained on, also not in unlearning.
        names: of the forget images.
    """

    measured: Mapping[str, Mapping[str, Mapping[str, Any]]]
    among_unseen: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
    is_unseen: bool
    names: Sequence[str]

    def value(self, model: str, metric: str, entry: str = "value") -> float:
        """A number of a measurement; NaN where there is none."""
        return number(self.measured.get(model, {}).get(metric, {}).get(entry))

    @property
    def num_unseen(self) -> int:
        return max((each["num_unseen"] for models in self.among_unseen.values() for of in models.values()
                    for each in of), default=0)  # fmt: skip

    @property
    def level(self) -> float:
        """`LEVEL` shared over the statistics and images that a rule looks at (Bonferroni)."""
        return LEVEL / max(1, len(self.among_unseen) * len(self.names))

    def found(self, model: str, tail: str) -> dict[tuple[str, int], float]:
        """(statistic, image) → p-value, of those at or under the level; none of a model that was not measured."""
        return {
            (statistic, image): number(each[tail])
            for statistic, models in self.among_unseen.items()
            for image, each in enumerate(models.get(model, ()))
            if number(each[tail]) <= self.level * (1 + _ROUNDING)
        }

    def p_values(self, model: str, tail: str) -> dict[str, list[float]]:
        """statistic → p-value of each image."""
        return {
            statistic: [number(each[tail]) for each in models[model]]
            for statistic, models in self.among_unseen.items()
            if model in models
        }
