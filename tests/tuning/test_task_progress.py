"""How far tasks are, from their workers to the driver; the store of Ray's head is a dictionary here."""

from __future__ import annotations

import time

import pytest
import torch

from metrics.testing import tiny_denoiser
from tuning import task_progress
from tuning.task_progress import Listening, now_and_then, watching


class Store:
    """The head's store, as `ray.experimental.internal_kv` gives it."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.is_away = False

    def _internal_kv_put(self, key: bytes, value: bytes, *, overwrite: bool, namespace: bytes) -> None:
        if self.is_away:
            raise RuntimeError("the head is gone")
        self.values[key] = value

    def _internal_kv_get(self, key: bytes, *, namespace: bytes) -> bytes | None:
        if self.is_away:
            raise RuntimeError("the head is gone")
        return self.values.get(key)

    def _internal_kv_del(self, key: bytes, *, namespace: bytes) -> None:
        self.values.pop(key, None)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(task_progress, "internal_kv", made)
    monkeypatch.setattr(task_progress, "PERIOD_SECONDS", 0.01)
    return made


def test_rows_are_told_while_the_network_works(store: Store) -> None:
    network = tiny_denoiser().network
    images, timesteps = torch.zeros(5, 1, 8, 8), torch.zeros(5)
    with Listening([100, 300]) as listening, watching(network, listening.tellers[0]):
        with torch.no_grad():
            network(images, timesteps)
        network(images, timesteps)  # which may be differentiated, and counts three times
        end = time.monotonic() + 10
        while listening.share(set()) != pytest.approx(20 / 400):
            assert time.monotonic() < end
            time.sleep(0.01)
    assert not network._forward_pre_hooks
    assert not store.values, "nothing is left behind"


def test_tasks_weigh_by_what_they_take(store: Store) -> None:
    listening = Listening([10, 90, 100])
    listening.tellers[1].tell(45, 90)
    assert listening.share({0}) == pytest.approx(55 / 200)
    listening.tellers[1].tell(500, 90)
    assert listening.share({0}) == pytest.approx(100 / 200), "never more than all of it"
    assert listening.share({0, 1, 2}) == 1.0


def test_a_worker_that_knows_better_is_believed(store: Store) -> None:
    listening = Listening([100, 100])
    listening.tellers[0].tell(150, 300)
    assert listening.share(set()) == pytest.approx(150 / 400)
    assert listening.share({0}) == pytest.approx(300 / 400)


def test_a_task_that_begins_anew_on_another_machine_is_where_it_is(store: Store) -> None:
    [teller, _] = (listening := Listening([100, 100])).tellers
    teller.tell(80, 100)
    teller.tell(5, 100)
    assert listening.share(set()) == pytest.approx(5 / 200)


def test_tasks_that_tell_nothing_count_alike(store: Store) -> None:
    assert Listening([None, None]).share({0}) == 0.5
    assert Listening([None, 50]).share({0}) == 0.5


def test_a_head_that_is_away_disturbs_nobody(store: Store) -> None:
    network = tiny_denoiser().network
    with Listening([100]) as listening:
        store.is_away = True
        with watching(network, listening.tellers[0]), torch.no_grad():
            network(torch.zeros(5, 1, 8, 8), torch.zeros(5))
            time.sleep(0.05)
        assert listening.share(set()) == 0.0


def test_without_a_teller_nothing_is_watched() -> None:
    network = tiny_denoiser().network
    with watching(network, None):
        assert not network._forward_pre_hooks


def test_what_is_said_often_is_told_now_and_then() -> None:
    times, heard = iter([0.0, 0.0, 0.5, 1.2, 1.2, 1.3]), []
    tell = now_and_then(lambda done, total: heard.append((done, total)), clock=lambda: next(times))
    for done in range(4):
        tell(done, 9)
    assert heard == [(0, 9), (2, 9)]
