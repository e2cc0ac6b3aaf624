"""The fields of a study's configuration: type, range and description, each default stated here and nowhere else.

The descriptions are what ``--help`` prints. Relations between fields, and what needs a look at files or registries, are
in ``tuning.checks.table``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, PlainSerializer

from search_spaces import SEARCH_SPACES
from trainable.depot import Depot
from tuning.files import StudyFiles
from tuning.goals import Constraint, Objective, as_constraint, as_objective, metrics_of

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: The address that starts Ray on this machine.
LOCAL = "local"
#: Where the machine that drives a study keeps its files when the storage path is remote.
REMOTE_RECORDS = "runs"
_DURATION = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[smhd]?)")


def parse_duration(value: object) -> object:
    """Seconds of ``"8h"``, ``"90m"``, ``"600s"`` or ``"600"``; what is no text is handed on.

    Raises:
        ValueError: the text is no number with one of the units s, m, h, d.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(
            f"a duration must be a number and one of s, m, h, d, but got {value!r}; write for instance '8h'"
        )
    return float(match["amount"]) * _UNITS[match["unit"] or "s"]


def _settings(value: object) -> object:
    """The numbers of an ``enqueue`` entry as floats, wherever they can be read as such."""
    if not isinstance(value, Mapping):
        return value
    return {name: entry if name == "method" else _float(entry) for name, entry in value.items()}


def _float(value: object) -> object:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return value


