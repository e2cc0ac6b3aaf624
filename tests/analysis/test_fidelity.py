"""The command that says how few network calls would do, on a real study of the miniature."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.agreement import DENOISING, LIKELIHOOD, SAMPLING, SETTINGS
from analysis.fidelity import main
from analysis.fidelity_measuring import COLUMNS, FidelityMeasuring
from analysis.load import StudyError, load_study
from analysis.progress import Quiet
from tuning.files import StudyFiles

pytestmark = pytest.mark.filterwarnings("ignore")
#: Calls that the settings try, and their references.
TRIED = {
    "num_sampling_steps": [4, 5, 7, 10, 14, 20, 40],
    "num_denoising_steps": [4, 6, 8, 12, 16, 40],
    "num_likelihood_evaluations": [16, 24, 32, 40, 60, 160],
}


@pytest.fixture(scope="module")
def study(real_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(real_study, tmp_path_factory.mktemp("fidelity") / real_study.name))


def run(study: Path, *words: str) -> int:
    return main([study.name, "--storage-path", str(study.parent), "--images", "8", "--width", "120", *words])


def test_models_are_measured_printed_kept_and_not_measured_again(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(study) == 0
    printed, progress = capsys.readouterr()
    assert "measure model 2 of 2" in progress
    assert "% done" in progress
    for name in TRIED:
        assert f"{name}: " in printed
    assert "of fewer than 30, a high one may be chance" in printed
    table = pd.read_csv(StudyFiles(study).fidelity, dtype={"trial_id": str})
    assert list(table.columns) == list(COLUMNS)
    assert set(table["trial_id"]) == {"00000", "00001"}
    assert set(table["step"]) == {24}, "the last report of each trial"
    for name, of_setting in table.groupby("setting"):
        assert set(TRIED[str(name)]) <= set(of_setting["value"])
    by_steps = table[table["metric"] == "fid"].groupby("value")["network_rows"].first()
    assert (by_steps == 8 * by_steps.index).all()

    monkeypatch.setattr("analysis.fidelity_measuring.evaluate", None)  # would fail if it were called
    assert run(study, "--quiet") == 0
    assert capsys.readouterr() == (printed, "")


def test_what_is_missing_is_measured_and_comes_to_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(study, "--quiet")
    file = StudyFiles(study).fidelity
    before, printed = pd.read_csv(file, dtype=str), capsys.readouterr().out
    before[(before["trial_id"] != "00001") | (before["metric"] != "fid")].to_csv(file, index=False)
    assert run(study, "--quiet") == 0
    assert capsys.readouterr().out == printed
    key = ["trial_id", "setting", "value", "metric"]
    after = pd.read_csv(file, dtype=str)
    assert after.sort_values(key, ignore_index=True).equals(before.sort_values(key, ignore_index=True))


def test_weights_that_are_gone_and_a_foreign_table_are_said(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(study, study.parent / "other"))
    StudyFiles(other).fidelity.write_text("a,b\n1,2\n")
    assert run(other, "--quiet") == 2
    assert "delete it to measure anew" in capsys.readouterr().err
    StudyFiles(other).fidelity.unlink()
    shutil.rmtree(StudyFiles(other).candidates)
    assert run(other, "--quiet") == 2
    error = capsys.readouterr().err
    assert "must be in candidates or checkpoints" in error
    assert "Traceback" not in error


def test_there_must_be_a_study_with_two_trials(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--storage-path", str(study.parent)]) == 2
    assert "error: " in capsys.readouterr().err
    lone = Path(shutil.copytree(study, study.parent / "lone"))
    files = StudyFiles(lone)
    reports = pd.read_csv(files.reports, dtype=str)
    reports[reports["trial_id"] == "00000"].to_csv(files.reports, index=False)
    assert run(lone, "--quiet") == 2
    assert "at least two trials" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(study, "--images", "1")
    assert "at least 2, but got '1'" in capsys.readouterr().err


def test_a_study_without_reports_is_told_to_wait(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = Path(shutil.copytree(study, study.parent / "begun"))
    for file in (StudyFiles(begun).reports, StudyFiles(begun).front):
        file.unlink()
    assert run(begun, "--quiet") == 2
    assert "at least two trials, but begun has 0; wait for more reports" in " ".join(capsys.readouterr().err.split())


def test_under_prompts_what_is_restored_is_what_was_sampled_and_neighbours_are_not(real_study: Path) -> None:
    measuring = FidelityMeasuring(load_study(real_study), None, 8, Quiet())
    names = ("sscd", "sscd_neighbours", "fid", "nll")
    measuring._goals = names
    by_setting = {setting.name: measuring._metrics(setting) for setting in SETTINGS}
    assert by_setting[DENOISING.name] == ("sscd", "sscd_neighbours")
    measuring._subjects = [SimpleNamespace(space=SimpleNamespace(prompts={"a photo": None}))]
    by_setting = {setting.name: measuring._metrics(setting) for setting in SETTINGS}
    assert by_setting[SAMPLING.name] == ("sscd", "fid")
    assert by_setting[DENOISING.name] == ("sscd_neighbours",)
    assert by_setting[LIKELIHOOD.name] == ("nll",)


def test_goals_that_no_setting_changes_leave_nothing_to_compare(real_study: Path, tmp_path: Path) -> None:
    measuring = FidelityMeasuring(load_study(real_study), None, 8, Quiet())
    measuring._goals = ("membership_loss",)
    with pytest.raises(StudyError, match="membership_loss depend on none"):
        measuring.run(tmp_path / "fidelity.csv")
