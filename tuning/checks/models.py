"""Whether a model is one that its workload can train: the kind of pipeline, its network, its schedule, its weights.

All of it is read off JSON files and names; of a hub id only what is in this machine's cache, the rest is asked when a
worker loads it. A workload from outside takes what it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainable.workloads.kinds import KINDS, PipelineKind
from tuning.model_files import find_file, network_config, read_config, scheduler_config
from tuning.paths import is_json
from tuning.problems import Problem

#: What ``diffusion.denoiser`` turns into epsilon.
PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
#: Part → the name of its weight files, without the ending.
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")
#: What a network takes besides image, timestep and prompt, and no workload gives.
_CONDITIONS = ("class_embed_type", "num_class_embeds", "addition_embed_type")
#: What a retrained model must share with the untouched one.
_SHARED = ("sample_size", "in_channels", "cross_attention_dim")
_OWN = "bring a workload of your own (package.module:Class)"
_CONVERT = "pipeline.save_pretrained(DIR, safe_serialization=True), or fetch it with scripts/fetch_assets.py"


def model_problems(field: str, model: str | None, workload: str) -> list[Problem]:
    """Everything that keeps `model` from being trained by `workload`; a wrong kind of pipeline is the only finding.

    Args:
        field: ``model`` or ``retrained_model``.
        model: an absolute path, or a hub id.
        workload: one that is not registered is asked nothing.
    """
    kind = KINDS.get(workload)
    index = None if model is None else read_config(model, "model_index.json")
    if kind is None or model is None or index is None:
        return []
    wrong = _kind_problems(field, model, workload, index)
    if wrong:
        return wrong
    return [
        *_network_problems(field, model, kind),
        *_schedule_problems(field, model),
        *_weight_problems(field, model, kind),
    ]


def same_problems(model: str, retrained: str | None, workload: str) -> list[Problem]:
    """Whether the retrained model has the size, the channels and the prediction type of the model."""
    if retrained is None or workload not in KINDS:
        return []
    found = []
    for name in _SHARED:
        values = [(network_config(place) or {}).get(name) for place in (model, retrained)]
        if None not in values and values[0] != values[1]:
            found.append((name, values))
    types = [_prediction_type(place) for place in (model, retrained)]
    if None not in types and types[0] != types[1]:
        found.append(("prediction_type", types))
    remedy = "give the same model trained without the forget images, or leave retrained_model out"
    return [
        Problem(f"retrained_model must have the model's {name}, {ours}", f"{retrained}, {theirs}", remedy)
        for name, (ours, theirs) in found
    ]


def _kind_problems(field: str, model: str, workload: str, index: Mapping[str, Any]) -> list[Problem]:
    kind = KINDS[workload]
    fault = kind.fault(index)
    network = (network_config(model) or {}).get("_class_name")
    if fault is None and network is not None and network != kind.network:
        fault = f"whose unet/config.json is of a {network}"
    if fault is None:
        return []
    rule = (
        f"{field} of the workload {workload} must be a {' or '.join(kind.pipelines)} with a {kind.network}, "
        "whose code is that of diffusers"
    )
    meant = _meant_for(kind, index, network)
    remedy = f"give --workload {meant}, or another model" if meant else f"give another model, or {_OWN}"
    return [Problem(rule, f"{model}, {fault}", remedy)]


def _meant_for(kind: PipelineKind, index: Mapping[str, Any], network: object) -> str | None:
    """The workload that takes the pipeline's class or, where the class is not what is wrong, its network."""
    named, unet = index.get("_class_name"), index.get("unet")
    networks = (network, unet[-1] if isinstance(unet, list) and unet else None)
    for name, other in KINDS.items():
        if other is not kind and (named in other.pipelines or (named in kind.pipelines and other.network in networks)):
            return name
    return None


def _network_problems(field: str, model: str, kind: PipelineKind) -> list[Problem]:
    config = network_config(model)
    if config is None:
        rule = f"{field} must have a unet with its config.json"
        missing = Path(model).is_absolute() and find_file(model, "config.json", "unet") is None
        return [Problem(rule, f"{model}, which has none", "save the model with pipeline.save_pretrained")] * missing
    problems = []
    if not _is_size(config.get("sample_size")):
        rule = f"the unet of {field} must name the sample_size that it was trained at"
        remedy = "write it to unet/config.json: pixels, or latents of a text_to_image model"
        problems.append(Problem(rule, f"{model}, {config.get('sample_size')}", remedy))
    extra = [name for name in _CONDITIONS if config.get(name) is not None]
    if extra:
        rule = f"the unet of {field} must take an image, a timestep and at most a prompt"
        given = f"{model}, with {extra[0]} {config[extra[0]]}"
        problems.append(Problem(rule, given, f"give a model without class or size conditions, or {_OWN}"))
    return problems + _channel_problems(field, model, kind, config)


