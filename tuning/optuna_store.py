"""The Optuna study on disk: how it is opened, and what is kept with each trial.

The storage is the truth of a study. Reports are kept in it as well, so that a searcher that was started anew, or
unpickled by Ray, judges a trial exactly as the one would have that was interrupted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tuning.goals import Objective
from tuning.outcome import Outcome
from tuning.problems import redact

DIRECTIONS: Final = ("minimize", "maximize")
REPORT_PREFIX: Final = "report:"


def open_storage(location: str | Path) -> BaseStorage:
    """A persistent storage: a URL opens a database, anything else is the path of a journal file, made where absent."""
    text = str(location)
    if "://" in text:
        return RDBStorage(database_url(text))
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    return JournalStorage(JournalFileBackend(text))


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
        storage=open_storage(location), study_name=study_name, directions=directions, load_if_exists=True
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
        study.set_user_attr("objectives", wanted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([o.metric for o in objectives])
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


class _InformedStudy(optuna.Study):  # type: ignore[misc]
    """A study as its sampler sees it: with trials of other studies before its own."""

    def __init__(self, study: optuna.Study, known: Sequence[FrozenTrial]) -> None:
        super().__init__(study.study_name, study._storage)
        self._known = known

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        known = [trial for trial in self._known if states is None or trial.state in states]
        return [*known, *super()._get_trials(deepcopy, states, use_cache)]


class StudyStore:
    """A study's trials by the name that they go by everywhere.

    Args:
        location: what ``open_storage`` takes.
        study_name: name in the storage.
        objectives: metric and direction.
        known: trials of other studies, which samplers see before this one's.

    Raises:
        ValueError: as ``open_study``.
    """

    def __init__(
        self,
        location: str | Path,
        study_name: str,
        objectives: Sequence[Objective],
        known: Sequence[FrozenTrial] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # its news would run through the live terminal view
        self.study = open_study(location, study_name, objectives)
        self._asked = _InformedStudy(self.study, known)
        self._handles: dict[str, optuna.Trial] = {}

    def trials(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return trials

    def running(self) -> list[str]:
        """Names of the trials that were started and not told."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial_name(trial.number) for trial in running]

    def trial(self, name: str) -> FrozenTrial:
        """The trial of that name.

        Raises:
            KeyError: there is none.
        """
        trials = self.trials()
        if not name.isdigit() or int(name) >= len(trials):
            raise KeyError(
                f"a trial must be one of the {len(trials)} of the study {self.study.study_name!r}, but got {name!r}; "
                "hand the searcher to Ray through StudySearchGenerator, which keeps the ids equal"
            )
        return trials[int(name)]

    def ask(self, sampler: BaseSampler, params: Mapping[str, Any] | None) -> optuna.Trial:
        """A new trial, with ``params`` given where there are any."""
        self._asked.sampler = sampler
        if params:
            self.study.enqueue_trial(dict(params))
        trial = self._asked.ask()
        self._handles[trial_name(trial.number)] = trial
        return trial

    def keep_report(self, name: str, report: Mapping[str, Any]) -> None:
        """Keeps one report with its trial, under its step: one that arrives twice is kept once."""
        self._handle(name).set_user_attr(f"{REPORT_PREFIX}{int(report['step'])}", json.dumps(dict(report)))

    def tell(self, name: str, outcome: Outcome) -> None:
        """Ends a trial: its values, its constraints, and as user attributes what dashboards do not show of them."""
        handle = self._handle(name)
        for key, value in outcome.constraints.items():
            handle.set_constraint(key, value)
        for key, attribute in attributes(outcome).items():
            handle.set_user_attr(key, attribute)
        state = TrialState.COMPLETE if outcome.completed else TrialState.FAIL
        self.study.tell(handle.number, values=outcome.values or None, state=state)
        self._handles.pop(name, None)

    def _handle(self, name: str) -> optuna.Trial:
        """The trial to write to. Making one samples anew; a random sampler does that at no cost, without a trace."""
        if name not in self._handles:
            self.study.sampler = RandomSampler()
            self._handles[name] = optuna.Trial(self.study, self.trial(name)._trial_id)
        return self._handles[name]


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
