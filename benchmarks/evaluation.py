"""A full evaluation as the published implementation makes it against ours: network rows, and the order of the models.

Of the last model of each trial of a study: the Fréchet distance and the SSCD score on as many images and restorations,
and the likelihood of the forget image with one probe. Published are images by ancestral sampling in 50 steps, restored
ones through every timestep below the injection, and a likelihood by RK45 to 1e-5 with two forward passes an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from analysis.agreement import spearman
from analysis.candidate_model import CandidateModels
from analysis.fidelity_measuring import last_candidates
from analysis.load import load_study
from analysis.table import rows
from benchmarks.embedded import one_thread
from benchmarks.public_siss import PublicLikelihood
from benchmarks.study import newest
from benchmarks.table import Result
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics import measure
from metrics.accounting import evaluating, told_of_rows
from metrics.evidence import Evidence
from metrics.subject import Fidelity, Subject
from tuning.files import write_csv_atomic

METRICS: Final = ("sscd", "nll", "fid")
NUM_STEPS: Final = 50
_COLUMNS: Final = ("num_images", "trial_id", "step", "which", *METRICS, "network_rows")


def run(
    clone: Path, storage: Path | str = "runs", num_images: int = 192, num_denoisings: int = 16, seed: int = 0
) -> Result:
    """Of the newest finished study below ``storage``; what is measured is kept in its ``published.csv``.

    Raises:
        NoCloneError: there is no clone at that path.
        StudyError: there is no such study, or its models cannot be read.
    """
    study = load_study(newest(Path(storage)))
    models, published = CandidateModels(study), PublicLikelihood(clone)
    fidelity = Fidelity(**models.config.trial_fidelity)
    fidelity = replace(fidelity, num_images=num_images, num_denoisings=num_denoisings, num_probes=1)
    file = study.files.root / "published.csv"
    table = rows(pd.read_csv(file, dtype={"trial_id": str})) if file.is_file() else []
    done = {(row["trial_id"], row["step"]) for row in table if row["num_images"] == num_images}
    members = last_candidates(study)
    with one_thread():
        for model in members:
            if model not in done:
                for denoiser, subject in models.of(*model):
                    key = {"num_images": num_images, "trial_id": model[0], "step": model[1]}
                    table += [{**key, **row} for row in _both(denoiser, subject, fidelity, published, seed)]
                write_csv_atomic(file, _COLUMNS, table)
    wanted = [row for row in table if row["num_images"] == num_images and (row["trial_id"], row["step"]) in members]
    return _result(pd.DataFrame(wanted), study.name, fidelity)


def _both(
    denoiser: Denoiser, subject: Subject, fidelity: Fidelity, likelihood: PublicLikelihood, seed: int
) -> Iterator[Mapping[str, object]]:
    counted: list[int] = []
    with told_of_rows(denoiser.network, counted.append):
        values = {name: found.value for name, found in
                  measure(METRICS, Evidence(denoiser, subject, fidelity, seed)).items()}  # fmt: skip
        yield {"which": "ours", **values, "network_rows": sum(counted)}
        counted.clear()
        evidence = Evidence(denoiser, subject, fidelity, seed)
        with evaluating(denoiser.network):
            vars(evidence)["samples"] = ancestral_samples(denoiser, subject, fidelity, seed)
            vars(evidence)["denoisings"] = ancestral_denoisings(denoiser, subject, fidelity, seed)
        values = {name: found.value for name, found in measure(("sscd", "fid"), evidence).items()}
        nll, _ = likelihood(denoiser.network, subject.forget, seed)
        yield {"which": "published", **values, "nll": float(nll.mean()), "network_rows": sum(counted)}


def ancestral_samples(denoiser: Denoiser, subject: Subject, fidelity: Fidelity, seed: int) -> Tensor:
    """Images (num_images, C, H, W) by DDPM's sampler on 50 evenly spaced timesteps."""
    scheduler = _scheduler(denoiser)
    scheduler.set_timesteps(NUM_STEPS)
    generator = stream(seed, "ancestral samples")
    noise = torch.randn((fidelity.num_images, *subject.forget.shape[1:]), generator=generator)
    return _denoise(denoiser, scheduler, noise, [int(t) for t in scheduler.timesteps], fidelity, generator)


def ancestral_denoisings(denoiser: Denoiser, subject: Subject, fidelity: Fidelity, seed: int) -> Tensor:
    """Restorations (F, M, C, H, W) of the forget images by DDPM's sampler through every timestep."""
    forget = subject.forget.repeat_interleave(fidelity.num_denoisings, 0)
    generator = stream(seed, "ancestral denoisings")
    times = torch.full((len(forget),), fidelity.injection_timestep)
    noisy = denoiser.schedule.add_noise(forget, torch.randn(forget.shape, generator=generator), times)
    timesteps = list(range(fidelity.injection_timestep, -1, -1))
    restored = _denoise(denoiser, _scheduler(denoiser), noisy, timesteps, fidelity, generator)
    return restored.view(len(subject.forget), fidelity.num_denoisings, *forget.shape[1:])


def _scheduler(denoiser: Denoiser) -> DDPMScheduler:
    alpha_bar = denoiser.schedule.alphas_cumprod.cpu().numpy()
    betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    return DDPMScheduler(num_train_timesteps=len(betas), trained_betas=betas)


def _denoise(
    denoiser: Denoiser,
    scheduler: DDPMScheduler,
    noisy: Tensor,
    timesteps: list[int],
    fidelity: Fidelity,
    generator: torch.Generator,
) -> Tensor:
    done = []
    for x in torch.split(noisy, fidelity.batch_size):
        for t in timesteps:
            epsilon = denoiser(x, torch.full((len(x),), t))
            x = scheduler.step(epsilon, t, x, generator=generator).prev_sample
        done.append(x.clamp(-1, 1))
    return torch.cat(done)


def _result(table: pd.DataFrame, name: str, fidelity: Fidelity) -> Result:
    key = ["trial_id", "step"]
    ours, published = (table[table["which"] == which].groupby(key).mean(numeric_only=True)
                       for which in ("ours", "published"))  # fmt: skip
    ratios = published["network_rows"] / ours["network_rows"]
    counts = [of["network_rows"].median() for of in (published, ours)]
    alike = [f"{spearman(ours[metric], published[metric]):.3f}" for metric in METRICS]
    return Result(
        f"One evaluation of each of {len(ours)} models of {name}: {fidelity.num_images} images, "
        f"{fidelity.num_denoisings} restorations, one probe",
        ("network rows, published", "ours", "ratio, median", "lowest", "highest",
         *(f"Spearman {metric}" for metric in METRICS)),
        [(f"{counts[0]:.0f}", f"{counts[1]:.0f}", *(f"{ratio:.1f}" for ratio in ratios.quantile([0.5, 0, 1])), *alike)],
        "Forward passes. Spearman's correlation of the two evaluations over the models: each draws noise of its own, "
        "which is part of what differs.",
    )  # fmt: skip
