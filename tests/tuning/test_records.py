import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tuning.files import StudyFiles
from tuning.goals import Constraint
from tuning.record_tables import RecordsError, read_table
from tuning.records import Records, TrialState

PARAMETERS = ["lambd", "scaling_norm"]
METRICS = ["sscd", "fid"]


def make_records(root: Path, metrics: list[str] = METRICS) -> Records:
    constraints = [Constraint("fid", "<=", 1.2, relative=True)]
    return Records(
        StudyFiles(root), parameters=PARAMETERS, metrics=metrics, constraints=constraints, baseline={"fid": 10.0}
    )


def make_report(trial_id: str, step: int, fid: float = 11.0, **more: Any) -> dict[str, Any]:
    identity = {"trial_id": trial_id, "method": "siss", "step": step, "rung": 0, "repeat": 0, "seed": 3}
    values = {"sscd": 0.1 + 0.2, "sscd_stderr": 0.01, "sscd_num": 16, "fid": fid, "fid_stderr": 1.0, "fid_num": 64}
    return {**identity, "forget_image": "tshirt.png", "lambd": 0.5, "scaling_norm": 1 / 3, **values, **more}


def test_columns_are_those_of_the_design(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    records.add_report(make_report("00000", 10))
    records.start_trial("00000", {"method": "siss", "seed": 3, "lambd": 0.5})
    assert (tmp_path / "reports.csv").read_text().splitlines()[0] == (
        "trial_id,method,step,rung,repeat,seed,forget_image,lambd,scaling_norm,"
        "sscd,sscd_stderr,sscd_num,fid,fid_stderr,fid_num,feasible,violation,candidate"
    )
    assert (tmp_path / "trials.csv").read_text().splitlines() == [
        "trial_id,state,reason,method,lambd,scaling_norm,seed,seconds,mlflow_run_id",
        "00000,RUNNING,,siss,0.5,,3,,",
    ]


def test_verdicts_are_never_blank(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    records.add_report(make_report("00000", 10, fid=12.0))
    records.add_report(make_report("00000", 20, fid=18.0))
    records.add_report(make_report("00000", 30, fid=math.nan))
    unmeasured = make_report("00001", 10, candidate=False)
    del unmeasured["fid"]
    records.add_report(unmeasured)
    frame = records.reports_frame()
    assert frame["feasible"].tolist() == [True, False, False, False]
    assert frame["violation"].tolist() == [0.0, pytest.approx(0.5), math.inf, math.inf]
    assert frame["candidate"].tolist() == [True, True, True, False]
    assert frame["fid"].isna().tolist() == [False, False, True, True]


def test_the_first_report_of_a_step_stays(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    assert records.add_report(make_report("00000", 10, fid=11.0))
    assert not records.add_report(make_report("00000", 10, fid=99.0))
    again = make_records(tmp_path)
    assert not again.add_report(make_report("00000", 10, fid=99.0))
    assert again.reports_frame()["fid"].tolist() == [11.0]
    assert again.steps("00000") == [10]


def test_a_report_is_on_disk_when_it_is_acknowledged(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    for step in (10, 20, 30):
        records.add_report(make_report("00000", step))
        assert read_table(tmp_path / "reports.csv")["step"].max() == step


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    records.add_report(make_report("00042", 10))
    records.end_trial("00042", {"method": "siss"}, TrialState.COMPLETE, seconds=1.25)
    again = make_records(tmp_path)
    for frame, other in (
        (records.reports_frame(), again.reports_frame()),
        (records.trials_frame(), again.trials_frame()),
        (records.reports_frame(), read_table(tmp_path / "reports.csv")),
    ):
        pd.testing.assert_frame_equal(frame, other, check_exact=True)
    assert again.reports_frame().loc[0, ["trial_id", "sscd", "scaling_norm"]].tolist() == ["00042", 0.1 + 0.2, 1 / 3]
    assert again.trials_frame().loc[0, ["trial_id", "state", "reason", "seconds"]].tolist() == [
        "00042", "COMPLETE", "", 1.25,
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [-1, -30, -2])
def test_a_torn_last_row_is_dropped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: int) -> None:
    records = make_records(tmp_path)
    for step in (10, 20):
        records.add_report(make_report("00000", step))
    path = tmp_path / "reports.csv"
    path.write_bytes(path.read_bytes()[:kept])
    with caplog.at_level(logging.WARNING):
        again = make_records(tmp_path)
    assert "dropped the last row" in caplog.text
    assert again.steps("00000") == [10]
    again.add_report(make_report("00000", 20))
    assert read_table(path)["step"].tolist() == [10, 20]


def test_a_header_torn_at_the_first_write_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("trial_id,met")
    records = make_records(tmp_path)
    records.add_report(make_report("00000", 10))
    assert read_table(tmp_path / "reports.csv")["step"].tolist() == [10]


def test_a_damaged_row_in_the_middle_is_an_error(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    for step in (10, 20, 30):
        records.add_report(make_report("00000", step))
    path = tmp_path / "reports.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1], "00000,siss\n", lines[3]]))
    with pytest.raises(RecordsError, match="row 3 has 2"):
        make_records(tmp_path)


def test_other_columns_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    make_records(tmp_path).add_report(make_report("00000", 10))
    with pytest.raises(RecordsError, match="resume with the parameters and metrics"):
        make_records(tmp_path, ["sscd"])


def test_a_full_disk_leaves_no_part_of_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = make_records(tmp_path)
    records.add_report(make_report("00000", 10))
    before = (tmp_path / "reports.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            records.add_report(make_report("00000", 20))
    assert (tmp_path / "reports.csv").read_bytes() == before
    assert records.add_report(make_report("00000", 20))
    assert read_table(tmp_path / "reports.csv")["step"].tolist() == [10, 20]


def test_same_reports_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    reports = [make_report(f"{trial:05d}", step) for trial in (0, 1, 11) for step in (100, 20)]
    first, second = make_records(tmp_path / "a"), make_records(tmp_path / "b")
    for report in reports:
        first.add_report({**report, "training_seconds": 1.0})
    for report in reversed(reports):
        second.add_report({**report, "training_seconds": 2.0})
    first.finalize()
    second.finalize()
    content = (tmp_path / "a" / "reports.csv").read_bytes()
    assert content == (tmp_path / "b" / "reports.csv").read_bytes()
    assert read_table(tmp_path / "a" / "reports.csv")["step"].tolist() == [20, 100] * 3


def test_trials_that_never_reported_are_kept_with_their_reason(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    config = {"method": "siss", "seed": 3, "lambd": 0.5, "scaling_norm": 2.0, "trial_id": "00001"}
    records.end_trial("00001", config, TrialState.FAIL, "diverged", 0.5)
    records.start_trial("00000", {"method": "neggrad"})
    assert records.states == {"00000": TrialState.RUNNING, "00001": TrialState.FAIL}
    records.start_trial("00001", config)
    assert make_records(tmp_path).states["00001"] is TrialState.RUNNING
    assert records.trials_frame()["reason"].tolist() == ["", ""]
    records.finalize({"00000": "abc", "99999": "of another study"})
    frame = read_table(tmp_path / "trials.csv")
    assert frame["mlflow_run_id"].tolist() == ["abc", ""]
    assert frame["seconds"].tolist()[1] == 0.5


def states_on_disk(root: Path) -> dict[str, str]:
    frame = read_table(root / "trials.csv")
    assert frame["trial_id"].is_unique
    return dict(zip(frame["trial_id"], frame["state"], strict=True))


@pytest.mark.parametrize("always_whole", [500, 20])
def test_a_trial_is_on_disk_when_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_whole: int
) -> None:
    """Also where its row is appended below an outdated one, of which a reader hears nothing."""
    monkeypatch.setattr("tuning.records.ALWAYS_WHOLE", always_whole)
    records, known, outdated = make_records(tmp_path), {}, []
    for number in range(60):
        for name, state in ((f"{number:05d}", TrialState.RUNNING), (f"{number // 2:05d}", TrialState.COMPLETE)):
            if state is TrialState.RUNNING:
                records.start_trial(name, {"method": "siss"})
            else:
                records.end_trial(name, {}, state, seconds=float(number))
            known[name] = str(state)
            assert states_on_disk(tmp_path) == known
            rows = (tmp_path / "trials.csv").read_text().count("\n") - 1
            outdated.append(rows - len(known))
            assert records.num_trials == Counter(known.values())
    assert max(outdated) == (4 if always_whole == 20 else 0)
    again = make_records(tmp_path)
    assert again.states == records.states
    assert again.num_trials == records.num_trials
    pd.testing.assert_frame_equal(again.trials_frame(), records.trials_frame())
    records.finalize()
    assert (tmp_path / "trials.csv").read_text().count("\n") == 61


def test_an_empty_study_has_empty_typed_frames(tmp_path: Path) -> None:
    records = make_records(tmp_path)
    assert records.reports_frame().empty
    assert records.reports_frame()["feasible"].dtype == bool
    records.finalize()
    assert read_table(tmp_path / "reports.csv").empty
