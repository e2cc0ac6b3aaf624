"""Means over the runs of a setting against naive ones; which runs belong together; what a failed run takes away."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.configurations import configuration_names, configurations, is_repeated, points_of


def report(trial: int, repeat: int, step: int = 10, method: str = "siss", lambd: float = 0.5, **more: Any) -> dict:
    values = {"sscd": 0.5, "sscd_stderr": 0.1, "sscd_num": 16}
    identity = {"trial_id": f"{trial:05d}", "method": method, "step": step, "rung": step // 10 - 1, "repeat": repeat}
    identity |= {"seed": 100 + trial, "forget_image": "a", "lambd": lambd}
    return {**identity, **values, "feasible": True, "violation": 0.0, "candidate": True, **more}


def failed(*trials: int, lambd: float = 0.5) -> pd.DataFrame:
    rows = [{"trial_id": f"{t:05d}", "state": "FAIL", "reason": "diverged", "method": "siss"} for t in trials]
    return pd.DataFrame(rows).assign(lambd=lambd)


def random_reports(seed: int) -> pd.DataFrame:
    """Settings with one to four runs, some of which lack the last step or a value, in the order of a search."""
    rng = np.random.default_rng(seed)
    rows, waiting = [], [(lambd, repeat) for lambd in (0.1, 0.2, math.nan) for repeat in range(rng.integers(1, 5))]
    for trial, place in enumerate(rng.permutation(len(waiting))):
        lambd, repeat = waiting[place]
        for step in (10, 20)[: rng.integers(1, 3)]:
            value = math.nan if rng.random() < 0.1 else rng.normal()
            measured = {"sscd": value, "sscd_stderr": rng.uniform(0, 1), "sscd_num": int(rng.integers(1, 9))}
            method = "naive_deletion" if math.isnan(lambd) else "siss"
            rows.append(report(trial, repeat, step, method, lambd, **measured, sscd_search=rng.normal()))
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(30))
def test_equals_naive_means(seed: int) -> None:
    reports = random_reports(seed)
    points = configurations(reports)
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in reports.to_dict("records"):
        groups.setdefault((row["method"] + str(row["lambd"]), row["step"]), []).append(row)
    assert len(points) == len(groups)
    for point in points.to_dict("records"):
        runs = groups[point["method"] + str(point["lambd"]), point["step"]]
        values = [run["sscd"] for run in runs]
        same = {"nan_ok": True, "rel": 1e-12}
        assert point["num_repeats"] == len(runs)
        assert point["sscd"] == pytest.approx(math.fsum(values) / len(runs), **same)
        assert point["sscd_stderr"] == pytest.approx(statistics.fmean(run["sscd_stderr"] for run in runs))
        assert point["sscd_search"] == pytest.approx(statistics.fmean(run["sscd_search"] for run in runs))
        assert point["sscd_num"] == sum(run["sscd_num"] for run in runs)
        if len(runs) == 1 or any(map(math.isnan, values)):
            assert math.isnan(point["sscd_spread"])
        else:
            assert point["sscd_spread"] == pytest.approx(statistics.stdev(values))
        every = [
            run for key, found in groups.items() if key[0] == point["method"] + str(point["lambd"]) for run in found
        ]
        assert point["trial_id"] == min(every, key=lambda run: run["repeat"])["trial_id"]
    assert not {"feasible", "violation", "configuration"} & set(points)


def test_the_error_of_a_mean_is_at_least_that_of_errors_in_common() -> None:
    """Runs that are measured on equal draws err alike: then the mean errs as each does, not less by sqrt(n)."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.1, 4000)
    means = np.mean([0.4 + shared, 0.6 + shared], axis=0)
    points = configurations(pd.DataFrame([report(0, 0, sscd=0.4), report(1, 1, sscd=0.6)]))
    assert points["sscd_stderr"].tolist() == [pytest.approx(means.std(), rel=0.05)]


def test_without_repeats_reports_are_handed_back_as_they_are() -> None:
    reports = pd.DataFrame([report(0, 0), report(1, 0), report(2, 0, lambd=0.1)])
    assert not is_repeated(reports)
    assert points_of(reports) is reports
    unnumbered = reports.drop(columns="repeat")
    assert points_of(unnumbered) is unnumbered
    assert is_repeated(pd.concat([reports, pd.DataFrame([report(3, 1)])]))


def test_a_configuration_is_a_method_and_its_parameters() -> None:
    rows = [report(0, 0), report(1, 0, lambd=0.1), report(2, 1), report(3, 1, lambd=0.1)]
    rows.append(report(4, 0, method="neggrad", lambd=math.nan))
    reports = pd.DataFrame(rows, index=[7, 3, 9, 1, 5])
    names = configuration_names(reports)
    assert names.to_dict() == {7: "00000", 3: "00001", 9: "00000", 1: "00001", 5: "00004"}
    points = configurations(reports)
    assert points[["trial_id", "num_repeats"]].values.tolist() == [["00000", 2], ["00001", 2], ["00004", 1]]


def test_a_trial_that_was_lost_and_run_again_counts_once() -> None:
    again = pd.DataFrame([report(0, 0), report(1, 1, sscd=0.7), report(2, 1, sscd=0.7, seed=101)])
    [point] = configurations(again).to_dict("records")
    assert (point["num_repeats"], point["sscd"]) == (2, pytest.approx(0.6))


def test_the_spread_between_runs_takes_the_place_of_that_over_forget_images() -> None:
    reports = pd.DataFrame([report(0, 0, sscd=0.2), report(1, 1, sscd=0.6)])
    reports.insert(11, "sscd_spread", 0.05)
    [point] = configurations(reports).to_dict("records")
    assert point["sscd_spread"] == pytest.approx(statistics.stdev([0.2, 0.6]))


class TestFailedRuns:
    REPORTS = pd.DataFrame([report(0, 0, 10), report(0, 0, 20), report(1, 1, 10), report(2, 0, 20, lambd=0.1)])

    def test_seeds_that_went_well_do_not_stand_for_one_that_failed(self) -> None:
        points = configurations(self.REPORTS, failed(1))
        assert points[["trial_id", "step", "num_repeats"]].values.tolist() == [["00000", 10, 2], ["00002", 20, 1]]

    def test_a_run_that_failed_before_it_reported_leaves_no_point(self) -> None:
        points = configurations(self.REPORTS, failed(5))
        assert points["trial_id"].tolist() == ["00002"]

    def test_a_run_that_was_cut_off_or_failed_elsewhere_takes_nothing_away(self) -> None:
        cut_off = failed(1).assign(state="STOPPED")
        for trials in (None, pd.DataFrame(), cut_off, failed(5, lambd=0.9)):
            assert len(configurations(self.REPORTS, trials)) == 3

    def test_a_setting_that_was_run_once_keeps_what_it_reported(self) -> None:
        assert len(configurations(self.REPORTS, failed(2, lambd=0.1))) == 3
