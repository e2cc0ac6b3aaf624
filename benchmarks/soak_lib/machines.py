"""Several machines, as Ray sees them, on this one: a head that runs no trial, and nodes that can be lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

import psutil
import ray
from ray.cluster_utils import Cluster

from tuning.paths import PROJECT_ROOT

#: A node counts as dead three seconds after its last answer; Ray's own fifteen would only make tests longer.
_SYSTEM: Final = {
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
    "health_check_timeout_ms": 10_000,
}


class Machines:
    """A cluster as a context, with its own temporary directory.

    Args:
        cpus: of each node besides the head.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = cpus

    def __enter__(self) -> Machines:
        paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # workers inherit it
        self._folder = tempfile.mkdtemp(prefix="machines-")
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": self._folder, "_system_config": _SYSTEM}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._cluster.add_node(num_cpus=count) for count in self._cpus]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """What ``--address`` gets."""
        return str(self._cluster.address)

    @property
    def control(self) -> Any:
        """Ray's client of the cluster's control store."""
        return ray._raylet.GcsClient(address=self.address)

    @property
    def raylets(self) -> dict[str, psutil.Process]:
        """Ray's id of each node that lives → the process that is the node: workers are its children."""
        found = {node.node_id: _raylet(node) for node in self._nodes}
        return {name: process for name, process in found.items() if process is not None}


def _raylet(node: Any) -> psutil.Process | None:
    [started] = node.all_processes["raylet"]
    if started.process.poll() is not None:
        return None
    return psutil.Process(started.process.pid)
