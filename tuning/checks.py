"""What one field cannot say alone: relations between fields, registries, files, storage, secrets.

Each check names the fields that it reads and runs when all of them are valid by themselves, so that one pass finds
everything there is to find.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from registry import Registry
from search_spaces import SEARCH_SPACES, MethodSpace, Parameter
from tuning import paths
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


def space_of(method: str) -> MethodSpace:
    """The search space of a method: registered, or the ``space`` attribute of ``package.module:Class``.

    Raises:
        KeyError: the method is neither.
        ImportError, AttributeError: the extension cannot be imported.
        TypeError: it has no `MethodSpace`.
    """
    found: object = SEARCH_SPACES[method]
    space = found if isinstance(found, MethodSpace) else getattr(found, "space", None)
    if not isinstance(space, MethodSpace):
        raise TypeError(f"{method} has no attribute 'space' that is a search_spaces.MethodSpace")
    return space


def name_problems(rule: str, name: str, registry: Collection[str], load: Callable[[str], object]) -> list[Problem]:
    """Whether a name is registered, or an extension that can be imported."""
    if name in registry:
        return []
    if ":" not in name:
        return [Problem(rule, name, f"{closest(name, registry)} (or package.module:Class)")]
    try:
        load(name)
    except Exception as error:  # an extension runs code of the user's: whatever it raises is the finding
        given = f"{name} ({type(error).__name__}: {error})"
        return [Problem(f"{rule} that can be imported", given, "check the module and its place on the Python path")]
    return []


def _methods(methods: Sequence[str]) -> list[Problem]:
    rule = "every method must be a known one"
    unknown = [problem for name in methods for problem in name_problems(rule, name, SEARCH_SPACES, space_of)]
    if len(set(methods)) < len(methods):
        unknown.append(Problem("every method must be named once", ", ".join(methods), "remove the repeated one"))
    return unknown


def _metrics(kind: str, names: Sequence[str]) -> list[Problem]:
    registry, rule = metric_registry(), f"every {kind} must be a known metric"
    return [problem for name in names for problem in name_problems(rule, name, registry, registry.__getitem__)]


def _goal_metrics(kind: str, goals: Sequence[Objective | Constraint]) -> list[Problem]:
    return _metrics(kind, [goal.metric for goal in goals])


def _objectives(objectives: Sequence[Objective]) -> list[Problem]:
    names = [objective.metric for objective in objectives]
    if len(set(names)) == len(names):
        return []
    return [Problem("objectives must be different metrics", ", ".join(map(str, objectives)), "name each metric once")]


def _workload(workload: str) -> list[Problem]:
    registry = workload_registry()
    return name_problems("workload must be a known one", workload, registry, registry.__getitem__)


def known_spaces(methods: Sequence[str]) -> list[MethodSpace]:
    """The spaces of those `methods` that have one; the others are another check's finding."""
    spaces = []
    for method in methods:
        try:
            spaces.append(space_of(method))
        except Exception:  # as in name_problems, which reports it
            continue
    return spaces


def _parameters(spaces: Sequence[MethodSpace]) -> dict[str, Parameter]:
    """Every name that settings may use, with its parameter."""
    parameters = [parameter for space in spaces for parameter in space.parameters]
    return {name: parameter for parameter in parameters for name in (parameter.name, parameter.sampled_name)}


def _fix(methods: Sequence[str], fix: Mapping[str, float]) -> list[Problem]:
    parameters = _parameters(known_spaces(methods))
    problems = []
    for name, value in fix.items():
        given = f"{name}={value:g}"
        if name not in parameters:
            rule = f"fix must name a parameter of the chosen methods ({', '.join(methods)})"
            problems.append(Problem(rule, given, closest(name, parameters) if parameters else "they have none"))
        elif reason := _illegal(parameters[name], value):
            problems.append(Problem(f"fix: {reason}", given, "give a value that the method can take"))
        elif name != parameters[name].name and parameters[name].name in fix:
            rule = "fix must give a parameter once, as a value or as a ratio"
            problems.append(Problem(rule, f"{parameters[name].name} and {name}", "remove one of them"))
    return problems


def _illegal(parameter: Parameter, value: float) -> str | None:
    """The rule that a fixed value breaks: what is sampled in logarithms is positive, the rest stays in its range."""
    if parameter.log:
        return None if value > 0 else f"{parameter.name} must be > 0"
    if parameter.low <= value <= parameter.high:
        return None
    return f"{parameter.low:g} <= {parameter.name} <= {parameter.high:g} must hold"


