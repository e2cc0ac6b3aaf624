"""What can befall the workers of a running study. Each fault does its deed when it is called, and says what it did.

Processes are found as children of the study's own, and of the nodes that it was given; nothing else is touched.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from benchmarks.soak_lib.machines import Machines
from benchmarks.soak_lib.running import RunningStudy
from tuning.record_tables import read_table
from tuning.records import TrialState
from tuning.studyfile import from_yaml

#: How Ray calls the process of a trial: by one class between two calls, by another inside of one.
_TITLE: Final = re.compile(r"ray::(UnlearningTrainable|ResourceTrainable)\b")
#: A file system larger than this is no small one made for the purpose, in bytes.
_LARGEST_DISK: Final = 2**30
#: What `st_blocks` counts, in bytes.
_BLOCK: Final = 512
#: Seconds between the notice of a spot machine's end and the end.
NOTICE_SECONDS: Final = 2


# Processes and machines


def kill_trial(study: RunningStudy) -> str:
    """SIGKILL to a process that runs trials, whether it trains, measures, saves or waits for its next trial."""
    actor = _actor(study)
    actor.kill()
    return f"killed the trial's process {actor.pid}"


def kill_machine(study: RunningStudy) -> str:
    """A machine with a trial on it is gone from one moment to the next."""
    name, raylet = _machine(study)
    _kill_tree(raylet)
    return f"killed node {name}"


def preempt_machine(study: RunningStudy) -> str:
    """A spot machine with a trial on it gets notice, which Ray is told as clouds tell it, and is gone soon after."""
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    name, raylet = _machine(study)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline = round(1000 * (time.time() + NOTICE_SECONDS))
    accepted, refusal = _machines(study).control.drain_node(name, reason, "spot notice", deadline)
    if not accepted:
        raise RuntimeError(f"a node with a trial on it must take notice, but refused: {refusal}")
    time.sleep(NOTICE_SECONDS)
    _kill_tree(raylet)
    return f"preempted node {name}"


# Resume states


def truncate_newest(study: RunningStudy) -> str:
    """The newest resume state of a running trial loses its second half, and the trial its process."""
    return _damage(study, _truncate, slice(-1, None))


def flip_newest(study: RunningStudy) -> str:
    """One bit of the newest resume state of a running trial is turned, and the trial loses its process."""
    return _damage(study, _flip, slice(-1, None))


def damage_all(study: RunningStudy) -> str:
    """All resume states of a running trial are damaged, and the trial loses its process."""
    return _damage(study, _flip, slice(None))


def _damage(study: RunningStudy, deed: Callable[[Path], None], which: slice) -> str:
    """To a trial with two states or more, while its process stands still: what is damaged is what is read next."""
    found: list[list[Path]] = []

    def have_stopped() -> bool:
        if not (actors := _actors(study)):
            return False
        for actor in actors:
            actor.suspend()
        found[:] = [states for states in _states(study) if len(states) > 1]
        if not found:
            for actor in actors:
                actor.resume()
        return bool(found)

    study.wait_for(have_stopped, "a running trial with two resume states")
    chosen = found[0][which]
    for state in chosen:
        deed(state)
    for actor in _actors(study):
        actor.kill()
    return f"damaged {', '.join(map(str, chosen))}"


def _states(study: RunningStudy) -> Iterator[list[Path]]:
    """Files of the resume states, oldest first, of each running trial that has not made its last report."""
    rungs = from_yaml(study.files.study.read_text(encoding="utf-8")).rungs
    reports, trials = read_table(study.files.reports), read_table(study.files.trials)
    for name in trials.loc[trials["state"] == TrialState.RUNNING, "trial_id"]:
        if (reports["trial_id"] == name).sum() < len(rungs):
            yield sorted((study.files.ray / str(name)).glob("checkpoint_*/0/state.pt"))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


# Disks


def fill_disk(study: RunningStudy, free: int = 0) -> Path:
    """Fill the file system of the study's storage, which must be a small one of its own, or make it as full again.

    Args:
        study: what runs there.
        free: bytes to leave, to the block.

    Returns:
        The file that fills it: room is made by removing it.
    """
    storage = study.launch.storage
    system = os.statvfs(storage)
    if system.f_frsize * system.f_blocks > _LARGEST_DISK:
        raise ValueError(f"the disk to fill must be at most {_LARGEST_DISK} bytes, but {storage} is on a larger one")
    filler = storage / "filler"
    filler.touch()
    while not _fill(filler, free):
        pass  # somebody else took the room
    return filler


def _fill(filler: Path, free: int) -> bool:
    """Make a file take all but ``free`` bytes; False where somebody else wrote in between and there is no such room."""
    system = os.statvfs(filler)
    size = filler.stat().st_blocks * _BLOCK + system.f_frsize * system.f_bavail - free
    with filler.open("r+b") as file:
        file.truncate(max(1, size))
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
    return True


# Whose they are


def _machines(study: RunningStudy) -> Machines:
    if study.launch.machines is None:
        raise ValueError("a machine can be taken away only from a study that was launched on several")
    return study.launch.machines


def _nodes(study: RunningStudy) -> dict[str, psutil.Process]:
    """Whose children a study's workers are: the nodes that it was given, or its own process."""
    if study.launch.machines is None:
        return {"local": psutil.Process(study.process.pid)}
    return study.launch.machines.raylets


def _actors_of(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in process.children(recursive=True):
        try:
            if _TITLE.match(" ".join(child.cmdline())):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _actors(study: RunningStudy) -> list[psutil.Process]:
    return [actor for node in _nodes(study).values() for actor in _actors_of(node)]


def _actor(study: RunningStudy) -> psutil.Process:
    study.wait_for(lambda: bool(_actors(study)), "a trial's process")
    return _actors(study)[0]


def _machine(study: RunningStudy) -> tuple[str, psutil.Process]:
    """A node on which a trial runs."""
    _machines(study)
    study.wait_for(lambda: bool(_actors(study)), "a trial's process")
    return next((name, node) for name, node in _nodes(study).items() if _actors_of(node))


def _kill_tree(process: psutil.Process) -> None:
    for victim in (process, *process.children(recursive=True)):
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
