"""The workers of a study: a Ray session, and the tasks that run once per study with a trial's resources."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayTaskError

from diffusion.rng import derive_seed
from trainable.failure import TrialFailure
from tuning.baseline import RETRAINED, UNSEEN, UNTOUCHED, UNTOUCHED_SEARCH, Baseline, with_given_ideal
from tuning.files import FINAL, StudyFiles
from tuning.interruption import kept_sigterm
from tuning.measuring import measure_model, measure_unmemorised, measure_untouched, prepare, timed_calibration
from tuning.pace import Pace
from tuning.paths import PROJECT_ROOT
from tuning.quality import as_measured, block_sizes, quality_rule
from tuning.schema import LOCAL, StudyConfig
from tuning.sources import select, source_of
from tuning.task_progress import Listening, Teller
from tuning.task_rows import rows_of_calibration, rows_of_model, rows_of_search_reference

if TYPE_CHECKING:
    from metrics.metric import Measurement
    from trainable.plan import TrialPlan
    from tuning.logged import Progress
    from tuning.measuring import SearchReference

#: Seconds between two looks at how far tasks are.
LOOK_SECONDS: Final = 1.0
#: What a task takes that tells how much there is to do along with how much is done.
UNKNOWN: Final = 1


class Workers:
    """A Ray session for one study, as a context.

    Args:
        config: the study.
        files: its paths.
        view: shows the progress of tasks.
    """

    def __init__(self, config: StudyConfig, files: StudyFiles, view: Progress) -> None:
        self._config, self._files, self._view = config, files, view
        self._plan: TrialPlan | None = None
        self._labels: dict[str, str] = {}
        #: How long trials will take; None where the baseline was not measured here and now.
        self.pace: Pace | None = None

    def __enter__(self) -> Workers:
        self._view.stage("start Ray")
        start_ray(self._config.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error Ray ends with this process: its shutdown may end the process before the user is told."""
        if error is None:
            ray.shutdown()

    @property
    def plan(self) -> TrialPlan:
        """What trials have in common; made by ``prepare``."""
        if self._plan is None:
            self.prepare()
        if self._plan is None:
            raise RuntimeError("the plan must be prepared before it is used")
        return self._plan

    @property
    def slots(self) -> int:
        """Trials at a time, at least one: as many as fit now, or are asked for.

        A cluster may grow by what waits for a machine, so that there more may be asked for than fit.
        """
        config = self._config
        if config.address != LOCAL and config.max_concurrent_trials:
            return config.max_concurrent_trials
        fits = sum(fitting(node["Resources"], config.trial_resources) for node in ray.nodes() if node["Alive"])
        return max(1, min(config.max_concurrent_trials or fits, fits))

    def prepare(self) -> None:
        """Statistics of the retain images and the forget images' neighbours."""
        from metrics.subject import Fidelity
        from trainable.plan import TrainingSettings, TrialPlan
        from trainable.unlearning import threads_for

        config = self._config
        source = source_of(config, threads_for(config.cpus_per_trial))
        [(prepared, self._labels)] = self._run(
            "prepare images", [Task(prepare, (source, config.methods), rows=UNKNOWN)]
        )
        for note in dict.fromkeys(note for of_set in prepared for note in of_set.notes):
            self._view.message(note)
        self._plan = TrialPlan(
            source=source,
            training=select(TrainingSettings, config),
            fidelity=Fidelity(**config.trial_fidelity),
            metrics=config.metrics,
            evaluation_seed=derive_seed(config.seed, "evaluation"),
            prepared=prepared,
            candidates=self._files.candidates,
            images=self._files.images,
            log_forget_images=config.log_forget_images,
            ladder=config.ladder,
            depot=config.depot,
        )

    def keep_quality(self, baseline: Baseline) -> None:
        """Let trials measure and end by the study's bounds, now that it is known what they are relative to."""
        self._plan = replace(self.plan, rule=quality_rule(self._config, baseline))

    def measure_baseline(self) -> Baseline:
        """The untouched and the retrained model, and the scale of the gradients."""
        config, plan = self._config, self.plan
        full, seed = _final_fidelity(config), derive_seed(config.seed, "final")
        # What the untouched model generates may be the forget image itself.
        drawn = {name: {"picture": name} if config.log_forget_images else {} for name in (UNTOUCHED, UNTOUCHED_SEARCH)}
        rows, of_reference = rows_of_model(config, plan, full), rows_of_search_reference(config, plan)
        tasks = {
            UNTOUCHED: Task(measure_model, (plan, config.model, full, seed), drawn[UNTOUCHED], rows),
            UNTOUCHED_SEARCH: Task(
                measure_untouched, (plan, block_sizes(config, plan)), drawn[UNTOUCHED_SEARCH], of_reference
            ),
        }
        if config.retrained_model:
            arguments = (plan, config.retrained_model, full, seed)
            tasks[RETRAINED] = Task(measure_model, arguments, {"picture": RETRAINED}, rows)
        else:
            tasks[UNSEEN] = Task(measure_unmemorised, (plan, config.unseen, full, seed), rows=rows)
        of_steps = rows_of_calibration(plan)
        calibration = Task(timed_calibration, (plan, derive_seed(config.seed, "calibration")), rows=of_steps)
        (norms, step_seconds), *results = self._run("measure baseline", [calibration, *tasks.values()])
        plan.depot.bring(self._files.images)
        measured = dict(zip(tasks, results, strict=True))
        search: SearchReference = measured[UNTOUCHED_SEARCH]
        self.pace = Pace(step_seconds * len(plan.prepared), search.seconds)
        blocks = {count: as_measured(found) for count, found in search.by_images.items()}
        measured[UNTOUCHED_SEARCH] = search.by_images[plan.fidelity.num_images]
        models = {model: as_measured(found) for model, found in measured.items() if found}
        del blocks[plan.fidelity.num_images]
        ideal = with_given_ideal(models, config.ideal)
        return Baseline(ideal, norms, self._labels, blocks, search.variety, search.offsets, search.grid_error)

    def remeasure(self, keys: Sequence[tuple[str, int]]) -> list[dict[str, Measurement]]:
        """Candidates (trial_id, step) at full fidelity on fresh seeds; writes their pipelines, draws their pictures."""
        config = self._config
        full = _final_fidelity(config)
        arguments = (self.plan, config.model, full, derive_seed(config.seed, "final"))
        rows = rows_of_model(config, self.plan, full, num_models=len(self.plan.prepared))
        tasks = [
            Task(
                measure_model,
                arguments,
                {
                    "weights": self._files.candidate(*key),
                    "pipeline": self._files.checkpoint(*key),
                    "picture": f"{self._files.checkpoint(*key).name}-{FINAL}",
                },
                rows,
            )
            for key in keys
        ]
        return self._run("re-measure the front", tasks)

    def _run(self, stage: str, tasks: Sequence[Task]) -> list[Any]:
        """Results of all tasks, in order, with progress: of those that run too, where it is known what they take."""
        self._view.stage(stage, len(tasks))
        remote = ray.remote(**as_options(self._config.trial_resources))
        with Listening([task.rows for task in tasks]) as listening:
            references = [
                remote(task.function).remote(*task.arguments, **task.options_with(teller))
                for task, teller in zip(tasks, listening.tellers, strict=True)
            ]
            place, waiting, done = {reference: index for index, reference in enumerate(references)}, references, set()
            while waiting:
                ended, waiting = ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
                _collect(ended)
                done |= {place[reference] for reference in ended}
                self._view.reach(len(done), listening.share(done))
        return list(ray.get(references))


