"""Which resources a trial may ask for by name."""

from __future__ import annotations

from collections.abc import Mapping

from tuning.problems import Problem

#: Ray's own names, and the field that says how much of it a trial gets.
_OWN = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}
_MEMORY = ("memory", "object_store_memory")


def resource_problems(resources: Mapping[str, float]) -> list[Problem]:
    """What is wrong with ``resources_per_trial``."""
    problems = []
    for name, amount in resources.items():
        if name.upper() in _OWN:
            rule = "resources_per_trial must name resources other than CPU and GPU"
            problems.append(Problem(rule, name, f"give {_OWN[name.upper()]}"))
        elif name in _MEMORY:
            rule = "resources_per_trial must not name memory"
            problems.append(Problem(rule, name, "leave it out: Ray counts it, but holds no trial to it"))
        elif amount > 1 and amount != int(amount):
            rule = f"more than 1 of the resource {name} must be a whole number"
            problems.append(Problem(rule, amount, "Ray divides only what is at most 1"))
    return problems
