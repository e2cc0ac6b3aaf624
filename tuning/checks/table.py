"""What one field cannot say alone: relations between fields, registries, files, storage, secrets.

Each check names the fields that it reads and runs when all of them are valid by themselves, so that one pass finds
everything there is to find.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from registry import Registry
from search_spaces import SEARCH_SPACES
from tuning import paths
from tuning.checks import budgets, depots, encoders, goals, images, models, prompts, resuming, retain, warm_start
from tuning.checks.extensions import METHOD, METRIC, WORKLOAD, Kind, extension_problems
from tuning.checks.resources import resource_problems
from tuning.checks.spaces import enqueue_problems, fix_problems
from tuning.goals import Constraint, Objective
from tuning.problems import Problem, closest, has_password
from tuning.schema import is_remote

Check = Callable[..., list[Problem]]
_URL_FIELDS = ("storage_path", "mlflow_tracking_uri", "optuna_storage", "address")


def metric_registry() -> Registry[Any]:
    """``metrics.METRICS``; imported here so that a listing costs nothing until it is asked for."""
    registry: Registry[Any] = importlib.import_module("metrics").METRICS
    return registry


def workload_registry() -> Registry[Any]:
    """``trainable.workloads.WORKLOADS``."""
    registry: Registry[Any] = importlib.import_module("trainable.workloads").WORKLOADS
    return registry


def encoder_registry() -> Registry[Any]:
    """``metrics.architectures.ENCODERS``."""
    registry: Registry[Any] = importlib.import_module("metrics.architectures").ENCODERS
    return registry


def registry_problems(rule: str, name: str, registry: Registry[Any], kind: Kind) -> list[Problem]:
    """Whether a name is registered, or that of an extension that can be used."""
    if name in registry:
        return []
    if ":" not in name:
        return [Problem(rule, name, f"{closest(name, registry)} (or package.module:Class)")]
    return extension_problems(rule, name, kind)


def _methods(methods: Sequence[str]) -> list[Problem]:
    rule = "every method must be a known one"
    unknown = [problem for name in methods for problem in registry_problems(rule, name, SEARCH_SPACES, METHOD)]
    if len(set(methods)) < len(methods):
        unknown.append(Problem("every method must be named once", ", ".join(methods), "remove the repeated one"))
    return unknown


def _metrics(kind: str, names: Sequence[str]) -> list[Problem]:
    registry, rule = metric_registry(), f"every {kind} must be a known metric"
    return [problem for name in names for problem in registry_problems(rule, name, registry, METRIC)]


def _goal_metrics(kind: str, goals: Sequence[Objective | Constraint]) -> list[Problem]:
    return _metrics(kind, [goal.metric for goal in goals])


def _workload(workload: str) -> list[Problem]:
    return registry_problems("workload must be a known one", workload, workload_registry(), WORKLOAD)


def _searcher(searcher: str, methods: Sequence[str]) -> list[Problem]:
    if searcher != "gp" or len(methods) == 1:
        return []
    rule = "the gp searcher must have one method, since it cannot search over conditional parameters"
    return [Problem(rule, ", ".join(methods), "choose one with --methods, or the searcher ehvi")]


def _rungs(rungs: Sequence[int]) -> list[Problem]:
    if all(low < high for low, high in pairwise(rungs)):
        return []
    return [Problem("rungs must rise strictly", ", ".join(map(str, rungs)), "write for instance 10, 20, 40")]


def _ladder(ladder: Sequence[float], rungs: Sequence[int]) -> list[Problem]:
    if not ladder:
        return []
    given, found = ", ".join(f"{part:g}" for part in ladder), []
    if len(ladder) != len(rungs):
        rule = "ladder must have a part for each rung"
        found.append(Problem(rule, f"{len(ladder)} for {len(rungs)} rungs", "give as many, or none to measure alike"))
    if ladder[-1] != 1 or any(low > high for low, high in pairwise(ladder)):
        rule = "ladder must not fall and end at 1, since the last rung is measured in full"
        found.append(Problem(rule, given, "write for instance 0.25, 0.5, 1"))
    return found


def _scheduler(scheduler: str, rungs: Sequence[int]) -> list[Problem]:
    if scheduler == "none" or len(rungs) > 1:
        return []
    rule = f"{scheduler} must have two rungs or more, since at the last one trials end by themselves"
    return [Problem(rule, ", ".join(map(str, rungs)), "add earlier rungs, or choose --scheduler none")]


def _denoising_steps(injection_timestep: int, num_denoising_steps: int) -> list[Problem]:
    if num_denoising_steps <= injection_timestep:
        return []
    rule = "num_denoising_steps must be at most injection_timestep, since each step ends at an earlier timestep"
    return [Problem(rule, f"{num_denoising_steps} and {injection_timestep}", "lower num_denoising_steps")]


def _final(name: str, trial: int, final: int) -> list[Problem]:
    if final >= trial:
        return []
    rule = f"final_{name} must be at least {name}, since baseline and front are measured more closely"
    return [Problem(rule, f"{final} and {trial}", f"raise final_{name}")]


def _model_files(field: str, model: str | None) -> list[Problem]:
    return [] if model is None else paths.model_problems(field, model)


def _encoder(field: str, path: str | None, workload: str) -> list[Problem]:
    """A workload from outside may read encoder files of its own kind."""
    if path is None:
        return []
    registered = workload in workload_registry()
    return encoders.encoder_problems(field, path, tuple(encoder_registry()) if registered else None)


def _clip(clip: str | None) -> list[Problem]:
    return [] if clip is None else encoders.clip_problems(clip)


def _encoders_needed(workload: str, *asked_and_given: Any) -> list[Problem]:
    """A workload from outside may bring encoders of its own."""
    return encoders.needed_problems(*asked_and_given) if workload in workload_registry() else []


def _images(field: str, path: str | None) -> list[Problem]:
    return [] if path is None else images.images_problems(field, path)


def _image_sizes(field: str, path: str | None, model: str, workload: str) -> list[Problem]:
    if path is None or not _takes_size(model, workload):
        return []
    return images.size_problems(field, path, model)


def _forget_sizes(forget: tuple[str, ...], model: str, workload: str) -> list[Problem]:
    return images.forget_size_problems(forget, model) if _takes_size(model, workload) else []


def _takes_size(model: str, workload: str) -> bool:
    """A workload from outside may take images of any size to a model of latents."""
    return workload in workload_registry() or not images.is_latent(model)


def _ideal(objectives: Sequence[Objective], *known: Any) -> list[Problem]:
    """A metric that is not known is another check's finding."""
    registry = metric_registry()
    named = [objective for objective in objectives if objective.metric in registry or ":" in objective.metric]
    return goals.ideal_problems(named, *known)


