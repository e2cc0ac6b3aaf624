"""A trial's settings from one study to another: ratios as they are, or the reason why they have no place there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces import Parameter, space_of
from tuning.judging import number


class LeftOutError(Exception):
    """Why a trial cannot be taken over; what follows "3 trials" in a sentence."""


def translated(
    row: Mapping[str, Any], calibration: Mapping[str, float], methods: Sequence[str], fixed: Mapping[str, float]
) -> dict[str, float]:
    """Sampled name → value, of every parameter that the study that takes leaves open.

    Args:
        row: of a table of the other study: its method, and parameters as values, products or ratios.
        calibration: quantities measured on the other study's model: a ratio is made of a product by them.
        methods: of the study that takes.
        fixed: settings that are no dimension there.

    Raises:
        LeftOutError: the method is not searched there, or a parameter is not known, outside of its range, or fixed to
            another value.
    """
    method = str(row.get("method"))
    if method not in methods:
        raise LeftOutError(f"of {method}, which is not searched here")
    space, settings = space_of(method), {}
    free = space.free_parameters(fixed)
    for parameter in space.parameters:
        value = _sampled(parameter, row, calibration)
        if parameter in free:
            settings[parameter.sampled_name] = _inside(parameter, value)
        elif not math.isclose(fixed.get(parameter.sampled_name, math.nan), value, rel_tol=1e-9):
            raise LeftOutError(f"without the {parameter.name} that is fixed here")
    return settings


def _sampled(parameter: Parameter, row: Mapping[str, Any], calibration: Mapping[str, float]) -> float:
    """What is sampled of a parameter: its value or ratio, the latter from product and calibration if need be."""
    names = (parameter.name, parameter.sampled_name)
    given = {name: number(row, name) for name in names if math.isfinite(number(row, name))}
    try:
        value = parameter.value_of(given, calibration)
    except ValueError:  # the scale was not measured
        value = None
    if value is None:
        raise LeftOutError(f"without {parameter.sampled_name}")
    return value


def _inside(parameter: Parameter, value: float) -> float:
    if not parameter.contains(value):
        raise LeftOutError(f"with {parameter.sampled_name} outside of {parameter.low:g} … {parameter.high:g}")
    return min(max(value, parameter.low), parameter.high)
