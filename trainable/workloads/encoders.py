"""The networks that metrics look through, opened from the files that a study names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from metrics.encoder_files import features_of, labelled, open_encoders
from metrics.quality import ClipQuality
from metrics.subject import ImageFunction
from trainable.workloads.workload import WorkloadSettings


@dataclass(frozen=True)
class Encoders:
    """Networks that metrics look through, and how reports name what stands in for a published one.

    Each takes images (B, C, H, W) in [-1, 1], float32, on the workload's device.

    Attributes:
        descriptor: (B, D) unit vectors, whose cosine is SSCD.
        features: (B, F) for the Fréchet distance; None: no ``fid``.
        classifier: (B, K) logits for the Inception Score; None: no ``inception_score``.
        labels: metric → how reports call it, where its network is not the published one.
        quality: (B,) probabilities in [0, 1] of being a good picture; None: no ``clip_iqa``.
    """

    descriptor: ImageFunction
    features: ImageFunction | None
    classifier: ImageFunction | None
    labels: Mapping[str, str]
    quality: ImageFunction | None = None


def open_all(settings: WorkloadSettings, device: torch.device) -> Encoders:
    """The encoders that the settings name, on the device.

    Raises:
        ValueError: there is no descriptor, without which nothing says whether an image is a copy.
    """
    if not settings.descriptor:
        raise ValueError(
            "this workload needs an encoder file for 'descriptor', but got none; give descriptor in the study"
        )
    locations = {name: getattr(settings, name) for name in ("descriptor", "features", "classifier")}
    opened = open_encoders(locations, device)
    quality = ClipQuality(settings.clip, device) if settings.clip else None
    descriptor, features, classifier = opened["descriptor"], opened.get("features"), opened.get("classifier")
    labels = {
        "sscd": labelled("SSCD", descriptor),
        "sscd_neighbours": labelled("SSCD of neighbours", descriptor),
        "sscd_original": labelled("SSCD under the original prompt", descriptor),
    }
    if features is not None:
        labels["fid"] = labelled("FID", features)
    if classifier is not None:
        labels["inception_score"] = labelled("Inception Score", classifier)
    if quality is not None:
        labels["clip_iqa"] = labelled("CLIP-IQA", quality)
    return Encoders(descriptor, None if features is None else features_of(features), classifier, labels, quality)
