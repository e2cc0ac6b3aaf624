"""Which pictures of samples belong side by side, and as many of them as a page has room for.

Two pictures are a pair where they were drawn from the same noise: a report's with the untouched model's as trials
measure, a front member's second one with the untouched model's as the front is re-measured.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from analysis.appearance import mean_key, member_key, point_key
from analysis.front import violations
from analysis.load import Study
from analysis.scene import can_judge
from analysis.table import numeric, rows
from tuning.baseline import RETRAINED, UNTOUCHED, UNTOUCHED_SEARCH
from tuning.files import FINAL, StudyFiles
from tuning.ranking import constrained_ranks

SAMPLES: Final = "samples"
DENOISINGS: Final = "denoisings"
#: Characters of all pictures of a page together: with plotly's script (4.8 MB) and the data it stays under 10 MB.
BUDGET: Final = 3_600_000
#: Pixels of a picture's longer side, above which it is made smaller.
MAX_SIDE: Final = 480
#: Pixels of a file, above which it is no picture that a study drew.
_MAX_PIXELS: Final = 1 << 26
_QUALITY: Final = 75
#: How often a pixel is repeated in the files (`trainable.pictures.save_grid`).
_FILE_SCALE: Final = 2


@dataclass(frozen=True)
class Pair:
    """Names of two pictures from the same noise; None for one that is not there, or may not be shown."""

    untouched: str | None
    unlearned: str | None


def picture_name(model: str, kind: str = SAMPLES) -> str:
    """A picture's file name, less its ending."""
    return f"{model}-{kind}"


def pairs(study: Study) -> dict[str, Pair]:
    """Point (as figures call it) → its pictures, of reports, means, front members and baselines; without those of none.

    Without the study's `log_forget_images` there is no picture of the untouched model, whatever files there are.
    """
    here = shown_pictures(study.files, study.config.log_forget_images)

    def known(name: str) -> str | None:
        return name if name in here else None

    searched, final = (known(picture_name(model)) for model in (UNTOUCHED_SEARCH, UNTOUCHED))
    found = {UNTOUCHED: Pair(final, None), RETRAINED: Pair(final, known(picture_name(RETRAINED)))}
    for row in rows(study.reports[["trial_id", "step"]]) if len(study.reports) else []:
        place = row["trial_id"], int(row["step"])
        pair = Pair(searched, known(picture_name(point_key(*place))))
        found[point_key(*place)] = found[mean_key(*place)] = pair
    for row in rows(study.front):
        place = row["trial_id"], int(row["step"])
        again = known(picture_name(f"{point_key(*place)}-{FINAL}"))
        found[member_key(*place)] = Pair(final, again) if again else found.get(point_key(*place), Pair(None, None))
    return {key: pair for key, pair in found.items() if pair != Pair(None, None)}


def shown_pictures(files: StudyFiles, log_forget_images: bool) -> set[str]:
    """Names of the pictures that may be shown; not links out of a study, which would put other files on a page."""
    own, found = files.root.resolve(), set[str]()
    for path in files.images.glob("*.png"):
        shows_forgotten = path.stem.endswith(f"-{DENOISINGS}") or path.stem in _OF_UNTOUCHED
        if (log_forget_images or not shows_forgotten) and path.resolve().is_relative_to(own) and path.is_file():
            found.add(path.stem)
    return found


_OF_UNTOUCHED: Final = {picture_name(model) for model in (UNTOUCHED, UNTOUCHED_SEARCH)}


def gallery(study: Study) -> list[str]:
    """Pictures that are shown without being pointed at: of the baselines, then of each front member."""
    here = shown_pictures(study.files, study.config.log_forget_images)
    names = _of_baselines()
    for final, searched in _of_members(study):
        names += final if final[0] in here else searched
    return [name for name in names if name in here]


def wanted(study: Study) -> list[str]:
    """Names of the pictures that a page may show, the most wanted first, whether there are such files or not."""
    members = [name for pictures in _of_members(study) for names in pictures for name in names]
    reports = [picture_name(point) for point in _by_rank(study)]
    return list(dict.fromkeys([*_of_baselines(), picture_name(UNTOUCHED_SEARCH), *members, *reports]))


def _of_baselines() -> list[str]:
    return [picture_name(model, kind) for model in (UNTOUCHED, RETRAINED) for kind in (SAMPLES, DENOISINGS)]


def _of_members(study: Study) -> list[tuple[list[str], list[str]]]:
    """For each front member the pictures of its second measurement, and those of its report."""
    points = [point_key(row["trial_id"], int(row["step"])) for row in rows(study.front)]
    kinds = SAMPLES, DENOISINGS
    return [
        ([picture_name(f"{point}-{FINAL}", kind) for kind in kinds], [picture_name(point, kind) for kind in kinds])
        for point in points
    ]


def embedded(study: Study, first: Iterable[str], budget: int = BUDGET) -> dict[str, str]:
    """Name → picture as a data URL, in order of weight until `budget` characters are used; each is there once.

    The order: `first`, the untouched model, front members, then reports by their rank. A file that is no picture is
    passed over.

    Args:
        study: whose.
        first: names that come before all others.
        budget: characters of all of them together.
    """
    of = pairs(study)
    points = [member_key(row["trial_id"], int(row["step"])) for row in rows(study.front)]
    points += _by_rank(study)
    names = [*first, *(name for pair in of.values() for name in [pair.untouched] if name)]
    names += [of[point].unlearned or "" for point in points if point in of]
    found, left = dict[str, str](), budget
    for name in filter(None, dict.fromkeys(names)):
        url = as_data_url(study.files.images / f"{name}.png")
        if url is None:
            continue
        left -= len(url)
        if left < 0:
            break
        found[name] = url
    return found


def _by_rank(study: Study) -> list[str]:
    """The reports' points, best first; of equal rank in their order."""
    reports = study.reports
    if reports.empty:
        return []
    points = [point_key(row["trial_id"], int(row["step"])) for row in rows(reports[["trial_id", "step"]])]
    if not can_judge(study):
        return points
    signs = np.array([goal.sign for goal in study.objectives])
    values = signs * numeric(reports, [goal.metric for goal in study.objectives])
    ranks = constrained_ranks(values, violations(reports, study.constraints, study.search_reference))
    return [points[place] for place in np.argsort(ranks, kind="stable")]


def as_data_url(path: Path, max_side: int = MAX_SIDE) -> str | None:
    """A study's picture at one pixel a pixel, as WebP; None of a file that is no PNG, or too large to be one.

    Args:
        path: a PNG whose pixels are repeated `_FILE_SCALE` times in both directions.
        max_side: of the longer side; a larger picture is made smaller.
    """
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            width, height = opened.size
            if width * height > _MAX_PIXELS:
                return None
            picture = opened.convert("L" if opened.mode == "L" else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    picture = picture.resize((max(1, width // _FILE_SCALE), max(1, height // _FILE_SCALE)), Image.Resampling.NEAREST)
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def without_picture(study: Study, of: Mapping[str, Pair], shown: Mapping[str, str]) -> tuple[int, int]:
    """How many reports have a file of samples that found no room, and how many have none."""
    keys: Sequence[str] = [point_key(row["trial_id"], int(row["step"])) for row in rows(study.reports)]
    names = [of[key].unlearned if key in of else None for key in keys]
    return sum(name is not None and name not in shown for name in names), sum(name is None for name in names)
