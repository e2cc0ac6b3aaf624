"""Importances of hyper-parameters and axes of parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import make_reports

from analysis.importance import ALL_METHODS, MIN_REPORTS, importance, importance_figure
from analysis.load import load_study
from analysis.parallel import parallel_figure

StudyMaker = Callable[..., Path]


def one_method(num_trials: int) -> pd.DataFrame:
    """SSCD follows lambd, NLL the step, FID nothing; scaling_norm is five times its ratio."""
    rng = np.random.default_rng(2)
    reports = make_reports(num_trials).assign(method="siss")
    trials = reports["seed"].to_numpy()
    lambd, ratio = rng.uniform(0, 1, num_trials)[trials], rng.uniform(0.01, 1, num_trials)[trials]
    names = list(reports.columns)
    reports = reports.assign(lambd=lambd, sscd=lambd, nll=reports["step"] / 10.0, fid=16.0)
    reports["scaling_norm"], reports["scaling_norm_ratio"] = 5 * ratio, ratio
    place = names.index("sscd")
    return reports[[*names[:place], "scaling_norm", "scaling_norm_ratio", *names[place:]]]


def shares(table: pd.DataFrame, metric: str, method: str = "siss") -> dict[str, float]:
    return table.query("metric == @metric and method == @method").set_index("parameter")["importance"].to_dict()


class TestImportance:
    def test_what_explains_a_metric_is_found(self, make_study: StudyMaker) -> None:
        study = load_study(make_study(one_method(15), failed=False))
        table = importance(study)
        assert list(table.columns) == ["method", "metric", "parameter", "importance"]
        assert set(table["parameter"]) == {"lambd", "scaling_norm_ratio", "step"}, (
            "the product says what its ratio says"
        )
        assert shares(table, "sscd")["lambd"] > 0.9
        assert shares(table, "nll")["step"] > 0.9
        assert sum(shares(table, "sscd").values()) == pytest.approx(1)
        assert np.isnan(list(shares(table, "fid").values())).all(), "a constant has nothing to explain"
        assert ALL_METHODS not in set(table["method"]), "there is one method only"
        pd.testing.assert_frame_equal(table, importance(study))

    def test_the_method_itself_counts_over_all(self, make_study: StudyMaker) -> None:
        reports = make_reports(10)
        reports["sscd"] = reports["method"].map({name: n for n, name in enumerate(sorted(set(reports["method"])))})
        table = importance(load_study(make_study(reports)))
        assert shares(table, "sscd", ALL_METHODS)["method"] > 0.9
        # Two trials of a method are too few to say anything.
        assert np.isnan(list(shares(table, "sscd").values())).all()

    def test_few_nan_and_lone_parameters(self, make_study: StudyMaker) -> None:
        reports = one_method(MIN_REPORTS).query("step == 40").reset_index(drop=True)
        reports["scaling_norm_ratio"] = 0.5
        found = shares(importance(load_study(make_study(reports, failed=False))), "sscd")
        assert found["lambd"] == 1
        assert np.isnan(found["step"])
        assert np.isnan(found["scaling_norm_ratio"])
        reports.loc[0, "sscd"] = np.nan
        found = shares(importance(load_study(make_study(reports, failed=False))), "sscd")
        assert np.isnan(list(found.values())).all()

    def test_figure_of_what_is_known_and_of_nothing(self, make_study: StudyMaker) -> None:
        root = make_study(one_method(4), failed=False, finished=False)
        [shades] = importance_figure(load_study(root)).data
        assert {text for row in shades.text for text in row} > {"–"}
        (root / "reports.csv").unlink()
        assert len(importance_figure(load_study(root)).data) == 0


class TestParallel:
    def test_all_methods_then_each_with_its_parameters(self, make_study: StudyMaker) -> None:
        figure = parallel_figure(load_study(make_study()))
        views = {trace.name: trace for trace in figure.data}
        assert [axis.label for axis in views["all methods"].dimensions] == ["method", "step", "sscd", "nll", "fid"]
        assert [axis.label for axis in views["siss"].dimensions] == ["lambd", "step", "sscd", "nll", "fid"]
        assert [trace.visible for trace in figure.data] == [True] + [False] * 5
        assert [button.label for button in figure.layout.updatemenus[0].buttons] == list(views)

    def test_a_report_without_a_value_has_no_line(self, make_study: StudyMaker) -> None:
        reports = make_reports(5)
        reports.loc[0, "fid"] = np.nan
        views = {trace.name: trace for trace in parallel_figure(load_study(make_study(reports))).data}
        assert len(views["all methods"].dimensions[0]["values"]) == 19
        assert len(views["siss"].dimensions[0]["values"]) == 3

    def test_wide_axes_are_logarithmic(self, make_study: StudyMaker) -> None:
        reports = make_reports(10)
        reports["fid"] = np.geomspace(1, 1000, len(reports))
        [fid] = [axis for axis in parallel_figure(load_study(make_study(reports))).data[0].dimensions
                 if axis.label == "fid"]  # fmt: skip
        assert max(fid["values"]) == pytest.approx(3)
        assert fid.ticktext[-1] == "1000"

    def test_nothing_and_one_method(self, make_study: StudyMaker) -> None:
        root = make_study(one_method(1), failed=False, finished=False)
        figure = parallel_figure(load_study(root))
        assert [trace.name for trace in figure.data] == ["siss"]
        assert len(figure.layout.updatemenus) == 0
        (root / "reports.csv").unlink()
        assert len(parallel_figure(load_study(root)).data) == 0
