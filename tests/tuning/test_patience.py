"""A storage that is away: real databases that are locked, stopped, or lose the word that something was written."""

import logging
import sqlite3
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from benchmarks.postgresql import NoServerError, own_server
from benchmarks.soak_lib.service_faults import lock_sqlite
from tuning.goals import Objective
from tuning.optuna_store import StudyStore, patience_with
from tuning.outcome import Outcome
from tuning.patience import Patience, StoreAwayError, away_behind, file_holders, is_news

OBJECTIVES = (Objective("sscd", "minimize"),)


def make_store(location: str, seconds: float = 60.0) -> StudyStore:
    patience = patience_with(location)
    patience._seconds = seconds
    return StudyStore(location, "study", OBJECTIVES, patience)


def template(**attributes: Any) -> Any:
    return create_trial(state=TrialState.RUNNING, user_attrs={"config": "{}", **attributes})


def test_what_is_away_is_asked_again_until_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def work() -> int:
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise OperationalError("SELECT", None, Exception("the server closed the connection"))
        return 7

    with caplog.at_level(logging.WARNING):
        assert Patience("the storage")(work) == 7
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert "the storage does not answer (the server closed the connection)" in caplog.text
    assert "the storage answers again" in caplog.text


def test_it_gives_up_and_makes_no_call_after_that() -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        raise OperationalError("SELECT", None, Exception("no route"))

    patience = Patience("the storage", seconds=0.3)
    with pytest.raises(StoreAwayError, match=r"the storage does not answer \(no route\), for more than 0 s"):
        patience(work)
    made = len(calls)
    with pytest.raises(StoreAwayError):
        patience(work)
    assert len(calls) == made, "a trial could be told as failed by a call that works again"


def test_other_errors_are_nobodys_absence() -> None:
    def work() -> None:
        raise KeyError("trial")

    with pytest.raises(KeyError):
        Patience("the storage")(work)


def test_the_absence_is_found_behind_what_others_make_of_it() -> None:
    away, disguised = StoreAwayError("gone"), RuntimeError("text of a traceback")
    disguised.__context__ = away
    assert away_behind(disguised) is away
    assert away_behind(ValueError("other")) is None


@pytest.fixture
def sqlite(tmp_path: Path) -> Path:
    return tmp_path / "optuna.db"


class LosesCommits:
    """A database that does what it is told to and then loses the connection: at the commits of these numbers."""

    def __init__(self, store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.lost = 0, -1
        dialect = type(store.study._storage._backend.engine.dialect)
        commit = dialect.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            commit(dialect, connection)
            self.count += 1
            if self.count - 1 == self.lost:
                raise sqlite3.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(dialect, "do_commit", do_commit)

    def lose(self, number: int) -> None:
        self.count, self.lost = 0, number


def test_a_trial_of_which_the_confirmation_is_lost_is_there_once(sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(f"sqlite:///{sqlite}")
    LosesCommits(store, monkeypatch).lose(0)
    assert store.create(template()).number == 0
    assert store.create(template(other=True)).number == 1
    assert len(store.study.get_trials()) == 2


def test_an_end_of_which_any_confirmation_is_lost_is_told_once(sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, outcome = make_store(f"sqlite:///{sqlite}"), Outcome({"step": 1, "rung": 0}, (0.5,), {"fid": -0.1})
    commits = LosesCommits(store, monkeypatch)
    store.create(template())
    commits.lose(-1)
    store.tell("00000", outcome)
    of_an_end = commits.count
    assert of_an_end > 5
    for number in range(of_an_end):
        commits.lose(-1)
        name = f"{store.create(template(number=number)).number:05d}"
        commits.lose(number)
        told = store.tell(name, outcome)
        assert (told.state, told.values) == (TrialState.COMPLETE, [0.5])
        assert commits.count > number + 1, "it was made again"
    assert {trial.state for trial in store.study.get_trials()} == {TrialState.COMPLETE}


def test_another_process_that_makes_trials_is_still_refused(sqlite: Path) -> None:
    store, other = make_store(f"sqlite:///{sqlite}"), make_store(f"sqlite:///{sqlite}")
    other.create(template(mine=False))
    with pytest.raises(RuntimeError, match="one process at a time"):
        store.create(template(mine=True))


def test_a_locked_sqlite_is_waited_for_and_its_holder_named(sqlite: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(f"sqlite:///{sqlite}")
    with caplog.at_level(logging.WARNING):
        holder = threading.Thread(target=lock_sqlite, args=(sqlite, 7.0))
        holder.start()
        while not file_holders(str(sqlite)):
            time.sleep(0.05)
        pid = file_holders(str(sqlite))
        assert store.create(template()).number == 0
        holder.join()
    assert f"database is locked; held by {pid}" in caplog.text


def test_a_server_that_comes_back_is_gone_on_with_and_one_that_does_not_ends_the_study() -> None:
    try:
        with own_server() as server:
            store = make_store(server.url)
            store.create(template())
            server.stop()
            again = threading.Timer(2.0, server.start)
            again.start()
            store.keep_report("00000", {"step": 1})
            assert store.create(template(second=True)).number == 1
            again.join()
            store._patiently._seconds = 2.0
            server.stop()
            with pytest.raises(StoreAwayError, match="for more than 2 s"):
                store.keep_report("00000", {"step": 2})
            server.start()
            assert [sorted(trial.user_attrs) for trial in make_store(server.url).trials()] == [
                ["config", "report:1"],
                ["config", "second"],
            ]
    except NoServerError as error:
        pytest.skip(f"no PostgreSQL of its own: {error}")


def test_rays_traceback_of_an_absence_is_no_news() -> None:
    def record(error: Exception | None) -> logging.LogRecord:
        info = (type(error), error, None) if error else None
        return logging.LogRecord("ray", logging.ERROR, "file", 1, "Error stopping trial", None, info)

    assert [is_news(record(error)) for error in (StoreAwayError("gone"), ValueError("bug"), None)] == [
        False,
        True,
        True,
    ]
