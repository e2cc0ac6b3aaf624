"""In which precision a network computes: bfloat16 and TF32 where asked for, neither where values must be exact.

Weights, losses and gradients are float32 in any case; only products inside of a network's call are reduced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def reduced(dtype: torch.dtype | None, device_type: str) -> AbstractContextManager[object]:
    """Convolutions and matrix products in ``dtype`` inside, by torch's autocast; as they are where it is None."""
    return nullcontext() if dtype is None else torch.autocast(device_type, dtype=dtype)


def allow_tf32(allowed: bool) -> None:
    """Whether NVIDIA GPUs multiply float32 numbers with 10 bits of mantissa, in matrix products and convolutions.

    By the two settings that torch keeps equal in its older and its newer interface: after ``fp32_precision`` of the
    newer one alone, torch raises wherever the older one is read, as torch.compile does.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 inside; as it was outside."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    allow_tf32(False)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
