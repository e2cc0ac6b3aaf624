"""What a measurement takes, in network rows, before it is made: so that whoever waits can be told how far it is.

A row that is differentiated through, as those of a likelihood are, counts three times: backward costs twice forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch

from metrics import METRICS
from metrics.membership import MEMBERSHIP_TIMES
from metrics.parts import draws_of_each_neighbour, is_of_samples
from metrics.subject import Fidelity

FORWARD: Final = 1
WITH_BACKWARD: Final = 3


def work_of(rows: int) -> int:
    """What a forward pass of so many rows counts, by whether it is recorded to be differentiated."""
    return rows * (WITH_BACKWARD if torch.is_grad_enabled() else FORWARD)


@dataclass(frozen=True)
class Sizes:
    """What of a subject decides how much there is to do.

    Attributes:
        num_forget: forget images of one model.
        num_neighbours: retain images that are watched.
        is_prompted: whether the model takes prompts: then nothing is injected, and its samples are looked at instead.
        rows_per_sample: network rows of a sampling step, 2 under guidance.
    """

    num_forget: int
    num_neighbours: int
    is_prompted: bool = False
    rows_per_sample: int = 1


def expected_rows(names: Iterable[str], fidelity: Fidelity, sizes: Sizes) -> int:
    """Rows of measuring the metrics ``names`` of one model; each part of the evidence is made once.

    Args:
        names: in METRICS or package.module:Class.
        fidelity: how much is measured.
        sizes: against how much.
    """
    parts = {part for name in names for part in METRICS[name].needs}
    forget, neighbours = sizes.num_forget, sizes.num_neighbours
    of_samples = fidelity.num_images * fidelity.num_sampling_steps * sizes.rows_per_sample
    of_denoisings = fidelity.num_denoising_steps * forget * fidelity.num_denoisings
    denoisings, probes_of_each = (
        draws_of_each_neighbour(total, forget, neighbours) for total in (fidelity.num_denoisings, fidelity.num_probes)
    )
    of_neighbours = fidelity.num_denoising_steps * neighbours * denoisings
    probes = {"forget_likelihood": forget * fidelity.num_probes, "neighbour_likelihood": neighbours * probes_of_each}
    injected = parts & {"denoisings", "denoising_descriptors"}
    rows = 0
    if any(map(is_of_samples, parts)) or (injected and sizes.is_prompted):
        rows += FORWARD * of_samples
    if injected and not sizes.is_prompted:
        rows += FORWARD * of_denoisings
    if parts & {"neighbour_denoisings", "neighbour_denoising_descriptors"}:
        rows += FORWARD * of_neighbours
    if "membership_errors" in parts:
        rows += FORWARD * (forget + 1) * len(MEMBERSHIP_TIMES) * fidelity.num_membership_noises
    rows += WITH_BACKWARD * fidelity.num_likelihood_evaluations * sum(probes[part] for part in parts & set(probes))
    return rows
