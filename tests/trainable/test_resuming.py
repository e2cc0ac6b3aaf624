"""From which state a trial goes on, in a directory and in an object store, and that nothing else of it is read."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune import Checkpoint

from trainable.checkpoint import mark_reports, save_state
from trainable.depot import Depot, UnreachableError
from trainable.failure import TrialFailure
from trainable.plan import TrialPlan
from trainable.resuming import newest_states
from trainable.trial import TrialRunner
from trainable.unlearning import UnlearningTrainable

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}


class Planted:
    """A pickle that makes a file when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


@pytest.fixture
def store(tmp_path: Path, s3: str) -> Depot:
    """An object store; each test has a part of its own."""
    return Depot(tmp_path / "driver" / "study", f"{s3}/{tmp_path.name}")


@pytest.fixture(params=["directory", "store"])
def place(request: pytest.FixtureRequest, store: Depot) -> Depot:
    """Where a study keeps its files."""
    return store if request.param == "store" else Depot(store.root)


def put(depot: Depot, number: int, folder: Path | None = None) -> Path:
    """A resume state of one model, or a folder as one, where the study keeps them."""
    path = depot.root / "ray" / "00003" / f"checkpoint_{number:06d}"
    if folder is None:
        (path / "0").mkdir(parents=True)
        save_state(path / "0", {"number": torch.tensor(number)})
        mark_reports(path, number)
    else:
        shutil.copytree(folder, path)
    depot.hand_over([path])
    return path


def checkpoint(depot: Depot, path: Path) -> Checkpoint:
    if depot.url is None:
        return Checkpoint.from_directory(path)
    store, base = depot.filesystem()
    return Checkpoint(f"{base}/{path.relative_to(depot.root)}", store)


def a_worker(depot: Depot, tmp_path: Path) -> Depot:
    """The same study's files on another node."""
    return depot if depot.url is None else Depot(tmp_path / "worker" / depot.root.name, depot.url)


def damage(depot: Depot, path: Path) -> None:
    file = path / "0" / "state.pt"
    with depot.at_hand(file):
        content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    depot.hand_over([file])


def test_states_come_newest_first_from_the_chosen_one_on(place: Depot, tmp_path: Path) -> None:
    paths = [put(place, number) for number in range(4)]
    place.remove(paths[1] / "0" / "state.sha256")
    found = {}
    for name, at_hand in newest_states(checkpoint(place, paths[2]), a_worker(place, tmp_path), 1):
        with at_hand as directory:
            found[name] = torch.load(directory / "0" / "state.pt", weights_only=True)["number"].item()
    assert list(found.items()) == [("checkpoint_000002", 2), ("checkpoint_000000", 0)]


def test_a_state_that_goes_away_meanwhile_is_passed_over(store: Depot, tmp_path: Path) -> None:
    path = put(store, 0)
    ((name, at_hand),) = newest_states(checkpoint(store, path), a_worker(store, tmp_path), 1)
    store.remove(path)
    with pytest.raises(TrialFailure, match=f"{name} is not whole in s3://"), at_hand:
        pass


def test_a_store_that_is_away_is_no_damage(store: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(store, 0)
    monkeypatch.setattr("trainable.depot.DELAYS", ())
    found = checkpoint(store, path)
    worker = a_worker(store, tmp_path)
    worker.filesystem()
    ((_, at_hand),) = newest_states(found, worker, 1)
    monkeypatch.setattr("pyarrow.fs.copy_files", lambda *words, **more: (_ for _ in ()).throw(OSError("away")))
    with pytest.raises(UnreachableError), at_hand:
        pass


@pytest.fixture(scope="module")
def states(plan: TrialPlan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of a trial after each of its reports."""
    runner = TrialRunner(plan)
    runner.start(SISS)
    folders = []
    for number in range(1, 3):
        runner.advance()
        folders.append(tmp_path_factory.mktemp("state"))
        runner.save(folders[-1])
        mark_reports(folders[-1], number)
    return folders[0], folders[1]


@pytest.fixture
def trainable(plan: TrialPlan, place: Depot, tmp_path: Path) -> Iterator[UnlearningTrainable]:
    """As Ray makes one on another node than the driver's."""

    class WithPlan(UnlearningTrainable):
        def setup(self, config: dict[str, Any], plan: TrialPlan | None = None) -> None:
            super().setup(config, dataclasses.replace(the_plan, depot=a_worker(place, tmp_path)))

    the_plan = plan
    made = WithPlan(dict(SISS))
    yield made
    made.cleanup()


def test_a_damaged_state_gives_way_to_the_one_before_it(
    trainable: UnlearningTrainable, place: Depot, states: tuple[Path, Path]
) -> None:
    paths = [put(place, number, folder) for number, folder in enumerate(states)]
    damage(place, paths[1])
    trainable.restore(checkpoint(place, paths[1]))
    assert trainable._runner.rung == 1, "of two reports one is made again"
    assert "cannot go on from checkpoint_000001" in trainable._news[0]
    damage(place, paths[0])
    trainable.restore(checkpoint(place, paths[1]))
    assert trainable._runner.rung == 0
    assert trainable._news[-1] == "starts over: no resume state is intact"


def test_a_pickle_in_a_resume_state_is_not_read(
    trainable: UnlearningTrainable, place: Depot, states: tuple[Path, Path], tmp_path: Path
) -> None:
    """Ray's own `restore` would read this one before any checksum is looked at."""
    planted, ran = tmp_path / "state", tmp_path / "ran"
    shutil.copytree(states[0], planted)
    (planted / "_dict_checkpoint.pkl").write_bytes(pickle.dumps(Planted(ran)))
    (planted / ".metadata.json").write_text("nonsense")
    trainable.restore(checkpoint(place, put(place, 0, planted)))
    assert trainable._runner.rung == 1
    assert not ran.exists()
    pickle.loads((planted / "_dict_checkpoint.pkl").read_bytes())
    assert ran.exists(), "reading it would have shown"
