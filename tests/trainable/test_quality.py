"""Reports on fewer images, and trials that end early, on the miniature workload."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from metrics import METRICS
from metrics.evidence import Evidence
from metrics.metric import Measurement
from metrics.sequential import Bound
from trainable.evaluation import evaluate, evaluate_in_blocks, evaluation_rows
from trainable.quality import BEYOND_REPAIR, COLLAPSED, QualityRule, Untouched, is_of_samples, variety
from trainable.trial import TrialRunner
from tuning.measuring import measure_untouched

NEGGRAD = {"trial_id": "00000", "method": "neggrad", "superfactor": 3.0, "seed": 1, "repeat": 0}
IMAGES = 64


@pytest.fixture(scope="module")
def fine(plan):
    """The plan with enough images to look at some of them."""
    return replace(plan, fidelity=replace(plan.fidelity, num_images=IMAGES))


@pytest.fixture(scope="module")
def untouched(fine):
    found = measure_untouched(fine, [16, 32])
    return Untouched(found.by_images, found.variety)


def test_the_untouched_model_is_solved_on_a_finer_grid_too(fine):
    """Where the search goes by the likelihood."""
    few = replace(fine, fidelity=replace(fine.fidelity, num_images=2))
    assert 0 < measure_untouched(replace(few, metrics=("nll",)), []).grid_error < 1
    assert measure_untouched(replace(few, metrics=("sscd",)), []).grid_error == 0


@pytest.fixture(scope="module")
def model(fine):
    """The untouched model and what it is measured against."""
    workload = fine.source.open_each()[0]
    return fine.source.load(workload, fine.source.settings.model), workload.subject(fine.prepared[0])


def at_most(value, **settings):
    return {"bounds": (Bound("fid", "<=", value),), **settings}


def measured_in_blocks(fine, model, rule, denoiser=None):
    rows = evaluation_rows(fine.fidelity)
    arguments = (fine.metrics, denoiser or model[0], model[1], fine.fidelity, fine.evaluation_seed, rows)
    return evaluate_in_blocks(*arguments, rule)


class TestEvidence:
    def test_goes_on_from_images_that_were_made(self, fine, model):
        few = Evidence(*model, replace(fine.fidelity, num_images=10), 1)
        assert few.sample_features.shape[0] == 10
        more = Evidence(*model, replace(fine.fidelity, num_images=24), 1, few)
        whole = Evidence(*model, replace(fine.fidelity, num_images=24), 1)
        rounding = {"rtol": 1e-4, "atol": 1e-4}  # images of other batches
        torch.testing.assert_close(more.samples, whole.samples, **rounding)
        torch.testing.assert_close(more.sample_features, whole.sample_features, **rounding)
        assert more.counts["samples"] == 14 * fine.fidelity.num_sampling_steps

    def test_looks_at_the_first_of_many_without_a_network_call(self, fine, model):
        many = Evidence(*model, replace(fine.fidelity, num_images=24), 1)
        assert len(many.samples) == 24
        first = Evidence(*model, replace(fine.fidelity, num_images=10), 1, many)
        assert torch.equal(first.samples, many.samples[:10])
        assert first.counts["samples"] == 0


class TestBlocks:
    def test_all_images_give_what_they_gave_before(self, fine, model, untouched):
        plain = evaluate(fine.metrics, *model, fine.fidelity, fine.evaluation_seed, evaluation_rows(fine.fidelity))[1]
        _, found = measured_in_blocks(fine, model, QualityRule(**at_most(1.0), untouched=untouched))
        assert found == plain

    def test_stop_where_the_bound_is_kept_for_certain(self, fine, model, untouched):
        """The untouched model's difference to itself is nothing, so that its first images say what all of them do."""
        whole = untouched.by_images[IMAGES]["fid"].value
        rule = QualityRule(**at_most(1.01 * whole, confidence=0.95), untouched=untouched)
        evidence, found = measured_in_blocks(fine, model, rule)
        assert found["fid"].num_samples == len(evidence.samples) == 16
        assert found["fid"].value == pytest.approx(whole)
        assert found["fid"].interval == pytest.approx((whole, whole))
        assert found["regeneration_rate"].num_samples == 16
        assert found["sscd"].num_samples == fine.fidelity.num_denoisings

    def test_stop_where_the_bound_is_broken_for_certain(self, fine, model, untouched):
        whole = untouched.by_images[IMAGES]["fid"].value
        rule = QualityRule(**at_most(0.99 * whole, confidence=0.95), untouched=untouched)
        _, found = measured_in_blocks(fine, model, rule)
        assert found["fid"].num_samples == 16
        assert found["fid"].value == pytest.approx(whole)

    def test_go_on_where_the_interval_holds_the_bound(self, fine, model, untouched):
        """Another model's images differ, by a little or a lot; a bound at the estimate itself stays open."""
        runner = TrialRunner(fine)
        runner.start(NEGGRAD)
        runner.unlearner.train_to(2)
        _, whole = measured_in_blocks(fine, model, QualityRule(**at_most(1.0), untouched=untouched), runner.denoiser)
        rule = QualityRule(**at_most(whole["fid"].value, confidence=0.95), untouched=untouched)
        _, found = measured_in_blocks(fine, model, rule, runner.denoiser)
        low, high = found["fid"].interval
        assert low < whole["fid"].value < high
        assert found["fid"].num_samples == IMAGES

    def test_go_on_where_the_samples_are_wanted(self, fine, model, untouched):
        rule = QualityRule(**at_most(math.inf, confidence=0.95), untouched=untouched, wants_samples=True)
        assert measured_in_blocks(fine, model, rule)[1]["fid"].num_samples == IMAGES

    def test_no_bound_on_images_needs_all_of_them(self, fine, model, untouched):
        rule = QualityRule((Bound("nll", "<=", 1e9),), untouched, confidence=0.95)
        assert rule.looks(IMAGES) == (IMAGES,)
        assert measured_in_blocks(fine, model, rule)[1]["fid"].num_samples == IMAGES


