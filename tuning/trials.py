"""The trials of a study through Ray Tune."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ray import tune
from ray.tune import (
    Callback,
    Checkpoint,
    CheckpointConfig,
    ExperimentAnalysis,
    FailureConfig,
    RunConfig,
    Stopper,
    TuneConfig,
)
from ray.tune.execution import class_cache
from ray.tune.schedulers import TrialScheduler

from search_spaces import space_of
from trainable.checkpoint import CHECKPOINT, whole_states
from trainable.depot import Depot
from trainable.plan import TrialPlan
from trainable.unlearning import UnlearningTrainable
from tuning.files import StudyFiles
from tuning.schema import StudyConfig
from tuning.search_generator import StudySearchGenerator

#: Variables that Ray Tune copies from this process into its workers' runtime environment, which Ray writes, values and
#: all, to its logs and shows on its dashboard.
LOGGED_BY_RAY: Final = frozenset(
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
)
#: Of a trial: the newest, and the one before it in case that is damaged.
NUM_RESUME_STATES: Final = 2


def run_trials(
    config: StudyConfig,
    plan: TrialPlan,
    generator: StudySearchGenerator,
    callbacks: Sequence[Callback],
    scheduler: TrialScheduler | None = None,
    stopper: Stopper | None = None,
) -> None:
    """Run trials until the search is over, or the stopper says so; without a scheduler, each to its end.

    Workers have the credentials of their own node.
    """
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(LOGGED_BY_RAY)
    trainable: Any = tune.with_parameters(UnlearningTrainable, plan=plan)
    trainable = tune.with_resources(trainable, config.trial_resources)
    tuner = tune.Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=generator,
            scheduler=scheduler,
            num_samples=config.num_trials,
            reuse_actors=True,
            trial_dirname_creator=_directory_of,
        ),
        run_config=RunConfig(
            name=StudyFiles(config.root).ray.name,
            **_storage(config.depot),
            callbacks=list(callbacks),
            verbose=0,
            stop=stopper,
            failure_config=FailureConfig(max_failures=0),  # see tuning.retries
            checkpoint_config=CheckpointConfig(num_to_keep=NUM_RESUME_STATES, checkpoint_frequency=1),
        ),
    )
    # Of trials that were taken up again Ray knows only that their first attempt failed; the study says what did fail.
    logging.getLogger("ray.tune.tune").addFilter(lambda record: "did not complete" not in str(record.msg))
    with _nothing_read_back():
        tuner.fit()


@contextmanager
def _nothing_read_back() -> Iterator[None]:
    """Ray fetches each trial's table of results in the end, one after another: minutes with a store, for nobody."""
    name = "_fetch_trial_dataframes"
    kept = getattr(ExperimentAnalysis, name)
    setattr(ExperimentAnalysis, name, lambda analysis: {})
    try:
        yield
    finally:
        setattr(ExperimentAnalysis, name, kept)


def _storage(depot: Depot) -> dict[str, Any]:
    """Where Ray keeps the experiment, as arguments of its configuration."""
    if depot.url is None:
        return {"storage_path": str(depot.root)}
    store, path = depot.filesystem()
    return {"storage_path": path, "storage_filesystem": store}


def _directory_of(trial: Any) -> str:
    return str(trial.trial_id)


def latest_checkpoint(
    depot: Depot, files: StudyFiles, trial_id: str, num_reports: int, num_models: int = 1
) -> Checkpoint | None:
    """The newest resume state of a trial that is complete and not ahead of its reports, None where it has none.

    It is incomplete where the trial's process died while it wrote, and ahead where the machine was lost that had the
    report. Ray forgets the states of a trial that is handed out again: what it would have dropped by now is dropped,
    and what was passed over. One more is kept than Ray does: whether a state is sound only its reader can tell.

    Raises:
        UnreachableError: the store does not answer.
    """
    folder = files.ray / trial_id
    listing = depot.listing(folder)
    states = whole_states(listing, num_models)
    usable = [name for name, marked in states.items() if marked <= num_reports][-NUM_RESUME_STATES - 1 :]
    for name in {name.partition("/")[0] for name in listing}:
        if CHECKPOINT.fullmatch(name) and name not in usable:
            depot.remove(folder / name)
    if not usable:
        return None
    store = _storage(depot)
    path = f"{store['storage_path']}/{files.ray.name}/{trial_id}/{usable[-1]}"
    return Checkpoint(path, store.get("storage_filesystem"))


def parameter_columns(config: StudyConfig) -> tuple[str, ...]:
    """The union of the chosen methods' parameters, in the order of the spaces; ratios beside their products."""
    names: dict[str, None] = {}
    for method in config.methods:
        for parameter in space_of(method).parameters:
            names[parameter.name] = None
            if parameter.sampled_name != parameter.name:
                names[parameter.sampled_name] = None
    return tuple(names)
