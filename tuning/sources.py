"""What a process opens to work on a study's models and images, from its configuration; in a worker or without Ray."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from trainable.device import DeviceSettings
from trainable.plan import Source
from trainable.workloads.workload import WorkloadSettings
from tuning.schema import StudyConfig


def select(kind: type[Any], config: StudyConfig) -> Any:
    """A dataclass of settings from the configuration's fields of the same names."""
    return kind(**{field.name: getattr(config, field.name) for field in fields(kind)})


def source_of(config: StudyConfig, num_threads: int) -> Source:
    """The workload of a study, its settings, and how a process with `num_threads` runs its networks."""
    settings, device = select(WorkloadSettings, config), select(DeviceSettings, config)
    return Source(config.workload, settings, num_threads, device)