def _channel_problems(field: str, model: str, kind: PipelineKind, config: Mapping[str, Any]) -> list[Problem]:
    """Inpainting networks take more channels than they give, those that predict variances give more."""
    taken, given = config.get("in_channels"), config.get("out_channels")
    latent = (read_config(model, "config.json", "vae") or {}).get("latent_channels", given)
    wanted = kind.channels or (latent,)
    if taken is None or (taken in wanted and given in (None, taken)):
        return []
    rule = f"the unet of {field} must take {' or '.join(map(str, wanted))} channels and give as many"
    remedy = f"give a model that is made for noise alone (not for inpainting or editing), or {_OWN}"
    return [Problem(rule, f"{model}, in_channels {taken} and out_channels {given}", remedy)]


def _schedule_problems(field: str, model: str) -> list[Problem]:
    config = scheduler_config(model)
    if config is None:
        return []
    problems, name = [], config.get("_class_name")
    if "beta_schedule" not in config and config.get("trained_betas") is None:
        rule = f"the scheduler of {field} must have a schedule of betas, as DDPMScheduler has"
        problems.append(
            Problem(rule, f"{model}, a {name} without", f"save it with the training's scheduler, or {_OWN}")
        )
    if config.get("rescale_betas_zero_snr") is True:
        rule = f"the schedule of {field} must leave some signal at its last timestep"
        remedy = f"give a model trained without zero terminal SNR, or {_OWN}"
        problems.append(Problem(rule, f"{model}, with rescale_betas_zero_snr", remedy))
    predicted = _prediction_type(model)
    if predicted not in PREDICTION_TYPES:
        rule = f"the prediction_type of {field} must be one of {', '.join(PREDICTION_TYPES)}"
        remedy = f"put the type that it was trained with into scheduler/scheduler_config.json, or {_OWN}"
        problems.append(Problem(rule, f"{model}, {predicted}", remedy))
    return problems


def _prediction_type(model: str) -> object:
    """None where it is not known; diffusers takes epsilon where a scheduler does not say."""
    config = scheduler_config(model)
    return None if config is None else config.get("prediction_type", "epsilon")


def _weight_problems(field: str, model: str, kind: PipelineKind) -> list[Problem]:
    """Of a directory, whether each network has its weights in safetensors; whether they are whole is `paths`'."""
    if not Path(model).is_absolute():
        return []
    problems = []
    for part, stem in _WEIGHTS.items():
        folder = Path(model) / part if (Path(model) / part).is_dir() else Path(model)
        if part not in kind.parts or _has_weights(folder, stem):
            continue
        rule = f"the {part} of {field} must have its weights in safetensors, {stem}.safetensors"
        problems.append(Problem(rule, *_instead(folder, stem)))
    return problems


def _has_weights(folder: Path, stem: str) -> bool:
    """In one file, or in several that an index names."""
    index = folder / f"{stem}.safetensors.index.json"
    if not index.is_file():
        return (folder / f"{stem}.safetensors").is_file()
    config = read_config(str(folder), index.name) if is_json(index) else None
    shards = (config or {}).get("weight_map")
    return isinstance(shards, dict) and all(
        (folder / name).is_file() for name in {str(name) for name in shards.values()}
    )


def _instead(folder: Path, stem: str) -> tuple[str, str]:
    """What is there in the place of the weights, and the remedy."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    pickled = [name for name in names if name.endswith(_PICKLES)]
    variants = [name for name in names if name.startswith(f"{stem}.") and name.endswith(".safetensors")]
    if variants:
        return f"{folder}, which has {variants[0]} only", "save it without a variant: pipeline.save_pretrained(DIR)"
    if pickled:
        return f"{folder}, which has pickled weights, {pickled[0]}", f"convert it where you trust it: {_CONVERT}"
    return f"{folder}, which has none", f"save it again with {_CONVERT}"


def _is_size(size: object) -> bool:
    if isinstance(size, list):
        return len(size) == 2 and all(isinstance(side, int) for side in size)
    return isinstance(size, int) and not isinstance(size, bool)
