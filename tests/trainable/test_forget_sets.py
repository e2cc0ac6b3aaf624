"""Several forget images: together in one model, or one at a time, each in a model of its own."""

import dataclasses
import statistics

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from metrics import flatten
from metrics.metric import Measurement
from metrics.pooling import pooled
from trainable.plan import places
from trainable.trial import TrialRunner
from tuning.measuring import calibrate, measure_model, prepare

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}
METRICS = ("sscd", "nll", "fid")


@pytest.fixture(scope="module")
def images(plan, tmp_path_factory):
    """The memorised image and its negative."""
    memorised = plan.source.settings.forget[0]
    negative = tmp_path_factory.mktemp("images") / "negative.png"
    Image.fromarray(255 - np.asarray(Image.open(memorised))).save(negative)
    return memorised, str(negative)


def plan_of(plan, forget, folder, *, separately):
    settings = dataclasses.replace(plan.source.settings, forget=forget, forget_separately=separately)
    source = dataclasses.replace(plan.source, settings=settings)
    prepared, _ = prepare(source, ["siss"])
    return dataclasses.replace(
        plan, source=source, prepared=prepared, metrics=METRICS, candidates=folder / "weights", images=folder / "drawn"
    )


@pytest.fixture(scope="module")
def separate(plan, images, tmp_path_factory):
    return plan_of(plan, images, tmp_path_factory.mktemp("separate"), separately=True)


def run(plan):
    runner = TrialRunner(plan)
    runner.start(SISS)
    return [runner.advance() for _ in plan.training.rungs]


@pytest.fixture(scope="module")
def reports(separate):
    return run(separate)


def test_each_image_has_the_model_that_a_study_of_it_alone_gives(plan, images, separate, reports, tmp_path):
    step = reports[-1]["step"]
    together = places(separate.candidates / f"00003-{step}", separate.source.settings, ".safetensors")
    assert [path.name for path in together] == ["forget.safetensors", "negative.safetensors"]
    alone = []
    for image, path in zip(images, together, strict=True):
        one = plan_of(plan, (image,), tmp_path / path.stem, separately=True)
        alone.append(run(one))
        expected = load_file(one.candidates / f"00003-{step}.safetensors")
        assert all(torch.equal(expected[name], weights) for name, weights in load_file(path).items())
    for rung, report in enumerate(reports):
        for metric in METRICS:
            values = [reports_of_one[rung][metric] for reports_of_one in alone]
            assert report[metric] == pytest.approx(statistics.mean(values))
            assert report[f"{metric}_spread"] == pytest.approx(statistics.stdev(values))
        assert report["forget_image"] == "forget|negative"


def test_a_report_draws_a_part_of_every_model(separate, reports):
    for path in reports[0]["images"].values():
        assert Image.open(path).size[0] > 0
    assert {path.name for path in separate.images.iterdir()} == {
        f"00003-{step}-samples.png" for step in separate.training.rungs
    }


def test_resuming_equals_going_on(separate, reports, tmp_path):
    runner = TrialRunner(separate)
    runner.start(SISS)
    runner.advance()
    runner.save(tmp_path)
    other = TrialRunner(separate)
    other.start(SISS)
    other.load(tmp_path)
    resumed = other.advance()
    assert other.finished
    assert {name: resumed[name] for name in METRICS} == {name: reports[-1][name] for name in METRICS}


def test_a_runner_takes_the_next_trial(separate, reports):
    runner = TrialRunner(separate)
    runner.start({**SISS, "trial_id": "00004", "scaling_norm": 50.0})
    assert runner.advance()["nll"] != reports[0]["nll"]
    runner.start(SISS)
    assert runner.advance()["nll"] == reports[0]["nll"]


def test_a_candidate_measured_again_is_the_mean_over_its_models(separate, reports, tmp_path):
    step = reports[-1]["step"]
    measured = measure_model(
        separate,
        separate.source.settings.model,
        separate.fidelity,
        separate.evaluation_seed,
        weights=separate.candidates / f"00003-{step}",
        pipeline=tmp_path / "front",
    )
    for metric in METRICS:
        assert measured[metric].value == pytest.approx(reports[-1][metric])
    assert sorted(path.name for path in (tmp_path / "front").iterdir()) == ["forget", "negative"]
    assert (tmp_path / "front" / "forget" / "model_index.json").is_file()


def test_the_untouched_model_generates_once_for_all_images(separate, plan, images, tmp_path):
    arguments = (separate.source.settings.model, separate.fidelity, separate.evaluation_seed)
    measured = measure_model(separate, *arguments)
    singles = [
        measure_model(plan_of(plan, (image,), tmp_path / str(number), separately=False), *arguments)
        for number, image in enumerate(images)
    ]
    assert measured["fid"].value == pytest.approx(singles[0]["fid"].value)
    assert measured["nll"].value == pytest.approx(statistics.mean(single["nll"].value for single in singles))
    assert all(value > 0 for value in calibrate(separate, seed=3).values())


def test_images_together_make_one_model(plan, images, tmp_path):
    joint = plan_of(plan, images, tmp_path, separately=False)
    report = run(joint)[-1]
    assert report["forget_image"] == "forget+negative"
    assert "nll_spread" not in report
    assert (tmp_path / "weights" / f"00003-{report['step']}.safetensors").is_file()


def test_pooling_is_a_mean_with_its_error_and_spread():
    first = Measurement(1.0, 0.3, 10, replicates=(0.9, 1.1))
    second = Measurement(3.0, 0.4, 20, replicates=(2.7, 3.3))
    assert pooled([first]) is first
    both = pooled([first, second])
    assert (both.value, both.stderr, both.num_samples) == (2.0, pytest.approx(0.25), 30)
    assert both.replicates == pytest.approx((1.8, 2.2))
    assert both.spread == pytest.approx(2**0.5)
    assert flatten({"nll": both})["nll_spread"] == both.spread
    with pytest.raises(ValueError, match="at least one model"):
        pooled([])