class TestLadder:
    def test_a_low_rung_measures_every_metric_with_a_part(self, fine, untouched):
        rule = QualityRule(**at_most(math.inf), untouched=untouched)
        runner = TrialRunner(replace(fine, ladder=(0.25, 1.0), rule=rule))
        runner.start(NEGGRAD)
        low, full = runner.advance(), runner.advance()
        assert (low["fid_num"], low["sscd_num"], low["nll_num"]) == (16, 2, 2)
        assert (full["fid_num"], full["sscd_num"], full["nll_num"]) == (IMAGES, 8, 2)
        assert low.keys() == full.keys()

    def test_a_part_of_the_draws_is_read_beside_the_untouched_model_on_the_same_draws(self, fine, model):
        """A trial that has learned nothing reads at a low rung what the untouched model reads in full."""
        plan = replace(fine, ladder=(0.25, 1.0))
        found = measure_untouched(plan, [16])
        untouched = Untouched(found.by_images, found.variety, found.offsets)
        assert set(found.offsets) == {0}
        [offset] = found.offsets[0]
        assert "sscd" in offset
        assert "fid" not in offset, "which is compared by its bootstrap"
        assert offset["sscd"] != 0.0
        rule = QualityRule(**at_most(math.inf), untouched=untouched)
        rows, low = evaluation_rows(plan.fidelity), plan.fidelity_at(0)
        part = evaluate_in_blocks(plan.metrics, *model, low, plan.evaluation_seed, rows, rule)[1]
        whole = evaluate(plan.metrics, *model, plan.fidelity, plan.evaluation_seed, rows)[1]
        read = rule.offset(part, 0, 0)
        for name in offset:
            assert read[name].value == pytest.approx(whole[name].value, abs=1e-5), name
            assert read[name].stderr == pytest.approx(part[name].stderr, nan_ok=True), name
        assert rule.offset(part, 1, 0) == part, "the last rung is measured in full"

    def test_a_report_at_a_low_rung_is_offset(self, fine):
        plan = replace(fine, ladder=(0.25, 1.0))
        found = measure_untouched(plan, [16])
        reports = []
        for offsets in ({}, found.offsets):
            rule = QualityRule(**at_most(math.inf), untouched=Untouched(found.by_images, found.variety, offsets))
            runner = TrialRunner(replace(plan, rule=rule))
            runner.start(NEGGRAD)
            reports.append([runner.advance(), runner.advance()])
        [[raw, last], [read, same]] = reports
        for name, offset in found.offsets[0][0].items():
            assert read[name] - raw[name] == pytest.approx(offset, abs=1e-6), name
        assert (same["sscd"], same["fid"], read["fid"]) == (last["sscd"], last["fid"], raw["fid"])


