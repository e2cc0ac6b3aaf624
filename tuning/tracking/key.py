"""What is a study's in an MLflow store: which runs and models, and which files may become part of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyKey:
    """Which runs are a study's: ``study_id`` finds them, the others are for reading."""

    experiment: str
    study: str
    study_id: str
    root: Path
    """The study's directory, out of which no file is logged."""
    artifacts: str | None = None
    """Where the experiment keeps artifacts; None where a server decides."""

    def allows(self, path: Path) -> bool:
        """Whether a file is of the study. What is queued was read from a file, which must not make others public."""
        if path.resolve().is_relative_to(self.root.resolve()):
            return True
        logger.warning("MLflow must be given files of the study only, but not %s: it was passed over", path)
        return False
