"""The second measurement of the front: who is measured, by what is judged, what is left."""

import math
import statistics
from typing import ClassVar

import pandas as pd
import pytest

from metrics.metric import Measurement
from tuning.baseline import Measured
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.remeasure import compared_columns, confirmed_front

GOALS = Goals(
    (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    (Constraint("fid", "<=", 1.2, relative=True),),
    baseline={"sscd": 0.9, "nll": 3.0, "fid": 10.0},
    ideal={"sscd": 0.1, "nll": 6.0},
)
REFERENCE = {"sscd": 0.9, "nll": 3.0, "fid": 5.0}  # the untouched model, measured as the front is: bound 6

# (sscd, nll, fid) as the search measured them: two on the front, one behind each, one infeasible and better than all
SEARCHED = {"00000": (0.2, 4.0, 9.0), "00001": (0.4, 5.0, 9.0), "00002": (0.3, 3.9, 9.0), "00003": (0.5, 3.5, 9.0),
            "00004": (0.1, 6.0, 99.0)}  # fmt: skip


def table(values):
    columns = ["sscd", "nll", "fid"]
    frame = pd.DataFrame.from_dict(values, orient="index", columns=columns).rename_axis("trial_id").reset_index()
    return frame.assign(step=20, feasible=[fid <= 12 for fid in frame["fid"]], violation=0.0)


class Measure:
    """Answers with given values, and remembers who was asked for."""

    def __init__(self, values):
        self.values, self.asked = values, []

    def __call__(self, keys):
        self.asked.append([trial for trial, _ in keys])
        names = ("sscd", "nll", "fid")
        return [dict(zip(names, self.values[trial], strict=True)) | {"nll_num": 16} for trial, _ in keys]


def test_the_front_of_the_search_is_measured_and_judged_by_the_new_values():
    measure = Measure({"00000": (0.25, 4.2, 5.5), "00001": (0.45, 4.1, 5.5)})
    front = confirmed_front(table(SEARCHED), GOALS, REFERENCE, measure)
    assert measure.asked == [["00000", "00001"]]
    assert front["trial_id"].tolist() == ["00000"], "by the new values it dominates the other"
    [row] = front.to_dict("records")
    assert (row["sscd"], row["nll"], row["nll_num"]) == (0.25, 4.2, 16)
    assert (row["sscd_search"], row["nll_search"], row["fid_search"]) == (0.2, 4.0, 9.0)
    assert row["feasible"]
    assert row["violation"] == 0


def test_what_is_behind_by_noisy_values_may_be_ahead_by_better_ones():
    values = {"00000": (0.5, 4.0, 5.0), "00001": (0.4, 4.5, 5.0), "00002": (0.2, 5.0, 5.0), "00003": (0.6, 3.0, 5.0)}
    measure = Measure(values)
    front = confirmed_front(table(SEARCHED), GOALS, REFERENCE, measure, at_least=3)
    assert measure.asked == [["00000", "00001", "00002"]]
    assert front["trial_id"].tolist() == ["00002"]


def test_the_next_ranks_follow_until_one_stays_feasible():
    values = {"00000": (0.2, 4.0, 7.0), "00001": (0.4, 5.0, 6.1), "00002": (0.3, 4.0, 6.3), "00003": (0.5, 3.5, 5.9)}
    measure = Measure(values)
    front = confirmed_front(table(SEARCHED), GOALS, REFERENCE, measure)
    assert measure.asked == [["00000", "00001"], ["00002"], ["00003"]]
    assert front["trial_id"].tolist() == ["00003"]


@pytest.mark.parametrize("at_least", [1, 10])
def test_nothing_stays_feasible(at_least):
    measure = Measure(dict.fromkeys(SEARCHED, (0.1, 6.0, 7.0)))
    front = confirmed_front(table(SEARCHED), GOALS, REFERENCE, measure, at_least)
    assert front.empty
    asked = sorted(trial for batch in measure.asked for trial in batch)
    assert asked == ["00000", "00001", "00002", "00003"], "each once, the infeasible one never"
    assert {"sscd", "trial_id", "step"} <= set(front.columns)


def test_nothing_was_feasible():
    measure = Measure({})
    assert confirmed_front(table({"00004": SEARCHED["00004"]}), GOALS, REFERENCE, measure, at_least=4).empty
    assert measure.asked == []


def test_a_ratio_to_the_untouched_model_comes_with_its_paired_error():
    pairs = {"fid": Measurement(6.0, 1.0, 50, replicates=(5.0, 6.0, 7.5)), "nll": Measurement(4.0, 0.1, 16)}
    untouched = {"fid": Measured(5.0, 1.0, 50, (4.0, 5.0, 6.0)), "nll": Measured(3.0, 0.1, 16)}
    values = compared_columns(pairs, untouched)
    assert values["fid_ratio"] == pytest.approx(1.2)
    assert values["fid_ratio_stderr"] == pytest.approx(statistics.stdev([1.25, 1.2, 1.25]))
    assert {"nll", "nll_stderr", "nll_num", "fid_num"} <= set(values)
    assert "nll_ratio" not in values


class TestRepeats:
    """Two settings, of three runs and one, and a third that is infeasible by its mean."""

    RUNS = (
        ("00000", 0.1, 0, 0.20, 4.0, 9.0), ("00001", 0.2, 0, 0.4, 5.0, 9.0), ("00002", 0.1, 1, 0.30, 4.2, 9.0),
        ("00003", 0.3, 0, 0.1, 6.0, 9.0), ("00004", 0.3, 1, 0.1, 6.0, 99.0), ("00005", 0.1, 2, 0.25, 4.4, 9.0),
    )  # fmt: skip
    MEASURED: ClassVar = {
        "00000": (0.20, 4.1, 5.0), "00002": (0.36, 4.5, 6.5), "00005": (0.34, 4.7, 5.0), "00001": (0.5, 4.8, 5.5)
    }  # fmt: skip

    def reports(self):
        columns = ["trial_id", "lambd", "repeat", "sscd", "nll", "fid"]
        frame = pd.DataFrame(self.RUNS, columns=columns).assign(method="siss", step=20, rung=1, forget_image="a")
        frame["seed"] = frame.index + 50
        frame = frame.assign(**{f"{name}_stderr": 0.1 for name in ("sscd", "nll", "fid")})
        order = ["trial_id", "method", "step", "rung", "repeat", "seed", "forget_image", "lambd"]
        frame = frame[order + [name for name in frame if name not in order]]
        return frame.assign(feasible=frame["fid"] <= 12, violation=0.0)

    def confirm(self, measured, **more):
        measure = Measure({**self.MEASURED, **measured})
        return measure, confirmed_front(self.reports(), GOALS, REFERENCE, measure, **more)

    def test_every_run_is_measured_again_and_means_decide(self):
        measure, front = self.confirm({})
        assert measure.asked == [["00000", "00001", "00002", "00005"]]
        member, other = front.to_dict("records")
        assert member["num_repeats"] == 3
        assert member["sscd"] == pytest.approx(0.3)
        assert member["nll"] == pytest.approx(13.3 / 3)
        assert member["sscd_spread"] == pytest.approx(statistics.stdev([0.20, 0.36, 0.34]))
        assert member["sscd_search"] == pytest.approx(0.25)
        assert member["nll_num"] == 48
        assert (member["feasible"], member["violation"]) == (True, 0.0), "the mean, though one run breaks the bound"
        assert (other["num_repeats"], other["sscd"], other["trial_id"]) == (1, 0.5, "00001")
        assert math.isnan(other["sscd_spread"])

    def test_the_model_of_the_best_run_that_keeps_the_bounds_is_taken_home(self):
        _, front = self.confirm({})
        volumes = {name: (0.9 - v[0]) / 0.8 * (v[1] - 3) / 3 for name, v in self.MEASURED.items()}
        assert volumes["00005"] > volumes["00000"]
        member = front.iloc[0]
        assert (member["trial_id"], member["repeat"], member["seed"]) == ("00005", 2, 55)
        assert member[["sscd_checkpoint", "nll_checkpoint", "fid_checkpoint"]].tolist() == [0.34, 4.7, 5.0]
        _, front = self.confirm({"00005": (0.34, 4.7, 6.2)})  # beyond the bound of 6
        assert front.iloc[0]["trial_id"] == "00000"

    def test_a_mean_that_breaks_the_bound_is_no_member(self):
        _, front = self.confirm({"00002": (0.36, 4.5, 9.0)})
        assert front["trial_id"].tolist() == ["00001"]

    def test_a_setting_that_diverged_with_another_seed_is_no_candidate(self):
        failed = pd.DataFrame([{"trial_id": "00009", "state": "FAIL", "method": "siss", "lambd": 0.1}])
        measure, front = self.confirm({}, trials=failed)
        assert measure.asked == [["00001"]]
        assert front["trial_id"].tolist() == ["00001"]

    def test_a_setting_counts_once_among_those_to_measure(self):
        measure, _ = self.confirm({}, at_least=2)
        assert measure.asked == [["00000", "00001", "00002", "00005"]]

    def test_nothing_stays_feasible(self):
        _, front = self.confirm(dict.fromkeys(self.MEASURED, (0.1, 6.0, 7.0)))
        assert front.empty
        assert {"trial_id", "step", "sscd", "num_repeats"} <= set(front.columns)

    def test_without_repeats_no_column_is_added(self):
        reports = self.reports().query("repeat == 0")
        front = confirmed_front(reports, GOALS, REFERENCE, Measure({name: (0.2, 5.0, 5.0) for name, *_ in self.RUNS}))
        assert not [name for name in front if name.endswith(("_spread", "_checkpoint")) or name == "num_repeats"]
