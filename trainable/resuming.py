"""The resume states that a trial may go on from, newest first, wherever they lie.

Only the files of states are ever fetched or opened: what else somebody put into a checkpoint is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from pyarrow.fs import LocalFileSystem
from ray.tune import Checkpoint

from trainable.checkpoint import STATE_FILES, whole_states
from trainable.depot import Depot
from trainable.failure import TrialFailure


def newest_states(
    checkpoint: Checkpoint, depot: Depot, num_models: int
) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """A trial's complete resume states, from a checkpoint of it back to the oldest.

    Args:
        checkpoint: the one to go on from, in a directory or in the depot's store.
        depot: where the study's files are.
        num_models: how many models the trial trains.

    Yields:
        Name, and a context in which the state's directory is on this node. Entering it raises TrialFailure where the
        state went away meanwhile, UnreachableError where the store does.
    """
    depot, folder, chosen = _place(checkpoint, depot)
    names = whole_states(depot.listing(folder), num_models)
    for name in sorted((name for name in names if name <= chosen), reverse=True):
        yield name, _at_hand(depot, folder / name, num_models)


def _place(checkpoint: Checkpoint, depot: Depot) -> tuple[Depot, Path, str]:
    """A depot that has the checkpoint's trial, the trial's directory below its root, and the checkpoint's name."""
    if isinstance(checkpoint.filesystem, LocalFileSystem):
        path = Path(checkpoint.path)
        return Depot(path.parent), path.parent, path.name
    place = PurePosixPath(checkpoint.path).relative_to(depot.filesystem()[1])
    return depot, depot.root / place.parent, place.name


@contextmanager
def _at_hand(depot: Depot, state: Path, num_models: int) -> Iterator[Path]:
    """A resume state on this node, while the block runs where it had to be fetched."""
    if depot.url is None:
        yield state
        return
    with TemporaryDirectory(prefix="unlearning-") as folder:
        copy = Depot(Path(folder) / depot.root.name, depot.url)
        directory = copy.root / state.relative_to(depot.root)
        try:
            for index in range(num_models):
                for file in STATE_FILES:
                    copy.download(directory / str(index) / file)
        except FileNotFoundError as error:
            raise TrialFailure("corrupt checkpoint", f"{state.name} is not whole in {depot.location}") from error
        yield directory
