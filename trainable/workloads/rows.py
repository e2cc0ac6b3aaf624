"""Which rows a micro-batch holds, and which retain images lie nearest to a forget image; alike in every workload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion.rng import stream
from trainable.workloads.workload import Prepared


@dataclass(frozen=True)
class Rows:
    """Indices of a micro-batch, each (B,) int64: retain images, forget images, timesteps."""

    retain: Tensor
    forget: Tensor
    timesteps: Tensor


def draw_rows(scheduler: Any, num_retain: int, num_forget: int, place: tuple[int, int, int], size: int) -> Rows:
    """Rows drawn evenly with replacement, timesteps over all of the schedule, each from a stream of its own.

    Args:
        scheduler: of the pipeline; has ``alphas_cumprod``.
        num_retain, num_forget: how many images there are.
        place: (seed, step, index of the micro-batch).
        size: B.
    """
    limits = {"retain": num_retain, "forget": num_forget, "timestep": len(scheduler.alphas_cumprod)}
    seed, step, index = place
    drawn = [torch.randint(limit, (size,), generator=stream(seed, name, step, index)) for name, limit in limits.items()]
    return Rows(*drawn)


def nearest_by_distance(forget: Tensor, retain: Iterable[Tensor], k: int) -> Tensor:
    """Indices (F, k) of the retain points nearest to each forget point (F, …) in L2, nearest first.

    Args:
        forget: points (F, …).
        retain: all retain points, in blocks (B, …).
        k: how many of them.

    Raises:
        ValueError: there are fewer than k retain points.
    """
    wanted = forget.flatten(1).float()
    exact = "donot_use_mm_for_euclid_dist"  # the fast way subtracts squares, which loses the small distances
    distances = torch.cat(
        [torch.cdist(wanted, block.flatten(1).float(), compute_mode=exact) for block in retain], dim=1
    )
    if distances.shape[1] < k:
        known = distances.shape[1]
        raise ValueError(f"{k} nearest retain images must be among the retain images, but there are only {known}")
    return distances.topk(k, dim=1, largest=False, sorted=True).indices


def nearest_of(prepared: Prepared) -> Tensor:
    """``prepared.nearest``.

    Raises:
        ValueError: it was not prepared.
    """
    if prepared.nearest is None:
        raise ValueError(
            "a method that needs neighbours must have them prepared, but there are none; prepare(num_nearest=K)"
        )
    return prepared.nearest
