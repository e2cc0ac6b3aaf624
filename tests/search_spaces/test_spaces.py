"""The search spaces: ranges, ratios, published settings, and that listing them imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial

from search_spaces import SEARCH_SPACES, MethodSpace, Parameter, published_settings, space_of
from trainable.methods import METHODS

CALIBRATION = {"retain_gradient_norm": 180.0}
ROOT = Path(__file__).parents[2]


def parameter(method: str, name: str) -> Parameter:
    return next(p for p in SEARCH_SPACES[method].parameters if p.name == name)


def test_every_method_has_a_space_under_its_own_name() -> None:
    assert set(SEARCH_SPACES) == set(METHODS)
    assert {space.method for space in SEARCH_SPACES.values()} == set(SEARCH_SPACES)


@pytest.mark.parametrize("name", list(SEARCH_SPACES))
def test_published_settings_build_the_method(name: str) -> None:
    space = SEARCH_SPACES[name]
    for settings in space.published:
        resolved = space.resolve(settings, CALIBRATION, {})
        assert METHODS[name](**{p.name: resolved[p.name] for p in space.parameters}) is not None
        assert set(space.to_optuna_params(settings, CALIBRATION)) == {space.optuna_name(p) for p in space.parameters}


@pytest.mark.parametrize("name", list(SEARCH_SPACES))
def test_the_ends_of_every_range_build_the_method_and_are_explained(name: str) -> None:
    space = SEARCH_SPACES[name]
    for end in ("low", "high"):
        resolved = space.resolve({p.sampled_name: getattr(p, end) for p in space.parameters}, CALIBRATION, {})
        assert METHODS[name](**{p.name: resolved[p.name] for p in space.parameters}) is not None
    assert all(len(p.why) > 40 for p in space.parameters)


def test_ranges() -> None:
    ranges = {
        (name, p.sampled_name): (p.low, p.high, p.log)
        for name, space in SEARCH_SPACES.items()
        for p in space.parameters
    }
    assert ranges == {
        ("siss", "lambd"): (0.0, 1.0, False),
        ("siss", "scaling_norm_ratio"): (0.02, 2.0, True),
        ("siss_no_is", "scaling_norm_ratio"): (0.02, 2.0, True),
        ("erasediff", "eta"): (1e-4, 1e-1, True),
        ("neggrad", "superfactor"): (0.03, 3.0, True),
        ("bernoulli", "lambd"): (0.05, 0.95, False),
        ("bernoulli", "scaling_norm_ratio"): (0.02, 2.0, True),
        ("retrack", "lambd"): (1e-4, 0.5, True),
    }


def test_the_groups_of_two_methods_are_disjoint() -> None:
    names = [space.optuna_name(p) for space in SEARCH_SPACES.values() for p in space.parameters]
    assert len(set(names)) == len(names)
    assert names[:2] == ["siss.lambd", "siss.scaling_norm_ratio"]


def test_suggest_records_the_product_beside_the_ratio() -> None:
    trial = FixedTrial({"siss.lambd": 0.25, "siss.scaling_norm_ratio": 0.1})
    assert SEARCH_SPACES["siss"].suggest(trial, CALIBRATION, {}) == pytest.approx(
        {"lambd": 0.25, "scaling_norm": 18.0, "scaling_norm_ratio": 0.1}
    )


@pytest.mark.parametrize("fixed", [{"scaling_norm": 9.0}, {"scaling_norm_ratio": 0.05}])
def test_fixing_either_closes_the_dimension(fixed: dict[str, float]) -> None:
    space = SEARCH_SPACES["siss"]
    assert [p.name for p in space.free_parameters(fixed)] == ["lambd"]
    settings = space.suggest(FixedTrial({"siss.lambd": 0.25}), CALIBRATION, fixed)
    assert settings == pytest.approx({"lambd": 0.25, "scaling_norm": 9.0, "scaling_norm_ratio": 0.05})


def test_an_absolute_value_needs_no_calibration() -> None:
    space = SEARCH_SPACES["siss"]
    fixed = {"lambd": 0.5, "scaling_norm": 10.0}
    assert space.suggest(FixedTrial({}), {}, fixed) == fixed
    space.check_calibration({}, fixed)
    with pytest.raises(ValueError, match="retain_gradient_norm must be measured"):
        space.check_calibration({}, {"lambd": 0.5})


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_must_be_finite_and_positive(norm: float) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        SEARCH_SPACES["siss_no_is"].resolve({"scaling_norm_ratio": 0.1}, {"retain_gradient_norm": norm}, {})


def test_what_is_enqueued_comes_back_as_it_was() -> None:
    space = SEARCH_SPACES["siss"]
    study = optuna.create_study()
    study.enqueue_trial(space.to_optuna_params({"lambd": 0.5, "scaling_norm": 20.0}, CALIBRATION))
    settings = space.suggest(study.ask(), CALIBRATION, {})
    assert settings == pytest.approx({"lambd": 0.5, "scaling_norm": 20.0, "scaling_norm_ratio": 20 / 180})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scaling_norm": 500.0}, r"0\.02 <= siss\.scaling_norm_ratio <= 2\.0 must hold, but got 2\.7"),
        ({"lambd": -0.1}, r"0\.0 <= siss\.lambd <= 1\.0"),
        ({"eta": 0.1}, "must be among"),
    ],
)
def test_settings_outside_of_the_space_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SEARCH_SPACES["siss"].to_optuna_params(settings, CALIBRATION)


def test_published_settings_come_one_of_each_method_first() -> None:
    entries = published_settings(SEARCH_SPACES.values())
    assert [entry["method"] for entry in entries] == [*SEARCH_SPACES, "siss", "siss"]
    assert [entry["lambd"] for entry in entries if entry["method"] == "siss"] == [0.5, 0.0, 1.0]


@pytest.mark.parametrize(
    ("low", "high", "log", "message"),
    [(1.0, 1.0, False, "low < high must hold"), (2.0, 1.0, False, "low < high"), (0.0, 1.0, True, "low > 0 must hold")],
)
def test_an_empty_range_is_refused(low: float, high: float, log: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter("x", low, high, log=log, scale=None, why="")


class Outside:
    """A method from outside of the repository."""

    space = MethodSpace("outside", (Parameter("x", 0.0, 1.0, log=False, scale=None, why=""),), ())


class Spaceless:
    """A method that forgot its space."""


def test_a_method_from_outside_carries_its_space() -> None:
    name = f"{__name__}:Outside"
    space = space_of(name)
    assert space.method == name
    assert space.optuna_name(space.parameters[0]) == f"{name}.x"
    with pytest.raises(TypeError, match="add `space = MethodSpace"):
        space_of(f"{__name__}:Spaceless")
    with pytest.raises(KeyError, match="search space must be one of siss"):
        space_of("retraining")


def test_spaces_import_neither_torch_nor_optuna() -> None:
    code = (
        "import sys; from search_spaces import SEARCH_SPACES; list(SEARCH_SPACES.values()); "
        "raise SystemExit(int('torch' in sys.modules or 'optuna' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
