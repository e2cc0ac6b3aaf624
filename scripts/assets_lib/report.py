"""The text of assets/README.md: provenance, licences, how the files are rebuilt, and the measured quality."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from diffusers import UNet2DModel

from metrics.regeneration_rate import wilson_interval
from scripts.assets_lib.diffusion_training import TrainingConfig
from scripts.assets_lib.encoder_quality import EncoderQuality
from scripts.assets_lib.measurement import INJECTION_TIMESTEPS, Measured

TEMPLATE = Path(__file__).with_name("readme_template.md")


def write_readme(
    path: Path, root: Path, base: Measured, retrained: Measured, encoders: EncoderQuality, unet: UNet2DModel
) -> None:
    """Write the file; the table of files lists what lies under `root` now."""
    text = TEMPLATE.read_text(encoding="utf-8").format(
        files=file_table(root),
        parameters=unet.num_parameters(),
        steps=TrainingConfig().steps,
        quality=quality_table(base, retrained),
        injection=injection_table(base, retrained),
        recommendation=recommendation(base, retrained),
        encoders=encoder_table(encoders),
    )
    path.write_text(text, encoding="utf-8")


def file_table(root: Path) -> str:
    """Size and SHA-256 of each file."""
    rows = ["| file | bytes | SHA-256 |", "|---|---:|---|"]
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"| `{path.relative_to(root.parent)}` | {path.stat().st_size:,} | `{digest}` |")
    return "\n".join(rows)


def _rate(measured: Measured) -> str:
    low, high = wilson_interval(measured.num_tshirts, measured.num_samples)
    share = measured.num_tshirts / measured.num_samples
    return f"{measured.num_tshirts} of {measured.num_samples:,}: {share:.2%} (95%: {low:.2%} to {high:.2%})"


def quality_table(base: Measured, retrained: Measured) -> str:
    """One row per figure, one column per model."""
    lines: dict[str, Callable[[Measured], str]] = {
        "T-shirt rate, Wilson interval": _rate,
        "L2 of the nearest sample to the T-shirt": lambda m: f"{m.nearest:.2f}",
        "classifier's confidence in the samples": lambda m: str(m.confidence),
        "entropy of the samples' classes, bits (10 equal classes: 3.32)": lambda m: f"{m.class_entropy:.3f}",
        "Fréchet distance, digit features, to as many training digits": lambda m: f"{m.frechet:.3f}",
        "denoising loss per pixel: training digits": lambda m: f"{m.loss['digits']:.5f}",
        "denoising loss per pixel: unseen digits": lambda m: f"{m.loss['unseen']:.5f}",
        "denoising loss per pixel: T-shirt": lambda m: f"{m.loss['tshirt']:.5f}",
        "NLL, bits/dim: T-shirt (16 probes)": lambda m: str(m.tshirt_nll),
        "NLL, bits/dim: 64 training digits": lambda m: str(m.digits_nll),
        "NLL, bits/dim: 64 unseen digits": lambda m: str(m.unseen_nll),
    }
    rows = ["| | base | retrained |", "|---|---|---|"]
    return "\n".join(rows + [f"| {name} | {show(base)} | {show(retrained)} |" for name, show in lines.items()])


def separation(base: Measured, retrained: Measured, timestep: int) -> float:
    """Difference of the two cosines in standard errors of independent means."""
    first, second = base.injection[timestep], retrained.injection[timestep]
    return (first.mean - second.mean) / max(math.hypot(first.stderr, second.stderr), 1e-12)


def injection_table(base: Measured, retrained: Measured) -> str:
    """Cosines of both models at each timestep, their difference, and that in standard errors."""
    rows = ["| t | base | retrained | difference | in standard errors |", "|---:|---|---|---:|---:|"]
    for t in INJECTION_TIMESTEPS:
        first, second = base.injection[t], retrained.injection[t]
        gap = first.mean - second.mean
        rows.append(f"| {t} | {first} | {second} | {gap:.3f} | {separation(base, retrained, t):.1f} |")
    return "\n".join(rows)


def recommendation(base: Measured, retrained: Measured) -> str:
    """The timestep of the largest difference among those that tell the models apart by three standard errors."""
    apart = [t for t in INJECTION_TIMESTEPS if separation(base, retrained, t) >= 3.0]
    if not apart:
        return "No timestep tells the models apart by three standard errors."
    best = max(apart, key=lambda t: base.injection[t].mean - retrained.injection[t].mean)
    return f"Inject at t = {best}: the largest difference of those above three standard errors."


def encoder_table(quality: EncoderQuality) -> str:
    """What each encoder was asked to do, and how well it does it."""
    lines = {
        f"`digit_classifier`: accuracy on {quality.num_held_out:,} held-out digits": f"{quality.accuracy:.4f}",
        "`digit_classifier`: accuracy on `unseen.npz`": f"{quality.accuracy_unseen:.4f}",
        "`digit_classifier`: confidence in held-out digits": str(quality.confidence),
        "Fréchet distance of held-out digits to training digits, as many as samples above": f"{quality.frechet:.3f}",
        "`copy_descriptor`: ROC AUC, altered copies against other images, `unseen.npz`": f"{quality.auc:.4f}",
        "the same, digits against other digits": f"{quality.auc_digits:.4f}",
        "the same, T-shirts against other T-shirts": f"{quality.auc_tshirts:.4f}",
        "cosine of the T-shirt to altered copies of itself": str(quality.edited_copies),
    }
    for level, cosine in quality.noised_copies.items():
        lines[f"cosine of the T-shirt to itself with Gaussian noise of {level} ([-1, 1] scale)"] = str(cosine)
    lines |= {
        "cosine of the T-shirt to 256 other T-shirts": str(quality.other_tshirts),
        "the largest of them": f"{quality.other_tshirts_maximum:.3f}",
        "cosine of the T-shirt to 512 unseen digits": str(quality.digits),
    }
    return "\n".join(["| figure | value |", "|---|---|"] + [f"| {name} | {value} |" for name, value in lines.items()])
