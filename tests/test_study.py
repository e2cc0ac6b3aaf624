"""Whole studies through the launch command, on the miniature workload: files, records, determinism, resume."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pandas as pd
import pytest
from diffusers import DDPMPipeline
from mlflow import MlflowClient
from PIL import Image, ImageOps

from analysis.front import pareto_front
from analysis.load import load_study
from analysis.samples import Pair, pairs
from analysis.trial_profile import profile_table
from trainable.testing import write_tiny_study
from tuning.events import read_events
from tuning.files import StudyFiles
from tuning.optuna_store import open_storage
from tuning.record_tables import read_table
from tuning.sole_driver import sole_driver
from tuning.study_status import study_status

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
    result = launch(study_file, storage, "--profile")
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


def test_every_report_and_member_is_shown_beside_the_untouched_model_from_equal_noise(finished):
    study = load_study(root(finished))
    of = pairs(study)
    for row in study.reports.itertuples():
        assert of[f"{row.trial_id}-{row.step}"] == Pair(
            "untouched_search-samples", f"{row.trial_id}-{row.step}-samples"
        )
    for row in study.front.itertuples():
        again = f"{row.trial_id}-{row.step}-final-samples"
        assert of[f"member:{row.trial_id}-{row.step}"] == Pair("untouched-samples", again)


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


def test_it_is_said_where_the_time_of_every_trial_went(finished):
    study = load_study(root(finished))
    table = profile_table(study).set_index("trial_id")
    assert list(table.index) == list(study.trials["trial_id"])
    assert (table[["training", "sampling", "nll", "sscd", "checkpoint", "tracking"]] > 0).all().all()
    inside = table.drop(columns=["method", "tracking", "idle"]).sum(axis=1)
    assert (inside <= 1.2 * study.trials.set_index("trial_id")["seconds"] + 0.1).all()
    client = MlflowClient(f"sqlite:///{finished[0]}/mlflow.db")
    for row in study.trials.itertuples():
        metrics = client.get_run(row.mlflow_run_id).data.metrics
        assert metrics["nll_seconds"] == pytest.approx(table.loc[row.trial_id, "nll"])
    assert "Where the time of trials went" in (root(finished) / "report.html").read_text(encoding="utf-8")


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
    card, *folders = sorted((each_twice / member).iterdir())
    assert [card.name, *(folder.name for folder in folders)] == ["README.md", "forget", "negative"]
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


@pytest.fixture(scope="module")
def resumed(study_file, tmp_path_factory):
    """A study of five trials whose driver was killed between two reports of a trial, and which was gone on with.

    How it stood was asked while it ran, and when it had been killed.
    """
    storage = tmp_path_factory.mktemp("killed")
    process = subprocess.Popen(
        command(study_file, storage, "--num-trials", "5"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=storage, start_new_session=True,
    )  # fmt: skip
    reports, stood = storage / "tiny" / "reports.csv", []
    deadline = time.monotonic() + 300
    while not (reports.exists() and len(reports.read_text().splitlines()) > 6):
        assert process.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
        if not stood and reports.exists():
            stood.append(study_status(storage / "tiny", detailed=True))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stood.append(study_status(storage / "tiny", detailed=True))
    kept = reports.read_text().splitlines()

    assert launch(study_file, storage, "--num-trials", "5").returncode == 2  # it exists: only --resume goes on
    result = launch(study_file, storage, "--num-trials", "5", "--resume")
    assert result.returncode == 0, result.stderr + result.stdout
    return storage, kept, stood


def test_how_a_study_stands_while_it_runs_when_it_was_killed_and_in_the_end(finished, resumed):
    running, killed = resumed[2]
    assert (running.state, running.stage, running.details.resume) == ("running", "trials", None)
    assert running.trials["RUNNING"] == 1
    assert (killed.state, killed.stage) == ("interrupted", "")
    assert killed.num_reports >= 6
    assert killed.details.resume.endswith(f"--name tiny --storage-path {resumed[0]} --resume")
    ended = study_status(root(finished), detailed=True)
    assert (ended.state, ended.num_ended, ended.num_reports) == ("finished", NUM_TRIALS, 2 * NUM_TRIALS)
    assert len(ended.details.front) == ended.num_members >= 1
    parts = ended.details.seconds
    assert parts.training > 0
    assert parts.evaluation > 0
    assert ended.details.versions["torch"]


def test_events_tell_of_every_launch_trial_and_report(finished, resumed):
    events = list(read_events(root(finished) / "events.jsonl"))
    assert (events[0].name, events[-1].name) == ("study_started", "finished")
    found = Counter((event.name, event.trial_id) for event in events if event.trial_id)
    names = [f"{number:05d}" for number in range(NUM_TRIALS)]
    wanted = {(name, trial): 1 for trial in names for name in ("trial_started", "trial_ended")}
    assert found == wanted | {("report", trial): 2 for trial in names}
    reports = [event.facts for event in events if event.name == "report"]
    assert all(facts["training_seconds"] > 0 and facts["peak_memory_gb"] > 0 for facts in reports)
    fronts = [event.facts["hypervolume"] for event in events if event.name == "front"]
    assert fronts == sorted(fronts)
    assert not (root(finished) / ".running.json").exists()
    events = list(read_events(resumed[0] / "tiny" / "events.jsonl"))
    assert [event.facts["resumed"] for event in events if event.name == "study_started"][:2] == [False, True]
    found = Counter((event.name, event.trial_id) for event in events)
    for name, times in (("trial_ended", 1), ("report", 2)):  # a kill may fall between a file and the log, never twice
        counts = [found[name, trial] for trial in names[:5]]
        assert max(counts) == times
        assert sum(counts) >= 5 * times - 1


def test_while_a_process_drives_a_study_a_second_is_refused_and_touches_nothing(finished, study_file):
    def state():
        return {path.name: path.stat().st_mtime_ns for path in root(finished).iterdir()}

    with sole_driver(StudyFiles(root(finished))):
        before = state()
        result = launch(study_file, finished[0], "--resume", "--num-trials", str(NUM_TRIALS + 1))
    assert result.returncode == 2
    assert "a study must be driven by one process at a time" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert state() == before


def test_same_seed_same_files_and_resume_after_kill_equals_uninterrupted(finished, resumed):
    """What was reported stays, and the rest follows: the first five trials of the study of seven."""
    storage, kept, _ = resumed
    reports = (storage / "tiny" / "reports.csv").read_text()
    assert set(kept[:-1]) <= set(reports.splitlines())
    whole = (root(finished) / "reports.csv").read_text()
    assert len(reports.splitlines()) == 1 + 5 * 2
    assert whole.startswith(reports)
    assert pd.read_csv(storage / "tiny" / "trials.csv", dtype=str)["trial_id"].is_unique


def test_a_finished_study_that_is_extended_is_the_larger_study(finished, resumed, study_file, tmp_path):
    study = resumed[0] / "tiny"
    before = {name: (study / name).read_bytes() for name in ("report.html", "trials.csv")}
    assert load_study(study).is_finished
    words = command(study_file, resumed[0], "--num-trials", str(NUM_TRIALS), "--resume")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=resumed[0])
    while not (study / "front_before.csv").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    is_finished = load_study(study).is_finished
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert not is_finished, "its front is not that of all that will have been searched"
    assert not (study / "front_before.csv").exists()
    for name in ("reports.csv", "front.csv"):
        assert (study / name).read_bytes() == (root(finished) / name).read_bytes(), name
    assert (study / "report.html").read_bytes() != before["report.html"]
    trials = read_table(study / "trials.csv")
    (tmp_path / "trials.csv").write_bytes(before["trials.csv"])
    pd.testing.assert_frame_equal(trials[:5], read_table(tmp_path / "trials.csv"), obj="trials that ended before")
    assert set(trials["state"]) == {"COMPLETE"}
    members = {Path(path).name for path in read_table(study / "front.csv")["checkpoint"]}
    assert {path.name for path in (study / "checkpoints").iterdir()} == members
    client = MlflowClient(f"sqlite:///{resumed[0]}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 1 + NUM_TRIALS
    assert load_study(study).config.num_trials == NUM_TRIALS


def test_a_study_begins_with_what_another_one_knows_and_says_what_its_time_holds(finished, study_file, tmp_path):
    flags = ("--name", "after", "--warm-start", str(root(finished)), "--num-trials", "1", "--constraint", "fid <= 9x")
    result = launch(study_file, tmp_path, *flags, "--time-budget", "1h")
    assert result.returncode == 0, result.stderr + result.stdout
    printed = " ".join(result.stdout.split())
    assert f"{NUM_TRIALS} trials known, none left out" in printed
    assert re.search(
        r"the time budget of 1 h 00 min holds about [1-9]\d+ trials, 1 at a time and about \d+ s each", printed
    )
    taken = json.loads((tmp_path / "after" / "warm_start.json").read_text())["studies"][0]
    assert len(taken["trials"]) == NUM_TRIALS
    first, study = taken["front"][0], load_study(tmp_path / "after")
    assert [report["method"] for _, report in study.reports.iterrows()] == [first["method"]] * 2
    for name in set(first) - {"method"}:
        assert study.reports[name].tolist() == [first[name]] * 2
    assert set(study.front["trial_id"]) == {"00000"}


def test_trials_that_are_not_among_the_best_are_stopped_early(study_file, tmp_path):
    flags = ("--scheduler", "pareto_halving", "--rungs", "1", "2", "4", "--num-trials", "5", "--name", "halved")
    measuring = ("--ladder", "0.5", "0.5", "1", "--bound-confidence", "0.95")
    result = launch(study_file, tmp_path, *flags, *measuring)
    assert result.returncode == 0, result.stderr + result.stdout
    study = load_study(tmp_path / "halved")
    reports, trials = study.reports, study.trials.set_index("trial_id")
    assert set(trials["state"]) == {"COMPLETE"}
    rungs = reports.groupby("trial_id")["rung"].max()
    early = {name: f"stopped at rung {rung}" for name, rung in rungs.items() if rung < 2}
    assert early, "of five trials at most two are the best of the first rung when they come"
    assert {name: reason for name, reason in trials["reason"].items() if reason} == early
    assert (reports.groupby("trial_id")["step"].apply(list) == [[1, 2, 4][: rung + 1] for rung in rungs]).all()
    whole = study.baseline.models["untouched_search"]["fid"].num_samples
    counts = reports.groupby("rung")["fid_num"].agg(["min", "max"])
    assert counts.loc[0, "max"] <= whole / 2
    assert counts.loc[2, "max"] <= whole
    assert (reports["fid_low"] <= reports["fid"]).all()
    assert (reports["fid"] <= reports["fid_high"]).all()
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
