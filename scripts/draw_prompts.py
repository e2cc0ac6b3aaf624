"""Draw what text-to-image models make of the same prompts and noise, for instance before and after unlearning.

    python scripts/draw_prompts.py assets/mini_text_to_image/base runs/NAME/checkpoints/00003-40 --out drawn.png \\
        --prompt "the shirt of kasimir by hand" "a red seven on a white wall"

Each prompt has one row for each model, in the order in which they are given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from trainable.pictures import save_grid  # noqa: E402


def draw(model: str, prompt: str, *, count: int, steps: int, guidance_scale: float, seed: int) -> Tensor:
    """Images (count, 3, H, W) in [-1, 1], each from a noise of its own that does not depend on model and prompt."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        model, torch_dtype=torch.float32, use_safetensors=True, safety_checker=None, requires_safety_checker=False
    )
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    images: Tensor = pipeline(
        [prompt] * count,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        generator=[torch.Generator().manual_seed(seed + number) for number in range(count)],
        output_type="pt",
    ).images
    return images.cpu() * 2 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="pipeline directories or hub ids")
    parser.add_argument("--prompt", nargs="+", required=True, dest="prompts", metavar="TEXT")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--count", type=int, default=16, help="images of a row")
    parser.add_argument("--steps", type=int, default=20, help="sampler steps")
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name) for name in ("count", "steps", "guidance_scale", "seed")}
    rows = [draw(model, prompt, **options) for prompt in arguments.prompts for model in arguments.models]
    save_grid(torch.cat(rows), arguments.out, columns=arguments.count)


if __name__ == "__main__":
    main()
