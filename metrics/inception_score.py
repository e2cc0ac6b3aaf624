"""Inception Score: generated images should be classifiable one by one and diverse together.

IS = exp(E_x KL(p(y|x) ‖ p(y))) (Salimans et al., arXiv 1606.03498). On Inception-v3's logits it is the published score;
with another classifier, as here a digit classifier for MNIST, its label says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from metrics.bootstrap import bootstrap_counts
from metrics.metric import Direction, Measurement, Metric
from metrics.regeneration_rate import regenerated

if TYPE_CHECKING:
    from metrics.evidence import Evidence

NUM_REPLICATES = 200


def inception_score(logits: Tensor, counts: Tensor | None = None) -> Tensor:
    """exp(H(mean p) − mean H(p)) with p = softmax(logits), which is exp of the mean KL divergence.

    Args:
        logits: (N, K), before the softmax.
        counts: (R, N) weights whose rows sum to N, one row a bootstrap replicate; None: every image once.

    Returns:
        (R,) float64, or () without counts; in [1, K]. NaN if a logit is NaN or there is no image.
    """
    log_p = logits.to("cpu", torch.float64).log_softmax(1)
    weights = log_p.new_ones(len(log_p)) if counts is None else counts
    p = log_p.exp()
    mean_entropy = weights @ _entropy(p, log_p) / len(log_p)
    marginal = weights @ p / len(log_p)
    return (_entropy(marginal, marginal.log()) - mean_entropy).exp()


class InceptionScore(Metric):
    """Inception Score of the generated images without the regenerated forget images; bootstrap over the images left.

    An untouched model's regenerated images are no sign of its quality: without them a model is not rewarded for having
    kept what it was to forget.
    """

    name: ClassVar[str] = "inception_score"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (1.0, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("samples", "sample_logits")
    cost: ClassVar[str] = "num_images × num_sampling_steps rows, shared by every metric of samples"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN with 0 samples if every image is a regenerated one."""
        kept = ~regenerated(evidence.samples, evidence.subject.forget)
        logits = evidence.sample_logits[kept]
        if not len(logits):
            return Measurement(math.nan, math.nan, 0)
        counts = bootstrap_counts(len(logits), NUM_REPLICATES, evidence.generator("bootstrap", self.name))
        stderr = inception_score(logits, counts).std() if len(logits) > 1 else math.nan
        # Rounding puts the score of images that are all alike a hair under 1.
        return Measurement(float(inception_score(logits).clamp_min(1.0)), float(stderr), len(logits))


def _entropy(p: Tensor, log_p: Tensor) -> Tensor:
    # 0 log 0 is 0: a certain classifier has log p = -inf.
    return -torch.where(p == 0, p, p * log_p).sum(-1)