def _enqueue(methods: Sequence[str], enqueue: Sequence[Mapping[str, str | float]]) -> list[Problem]:
    problems = []
    for settings in enqueue:
        method = str(settings.get("method", ""))
        given = ", ".join(f"{key}: {value}" for key, value in settings.items())
        if method not in methods:
            rule = "every enqueue entry must name one of the chosen methods"
            problems.append(Problem(rule, given, closest(method, methods)))
            continue
        parameters = _parameters(known_spaces([method]))
        for name in settings.keys() - {"method"}:
            problems += _enqueued(method, name, settings[name], parameters)
    return problems


def _enqueued(method: str, name: str, value: str | float, parameters: Mapping[str, Parameter]) -> list[Problem]:
    given = f"{name}: {value}"
    if name not in parameters:
        remedy = closest(name, parameters) if parameters else "it has none"
        return [Problem(f"an enqueue entry must name parameters of {method}", given, remedy)]
    parameter = parameters[name]
    if isinstance(value, str):
        return [Problem(f"enqueue: {name} must be a number", given, "write it as 0.5 or 1e-3")]
    if name != parameter.sampled_name:  # a product: its ratio is known after calibration only
        return [] if value > 0 else [Problem(f"enqueue: {name} must be > 0", given, "give a positive value")]
    if parameter.contains(value):
        return []
    rule = f"enqueue: {parameter.low:g} <= {name} <= {parameter.high:g} must hold"
    return [Problem(rule, given, "give a value in the range that is searched, or fix it")]


def _searcher(searcher: str, methods: Sequence[str]) -> list[Problem]:
    if searcher != "gp" or len(methods) == 1:
        return []
    rule = "the gp searcher must have one method, since it cannot search over conditional parameters"
    return [Problem(rule, ", ".join(methods), "choose one with --methods, or the searcher tpe")]


def _rungs(rungs: Sequence[int]) -> list[Problem]:
    if all(low < high for low, high in pairwise(rungs)):
        return []
    return [Problem("rungs must rise strictly", ", ".join(map(str, rungs)), "write for instance 10, 20, 40")]


def _final(name: str, trial: int, final: int) -> list[Problem]:
    if final >= trial:
        return []
    rule = f"final_{name} must be at least {name}, since baseline and front are measured more closely"
    return [Problem(rule, f"{final} and {trial}", f"raise final_{name}")]


def _constraints(constraints: Sequence[Constraint]) -> list[Problem]:
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


def _model_files(field: str, model: str | None) -> list[Problem]:
    return [] if model is None else paths.model_problems(field, model)


def _encoder(field: str, path: str | None) -> list[Problem]:
    return [] if path is None else paths.encoder_problems(field, path)


def _images(field: str, path: str | None) -> list[Problem]:
    return [] if path is None else paths.images_problems(field, path)


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
    (("objectives",), _objectives),
    (("constraints",), _constraints),
    (("methods", "fix"), _fix),
    (("methods", "enqueue"), _enqueue),
    (("searcher", "methods"), _searcher),
    (("rungs",), _rungs),
    *(_final_pair(name) for name in ("num_images", "num_probes", "num_denoisings")),
    *(_for_field(_url, field) for field in _URL_FIELDS),
)
"""Fields → check, of what holds whatever lies on the disk."""

FILES: tuple[tuple[tuple[str, ...], Check], ...] = (
    *(_for_field(_model_files, field) for field in ("model", "retrained_model")),
    *(_for_field(_encoder, field) for field in ("descriptor", "features", "classifier")),
    *(_for_field(_images, field) for field in ("retain", "unseen")),
    (("forget",), paths.forget_problems),
    (("forget", "model"), paths.size_problems),
    (("storage_path",), paths.storage_problems),
)
"""Fields → check, of what must lie on the disk; paths are absolute by then."""


def problems_of(values: Mapping[str, Any], checks: Sequence[tuple[tuple[str, ...], Check]]) -> list[Problem]:
    """What `checks` find in those fields that are valid by themselves.

    Args:
        values: field → validated value; a field that is not valid is left out.
        checks: `RELATIONS` or `FILES`.
    """
    found: list[Problem] = []
    for fields, check in checks:
        if all(field in values for field in fields):
            found += check(*(values[field] for field in fields))
    return found


def resolved_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with absolute paths; the storage, which is made, is taken from the current directory."""
    resolved = dict(values)
    for field in ("retain", "descriptor", "features", "classifier", "unseen"):
        if resolved.get(field) is not None:
            resolved[field] = paths.resolve_input(resolved[field])
    for field in ("model", "retrained_model"):
        if resolved.get(field) is not None:
            resolved[field] = paths.resolve_model(resolved[field])
    if "forget" in resolved:
        resolved["forget"] = tuple(paths.resolve_input(path) for path in resolved["forget"])
    if "storage_path" in resolved and not is_remote(resolved["storage_path"]):
        resolved["storage_path"] = str(paths.absolute(resolved["storage_path"]))
    return resolved
