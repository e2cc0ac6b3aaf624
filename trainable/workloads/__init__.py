"""Workloads: the model, the images and what they are measured against, one kind of pipeline a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import Registry

if TYPE_CHECKING:
    from trainable.workloads.workload import Workload

WORKLOADS: Registry[type[Workload]] = Registry(
    "workload",
    {
        "unconditional": "trainable.workloads.unconditional:UnconditionalWorkload",
        "text_to_image": "trainable.workloads.text_to_image:TextToImageWorkload",
    },
)

__all__ = ["WORKLOADS"]
