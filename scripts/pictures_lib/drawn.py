"""Pictures that need no browser: the front, its growth, and what models of the study make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.load import Study
from analysis.plots import front_picture
from analysis.samples import DENOISINGS, SAMPLES, picture_name, shown_pictures
from analysis.scene import compose, hypervolume_by_trial
from tuning.baseline import RETRAINED, UNTOUCHED
from tuning.files import FINAL

#: What is drawn of a model: ending of the study's own picture → beginning of the file's name here.
KINDS: Final = {SAMPLES: "samples", DENOISINGS: "restored"}
#: The member of the front that is shown: the recommended one, else the first.
MEMBER: Final = "member"


def draw(study: Study, folder: Path) -> list[Path]:
    """Draw all of them into a folder that exists; those for which the study has nothing are left out."""
    front_picture(study, folder / "front.png")
    return [folder / "front.png", *_hypervolume(study, folder), *_grids(study, folder)]


def _hypervolume(study: Study, folder: Path) -> Iterator[Path]:
    table = hypervolume_by_trial(study)
    if table.empty:
        return
    figure = Figure(figsize=(9.6, 3.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.step(range(1, len(table) + 1), table["hypervolume"], where="post", color="#222222")
    axes.set_xlabel("trials", fontsize=12)
    axes.set_ylabel("hypervolume\n(untouched 0, ideal 1)", fontsize=12)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "hypervolume.png", format="png")
    yield folder / "hypervolume.png"


def _grids(study: Study, folder: Path) -> Iterator[Path]:
    """The study's own pictures, under names that are the same for every study.

    Samples of the untouched model and restored forget images are taken only where the study logs forget images.
    """
    here = shown_pictures(study.files, study.config.log_forget_images)
    for model, stem in {UNTOUCHED: UNTOUCHED, RETRAINED: RETRAINED, MEMBER: _member(study)}.items():
        for kind, beginning in KINDS.items():
            if (name := picture_name(stem, kind)) in here:
                shutil.copyfile(study.files.images / f"{name}.png", folder / f"{beginning}_{model}.png")
                yield folder / f"{beginning}_{model}.png"


def _member(study: Study) -> str:
    """How the study names pictures of the recommended member, or of the first one; none has no pictures."""
    scene = compose(study)
    if scene.members.empty:
        return ""
    row = scene.members.iloc[scene.choice.position or 0]
    name = f"{row['trial_id']}-{row['step']}"
    again = f"{name}-{FINAL}"  # from the noise that the untouched and the retrained model's pictures are made of
    return again if (study.files.images / f"{again}-samples.png").is_file() else name
