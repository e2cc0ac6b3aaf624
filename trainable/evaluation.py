"""Measures a model with as many rows in a network call as memory holds, and on no more images than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffusion.denoiser import Denoiser
from metrics import measure
from metrics.evidence import Evidence
from metrics.metric import Measurement
from metrics.subject import Fidelity, Subject
from trainable.memory import RowLimit
from trainable.quality import QualityRule


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


def evaluate_in_blocks(
    names: Sequence[str],
    denoiser: Denoiser,
    subject: Subject,
    fidelity: Fidelity,
    seed: int,
    rows: RowLimit,
    rule: QualityRule,
) -> tuple[Evidence, dict[str, Measurement]]:
    """As ``evaluate``, images made in blocks until the bounds on them are decided.

    Values of fewer images than a full report has are what the full report's would be, by comparison with the untouched
    model on the same images. How many there were is each measurement's ``num_samples``.
    """
    evidence: Evidence | None = None
    counts = rule.looks(fidelity.num_images)
    for count in counts:
        part = replace(fidelity, num_images=count)
        evidence, found = evaluate(rule.deciding, denoiser, subject, part, seed, rows, evidence)
        decided = rule.with_intervals(rule.estimates(found, count), len(counts))
        if rule.is_decided(decided):
            break
    others = [name for name in names if name not in decided]
    evidence, rest = evaluate(others, denoiser, subject, part, seed, rows, evidence)
    measured = {**rule.estimates(rest, count), **decided}
    return evidence, {name: measured[name] for name in names}
