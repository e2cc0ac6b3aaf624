"""The trials of a study through Ray Tune."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from typing import Any, Final

from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from ray.tune.schedulers import TrialScheduler

from search_spaces import space_of
from trainable.plan import TrialPlan
from trainable.unlearning import UnlearningTrainable
from tuning.files import StudyFiles
from tuning.schema import StudyConfig
from tuning.search_generator import StudySearchGenerator

#: Of a trial: the newest, and the one before it in case that is damaged.
NUM_RESUME_STATES: Final = 2


def run_trials(
    config: StudyConfig,
    plan: TrialPlan,
    generator: StudySearchGenerator,
    callbacks: Sequence[Callback],
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run trials until the search is over; without a scheduler, each to its end."""
    trainable: Any = tune.with_parameters(UnlearningTrainable, plan=plan)
    trainable = tune.with_resources(trainable, {"CPU": config.cpus_per_trial, "GPU": config.gpus_per_trial})
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
            name="ray",
            storage_path=str(config.root.absolute()),
            callbacks=list(callbacks),
            verbose=0,
            failure_config=FailureConfig(max_failures=0),  # see tuning.retries
            checkpoint_config=CheckpointConfig(num_to_keep=NUM_RESUME_STATES, checkpoint_frequency=1),
        ),
    )
    # Of trials that were taken up again Ray knows only that their first attempt failed; the study says what did fail.
    logging.getLogger("ray.tune.tune").addFilter(lambda record: "did not complete" not in str(record.msg))
    tuner.fit()


def _directory_of(trial: Any) -> str:
    return str(trial.trial_id)


def latest_checkpoint(files: StudyFiles, trial_id: str) -> str | None:
    """The newest resume state of a trial, None where it has none. What Ray would have dropped by now is dropped.

    Ray forgets the states of a trial that is handed out again. One more is kept than Ray does: the newest may be what
    the trial's process was writing when it died.
    """
    found = sorted((files.ray / trial_id).glob("checkpoint_*"))
    for outdated in found[: -NUM_RESUME_STATES - 1]:
        shutil.rmtree(outdated, ignore_errors=True)
    return str(found[-1]) if found else None


def parameter_columns(config: StudyConfig) -> tuple[str, ...]:
    """The union of the chosen methods' parameters, in the order of the spaces; ratios beside their products."""
    names: dict[str, None] = {}
    for method in config.methods:
        for parameter in space_of(method).parameters:
            names[parameter.name] = None
            if parameter.sampled_name != parameter.name:
                names[parameter.sampled_name] = None
    return tuple(names)
