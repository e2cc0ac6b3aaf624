"""Orders of models by few and by many network calls, compared."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.agreement import DENOISING, LIKELIHOOD, SAMPLING, agreement, fewest
from tuning.config import StudyConfig, from_yaml

NUM_MODELS = 30


def measured(by_value: dict[int, np.ndarray], metric: str = "fid", setting: str = SAMPLING.name) -> pd.DataFrame:
    return pd.DataFrame(
        {"trial_id": f"{model:05d}", "step": 10, "setting": setting, "value": value, "metric": metric,
         "measured": float(number), "network_rows": 8 * value}
        for value, numbers in by_value.items()
        for model, number in enumerate(numbers)
    )  # fmt: skip


def correlations(found: pd.DataFrame) -> dict[int, float]:
    return dict(zip(found["value"], found["spearman"], strict=True))


def test_orders_are_compared_and_values_are_not() -> None:
    exact = np.linspace(1, 2, NUM_MODELS)
    found = agreement(measured({5: -exact, 10: exact**3 + 7, 40: exact}))
    assert correlations(found) == pytest.approx({5: -1.0, 10: 1.0})
    assert found["network_rows"].tolist() == [40, 80]
    assert found["share_of_rows"].tolist() == [0.125, 0.25]
    assert found["num_models"].tolist() == [NUM_MODELS, NUM_MODELS]


def test_it_is_spearmans_correlation_with_equal_values_sharing_their_rank() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    exact, other = generator.integers(0, 9, NUM_MODELS), generator.integers(0, 9, NUM_MODELS)
    [value] = correlations(agreement(measured({5: other, 40: exact}))).values()
    assert value == pytest.approx(scipy_stats.spearmanr(other, exact).statistic)


def test_what_the_reference_does_not_tell_apart_has_no_say() -> None:
    exact, flat = np.arange(NUM_MODELS), np.zeros(NUM_MODELS)
    table = pd.concat([measured({5: exact, 40: exact}), measured({5: exact, 40: flat}, "sscd")])
    found = agreement(table)
    assert found["spearman"].isna().tolist() == [False, True]
    assert fewest(found) == {SAMPLING.name: 5}
    assert fewest(agreement(measured({5: exact, 40: flat}))) == {SAMPLING.name: None}


def test_a_value_that_tells_nothing_apart_or_breaks_down_does_not_agree() -> None:
    exact = np.arange(NUM_MODELS, dtype=float)
    broken = np.where(exact == 3, math.nan, exact)
    assert correlations(agreement(measured({5: broken, 7: np.ones(NUM_MODELS), 40: exact}))) == {5: 0.0, 7: 0.0}


def test_a_model_that_the_reference_cannot_measure_is_left_out() -> None:
    exact = np.arange(NUM_MODELS, dtype=float)
    found = agreement(measured({5: exact, 40: np.where(exact == 3, math.inf, exact)}))
    assert correlations(found) == pytest.approx({5: 1.0})
    assert found["num_models"].tolist() == [NUM_MODELS - 1]


def test_the_smallest_value_counts_from_which_on_all_agree() -> None:
    exact = np.arange(NUM_MODELS, dtype=float)
    by_chance = measured({5: exact, 7: exact[::-1], 10: exact, 14: exact, 40: exact})
    assert fewest(agreement(by_chance)) == {SAMPLING.name: 10}
    both = pd.concat([by_chance, measured({5: exact, 7: exact, 10: exact[::-1], 14: exact, 40: exact}, "sscd")])
    assert fewest(agreement(both)) == {SAMPLING.name: 14}
    never = measured({16: exact, 40: exact[::-1], 160: exact}, "nll", LIKELIHOOD.name)
    assert fewest(agreement(never)) == {LIKELIHOOD.name: None}


@pytest.fixture(scope="module")
def config(tiny_study_file: Path) -> StudyConfig:
    return from_yaml(tiny_study_file.read_text())


def test_a_studys_own_value_is_among_those_tried_and_the_reference_is_twice_as_fine(config: StudyConfig) -> None:
    own = SAMPLING.of(config.model_copy(update={"num_sampling_steps": 30}))
    assert (own.candidates, own.reference) == ((5, 7, 10, 14, 20, 30), 60)


def test_no_more_denoising_steps_than_there_are_timesteps(config: StudyConfig) -> None:
    own = DENOISING.of(config.model_copy(update={"injection_timestep": 9, "num_denoising_steps": 5}))
    assert (own.candidates, own.reference) == ((4, 5, 6, 8), 9)


def test_each_setting_changes_metrics_of_its_own() -> None:
    names = ("sscd", "nll", "fid", "membership_loss", "nll_neighbours")
    assert SAMPLING.metrics(names) == ("fid",)
    assert DENOISING.metrics(names) == ("sscd",)
    assert LIKELIHOOD.metrics(names) == ("nll", "nll_neighbours")
