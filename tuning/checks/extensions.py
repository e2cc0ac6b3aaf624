"""Whether what is named as package.module:Class can be used: imported, of the right kind, whole, its space fitting."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces import MethodSpace
from search_spaces.space import RATIO_SUFFIX
from tuning.problems import Problem, closest


@dataclass(frozen=True)
class Kind:
    """What a name is to stand for.

    Args:
        name: in one word.
        base: module and name of the class that it must be a subclass of.
        flags: those that take such a name.
        declares: attributes that a class must have.
    """

    name: str
    base: tuple[str, str]
    flags: str
    declares: tuple[str, ...] = ()


WORKLOAD = Kind("workload", ("trainable.workloads.workload", "Workload"), "--workload")
METHOD = Kind("method", ("trainable.methods.method", "Method"), "--methods")
METRIC = Kind(
    "metric",
    ("metrics.metric", "Metric"),
    "--report-metrics, --objectives or --constraints",
    ("name", "direction", "bounds", "needs", "cost"),
)
_KINDS = (WORKLOAD, METHOD, METRIC)
#: Columns and keys that a parameter would be taken for.
_TAKEN = frozenset(
    {"trial_id", "method", "step", "rung", "repeat", "seed", "forget_image", "state", "reason", "seconds",
     "mlflow_run_id", "feasible", "violation", "candidate"}
)  # fmt: skip


def extension_problems(rule: str, name: str, kind: Kind) -> list[Problem]:
    """What is wrong with an extension; only one thing where the next cannot be looked for.

    Args:
        rule: what must hold of every name given.
        name: ``package.module:Class``.
        kind: what it is to be.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        remedy = "write for instance my_package.my_module:MyClass"
        return [Problem(f"a {kind.name} of your own must be named package.module:Class", name, remedy)]
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # it runs code of the user's: whatever it raises is the finding
        return [_not_imported(rule, name, module_name, error)]
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            classes = [key for key, value in vars(found).items() if inspect.isclass(value)]
            given, remedy = f"{name} ({module_name} has no {attribute})", closest(attribute, classes)
            return [
                Problem(f"a {kind.name} must be in the module that is named", given, remedy if classes else "add it")
            ]
        found = getattr(found, part)
    return _class_problems(name, found, kind)


def _not_imported(rule: str, name: str, module: str, error: BaseException) -> Problem:
    given = f"{name} ({type(error).__name__}: {error})"
    lacking = error.name if isinstance(error, ModuleNotFoundError) else None
    if lacking is not None and (module == lacking or module.startswith(f"{lacking}.")):
        remedy = "start in the directory that holds the package, or put that on the Python path (PYTHONPATH)"
    elif lacking is not None:
        remedy = f"install {lacking}, or put it on the Python path (PYTHONPATH)"
    else:
        remedy = "repair the module: python -c 'import " + module + "' shows where it fails"
    return Problem(f"{rule} that can be imported", given, remedy)


def _class_problems(name: str, found: Any, kind: Kind) -> list[Problem]:
    base = _base(kind)
    if not (inspect.isclass(found) and issubclass(found, base)):
        others = [other for other in _KINDS if inspect.isclass(found) and issubclass(found, _base(other))]
        what = f"a {others[0].name}" if others else "another class" if inspect.isclass(found) else f"a {_type(found)}"
        remedy = f"give it by {others[0].flags}" if others else f"make it a subclass of {'.'.join(kind.base)}"
        return [Problem(f"a {kind.name} must be a subclass of {kind.base[1]}", f"{name}, which is {what}", remedy)]
    problems = []
    if abstract := sorted(getattr(found, "__abstractmethods__", ())):
        given = f"{name} without {', '.join(abstract)}"
        problems.append(
            Problem(f"a {kind.name} must have every method of {kind.base[1]}", given, "write what is missing")
        )
    if lacking := [attribute for attribute in kind.declares if not hasattr(found, attribute)]:
        given = f"{name} without {', '.join(lacking)}"
        remedy = f"add them as class attributes; {kind.base[0]} says what they mean"
        problems.append(Problem(f"a {kind.name} must declare what it is", given, remedy))
    return problems + (_space_problems(name, found) if kind is METHOD else [])


def _base(kind: Kind) -> type:
    base: type = getattr(importlib.import_module(kind.base[0]), kind.base[1])
    return base


def _type(found: object) -> str:
    return "module" if inspect.ismodule(found) else type(found).__name__


def _space_problems(name: str, method: type) -> list[Problem]:
    space = getattr(method, "space", None)
    if not isinstance(space, MethodSpace):
        rule = "a method from outside must carry its search space as the class attribute 'space'"
        given = f"{name} with {'none' if space is None else f'a {_type(space)}'}"
        remedy = "add `space = MethodSpace(…)` to the class; docs/extending.md has an example"
        return [Problem(rule, given, remedy)]
    parameters = [parameter.name for parameter in space.parameters]
    return [*_name_problems(name, parameters), *_fit_problems(name, method, parameters), *_published(name, space)]


def _name_problems(name: str, parameters: Sequence[str]) -> list[Problem]:
    taken = [each for each in parameters if each in _TAKEN or each.endswith(RATIO_SUFFIX) or parameters.count(each) > 1]
    rule = f"a parameter must have a name of its own that no column has and that does not end in {RATIO_SUFFIX}"
    return [Problem(rule, f"{each} of {name}", "rename it") for each in dict.fromkeys(taken)]


def _fit_problems(name: str, method: type, parameters: Sequence[str]) -> list[Problem]:
    try:
        inspect.signature(method).bind(**dict.fromkeys(parameters))
    except TypeError as error:
        rule = "a method must be built from the parameters of its space and no others"
        given = f"{name} with a space of {', '.join(parameters) or 'no parameters'} ({error})"
        return [Problem(rule, given, "name the arguments of __init__ as the parameters, or give them defaults")]
    return []


def _published(name: str, space: MethodSpace) -> list[Problem]:
    """Of a scaled parameter's product nothing is known before its scale was measured."""
    products = {parameter.name for parameter in space.parameters if parameter.scale is not None}
    problems = []
    for settings in space.published:
        try:
            space.to_optuna_params({key: settings[key] for key in settings if key not in products}, {})
        except ValueError as error:
            rule, given = "published settings must lie in the method's space", f"{dict(settings)} of {name} ({error})"
            problems.append(Problem(rule, given, "correct them, or widen the space"))
    return problems
