"""What a cluster on this machine needs of it."""

from __future__ import annotations

import shutil

from scripts.cluster_lib.errors import ClusterError
from scripts.cluster_lib.sshd import find_sshd, isolation_problem


def missing() -> str | None:
    """What this machine lacks, and how to come by it; None if nothing."""
    try:
        find_sshd()
    except ClusterError as error:
        return str(error)
    for program, package in (("ssh", "openssh-client"), ("rsync", "rsync"), ("unshare", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} must be installed, but is not: apt-get install {package}"
    if problem := isolation_problem():
        return f"process namespaces must be allowed, since `ray stop` ends all Ray processes it sees, but {problem}"
    return None
