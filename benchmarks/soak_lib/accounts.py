"""What must hold after a fault: nothing lost, twice, or left running, in files, Optuna and MLflow alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import TrialState as OptunaState

from analysis.load import load_study
from tuning.files import StudyFiles
from tuning.optuna_store import open_storage, trial_name


@dataclass
class Accounts:
    """What was found wrong with a study; all empty where nothing was.

    Attributes:
        lost: trials or reports that should be there and are not, or differ.
        duplicated: what is there more than once.
        stuck: what is still running.
    """

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def are_settled(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck)

    def demand(self, source: str, found: Iterable[str], wanted: Sequence[str]) -> None:
        """Each of ``wanted`` once in ``found``, and nothing else."""
        counts = Counter(found)
        self.lost += [f"{source}: {name}" for name in wanted if not counts[name]]
        self.duplicated += [f"{source}: {name}" for name, count in counts.items() if count > 1 or name not in wanted]


def acknowledged(files: StudyFiles) -> list[str]:
    """Rows of ``reports.csv`` as they are now, less one that is being written."""
    if not files.reports.exists():
        return []
    text = files.reports.read_text(encoding="utf-8", errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()[1:]


def settle(
    files: StudyFiles,
    num_trials: int,
    rungs: Sequence[int],
    *,
    before: Sequence[str] = (),
    optuna_storage: str | Path | None = None,
    mlflow_tracking_uri: str | None = None,
) -> Accounts:
    """Look a finished study over in which every trial runs through all of its rungs.

    Args:
        files: its paths.
        num_trials: as many as were asked for.
        rungs: steps at which each trial reports.
        before: what ``acknowledged`` gave at some time; all of it must be there still, byte for byte.
        optuna_storage: where Optuna has it; None for the study's own journal.
        mlflow_tracking_uri: where MLflow has it; None for the store beside the study.
    """
    accounts, study = Accounts(), load_study(files.root)
    names = [trial_name(number) for number in range(num_trials)]
    reports = [f"{name} step {step}" for name in names for step in rungs]
    found = [f"{row.trial_id} step {row.step}" for row in study.reports.itertuples()]
    accounts.demand("reports.csv", found, reports)
    accounts.demand("trials.csv", study.trials["trial_id"], names)
    running = study.trials.loc[~study.trials["state"].isin(["COMPLETE", "FAIL"]), "trial_id"]
    accounts.stuck += [f"trials.csv: {name}" for name in running]
    accounts.lost += [f"reports.csv, as acknowledged: {row}" for row in set(before) - set(acknowledged(files))]
    _settle_optuna(accounts, optuna_storage or files.journal, files.name, names)
    _settle_mlflow(accounts, mlflow_tracking_uri or f"sqlite:///{files.mlflow_database}", files, names, rungs)
    return accounts


def _settle_optuna(accounts: Accounts, storage: str | Path, study_name: str, names: Sequence[str]) -> None:
    import optuna

    trials = optuna.load_study(study_name=study_name, storage=open_storage(storage)).trials
    accounts.demand("Optuna", [trial_name(trial.number) for trial in trials], names)
    ended = (OptunaState.COMPLETE, OptunaState.FAIL)
    accounts.stuck += [f"Optuna: {trial_name(trial.number)}" for trial in trials if trial.state not in ended]


def _settle_mlflow(
    accounts: Accounts, tracking_uri: str, files: StudyFiles, names: Sequence[str], rungs: Sequence[int]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.study_id = '{files.study_id.read_text().strip()}'"
    runs = client.search_runs(experiments, query, max_results=10_000)
    trials = {run.info.run_id: run.data.tags["trial_id"] for run in runs if "trial_id" in run.data.tags}
    accounts.demand("MLflow", trials.values(), names)
    accounts.demand("MLflow, the study's run", ["study"] * (len(runs) - len(trials)), ["study"])
    accounts.stuck += [f"MLflow: {run.info.run_name}" for run in runs if run.info.status == "RUNNING"]
    for run_id, name in trials.items():
        steps = [str(point.step) for point in client.get_metric_history(run_id, "nll")]
        accounts.demand(f"MLflow, nll of {name}", steps, [str(step) for step in rungs])
