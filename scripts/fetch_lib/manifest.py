"""What each name stands for: files, archives and hub repositories, with all that is known of them beforehand.

A digest stands here only where public sources agree on it; where none is known the field is None, and the digest of
the first download is kept and checked from then on. Hub revisions are commits, so that a name never changes meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from metrics.encoder_files import CLIP_HUB_ID, FETCHED, FETCHED_CLIP, PUBLISHED

GIB: Final = 2**30


@dataclass(frozen=True)
class Account:
    """Where a site asks for a user's name and key, and which environment variables hold them."""

    user_variable: str
    key_variable: str
    settings_url: str


@dataclass(frozen=True)
class RemoteFile:
    """One file.

    Args:
        url: where it is published.
        path: where it goes, below the target directory.
        size: bytes; None where not known.
        sha256: 64 hexadecimal digits; None where not known.
    """

    url: str
    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class RemoteArchive:
    """A zip or tar file that is unpacked into a folder and then removed.

    Args:
        url: where it is published.
        path: the folder, below the target directory.
        account: used where the site refuses an anonymous download; None: never.
        size: bytes of the archive; None where not known.
        sha256: of the archive; None where not known.
        max_bytes: more than that is neither downloaded nor unpacked.
    """

    url: str
    path: str
    account: Account | None = None
    size: int | None = None
    sha256: str | None = None
    max_bytes: int = 64 * GIB


@dataclass(frozen=True)
class PickledWeights:
    """Weights that a repository has as a pickle only, and the safetensors file that is made of them.

    Args:
        name: the pickle in the repository.
        becomes: the safetensors file beside it.
        sha256: of the pickle; None: as the hub lists it.
    """

    name: str
    becomes: str
    sha256: str | None = None


@dataclass(frozen=True)
class HubRepo:
    """A model repository of the Hugging Face hub.

    Args:
        repo: its id.
        revision: a commit.
        path: the folder it goes to, below the target directory.
        pickled: what to convert where the repository has no safetensors file.
    """

    repo: str
    revision: str
    path: str
    pickled: PickledWeights | None = None


Asset: TypeAlias = RemoteFile | RemoteArchive | HubRepo

#: What is taken of a hub repository: weights without code, configurations, vocabularies; no second set of weights.
ALLOWED: Final = ("*.safetensors", "*.json", "*.txt")
IGNORED: Final = ("*.fp16.safetensors", "*.non_ema.safetensors")

_KAGGLE = Account("KAGGLE_USERNAME", "KAGGLE_KEY", "https://www.kaggle.com/settings")
_KAGGLE_DOWNLOAD = "https://www.kaggle.com/api/v1/datasets/download/kenhas/data-unlearning-in-diffusion-models"
_CHECKPOINTS = RemoteArchive(f"{_KAGGLE_DOWNLOAD}-checkpoints", "paper_checkpoints", _KAGGLE)
_DATASETS = RemoteArchive(f"{_KAGGLE_DOWNLOAD}-datasets", "paper_datasets", _KAGGLE)


def _published(name: str, size: int) -> RemoteFile:
    """An encoder's weights, at the place where they are looked for."""
    file = PUBLISHED[name]
    return RemoteFile(file.url, f"{name}/{file.filename}", size, file.sha256)


ASSETS: Final[Mapping[str, tuple[Asset, ...]]] = {
    "celeba_hq": (
        HubRepo(
            "google/ddpm-celebahq-256",
            "cd5c944777ea2668051904ead6cc120739b86c4d",
            "celeba_hq/ddpm-celebahq-256",
            PickledWeights(
                "diffusion_pytorch_model.bin",
                "diffusion_pytorch_model.safetensors",
                "efff89712093ad060ce99d9b461bbe542b49d8dd4ce30f23fe5761dca292361d",
            ),
        ),
        _DATASETS,
    ),
    "stable_diffusion": (
        HubRepo(
            "CompVis/stable-diffusion-v1-4",
            "133a221b8aa7292a167afc5127cb63fb5005638b",
            "stable_diffusion/stable-diffusion-v1-4",
        ),
        _CHECKPOINTS,
        _DATASETS,
    ),
    "sscd": (_published("sscd", 98_791_638),),
    "inception": (_published("inception", 95_628_359),),
    "clip": (
        HubRepo(
            CLIP_HUB_ID,
            "57c216476eefef5ab752ec549e440a49ae4ae5f3",
            FETCHED_CLIP.relative_to(FETCHED).as_posix(),
            PickledWeights("pytorch_model.bin", "model.safetensors"),
        ),
    ),
}