class TestEnding:
    @pytest.fixture
    def rule(self, untouched):
        return QualityRule(**at_most(2.0, max_violation=4.0), untouched=untouched)

    def test_quality_beyond_repair(self, rule):
        assert rule.reason_to_end({"fid": Measurement(10.0, 1.0, 8)}, None) == BEYOND_REPAIR
        assert rule.reason_to_end({"fid": Measurement(9.9, 1.0, 8)}, None) is None
        assert rule.reason_to_end({"fid": Measurement(math.nan, 1.0, 8)}, None) == BEYOND_REPAIR

    def test_samples_that_are_all_alike_or_not_finite_have_collapsed(self, rule):
        good, images = {"fid": Measurement(1.0, 1.0, 8)}, torch.rand(8, 1, 8, 8)
        assert rule.reason_to_end(good, images) is None
        assert rule.reason_to_end(good, images[:1].expand(8, -1, -1, -1) + 1e-4 * images) == COLLAPSED
        assert rule.reason_to_end(good, images / 0) == COLLAPSED
        assert math.isnan(variety(images * math.nan))

    def test_without_a_limit_no_quality_is_beyond_repair(self, untouched):
        rule = QualityRule(**at_most(2.0), untouched=untouched)
        for value in (1e9, math.inf, math.nan):
            assert rule.reason_to_end({"fid": Measurement(value, 1.0, 8)}, None) is None

    def test_a_single_image_has_not_collapsed(self, untouched):
        """Nor has a model whose untouched one was measured by a single image."""
        image = torch.rand(1, 1, 8, 8)
        assert variety(image) == 0.0
        rule = QualityRule((), replace(untouched, variety=0.0))
        assert rule.reason_to_end({}, image) is None
        assert rule.reason_to_end({}, image / 0) == COLLAPSED

    def test_a_trial_says_so_at_every_rung_but_the_last(self, fine, untouched):
        rule = QualityRule(**at_most(1e-9, max_violation=1.0), untouched=untouched)
        runner = TrialRunner(replace(fine, rule=rule))
        runner.start(NEGGRAD)
        assert runner.advance()["ending"] == BEYOND_REPAIR
        assert "ending" not in runner.advance()


def test_metrics_of_samples_are_told_from_others():
    assert all(map(is_of_samples, ("fid", "inception_score", "clip_iqa", "regeneration_rate", "copied_share")))
    assert variety(torch.arange(4.0).view(4, 1, 1, 1)) == pytest.approx(5 / 3)


def test_metrics_of_nothing_or_of_clean_images_are_none_of_samples(monkeypatch):
    for needs in ((), ("forget_descriptors",)):
        monkeypatch.setattr(METRICS["fid"], "needs", needs)
        assert not is_of_samples("fid")


def test_metrics_of_what_else_a_model_makes_are_none_of_samples():
    assert not any(map(is_of_samples, ("sscd", "nll", "membership_loss", "nll_neighbours", "sscd_neighbours")))
