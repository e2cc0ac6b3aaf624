"""The text of assets/photographs/README.md: provenance, licence, how the files are rebuilt, what was measured."""

from __future__ import annotations

from pathlib import Path

from diffusers import UNet2DModel

from metrics.metric import Measurement
from metrics.regeneration_rate import wilson_interval
from scripts.assets_lib.diffusion_training import TrainingConfig
from scripts.assets_lib.photograph_measurement import (
    COPY_COSINE,
    INJECTION_TIMESTEPS,
    MeasuredPhotographs,
    PhotographEncoderQuality,
)
from scripts.assets_lib.report import file_table

TEMPLATE = Path(__file__).with_name("photographs_readme_template.md")
ROWS = {
    "NLL of the image to forget, bits/dim (16 probes)": "nll",
    "NLL of its 4 nearest training images, bits/dim": "nll_neighbours",
    "membership loss": "membership_loss",
    "Fréchet distance, photograph features, to the training images": "fid",
}


def write_photographs_readme(
    root: Path,
    measured: MeasuredPhotographs,
    encoders: PhotographEncoderQuality,
    unet: UNet2DModel,
    config: TrainingConfig,
) -> None:
    """Write README.md under `root`; the table of files lists what lies there now."""
    path = root / "README.md"
    path.unlink(missing_ok=True)  # it does not list itself
    text = TEMPLATE.read_text(encoding="utf-8").format(
        files=file_table(root),
        parameters=unet.num_parameters(),
        config=config,
        forget_percent=f"{config.forget_share:.0%}",
        num_samples=measured.metrics["fid"].num_samples,
        quality=quality_table(measured),
        injection=injection_table(measured),
        encoders=encoder_table(encoders),
    )
    path.write_text(text, encoding="utf-8")


def quality_table(model: MeasuredPhotographs) -> str:
    """One row a figure."""
    lines = {name: _value(model.metrics[metric]) for name, metric in ROWS.items()}
    for name, likelihood in model.likelihoods.items():
        lines[f"NLL of 21 {name}, bits/dim, standard error over images"] = str(likelihood)
    total = model.metrics["fid"].num_samples
    lines[f"samples whose descriptor has a cosine of {COPY_COSINE} to the image to forget"] = _share(
        model.copies, total
    )
    lines["samples rougher than every training image: noise"] = _share(model.spoiled, total)
    return "\n".join(["| | |", "|---|---|"] + [f"| {name} | {value} |" for name, value in lines.items()])


def injection_table(model: MeasuredPhotographs) -> str:
    """Cosines at each timestep, of the image to forget and of its neighbours."""
    rows = ["| t | image to forget | neighbours |", "|---:|---|---|"]
    for t in INJECTION_TIMESTEPS:
        found = model.injections[t]
        rows.append(f"| {t} | {_value(found['sscd'])} | {_value(found['sscd_neighbours'])} |")
    return "\n".join(rows)


def encoder_table(quality: PhotographEncoderQuality) -> str:
    """What each encoder was asked to do, and how well it does it."""
    lines = {"`copy_descriptor`: ROC AUC, altered copies against other images, unseen": f"{quality.auc:.4f}"}
    for level, cosine in quality.edited.items():
        lines[f"cosine of the image to forget to itself with noise of {level} ([-1, 1] scale)"] = str(cosine)
    lines["cosine of the image to forget to all others and their mirror images"] = str(quality.others)
    lines["the largest of them"] = f"{quality.others_maximum:.3f}"
    for name, distance in quality.distances.items():
        lines[f"`photograph_features`: Fréchet distance to the training images of {name}"] = f"{distance:.3f}"
    return "\n".join(["| figure | value |", "|---|---|"] + [f"| {name} | {value} |" for name, value in lines.items()])


def _value(measured: Measurement) -> str:
    return f"{measured.value:.3f} ± {measured.stderr:.3f}"


def _share(count: int, total: int) -> str:
    low, high = wilson_interval(count, total)
    return f"{count / total:.2%} (95%: {low:.2%} to {high:.2%})"