def _url(field: str, url: str | None) -> list[Problem]:
    if url is None or not has_password(url):
        return []
    rule = f"{field} must not carry a password, since it is printed and written to files"
    return [Problem(rule, url, "give it by environment (PGPASSWORD, MLFLOW_TRACKING_PASSWORD, AWS_…) or ~/.pgpass")]


def _for_field(check: Check, field: str) -> tuple[tuple[str, ...], Check]:
    return (field,), partial(check, field)


def _final_pair(name: str) -> tuple[tuple[str, ...], Check]:
    return (name, f"final_{name}"), partial(_final, name)


RELATIONS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("name",), paths.name_problems),
    (("workload",), _workload),
    (("methods",), _methods),
    (("objectives",), partial(_goal_metrics, "objective")),
    (("constraints",), partial(_goal_metrics, "constraint")),
    (("report_metrics",), partial(_metrics, "reported metric")),
    (("objectives",), goals.objective_problems),
    (("constraints",), goals.constraint_problems),
    (("methods", "fix"), fix_problems),
    (("methods", "enqueue"), enqueue_problems),
    (("searcher", "methods"), _searcher),
    (("ideal", "objectives"), goals.given_ideal_problems),
    (("rungs",), _rungs),
    (("scheduler", "rungs"), _scheduler),
    (("ladder", "rungs"), _ladder),
    (("num_trials", "repeats"), budgets.trials_problems),
    (("time_budget", "rungs", *budgets.FIELDS), budgets.time_problems),
    (("resources_per_trial",), resource_problems),
    (("injection_timestep", "num_denoising_steps"), _denoising_steps),
    *(_final_pair(name) for name in ("num_images", "num_probes", "num_denoisings")),
    *(_for_field(_url, field) for field in _URL_FIELDS),
    (("workload", "objectives", "constraints", "report_metrics", *encoders.FIELDS), _encoders_needed),
)
"""Fields → check, of what holds whatever lies on the disk."""

