"""The Optuna study on disk: how it is opened, and what is kept with each trial.

The storage is the truth of a study. Reports are kept in it as well, so that a searcher that was started anew, or
unpickled by Ray, judges a trial exactly as the one would have that was interrupted.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tuning.goals import Objective
from tuning.journal_lock import HolderLock
from tuning.outcome import INTERRUPTED, Outcome
from tuning.patience import Patience, file_holders, report_absence
from tuning.problems import redact

DIRECTIONS: Final = ("minimize", "maximize")
REPORT_PREFIX: Final = "report:"
#: How many trials had ended before a trial did: an order that no wall clock turns round.
ENDED: Final = "ended_before"


def open_storage(location: str | Path) -> BaseStorage:
    """A persistent storage: a URL opens a database, anything else is the path of a journal file, made where absent."""
    text = str(location)
    if "://" in text:
        storage = RDBStorage(database_url(text), engine_kwargs=_engine_settings(text))
        report_absence(storage.engine)
        return storage
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    return JournalStorage(JournalFileBackend(text, lock_obj=HolderLock(text)))


def _engine_settings(url: str) -> dict[str, Any]:
    """A server that vanished without a word is found out in half a minute; without these it takes the kernel hours."""
    if not url.startswith("postgresql"):
        return {}
    return {"connect_args": {"connect_timeout": 10, "keepalives_idle": 15, "tcp_user_timeout": 30_000}}


def database_url(url: str) -> str:
    """The URL as SQLAlchemy takes it: ``postgresql://`` means psycopg 3, the driver that the project depends on."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def open_study(location: str | Path, study_name: str, objectives: Sequence[Objective]) -> optuna.Study:
    """The study of that name, made where absent.

    Args:
        location: what ``open_storage`` takes.
        study_name: name in the storage.
        objectives: metric and direction; at least one, and the same ones if the study exists.

    Raises:
        ValueError: a direction is no direction, or the study was made for other objectives.
    """
    directions = directions_of(objectives)
    study = optuna.create_study(
        storage=open_storage(location),
        study_name=study_name,
        directions=directions,
        load_if_exists=True,
        sampler=RandomSampler(),  # of no account: nothing is asked of the study itself
    )
    _agree(study, objectives, redact(str(location)))
    return study


def directions_of(objectives: Sequence[Objective]) -> list[str]:
    """The objectives' directions as Optuna takes them.

    Raises:
        ValueError: there is no objective, two have the same metric, or a direction is not one of the two words.
    """
    metrics = [objective.metric for objective in objectives]
    if not metrics or len(set(metrics)) < len(metrics):
        raise ValueError(f"objectives must be one or more different metrics, but got {metrics}; name each once")
    for objective in objectives:
        if objective.direction not in DIRECTIONS:
            raise ValueError(
                f"the direction of {objective.metric!r} must be 'minimize' or 'maximize', "
                f"but got {objective.direction!r}; correct the word"
            )
    return [objective.direction for objective in objectives]


