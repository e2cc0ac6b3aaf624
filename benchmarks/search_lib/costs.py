"""What training and measuring cost, in rows that go through the network: a forward one counts 1, a backward one 2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.search_lib.recorded import LOOKS, Header

BACKWARD: Final = 2


@dataclass(frozen=True)
class Counts:
    """How many draws an evaluation makes of each kind."""

    images: int
    denoisings: int
    probes: int

    def scaled(self, fraction: float) -> Counts:
        """A fraction of each, rounded, at least one."""
        return Counts(*(max(1, round(count * fraction)) for count in (self.images, self.denoisings, self.probes)))

    def with_images(self, images: int) -> Counts:
        """The same, but for the number of images."""
        return replace(self, images=images)


@dataclass(frozen=True)
class Costs:
    """Rows of everything that a search pays for.

    Args:
        step: method → rows of one training step.
        full: draws of an evaluation at full fidelity.
        image, denoising, probe: rows of one draw.
    """

    step: Mapping[str, int]
    full: Counts
    image: float
    denoising: float
    probe: float

    @classmethod
    def of(cls, header: Header, methods: Iterable[str]) -> Costs:
        """Of the recorded study; a method says itself how many rows a row of its batch costs."""
        from trainable.methods import METHODS  # which imports torch: workers of a replay do without

        costs = {method: METHODS[method].cost for method in methods}
        full = Counts(max(LOOKS), len(header.untouched.similarities), len(header.untouched.bits_per_dim))
        return cls(
            {name: header.batch_size * (forward + BACKWARD * back) for name, (forward, back) in costs.items()},
            full,
            header.rows["images"] / full.images,
            header.rows["denoisings"] / full.denoisings,
            header.rows["probes"] / full.probes,
        )

    def training(self, method: str, steps: int) -> float:
        """Rows of so many steps."""
        return float(self.step[method] * steps)

    def evaluation(self, counts: Counts) -> float:
        """Rows of an evaluation of so many draws."""
        return counts.images * self.image + counts.denoisings * self.denoising + counts.probes * self.probe
