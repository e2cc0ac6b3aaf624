"""Private random streams: one generator per (seed, purpose, step), so that no draw depends on what was drawn before.

Measuring more often, in another order or in other batch sizes then changes nothing, and a run that was resumed draws
what the uninterrupted run would have drawn, without storing any generator's state.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for ``purpose`` under ``seed``: equal arguments give equal seeds, others independent ones."""
    key = "/".join(f"{type(part).__name__}:{part}" for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, *purpose: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator of its own for ``purpose``, for instance ``stream(7, "noise", step)``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *purpose))
