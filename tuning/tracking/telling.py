"""What MLflow is told when a study ends: its front, models, description, and the files that say all there is to say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.load import Study
from analysis.scene import choose, front_members
from analysis.study_note import member_notes, study_note
from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.tracking import STUDY_FOLDER, Tracker
from tuning.tracking.front_models import Cards, front_models


def tell_outcome(
    tracker: Tracker, study: Study, ranks: pd.DataFrame, cards: Cards, depot: Depot, *, picture: Path, report: Path
) -> None:
    """Queue all of it; nothing waits.

    Args:
        tracker: MLflow's view of the study.
        study: as its files have it, the front measured anew.
        ranks: of every trial that reported (`tuning.live_front.trial_ranks`).
        cards: of the front's models.
        depot: where their pipelines are.
        picture: of the front.
        report: the page.
    """
    members = front_members(study)
    position = choose(study, members).position
    recommended = None if position is None else str(members.iloc[position]["trial_id"])
    tracker.log_front(study.front, ranks, picture, report, recommended=recommended, notes=member_notes(study))
    tracker.log_models(front_models(study, cards, depot))
    tracker.log_files(study_files(study.files), STUDY_FOLDER, study_note(study))


def study_files(files: StudyFiles) -> list[Path]:
    """What analysis reads of a study, as far as it is there."""
    return [path for path in files.told if path.is_file()]
