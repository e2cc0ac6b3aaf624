"""The benchmarks run in miniature; their figures mean nothing here, but their checks do."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from analysis.front import hypervolume, pareto_front
from analysis.load import StudyError
from benchmarks import likelihood, memory, postgresql, scale, steps, study, throughput, tracking
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.embedded import Embedded, draw_batch, one_thread
from benchmarks.postgresql import NoServerError
from benchmarks.simulation import Simulation
from benchmarks.synthetic import GOALS
from benchmarks.table import show
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from trainable.methods import METHODS
from trainable.methods.siss import SISS
from tuning.config import StudyConfig, to_yaml
from tuning.files import StudyFiles, write_csv_atomic
from tuning.optuna_store import open_study
from tuning.record_tables import read_table
from tuning.studyfile import read_mapping

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def embedded():
    images = torch.rand(9, *IMAGE_SHAPE, generator=stream(0, "benchmark test")) * 2 - 1
    return Embedded(tiny_denoiser(), images[:1], images[1:], "tiny")


def test_every_method_has_settings_and_a_row(embedded):
    assert steps.SETTINGS["siss"] == {"lambd": 0.5, "scaling_norm": 10.0}
    result = steps.run(batch_size=4, pairs=2, embedded=embedded)
    assert [row[0] for row in result.rows] == list(METHODS)
    assert all(len(row) == len(result.columns) for row in result.rows)


def test_steps_are_not_timed_when_siss_is_wrong(embedded, monkeypatch):
    plain = steps.plain_siss_gradient

    def off(*arguments):
        return {name: 1.001 * gradient for name, gradient in plain(*arguments).items()}

    monkeypatch.setattr(steps, "plain_siss_gradient", off)
    with pytest.raises(ArithmeticError, match="must equal"):
        steps.run(batch_size=4, pairs=1, embedded=embedded)


def test_benchmarks_leave_the_model_as_it_was(embedded):
    before = {name: value.clone() for name, value in embedded.denoiser.network.state_dict().items()}
    threads = torch.get_num_threads()
    with one_thread():
        error = steps.siss_error(embedded.denoiser, draw_batch(embedded, 4), SISS(lambd=0.5, scaling_norm=10.0))
    steps.run(batch_size=2, pairs=1, embedded=embedded)
    assert error < 1e-5
    assert all(torch.equal(before[name], value) for name, value in embedded.denoiser.network.state_dict().items())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("name", "expected"), [("siss_no_is", 20), ("naive_deletion", 16)])
def test_a_trial_holds_what_it_must_between_steps(name, expected):
    with one_thread():
        held = memory.held_bytes(memory.celeba_network(), name)
    assert memory.expected_bytes(name) == expected
    assert expected <= held <= 1.05 * expected


def test_a_fused_update_copies_no_parameters_and_gives_the_same():
    network = memory.celeba_network()
    with one_thread():
        assert memory.update_bytes(network, fused=True) < 0.1
        assert memory.update_bytes(network, foreach=True) == pytest.approx(4, rel=0.05)
    updated = []
    for fused in (True, False):
        weight = torch.linspace(-1, 1, 1000).requires_grad_()
        optimiser = torch.optim.AdamW([weight], lr=1e-3, weight_decay=1e-2, fused=fused)
        for step in range(5):
            weight.grad = torch.randn(1000, generator=stream(0, "update", step))
            optimiser.step()
        updated.append(weight.detach())
    torch.testing.assert_close(*updated, rtol=1e-6, atol=1e-7)


class GaussianNetwork(nn.Module):
    """The exact epsilon for data N(0, 1/4), sigma x_t / (gamma²/4 + sigma²); t may be fractional."""

    def __init__(self, alphas_cumprod):
        super().__init__()
        self.log_rho = nn.Parameter(((1 - alphas_cumprod) / alphas_cumprod).log() / 2)

    def forward(self, x, timesteps):
        low = timesteps.floor().long().clamp(max=len(self.log_rho) - 2)
        rho = torch.lerp(self.log_rho[low], self.log_rho[low + 1], timesteps.double() - low).exp().view(-1, 1, 1, 1)
        gamma = (1 + rho**2).rsqrt()
        return (rho * gamma * x / (gamma**2 / 4 + (rho * gamma) ** 2)).to(x.dtype)


def test_likelihood_on_the_grid_agrees_with_the_adaptive_solver(embedded):
    schedule = embedded.denoiser.schedule
    gaussian = replace(embedded, denoiser=Denoiser(GaussianNetwork(schedule.alphas_cumprod), schedule))
    result = likelihood.run((21, 69), tight=201, num_images=2, num_probes=1, tolerance=1e-5, embedded=gaussian)
    coarse, fine, adaptive = (float(row[2]) for row in result.rows)
    assert adaptive <= 0.001
    assert fine < 0.005
    assert coarse > 2 * fine


def entry(value, stderr):
    return {"value": value, "stderr": stderr, "num_samples": 64}


def write_study(storage, name, study_seconds):
    """A finished study of two trials, one of which made the front; the error of each difference is 0.05."""
    files = StudyFiles(storage / name)
    files.root.mkdir(parents=True)
    config = StudyConfig.model_validate({**read_mapping(ROOT / "studies" / "mnist_tshirt.yaml"), "name": name})
    files.study.write_text(to_yaml(config))
    untouched = {"sscd": entry(0.8, 0.03), "nll": entry(3.0, 0.03)}
    retrained = {"sscd": entry(0.2, 0.03), "nll": entry(4.0, 0.03)}
    files.baseline.write_text(json.dumps({"untouched": untouched, "retrained": retrained}))
    trials = [{"trial_id": f"{n:05d}", "state": "COMPLETE", "method": m} for n, m in enumerate(("siss", "neggrad"))]
    write_csv_atomic(files.trials, ["trial_id", "state", "method"], trials)
    reports = [{"trial_id": "00000", "step": step} for step in (10, 20)] + [{"trial_id": "00001", "step": 10}]
    verdict = {"feasible": True, "candidate": True}
    columns = ["trial_id", "step", *verdict]
    write_csv_atomic(files.reports, columns, [{**report, **verdict} for report in reports])
    measured = {"sscd": 0.5, "sscd_stderr": 0.04, "nll": 3.5, "nll_stderr": 0.04}
    member = {"trial_id": "00000", "step": 20, "method": "siss", **measured, **verdict}
    write_csv_atomic(files.front, list(member), [member])
    timing = {"study_seconds": study_seconds, "utilisation": 0.9, "slots": 2, "peak_memory_gb": 1.5}
    files.timing.write_text(json.dumps(timing))
    return files


def test_the_newest_study_is_read_off_its_files(tmp_path):
    os.utime(write_study(tmp_path, "older", 600.0).timing, (1, 1))
    write_study(tmp_path, "newer", 90.0)
    result = study.run(tmp_path)
    figures = {row[0]: row[1] for row in result.rows}
    assert result.title == "Study newer"
    assert figures["study minutes, start to front"] == "1.5"
    assert figures["trials completed / started"] == "2 / 2"
    assert figures["reports per completed trial, least / median"] == "1 / 2"
    assert figures["share of worker time inside trials"] == "0.90 of 2 slots"
    # (0.8 - 0.5) / 0.05 and (3.5 - 3.0) / 0.05; half of the way in both objectives is a quarter of the box.
    assert figures["best SISS-family member against untouched"] == (
        "00000-20 siss: sscd +6.0, nll +10.0 standard errors"
    )
    assert figures["hypervolume of the re-measured front"] == "0.250"


def test_without_a_study_the_remedy_is_given_and_the_status_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match="make tune"):
        study.newest(tmp_path)
    assert main(["--only", "study"]) == 1
    assert "make tune" in capsys.readouterr().out


def test_a_server_is_found_on_the_path_or_where_debian_has_its_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServerError, match=r"initdb and pg_ctl must be on the path or in .*; install PostgreSQL"):
        postgresql.own_server().__enter__()
    for version in ("9.6", "15", "17"):
        for name in ("initdb", "pg_ctl"):
            put_program(tmp_path / version / "bin" / name)
    assert postgresql.program("initdb") == str(tmp_path / "17" / "bin" / "initdb")
    put_program(tmp_path / "initdb")
    assert postgresql.program("initdb") == str(tmp_path / "initdb")


def put_program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)


def test_a_growing_study_is_timed_on_every_storage_that_there_is(tmp_path, monkeypatch, without_sync):
    def none():
        raise NoServerError("initdb cannot be found")

    monkeypatch.setattr(scale, "temporary_server", none)
    monkeypatch.delenv(scale.DATABASE_VARIABLE, raising=False)
    against, storages, simulation = scale.run((20, 40), 10, 3, stored=20, trials=60, workers=10)
    assert [row[0] for row in against.rows] == ["20", "40"]
    assert [row[0] for row in storages.rows] == ["journal file", "SQLite"]
    assert "PostgreSQL was skipped: initdb cannot be found" in storages.note
    assert [int(row[0]) for row in simulation.rows] == list(range(6, 61, 6))
    assert all(len(row) == len(result.columns) for result in (against, storages, simulation) for row in result.rows)


def test_a_simulated_study_is_a_whole_one(tmp_path, without_sync):
    files = StudyFiles(tmp_path / "study")
    parts = Simulation(files, 50, 8).run()
    trials, reports = read_table(files.trials), read_table(files.reports)
    assert sum(part.trials for part in parts) == len(trials) == 50
    assert set(trials["state"]) == {"COMPLETE"}
    assert trials["reason"].str.startswith("stopped at rung").any()
    front = pareto_front(reports, GOALS.objectives, GOALS.constraints, GOALS.baseline)
    worth = hypervolume(front, GOALS.objectives, GOALS.baseline, GOALS.ideal)
    assert parts[-1].hypervolume == pytest.approx(worth)
    assert 0 < worth < 1
    study = open_study(files.journal, "scale", GOALS.objectives)
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}


def test_a_name_must_be_a_benchmark():
    assert set(BENCHMARKS) == {
        "steps", "siss", "memory", "likelihood", "evaluation", "study", "scale", "tracking", "throughput", "resuming"
    }  # fmt: skip
    with pytest.raises(SystemExit):
        main(["--only", "speed"])


def test_a_result_is_printed_whole(embedded, capsys):
    show(steps.run(batch_size=2, pairs=1, embedded=embedded), Console(width=100))
    shown = capsys.readouterr().out
    assert all(name in shown for name in METHODS)


def test_what_mlflow_costs_is_measured_whatever_the_server_does(monkeypatch):
    monkeypatch.setattr(tracking, "SERVERS", {"dead": tracking.SERVERS["dead"]})
    [[name, during, end, share, wanted]] = tracking.run(pause=0.0, num_trials=2).rows
    assert (name, wanted) == ("dead", "≤ 5%")
    assert 0.0 < float(during) < 1.0
    assert float(share.removesuffix("%")) == pytest.approx((float(during) + float(end)) / 6.6, abs=0.01)


@pytest.fixture
def own_environment():
    """Variables that starting Ray sets are for this test alone."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.study
@pytest.mark.usefixtures("own_environment")
def test_trials_that_train_nothing_come_through_whole():
    """Four at a time, two turns: every report is taken, and those of the second turn are counted."""
    [result] = throughput.run(concurrent=(4,), period=0.2, turns=2)
    if not result.rows:
        pytest.skip(result.note)
    [row] = result.rows
    at_a_time, offered, taken, median, late, first, last, workers = map(float, row)
    assert (at_a_time, offered) == (4.0, 20.0)
    assert 0 < taken < 2 * offered
    assert 0 <= median <= late
    assert min(first, last) > 50
    assert workers > 0
