"""The replay: schedules and costs by hand, noise that nests, truth on a known function, and every search at work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from search_records import RUNGS, made_up_record, values

from analysis.growing_front import GrowingFront
from benchmarks.search_lib.correlation import at_fraction, correlations
from benchmarks.search_lib.costs import Counts
from benchmarks.search_lib.noise import Draws, Spread
from benchmarks.search_lib.plain_searches import grid
from benchmarks.search_lib.protocol import Proposal, Report, Search, Study, ladder
from benchmarks.search_lib.recorded import LOOKS, Record
from benchmarks.search_lib.replay import (
    LEVELS,
    SEARCHES,
    band,
    grid_rows,
    needs,
    quantile,
    replay,
    rows_to,
    run,
    world_of,
)
from benchmarks.search_lib.simulator import World, simulate
from benchmarks.search_lib.truth import Truth, measured, place_of
from benchmarks.search_lib.worth import Finding, anytime, best_known, bound_of
from search_spaces import space_of
from search_spaces.ranges import value_at
from tuning.goals import Constraint
from tuning.searcher import ConstrainedOptunaSearch

BOUND = Constraint("fid", "<=", 1.2, relative=True)
#: Rows of a training step of a batch of 8: forward plus twice backward.
NAIVE, SISS, ERASEDIFF = 8 * 3, 8 * 5, 8 * 6
FULL = 1024 + 64 + 120


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(50)


@pytest.fixture(scope="module")
def truth(record: Record) -> Truth:
    return Truth(record)


@pytest.fixture(scope="module")
def world_and_study(record: Record, truth: Truth) -> tuple[World, Study]:
    return world_of(record, truth, BOUND)


@pytest.fixture(scope="module")
def world(world_and_study: tuple[World, Study]) -> World:
    return world_and_study[0]


@pytest.fixture(scope="module")
def study(world_and_study: tuple[World, Study]) -> Study:
    return world_and_study[1]


def proposal(method: str, fraction: float = 0.2) -> Proposal:
    return Proposal(method, method, {p.sampled_name: value_at(p, fraction) for p in space_of(method).parameters})


class Scripted(Search):
    """Proposes what it is given, and stops trials at the rungs that it is given."""

    def __init__(self, proposals: Sequence[Proposal], fractions: Sequence[float], **stops: int) -> None:
        self.fractions, self._proposals, self._stops = fractions, iter(proposals), stops
        self.heard: list[tuple[str, int | None]] = []

    def suggest(self) -> Proposal | None:
        return next(self._proposals, None)

    def goes_on(self, name: str, report: Report) -> bool:
        self.heard.append((name, report["rung"]))
        return self._stops.get(name) != report["rung"]

    def end(self, name: str, report: Report | None) -> None:
        self.heard.append((f"end of {name}", None if report is None else report["rung"]))


NAIVE_TRIAL, SISS_TRIAL = proposal("naive_deletion"), proposal("siss")


# Costs and schedules


def test_costs_are_rows_of_training_and_of_single_draws(world: World) -> None:
    assert [world.costs.training(m, 10) for m in ("naive_deletion", "siss", "erasediff")] == [240, 400, 480]
    assert world.costs.full == Counts(max(LOOKS), 8, 4)
    assert world.costs.evaluation(world.costs.full) == FULL
    assert world.costs.evaluation(world.costs.full.scaled(0.25)) == FULL / 4
    assert world.costs.full.scaled(0.01) == Counts(3, 1, 1)
    assert world.costs.evaluation(world.costs.full.with_images(64)) == 1024 * 64 / max(LOOKS) + 64 + 120


def test_one_worker_runs_one_trial_after_another(world: World) -> None:
    search = Scripted([NAIVE_TRIAL, SISS_TRIAL], (1.0, 0.0, 1.0))
    times = [f.time for f in simulate(world, search, workers=1, budget=math.inf, seed=0)]
    first = [10 * NAIVE + FULL, 40 * NAIVE + 2 * FULL]
    assert times == [*first, first[1] + 10 * SISS + FULL, first[1] + 40 * SISS + 2 * FULL]
    assert search.heard == [
        ("naive_deletion", 0), ("end of naive_deletion", 2), ("siss", 0), ("end of siss", 2),
    ]  # fmt: skip


def test_workers_report_in_order_of_time_and_time_counts_all_of_them(world: World) -> None:
    search = Scripted([SISS_TRIAL, NAIVE_TRIAL, NAIVE_TRIAL], (0.0, 0.0, 1.0))
    found = simulate(world, search, workers=2, budget=math.inf, seed=0)
    siss, naive = 40 * SISS + FULL, 40 * NAIVE + FULL
    assert [f.time for f in found] == [2 * naive, 2 * siss, 4 * naive]


def test_a_stopped_trial_costs_no_more_and_its_worker_goes_on(world: World) -> None:
    search = Scripted([SISS_TRIAL, NAIVE_TRIAL], (1.0, 1.0, 1.0), siss=0)
    times = [f.time for f in simulate(world, search, workers=1, budget=math.inf, seed=0)]
    stopped = 10 * SISS + FULL
    assert times == [stopped, *(stopped + n * NAIVE + k * FULL for k, n in enumerate(RUNGS, start=1))]
    assert search.heard[:2] == [("siss", 0), ("end of siss", 0)]


def test_nothing_is_reported_after_the_budget(world: World) -> None:
    first = 10 * NAIVE + FULL
    for budget, expected in ((first - 1, 0), (first, 1)):
        search = Scripted([NAIVE_TRIAL], (1.0, 1.0, 1.0))
        assert len(simulate(world, search, workers=1, budget=budget, seed=0)) == expected


def test_a_failing_trial_is_paid_up_to_the_rung_that_it_does_not_reach() -> None:
    record = made_up_record(50, failing=0.4)
    world, _ = world_of(record, Truth(record), BOUND)
    search = Scripted([proposal("erasediff", 1.0), NAIVE_TRIAL], (1.0, 1.0, 1.0))
    times = [f.time for f in simulate(world, search, workers=1, budget=math.inf, seed=0)]
    lost = 20 * ERASEDIFF + FULL
    assert times == [10 * ERASEDIFF + FULL, *(lost + n * NAIVE + k * FULL for k, n in enumerate(RUNGS, start=1))]
    assert search.heard[:2] == [("erasediff", 0), ("end of erasediff", None)]


def test_equal_seeds_give_equal_reports(world: World) -> None:
    def reports(seed: int) -> list[Finding]:
        return simulate(world, Scripted([SISS_TRIAL], (1.0, 1.0, 1.0)), workers=1, budget=math.inf, seed=seed)

    assert reports(3) == reports(3) != reports(4)


def test_a_report_is_worth_its_model_luck_of_the_training_included(world: World) -> None:
    """Two trainings of equal settings are two models; with more draws than are recorded only those would remain."""
    search = Scripted([NAIVE_TRIAL, NAIVE_TRIAL], (0.0, 0.0, 1.0))
    first, second = simulate(world, search, workers=1, budget=math.inf, seed=0)
    assert first.truth != second.truth
    assert first.truth != world.truth.reports("naive_deletion", {})[-1]
    spread = Spread.of(world.truth.nearest("naive_deletion", {}).reports[-1])
    for found in (first, second):
        assert abs(found.measured["nll"] - found.truth["nll"]) < 5 * spread.nll


def test_the_best_known_is_at_least_what_was_recorded(record: Record, truth: Truth, world: World) -> None:
    recorded = [measured(report) for trial in record.trials for report in trial.reports]
    best = GrowingFront(world.goals, recorded).hypervolume
    assert 0.0 < best <= best_known(truth, world.goals)


# Noise


def test_noise_is_as_large_as_single_draws_say_and_nests() -> None:
    spread = Spread(sscd=0.8, nll=0.4, fid={count: 8.0 / math.sqrt(count) for count in LOOKS})
    truth = {"sscd": 0.5, "nll": 3.0, "fid": 10.0}
    many = [Draws(truth, spread, np.random.default_rng(seed)) for seed in range(4000)]
    found = pd.DataFrame([draws.measure(Counts(64, 16, 4)) for draws in many])
    assert found.mean().to_dict() == pytest.approx(truth, abs=0.05)
    assert found.std().to_dict() == pytest.approx({"sscd": 0.2, "nll": 0.2, "fid": 1.0}, rel=0.05)
    distances = pd.DataFrame({count: [draws.fid(count) for draws in many] for count in LOOKS})
    # Means of the first n and of the first m > n draws correlate by the root of n / m.
    expected = [[math.sqrt(min(n, m) / max(n, m)) for m in LOOKS] for n in LOOKS]
    assert distances.corr().to_numpy() == pytest.approx(np.array(expected), abs=0.04)


def test_images_are_made_until_the_bound_is_decided() -> None:
    spread = Spread(0.1, 0.1, {count: 1.0 / math.sqrt(count) for count in LOOKS})
    most = max(LOOKS)

    def images(fid: float) -> list[int]:
        draws = [Draws({"fid": fid}, spread, np.random.default_rng(seed)) for seed in range(200)]
        return [draw.enough_images(most, bound=10.0) for draw in draws]

    assert set(images(20.0)) == set(images(0.0)) == {32}
    assert np.mean(np.array(images(10.0)) == most) > 0.94, "at the bound it is wrong to decide"


# Truth and worth


def test_truth_is_the_function_behind_the_record(truth: Truth) -> None:
    for method, settings in [
        ("siss", {"lambd": 0.37, "scaling_norm_ratio": 0.3}),
        ("erasediff", {"eta": 0.004}),
        ("naive_deletion", {}),
    ]:
        for step, report in zip(RUNGS, truth.reports(method, settings), strict=True):
            bias = 100.0 / max(LOOKS)
            sscd, nll, fid = values(method, place_of(method, settings), step)
            assert report == pytest.approx({"sscd": sscd, "nll": nll, "fid": fid + bias}, rel=0.05, abs=0.04)


def test_validation_tells_what_is_predicted_from_what_is_noise(record: Record, truth: Truth) -> None:
    found = {(v.method, v.metric): v for v in truth.validate()}
    assert found["siss", "nll"].r2 > 0.95
    assert found["siss", "nll"].relative_error == pytest.approx(math.sqrt(1 - found["siss", "nll"].r2))
    assert found["naive_deletion", "nll"].r2 < 0.5, "there is nothing to predict but noise"
    assert found["siss", "sscd"].num_trials == sum(trial.method == "siss" for trial in record.trials)


def test_settings_fail_where_their_neighbours_did() -> None:
    record = made_up_record(50, failing=0.4)
    truth = Truth(record)
    assert len(truth.reports("erasediff", {"eta": 0.09})) == 1
    assert len(truth.reports("erasediff", {"eta": 0.00011})) == 3


def test_worth_is_truth_of_what_was_measured_as_feasible(world: World) -> None:
    goals, bound = world.goals, bound_of(world.goals)
    start, ideal = goals.baseline, goals.ideal

    def entry(sscd_gain: float, nll_gain: float, fid: float) -> dict[str, float]:
        gains = {"sscd": sscd_gain, "nll": nll_gain}
        return {name: start[name] + gain * (ideal[name] - start[name]) for name, gain in gains.items()} | {"fid": fid}

    good, inside, outside = entry(0.5, 0.5, bound - 1), bound - 0.5, bound + 0.5
    findings = [
        Finding(1.0, entry(0.9, 0.9, inside), good),  # its measured objectives earn nothing
        Finding(2.0, entry(0.9, 0.9, outside), entry(0.9, 0.9, inside)),  # thought infeasible
        Finding(3.0, entry(0.9, 0.9, inside), entry(0.9, 0.9, outside)),  # infeasible in truth
        Finding(4.0, good, entry(0.4, 0.4, inside)),  # adds nothing
        Finding(5.0, good, entry(1.5, 0.25, inside)),  # clipped at the ideal
    ]
    assert [time for time, _ in anytime(findings, goals)] == [0.0, 1.0, 5.0]
    assert [value for _, value in anytime(findings, goals)] == pytest.approx([0.0, 0.25, 0.25 + 0.5 * 0.25])


def test_rows_to_a_level_and_bands_are_read_off_the_curves() -> None:
    curves = [[(0.0, 0.0), (10.0, 0.5), (20.0, 0.95)], [(0.0, 0.0), (40.0, 0.92)]]
    assert [rows_to(curve, 0.9) for curve in curves] == [20.0, 40.0]
    assert rows_to(curves[1], 0.95) == math.inf
    assert quantile([1.0, 2.0, math.inf, math.inf], 0.5) == math.inf
    assert quantile([1.0, 2.0, 4.0, math.inf], 0.5) == 3.0
    assert band(curves, np.array([5.0, 10.0, 40.0])).tolist() == [
        [0, 0.125, 0.9275],
        [0, 0.25, 0.935],
        [0, 0.375, 0.9425],
    ]


# Searches


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_finds_something_and_finds_it_again(name: str, world: World, study: Study) -> None:
    if name == "moasha":
        pytest.importorskip("syne_tune", reason="make bench-search installs it")
    budget = 0.5 * grid_rows(world, study)
    curves = [run(world, study, name, seed=1, workers=3, budget=budget) for _ in range(2)]
    assert curves[0] == curves[1]
    assert 0.3 < curves[0][-1][1] / best_known(world.truth, world.goals) <= 1.001


def test_a_grid_is_the_product_of_five_values_with_the_ends() -> None:
    points = grid(["siss", "erasediff", "naive_deletion"])
    assert len(points) == 25 + 5 + 1 == len({point.name for point in points})
    ends = [point.settings["eta"] for point in points if point.method == "erasediff"]
    assert (ends[0], ends[-1]) == pytest.approx((1e-4, 1e-1))


def test_own_search_is_the_products_and_begins_with_the_authors_settings(study: Study, tmp_path: Path) -> None:
    search = SEARCHES["ours_ladder"](study, 0, tmp_path)
    assert isinstance(search._searcher, ConstrainedOptunaSearch)  # type: ignore[attr-defined]
    first = [search.suggest() for _ in range(5)]
    assert {proposal.method for proposal in first if proposal} == set(study.methods)
    assert tuple(search.fractions) == (0.25, 0.5, 1.0) == ladder(3)


def test_a_replay_in_processes_is_that_of_one_process(world: World, study: Study) -> None:
    best = best_known(world.truth, world.goals)
    result = replay(world, study, ["grid", "random"], num_seeds=2, workers=2, best=best)
    again = run(world, study, "random", seed=1, workers=2, budget=result.budget)
    assert result.curves["random"][1] == [(rows, value / best) for rows, value in again]
    assert [(need.search, need.level) for need in needs(result)] == [
        (name, level) for name in ("grid", "random") for level in LEVELS
    ]


def test_correlations_are_those_of_the_recorded_draws(record: Record) -> None:
    whole = [trial for trial in record.trials if not trial.reason]
    report = whole[0].reports[0]
    assert at_fraction(report, 0.25)["sscd"] == pytest.approx(sum(report.similarities[:2]) / 2)
    assert at_fraction(report, 0.25)["fid"] == report.distances[max(LOOKS) // 4].value
    found = {(c.metric, c.step, c.fraction): c for c in correlations(record)}
    assert found["nll", RUNGS[-1], 1.0].with_last == pytest.approx(1.0)
    assert found["nll", RUNGS[0], 1.0].with_same == pytest.approx(1.0)
    ours = pd.DataFrame([(np.mean(t.reports[0].bits_per_dim), np.mean(t.reports[-1].bits_per_dim)) for t in whole])
    assert found["nll", RUNGS[0], 1.0].with_last == pytest.approx(ours.rank().corr().iloc[0, 1])
