"""Objectives and constraints: whether they can be traded off, kept, and measured against an ideal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trainable.workloads.kinds import KINDS
from tuning.baseline import KNOWN_IDEAL, UNSEEN_IDEAL
from tuning.goals import Constraint, Objective
from tuning.problems import Problem, closest


def objective_problems(objectives: Sequence[Objective]) -> list[Problem]:
    """Whether each objective is of another metric."""
    names = [objective.metric for objective in objectives]
    if len(set(names)) == len(names):
        return []
    return [Problem("objectives must be different metrics", ", ".join(map(str, objectives)), "name each metric once")]


def constraint_problems(constraints: Sequence[Constraint]) -> list[Problem]:
    """Whether bounds can be kept, and none is given twice."""
    problems = []
    for constraint in constraints:
        if constraint.relative and (constraint.bound <= 0 or not math.isfinite(constraint.bound)):
            problems.append(
                Problem("a relative bound must be > 0", str(constraint), "write for instance 'fid <= 1.2x'")
            )
    texts = [(constraint.metric, constraint.op) for constraint in constraints]
    if len(set(texts)) < len(texts):
        rule = "constraints must bound a metric once from each side"
        problems.append(Problem(rule, ", ".join(map(str, constraints)), "keep the stricter one"))
    return problems


def ideal_problems(
    objectives: Sequence[Objective],
    retrained_model: str | None,
    unseen: str | None,
    workload: str,
    ideal: Mapping[str, float],
    dropped: Mapping[str, str],
) -> list[Problem]:
    """Whether the hypervolume has an ideal point: see ``baseline.Baseline.ideal``.

    Args:
        objectives: of metrics that are known.
        retrained_model, unseen, workload, ideal: fields of the configuration.
        dropped: field → the flag that dropped it.
    """
    if retrained_model is not None:
        return []
    kind = KINDS.get(workload)
    measured = unseen is not None or (kind is not None and kind.takes_prompts)  # other images of the prompt
    known = {*KNOWN_IDEAL, *ideal, *([UNSEEN_IDEAL] if measured else [])}
    lacking = [objective for objective in objectives if objective.metric not in known]
    if not lacking:
        return []
    rule = "an objective other than sscd needs an ideal, the value of a retrained_model or, for nll, of unseen images"
    given = [f"{', '.join(map(str, lacking))} without retrained_model"]
    given += ["or unseen images"] if any(o.metric == UNSEEN_IDEAL for o in lacking) else []
    if dropped:
        names, flags = " and ".join(dropped), " and ".join(dict.fromkeys(dropped.values()))
        verb = "belong" if len(dropped) > 1 else "belongs"
        given.append(f"({names} of the study file {verb} to what {flags} replaced)")
    remedies = ["--retrained-model, the same model trained without the forget images"]
    if all(o.metric == UNSEEN_IDEAL for o in lacking):
        remedies.append("--unseen, an .npz of images like the forget image that the model never saw")
    remedies.append(f"--ideal {lacking[0].metric}=RATIO, where you know how many times the untouched value is enough")
    return [Problem(rule, " ".join(given), f"give {', or '.join(remedies)}; or leave out the objective")]


def given_ideal_problems(ideal: Mapping[str, float], objectives: Sequence[Objective]) -> list[Problem]:
    """Whether each value given is of an objective, and not the untouched model's own."""
    known = [objective.metric for objective in objectives]
    problems = [
        Problem("ideal must name objectives", name, closest(name, known)) for name in ideal if name not in known
    ]
    rule = "an ideal must be another number of times the untouched model's value"
    return problems + [
        Problem(rule, f"{name}={value:g}", "give for instance nll=1.5, half as much again")
        for name, value in ideal.items()
        if value in (0.0, 1.0)
    ]
