"""The search, driven by hand with synthetic reports: nothing trains and no Ray runs."""

from __future__ import annotations

import json
import pickle
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import ConcurrencyLimiter, Searcher

from search_spaces import SEARCH_SPACES
from tuning.goals import Constraint, Objective
from tuning.searcher import ConstrainedOptunaSearch

METHODS = tuple(SEARCH_SPACES)
CALIBRATION = {"retain_gradient_norm": 200.0}
BASELINE = {"sscd": 0.9, "nll": 3.0, "fid": 10.0, "inception_score": 8.0}
DEFAULTS: Mapping[str, Any] = {
    "methods": METHODS,
    "objectives": (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    "constraints": (Constraint("fid", "<=", 1.2, relative=True),),
    "baseline": BASELINE,
    "ideal": {"sscd": 0.1, "nll": 6.0},
    "calibration": CALIBRATION,
    "study_name": "study",
    "seed": 7,
    "num_trials": 12,
}
SETTINGS = {name for space in SEARCH_SPACES.values() for name in space.names}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal syncs the disk at each of some twenty writes a trial: most of the time that tests would take."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def make_search(directory: Path, **changes: Any) -> ConstrainedOptunaSearch:
    return ConstrainedOptunaSearch(**{"storage": directory / "optuna.log", **DEFAULTS, **changes})


def report(step: int, sscd: float, nll: float, fid: float = 11.0, **more: Any) -> dict[str, Any]:
    return {"step": step, "rung": step // 10 - 1, "sscd": sscd, "nll": nll, "fid": fid, **more}


def reports_for(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two rungs of made-up measurements, a function of the trial's settings alone."""
    key = json.dumps({k: v for k, v in config.items() if k in SETTINGS | {"method", "seed"}}, sort_keys=True)
    draw = random.Random(key)
    return [report(step, draw.uniform(0.1, 0.9), draw.uniform(3, 6), draw.uniform(9, 15)) for step in (10, 20)]


def run_trial(search: ConstrainedOptunaSearch) -> dict[str, Any] | None:
    config = search.suggest("any")
    if config == Searcher.FINISHED:
        return None
    assert isinstance(config, dict)
    for made in reports_for(config):
        search.on_trial_result(config["trial_id"], made)
    search.on_trial_complete(config["trial_id"], reports_for(config)[-1])
    return config


def run_all(search: ConstrainedOptunaSearch, at_most: int = 1000) -> list[dict[str, Any]]:
    configs: list[dict[str, Any]] = []
    while len(configs) < at_most and (config := run_trial(search)) is not None:
        configs.append(config)
    return configs


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k in SETTINGS}


def told(search: ConstrainedOptunaSearch, name: str) -> FrozenTrial:
    return search.study.get_trials()[int(name)]


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
        first = run_all(make_search(tmp_path), at_most=7)
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
    def test_a_parameterless_method_runs_exactly_once_per_repeat(self, tmp_path: Path, repeats: int) -> None:
        search = make_search(tmp_path, num_trials=30, repeats=repeats)
        naive = [config for config in run_all(search) if config["method"] == "naive_deletion"]
        assert [config["repeat"] for config in naive] == list(range(repeats))
        trials = [told(search, config["trial_id"]) for config in naive]
        assert all(trial.params == {} and trial.user_attrs["method"] == "naive_deletion" for trial in trials)
        choices = {t.distributions["method"].choices for t in search.study.trials if "method" in t.distributions}
        assert choices == {("siss", "siss_no_is", "erasediff", "neggrad")}

    def test_every_setting_is_repeated_with_other_seeds(self, tmp_path: Path) -> None:
        configs = run_all(make_search(tmp_path, num_trials=24, repeats=2))
        groups = [configs[i : i + 2] for i in range(0, 24, 2)]
        for once, again in groups:
            assert (once["repeat"], again["repeat"]) == (0, 1)
            assert (once["method"], settings_of(once)) == (again["method"], settings_of(again))
            assert once["seed"] != again["seed"]

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
    @pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
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


class TestTelling:
    def test_the_highest_rung_counts_and_constraints_survive_a_reload(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, 0.1, 6.0, 10.5))
        search.on_trial_complete(name, report(20, 0.5, 4.0, 11.0))
        trial = told(make_search(tmp_path), name)
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [0.5, 4.0]
        assert trial.constraints == {"fid": pytest.approx((11.0 - 12.0) / 12.0)}
        expected = {"method": "siss", "step": 20, "rung": 1, "feasible": True, "violation": 0.0}
        assert trial.user_attrs.items() >= expected.items()
        assert trial.user_attrs["constraint:fid"] == pytest.approx(-1 / 12)

    def test_of_one_rung_the_feasible_report_that_adds_most_counts(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        first = start(search)
        search.on_trial_complete(first, report(10, 0.2, 3.5))
        name = start(search)
        for step, made in {
            10: report(10, 0.19, 3.55, rung=0),  # hardly more than the front has
            12: report(12, 0.5, 5.0, rung=0),  # adds most
            14: report(14, 0.1, 6.0, 13.0, rung=0),  # the ideal, but infeasible
        }.items():
            search.on_trial_result(name, {**made, "step": step})
        search.on_trial_complete(name)
        assert told(search, name).values == [0.5, 5.0]
        assert told(search, name).user_attrs["step"] == 12

    def test_of_infeasible_reports_the_least_violation_counts(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, 0.1, 6.0, 24.0, rung=0))
        search.on_trial_complete(name, report(12, 0.8, 3.2, 18.0, rung=0))
        trial = told(search, name)
        assert trial.values == [0.8, 3.2]
        assert trial.constraints == {"fid": pytest.approx(0.5)}
        assert trial.user_attrs["feasible"] is False
        assert trial.user_attrs["violation"] == pytest.approx(0.5)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
    def test_a_bound_that_was_not_measured_is_far_from_feasible(self, tmp_path: Path, value: float | None) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0, fid=value))  # type: ignore[arg-type]
        trial = told(search, name)
        assert trial.state == TrialState.COMPLETE
        assert trial.constraints["fid"] >= 100

    @pytest.mark.parametrize(
        ("reports", "error", "reason"),
        [
            ([], False, "never reported"),
            ([], True, "error"),
            ([report(10, 0.5, float("nan"))], False, "objective not finite"),
            ([report(10, 0.5, 4.0), report(20, float("inf"), 4.0)], False, "objective not finite"),
            ([{"step": 10, "rung": 0, "sscd": 0.5}], False, "objective not finite"),
            ([report(10, 0.5, 4.0)], True, "diverged"),
        ],
    )
    def test_what_failed_is_told_as_failed(
        self, tmp_path: Path, reports: list[dict[str, Any]], error: bool, reason: str
    ) -> None:
        search = make_search(tmp_path)
        name = start(search)
        for made in reports:
            search.on_trial_result(name, made)
        if reason == "diverged":
            search.note_failure(name, reason)
        search.on_trial_complete(name, reports[-1] if reports and not error else None, error=error)
        trial = told(search, name)
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs["reason"] == reason
        outcome = search.outcome(name)
        assert outcome is not None
        assert (outcome.completed, outcome.reason) == (False, reason)
        assert search.running_trials() == []

    def test_a_nan_that_was_overcome_fails_nothing(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_result(name, report(10, float("nan"), 4.0))
        search.on_trial_complete(name, report(20, 0.4, 4.5))
        assert told(search, name).values == [0.4, 4.5]

    def test_reports_of_a_failed_trial_stay_in_the_front_that_others_add_to(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        failed = start(search)
        search.on_trial_result(failed, report(10, 0.2, 5.5))
        search.on_trial_complete(failed, error=True)
        name = start(search)
        search.on_trial_result(name, report(10, 0.25, 5.0, rung=0))  # larger by itself, dominated by the failed one's
        search.on_trial_complete(name, report(12, 0.15, 3.2, rung=0))
        assert told(search, name).values == [0.15, 3.2]

    def test_a_trial_stopped_early_is_complete_and_says_so(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, last_step=40)
        early, late = start(search), start(search)
        search.on_trial_complete(early, report(20, 0.5, 4.0))
        search.on_trial_complete(late, report(40, 0.5, 4.0))
        assert told(search, early).state == TrialState.COMPLETE
        assert told(search, early).user_attrs["stopped_at_rung"] == 1
        assert "stopped_at_rung" not in told(search, late).user_attrs

    def test_telling_twice_changes_nothing(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0))
        search.on_trial_result(name, report(30, 0.1, 6.0))
        search.on_trial_complete(name, error=True)
        assert told(search, name).state == TrialState.COMPLETE
        assert told(search, name).values == [0.5, 4.0]

    def test_several_objectives_and_constraints(self, tmp_path: Path) -> None:
        bounds = (
            Constraint("fid", "<=", 1.2, relative=True),
            Constraint("fid", ">=", 5.0),
            Constraint("inception_score", ">=", 0.5, relative=True),
        )
        objectives = (*DEFAULTS["objectives"], Objective("regeneration_rate", "minimize"))
        search = make_search(
            tmp_path,
            objectives=objectives,
            constraints=bounds,
            baseline={**BASELINE, "regeneration_rate": 0.1},
            ideal={"sscd": 0.1, "nll": 6.0, "regeneration_rate": 0.0},
        )
        name = start(search)
        search.on_trial_complete(name, report(20, 0.5, 4.0, 4.0, inception_score=2.0, regeneration_rate=0.05))
        trial = told(search, name)
        assert trial.values == [0.5, 4.0, 0.05]
        assert trial.constraints == {
            "fid <=": pytest.approx((4 - 12) / 12),
            "fid >=": pytest.approx((5 - 4) / 5),
            "inception_score": pytest.approx((4 - 2) / 4),
        }
        assert trial.user_attrs["violation"] == pytest.approx(0.7)
        assert [direction.name for direction in search.study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]


class TestResume:
    def test_numbering_goes_on(self, tmp_path: Path) -> None:
        run_all(make_search(tmp_path), at_most=3)
        config = run_trial(make_search(tmp_path))
        assert config is not None
        assert config["trial_id"] == "00003"

    def test_reconcile_settles_everything(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, max_concurrent=6)
        names = [start(search) for _ in range(5)]
        search.on_trial_result(names[3], report(10, 0.5, 4.0))
        resumed = make_search(tmp_path, max_concurrent=6)
        assert resumed.running_trials() == names
        resumed.reconcile(
            {names[0]: [report(10, 0.6, 3.5), report(20, 0.4, 4.2)]},
            running={names[1]},
            failed={names[2]: "out of memory"},
            again=[names[3]],
        )
        assert told(resumed, names[0]).values == [0.4, 4.2]
        assert told(resumed, names[2]).user_attrs["reason"] == "out of memory"
        assert told(resumed, names[4]).user_attrs["reason"] == "interrupted"
        assert resumed.running_trials() == [names[1], names[3]]

        handed_out = resumed.suggest("any")
        assert isinstance(handed_out, dict)
        assert (handed_out["trial_id"], handed_out["method"]) == (names[3], "naive_deletion")
        resumed.on_trial_complete(names[3], report(20, 0.3, 5.0))
        assert told(resumed, names[3]).values == [0.3, 5.0]
        resumed.on_trial_complete(names[1], report(20, 0.5, 4.0))

        lost = json.loads(told(resumed, names[4]).user_attrs["config"])
        again = resumed.suggest("any")
        assert isinstance(again, dict)
        assert again == {**lost, "trial_id": "00005"}, "a lost setting runs again with the seed that it had"
        resumed.on_trial_complete("00005", report(20, 0.5, 4.0))
        rest = run_all(resumed)
        assert len(rest) == 12 - 5, "a lost trial frees its place in the budget"
        assert resumed.running_trials() == []

    def test_cut_off_trials_are_complete_with_what_they_reported(self, tmp_path: Path) -> None:
        search = make_search(tmp_path, last_step=40)
        reported, silent = start(search), start(search)
        search.on_trial_result(reported, report(10, 0.5, 4.0))
        search.reconcile(dict.fromkeys(search.running_trials(), ()))
        assert told(search, reported).values == [0.5, 4.0]
        assert told(search, reported).user_attrs["stopped_at_rung"] == 0
        assert told(search, silent).user_attrs["reason"] == "never reported"

    def test_a_torn_last_line_of_the_journal_is_cut_off(self, tmp_path: Path) -> None:
        run_all(make_search(tmp_path), at_most=2)
        with (tmp_path / "optuna.log").open("a") as journal:
            journal.write('{"op_code": 4, "wor')
        search = make_search(tmp_path)
        run_all(search, at_most=1)
        assert len(make_search(tmp_path).study.trials) == 3

    def test_a_database_serves_as_well(self, tmp_path: Path) -> None:
        storage = f"sqlite:///{tmp_path}/optuna.db"
        run_all(make_search(tmp_path, storage=storage), at_most=3)
        search = make_search(tmp_path, storage=storage)
        run_all(search, at_most=1)
        assert [trial.state for trial in search.study.trials] == [TrialState.COMPLETE] * 4
        assert search.study.trials[3].constraints.keys() == {"fid"}

    def test_pickling_opens_the_storage_again(self, tmp_path: Path) -> None:
        search = make_search(tmp_path)
        run_all(search, at_most=2)
        copy = pickle.loads(pickle.dumps(search))
        config = run_trial(copy)
        assert config is not None
        assert config["trial_id"] == "00002"


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"objectives": (Objective("sscd", "minimise"),)}, "must be 'minimize' or 'maximize'"),  # type: ignore[arg-type]
            ({"objectives": ()}, "one or more different metrics"),
            ({"objectives": (Objective("sscd", "minimize"),) * 2}, "one or more different metrics"),
            ({"sampler": "grid"}, "sampler must be one of tpe, nsga2, gp, random"),
            ({"sampler": "gp"}, "works within one method"),
            ({"fix": {"lamda": 0.5}}, "a fixed name must be one of"),
            ({"enqueue": [{"method": "retrack"}]}, "method of an enqueued setting"),
            ({"enqueue": [{"method": "siss", "eta": 1.0}]}, "settings of 'siss' must be among"),
            ({"enqueue": [{"method": "siss", "lambd": 1.5}]}, r"0\.0 <= siss\.lambd <= 1\.0 must hold"),
            ({"calibration": {}}, "retain_gradient_norm must be measured"),
            ({"ideal": {"sscd": 0.95, "nll": 6.0}}, "ideal must be better than the baseline"),
            ({"ideal": {"sscd": 0.1}}, "ideal must be better than the baseline"),
            ({"num_trials": 0}, "must be at least 1"),
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


def start(search: ConstrainedOptunaSearch) -> str:
    config = search.suggest("any")
    assert isinstance(config, dict)
    return str(config["trial_id"])