Positive = Annotated[int, Field(ge=1)]
ObjectiveField = Annotated[Objective, BeforeValidator(as_objective), PlainSerializer(str)]
ConstraintField = Annotated[Constraint, BeforeValidator(as_constraint), PlainSerializer(str)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Settings = Annotated[dict[str, str | FiniteFloat], BeforeValidator(_settings)]


class StudyConfig(BaseModel):
    """Everything that decides what a study does; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    name: str = Field(description="name of the study and of its directory")
    workload: str = Field(description="how model and data are read: a registered workload or package.module:Class")
    model: str = Field(description="the trained diffusion model: a diffusers pipeline directory or a hub id")
    retrained_model: str | None = Field(None, description="the same model trained without the forget images")
    retain: str = Field(description="images kept: a directory of images or an .npz file")
    forget: tuple[str, ...] = Field(min_length=1, description="image files to unlearn")
    forget_separately: bool = Field(
        False, description="unlearn forget images one at a time, each from the model; reports are means over them"
    )
    descriptor: str | None = Field(None, description="copy-detection encoder, for sscd: a file, or sscd (published)")
    features: str | None = Field(None, description="feature encoder, for fid: a file, or inception (published)")
    classifier: str | None = Field(None, description="classifier, for inception_score: a file, or inception")
    clip: str | None = Field(None, description="CLIP model, for clip_iqa: a directory or a hub id")
    prompts: str | None = Field(
        None, description="UTF-8 YAML file with the prompts of the forget image, for text_to_image"
    )
    guidance_scale: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="classifier-free guidance in evaluation; none: 7.5 with prompts"
    )
    unseen: str | None = Field(None, description=".npz of images that the model never saw; bounds how far to forget")
    ideal: dict[str, FiniteFloat] = Field(
        {}, description="NAME=VALUE, an objective at full forgetting in untouched values, where nothing measures it"
    )

    methods: tuple[str, ...] = Field(
        default_factory=lambda: tuple(SEARCH_SPACES), min_length=1, description="unlearning methods to search over"
    )
    objectives: tuple[ObjectiveField, ...] = Field(
        (Objective("sscd", "minimize"), Objective("nll", "maximize")),
        min_length=1,
        description="what the front trades off, each 'minimize METRIC' or 'maximize METRIC'",
    )
    constraints: tuple[ConstraintField, ...] = Field(
        (Constraint("fid", "<=", 1.2, relative=True),),
        description="bounds, each as 'fid <= 1.2x' (x: times the untouched model's value) or 'clip_iqa >= 0.6'",
    )
    report_metrics: tuple[str, ...] = Field((), description="metrics that are reported besides")
    fix: dict[str, FiniteFloat] = Field({}, description="hyper-parameters held at a value, NAME=VALUE")
    enqueue: tuple[Settings, ...] = Field((), description="settings tried first, each {method: NAME, parameter: value}")
    warm_start: tuple[str, ...] = Field(
        (),
        description="studies whose trials are known from the start and fronts tried first: names or directories",
    )
    searcher: Literal["ehvi", "tpe", "nsga2", "gp", "random"] = Field("tpe", description="how settings are suggested")
    num_trials: Positive = Field(description="trials of the study")
    time_budget: Duration | None = Field(
        None, description="time after which no trial starts and running ones end at their next report: 8h, 90m, 600s"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="what everything random derives from")
    repeats: Positive = Field(
        1, description="runs of a setting near the front, with different training seeds; others are run once"
    )

    scheduler: Literal["none", "expected_improvement", "pareto_halving"] = Field(
        "none", description="whether trials are stopped at a rung, and by what rule"
    )
    reduction_factor: Annotated[int, Field(ge=2)] = Field(
        3, description="under pareto_halving, one in how many trials goes on at a rung"
    )

    ladder: tuple[Share, ...] = Field(
        (), description="part of images, denoisings and probes of a report at each rung, rising to 1; none: all"
    )
    bound_confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = Field(
        None, description="confidence to decide bounds on generated images before all are made; none: all are made"
    )
    max_violation: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="violation of the bounds at which a trial ends; none: at none"
    )

    rungs: tuple[Positive, ...] = Field(min_length=1, description="optimiser steps at which a trial reports, rising")
    batch_size: Positive = Field(description="rows of one forward pass in training")
    accumulation: Positive = Field(1, description="forward passes of one optimiser step")
    learning_rate: float = Field(gt=0, allow_inf_nan=False, description="step size of AdamW")
    adam_betas: tuple[Beta, Beta] = Field(description="decay of AdamW's two moments")
    weight_decay: float = Field(ge=0, allow_inf_nan=False, description="weight decay of AdamW")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="optimiser steps over which the learning rate rises to its value"
    )
    max_grad_norm: float = Field(gt=0, allow_inf_nan=False, description="norm that the combined gradient is clipped to")
    max_degenerate_steps: Positive = Field(10, description="steps in a row without forget gradient that end a trial")

    num_images: Positive = Field(description="images generated for a report")
    num_sampling_steps: Positive = Field(description="sampler steps of a generated image")
    num_denoisings: Positive = Field(description="times each forget image is noised and restored for a report")
    num_denoising_steps: Positive = Field(description="sampler steps of one restoration")
    injection_timestep: Positive = Field(description="timestep that forget images are noised to before restoration")
    num_probes: Positive = Field(description="Hutchinson probes of the likelihood in a report")
    num_likelihood_evaluations: int = Field(ge=13, description="network calls of one likelihood")
    num_membership_noises: Positive = Field(description="noises per image of the membership loss")
    evaluation_batch_size: Positive = Field(description="rows of one forward pass in evaluation")
    num_neighbours: Positive = Field(description="retain images nearest to the forget images, watched for damage")
    num_retain_images: Positive = Field(description="retain images of the membership loss")
    num_confirmed: Positive = Field(4, description="candidates that are measured again for the front, at least")
    final_num_images: Positive = Field(description="images generated for baseline and front")
    final_num_probes: Positive = Field(description="Hutchinson probes for baseline and front")
    final_num_denoisings: Positive = Field(description="restorations of each forget image for baseline and front")

    max_concurrent_trials: Positive | None = Field(None, description="trials at a time; none: as many as fit")
    max_failures: Annotated[int, Field(ge=0)] = Field(
        3, description="times that a trial is taken up again after its process crashed; lost machines do not count"
    )
    cpus_per_trial: float = Field(1.0, gt=0, allow_inf_nan=False, description="CPU cores of a trial")
    gpus_per_trial: float = Field(0.0, ge=0, allow_inf_nan=False, description="GPUs of a trial; parts may be given")
    resources_per_trial: dict[str, PositiveFloat] = Field(
        {}, description="NAME=AMOUNT, further Ray resources of a trial: those of the machines that it may run on"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="what networks compute in, but for the likelihood")
    allow_tf32: bool = Field(True, description="let NVIDIA GPUs round float32 products to TF32, but for the likelihood")
    channels_last: bool = Field(False, description="lay weights and activations out as GPU convolutions like them")
    compile_network: bool = Field(False, description="compile the network with torch.compile")
    gradient_checkpointing: bool = Field(False, description="less memory in training: activations are computed twice")
    address: str = Field(LOCAL, description="Ray cluster: local (start one here), auto or an address")
    storage_path: str = Field("runs", description="where studies are kept: a directory or an s3:// URL")
    mlflow_tracking_uri: str | None = Field(None, description="MLflow store; none: mlflow.db in the storage path")
    optuna_storage: str | None = Field(None, description="Optuna storage URL; none: a journal in the study's directory")
    log_forget_images: bool = Field(False, description="draw and log forget images and what is made of them")
    profile: bool = Field(False, description="say where each trial's time went: in trials.csv, report and MLflow")

    @property
    def local_storage(self) -> Path:
        """Directory that this machine keeps studies in: `storage_path`, or `REMOTE_RECORDS` where that is remote."""
        return local_directory(self.storage_path)

    @property
    def root(self) -> Path:
        """The study's directory."""
        return self.local_storage / self.name

    @property
    def depot(self) -> Depot:
        """Where all nodes find the study's files."""
        return Depot(self.root.absolute(), self.storage_path if is_remote(self.storage_path) else None)

    @property
    def tracking_uri(self) -> str:
        """The MLflow store."""
        return self.mlflow_tracking_uri or f"sqlite:///{StudyFiles(self.root).mlflow_database}"

    @property
    def trial_resources(self) -> dict[str, float]:
        """What Ray gives to a trial, by Ray's names."""
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **self.resources_per_trial}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that a report carries, each once: objectives, constraints, report_metrics."""
        return tuple(dict.fromkeys([*self.judged_metrics, *self.report_metrics]))

    @property
    def judged_metrics(self) -> tuple[str, ...]:
        """Every metric that reports are judged by, each once: objectives, constraints."""
        return metrics_of(self.objectives, self.constraints)

    @property
    def report_suffixes(self) -> tuple[str, ...]:
        """What a report says of each metric, as suffixes of its column."""
        several = self.forget_separately and len(self.forget) > 1
        return ("", "_stderr", "_num", *(["_spread"] if several else []))

    @property
    def decided_metrics(self) -> tuple[str, ...]:
        """Metrics of which a report has the interval that their bound was decided by."""
        metrics = [constraint.metric for constraint in self.constraints] if self.bound_confidence else []
        return tuple(dict.fromkeys(metrics))

    @property
    def trial_fidelity(self) -> dict[str, int]:
        """Arguments of ``metrics.evidence.Fidelity`` for a report."""
        names = (
            "num_images", "num_sampling_steps", "num_denoisings", "num_denoising_steps", "injection_timestep",
            "num_probes", "num_likelihood_evaluations", "num_membership_noises",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in names}, "batch_size": self.evaluation_batch_size}

    @property
    def final_fidelity(self) -> dict[str, int]:
        """Arguments of ``metrics.evidence.Fidelity`` for the baseline and for re-measuring the front."""
        more = {"num_images": self.final_num_images, "num_probes": self.final_num_probes}
        return {**self.trial_fidelity, **more, "num_denoisings": self.final_num_denoisings}


def is_remote(location: str) -> bool:
    """Whether a location is a URL, not a path."""
    return "://" in location


def local_directory(storage_path: str) -> Path:
    """The directory of this machine that stands for a storage path."""
    return Path(REMOTE_RECORDS if is_remote(storage_path) else storage_path)


def dump(config: StudyConfig) -> dict[str, Any]:
    """The configuration as plain data, in field order."""
    return config.model_dump(mode="json")
