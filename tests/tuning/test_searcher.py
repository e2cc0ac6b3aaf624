"""The search, driven by hand with synthetic reports: nothing trains and no Ray runs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search import ConcurrencyLimiter
from searches import (
    DEFAULTS,
    METHODS,
    make_search,
    report,
    run_all,
    run_trial,
    settings_of,
    told,
)

from search_spaces import SEARCH_SPACES
from tuning.goals import Objective

SAMPLED = ("siss", "siss_no_is", "erasediff", "neggrad", "bernoulli", "retrack")

pytestmark = pytest.mark.usefixtures("without_sync")


class TestSuggestions:
    def test_a_suggestion_is_a_flat_trial_configuration(self, tmp_path: Path) -> None:
        configs = run_all(make_search(tmp_path))
        assert [config["trial_id"] for config in configs] == [f"{n:05d}" for n in range(12)]
        for config in configs:
            space = SEARCH_SPACES[config["method"]]
            assert set(config) == {"trial_id", "method", "seed", "repeat"} | set(space.names)
            if "scaling_norm" in config:
                assert config["scaling_norm"] == pytest.approx(200.0 * config["scaling_norm_ratio"])
        assert len({config["seed"] for config in configs}) == 12

    def test_the_authors_settings_come_first_one_of_each_method(self, tmp_path: Path) -> None:
        first = run_all(make_search(tmp_path), at_most=9)
        assert [config["method"] for config in first] == [*METHODS, "siss", "siss"]
        assert settings_of(first[0]) == pytest.approx({"lambd": 0.5, "scaling_norm": 20.0, "scaling_norm_ratio": 0.1})
        assert settings_of(first[2]) == {"eta": 1e-3}
        assert [config["lambd"] for config in first if config["method"] == "siss"] == [0.5, 0.0, 1.0]

    def test_enqueued_settings_replace_the_authors(self, tmp_path: Path) -> None:
        enqueue = [{"method": "neggrad", "superfactor": 0.2}, {"method": "siss", "scaling_norm": 30.0, "lambd": 0.25}]
        configs = run_all(make_search(tmp_path, enqueue=enqueue), at_most=3)
        assert [config["method"] for config in configs] == ["naive_deletion", "neggrad", "siss"]
        assert configs[1]["superfactor"] == 0.2
        assert settings_of(configs[2]) == pytest.approx(
            {"lambd": 0.25, "scaling_norm": 30.0, "scaling_norm_ratio": 0.15}
        )

    @pytest.mark.parametrize("repeats", [1, 3])
    def test_a_parameterless_method_is_no_choice_and_has_at_most_its_repeats(
        self, tmp_path: Path, repeats: int
    ) -> None:
        search = make_search(tmp_path, num_trials=30, repeats=repeats)
        naive = [config for config in run_all(search) if config["method"] == "naive_deletion"]
        assert 1 <= len(naive) <= repeats
        assert [config["repeat"] for config in naive] == list(range(len(naive)))
        trials = [told(search, config["trial_id"]) for config in naive]
        assert all(trial.params == {} and trial.user_attrs["method"] == "naive_deletion" for trial in trials)
        choices = {t.distributions["method"].choices for t in search.study.trials if "method" in t.distributions}
        assert choices == {SAMPLED}

    def test_a_single_method_has_no_choice_of_method(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, methods=("erasediff", "naive_deletion"), num_trials=6)
        configs = run_all(search)
        assert Counter(config["method"] for config in configs) == {"erasediff": 5, "naive_deletion": 1}
        assert all("method" not in trial.params for trial in search.study.trials)

    def test_concurrency_is_limited_in_the_searcher(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        limited = ConcurrencyLimiter(search, max_concurrent=2)
        names = [limited.suggest(f"ray-{i}")["trial_id"] for i in range(2)]
        assert limited.suggest("ray-2") is None
        limited.on_trial_complete(names[0], report(20, 0.5, 4.0))
        assert limited.suggest("ray-3")["trial_id"] == "00002"


class TestFix:
    def test_a_fixed_value_replaces_the_dimension_everywhere(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, fix={"scaling_norm": 10.0}, num_trials=20)
        configs = run_all(search)
        scaled = [config for config in configs if "scaling_norm" in config]
        assert {config["scaling_norm"] for config in scaled} == {10.0}
        assert {config["scaling_norm_ratio"] for config in scaled} == {0.05}
        # siss_no_is has no other parameter: it became parameterless, runs once and is no choice any more.
        assert Counter(config["method"] for config in configs)["siss_no_is"] == 1
        assert not any("scaling_norm" in name for trial in search.study.trials for name in trial.params)

    def test_all_fixed_is_one_plain_run(self, tmp_path: Path) -> None:
        fix = {"lambd": 0.5, "scaling_norm": 10.0}
        configs = run_all(make_search(tmp_path, methods=("siss",), fix=fix, num_trials=5, calibration={}))
        assert len(configs) == 1
        assert settings_of(configs[0]) == fix

    def test_settings_that_became_equal_run_once(self, tmp_path: Path) -> None:
        configs = run_all(make_search(tmp_path, methods=("siss",), fix={"lambd": 0.3}, num_trials=4))
        assert all(config["lambd"] == 0.3 for config in configs)
        assert len({config["scaling_norm"] for config in configs}) == 4

    def test_a_fixed_ratio_gives_the_product(self, tmp_path: Path) -> None:
        config = run_trial(make_search(tmp_path, methods=("siss_no_is",), fix={"scaling_norm_ratio": 0.2}))
        assert config is not None
        assert config["scaling_norm"] == pytest.approx(40.0)


class TestSamplers:
    @pytest.mark.parametrize("sampler", ["ehvi", "tpe", "nsga2", "gp", "random"])
    def test_suggestions_are_reproducible_and_survive_a_resume(self, tmp_path: Path, sampler: str) -> None:
        methods = ("siss",) if sampler == "gp" else METHODS
        changes: dict[str, Any] = {"sampler": sampler, "methods": methods, "num_trials": 13 if sampler == "gp" else 18}
        whole, parts, other = (tmp_path / name for name in ("whole", "parts", "other"))
        uninterrupted = run_all(make_search(whole, **changes))
        before = run_all(make_search(parts, **changes), at_most=11)
        after = run_all(make_search(parts, **changes))
        assert before + after == uninterrupted
        assert len(uninterrupted) == changes["num_trials"]
        if sampler != "gp":
            assert run_all(make_search(other, **changes, seed=8))[-1] != uninterrupted[-1]

    def test_nsga2_children_inherit_within_their_method(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, sampler="nsga2", num_trials=60)
        configs = run_all(search)
        earlier: set[tuple[str, str, float]] = set()
        inherited = 0
        for config in configs:
            genes = {(config["method"], name, value) for name, value in settings_of(config).items()}
            inherited += bool(genes & earlier)
            earlier |= genes
        assert inherited >= 15  # random sampling of continuous values would repeat none beyond the enqueued ones

    def test_tpe_learns_the_constraint(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, methods=("erasediff",), num_trials=40)
        etas = []
        while isinstance(config := search.suggest("any"), dict):
            etas.append(config["eta"])
            # The objectives ask for a large eta, the constraint forbids one above 1e-2.
            made = report(20, 0.9 - 8 * config["eta"], 3 + 30 * config["eta"], 12 * config["eta"] / 1e-2)
            search.on_trial_complete(config["trial_id"], made)
        best = [3e-3 < eta <= 1e-2 for eta in etas[20:]]
        assert sum(best) >= 7, "random search hits the best sixth of the range 3.5 times in 20"


def known_trials(count: int = 30) -> list[FrozenTrial]:
    """Of another study, in which EraseDiff with an eta near 0.005 was best."""
    settings = np.geomspace(1e-4, 9e-2, count).tolist()
    return [
        create_trial(
            values=[abs(math.log(eta / 0.005)), -abs(math.log(eta / 0.005))],
            constraints={"fid": -0.1},
            params={"method": "erasediff", "erasediff.eta": eta},
            distributions={
                "method": CategoricalDistribution(SAMPLED),
                "erasediff.eta": FloatDistribution(1e-4, 1e-1, log=True),
            },
            user_attrs={"method": "erasediff"},
        )
        for eta in settings
    ]


class TestManyTrials:
    @pytest.mark.parametrize("sampler", ["ehvi", "tpe", "nsga2", "gp"])
    def test_known_trials_inform_the_sampler_from_the_first_suggestion_on(self, tmp_path: Path, sampler: str) -> None:
        count = 5 if sampler == "gp" else 12
        changes: dict[str, Any] = {"sampler": sampler, "methods": ("erasediff",), "num_trials": count, "enqueue": []}
        known = known_trials()
        etas = [config["eta"] for config in run_all(make_search(tmp_path / "with", **changes, known=known))]
        alone = [config["eta"] for config in run_all(make_search(tmp_path / "without", **changes))]
        if sampler == "nsga2":  # of one parameter it inherits every other
            inherited = [eta for eta in etas if eta in {trial.params["erasediff.eta"] for trial in known}]
            assert len(inherited) >= 3
            assert all(3e-3 < eta < 9e-3 for eta in inherited)
        else:
            share, random_share = (np.mean([1e-3 < eta < 2e-2 for eta in made]) for made in (etas, alone))
            assert random_share < 0.6 <= share

    @pytest.mark.parametrize("sampler", ["ehvi", "tpe", "nsga2"])
    def test_known_trials_are_no_trials_of_the_study(self, tmp_path: Path, sampler: str) -> None:
        changes: dict[str, Any] = {"sampler": sampler, "num_trials": 24, "known": known_trials()}
        search = make_search(tmp_path / "parts", **changes)
        configs = run_all(search, at_most=15)
        assert [config["trial_id"] for config in configs] == [f"{number:05d}" for number in range(15)]
        assert [trial.number for trial in search.study.trials] == list(range(15))
        resumed = make_search(tmp_path / "parts", **changes)
        assert configs + run_all(resumed) == run_all(make_search(tmp_path / "whole", **changes))
        assert len(resumed.study.trials) == 24

    def test_a_known_trial_of_other_objectives_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="complete with 1 values"):
            make_search(tmp_path, objectives=DEFAULTS["objectives"][:1], known=known_trials(1))
        assert not (tmp_path / "optuna.log").exists()

    def test_a_thinned_history_survives_a_resume(self, tmp_path: Path) -> None:
        changes: dict[str, Any] = {"sampler": "tpe", "num_trials": 90, "max_shown": 60}
        uninterrupted = run_all(make_search(tmp_path / "whole", **changes))
        before = run_all(make_search(tmp_path / "parts", **changes), at_most=75)
        assert before + run_all(make_search(tmp_path / "parts", **changes)) == uninterrupted
        unthinned = run_all(make_search(tmp_path / "all", sampler="tpe", num_trials=90, max_shown=None))
        assert unthinned[:60] == uninterrupted[:60]
        assert unthinned != uninterrupted

    def test_a_suggestion_is_one_write(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, num_trials=30)
        run_all(search, at_most=20)
        before = len((tmp_path / "optuna.log").read_text().splitlines())
        config = search.suggest("any")
        assert isinstance(config, dict)
        assert len((tmp_path / "optuna.log").read_text().splitlines()) == before + 1
        (trial,) = (trial for trial in make_search(tmp_path).study.trials if trial.state == TrialState.RUNNING)
        assert json.loads(trial.user_attrs["config"]) == config
        assert trial.params["method"] == config["method"]

    def test_two_processes_cannot_run_one_study(self, tmp_path: Path) -> None:
        first, second = make_search(tmp_path), make_search(tmp_path)
        run_trial(first)
        with pytest.raises(RuntimeError, match="one process at a time"):
            second.suggest("any")
        assert make_search(tmp_path).running_trials() == []
        assert len(run_all(make_search(tmp_path))) == 11, "the trial that had two makers holds no slot"


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"objectives": (Objective("sscd", "minimise"),)}, "must be 'minimize' or 'maximize'"),  # type: ignore[arg-type]
            ({"objectives": ()}, "one or more different metrics"),
            ({"objectives": (Objective("sscd", "minimize"),) * 2}, "one or more different metrics"),
            ({"sampler": "grid"}, "sampler must be one of ehvi, tpe, nsga2, gp, random"),
            ({"sampler": "gp"}, "works within one method"),
            ({"fix": {"lamda": 0.5}}, "a fixed name must be one of"),
            ({"enqueue": [{"method": "retraining"}]}, "method of an enqueued setting"),
            ({"enqueue": [{"method": "siss", "eta": 1.0}]}, "settings of 'siss' must be among"),
            ({"enqueue": [{"method": "siss", "lambd": 1.5}]}, r"0\.0 <= siss\.lambd <= 1\.0 must hold"),
            ({"calibration": {}}, "retain_gradient_norm must be measured"),
            ({"ideal": {"sscd": 0.95, "nll": 6.0}}, "ideal must be better than the baseline"),
            ({"ideal": {"sscd": 0.1}}, "ideal must be better than the baseline"),
            ({"num_trials": 0}, "1 <= repeats <= num_trials must hold"),
            ({"num_trials": 3, "repeats": 4}, "repeats=4 and num_trials=3; raise num_trials"),
        ],
    )
    def test_a_broken_rule_is_named(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make_search(tmp_path, **changes)
        assert not (tmp_path / "optuna.log").exists(), "nothing is written before everything is checked"

    def test_a_study_cannot_change_its_objectives(self, tmp_path: Path) -> None:
        make_search(tmp_path)
        swapped: Sequence[Objective] = DEFAULTS["objectives"][::-1]
        with pytest.raises(ValueError, match="objectives of a study cannot change"):
            make_search(tmp_path, objectives=swapped)

    def test_an_unknown_trial_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError, match="StudySearchGenerator"):
            make_search(tmp_path).on_trial_complete("a1b2c3d4")
