"""Whole studies through the launch command, on the miniature workload: files, records, determinism, resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest
from diffusers import DDPMPipeline
from mlflow import MlflowClient
from PIL import Image, ImageOps

from analysis.front import pareto_front
from analysis.load import load_study
from trainable.testing import write_tiny_study
from tuning.optuna_store import open_storage
from tuning.records import read_table

ROOT = Path(__file__).resolve().parent.parent
NUM_TRIALS = 7
pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    return write_tiny_study(tmp_path_factory.mktemp("tiny"), num_trials=NUM_TRIALS, max_concurrent_trials=1)


def command(study_file, storage, *flags):
    return [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(study_file),
            "--storage-path", str(storage), *flags]  # fmt: skip


def launch(study_file, storage, *flags):
    return subprocess.run(
        command(study_file, storage, *flags), capture_output=True, text=True, timeout=600, cwd=storage
    )


@pytest.fixture(scope="module")
def finished(study_file, tmp_path_factory):
    storage = tmp_path_factory.mktemp("runs")
    result = launch(study_file, storage)
    assert result.returncode == 0, result.stderr + result.stdout
    return storage, result.stdout


def root(finished):
    return finished[0] / "tiny"


def test_every_trial_reports_at_every_rung(finished):
    reports, trials = read_table(root(finished) / "reports.csv"), read_table(root(finished) / "trials.csv")
    assert list(trials["trial_id"]) == [f"{number:05d}" for number in range(NUM_TRIALS)]
    assert set(trials["state"]) == {"COMPLETE"}
    assert set(trials["method"]) == {"siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad"}
    assert (trials["method"] == "naive_deletion").sum() == 1
    assert reports.groupby("trial_id")["step"].apply(list).tolist() == [[2, 4]] * NUM_TRIALS
    assert set(reports["feasible"]) <= {True, False}
    assert reports[["sscd", "nll", "fid", "sscd_stderr", "nll_num"]].notna().all().all()


def test_the_front_is_remeasured_feasible_and_loads_as_a_plain_pipeline(finished):
    study = load_study(root(finished))
    assert len(study.front) >= 1
    again = pareto_front(study.front, study.objectives, study.constraints, study.baseline.values("untouched"))
    assert len(again) == len(study.front)
    for _, member in study.front.iterrows():
        assert member["nll"] != member["nll_search"]
        assert member["nll_num"] == 4
        assert member["fid_ratio"] == pytest.approx(member["fid"] / study.untouched["fid"])
        assert member["fid_ratio_stderr"] > 0
        pipeline = DDPMPipeline.from_pretrained(root(finished) / member["checkpoint"])
        assert pipeline.unet.config.sample_size == 8
    checkpoints = {path.name for path in (root(finished) / "checkpoints").iterdir()}
    assert checkpoints == {Path(path).name for path in study.front["checkpoint"]}


def test_bounds_refer_to_the_untouched_model_measured_alike(finished):
    """Reports and front are judged by two measurements of the untouched model: FID depends on counts and seeds."""
    study = load_study(root(finished))
    searched, full = (study.baseline.values(name)["fid"] for name in ("untouched_search", "untouched"))
    assert searched != full
    assert ((study.reports["fid"] <= 1.05 * searched) == study.reports["feasible"]).all()
    excess = (study.reports["fid"] / (1.05 * searched) - 1).clip(lower=0)
    assert study.reports["violation"].tolist() == pytest.approx(excess.tolist())
    assert (study.front["fid"] <= 1.05 * full).all()
    assert not study.reports["feasible"].all(), "a study in which nothing is infeasible cannot tell"


def test_every_promised_file_is_there(finished):
    for name in ("study.yaml", "baseline.json", "report.html", "optuna.journal", "timing.json", "images/front.png"):
        assert (root(finished) / name).stat().st_size > 0, name
    baseline = json.loads((root(finished) / "baseline.json").read_text())
    assert baseline["retrained"]["nll"]["value"] > baseline["untouched"]["nll"]["value"]
    assert baseline["labels"]["fid"] == "FID (random features)"


def test_mlflow_has_one_study_run_and_one_child_a_trial(finished):
    client = MlflowClient(f"sqlite:///{finished[0]}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    children = [run for run in runs if "trial_id" in run.data.tags]
    [parent] = [run for run in runs if "trial_id" not in run.data.tags]
    assert sorted(run.data.tags["trial_id"] for run in children) == [f"{n:05d}" for n in range(NUM_TRIALS)]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = read_table(root(finished) / "trials.csv")
    assert set(trials["mlflow_run_id"]) == {run.info.run_id for run in children}
    for run in children:
        assert len(client.get_metric_history(run.info.run_id, "nll")) == 2
        assert {"feasible", "violation", "pareto_rank"} <= set(run.data.metrics)


def test_optuna_has_every_trial_complete_with_constraints(finished):
    study = optuna.load_study(study_name="tiny", storage=open_storage(str(root(finished) / "optuna.journal")))
    assert [trial.number for trial in study.trials] == list(range(NUM_TRIALS))
    assert {trial.state for trial in study.trials} == {optuna.trial.TrialState.COMPLETE}
    assert all("feasible" in trial.user_attrs for trial in study.trials)


@pytest.fixture(scope="module")
def each_twice(study_file, tmp_path_factory):
    """Two images, forgotten one at a time, by one setting with two seeds."""
    storage, forget = tmp_path_factory.mktemp("each"), study_file.parent / "forget.png"
    ImageOps.invert(Image.open(forget)).save(storage / "negative.png")
    flags = ("--forget", str(forget), str(storage / "negative.png"), "--forget-separately", "true", "--name", "each")
    flags += ("--num-trials", "2", "--repeats", "2", "--constraint", "fid <= 9x", "--objectives", "minimize sscd")
    result = launch(study_file, storage, *flags)
    assert result.returncode == 0, result.stderr + result.stdout
    return storage / "each"


def test_images_that_are_forgotten_one_at_a_time_make_one_row_a_configuration(each_twice):
    reports = read_table(each_twice / "reports.csv")
    assert set(reports["forget_image"]) == {"forget|negative"}
    assert (reports["sscd_spread"] > 0).all()
    assert reports["sscd_num"].tolist() == [16] * len(reports)
    [member, *_] = load_study(each_twice).front["checkpoint"]
    folders = sorted((each_twice / member).iterdir())
    assert [folder.name for folder in folders] == ["forget", "negative"]
    weights = [next(iter(DDPMPipeline.from_pretrained(folder).unet.parameters())) for folder in folders]
    assert not weights[0].equal(weights[1])


def test_a_good_setting_is_repeated_and_its_mean_is_re_measured(each_twice):
    study = load_study(each_twice)
    first, again = (study.reports[study.reports["repeat"] == repeat].reset_index() for repeat in (0, 1))
    assert first["lambd"].equals(again["lambd"])
    assert not set(first["seed"]) & set(again["seed"])
    [member] = study.front.to_dict("records")
    searched = study.reports.loc[study.reports["step"] == member["step"], "sscd"]
    assert member["num_repeats"] == 2
    assert member["sscd_search"] == pytest.approx(searched.mean())
    assert member["sscd_spread"] > 0
    # The better of two runs is taken home: half their distance, which is the spread by sqrt(2), below the mean.
    assert member["sscd_checkpoint"] == pytest.approx(member["sscd"] - member["sscd_spread"] / 2**0.5)
    assert [path.name for path in (each_twice / "checkpoints").iterdir()] == [f"{member['trial_id']}-{member['step']}"]
    assert "over the runs of a setting" in study.files.report.read_text()


def test_the_terminal_says_where_to_look(finished):
    out = finished[1]
    assert "mlflow ui --backend-store-uri" in out
    assert "report.html" in out
    assert "hypervolume" in out


def test_the_front_under_another_bound_from_files_alone(finished):
    words = [
        sys.executable,
        "-m",
        "analysis.front",
        "tiny",
        "--storage-path",
        str(finished[0]),
        "--constraint",
        "fid <= 9x",
    ]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "0000" in result.stdout


def test_same_seed_same_files_and_resume_after_kill_equals_uninterrupted(finished, study_file, tmp_path):
    """The driver is killed between two reports of a trial; what was reported stays, and the rest follows."""
    process = subprocess.Popen(
        command(study_file, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    reports = tmp_path / "tiny" / "reports.csv"
    deadline = time.monotonic() + 300
    while not (reports.exists() and len(reports.read_text().splitlines()) > 6):
        assert process.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = reports.read_text().splitlines()

    assert launch(study_file, tmp_path).returncode == 2  # it exists: only --resume goes on
    result = launch(study_file, tmp_path, "--resume")
    assert result.returncode == 0, result.stderr + result.stdout
    assert set(kept[:-1]) <= set(reports.read_text().splitlines())
    for name in ("reports.csv", "front.csv"):
        assert (tmp_path / "tiny" / name).read_text() == (root(finished) / name).read_text(), name
    assert pd.read_csv(tmp_path / "tiny" / "trials.csv", dtype=str)["trial_id"].is_unique


def test_trials_that_are_not_among_the_best_are_stopped_early(study_file, tmp_path):
    flags = ("--scheduler", "pareto_halving", "--rungs", "1", "2", "4", "--num-trials", "5", "--name", "halved")
    result = launch(study_file, tmp_path, *flags)
    assert result.returncode == 0, result.stderr + result.stdout
    study = load_study(tmp_path / "halved")
    reports, trials = study.reports, study.trials.set_index("trial_id")
    assert set(trials["state"]) == {"COMPLETE"}
    rungs = reports.groupby("trial_id")["rung"].max()
    early = {name: f"stopped at rung {rung}" for name, rung in rungs.items() if rung < 2}
    assert early, "of five trials at most two are the best of the first rung when they come"
    assert {name: reason for name, reason in trials["reason"].items() if reason} == early
    assert (reports.groupby("trial_id")["step"].apply(list) == [[1, 2, 4][: rung + 1] for rung in rungs]).all()
    for name, reason in early.items():
        assert f"trial {name} {reason}" in result.stdout
    told = optuna.load_study(
        study_name="halved", storage=open_storage(str(tmp_path / "halved" / "optuna.journal"))
    ).trials
    assert {trial.state for trial in told} == {optuna.trial.TrialState.COMPLETE}
    stopped = {f"{trial.number:05d}": trial.user_attrs.get("stopped_at_rung") for trial in told}
    assert {name: f"stopped at rung {rung}" for name, rung in stopped.items() if rung is not None} == early


def test_a_wrong_configuration_starts_nothing_and_names_every_error(study_file, tmp_path):
    result = launch(study_file, tmp_path, "--methods", "sis", "--constraint", "fid about 3", "--wrong-flag", "1")
    assert result.returncode == 2
    for part in ("sis", "fid about 3", "--wrong-flag"):
        assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert not any(tmp_path.iterdir())
