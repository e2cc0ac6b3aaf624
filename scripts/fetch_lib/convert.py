"""Pickled weights made into a safetensors file; only tensors are read, no code is run."""

from __future__ import annotations

import pickle
from pathlib import Path

from scripts.fetch_lib.errors import FetchError


def to_safetensors(pickled: Path, target: Path) -> None:
    """Write the tensors of a ``torch.save`` file as safetensors, under the same names.

    Raises:
        FetchError: if the file holds anything but tensors by name.
    """
    import torch
    from safetensors.torch import save_file

    rule, remedy = "pickled weights must be tensors by name", "delete the file and fetch it again from its publisher"
    try:
        state = torch.load(pickled, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise FetchError(rule, f"{pickled.name}, which is not ({reason})", remedy) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise FetchError(rule, f"{pickled.name} with {type(state).__name__} of other things", remedy)
    tensors = {str(name): value.detach().clone().contiguous() for name, value in state.items()}
    save_file(tensors, target, metadata={"format": "pt"})
