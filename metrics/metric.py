"""What a metric is, and what it answers with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from metrics.evidence import Evidence

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Measurement:
    """A value and how far to trust it.

    Attributes:
        value: the metric, in its own unit. NaN where the model's output was not finite, or where there was too little
            to measure: never replaced by a number.
        stderr: standard error of ``value`` over the draws that the metric names (noises, probes, generated images), for
            a fixed model and fixed forget, neighbour, retain and real images. NaN where one draw is all there is.
        num_samples: how many draws ``value`` is made of; 0 goes with a NaN value.
        interval: a 95% confidence interval, where the metric has a better one than value ± 2 stderr.
        replicates: the value over bootstrap replicates, where the metric resamples all of its draws. Of two models
            measured on equal seeds and counts, equal positions hold equal resamples: they pair
            (`metrics.bootstrap.ratio_stderr`).
        spread: standard deviation of the value between models, where it is the mean over several
            (`metrics.pooling.pooled`).
    """

    value: float
    stderr: float
    num_samples: int
    interval: tuple[float, float] | None = None
    replicates: tuple[float, ...] = ()
    spread: float | None = None


class Metric(ABC):
    """A pure function of evidence, built without arguments.

    Attributes:
        name: its key in ``METRICS`` and its column in a report; from outside both are ``package.module:Class``.
        direction: which way the search wants it; for a constraint on quality, which way is better.
        bounds: the closed range of its value.
        needs: the parts of ``Evidence`` that it reads.
        needs_prompts: whether it is of models that take prompts only.
        cost: what the evidence costs, in network rows (one image through the network once) by ``Fidelity``'s fields.
    """

    name: ClassVar[str]
    direction: ClassVar[Direction]
    bounds: ClassVar[tuple[float, float]]
    needs: ClassVar[tuple[str, ...]]
    cost: ClassVar[str]
    needs_prompts: ClassVar[bool] = False

    @abstractmethod
    def compute(self, evidence: Evidence) -> Measurement:
        """Measure. Equal evidence gives an equal measurement, whatever else was measured before."""
