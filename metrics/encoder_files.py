"""Encoder files: their kinds, told by the endings of their names; where published ones come from; opening them.

What opens a file and what checks it before a study read the same tables; torch is imported only to open one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Where ``scripts/fetch_assets.py NAME`` puts what it fetches, each under its name.
FETCHED = Path(__file__).resolve().parent.parent / "assets" / "fetched"
#: The CLIP model that ``scripts/fetch_assets.py clip`` fetches, and where to.
CLIP_HUB_ID, FETCHED_CLIP = "openai/clip-vit-base-patch16", FETCHED / "clip" / "clip-vit-base-patch16"


def fetch_command(name: str) -> str:
    """What fetches the published network ``name``."""
    return f"python scripts/fetch_assets.py {name}"


@dataclass(frozen=True)
class PublishedFile:
    """Weights that their authors publish and no package carries.

    Attributes:
        name: what a configuration may call the file.
        filename: what it is called where it lies.
        url: where it comes from.
        sha256: of its content.
    """

    name: str
    filename: str
    url: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies: fetched into the repository, else in torch's cache, else where it would be fetched to."""
        fetched = FETCHED / self.name / self.filename
        cached = torch_checkpoints() / self.filename
        return cached if cached.is_file() and not fetched.is_file() else fetched


def torch_checkpoints() -> Path:
    """Where torch.hub keeps weights: ``torch.hub.get_dir()/checkpoints``, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser() / "hub" / "checkpoints"


PUBLISHED: Mapping[str, PublishedFile] = {
    file.name: file
    for file in (
        PublishedFile(
            "inception",
            "weights-inception-2015-12-05-6726825d.pth",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
        PublishedFile(
            "sscd",
            "sscd_disc_mixup.torchscript.pt",
            "https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchscript.pt",
            "9f26bd4c848cc19b73d2ae92eea6e04886f61a7b764ceb7a13aeee62e6a6db56",
        ),
    )
}


class ImageEncoder(Protocol):
    """A network from images (B, C, H, W) in [-1, 1] to one vector an image; may have `features` besides.

    Attributes:
        label: what it is called in reports; empty where a score is defined on it.
    """

    @property
    def label(self) -> str: ...

    def __call__(self, images: Tensor, /) -> Tensor: ...


#: Ending of a file's name → what opens it, from (path, device).
OPENERS: Registry[Callable[[Path, Any], ImageEncoder]] = Registry(
    "ending of an encoder file",
    {
        ".torchscript.pt": "metrics.published:TorchScriptDescriptor",
        ".pth": "metrics.published:InceptionV3",
        ".safetensors": "metrics.encoders:load_encoder",
    },
)
#: Ending → the fields of a configuration that take such a file: what its network answers with.
TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    ".torchscript.pt": ("descriptor",),
    ".pth": ("features", "classifier"),
    ".safetensors": ("descriptor", "features", "classifier"),
}


def ending_of(path: Path) -> str:
    """The ending in ``OPENERS`` of a file's name; a name with none of them is read as safetensors."""
    return next((ending for ending in OPENERS if path.name.endswith(ending)), ".safetensors")


def published_as(path: Path) -> PublishedFile | None:
    """The published file that a path is named after."""
    return next((file for file in PUBLISHED.values() if file.filename == path.name), None)


def open_encoder(location: str | Path, device: torch.device | str = "cpu") -> ImageEncoder:
    """The encoder in a file, by the ending of its name, or a published one by its name (``inception``, ``sscd``).

    Raises:
        FileNotFoundError: there is no file; of a published one the message says how to get it.
        ValueError: the file cannot be read or holds something else.
    """
    published = PUBLISHED.get(str(location))
    path = published.path if published is not None else Path(location)
    source = published or published_as(path)
    if source is not None and not path.is_file():
        raise FileNotFoundError(
            f"the weights of {source.name} must be at {path}, but are not: fetch them from {source.url} with "
            f"{fetch_command(source.name)}"
        )
    return OPENERS[ending_of(path)](path, device)


def open_encoders(locations: Mapping[str, str | None], device: torch.device | str = "cpu") -> dict[str, ImageEncoder]:
    """The encoders of those fields that name one; a file that several fields name is opened once."""
    opened = {location: open_encoder(location, device) for location in dict.fromkeys(locations.values()) if location}
    return {field: opened[location] for field, location in locations.items() if location}


def labelled(score: str, encoder: ImageEncoder) -> str:
    """A score and what it looks through: ``FID (digit features)``; the bare name where it is defined on the encoder."""
    return f"{score} ({encoder.label})" if encoder.label else score


def features_of(encoder: ImageEncoder) -> Callable[[Tensor], Tensor]:
    """What the Fréchet distance looks through: the encoder's ``features`` where it has them, else its output."""
    features: Callable[[Tensor], Tensor] = getattr(encoder, "features", encoder)
    return features
