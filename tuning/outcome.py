"""How a trial ended, as the search is told: one report that stands for it, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analysis.growing_front import GrowingFront
from trainable.failure import ENDING
from tuning.judging import Goals, Report, number, total_excess

NEVER_REPORTED: Final = "never reported"
NOT_FINITE: Final = "objective not finite"
INTERRUPTED: Final = "interrupted"
#: Why a trial is complete that had more rungs before it.
TIME_BUDGET: Final = "ended by the time budget"


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: ``report`` stands for a completed one, ``reason`` says why a failed one failed.

    ``stopped_by`` says what stopped one below its last rung, where that was not the scheduler.
    """

    report: Report | None
    values: tuple[float, ...] = ()
    constraints: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    stopped_at_rung: int | None = None
    stopped_by: str = ""

    @property
    def completed(self) -> bool:
        """COMPLETE or FAIL."""
        return self.reason is None

    @property
    def violation(self) -> float:
        """Sum of the positive constraint values; 0 is feasible."""
        return total_excess(self.constraints.values())


def essence(report: Report, goals: Goals) -> dict[str, Any]:
    """What is kept of a report for judging it again: step, rung, each metric of the goals, and why it was the last."""
    kept: dict[str, Any] = {"step": int(report["step"]), "rung": int(report.get("rung", 0))}
    kept |= {metric: number(report, metric) for metric in goals.metrics}
    return {**kept, ENDING: report[ENDING]} if ENDING in report else kept


def judge(
    reports: Sequence[Report],
    others: Iterable[Report],
    goals: Goals,
    *,
    reason: str | None = None,
    last_step: int | None = None,
) -> Outcome:
    """How a trial with these reports ended.

    Args:
        reports: the trial's own, by step.
        others: those of all other trials, or what of them is on a front: what to contribute to. Looked at only where
            the choice depends on it.
        goals: what they are judged by.
        reason: why it failed, where it did.
        last_step: step of a trial that ran to its end; below it the trial was stopped early.

    Returns:
        A failure where ``reason`` says so, where nothing was reported, and where the last report lacks a finite
        objective: a model that ends in NaN is no model. Else the representative report.
    """
    if reason is not None:
        return Outcome(None, reason=reason)
    if not reports:
        return Outcome(None, reason=NEVER_REPORTED)
    if not goals.is_valid(reports[-1]):
        return Outcome(None, reason=NOT_FINITE)
    chosen = representative([report for report in reports if goals.is_valid(report)], others, goals)
    early = last_step is not None and reports[-1]["step"] < last_step
    stopped = int(reports[-1]["rung"]) if early else None
    return Outcome(
        chosen,
        goals.values(chosen),
        goals.constraint_values(chosen),
        stopped_at_rung=stopped,
        stopped_by=str(reports[-1].get(ENDING, "")) if early else "",
    )


def representative(reports: Sequence[Report], others: Iterable[Report], goals: Goals) -> Report:
    """The report that stands for a trial: at its highest rung, the feasible one that adds most to the front.

    Added is hypervolume over that of the other trials' feasible reports, between the ideal (1) and the untouched model
    (0), values beyond the ideal clipped there. Where none is feasible the least violation counts. Of equals the latest.

    Args:
        reports: the trial's own, at least one, all with finite objectives.
        others: those of all other trials, or what of them is on a front.
        goals: what they are judged by.
    """
    top = max(report["rung"] for report in reports)
    latest_first = sorted((r for r in reports if r["rung"] == top), key=lambda r: r["step"], reverse=True)
    feasible = [report for report in latest_first if _violation(report, goals) == 0.0]
    if len(feasible) == 1:
        return feasible[0]
    if not feasible:
        return min(latest_first, key=lambda report: _violation(report, goals))
    return max(feasible, key=GrowingFront(goals, others).hypervolume_with)


def _violation(report: Report, goals: Goals) -> float:
    return total_excess(goals.constraint_values(report).values())