@dataclass(frozen=True)
class Task:
    """What a worker does once per study.

    Attributes:
        function: runs in the worker.
        arguments, options: of it.
        rows: network rows that it takes, or UNKNOWN, of which it tells by an option ``teller``; None where it tells
            nothing.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None

    def options_with(self, teller: Teller) -> dict[str, Any]:
        """Those of the call."""
        return dict(self.options) if self.rows is None else {**self.options, "teller": teller}


def _collect(ended: Sequence[Any]) -> None:
    """Raise what a task that has ended was ended by; a `TrialFailure` without Ray's traceback, since it says all."""
    try:
        ray.get(ended)
    except RayTaskError as error:
        if isinstance(error.cause, TrialFailure):
            raise error.cause from None
        raise


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one on this machine alone.

    ``local`` never attaches to a cluster that happens to run. Workers import this project from where it lies.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # they are in error.txt, and many are survived
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    paths = [str(PROJECT_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    with kept_sigterm():
        ray.init(
            address=address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
        )


def fitting(machine: Mapping[str, float], trial: Mapping[str, float]) -> int:
    """How many trials a machine has room for. Ray counts in steps of 0.0001."""
    return min(math.floor(machine.get(name, 0) / amount + 1e-9) for name, amount in trial.items() if amount)


def as_options(resources: Mapping[str, float]) -> dict[str, Any]:
    """Resources by Ray's names, as options of a task."""
    others = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
    return {"num_cpus": resources["CPU"], "num_gpus": resources["GPU"], "resources": others}


def _final_fidelity(config: StudyConfig) -> Any:
    from metrics.subject import Fidelity

    return Fidelity(**config.final_fidelity)
