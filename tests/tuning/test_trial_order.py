"""Which trial is next where settings are repeated: searches driven by hand with made-up reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher
from searches import make_search, report, reports_for, run_all, run_trial, settings_of, start, told

from tuning.optuna_store import reports_of
from tuning.outcome import INTERRUPTED
from tuning.repeats import Run, near_front
from tuning.searcher import ConstrainedOptunaSearch
from tuning.trial_order import SLOT

pytestmark = pytest.mark.usefixtures("without_sync")

GOOD, BAD = report(20, 0.2, 5.5), report(20, 0.2, 5.5, fid=15.0)
ETAS = [{"method": "erasediff", "eta": eta} for eta in (1e-3, 2e-3, 3e-3)]


def small_search(directory: Path, **changes: Any) -> ConstrainedOptunaSearch:
    """Three settings to start from, and one method to sample."""
    return make_search(directory, **{"methods": ("erasediff",), "enqueue": ETAS, "sampler": "random", **changes})


def slot_of(search: ConstrainedOptunaSearch, name: str) -> str:
    return str(told(search, name).user_attrs[SLOT])


def slots(search: ConstrainedOptunaSearch) -> list[str]:
    return [trial.user_attrs[SLOT] for trial in search.study.trials]


def end(search: ConstrainedOptunaSearch, name: str, made: Mapping[str, Any]) -> None:
    search.on_trial_complete(name, made)


def play(search: ConstrainedOptunaSearch, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Runs one trial after another, each with the report of its slot or a bad one; the slots in order."""
    while isinstance(config := search.suggest("any"), dict):
        end(search, config["trial_id"], results.get(slot_of(search, config["trial_id"]), BAD))
    assert config == Searcher.FINISHED
    return slots(search)


class TestOrder:
    def test_starts_come_once_each_and_what_is_near_the_front_is_repeated_before_anything_new(
        self, tmp_path: Path
    ) -> None:
        results = {"start-1/0": GOOD, "start-1/1": GOOD, "start-1/2": GOOD, "sampled-0/0": report(20, 0.1, 4.0)}
        assert play(small_search(tmp_path, num_trials=11, repeats=3), results) == [
            *("start-0/0", "start-1/0", "start-2/0"),
            *("start-1/1", "start-1/2"),
            *("sampled-0/0", "sampled-0/1"),  # whose mean is infeasible then
            *("sampled-1/0", "sampled-2/0", "sampled-3/0", "sampled-4/0"),
        ]

    def test_the_best_rank_comes_first_and_then_the_fewest_runs(self, tmp_path: Path) -> None:
        results = {f"start-0/{n}": report(20, 0.3, 5.0) for n in range(3)}  # behind the two others
        results |= {f"start-1/{n}": report(20, 0.2, 5.5) for n in range(3)}
        results |= {f"start-2/{n}": report(20, 0.1, 5.2) for n in range(3)}
        assert play(small_search(tmp_path, num_trials=9, repeats=3), results) == [
            *("start-0/0", "start-1/0", "start-2/0"),
            *("start-1/1", "start-2/1", "start-1/2", "start-2/2"),
            *("start-0/1", "start-0/2"),
        ]

    def test_a_setting_that_fell_behind_is_not_repeated_again(self, tmp_path: Path) -> None:
        results = {"start-0/0": GOOD, "start-0/1": report(20, 0.9, 3.1)}
        results |= {f"start-{n}/{k}": report(20, 0.5, 4.5 + n / 100) for n in (1, 2) for k in range(3)}
        found = play(small_search(tmp_path, num_trials=9, repeats=3), results)
        assert found[3] == "start-0/1"
        assert "start-0/2" not in found

    @pytest.mark.parametrize("made", [BAD, report(20, float("nan"), 5.5), report(20, 0.2, 5.5, fid=float("nan"))])
    def test_what_is_infeasible_or_no_number_is_not_repeated(self, tmp_path: Path, made: dict[str, Any]) -> None:
        found = play(small_search(tmp_path, num_trials=6, repeats=2), {"start-0/0": made})
        assert {slot.partition("/")[2] for slot in found} == {"0"}
        assert len(found) == 6

    def test_a_setting_of_which_a_run_failed_is_not_repeated(self, tmp_path: Path) -> None:
        search = small_search(tmp_path, num_trials=9, repeats=3)
        while isinstance(config := search.suggest("any"), dict):
            name = config["trial_id"]
            search.on_trial_result(name, GOOD)
            search.on_trial_complete(name, error=slot_of(search, name) == "start-0/1")
        found = slots(search)
        assert ("start-0/1" in found, "start-0/2" in found, "start-1/2" in found) == (True, False, True)

    def test_without_repeats_settings_run_once_in_order(self, tmp_path: Path) -> None:
        found = play(small_search(tmp_path, num_trials=5), {"start-0/0": GOOD})
        assert found == ["start-0/0", "start-1/0", "start-2/0", "sampled-0/0", "sampled-1/0"]


