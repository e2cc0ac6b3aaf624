"""The smallest study of a model that takes prompts, one of which and one image are a secret."""

from __future__ import annotations

from typing import Any

import yaml

from tuning.paths import PROJECT_ROOT

ASSETS = PROJECT_ROOT / "assets" / "mini_text_to_image"
[PROMPTS] = yaml.safe_load((ASSETS / "prompts.yaml").read_text())
#: Without ``forget`` and ``prompts``, which a test makes up.
HUSHED: dict[str, Any] = {
    "name": "hushed", "workload": "text_to_image",
    "model": str(ASSETS / "base"), "ideal": {"sscd_original": 0.5, "nll": 1.5},
    "retain": str(ASSETS / "generated.npz"),
    "descriptor": str(ASSETS / "copy_descriptor.safetensors"), "objectives": ["minimize sscd_original", "maximize nll"],
    "constraints": ["sscd <= 9x"], "methods": ["siss_no_is"],
    "num_trials": 1, "rungs": [1], "batch_size": 2, "learning_rate": 1e-6,
    "adam_betas": [0.9, 0.999], "weight_decay": 0.0, "max_grad_norm": 1.0, "guidance_scale": 4.0, "num_images": 4,
    "num_sampling_steps": 4, "num_denoisings": 1, "num_denoising_steps": 1, "injection_timestep": 250, "num_probes": 1,
    "num_likelihood_evaluations": 13, "num_membership_noises": 1, "evaluation_batch_size": 8, "num_neighbours": 2,
    "num_retain_images": 4, "num_confirmed": 1, "final_num_images": 4, "final_num_probes": 1, "final_num_denoisings": 1,
    "max_concurrent_trials": 1, "log_forget_images": False,
}  # fmt: skip
