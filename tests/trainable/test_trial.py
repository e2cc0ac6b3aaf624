"""A trial on the miniature workload: it forgets, resumes bit for bit, and fails with a reason."""

import dataclasses

import pytest
import torch

from trainable.failure import TrialFailure
from trainable.trial import TrialRunner

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}
CLOCK = ("training_seconds", "evaluation_seconds", "profile", "peak_memory_gb")


@pytest.fixture(scope="module")
def runner(plan):
    return TrialRunner(plan)


def without_clock(report):
    return {key: value for key, value in report.items() if key not in CLOCK}


def run(runner, config):
    runner.start(config)
    reports = []
    while not runner.finished:
        reports.append(without_clock(runner.advance()))
    return reports


def weights(runner):
    return {name: value.clone() for name, value in runner.denoiser.network.state_dict().items()}


def test_a_report_carries_the_trial_and_every_metric_with_error_and_count(runner, plan):
    reports = run(runner, SISS)
    assert [(report["step"], report["rung"]) for report in reports] == [(2, 0), (4, 1)]
    for report in reports:
        assert report["trial_id"] == "00003"
        assert report["forget_image"] == "forget"
        for name in plan.metrics:
            assert torch.isfinite(torch.tensor([report[name], report[f"{name}_stderr"], report[f"{name}_num"]])).all()


def test_trials_do_not_see_each_other(runner):
    first = run(runner, SISS)
    run(runner, {"trial_id": "00004", "method": "neggrad", "superfactor": 3.0, "seed": 12, "repeat": 0})
    assert run(runner, SISS) == first


def test_resume_equals_uninterrupted(runner, plan, tmp_path):
    whole = run(runner, SISS)
    expected = weights(runner)
    runner.start(SISS)
    runner.advance()
    runner.save(tmp_path)

    other = TrialRunner(plan)
    other.start(SISS)
    other.load(tmp_path)
    assert without_clock(other.advance()) == whole[-1]
    assert all(torch.equal(expected[name], value) for name, value in weights(other).items())


def test_the_learning_rate_warms_up_by_step(plan):
    training = dataclasses.replace(plan.training, warmup_steps=4)
    warm = TrialRunner(dataclasses.replace(plan, training=training))
    warm.start(SISS)
    rates = []
    for _ in range(6):
        warm.unlearner.train_step()
        rates.append(warm.unlearner.tuner.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-4 * factor for factor in (0.25, 0.5, 0.75, 1, 1, 1)])


def test_a_damaged_checkpoint_is_refused(runner, tmp_path):
    runner.start(SISS)
    runner.save(tmp_path)
    path = tmp_path / "0" / "state.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(TrialFailure, match="corrupt checkpoint"):
        runner.load(tmp_path)
    path.unlink()
    with pytest.raises(TrialFailure, match="corrupt checkpoint"):
        runner.load(tmp_path)


def test_divergence_ends_the_trial_with_intact_weights(runner):
    runner.start(SISS)
    with torch.no_grad():
        next(iter(runner.denoiser.network.parameters())).fill_(torch.nan)
    before = weights(runner)
    with pytest.raises(TrialFailure, match="diverged"):
        runner.advance()
    assert all(torch.equal(before[n], v) or bool(v.isnan().any()) for n, v in weights(runner).items())


def test_steps_without_forget_gradient_end_the_trial(plan, monkeypatch):
    """With lambd = 0 and images far apart every weight of the forget term is exactly zero."""
    runner = TrialRunner(plan)
    [workload] = runner.workloads
    batch_of = workload.batch

    def low_noise(prepared, seed, step, index, size, **options):
        return dataclasses.replace(
            batch_of(prepared, seed, step, index, size, **options), timesteps=torch.zeros(size, dtype=torch.int64)
        )

    monkeypatch.setattr(workload, "batch", low_noise)
    runner.start({**SISS, "lambd": 0.0})
    runner.advance()
    assert runner.unlearner.degenerate_steps == 2
    with pytest.raises(TrialFailure, match="degenerate"):
        runner.advance()


def test_the_trial_forgets(runner, plan):
    """SISS moves the likelihood of the forget image away from the memorised one."""
    training = dataclasses.replace(plan.training, rungs=(12,), learning_rate=1e-3)
    strong = TrialRunner(dataclasses.replace(plan, training=training))
    [siss] = run(strong, SISS)
    [naive] = run(strong, {"trial_id": "00005", "method": "naive_deletion", "seed": 11, "repeat": 0})
    assert siss["nll"] > naive["nll"] + 3 * (siss["nll_stderr"] ** 2 + naive["nll_stderr"] ** 2) ** 0.5


@pytest.mark.parametrize(
    "method", [{"method": "bernoulli", "lambd": 0.5, "scaling_norm": 5.0}, {"method": "retrack", "lambd": 0.1}]
)
def test_methods_beyond_the_paper_train_and_report(plan, method):
    prepared = plan.source.open().prepare(num_nearest=10)
    assert prepared.nearest.shape == (1, 10)
    runner = TrialRunner(dataclasses.replace(plan, prepared=(prepared,), metrics=("sscd",)))
    runner.start({"trial_id": "00009", "seed": 3, "repeat": 0, **method})
    before = {name: value.clone() for name, value in runner.denoiser.network.state_dict().items()}
    assert -1 <= runner.advance()["sscd"] <= 1
    assert any(not torch.equal(value, before[name]) for name, value in runner.denoiser.network.state_dict().items())