class TestBudget:
    def test_the_last_trials_are_kept_for_repeats(self, tmp_path: Path) -> None:
        """Of three settings to start from, the third would take what the repeats of the others need."""
        results = {f"start-{n}/{k}": report(20, 0.2 + n / 10, 5.0 + n / 10) for n in range(3) for k in range(3)}
        found = play(small_search(tmp_path, num_trials=4, repeats=3), results)
        assert found == ["start-0/0", "start-1/0", "start-0/1", "start-1/1"]

    def test_what_nothing_deserves_goes_to_new_settings(self, tmp_path: Path) -> None:
        assert play(small_search(tmp_path, num_trials=3, repeats=3), {}) == ["start-0/0", "start-1/0", "start-2/0"]

    @pytest.mark.parametrize("repeats", [2, 3])
    def test_num_trials_counts_repeats_and_only_what_is_near_is_repeated(self, tmp_path: Path, repeats: int) -> None:
        search = make_search(tmp_path, num_trials=30, repeats=repeats)
        configs: list[dict[str, Any]] = []
        while isinstance(config := search.suggest("any"), dict):
            if config["repeat"]:
                group = slot_of(search, config["trial_id"]).partition("/")[0]
                assert group in naive_near(search)
                first = next(c for c in configs if slot_of(search, c["trial_id"]) == f"{group}/0")
                assert (config["method"], settings_of(config)) == (first["method"], settings_of(first))
            for made in reports_for(config):
                search.on_trial_result(config["trial_id"], made)
            search.on_trial_complete(config["trial_id"])
            configs.append(config)
        assert len(configs) == 30
        assert len({config["seed"] for config in configs}) == 30
        counts = Counter(slot.partition("/")[0] for slot in slots(search))
        assert max(counts.values()) == repeats
        assert min(counts.values()) == 1
        unfinished = {group for group in naive_near(search) if counts[group] < repeats}
        assert len(unfinished) <= 1, "at most the last setting found the budget spent"

    def test_no_sampling_ends_after_the_repeats(self, tmp_path: Path) -> None:
        search = make_search(
            tmp_path,
            methods=("siss",),
            fix={"lambd": 0.5, "scaling_norm": 10.0},
            num_trials=9,
            repeats=3,
            calibration={},
        )
        assert play(search, {f"start-0/{n}": GOOD for n in range(3)}) == ["start-0/0", "start-0/1", "start-0/2"]


def naive_near(search: ConstrainedOptunaSearch) -> dict[str, int]:
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in search.study.trials:
        if trial.state.is_finished():
            groups.setdefault(trial.user_attrs[SLOT].partition("/")[0], []).append(trial)
    runs = {name: [Run(reports_of(t), t.state == TrialState.FAIL) for t in found] for name, found in groups.items()}
    return near_front(runs, search._goals)


