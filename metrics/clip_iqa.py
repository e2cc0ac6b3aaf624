"""CLIP-IQA: are generated images still good photos?

Mean probability that CLIP prefers "Good photo." to "Bad photo." (Wang et al., arXiv 2207.12396), the measure of quality
for text-to-image models in *Data Unlearning in Diffusion Models* (arXiv 2503.01034).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from metrics.bootstrap import bootstrap_counts
from metrics.metric import Direction, Measurement, Metric

if TYPE_CHECKING:
    from metrics.evidence import Evidence

NUM_REPLICATES = 100


class ClipImageQuality(Metric):
    """Mean CLIP-IQA of the generated images; standard error over images.

    Not to be confused with the agreement of image and prompt (CLIP score), nor with closeness to real images (FID): a
    model that draws one good photo for every prompt scores best. Values of different CLIP models do not compare.
    """

    name: ClassVar[str] = "clip_iqa"
    direction: ClassVar[Direction] = "maximize"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[tuple[str, ...]] = ("sample_quality",)
    cost: ClassVar[str] = "num_images × num_sampling_steps rows, shared by every metric of samples"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a sample is not finite; a NaN standard error for a single image."""
        quality = evidence.sample_quality.double()
        count, value = len(quality), float(quality.mean())
        if math.isnan(value) or count < 2:
            return Measurement(value, math.nan, count)
        counts = bootstrap_counts(count, NUM_REPLICATES, evidence.generator("bootstrap", self.name))
        replicates = tuple((counts @ quality / count).tolist())
        return Measurement(value, float(quality.std()) / math.sqrt(count), count, replicates=replicates)
