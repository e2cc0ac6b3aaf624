"""An unconditional workload looks through the published networks, opened from their own files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from metrics import measure
from metrics.evidence import Evidence
from metrics.testing import TINY_FIDELITY
from metrics.testing_networks import write_clip, write_descriptor, write_inception
from trainable.workloads.unconditional import UnconditionalWorkload


@pytest.fixture(scope="module")
def workload(plan, tmp_path_factory):
    directory = tmp_path_factory.mktemp("published")
    write_descriptor(directory / "sscd_tiny.torchscript.pt")
    write_inception(directory / "inception.pth")
    write_clip(directory / "clip-tiny")
    with np.load(plan.source.settings.retain) as archive:
        np.savez(directory / "retain.npz", images=archive["images"][:5])
    settings = dataclasses.replace(
        plan.source.settings,
        retain=str(directory / "retain.npz"),
        descriptor=str(directory / "sscd_tiny.torchscript.pt"),
        features=str(directory / "inception.pth"),
        classifier=str(directory / "inception.pth"),
        clip=str(directory / "clip-tiny"),
    )
    return UnconditionalWorkload(settings, torch.device("cpu"))


def test_metrics_look_through_published_networks(workload):
    encoders = workload.encoders
    assert encoders.features.__self__ is encoders.classifier
    assert (
        dict(encoders.labels)
        | {
            "sscd": "SSCD (sscd_tiny)",
            "sscd_neighbours": "SSCD of neighbours (sscd_tiny)",
            "fid": "FID (Inception-v3 of inception.pth)",
            "inception_score": "Inception Score (Inception-v3 of inception.pth)",
            "clip_iqa": "CLIP-IQA (clip-tiny)",
        }
        == encoders.labels
    )
    prepared = workload.prepare()
    assert prepared.real_statistics.covariance.shape == (2048, 2048)
    assert len(prepared.neighbours) == 2

    evidence = Evidence(
        workload.load(workload.settings.model),
        workload.subject(prepared),
        dataclasses.replace(TINY_FIDELITY, num_images=3, num_denoisings=2),
        seed=0,
    )
    measured = measure(["sscd", "inception_score", "clip_iqa"], evidence)
    assert evidence.sample_features.shape == (3, 2048)
    assert evidence.sample_logits.shape == (3, 1008)
    assert 0 < measured["clip_iqa"].value < 1
    assert all(np.isfinite([entry.value, entry.stderr]).all() for entry in measured.values())


def test_an_encoder_that_is_not_given_is_asked_for(workload):
    without = UnconditionalWorkload(dataclasses.replace(workload.settings, descriptor=None), workload.device)
    with pytest.raises(ValueError, match="needs an encoder file for 'descriptor'"):
        _ = without.encoders
