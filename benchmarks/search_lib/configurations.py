"""Which configurations are recorded: the published settings, and points spread evenly over each method's space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from diffusion.rng import derive_seed
from search_spaces import MethodSpace, space_of
from search_spaces.ranges import value_at

#: Points of each method besides its published settings; a space of two dimensions needs more, one of none only seeds.
NUM_POINTS: Final[Mapping[str, int]] = {
    "siss": 46, "siss_no_is": 22, "erasediff": 20, "neggrad": 20, "naive_deletion": 5,
}  # fmt: skip
#: Root of x³ = x + 1, whose powers give the evenest sequence in two dimensions (Roberts 2018, "R2").
_PLASTIC: Final = 1.324717957244746
SEED: Final = 0


@dataclass(frozen=True)
class Configuration:
    """A method's sampled parameters by name, those with a scale as ratios, and the seed of the training."""

    name: str
    method: str
    settings: Mapping[str, float]
    seed: int


def configurations() -> tuple[Configuration, ...]:
    """All of them, methods taking turns, so that any beginning of the list says something of every method."""
    turns = {method: list(_settings(space_of(method), count)) for method, count in NUM_POINTS.items()}
    return tuple(
        Configuration(f"{method}-{index:03d}", method, settings[index], derive_seed(SEED, method, index) >> 32)
        for index in range(max(map(len, turns.values())))
        for method, settings in turns.items()
        if index < len(settings)
    )


def _settings(space: MethodSpace, count: int) -> Iterator[Mapping[str, float]]:
    yield from space.published
    for index in range(count):
        yield {
            parameter.sampled_name: value_at(parameter, fraction)
            for parameter, fraction in zip(space.parameters, _point(index, len(space.parameters)), strict=True)
        }


def _point(index: int, dimensions: int) -> tuple[float, ...]:
    """Point of an even sequence in the unit cube of at most two dimensions."""
    root = (1 + 5**0.5) / 2 if dimensions == 1 else _PLASTIC
    return tuple((0.5 + (index + 1) / root ** (axis + 1)) % 1.0 for axis in range(dimensions))
