"""The rolling resume state of a trial, and the weights behind its reports.

A resume state is written beside its place and moved there whole, with a checksum: a reader finds all of it or none of
it, and a damaged one is refused instead of continued. Random streams are functions of (seed, step) and need no state.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from trainable.failure import TrialFailure

_STATE = "state.pt"
_CHECKSUM = "state.sha256"


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text, containers of them) into ``directory``."""
    temporary = directory / f"{_STATE}.tmp"
    torch.save(state, temporary)
    (directory / _CHECKSUM).write_text(_sha256(temporary))
    os.replace(temporary, directory / _STATE)


def load_state(directory: Path, device: torch.device) -> dict[str, Any]:
    """Read back what ``save_state`` wrote; no code in the file is run.

    Raises:
        TrialFailure: "corrupt checkpoint", if it is missing, incomplete or altered.
    """
    path, checksum = directory / _STATE, directory / _CHECKSUM
    if not path.is_file() or not checksum.is_file():
        raise TrialFailure("corrupt checkpoint", f"{directory} must hold {_STATE} and {_CHECKSUM}, but does not")
    if _sha256(path) != checksum.read_text().strip():
        raise TrialFailure("corrupt checkpoint", f"{path} does not match its checksum")
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of ``network`` as safetensors, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
