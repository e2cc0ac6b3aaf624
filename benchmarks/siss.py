"""What SISS's step costs: rows regrouped by their terms, every row in both terms, and the published implementation.

All against a plain fine-tuning step on the same rows (naive deletion's), in pairs. Gradients are compared first.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor

from benchmarks.embedded import Embedded, draw_batch, load_embedded, one_thread
from benchmarks.public_siss import PublicSISS, mixture_mask
from benchmarks.steps import PLAIN, SETTINGS, TOLERANCE, Steps, paired_ratios, siss_error, tuner_of
from benchmarks.table import Result
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from trainable.batch import TERMS, ForgetRetainBatch
from trainable.finetune import composed_gradient
from trainable.methods.method import Method
from trainable.methods.siss import SISS

_SEED = 5
_LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Case:
    """A model and the rows of one step."""

    name: str
    denoiser: Denoiser
    batch: ForgetRetainBatch


class PlainSISS(SISS):
    """SISS with every row in both terms, batch by batch."""

    name = "siss_plain"
    arrange = Method.arrange


def run(clone: Path | None = None, pairs: int = 9, cases: list[Case] | None = None) -> Result:
    """Time them, the published implementation only where a clone of it is given.

    Raises:
        ArithmeticError: gradients do not agree.
        NoCloneError: there is no clone at that path.
    """
    method = SISS(**SETTINGS["siss"])
    rows = []
    with one_thread():
        for case in cases or [embedded_case(), smooth_case()]:
            errors = _errors(case, method, clone)
            if not max(errors.values()) < TOLERANCE:
                raise ArithmeticError(f"gradients must agree to {TOLERANCE}, but are off by {errors} for {case.name}")
            rows += list(_rows(case, method, clone, pairs, max(errors.values())))
    return Result(
        f"SISS's step against plain fine-tuning on the same rows, lambd {method.lambd:g}, one core, {pairs} pairs",
        ("rows", "step", "need both", "by count", "median", "lowest", "highest", "gradient off by"),
        rows,
        "By count: 1 + ⅔ · share of rows with weight in both terms; every row in both: 1.67.",
    )


def embedded_case(embedded: Embedded | None = None, size: int = 64) -> Case:
    """Rows of the embedded data set."""
    embedded = embedded or load_embedded()
    return Case(f"{size} of 1x28x28", embedded.denoiser, _with_mask(draw_batch(embedded, size)))


def smooth_case(size: int = 16, side: int = 96) -> Case:
    """Rows of smooth colour images, random weights: a small model of photographs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=side, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(32, 64, 128),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), norm_num_groups=8,
        )  # fmt: skip
    generator = stream(0, "smooth images")
    coarse = torch.rand((2, size, 3, 6, 6), generator=generator) * 2 - 1
    retain, forget = (
        torch.nn.functional.interpolate(images, (side, side), mode="bicubic").clamp(-1, 1) for images in coarse
    )
    schedule = load_embedded().denoiser.schedule
    batch = ForgetRetainBatch(
        retain=retain,
        forget=forget[:1].expand_as(retain).contiguous(),
        noise=torch.randn(retain.shape, generator=generator),
        timesteps=torch.randint(schedule.num_timesteps, (size,), generator=generator),
    )
    return Case(f"{size} of 3x{side}x{side}, smooth", Denoiser(network, schedule), _with_mask(batch))


def _with_mask(batch: ForgetRetainBatch) -> ForgetRetainBatch:
    return replace(batch, from_forget=mixture_mask(len(batch), SETTINGS["siss"]["lambd"], _SEED))


def _errors(case: Case, method: SISS, clone: Path | None) -> Mapping[str, float]:
    """Relative errors: against the definition in float64, and between ours and the published one."""
    errors = {"definition": siss_error(case.denoiser, case.batch, method)}
    if clone is not None:
        ours = composed_gradient(case.denoiser.network, method, [case.batch], case.denoiser.schedule.alphas_cumprod)
        theirs = _public(case.denoiser, method, clone).gradient([case.batch])
        errors["published"] = float(_flat(ours).sub(_flat(theirs)).norm() / _flat(theirs).norm())
    return errors


def _flat(gradient: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([gradient[name].flatten() for name in sorted(gradient)])


def _rows(case: Case, method: SISS, clone: Path | None, pairs: int, error: float) -> Iterator[tuple[str, ...]]:
    parts = method.arrange(case.denoiser.schedule, [case.batch])
    share = sum(len(part) for part in parts if part.terms == TERMS) / len(case.batch)
    plain = tuner_of(PLAIN, case.denoiser)
    others: dict[str, tuple[Steps, float]] = {
        "regrouped": (tuner_of(method, case.denoiser), 1 + 2 / 3 * share),
        "every row in both": (tuner_of(PlainSISS(**SETTINGS["siss"]), case.denoiser), 5 / 3),
    }
    if clone is not None:
        others["published"] = _public(case.denoiser, method, clone), 5 / 3
    for name, (other, count) in others.items():
        ratios = paired_ratios(plain, other, [case.batch], pairs)
        figures = (share, count, statistics.median(ratios), min(ratios), max(ratios))
        yield case.name, name, *(f"{figure:.2f}" for figure in figures), f"{error:.0e}"


def _public(denoiser: Denoiser, method: SISS, clone: Path) -> PublicSISS:
    own = Denoiser(copy.deepcopy(denoiser.network).train(), denoiser.schedule, denoiser.prediction_type)
    return PublicSISS(
        clone, own, lambd=method.lambd, scaling_norm=method.scaling_norm, seed=_SEED, learning_rate=_LEARNING_RATE
    )
