"""States on disks that are full or lie."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from trainable.checkpoint import check_state, load_state, save_state, save_weights, sync, whole_states
from trainable.failure import TrialFailure


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


def test_a_listing_tells_which_states_are_complete() -> None:
    """Ray copies file by file: a process that dies meanwhile leaves a part, of several models perhaps whole ones."""

    def files(number: int, *models: int, mark: bool = True) -> list[str]:
        names = [f"{model}/{file}" for model in models for file in ("state.pt", "state.sha256")]
        return [f"checkpoint_{number:06d}/{name}" for name in [*names, *(["reports-2"] if mark else [])]]

    whole = files(1, 0, 1)
    for missing in whole:
        assert whole_states(set(whole) - {missing}, 2) == {}
    names = [*files(7, 0), *files(3, 0, 1, mark=False), *whole, *files(0, 0, 1), "checkpoint_tmp_5f/reports-1", "error"]
    assert list(whole_states(names, 2).items()) == [("checkpoint_000000", 2), ("checkpoint_000001", 2)]
    assert list(whole_states(names, 1)) == ["checkpoint_000000", "checkpoint_000001", "checkpoint_000007"]
