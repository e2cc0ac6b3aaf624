"""The on-premise cluster's file, with two addresses of loopback for its machines."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Any

import yaml

from scripts.cluster_lib.sshd import free_port

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "clusters" / "on_premise.yaml"
#: Not 127.0.0.1, which Ray takes for "this machine" and replaces by an address of its network.
HEAD, WORKER = "127.0.0.2", "127.0.0.3"


@dataclass(frozen=True)
class Ports:
    """What listens where, all on loopback."""

    ray: int = field(default_factory=free_port)
    client: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    mlflow: int = field(default_factory=free_port)
    #: Agents of head and worker, through which jobs start; a job cannot be submitted where one has not got its port.
    agents: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))


def configuration(token: Path, key: Path, ports: Ports, num_cpus: int) -> dict[str, Any]:
    """The shipped file with what differs here: addresses, key, token and ports, this environment for a new one.

    Args:
        token: file with the cluster's token.
        key: private key that opens both addresses.
        ports: of the head.
        num_cpus: of the worker.
    """
    config: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    config["provider"].update(head_ip=HEAD, worker_ips=[WORKER])
    config["auth"] = {"ssh_user": getuser(), "ssh_private_key": str(key)}
    config["file_mounts"]["~/.ray/auth_token"] = str(token)
    code = "~/data-unlearning-search"
    environment = Path(sys.executable).parent.parent
    config["initialization_commands"] = [f"mkdir -p {code} && ln -sfn {environment} {code}/.venv"]
    config["setup_commands"] = [f"echo '. {code}/clusters/node_profile.sh' >> ~/.bashrc"]
    # Several clusters of a machine would meet at Ray's fixed ports; 0 takes any that is free.
    anywhere = "--min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port="
    stop, mlflow, start = config["head_start_ray_commands"]
    start = start.replace("--port=6379", f"--port={ports.ray}").replace("=8265", f"={ports.dashboard}")
    start = f"{start} --node-ip-address={HEAD} --ray-client-server-port={ports.client} {anywhere}{ports.agents[0]}"
    config["head_start_ray_commands"] = [stop, mlflow, start]
    config["worker_start_ray_commands"] = [
        f"ray start --address=$RAY_HEAD_IP:{ports.ray} --node-ip-address={WORKER} --num-cpus={num_cpus} "
        f"{anywhere}{ports.agents[1]}"
    ]
    return config
