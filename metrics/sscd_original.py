"""SSCD under the original prompt: what was unlearned under a modified prompt must be gone under this one, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from metrics.metric import Direction, Measurement, Metric
from metrics.sscd import mean_similarity

if TYPE_CHECKING:
    from metrics.evidence import Evidence

#: Names of the prompts that a text-to-image model is judged under (arXiv 2503.01034).
MODIFIED, ORIGINAL = "modified", "original"


class OriginalPromptSimilarity(Metric):
    """Mean cosine between what the original prompt makes and the forget images; standard error over samples."""

    name: ClassVar[str] = "sscd_original"
    direction: ClassVar[Direction] = "minimize"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    needs_prompts: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("sample_descriptors", "forget_descriptors")
    cost: ClassVar[str] = "num_images × num_sampling_steps rows, shared by every metric of samples"

    def compute(self, evidence: Evidence) -> Measurement:
        """NaN if a sample is not finite.

        Raises:
            ValueError: if the model is not judged under an original prompt.
        """
        clean = evidence.forget_descriptors
        made = evidence.descriptors_of(ORIGINAL)
        return mean_similarity(made.expand(len(clean), *made.shape), clean)
