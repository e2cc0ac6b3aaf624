"""The networks that metrics look through, opened from the files that a study names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.encoder_files import features_of, labelled, open_encoders
from metrics.quality import ClipQuality
from trainable.workloads.workload import WorkloadSettings


@dataclass(frozen=True)
class Encoders:
    """Networks that metrics look through, and how reports name what stands in for a published one."""

    descriptor: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor] | None
    classifier: Callable[[Tensor], Tensor] | None
    labels: Mapping[str, str]
    quality: Callable[[Tensor], Tensor] | None = None


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
