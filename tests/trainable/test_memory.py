"""When memory runs out the same is computed in smaller parts, it is said, and with one row left the trial fails."""

import dataclasses
import logging
import weakref

import pytest
import torch

from benchmarks.steps import SETTINGS
from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from trainable.batch import ForgetRetainBatch
from trainable.failure import TrialFailure
from trainable.finetune import GradientBuffers, accumulate, composed_gradient, training_rows
from trainable.memory import RowLimit
from trainable.methods import METHODS
from trainable.trial import TrialRunner
from tuning.measuring import calibrate, measure_model

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}


def small_memory(network, rows):
    """Let calls of ``network`` with more than ``rows`` rows run out of memory; returns the sizes of all calls."""
    sizes = []

    def refuse(_, arguments):
        sizes.append(len(arguments[0]))
        if sizes[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    network.register_forward_pre_hook(refuse)
    return sizes


def batches(sizes=(8, 8)):
    generator = torch.Generator().manual_seed(4)
    made = []
    for size in sizes:
        retain, forget, noise = torch.randn(3, size, *IMAGE_SHAPE, generator=generator) / 3
        neighbours = torch.randn(size, 3, *IMAGE_SHAPE, generator=generator) / 3
        timesteps = torch.randint(1000, (size,), generator=generator)
        made.append(ForgetRetainBatch(retain, forget, noise, timesteps, neighbours=neighbours))
    return made


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rows", [4, 3, 1])
def test_parts_give_the_gradient_of_the_whole(name, rows):
    """Also what the method draws itself is the same: the batches bring neither mixture rows nor noise targets."""
    whole, method = tiny_denoiser(), METHODS[name](**SETTINGS[name])

    def gradient(denoiser):
        generator, schedule = torch.Generator().manual_seed(5), denoiser.schedule
        return composed_gradient(denoiser.network, method, batches(), schedule.alphas_cumprod, generator=generator)

    expected = gradient(whole)
    split = tiny_denoiser()
    sizes = small_memory(split.network, rows)
    found = gradient(split)
    assert max(sizes) > rows
    difference = torch.cat([(found[key] - expected[key]).flatten() for key in expected]).norm()
    assert float(difference) <= 1e-5 * float(torch.cat([value.flatten() for value in expected.values()]).norm())
    assert all(parameter.grad is None for parameter in split.network.parameters())


def test_a_batch_is_split_in_all_that_it_has():
    data = dataclasses.replace(batches((5,))[0], condition={"prompt": torch.arange(5)})
    parts = data.split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    for name in ("retain", "forget", "noise", "timesteps", "neighbours"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(data, name))
    assert torch.equal(torch.cat([part.condition["prompt"] for part in parts]), data.condition["prompt"])
    assert parts[0].from_forget is None
    assert data.split(5) == [data]


def test_the_limit_is_halved_until_the_work_fits_and_says_so(caplog):
    limit, tried = RowLimit(12, "training"), []

    def work(rows):
        tried.append(rows)
        if rows > 3:
            raise torch.OutOfMemoryError
        return "done"

    with caplog.at_level(logging.WARNING):
        assert limit.run(work) == "done"
    assert tried == [12, 6, 3]
    assert limit.run(work) == "done"
    assert tried == [12, 6, 3, 3]
    expected = [
        f"memory does not hold {given} rows in training; from here on {left} rows a network call"
        for given, left in ((12, 6), (6, 3))
    ]
    assert [record.message for record in caplog.records] == expected == limit.news()
    assert limit.news() == []


def test_what_the_failed_attempt_held_is_let_go_before_the_next():
    """On a GPU the next attempt would otherwise find the memory taken by the traceback of the last one."""
    limit, held = RowLimit(2, "training"), []

    def work(rows):
        assert all(reference() is None for reference in held)
        activation = torch.zeros(rows)
        held.append(weakref.ref(activation))
        if rows == 2:
            raise torch.OutOfMemoryError

    limit.run(work)
    assert len(held) == 2


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes"):
        RowLimit(2, "training").run(lambda rows: (_ for _ in ()).throw(RuntimeError("shapes")))


def test_accumulate_remembers_what_fits():
    denoiser, method = tiny_denoiser(), METHODS["siss_no_is"](scaling_norm=1.0)
    buffers, limit = GradientBuffers(list(denoiser.network.parameters())), training_rows(8)
    sizes = small_memory(denoiser.network, 4)
    accumulate(denoiser, method, batches(), buffers, limit=limit)
    assert limit.rows == 4
    first = len(sizes)
    accumulate(denoiser, method, batches(), buffers, limit=limit)
    assert set(sizes[first:]) == {4}


def small(plan, **training):
    fidelity = dataclasses.replace(plan.fidelity, num_images=8, batch_size=8)
    changed = dataclasses.replace(plan.training, **training)
    return dataclasses.replace(plan, training=changed, fidelity=fidelity, metrics=("sscd", "fid", "membership_loss"))


def reports(runner, config=SISS):
    runner.start(config)
    made = []
    while not runner.finished:
        made.append(runner.advance())
    return made


def test_a_trial_goes_on_in_smaller_parts_and_reports_the_same(plan):
    chosen = small(plan, accumulation=2)
    whole = reports(TrialRunner(chosen))
    assert {(r["micro_batch_size"], r["evaluation_batch_size"]) for r in whole} == {(8, 8)}
    assert [report["news"] for report in whole] == [[], []]

    runner = TrialRunner(chosen)
    small_memory(runner.denoiser.network, 2)
    split = reports(runner)
    assert {(r["micro_batch_size"], r["evaluation_batch_size"]) for r in split} == {(2, 2)}
    assert [len(report["news"]) for report in split] == [4, 0]  # 8 → 4 → 2, in training and in evaluation
    again = reports(runner, {**SISS, "trial_id": "00004"})
    assert [report["news"] for report in again] == [[], []]  # a later trial begins with what fits
    for found, expected in zip(split, whole, strict=True):
        assert found["step"] == expected["step"]
        for name in ("sscd", "fid", "membership_loss", "retain_gradient_norm", "forget_gradient_norm"):
            assert found[name] == pytest.approx(expected[name], rel=1e-3), name


def test_with_one_row_too_many_the_trial_fails_with_a_remedy_that_is_left(plan):
    runner = TrialRunner(small(plan))
    small_memory(runner.denoiser.network, 0)
    runner.start(SISS)
    with pytest.raises(TrialFailure, match=r"out of memory.*gradient_checkpointing") as failure:
        runner.advance()
    assert failure.value.reason == "out of memory"
    assert runner.training_rows.rows == 1


def test_baseline_and_calibration_go_on_too(plan, monkeypatch):
    chosen = small(plan)
    expected = calibrate(chosen, 3), measure_model(chosen, chosen.source.settings.model, chosen.fidelity, 7)
    load = type(chosen.source).load

    def loaded(source, workload, model):
        denoiser = load(source, workload, model)
        small_memory(denoiser.network, 3)
        return denoiser

    monkeypatch.setattr(type(chosen.source), "load", loaded)
    found = calibrate(chosen, 3), measure_model(chosen, chosen.source.settings.model, chosen.fidelity, 7)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for name, measurement in expected[1].items():
        assert found[1][name].value == pytest.approx(measurement.value, rel=1e-3), name
