"""How much there is to do for a certificate, in network rows, so that the remaining time can be told; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metrics import METRICS
from tuning.schema import StudyConfig

#: Rows of one evaluation of the likelihood with its vector-Jacobian product: one forward, twice that backward.
ROWS_OF_A_PROBE: Final = 3
#: Timesteps of `metrics.membership`.
_TIMES: Final = 4


@dataclass(frozen=True)
class Amount:
    """What one model is measured on.

    Attributes:
        num_forget: F.
        num_neighbours: K.
        num_compared: images of the membership test, forget images included.
        num_prompts: 0 for a model that takes none.
    """

    num_forget: int
    num_neighbours: int
    num_compared: int
    num_prompts: int


def rows_of_metrics(config: StudyConfig, names: Sequence[str], amount: Amount) -> int:
    """Rows of one model's metrics at full fidelity."""
    needs = {part for name in names for part in METRICS[name].needs}
    forget, near = amount.num_forget, max(amount.num_neighbours, 1)
    guided = 2 if amount.num_prompts else 1
    evaluations = ROWS_OF_A_PROBE * config.num_likelihood_evaluations
    rows = 0
    if amount.num_prompts or any(part.startswith("sample") for part in needs):
        rows += guided * config.final_num_images * config.num_sampling_steps
    if not amount.num_prompts and "denoising_descriptors" in needs:
        rows += forget * config.final_num_denoisings * config.num_denoising_steps
    if "neighbour_denoising_descriptors" in needs:
        rows += near * _share(config.final_num_denoisings, forget, near) * config.num_denoising_steps
    if "forget_likelihood" in needs:
        rows += forget * config.final_num_probes * evaluations
    if "neighbour_likelihood" in needs:
        rows += near * _share(config.final_num_probes, forget, near) * evaluations
    if "membership_errors" in needs:
        rows += (forget + 1) * config.num_membership_noises * _TIMES
    return rows


def rows_of_statistics(config: StudyConfig, num_probes: int, num_images: int) -> int:
    """Rows of one model's statistics for the membership test."""
    likelihood = num_probes * ROWS_OF_A_PROBE * config.num_likelihood_evaluations
    return num_images * (likelihood + config.num_membership_noises * _TIMES)


def _share(total: int, num_forget: int, num_neighbours: int) -> int:
    """As `Evidence` shares draws among neighbours."""
    return max(2, math.ceil(total * num_forget / num_neighbours)) if total > 1 else 1
