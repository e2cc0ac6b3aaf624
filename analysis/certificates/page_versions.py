"""By what the page of a certificate is drawn: where all of it is equal, equal content makes the same page."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import Final

from analysis.page import STYLE_FILE
from tuning.versions import versions

#: Place what stands in the drawings.
_DRAWING: Final = ("matplotlib", "numpy")


def page_versions() -> dict[str, str]:
    """Name → version. ``machine`` is among them, since processors round the places in a drawing differently."""
    return {
        "code": versions()["code"],
        "style": hashlib.sha256(STYLE_FILE.read_bytes()).hexdigest()[:12],
        "machine": platform.machine(),
        **{name: version(name) for name in _DRAWING},
    }