def _agree(study: optuna.Study, objectives: Sequence[Objective], location: str) -> None:
    """Names the study's objectives, or checks that they are the ones that it was made for."""
    wanted = [[o.metric, o.direction] for o in objectives]
    known = study.user_attrs.get("objectives")
    if known is None and not study.get_trials(deepcopy=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([o.metric for o in objectives])
        study.set_user_attr("objectives", wanted)  # last: who is cut off before it does both again
    elif known != wanted:
        raise ValueError(
            f"the objectives of a study cannot change, but {study.study_name!r} in {location} was made for {known} "
            f"and got {wanted}; give the study another name"
        )


def _drop_torn_line(path: Path) -> None:
    """Cuts off a last line that a killed process left half written: an append to it would spoil the journal."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            file.truncate(end)


def trial_name(number: int) -> str:
    """The one identity of a trial: its Optuna number as five digits, ``00042``."""
    return f"{number:05d}"


def reports_of(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The reports kept with a trial, by step."""
    kept: list[dict[str, Any]] = [json.loads(v) for k, v in trial.user_attrs.items() if k.startswith(REPORT_PREFIX)]
    return sorted(kept, key=lambda report: int(report["step"]))


def config_of(trial: FrozenTrial) -> dict[str, Any]:
    """The flat configuration under which a trial was started; empty where it never was."""
    config: dict[str, Any] = json.loads(trial.user_attrs.get("config", "{}"))
    return config


class StudyStore:
    """A study's trials by the name that they go by everywhere: read once, from then on written only.

    No other process may write to the study meanwhile; any may read it.

    Args:
        location: what ``open_storage`` takes.
        study_name: name in the storage.
        objectives: metric and direction.
        patience: with a storage that is away; None: the usual one.

    Raises:
        ValueError: as ``open_study``.
        StoreAwayError: from here and from every write, the storage stayed away too long.
    """

    def __init__(
        self,
        location: str | Path,
        study_name: str,
        objectives: Sequence[Objective],
        patience: Patience | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # its news would run through the live terminal view
        self._patiently = patience or patience_with(location)
        self.study = self._patiently(lambda: open_study(location, study_name, objectives))
        self._storage: BaseStorage = self.study._storage
        self._study_id: int = self.study._study_id
        self._trials: list[FrozenTrial] = self._patiently(lambda: list(self.study.get_trials(deepcopy=False)))
        self._num_ended = sum(trial.state.is_finished() for trial in self._trials)

    def trials(self) -> Sequence[FrozenTrial]:
        """Every trial, by number. The reports of a running one are those that it had when the study was opened."""
        return self._trials

    def running(self) -> list[str]:
        """Names of the trials that were started and not told."""
        return [trial_name(trial.number) for trial in self._trials if trial.state == TrialState.RUNNING]

    def trial(self, name: str) -> FrozenTrial:
        """The trial of that name.

        Raises:
            KeyError: there is none.
        """
        if not name.isdigit() or int(name) >= len(self._trials):
            raise KeyError(
                f"a trial must be one of the {len(self._trials)} of the study {self.study.study_name!r}, but got "
                f"{name!r}; hand the searcher to Ray through StudySearchGenerator, which keeps the ids equal"
            )
        return self._trials[int(name)]

    def create(self, template: FrozenTrial) -> FrozenTrial:
        """A new trial, with all that ``template`` has, in one write. Its number is that of trials so far.

        Raises:
            RuntimeError: another process has written to the study.
        """
        trial_id = self._patiently(lambda: self._create(template), lambda: self._find_or_create(template))
        number = self._patiently(lambda: self._storage.get_trial_number_from_id(trial_id))
        if number != len(self._trials):
            self._storage.set_trial_user_attr(trial_id, "reason", INTERRUPTED)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
            raise RuntimeError(
                f"one process at a time may run the study {self.study.study_name!r}, but trial "
                f"{len(self._trials)} was made by another; end one of them and resume the study"
            )
        created = copy.copy(template)
        created.number, created._trial_id = number, trial_id
        self._trials.append(created)
        return created

    def _create(self, template: FrozenTrial) -> int:
        return int(self._storage.create_new_trial(self._study_id, template_trial=template))

    def _find_or_create(self, template: FrozenTrial) -> int:
        """The trial of the next number, if it is there: a write may be done and only its confirmation lost."""
        try:
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, len(self._trials))
        except KeyError:
            return self._create(template)
        found = self._storage.get_trial(trial_id)
        is_own = (found.params, found.user_attrs) == (template.params, template.user_attrs)
        return int(trial_id) if is_own else self._create(template)

    def keep_report(self, name: str, report: Mapping[str, Any]) -> None:
        """Keeps one report with its trial, under its step: one that arrives twice is kept once."""
        key = f"{REPORT_PREFIX}{int(report['step'])}"
        trial_id, text = self.trial(name)._trial_id, json.dumps(dict(report))
        self._patiently(lambda: self._storage.set_trial_user_attr(trial_id, key, text))

    def keep(self, key: str, value: Any) -> None:
        """Keeps what a sampler notes with the study."""
        self._patiently(lambda: self._storage.set_study_system_attr(self._study_id, key, value))

    def kept(self) -> dict[str, Any]:
        """What samplers have noted with the study."""
        noted: dict[str, Any] = self._patiently(lambda: self._storage.get_study_system_attrs(self._study_id))
        return noted

    def tell(self, name: str, outcome: Outcome) -> FrozenTrial:
        """Ends a trial: its values, its constraints, and as user attributes what dashboards do not show of them."""
        trial_id = self.trial(name)._trial_id
        self._trials[int(name)] = told = self._patiently(
            lambda: self._tell(trial_id, outcome), lambda: self._tell_unless_told(trial_id, outcome)
        )
        self._num_ended += 1
        return told

    def _tell_unless_told(self, trial_id: int, outcome: Outcome) -> FrozenTrial:
        found: FrozenTrial = self._storage.get_trial(trial_id)
        return found if found.state.is_finished() else self._tell(trial_id, outcome)

    def _tell(self, trial_id: int, outcome: Outcome) -> FrozenTrial:
        for key, value in {**_constraint_attrs(outcome), ENDED: self._num_ended}.items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        for key, value in attributes(outcome).items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        state = TrialState.COMPLETE if outcome.completed else TrialState.FAIL
        self._storage.set_trial_state_values(trial_id, state, outcome.values or None)
        told: FrozenTrial = self._storage.get_trial(trial_id)
        return told


def patience_with(location: str | Path) -> Patience:
    """The usual patience with a storage. It names who has a SQLite file locked; of other databases it cannot."""
    prefix, text = "sqlite:///", str(location)
    holders = partial(file_holders, text.removeprefix(prefix)) if text.startswith(prefix) else str
    return Patience(f"the Optuna storage {redact(text)}", holders=holders)


def _constraint_attrs(outcome: Outcome) -> dict[str, float]:
    """The constraints as Optuna keeps them with a trial: a trial that is in no storage takes them as attributes."""
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    for key, value in outcome.constraints.items():
        trial.set_constraint(key, value)
    found: dict[str, float] = trial.system_attrs
    return found


def attributes(outcome: Outcome) -> dict[str, Any]:
    """The user attributes of a told trial."""
    if outcome.report is None:
        return {"reason": outcome.reason}
    found: dict[str, Any] = {f"constraint:{key}": value for key, value in outcome.constraints.items()}
    found |= {"violation": outcome.violation, "feasible": outcome.violation == 0.0}
    found |= {"step": outcome.report["step"], "rung": outcome.report["rung"]}
    if outcome.stopped_at_rung is not None:
        found["stopped_at_rung"] = outcome.stopped_at_rung
    return found


def outcome_of(trial: FrozenTrial) -> Outcome | None:
    """How a trial ended, as far as `attributes` keep it; None where it runs."""
    if not trial.state.is_finished():
        return None
    if trial.state == TrialState.FAIL:
        return Outcome(None, reason=trial.user_attrs.get("reason", "error"))
    report = {name: trial.user_attrs[name] for name in ("step", "rung") if name in trial.user_attrs}
    return Outcome(report, stopped_at_rung=trial.user_attrs.get("stopped_at_rung"))
