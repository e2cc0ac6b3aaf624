"""Recorded trials on disk: gzipped JSON lines, first what all trials have in common, then a line for each trial.

A report keeps its single draws, so that a replay can measure with fewer of them: the first n denoisings or probes, and
the Fréchet distance of the first n images for every n of `LOOKS`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

#: Numbers of images, of the same noise for all models, at which the Fréchet distance is recorded.
LOOKS: Final = (32, 64, 128, 256)


@dataclass(frozen=True)
class Distance:
    """The Fréchet distance of the first images.

    Attributes:
        value: the distance.
        difference_stderr: standard error of its difference to the untouched model's, on the same noises.
    """

    value: float
    difference_stderr: float


@dataclass(frozen=True)
class Report:
    """One model as it was measured.

    Attributes:
        step: optimiser steps behind it.
        similarities: cosine of each denoising of the forget image with it; their mean is ``sscd``.
        bits_per_dim: the forget image's by each probe; their mean is ``nll``.
        distances: number of images → ``fid``.
    """

    step: int
    similarities: tuple[float, ...]
    bits_per_dim: tuple[float, ...]
    distances: Mapping[int, Distance]


@dataclass(frozen=True)
class Trial:
    """One configuration, trained once.

    Attributes:
        name: unique.
        method, settings: sampled parameters by name, those with a scale as ratios.
        seed: of the training.
        reports: by step; fewer than rungs where the training failed.
        reason: why it failed, empty where it did not.
    """

    name: str
    method: str
    settings: Mapping[str, float]
    seed: int
    reports: tuple[Report, ...]
    reason: str = ""


@dataclass(frozen=True)
class Header:
    """What all recorded trials have in common.

    Attributes:
        command: what made the record.
        study: the study file.
        rungs, batch_size: of the training.
        rows: network rows of one evaluation by what they are for, at full fidelity: ``images``, ``denoisings``,
            ``probes``; an evaluation of a probe counts three, one forward and twice that for its derivative.
        calibration: of the study's model.
        untouched: the model before, as trials are measured.
        unseen_bits_per_dim: of images that the model never saw.
        versions: of what computed it.
    """

    command: str
    study: str
    rungs: tuple[int, ...]
    batch_size: int
    rows: Mapping[str, int]
    calibration: Mapping[str, float]
    untouched: Report
    unseen_bits_per_dim: float
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """A header and its trials, in order of their names."""

    header: Header
    trials: tuple[Trial, ...]

    def save(self, path: Path) -> None:
        """Write the file; equal records give equal bytes."""
        lines = [json.dumps(asdict(self.header)), *(json.dumps(asdict(trial)) for trial in self.trials)]
        with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
            stream.write(("\n".join(lines) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read the file.

        Raises:
            FileNotFoundError: there is none.
        """
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            header, *trials = map(json.loads, stream)
        return cls(header_of(header), tuple(map(trial_of, trials)))


def header_of(entry: Mapping[str, Any]) -> Header:
    """A header from its JSON."""
    return Header(**{**entry, "rungs": tuple(entry["rungs"]), "untouched": report_of(entry["untouched"])})


def trial_of(entry: Mapping[str, Any]) -> Trial:
    """A trial from its JSON."""
    return Trial(**{**entry, "reports": tuple(map(report_of, entry["reports"]))})


def report_of(entry: Mapping[str, Any]) -> Report:
    """A report from its JSON, in which numbers of images have become text."""
    return Report(
        step=entry["step"],
        similarities=tuple(entry["similarities"]),
        bits_per_dim=tuple(entry["bits_per_dim"]),
        distances={int(count): Distance(**distance) for count, distance in entry["distances"].items()},
    )


def in_order(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Trials by name."""
    return tuple(sorted(trials, key=lambda trial: trial.name))