class TestAtATime:
    def test_a_repeat_waits_for_the_first_run_and_others_go_on_meanwhile(self, tmp_path: Path) -> None:
        search = small_search(tmp_path, num_trials=20, repeats=2)
        names = [start(search) for _ in range(4)]
        assert slots(search) == ["start-0/0", "start-1/0", "start-2/0", "sampled-0/0"]
        end(search, names[1], GOOD)
        assert slot_of(search, start(search)) == "start-1/1"
        assert slot_of(search, start(search)) == "sampled-1/0"

    def test_free_workers_take_the_other_repeats_of_a_good_setting(self, tmp_path: Path) -> None:
        search = small_search(tmp_path, num_trials=20, repeats=3)
        for made in (BAD, BAD, GOOD):
            end(search, start(search), made)
        assert [slot_of(search, start(search)) for _ in range(3)] == ["start-2/1", "start-2/2", "sampled-0/0"]

    def test_near_the_end_what_is_next_waits_for_what_runs(self, tmp_path: Path) -> None:
        def at_the_end(directory: Path) -> tuple[ConstrainedOptunaSearch, str]:
            search = small_search(directory, num_trials=5, repeats=2)
            for _ in range(3):
                end(search, start(search), BAD)
            name = start(search)  # the last but one; the last is its repeat if it is good
            assert search.suggest("any") is None
            assert not search.is_finished()
            return search, name

        for made, last in ((GOOD, "sampled-0/1"), (BAD, "sampled-1/0")):
            search, name = at_the_end(tmp_path / last.replace("/", "-"))
            end(search, name, made)
            assert slot_of(search, start(search)) == last
            assert search.is_finished()
            assert search.suggest("any") == Searcher.FINISHED

    @pytest.mark.parametrize("at_a_time", [2, 5])
    def test_several_at_a_time_come_to_an_end(self, tmp_path: Path, at_a_time: int) -> None:
        search = make_search(tmp_path, num_trials=25, repeats=3)
        running: list[dict[str, Any]] = []
        while True:
            while len(running) < at_a_time and isinstance(config := search.suggest("any"), dict):
                running.append(config)
            if not running:
                break
            config = running.pop(len(search.study.trials) % len(running))
            end(search, config["trial_id"], reports_for(config)[-1])
        assert search.suggest("any") == Searcher.FINISHED
        assert len(search.study.trials) == len(set(slots(search))) == 25
        # No more than that: a mean that falls at the end may put a setting near the front with no trial left for it.
        assert any(slot.endswith("/1") for slot in slots(search))


class TestInterruptions:
    def test_resume_equals_uninterrupted(self, tmp_path: Path) -> None:
        whole = run_all(make_search(tmp_path / "whole", num_trials=20, repeats=3))
        parts: list[dict[str, Any]] = []
        for _ in range(20):
            config = run_trial(make_search(tmp_path / "parts", num_trials=20, repeats=3))
            assert config is not None
            parts.append(config)
        assert parts == whole
        assert {config["repeat"] for config in whole} == {0, 1, 2}

    def test_a_lost_repeat_is_run_again_with_its_seed(self, tmp_path: Path) -> None:
        search = small_search(tmp_path, num_trials=8, repeats=2)
        for made in (BAD, GOOD, BAD):
            end(search, start(search), made)
        lost = search.suggest("any")
        assert isinstance(lost, dict)
        resumed = small_search(tmp_path, num_trials=8, repeats=2)
        resumed.reconcile({})
        assert told(resumed, lost["trial_id"]).user_attrs["reason"] == INTERRUPTED
        again = resumed.suggest("any")
        assert isinstance(again, dict)
        assert slot_of(resumed, again["trial_id"]) == slot_of(resumed, lost["trial_id"]) == "start-1/1"
        assert {**again, "trial_id": ""} == {**lost, "trial_id": ""}

    def test_what_a_lost_trial_reported_decides_nothing(self, tmp_path: Path) -> None:
        search = small_search(tmp_path, num_trials=8, repeats=2)
        search.on_trial_result(start(search), GOOD)
        resumed = small_search(tmp_path, num_trials=8, repeats=2)
        resumed.reconcile({})
        assert play(resumed, {})[:3] == ["start-0/0", "start-0/0", "start-1/0"]
        kept = json.loads(resumed.study.trials[0].user_attrs["report:20"])
        assert kept["sscd"] == GOOD["sscd"]
