"""One embedded world: the stages that build it, and what the command line says to all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from metrics.encoders import Encoder, load_encoder

EncoderType = TypeVar("EncoderType", bound=Encoder)


@dataclass(frozen=True)
class Options:
    """What the command line sets.

    Attributes:
        assets: where files are written, each world's in a folder of its name.
        cache: where downloaded packages are kept.
        snapshots: where trainings keep their state, likewise.
        docs: where pictures of samples are written.
        seed: of everything random.
        steps: optimiser steps of each diffusion training; None: the world's own number.
        num_samples: samples of each model that are measured; None: the world's own number.
    """

    assets: Path
    cache: Path
    snapshots: Path
    docs: Path
    seed: int = 0
    steps: int | None = None
    num_samples: int | None = None


@dataclass(frozen=True)
class World:
    """Stages by name, in the order in which they build on each other.

    Attributes:
        settings: what the stages take, from the options.
        stages: each writes files.
    """

    settings: Callable[[Options], Any]
    stages: Mapping[str, Callable[[Any], None]]

    def build(self, options: Options, names: Iterable[str] = ()) -> None:
        """Run the stages `names`, all of them where none is named."""
        settings = self.settings(options)
        for name in tuple(names) or self.stages:
            self.stages[name](settings)


def load_as(path: Path, kind: type[EncoderType]) -> EncoderType:
    """The encoder in a file; raises ValueError where it is of another kind."""
    encoder = load_encoder(path)
    if not isinstance(encoder, kind):
        raise ValueError(f"{path} must hold a {kind.architecture}, but holds a {encoder.architecture}: rebuild it")
    return encoder
