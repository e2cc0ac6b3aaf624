from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchmetrics.image.inception import InceptionScore as TorchmetricsInceptionScore

from diffusion.rng import stream
from metrics.bootstrap import bootstrap_counts
from metrics.evidence import Evidence
from metrics.inception_score import InceptionScore, inception_score
from metrics.testing import TINY_FIDELITY, tiny_denoiser, tiny_evidence, tiny_subject


def _certain(labels: list[int]) -> torch.Tensor:
    return torch.where(nn.functional.one_hot(torch.tensor(labels), 10) == 1, 0.0, -torch.inf)


def test_uniform_classes_score_one() -> None:
    assert float(inception_score(torch.zeros(20, 10))) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "score"), [([0, 1, 2, 3], 4.0), ([3, 3, 3], 1.0), ([0, 0, 0, 1], 4 / 3**0.75)], ids=str
)
def test_certain_classes_score_the_exponential_of_their_entropy(labels: list[int], score: float) -> None:
    assert float(inception_score(_certain(labels))) == pytest.approx(score, rel=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_agrees_with_torchmetrics() -> None:
    logits = 3 * torch.randn(50, 10, generator=stream(0, "logits"))
    with torch.random.fork_rng():
        metric = TorchmetricsInceptionScore(feature=nn.Identity(), splits=1)
        metric.update(logits)
        expected, _ = metric.compute()

    assert float(inception_score(logits)) == pytest.approx(float(expected), rel=1e-5)


def test_weighted_images_are_repeated_images() -> None:
    logits = torch.randn(8, 10, generator=stream(0, "logits"))
    counts = bootstrap_counts(8, 4, stream(0, "counts"))

    repeated = torch.stack([inception_score(logits.repeat_interleave(row.long(), dim=0)) for row in counts])

    torch.testing.assert_close(inception_score(logits, counts), repeated, rtol=1e-12, atol=0)


def test_a_nan_logit_scores_nan() -> None:
    logits = torch.zeros(4, 10)
    logits[2, 3] = math.nan

    assert inception_score(logits).isnan()


def _evidence_of(samples: torch.Tensor) -> Evidence:
    evidence = tiny_evidence()
    evidence.__dict__["samples"] = samples  # what the cached property holds once the images were made
    return evidence


def test_regenerated_forget_images_are_left_out() -> None:
    forget = tiny_subject().forget
    others = -forget.sign().expand(5, 1, 8, 8)

    measured = InceptionScore().compute(_evidence_of(torch.cat([forget, others, forget])))

    assert measured.num_samples == 5
    assert measured.value == pytest.approx(1.0, abs=1e-6)
    assert measured.stderr == pytest.approx(0.0, abs=1e-9)


def test_nothing_but_regenerated_images_is_not_measured() -> None:
    measured = InceptionScore().compute(_evidence_of(tiny_subject().forget))

    assert math.isnan(measured.value)
    assert math.isnan(measured.stderr)
    assert measured.num_samples == 0


def test_a_workload_without_classifier_is_told_so() -> None:
    evidence = Evidence(tiny_denoiser(), replace(tiny_subject(), classifier=None), TINY_FIDELITY, seed=0)

    with pytest.raises(ValueError, match="leave inception_score out"):
        InceptionScore().compute(evidence)
