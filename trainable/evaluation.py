"""Measures a model with as many rows in a network call as memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffusion.denoiser import Denoiser
from metrics import measure
from metrics.evidence import Evidence
from metrics.metric import Measurement
from metrics.subject import Fidelity, Subject
from trainable.memory import RowLimit


def evaluation_rows(fidelity: Fidelity) -> RowLimit:
    """The limit that evaluations at ``fidelity`` begin with."""
    return RowLimit(fidelity.batch_size, "evaluation")


def evaluate(
    names: Sequence[str],
    denoiser: Denoiser,
    subject: Subject,
    fidelity: Fidelity,
    seed: int,
    rows: RowLimit,
    begun: Evidence | None = None,
) -> tuple[Evidence, dict[str, Measurement]]:
    """The metrics ``names`` of ``denoiser``, and the evidence they were measured on.

    Args:
        rows: takes the place of the fidelity's batch size, which changes values by rounding only.
        begun: evidence on the same model and seed, whose samples are taken.
    """

    def attempt(batch_size: int) -> tuple[Evidence, dict[str, Measurement]]:
        evidence = Evidence(denoiser, subject, replace(fidelity, batch_size=batch_size), seed, begun)
        return evidence, measure(names, evidence)

    return rows.run(attempt)
