"""Whether the settings that a configuration fixes or enqueues are ones that its methods take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search_spaces import MethodSpace, Parameter, space_of
from tuning.problems import Problem, closest


def known_spaces(methods: Sequence[str]) -> list[MethodSpace]:
    """The spaces of those `methods` that have one; the others are another check's finding."""
    spaces = []
    for method in methods:
        try:
            spaces.append(space_of(method))
        except (Exception, SystemExit):  # the check of the methods reports it
            continue
    return spaces


def _parameters(spaces: Sequence[MethodSpace]) -> dict[str, Parameter]:
    """Every name that settings may use, with its parameter."""
    parameters = [parameter for space in spaces for parameter in space.parameters]
    return {name: parameter for parameter in parameters for name in (parameter.name, parameter.sampled_name)}


def fix_problems(methods: Sequence[str], fix: Mapping[str, float]) -> list[Problem]:
    spaces = known_spaces(methods)
    parameters, complete = _parameters(spaces), len(spaces) == len(methods)
    problems = []
    for name, value in fix.items():
        given = f"{name}={value:g}"
        if name not in parameters:
            if not complete:  # it may be a parameter of the method that is not known
                continue
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


def enqueue_problems(methods: Sequence[str], enqueue: Sequence[Mapping[str, str | float]]) -> list[Problem]:
    problems = []
    for settings in enqueue:
        method = str(settings.get("method", ""))
        given = ", ".join(f"{key}: {value}" for key, value in settings.items())
        if method not in methods:
            rule = "every enqueue entry must name one of the chosen methods"
            problems.append(Problem(rule, given, closest(method, methods)))
            continue
        spaces = known_spaces([method])
        if not spaces:
            continue
        parameters = _parameters(spaces)
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
