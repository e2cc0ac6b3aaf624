"""What a method's search space is: its parameters, their ranges, and the settings to start from.

A parameter with a ``scale`` is sampled as a ratio to a quantity measured on the study's own model and recorded as the
product. The gradient is clipped to norm 1 after the method has combined it, so that only ``scaling_norm / ||g_x||``
matters, and a range in absolute terms would hold for one model only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

Settings = Mapping[str, float]
"""Parameter values by name, without the method's prefix: ``{"lambd": 0.5, "scaling_norm_ratio": 0.1}``."""

RATIO_SUFFIX = "_ratio"


class SuggestsFloats(Protocol):
    """What an Optuna trial is to a space."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


@dataclass(frozen=True)
class Parameter:
    """One dimension of a method's space.

    Args:
        name: the name under which the method takes the value.
        low: lower end, included.
        high: upper end, included.
        log: whether the logarithm is what is sampled evenly.
        scale: calibration key; where given, ``low`` and ``high`` bound the ratio of the value to that quantity.
        why: where the range comes from.

    Raises:
        ValueError: the range is empty, or not positive where it is sampled in logarithms.
    """

    name: str
    low: float
    high: float
    log: bool
    scale: str | None
    why: str

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(
                f"low < high must hold for {self.name!r}, but got low={self.low}, high={self.high}; "
                "fix the parameter instead if it has one value only"
            )
        if self.log and self.low <= 0:
            raise ValueError(
                f"low > 0 must hold for {self.name!r}, which is sampled in logarithms, but got low={self.low}"
            )

    @property
    def sampled_name(self) -> str:
        """Name of what is sampled: ``scaling_norm_ratio`` for a scaled parameter, else the parameter's own name."""
        return self.name if self.scale is None else self.name + RATIO_SUFFIX

    def value_of(self, settings: Settings, calibration: Settings) -> float | None:
        """The sampled quantity that ``settings`` give, from ratio or product; None where they give neither."""
        if self.sampled_name in settings:
            return float(settings[self.sampled_name])
        if self.scale is None or self.name not in settings:
            return None
        return float(settings[self.name]) / scale_of(self, calibration)

    def contains(self, value: float) -> bool:
        """Whether ``value``, of the sampled quantity, lies in the range (to a relative 1e-9)."""
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack


