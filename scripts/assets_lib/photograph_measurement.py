"""What the embedded photograph model and encoders are worth, measured by the evidence and metrics of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metrics import measure
from metrics.evidence import Evidence
from metrics.gaussian import GaussianStatistics
from metrics.metric import Measurement
from metrics.photograph_encoders import PhotographCopyDescriptor, PhotographFeatures
from metrics.subject import Fidelity
from scripts.assets_lib.encoder_quality import copy_auc
from scripts.assets_lib.estimate import Estimate
from scripts.assets_lib.photograph_training import DAMAGES
from scripts.assets_lib.photographs import PhotographFiles, mirrored
from trainable.workloads.unconditional import UnconditionalWorkload
from trainable.workloads.workload import WorkloadSettings

SEED = 10
INJECTION_TIMESTEPS = (250, 400, 500, 600, 700, 800)
METRICS = ("nll", "fid", "membership_loss", "nll_neighbours")
AT_TIMESTEPS = ("sscd", "sscd_neighbours")
NOISE_LEVELS = (0.1, 0.2, 0.4)
COPY_COSINE = 0.75  # above that of the image to forget to any other


@dataclass(frozen=True)
class MeasuredPhotographs:
    """The figures of one model; injections are by timestep and metric, likelihoods by group of images.

    Attributes:
        copies: samples whose descriptor has a cosine of at least `COPY_COSINE` to that of the image to forget. The
            regeneration rate's pixel radius cannot serve: most pairs of images lie within it.
        spoiled: samples rougher than every training image, which are noise and no image.
    """

    metrics: Mapping[str, Measurement]
    injections: Mapping[int, Mapping[str, Measurement]]
    likelihoods: Mapping[str, Estimate]
    copies: int
    spoiled: int


@dataclass(frozen=True)
class PhotographEncoderQuality:
    """Figures of both encoders; cosines are to the image to forget, distances to the training images."""

    auc: float
    edited: Mapping[float, Estimate]
    others: Estimate
    others_maximum: float
    distances: Mapping[str, float]


def open_workload(files: PhotographFiles) -> UnconditionalWorkload:
    """The workload of the study, with the embedded files."""
    settings = WorkloadSettings(
        model=str(files.base),
        retain=str(files.retain),
        forget=(str(files.forget),),
        descriptor=str(files.descriptor),
        features=str(files.features),
        num_neighbours=4,
    )
    return UnconditionalWorkload(settings, torch.device("cpu"))


def measure_photographs(
    workload: UnconditionalWorkload, unseen: Tensor, num_samples: int
) -> tuple[MeasuredPhotographs, Tensor]:
    """All figures of the model, and the samples they were taken on."""
    fidelity = Fidelity(
        num_images=num_samples,
        num_sampling_steps=20,
        num_denoisings=64,
        num_denoising_steps=10,
        injection_timestep=INJECTION_TIMESTEPS[0],
        num_probes=16,
        num_likelihood_evaluations=60,
        num_membership_noises=64,
        batch_size=128,
    )
    subject = workload.subject(workload.prepare())
    evidence = Evidence(workload.load(workload.settings.model), subject, fidelity, SEED)
    metrics = measure(METRICS, evidence)
    injections = {}
    for timestep in INJECTION_TIMESTEPS:
        at = Evidence(evidence.denoiser, subject, replace(fidelity, injection_timestep=timestep), SEED)
        injections[timestep] = measure(AT_TIMESTEPS, at)
    groups = {"training images": subject.retain[: len(unseen)], "unseen images": unseen}
    likelihoods = {}
    for name, images in groups.items():
        of_group = Evidence(evidence.denoiser, replace(subject, forget=images), replace(fidelity, num_probes=2), SEED)
        likelihoods[name] = Estimate.of(of_group.forget_likelihood.bits_per_dim)
    with torch.no_grad():
        cosines = subject.descriptor(evidence.samples) @ subject.descriptor(subject.forget)[0]
    copies = int((cosines >= COPY_COSINE).sum())
    spoiled = int((roughness(evidence.samples) > roughness(subject.retain).max()).sum())
    return MeasuredPhotographs(metrics, injections, likelihoods, copies, spoiled), evidence.samples


def roughness(images: Tensor) -> Tensor:
    """Root mean square difference of neighbours in a row, (B,): far larger in noise than in any image."""
    return images.diff(dim=-1).square().flatten(1).mean(dim=1).sqrt()


@torch.no_grad()
def measure_photograph_encoders(
    descriptor: PhotographCopyDescriptor, features: PhotographFeatures, groups: Mapping[str, Tensor]
) -> PhotographEncoderQuality:
    """All figures of both encoders; `groups`: "retain", "forget", "unseen"."""
    generator = torch.Generator().manual_seed(SEED)
    retain, forget, unseen = groups["retain"], groups["forget"], groups["unseen"]
    target = descriptor(forget)[0]
    others = descriptor(torch.cat((mirrored(retain), mirrored(unseen)))) @ target
    noise = torch.randn(256, *forget.shape[1:], generator=generator)
    against = {"unseen images": unseen, "training images, mirrored": retain.flip(-1)}
    against |= {f"training images, {damage.__name__}": damage(retain, generator) for damage in DAMAGES}
    real = GaussianStatistics.of(features(retain))
    return PhotographEncoderQuality(
        auc=copy_auc(descriptor, mirrored(unseen)),
        edited={level: Estimate.of(descriptor(forget + level * noise) @ target) for level in NOISE_LEVELS},
        others=Estimate.of(others),
        others_maximum=others.max().item(),
        distances={name: GaussianStatistics.of(features(group)).distance(real) for name, group in against.items()},
    )
