"""A cluster's whole path on this machine: `ray up` over loopback ssh, a study as a job, its files fetched, torn down.

    python scripts/cluster_local.py                                    # a small study of the embedded model
    python scripts/cluster_local.py --name mine --num-trials 8         # flags of the launch command

What the study leaves behind goes to ``runs/<name>``. Needs Debian's openssh-server and rsync, and Linux's process
namespaces. Exit status: 0 done, 1 a step failed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.cluster_lib.errors import ClusterError  # noqa: E402
from scripts.cluster_lib.local_cluster import LocalCluster  # noqa: E402
from scripts.cluster_lib.requirements import missing  # noqa: E402
from tuning.config import ConfigError, load_config  # noqa: E402

#: A few trials of the embedded model.
SMALL = shlex.split(
    "--name local-cluster --num-trials 4 --rungs 20 40 --num-images 64 --final-num-images 128 --num-confirmed 1"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole path; returns the exit status."""
    console, flags = Console(stderr=True, highlight=False), list(argv if argv is not None else sys.argv[1:]) or SMALL
    try:
        name = load_config(flags)[0].name
        if problem := missing():
            raise ClusterError(problem)
        with LocalCluster(show=True) as cluster:
            cluster.run_study(flags)
            cluster.fetch(name, ROOT / "runs" / name)
    except (ClusterError, ConfigError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    console.print(f"torn down; the study's files: {ROOT / 'runs' / name}", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
