"""What notebooks show besides figures: the front as a table, methods' own fronts, and what stopping earlier costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import CONSTRAINTS, OBJECTIVES, RETRAINED, UNTOUCHED, make_repeated_reports, make_reports

from analysis.front import hypervolume, over_forgotten, pareto_front
from analysis.front_table import front_table, recommendation, stricter_bounds
from analysis.load import StudyError, load_study
from analysis.method_fronts import method_fronts, method_fronts_figure
from analysis.scene import compose, front_members
from analysis.stopping_cost import stopping_cost
from tuning.config import parse_constraint

StudyMaker = Callable[..., Path]


class TestFrontTable:
    def test_it_is_the_front(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        table, members = front_table(study), front_members(study)
        assert (
            table[["trial_id", "step", "nll"]].values.tolist() == members[["trial_id", "step", "nll"]].values.tolist()
        )
        assert list(np.flatnonzero(table["recommended"])) == [compose(study).choice.position]
        errors = dict.fromkeys(RETRAINED, 0.02)
        assert study.baseline.ideal_stderr == errors
        beyond = over_forgotten(members, OBJECTIVES, UNTOUCHED, RETRAINED, ideal_stderr=errors)
        assert table["over_forgotten"].tolist() == beyond.tolist()
        assert {"lambd", "fid", "fid_stderr"} <= set(table)
        assert recommendation(study).startswith("Knee of the front")

    def test_under_other_bounds(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        bounds = ["fid <= 1.1x", "nll >= 3.5"]
        table = front_table(study, bounds)
        expected = pareto_front(study.reports, OBJECTIVES, [parse_constraint(text) for text in bounds], UNTOUCHED)
        assert table.index.tolist() == expected.index.tolist()
        assert "fid <= 1.1x and nll >= 3.5" in recommendation(study, bounds)
        assert len(front_table(study, [])) == len(pareto_front(study.reports, OBJECTIVES, [], UNTOUCHED))
        with pytest.raises(ValueError, match="a constraint must read"):
            front_table(study, ["fid < 2"])
        with pytest.raises(StudyError, match="metric that the study measured"):
            front_table(study, ["kid <= 1"])

    def test_half_of_the_room(self, make_study: StudyMaker) -> None:
        constraints = ["fid <= 1.2x", "fid <= 20", "nll >= 3", "nll >= 4", "kid <= 2x", "sscd <= 0.9x"]
        study = load_study(make_study(finished=False, constraints=constraints))
        assert stricter_bounds(study) == [
            "fid <= 1.1x", "fid <= 18", "nll >= 3.15", "nll >= 4", "kid <= 2x", "sscd <= 0.9x",
        ]  # fmt: skip

    def test_while_nothing_is_there(self, make_study: StudyMaker) -> None:
        root = make_study(finished=False)
        (root / "reports.csv").unlink()
        study = load_study(root)
        assert front_table(study).empty
        assert "none is recommended" in recommendation(study)
        with pytest.raises(StudyError, match="wait for the first trial"):
            front_table(study, [])
        (root / "baseline.json").unlink()
        assert "not measured yet" in recommendation(load_study(root))

    def test_repeats(self, make_study: StudyMaker) -> None:
        study = load_study(make_study(make_repeated_reports(20, 3), repeats=3))
        assert front_table(study)["num_repeats"].tolist() == front_members(study)["num_repeats"].tolist()


class TestMethodFronts:
    def test_each_is_the_front_of_its_method(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        table = method_fronts(study)
        assert set(table["method"]) >= {"siss", "siss_no_is", "naive_deletion"}
        for method, part in table.groupby("method"):
            own = study.reports[study.reports["method"] == method]
            assert part.index.tolist() == pareto_front(own, OBJECTIVES, CONSTRAINTS, UNTOUCHED).index.tolist()
        figure = method_fronts_figure(study)
        assert [trace.name for trace in figure.data] == list(dict.fromkeys(table["method"]))
        assert list(figure.data[0].x) == table[table["method"] == "siss"]["sscd"].tolist()

    def test_nothing_feasible_or_measured(self, make_study: StudyMaker) -> None:
        root = make_study(make_reports(5).assign(fid=99.0), finished=False)
        assert method_fronts(load_study(root)).empty
        assert len(method_fronts_figure(load_study(root)).data) == 0
        (root / "baseline.json").unlink()
        assert method_fronts(load_study(root)).empty


class TestStoppingCost:
    def test_as_if_each_trial_had_been_stopped_there(self, make_study: StudyMaker) -> None:
        reports = make_reports(10)
        stopped = reports[~((reports["trial_id"] == "00003") & (reports["step"] > 20))]
        study = load_study(make_study(stopped))
        table = stopping_cost(study)
        assert table["step"].tolist() == [10, 20, 30, 40]
        assert table["reports"].tolist() == [10, 20, 29, 38]
        assert table["optimiser_steps"].tolist() == [100, 200, 290, 380]
        assert table["share_of_steps"].tolist() == pytest.approx([100 / 380, 200 / 380, 290 / 380, 1.0])
        for row in table.itertuples():
            front = pareto_front(
                study.reports[study.reports["step"] <= row.step], OBJECTIVES, CONSTRAINTS, UNTOUCHED
            )  # fmt: skip
            assert row.hypervolume == pytest.approx(hypervolume(front, OBJECTIVES, UNTOUCHED, RETRAINED))
        assert table["share_of_hypervolume"].iloc[-1] == 1.0
        assert table["share_of_hypervolume"].is_monotonic_increasing

    def test_what_is_not_known(self, make_study: StudyMaker) -> None:
        nowhere = stopping_cost(load_study(make_study(make_reports(5).assign(fid=99.0))))
        assert nowhere["hypervolume"].tolist() == [0.0] * 4
        assert nowhere["share_of_hypervolume"].isna().all()
        root = make_study(retrained=False)
        assert stopping_cost(load_study(root))["hypervolume"].isna().all()
        (root / "reports.csv").unlink()
        table = stopping_cost(load_study(root))
        assert table.empty
        assert isinstance(table, pd.DataFrame)
        assert "share_of_steps" in table
