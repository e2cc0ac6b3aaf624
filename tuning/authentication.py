"""A secret of its own for each study's Ray on this machine.

Ray listens on all interfaces, and who reaches its ports can run code. With a token only those can that have it: the
processes of this study, which inherit it.
"""

from __future__ import annotations

import os
import secrets

from tuning.schema import LOCAL

_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"


def guard_local_ray(address: str) -> None:
    """Have the Ray that this process will start ask for a token; before Ray is imported, which reads it then.

    Args:
        address: where the study is to run. A cluster that is joined has a token of its own, or none.
    """
    if address == LOCAL and _MODE not in os.environ:
        os.environ[_MODE], os.environ[_TOKEN] = "token", secrets.token_hex(32)
