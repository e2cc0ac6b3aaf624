"""What the end of a study has to do file by file: in an object store to many at a time, and to no more than needed."""

from __future__ import annotations

from typing import Final, Protocol

from analysis.load import Study
from analysis.samples import BUDGET, as_data_url, wanted
from trainable.checkpoint import CHECKPOINT
from trainable.depot import Depot
from tuning.files import StudyFiles

#: Pictures that are fetched before it is asked again whether the page has room for more.
BATCH: Final = 64


class Progress(Protocol):
    """What shows how far it is."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def advance(self) -> None: ...


def bring_pictures(study: Study, depot: Depot, view: Progress) -> None:
    """Have the pictures on this machine that the report has room for: of thousands of reports those of the best.

    Args:
        study: whose.
        depot: where workers handed its pictures over.
        view: shows how far it is.

    Raises:
        UnreachableError: the store does not answer.
    """
    images = study.files.images
    if depot.url is None:
        return
    there = depot.entries(images)
    names = [name for name in (f"{name}.png" for name in wanted(study)) if name in there]
    view.stage("fetch pictures", len(names))
    left = BUDGET
    for begin in range(0, len(names), BATCH):
        batch = [images / name for name in names[begin : begin + BATCH]]
        for _ in depot.in_parallel(depot.download, [path for path in batch if not path.exists()]):
            view.advance()
        left -= sum(len(as_data_url(path) or "") for path in batch)
        if left < 0:
            return


def drop_resume_states(depot: Depot, files: StudyFiles, view: Progress) -> None:
    """No trial of a finished study is taken up again, so what it would go on from only takes space.

    Raises:
        UnreachableError: the store does not answer.
    """
    places = {tuple(name.split("/")[:2]) for name in depot.listing(files.ray)}
    states = [files.ray.joinpath(*place) for place in sorted(places) if CHECKPOINT.fullmatch(place[-1])]
    takes_long = depot.url is not None and bool(states)  # where they lie on a disk there is nothing to wait for
    if takes_long:
        view.stage("drop resume states", len(states))
    for _ in depot.in_parallel(depot.remove, states):
        if takes_long:
            view.advance()
