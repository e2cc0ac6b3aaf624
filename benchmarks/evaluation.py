"""A full evaluation as the published implementation makes it against ours: network rows, and the order of the models.

Of the last model of each trial of a study: the Fréchet distance and the SSCD score on as many images and restorations,
and the likelihood of the forget image with one probe. Published are images by ancestral sampling in 50 steps, restored
ones through every timestep below the injection, and a likelihood by RK45 to 1e-5 with two forward passes an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

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
AGAIN: Final = "published, other noise"
NUM_STEPS: Final = 50
_COLUMNS: Final = ("num_images", "num_denoisings", "seed", "trial_id", "step", "which", *METRICS, "network_rows")


def run(
    clone: Path, storage: Path | str = "runs", num_images: int = 192, num_denoisings: int = 16, seed: int = 0
) -> Result:
    """Of the newest finished study below ``storage``; what is measured is kept in its ``published.csv``.

    Raises:
        NoCloneError: there is no clone at that path.
        StudyError: there is no such study, or its models cannot be read.
    """
    study = load_study(newest(Path(storage)))
    models, likelihood = CandidateModels(study), PublicLikelihood(clone)
    fidelity = Fidelity(**models.config.trial_fidelity)
    fidelity = replace(fidelity, num_images=num_images, num_denoisings=num_denoisings, num_probes=1)
    file, chosen = study.files.root / "published.csv", last_candidates(study)
    table = rows(pd.read_csv(file, dtype={"trial_id": str})) if file.is_file() else []
    how = {"num_images": num_images, "num_denoisings": num_denoisings, "seed": seed}

    def belongs(row: Mapping[str, Any]) -> bool:
        return all(row[name] == value for name, value in how.items()) and (row["trial_id"], row["step"]) in chosen

    done = {(row["trial_id"], row["step"], row["which"]) for row in table if belongs(row)}
    with one_thread():
        for model in chosen:
            missing = [which for which in _EVALUATIONS if (*model, which) not in done]
            for denoiser, subject in models.of(*model) if missing else ():
                for which in missing:
                    key = {**how, "trial_id": model[0], "step": model[1], "which": which}
                    table.append(key | _counted(_EVALUATIONS[which], denoiser, subject, fidelity, likelihood, seed))
            write_csv_atomic(file, _COLUMNS, table)
    return _result(pd.DataFrame([row for row in table if belongs(row)]), study.name, fidelity)


def _counted(evaluation: _Evaluation, denoiser: Denoiser, *given: Any) -> dict[str, float]:
    counts: list[int] = []
    with told_of_rows(denoiser.network, counts.append):
        values = evaluation(denoiser, *given)
    return {**values, "network_rows": sum(counts)}


def _ours(
    denoiser: Denoiser, subject: Subject, fidelity: Fidelity, likelihood: PublicLikelihood, seed: int
) -> dict[str, float]:
    return _values(METRICS, Evidence(denoiser, subject, fidelity, seed))


def _published(
    denoiser: Denoiser, subject: Subject, fidelity: Fidelity, likelihood: PublicLikelihood, seed: int
) -> dict[str, float]:
    evidence = Evidence(denoiser, subject, fidelity, seed)
    with evaluating(denoiser.network):
        vars(evidence)["samples"] = ancestral_samples(denoiser, subject, fidelity, seed)
        vars(evidence)["denoisings"] = ancestral_denoisings(denoiser, subject, fidelity, seed)
    nll, _ = likelihood(denoiser.network, subject.forget, seed)
    return {**_values(("sscd", "fid"), evidence), "nll": float(nll.mean())}


def _again(
    denoiser: Denoiser, subject: Subject, fidelity: Fidelity, likelihood: PublicLikelihood, seed: int
) -> dict[str, float]:
    """The Fréchet distance of the published sampler from other noise: what noise alone makes of an order."""
    evidence = Evidence(denoiser, subject, fidelity, seed)
    with evaluating(denoiser.network):
        vars(evidence)["samples"] = ancestral_samples(denoiser, subject, fidelity, seed + 1)
    return _values(("fid",), evidence)


def _values(names: Sequence[str], evidence: Evidence) -> dict[str, float]:
    return {name: found.value for name, found in measure(names, evidence).items()}


_Evaluation = Callable[[Denoiser, Subject, Fidelity, PublicLikelihood, int], dict[str, float]]
_EVALUATIONS: Final[Mapping[str, _Evaluation]] = {"ours": _ours, "published": _published, AGAIN: _again}


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
    of = {which: part.groupby(["trial_id", "step"]).mean(numeric_only=True) for which, part in table.groupby("which")}
    published = of.pop("published")
    cells = []
    for which, found in of.items():
        ratios = published["network_rows"] / found["network_rows"]
        figures = "–" if which == AGAIN else " ".join(f"{ratio:.1f}" for ratio in ratios.quantile([0.5, 0, 1]))
        alike = [spearman(found[metric], published[metric]) for metric in METRICS if found[metric].notna().any()]
        correlations = ["–"] * (len(METRICS) - len(alike)) + [f"{value:.3f}" for value in alike]
        cells.append((str(which), f"{found['network_rows'].median():.0f}", figures, *correlations))
    return Result(
        f"One evaluation of each of {len(published)} models of {name}: {fidelity.num_images} images, "
        f"{fidelity.num_denoisings} restorations, one probe",
        ("evaluation", "network rows, median", "published ÷ these: median, least, most",
         *(f"Spearman {metric}" for metric in METRICS)),
        cells,
        f"Forward passes; published {published['network_rows'].median():.0f}. Spearman's correlation with the "
        "published evaluation over the models. Noise is not shared: with other noise the published one agrees with "
        "itself no better than is shown.",
    )  # fmt: skip
