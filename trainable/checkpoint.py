"""The rolling resume state of a trial, and the weights behind its reports.

A state is written beside its place and moved there whole, with a checksum: a reader finds all of it or none of it, and
a damaged one is refused instead of continued. Random streams are functions of (seed, step) and need no state.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import nn

from trainable.content import file_digest
from trainable.failure import TrialFailure

_STATE = "state.pt"
_CHECKSUM = "state.sha256"
_MARK = "reports-"
#: What is read of a model's state, and nothing else.
STATE_FILES: Final = (_STATE, _CHECKSUM)
#: Ray's names of checkpoints, which rise with time.
CHECKPOINT: Final = re.compile(r"checkpoint_\d+")


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text, containers of them) into ``directory``; ``sync`` makes it last.

    Raises:
        OSError: it could not be written; nothing of it is left.
    """
    with _moved_when_whole(directory / _STATE) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            # On a full disk torch ends its archive all the same, and says only that the archive is short.
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        (directory / _CHECKSUM).write_text(file_digest(temporary))


def check_state(directory: Path) -> None:
    """Whether ``directory`` holds what ``save_state`` wrote.

    Raises:
        TrialFailure: "corrupt checkpoint", if it is missing, incomplete, altered or cannot be read.
    """
    path, checksum = directory / _STATE, directory / _CHECKSUM
    if not path.is_file() or not checksum.is_file():
        raise TrialFailure("corrupt checkpoint", f"{directory} must hold {_STATE} and {_CHECKSUM}, but does not")
    try:
        is_whole = file_digest(path) == checksum.read_text(errors="replace").strip()
    except OSError as error:
        raise TrialFailure("corrupt checkpoint", f"{path} cannot be read: {error}") from error
    if not is_whole:
        raise TrialFailure("corrupt checkpoint", f"{path} does not match its checksum")


def load_state(directory: Path, device: torch.device) -> dict[str, Any]:
    """Read back what ``save_state`` wrote; no code in the file is run.

    Raises:
        TrialFailure: as ``check_state``.
    """
    check_state(directory)
    state: dict[str, Any] = torch.load(directory / _STATE, map_location=device, weights_only=True)
    return state


def mark_reports(directory: Path, num_reports: int) -> None:
    """Say of a resume state after how many reports it is, so that a listing tells it."""
    (directory / f"{_MARK}{num_reports}").touch()


def marked_reports(names: Iterable[str]) -> int | None:
    """After how many reports a resume state is, by the names in its directory; None where they do not say."""
    marks = [name.removeprefix(_MARK) for name in names if name.startswith(_MARK)]
    return int(marks[0]) if marks and marks[0].isdigit() else None


def whole_states(names: Iterable[str], num_models: int) -> dict[str, int]:
    """The complete resume states among a trial's files, oldest first: name → after how many reports.

    States are copied file by file: that of a process which died meanwhile lacks some. Whether what is there is sound
    only its checksum tells.

    Args:
        names: files below the trial's directory, as ``checkpoint_000003/0/state.pt``.
        num_models: how many models the trial trains, each with a state of its own.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        state, _, file = name.partition("/")
        if CHECKPOINT.fullmatch(state):
            found[state].add(file)
    needed = {f"{index}/{file}" for index in range(num_models) for file in STATE_FILES}
    marks = {state: marked_reports(files) for state, files in sorted(found.items()) if needed <= files}
    return {state: num_reports for state, num_reports in marks.items() if num_reports is not None}


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of ``network`` as safetensors, whole or not at all, to last.

    Raises:
        OSError: they could not be written; nothing of them is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _moved_when_whole(path) as temporary:
        temporary.write_bytes(
            save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
        )
        _sync(temporary)
    _sync(path.parent)


def sync(directory: Path) -> None:
    """Make all files and folders below ``directory``, and its own name, last through a power cut."""
    for path in (*directory.rglob("*"), directory, directory.parent):
        _sync(path)


@contextmanager
def _moved_when_whole(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of ``path`` at the end, and is gone if there was an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
