"""What is shown while a study's records come from an object store, before anything else is known of the study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tuning.mirror.taking_over import Told

if TYPE_CHECKING:
    from rich.console import Console

    from tuning.terminal import StudyView


@contextmanager
def fetching(console: Console, *, quiet: bool = False) -> Iterator[Told]:
    """Takes how far it is, while the context lasts; nothing is shown, nor imported, where nothing is fetched."""
    view: StudyView | None = None
    with ExitStack() as stack:

        def told(study: str, done: int, total: int) -> None:
            nonlocal view
            if view is None:
                from tuning.terminal import StudyView

                view = stack.enter_context(StudyView(console, study, quiet=quiet))
                view.stage("fetch records", total)
            view.reach(done, done / total)

        yield told
