"""States on disks that are full or lie."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from trainable.checkpoint import check_state, load_state, save_state, save_weights, sync
from trainable.failure import TrialFailure
from trainable.unlearning import _newest_first


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to write further into any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_state_that_cannot_be_written_leaves_the_one_before_it_whole(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    save_state(tmp_path, {"weights": torch.ones(10_000)})
    sync(tmp_path)
    before = sorted(tmp_path.iterdir())
    with largest_file(10_000), pytest.raises(OSError, match="File too large"):
        save_state(tmp_path, {"weights": torch.zeros(10_000)})
    assert sorted(tmp_path.iterdir()) == before
    assert load_state(tmp_path, cpu)["weights"].sum() == 10_000


def test_weights_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    with largest_file(10_000), pytest.raises(OSError, match="File too large"):
        save_weights(torch.nn.Linear(100, 100), tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["state.pt", "state.sha256"])
@pytest.mark.parametrize("size", [0, 10])
def test_a_truncated_state_is_noticed(tmp_path: Path, name: str, size: int) -> None:
    save_state(tmp_path, {"weights": torch.ones(10)})
    check_state(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    with pytest.raises(TrialFailure, match="corrupt checkpoint"):
        check_state(tmp_path)


def test_states_before_one_are_its_trials_own(tmp_path: Path) -> None:
    trial = [tmp_path / "00003" / f"checkpoint_{number:06d}" for number in range(4)]
    copies = [tmp_path / f"checkpoint_tmp_{name}" for name in ("5f", "a0")]
    for folder in (*trial, *copies):
        folder.mkdir(parents=True)
    assert _newest_first(trial[2]) == [trial[2], trial[1], trial[0]]
    assert _newest_first(copies[1]) == [copies[1]], "a copy of Ray's lies among those of other trials"