FILES: tuple[tuple[tuple[str, ...], Check], ...] = (
    *(_for_field(_model_files, field) for field in ("model", "retrained_model")),
    *(((field, "workload"), partial(_encoder, field)) for field in ("descriptor", "features", "classifier")),
    (("clip",), _clip),
    *(((field, "workload"), partial(models.model_problems, field)) for field in ("model", "retrained_model")),
    (("model", "retrained_model", "workload"), models.same_problems),
    (("prompts", "guidance_scale", "workload", "forget", "model"), prompts.prompt_problems),
    (("unseen", "workload"), prompts.unseen_problems),
    *(_for_field(_images, field) for field in ("retain", "unseen")),
    *(((field, "model", "workload"), partial(_image_sizes, field)) for field in ("retain", "unseen")),
    (("forget",), images.forget_problems),
    (("forget", "model", "workload"), _forget_sizes),
    (("retain", "forget", "model", "workload"), retain.retain_problems),
    (("forget_separately", "forget"), images.forget_name_problems),
    (("storage_path",), paths.storage_problems),
)
"""Fields → check, of what must lie on the disk; paths are absolute by then."""

LAUNCH: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("storage_path", "name", "resume"), paths.study_problems),
    (("storage_path", "name", "resume"), depots.new_study_problems),
    (("storage_path", "name", "resume"), resuming.weights_problems),
    (("warm_start", "storage_path", "name", "resume"), warm_start.study_problems),
    (
        ("warm_start", "storage_path", "name", "resume", "methods", "objectives", "constraints", "fix"),
        warm_start.content_problems,
    ),
    (("objectives", "retrained_model", "unseen", "workload", "ideal", "dropped"), _ideal),
)
"""Fields and facts of the command line → check: ``resume``; ``dropped``, field → the flag that dropped it."""


def problems_of(values: Mapping[str, Any], checks: Sequence[tuple[tuple[str, ...], Check]]) -> list[Problem]:
    """What `checks` find in those fields that are valid by themselves.

    Args:
        values: field → validated value; a field that is not valid is left out.
        checks: `RELATIONS`, `FILES` or `LAUNCH`.
    """
    found: list[Problem] = []
    for fields, check in checks:
        if not all(field in values for field in fields):
            continue
        try:
            found += check(*(values[field] for field in fields))
        except OSError as error:  # a path too long, a directory that may not be looked into
            given = f"{values[fields[0]]} ({error.strerror or type(error).__name__})"
            found.append(
                Problem(f"{fields[0]} must be a path that can be read", given, "check the path and its rights")
            )
    return found


def resolved_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with absolute paths; the storage, which is made, is taken from the current directory."""
    resolved = dict(values)
    for field in ("retain", "prompts", "unseen"):
        if resolved.get(field) is not None:
            resolved[field] = paths.resolve_input(resolved[field])
    for field in ("descriptor", "features", "classifier"):
        if resolved.get(field) is not None:
            resolved[field] = paths.resolve_encoder(resolved[field])
    for field in ("model", "retrained_model", "clip"):
        if resolved.get(field) is not None:
            resolved[field] = paths.resolve_model(resolved[field])
    if "forget" in resolved:
        resolved["forget"] = tuple(paths.resolve_input(path) for path in resolved["forget"])
    if "storage_path" in resolved and not is_remote(resolved["storage_path"]):
        resolved["storage_path"] = str(paths.absolute(resolved["storage_path"]))
    if "warm_start" in resolved and "storage_path" in resolved:
        storage = resolved["storage_path"]
        resolved["warm_start"] = tuple(warm_start.resolved(s, storage) for s in resolved["warm_start"])
    return resolved
