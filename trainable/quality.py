"""What a trial knows of the quality it must keep: the study's bounds, and the untouched model to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from torch import Tensor

from metrics import METRICS
from metrics.metric import Measurement
from metrics.parts import are_of_samples
from metrics.sequential import Bound, interval, is_decided, looks, paired

Ending = Literal["collapsed", "quality beyond repair"]
COLLAPSED: Final[Ending] = "collapsed"
BEYOND_REPAIR: Final[Ending] = "quality beyond repair"
#: Share of the untouched model's variety under which samples are all alike.
LEAST_VARIETY: Final = 0.01


@dataclass(frozen=True)
class Untouched:
    """The untouched model, measured as trials are.

    Attributes:
        by_images: number of images → metric → value; at all images every metric, at fewer those of generated images.
        variety: of its samples.
        offsets: rung → for each forget set, metric → what all draws of a full report give more than those of the rung.
    """

    by_images: Mapping[int, Mapping[str, Measurement]]
    variety: float
    offsets: Mapping[int, Sequence[Mapping[str, float]]] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """All of them."""
        return max(self.by_images)


@dataclass(frozen=True)
class QualityRule:
    """When enough images were made, and when there is nothing left to go on for.

    Attributes:
        bounds: the study's constraints.
        untouched: what samples are compared with, in pairs.
        confidence: with which bounds are decided before all images are made; None makes all of them.
        max_violation: sum over bounds of the relative excess from which quality does not come back; None: none.
        wants_samples: whether generated images are needed for more than the bounds, so that all are made while the
            bounds are kept.
    """

    bounds: tuple[Bound, ...]
    untouched: Untouched
    confidence: float | None = None
    max_violation: float | None = None
    wants_samples: bool = False

    @property
    def deciding(self) -> tuple[str, ...]:
        """The metrics of generated images that have a bound, each once."""
        return tuple(dict.fromkeys(bound.metric for bound in self.bounds if is_of_samples(bound.metric)))

    def looks(self, num_images: int) -> tuple[int, ...]:
        """After how many of a report's images to look at its bounds, the last time after all."""
        return looks(num_images) if self.confidence is not None and self.deciding else (num_images,)

    def estimates(self, measured: Mapping[str, Measurement], num_images: int) -> dict[str, Measurement]:
        """What ``measured`` on ``num_images`` would be on all images of a full report (`metrics.sequential.paired`)."""
        others = self.untouched.by_images.get(num_images, {})
        whole = self.untouched.by_images[self.untouched.num_images]
        if num_images == self.untouched.num_images:
            return dict(measured)
        return {
            name: paired(value, others[name], whole[name].value) if name in others else value
            for name, value in measured.items()
        }

    def offset(self, measured: Mapping[str, Measurement], rung: int, forget_set: int) -> dict[str, Measurement]:
        """What ``measured`` by the draws of a rung would be by those of a full report: v_n − u_n + u_N.

        A restoration or a probe that is off is so for every model of a study, since all see the same draws; the
        untouched model says by how much. Standard errors stay those of v_n.
        """
        offsets = self.untouched.offsets.get(rung)
        if not offsets:
            return dict(measured)
        by = offsets[forget_set]
        return {name: replace(m, value=m.value + by[name]) if name in by else m for name, m in measured.items()}

    def with_intervals(self, estimates: Mapping[str, Measurement], num_looks: int) -> dict[str, Measurement]:
        """``estimates``, those of ``deciding`` with the interval that they are decided by."""
        if self.confidence is None:
            return dict(estimates)
        intervals = {name: interval(estimates[name], self.confidence, num_looks) for name in self.deciding}
        return {
            name: replace(value, interval=intervals[name]) if name in intervals else value
            for name, value in estimates.items()
        }

    def is_decided(self, estimates: Mapping[str, Measurement]) -> bool:
        """Whether more images would change nothing; ``estimates`` come from ``with_intervals``."""
        ends = [
            (bound, found)
            for bound in self.bounds
            if bound.metric in estimates and (found := estimates[bound.metric].interval) is not None
        ]
        return is_decided(ends, only_broken=self.wants_samples)

    def reason_to_end(self, measured: Mapping[str, Measurement], samples: Tensor | None) -> Ending | None:
        """Why there is nothing to go on for, if there is nothing.

        Args:
            measured: a report's metrics.
            samples: the images behind it, (N, C, H, W), where some were made.
        """
        if samples is not None and not variety(samples) >= LEAST_VARIETY * self.untouched.variety:
            return COLLAPSED
        if self.max_violation is None:
            return None
        total = sum(bound.violation(measured[bound.metric].value) for bound in self.bounds)
        return BEYOND_REPAIR if total >= self.max_violation else None


def variety(samples: Tensor) -> float:
    """Mean over pixels of the variance between images (N, C, H, W); 0 for one image, NaN where one is not finite."""
    return float((samples.double() - samples.double().mean(0)).square().sum(0).mean()) / max(1, len(samples) - 1)


def is_of_samples(metric: str) -> bool:
    """Whether a metric is computed from generated images, and from nothing else that a model makes."""
    return are_of_samples(METRICS[metric].needs)
