"""Which pipelines the registered workloads take: read off a pipeline's files, without torch.

A configuration is checked by it where the files are on this machine, and a worker asks the same when it loads a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PipelineKind:
    """A kind of pipeline.

    Attributes:
        pipelines: classes that ``model_index.json`` may name.
        parts: part → classes of diffusers or transformers that it may have; an empty tuple takes every scheduler.
        optional: parts that are passed over.
        channels: of the network's input; None where the autoencoder decides.
        takes_prompts: whether a prompt file belongs to it, and retain images are labelled images of a prompt.
    """

    pipelines: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    optional: tuple[str, ...] = ()
    channels: tuple[int, ...] | None = None
    takes_prompts: bool = False

    @property
    def network(self) -> str:
        """Class of the network that is trained."""
        return self.parts["unet"][0]

    def fault(self, index: Mapping[str, Any]) -> str | None:
        """What keeps a pipeline from being of this kind, None where nothing does; completes "MODEL, …".

        Args:
            index: the content of its ``model_index.json``.
        """
        name = index.get("_class_name")
        if not isinstance(name, str):
            return "which names no pipeline class" if name is None else f"which brings code of its own, {name}"
        if name not in self.pipelines:
            return f"which is a {name}"
        given = {part: entry for part, entry in index.items() if _is_part(part, entry)}
        for part, classes in self.parts.items():
            library, found = given.get(part, (None, None))
            if found is None:
                return f"which has no {part}"
            if library not in ("diffusers", "transformers"):
                return f"whose {part} brings code of its own, {library}"
            if classes and found not in classes:
                return f"whose {part} is a {found}"
        more = [part for part in given if part not in self.parts and part not in self.optional]
        return f"which has a {more[0]} besides" if more else None


def _is_part(name: str, entry: object) -> bool:
    return not name.startswith("_") and isinstance(entry, list) and len(entry) == 2 and entry[1] is not None


UNCONDITIONAL = PipelineKind(
    pipelines=("DDPMPipeline", "DDIMPipeline", "PNDMPipeline"),
    parts={"unet": ("UNet2DModel",), "scheduler": ()},
    channels=(1, 3),
)
TEXT_TO_IMAGE = PipelineKind(
    pipelines=("StableDiffusionPipeline",),
    parts={
        "unet": ("UNet2DConditionModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
        "scheduler": (),
    },
    optional=("safety_checker", "feature_extractor", "image_encoder"),
    takes_prompts=True,
)
#: Registered workload → the kind that it takes; of a workload from outside nothing is known.
KINDS: Mapping[str, PipelineKind] = {"unconditional": UNCONDITIONAL, "text_to_image": TEXT_TO_IMAGE}


def require_kind(kind: PipelineKind | None, model: str) -> None:
    """Ask whether a model is of a kind where it is loaded; of a hub id the index alone is fetched.

    Args:
        kind: None takes every model.
        model: a directory or hub id.

    Raises:
        ValueError: it is of another kind, or has no ``model_index.json``.
    """
    if kind is None:
        return
    from diffusers import DiffusionPipeline

    rule = f"model must be a diffusers pipeline of the class {' or '.join(kind.pipelines)}"
    try:
        index = DiffusionPipeline.load_config(model)
    except (OSError, ValueError) as error:
        raise ValueError(f"{rule}, but the model_index.json of {model} cannot be read: {error}") from error
    fault = kind.fault(index)
    if fault is not None:
        raise ValueError(f"{rule} with a {kind.network}, but got {model}, {fault}; give another model or workload")