@dataclass(frozen=True)
class MethodSpace:
    """The parameters of one method and the settings its authors published, the first of them to be tried first."""

    method: str
    parameters: tuple[Parameter, ...]
    published: tuple[Settings, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every name that settings and ``fix`` may use, ratios included."""
        return frozenset(name for p in self.parameters for name in (p.name, p.sampled_name))

    def optuna_name(self, parameter: Parameter) -> str:
        """``<method>.<sampled name>``: prefixed, so that the groups of two methods are disjoint."""
        return f"{self.method}.{parameter.sampled_name}"

    def free_parameters(self, fixed: Settings) -> tuple[Parameter, ...]:
        """The parameters that ``fixed`` leaves open; fixing a scaled one, as ratio or as product, closes it."""
        return tuple(p for p in self.parameters if p.name not in fixed and p.sampled_name not in fixed)

    def is_fixed(self, name: str, fixed: Settings) -> bool:
        """Whether ``name``, of a parameter or of its ratio, is closed by ``fixed``."""
        return any(name in (p.name, p.sampled_name) for p in self.parameters if p not in self.free_parameters(fixed))

    def check_calibration(self, calibration: Settings, fixed: Settings) -> None:
        """Whether everything that a ratio is to be multiplied by has been measured.

        Raises:
            ValueError: it has not.
        """
        for parameter in self.parameters:
            if parameter.scale is not None and parameter.name not in fixed:
                scale_of(parameter, calibration)

    def suggest(self, trial: SuggestsFloats, calibration: Settings, fixed: Settings) -> dict[str, float]:
        """The method's hyper-parameters for ``trial``.

        Args:
            trial: an Optuna trial, or what suggests as one; asked for the free parameters only, under their prefixed
                names.
            calibration: quantities measured on the study's model, by calibration key.
            fixed: values that replace a dimension, by name. Names of other methods are passed over.

        Returns:
            Every parameter by its plain name; a scaled one as the product, and its ratio as ``<name>_ratio``.

        Raises:
            ValueError: a scale was not measured, or is not positive.
        """
        sampled = {
            p.sampled_name: trial.suggest_float(self.optuna_name(p), p.low, p.high, log=p.log)
            for p in self.free_parameters(fixed)
        }
        return self.resolve(sampled, calibration, fixed)

    def resolve(self, settings: Settings, calibration: Settings, fixed: Settings) -> dict[str, float]:
        """``settings`` with ``fixed`` laid over them, as the method takes them: products beside their ratios."""
        resolved: dict[str, float] = {}
        for parameter in self.parameters:
            source = settings if parameter in self.free_parameters(fixed) else fixed
            resolved.update(_resolve(parameter, source, calibration))
        return resolved

    def to_optuna_params(self, settings: Settings, calibration: Settings) -> dict[str, float]:
        """``settings`` under Optuna's names, for ``study.enqueue_trial``.

        Args:
            settings: parameter values, a scaled parameter as its product or its ratio; an absent one is sampled.
            calibration: quantities measured on the study's model, by calibration key.

        Raises:
            ValueError: a name is unknown, a value lies outside of its range, or a scale was not measured.
        """
        if unknown := sorted(set(settings) - self.names):
            raise ValueError(
                f"settings of {self.method!r} must be among {sorted(self.names)}, but got {unknown}; remove them"
            )
        params: dict[str, float] = {}
        for parameter in self.parameters:
            value = parameter.value_of(settings, calibration)
            if value is None:
                continue
            if not parameter.contains(value):
                raise ValueError(
                    f"{parameter.low} <= {self.optuna_name(parameter)} <= {parameter.high} must hold, but got {value}; "
                    f"enqueue a value in the range, or fix {parameter.name}, which has no range"
                )
            params[self.optuna_name(parameter)] = min(max(value, parameter.low), parameter.high)
        return params


def scale_of(parameter: Parameter, calibration: Settings) -> float:
    """The measured quantity that ``parameter`` is a ratio to, positive.

    Raises:
        ValueError: it was not measured, or is not positive.
    """
    measured = calibration.get(parameter.scale or "", float("nan"))
    if not 0 < measured < float("inf"):
        raise ValueError(
            f"{parameter.scale} must be measured, finite and positive to scale {parameter.name!r}, but got {measured}; "
            f"run the calibration, or fix {parameter.name} to an absolute value"
        )
    return float(measured)


def published_settings(spaces: Iterable[MethodSpace]) -> list[dict[str, str | float]]:
    """The authors' settings as ``{"method": …, **settings}``: one of each method, then the second ones, and so on."""
    spaces = list(spaces)
    rounds = range(max((len(space.published) for space in spaces), default=0))
    return [
        {"method": space.method, **space.published[i]} for i in rounds for space in spaces if i < len(space.published)
    ]


def _resolve(parameter: Parameter, settings: Settings, calibration: Settings) -> dict[str, float]:
    """The parameter's entries of a trial's configuration: the value, and a scaled one's ratio where it is known."""
    if parameter.scale is None:
        return {parameter.name: float(settings[parameter.name])}
    if parameter.sampled_name in settings:
        ratio = float(settings[parameter.sampled_name])
        return {parameter.name: ratio * scale_of(parameter, calibration), parameter.sampled_name: ratio}
    value = float(settings[parameter.name])
    if parameter.scale not in calibration:
        return {parameter.name: value}
    return {parameter.name: value, parameter.sampled_name: value / scale_of(parameter, calibration)}
