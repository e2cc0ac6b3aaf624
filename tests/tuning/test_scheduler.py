"""The scheduler as Ray drives it, without Ray: who is stopped, and what a rebuilt one decides."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray.tune.schedulers import TrialScheduler

from tuning.files import StudyFiles
from tuning.goals import Constraint, Objective
from tuning.record_tables import read_table
from tuning.records import Records
from tuning.scheduler import ParetoHalving

GO_ON, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP
OBJECTIVES = (Objective("sscd", "minimize"), Objective("nll", "maximize"))
CONSTRAINTS = (Constraint("fid", "<=", 1.2, relative=True),)
BASELINE = {"fid": 10.0}
RUNGS = (10, 20, 40)

Event = tuple[str, dict[str, Any]]  # trial and report


def make(**changes: Any) -> ParetoHalving:
    settings: dict[str, Any] = {"rungs": RUNGS, "baseline": BASELINE, **changes}
    return ParetoHalving(OBJECTIVES, CONSTRAINTS, **settings)


def report(sscd: float, nll: float = 5.0, fid: float = 11.0, step: int = 10) -> dict[str, Any]:
    return {"step": step, "rung": RUNGS.index(step), "sscd": sscd, "nll": nll, "fid": fid}


def tell(scheduler: ParetoHalving, trial: str | int, result: dict[str, Any]) -> str:
    name = trial if isinstance(trial, str) else f"{trial:05d}"
    return scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), result)


def decisions(scheduler: ParetoHalving, reports: Sequence[dict[str, Any]]) -> list[str]:
    return [tell(scheduler, number, made) for number, made in enumerate(reports)]


def test_a_trial_goes_on_while_it_is_among_the_best_of_its_rung() -> None:
    made = [report(0.5), report(0.4), report(0.6), report(0.45), report(0.41), report(0.42), report(0.47)]
    assert decisions(make(), made) == [GO_ON, GO_ON, STOP, STOP, STOP, STOP, STOP]
    assert decisions(make(reduction_factor=2), made) == [GO_ON, GO_ON, STOP, GO_ON, GO_ON, GO_ON, STOP]


def test_maximised_objectives_count_upwards() -> None:
    assert decisions(make(), [report(0.5, nll=4.0), report(0.5, nll=5.0), report(0.5, nll=3.0)]) == [GO_ON, GO_ON, STOP]


def test_constraints_come_before_objectives_and_refer_to_the_baseline() -> None:
    made = [report(0.1, fid=13.0), report(0.2, fid=12.5), report(0.9, fid=12.0), report(0.1, fid=12.1)]
    assert decisions(make(), made) == [GO_ON, GO_ON, GO_ON, STOP]
    assert decisions(make(baseline={"fid": 9.0}), made[2:]) == [GO_ON, STOP]


def test_the_trade_off_is_spread_over_the_front() -> None:
    """Of a front the compromise goes on first, then the ends; what lies beside one that went on is stopped."""
    scheduler = make(reduction_factor=2)
    known = [report(0.5, 5.0), report(0.1, 3.1), report(0.9, 6.9), report(0.55, 5.1)]
    for number, made in enumerate(known):
        tell(scheduler, number, made)
    assert tell(scheduler, 4, report(0.51, 5.02)) == STOP
    assert tell(scheduler, 5, report(0.05, 2.9)) == GO_ON


def random_reports(rng: np.random.Generator, count: int, step: int = 10) -> list[dict[str, Any]]:
    drawn = rng.random((count, 3)) * [0.8, 3.0, 8.0] + [0.1, 3.0, 8.0]
    return [report(*map(float, row), step=step) for row in drawn]


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("seed", range(25))
def test_who_dominates_is_never_stopped_and_who_is_dominated_and_infeasible_always(seed: int, factor: int) -> None:
    """Sorted indices taken for ranks stop most of those that dominate their rung."""
    rng = np.random.default_rng(seed)
    scheduler = make(reduction_factor=factor)
    decisions(scheduler, random_reports(rng, int(rng.integers(factor, 30))))
    assert tell(scheduler, 100, report(0.05, 6.5, 7.9)) == GO_ON
    assert tell(scheduler, 101, report(0.95, 2.5, 16.5)) == STOP
    assert tell(scheduler, 102, report(0.04, 6.6, 7.8)) == GO_ON


@pytest.mark.parametrize("seed", range(10))
def test_the_last_report_is_judged_alike_in_whatever_order_the_others_came(seed: int) -> None:
    rng = np.random.default_rng(seed)
    *others, last = random_reports(rng, 12)
    orders = [rng.permutation(len(others)) for _ in range(5)]
    answers = set()
    for order in orders:
        scheduler = make()
        for number in order:
            tell(scheduler, int(number), others[number])
        answers.add(tell(scheduler, 99, last))
    assert len(answers) == 1


def test_no_trial_is_stopped_at_the_last_rung_nor_before_the_first_nor_between() -> None:
    scheduler = make()
    for number in range(6):
        tell(scheduler, number, report(0.1, step=10))
    for step in (40, 41, 1000):
        assert tell(scheduler, 9, {**report(0.9, fid=99.0), "step": step}) == GO_ON
    assert tell(scheduler, 10, {**report(0.9, fid=99.0), "step": 9}) == GO_ON
    assert tell(scheduler, 0, {**report(0.9, fid=99.0), "step": 15}) == GO_ON
    assert tell(scheduler, 11, {**report(0.9, fid=99.0), "step": 15}) == STOP, "its first report after a rung counts"


def test_a_repeat_is_neither_stopped_nor_counted() -> None:
    """Else runs of one good setting would push each other out of its rung, and other settings with them."""
    scheduler, alone = make(), make()
    first, other = [report(0.3), report(0.6), report(0.5)], [report(0.35), report(0.29), report(0.31)]
    assert decisions(scheduler, first) == decisions(alone, first) == [GO_ON, STOP, STOP]
    for number in range(10, 16):
        assert tell(scheduler, number, {**report(0.31 + number / 1000), "repeat": 1 + number % 2}) == GO_ON
    for number, made in enumerate(other, start=20):
        assert tell(scheduler, number, {**made, "repeat": 0}) == tell(alone, number, made)
    assert scheduler.reported == alone.reported


def test_repeats_on_disk_are_not_counted_either() -> None:
    table = pd.DataFrame([{**report(0.1), "trial_id": f"{n:05d}", "repeat": n} for n in range(3)])
    scheduler = make()
    scheduler.rebuild(table)
    assert [len(known) for known in scheduler.reported.values()] == [1]


@pytest.mark.parametrize(
    "lacking",
    [
        {"sscd": math.nan},
        {"nll": -math.inf},
        {"fid": math.nan},
        {"fid": None},
        {"sscd": None},
        {"sscd": "0.1"},
        {"fid": [1.0]},
        {"nll": ...},
        {"fid": ...},
        {"sscd": ..., "nll": ..., "fid": ...},
    ],
    ids=str,
)
def test_what_was_not_measured_comes_last_and_raises_nothing(lacking: dict[str, Any]) -> None:
    scheduler = make()
    result = {key: value for key, value in {**report(0.01, 9.0, 5.0), **lacking}.items() if value is not ...}
    decisions(scheduler, [report(0.9, 1.0, 90.0), report(0.91, 0.9, 91.0)])
    assert tell(scheduler, 7, result) == STOP
    assert tell(scheduler, 8, report(0.8, 1.1, 80.0)) == GO_ON
    first = make()
    assert tell(first, 7, result) == GO_ON, "nothing is better yet"
    assert tell(first, 8, report(0.9, 1.0, 90.0)) == GO_ON


@pytest.mark.parametrize("step", [None, math.nan, "10", ...])
def test_a_result_without_progress_is_no_report(step: Any) -> None:
    scheduler = make()
    result = {key: value for key, value in {**report(0.9), "step": step}.items() if value is not ...}
    decisions(scheduler, [report(0.1), report(0.1)])
    assert tell(scheduler, 5, result) == GO_ON
    scheduler.on_trial_complete(None, SimpleNamespace(trial_id="00005"), result)
    assert scheduler.reported.keys() == {(0, 0)}


def test_another_key_of_progress() -> None:
    scheduler = make(time_attr="training_iteration", rungs=(1, 2))
    assert tell(scheduler, 0, {**report(0.1), "training_iteration": 1}) == GO_ON
    assert tell(scheduler, 1, {**report(0.2), "training_iteration": 1}) == STOP


def test_a_report_that_comes_again_counts_once_and_stops_nobody() -> None:
    scheduler, once = make(), make()
    for number, made in enumerate([report(0.5), report(0.4)]):
        assert tell(scheduler, number, made) == tell(once, number, made) == GO_ON
    for _ in range(5):
        assert tell(scheduler, 0, report(0.5)) == GO_ON, "it went on when it was asked first"
        assert tell(scheduler, 0, report(0.001)) == GO_ON
    assert scheduler.reported == once.reported
    assert tell(scheduler, 2, report(0.45)) == STOP


def test_a_trial_that_ends_between_the_rungs_counts_at_the_one_it_reached() -> None:
    scheduler = make()
    scheduler.on_trial_complete(None, SimpleNamespace(trial_id="00000"), report(0.1))
    scheduler.on_trial_error(None, SimpleNamespace(trial_id="00000"))
    scheduler.on_trial_remove(None, SimpleNamespace(trial_id="00000"))
    assert tell(scheduler, 1, report(0.5)) == STOP


def test_ray_sees_no_metric() -> None:
    scheduler = make()
    for metric, mode in ((None, None), ("sscd", "min")):
        assert scheduler.set_search_properties(metric, mode, total_samples=3)
        assert scheduler.metric is None


def test_ray_is_given_waiting_trials_in_order() -> None:
    waiting = [SimpleNamespace(status=status, trial_id=status) for status in ("RUNNING", "PENDING", "PENDING")]
    assert make().choose_trial_to_run(SimpleNamespace(get_trials=lambda: waiting)) is waiting[1]
    scheduler = make()
    scheduler.on_trial_add(None, waiting[1])
    decisions(scheduler, [report(0.1), report(0.2)])
    assert scheduler.debug_string() == "Pareto halving, 1 trials stopped; reports at rung 0 of bracket 0: 2"


class TestBrackets:
    def test_bracket_s_begins_to_halve_at_rung_s(self) -> None:
        scheduler = make(brackets=2)
        assert [tell(scheduler, number, report(number / 10)) for number in range(6)] == [
            GO_ON,
            *[GO_ON, STOP] * 2,
            GO_ON,
        ]
        assert [tell(scheduler, number, report(number / 10, step=20)) for number in (1, 3, 5)] == [GO_ON, STOP, STOP]

    def test_a_trial_is_compared_with_those_of_its_bracket(self) -> None:
        scheduler = make(brackets=2, reduction_factor=2)
        tell(scheduler, 0, report(0.01, step=20))
        assert tell(scheduler, 1, report(0.5, step=20)) == GO_ON
        assert tell(scheduler, 2, report(0.5, step=20)) == STOP

    def test_the_bracket_follows_from_the_trials_number(self) -> None:
        order = np.random.default_rng(0).permutation(8)
        states = []
        for numbers in (range(8), order):
            scheduler = make(brackets=2)
            for number in numbers:
                tell(scheduler, f"a40db_{number:05d}", report(0.1, step=20))
            states.append(scheduler.reported)
        assert states[0].keys() == {(0, 1), (1, 1)}
        assert states[0] == states[1]
        assert tell(make(brackets=2), "no number", report(0.1)) == GO_ON


def random_study(seed: int, brackets: int = 1) -> list[Event]:
    """What a study reports when nothing is stopped: trials side by side, rungs in order, some values missing."""
    rng = np.random.default_rng(seed)
    queues = {f"{n:05d}": [random_reports(rng, 1, step)[0] for step in RUNGS] for n in range(24)}
    events = []
    while queues:
        name = str(rng.choice(sorted(queues)[:3]))
        made = queues[name].pop(0)
        if rng.random() < 0.1:
            made["sscd"] = math.nan
        events.append((name, made))
        queues = {name: queue for name, queue in queues.items() if queue}
    return events


def run(
    scheduler: ParetoHalving, events: Sequence[Event], told: Callable[[str, dict[str, Any]], Any]
) -> dict[Any, str]:
    """Decisions by trial and step; what a stopped trial would have reported never comes."""
    found: dict[Any, str] = {}
    for name, made in events:
        if STOP not in [answer for (other, _), answer in found.items() if other == name]:
            found[name, made["step"]] = tell(scheduler, name, made)
            told(name, made)
    return found


def make_records(root: Path) -> Records:
    return Records(
        StudyFiles(root), parameters=[], metrics=["sscd", "nll", "fid"], constraints=CONSTRAINTS, baseline=BASELINE
    )


class TestResume:
    @pytest.mark.parametrize("brackets", [1, 2])
    @pytest.mark.parametrize("seed", range(8))
    def test_a_rebuilt_scheduler_decides_as_the_uninterrupted_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, brackets: int
    ) -> None:
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        events = random_study(seed)
        whole = run(make(brackets=brackets), events, lambda name, made: None)
        assert STOP in whole.values()

        cut = 5 + 7 * seed
        records = make_records(tmp_path)
        keep = lambda name, made: records.add_report({"trial_id": name, "method": "siss", **made})  # noqa: E731
        before = run(make(brackets=brackets), events[:cut], keep)
        if seed % 2:
            records.finalize()  # sorted by trial: the order of arrival is lost
        rebuilt = make(brackets=brackets)
        for _ in range(2):
            rebuilt.rebuild(make_records(tmp_path).reports_frame())
        running = [event for event in events[:cut] if before.get((event[0], event[1]["step"])) == GO_ON]
        assert {tell(rebuilt, *event) for event in running[-3:]} <= {GO_ON}, "reports that are replayed"
        stopped = {name for (name, _), answer in before.items() if answer == STOP}
        after = run(rebuilt, [event for event in events[cut:] if event[0] not in stopped], keep)
        assert {**before, **after} == whole

    def test_rebuilding_from_the_file_or_from_nothing(self, tmp_path: Path) -> None:
        records, scheduler = make_records(tmp_path), make()
        scheduler.rebuild(records.reports_frame())
        assert scheduler.reported == {}
        for number, value in enumerate((0.3, math.nan, 0.2)):
            records.add_report({"trial_id": f"{number:05d}", "method": "siss", **report(value)})
        scheduler.rebuild(read_table(records.files.reports))
        told = make()
        decisions(told, [report(0.3), report(math.nan), report(0.2)])
        assert str(scheduler.reported) == str(told.reported)

    def test_a_table_without_a_metric_raises_nothing(self) -> None:
        scheduler = make()
        scheduler.rebuild(pd.DataFrame([{"trial_id": "00000", "step": 10}]))
        assert tell(scheduler, 1, report(0.9, 1.0, 99.0)) == GO_ON

    def test_a_pickled_one_knows_the_same(self) -> None:
        """Ray pickles schedulers."""
        scheduler = make()
        decisions(scheduler, [report(0.3), report(0.4)])
        copy = pickle.loads(pickle.dumps(scheduler))
        assert copy.reported == scheduler.reported
        assert copy.debug_string() == scheduler.debug_string()
        assert tell(copy, 2, report(0.35)) == STOP
        assert len(scheduler.reported[0, 0]) == 2, "a copy is no view"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reduction_factor": 1}, "reduction_factor must be at least 2, but got 1"),
        ({"reduction_factor": math.nan}, "reduction_factor must be at least 2, but got nan"),
        ({"rungs": ()}, r"rungs must be one or more and rise strictly, but got \[\]"),
        ({"rungs": (10, 10)}, r"rungs must be one or more and rise strictly, but got \[10, 10\]"),
        ({"brackets": 0}, "brackets must be at least 1 and fewer than the 3 rungs, but got 0"),
        ({"brackets": 3}, "brackets must be at least 1 and fewer than the 3 rungs, but got 3"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_goals_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least one objective"):
        ParetoHalving((), (), rungs=RUNGS)
    with pytest.raises(KeyError, match="needs the untouched model's fid"):
        make(baseline=None)
    assert tell(ParetoHalving(OBJECTIVES, (), rungs=RUNGS), 0, report(0.5)) == GO_ON
