"""How trials went, step by step: trajectories and rungs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_study import UNTOUCHED, make_reports

from analysis.load import load_study
from analysis.rungs import rung_table, stopping_figure
from analysis.trajectories import trajectories, trajectories_figure

StudyMaker = Callable[..., Path]


class TestTrajectories:
    def test_every_trial_begins_at_the_untouched_model(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        table = trajectories(study)
        assert list(table.columns) == ["trial_id", "method", "step", "sscd", "nll", "fid", "feasible"]
        assert len(table) == 20 * 5
        for _, trial in table.groupby("trial_id"):
            assert list(trial["step"]) == [0, 10, 20, 30, 40]
            assert trial.iloc[0][["sscd", "nll", "fid"]].to_dict() == UNTOUCHED
        reports = table.query("step > 0").reset_index(drop=True)
        assert list(reports["sscd"]) == list(study.reports["sscd"])
        assert list(reports["feasible"]) == list(study.reports["feasible"])

    def test_lines_end_with_their_trial(self, make_study: StudyMaker) -> None:
        figure = trajectories_figure(load_study(make_study()))
        lines = {trace.name: trace for trace in figure.data}
        siss = lines["siss"]
        assert np.isnan(siss.x).sum() == 4, "a gap after each of the four trials"
        assert np.asarray(siss.x)[~np.isnan(siss.x)].size == 4 * 5
        assert list(siss.customdata[:6]) == ["untouched:00000", *(f"00000-{step}" for step in (10, 20, 30, 40)), ""]

    def test_without_reports_or_baseline(self, make_study: StudyMaker) -> None:
        root = make_study(finished=False)
        (root / "baseline.json").unlink()
        table = trajectories(load_study(root))
        assert table["step"].min() == 10
        assert not table["feasible"].any()
        (root / "reports.csv").unlink()
        study = load_study(root)
        assert trajectories(study).empty
        assert rung_table(study).empty
        trajectories_figure(study)
        stopping_figure(study)


class TestRungs:
    def test_counts_and_medians(self, make_study: StudyMaker) -> None:
        reports = make_reports(5)
        # Trial 0 was stopped at step 20, trial 4 failed after step 10.
        reports = reports.query("not (trial_id == '00000' and step > 20) and not (trial_id == '00004' and step > 10)")
        root = make_study(reports, failed=False)
        text = (root / "trials.csv").read_text().replace("00004,COMPLETE,", "00004,FAIL,diverged")
        (root / "trials.csv").write_text(text)
        study = load_study(root)
        table = rung_table(study).set_index("step")
        assert list(table["rung"]) == [0, 1, 2, 3]
        assert list(table["reports"]) == [5, 4, 3, 3]
        assert list(table["stopped"]) == [0, 1, 0, 0]
        assert list(table["failed"]) == [1, 0, 0, 0]
        at_20 = study.reports.query("step == 20")
        assert table.loc[20, "feasible"] == at_20["feasible"].sum()
        assert table.loc[20, "fid"] == at_20["fid"].median()

    def test_nan_counts_as_a_report_but_in_no_median(self, make_study: StudyMaker) -> None:
        reports = make_reports(2)
        reports.loc[reports["step"] == 10, "nll"] = np.nan
        reports.loc[reports["step"] == 20, "nll"] = [np.nan, 4.0]
        table = rung_table(load_study(make_study(reports, failed=False))).set_index("step")
        assert list(table["reports"]) == [2, 2, 2, 2]
        assert np.isnan(table.loc[10, "nll"])
        assert table.loc[20, "nll"] == 4.0

    def test_the_figure_has_a_panel_a_metric_and_the_share(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        figure = stopping_figure(study)
        assert len(figure.data) == 5 * 4
        shares = [trace for trace in figure.data if trace.name == "siss"][-1]
        siss = study.reports.query("method == 'siss'")
        assert list(shares.x) == [0, 10, 20, 30, 40]
        assert shares.y[-1] == pytest.approx(siss.query("step == 40")["feasible"].mean())
        dashes = {trace.line.dash for trace in figure.data}
        assert len(dashes) == 5, "lines of two methods differ by more than their colour"
