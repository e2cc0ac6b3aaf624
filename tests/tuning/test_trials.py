"""What is asked of Ray Tune around a study's trials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune import ExperimentAnalysis

from tuning.trials import _nothing_read_back


def test_nothing_is_read_back_of_trials_that_have_ended() -> None:
    """Of ten thousand it would be minutes of a store, one after another."""
    fetch = ExperimentAnalysis._fetch_trial_dataframes
    analysis: Any = SimpleNamespace(trials=None)  # asking for one of them would fail
    with _nothing_read_back():
        assert ExperimentAnalysis._fetch_trial_dataframes(analysis) == {}
    assert ExperimentAnalysis._fetch_trial_dataframes is fetch
