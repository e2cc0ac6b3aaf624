"""Whether studies compare, on what scale, and what sets them apart.

Fronts of the same model, images and ways of measuring are compared in the metrics themselves. Where these differ, what
compares is the gain of each objective (0 the study's own untouched model, 1 its ideal; `analysis.hypervolume`).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import pandas as pd
import yaml

from analysis.load import Study, StudyError
from tuning.baseline import UNTOUCHED, Measured
from tuning.goals import Objective
from tuning.problems import redact
from tuning.schema import dump

#: Fields that decide what a value means: model, images, networks, and how it is measured.
MEASURED_BY: Final = (
    "workload", "model", "retain", "forget", "forget_separately", "prompts", "guidance_scale", "descriptor", "features",
    "classifier", "clip", "num_images", "num_sampling_steps", "num_denoising_steps", "injection_timestep",
    "num_likelihood_evaluations", "final_num_images", "precision", "allow_tf32", "channels_last", "compile_network",
)  # fmt: skip
#: Fields that decide where the ideal lies.
IDEAL_BY: Final = ("retrained_model", "unseen", "ideal")
#: Fields that two runs of one study may differ in besides the seed: name, places and machines.
ELSEWHERE: Final = (
    "name", "seed", "address", "storage_path", "mlflow_tracking_uri", "optuna_storage", "log_forget_images", "profile",
    "max_failures", "cpus_per_trial", "gpus_per_trial", "resources_per_trial",
)  # fmt: skip
#: Standard errors by which two untouched models differ that are not the same.
NUM_STDERR: Final = 5.0
_UNLIKE = "the untouched model's values"


@dataclass(frozen=True)
class Scale:
    """What the axes of a comparison show.

    Attributes:
        objectives: those of every study, in the order of the first.
        because: what keeps the metrics themselves from comparing; empty where they do.
    """

    objectives: tuple[Objective, ...]
    because: tuple[str, ...] = ()

    @property
    def in_gains(self) -> bool:
        """Whether gains are compared instead of values."""
        return bool(self.because)

    def column(self, objective: Objective) -> str:
        """The name of an objective's column: ``sscd``, of a gain ``sscd_gain``."""
        return f"{objective.metric}_gain" if self.in_gains else objective.metric

    @property
    def columns(self) -> list[str]:
        return [self.column(objective) for objective in self.objectives]

    def sign(self, objective: Objective) -> float:
        """Factor that turns a value on the scale into one to minimise."""
        return -1.0 if self.in_gains else objective.sign


def labelled(studies: Sequence[Study]) -> dict[str, Study]:
    """The studies by what they are called beside each other: the name, of equal ones with the directory before it.

    Raises:
        StudyError: there is none, or one is given twice.
    """
    if not studies:
        raise StudyError("a comparison must have studies, but got none; name at least two")
    roots = Counter(os.path.realpath(study.files.root) for study in studies)
    if twice := [root for root, count in roots.items() if count > 1]:
        raise StudyError(
            f"each study must be given once, but {twice[0]} was given {roots[twice[0]]} times; name it once"
        )
    calls = (
        [study.name for study in studies],
        [f"{study.files.root.parent.name}/{study.name}" for study in studies],
        [str(study.files.root) for study in studies],
    )
    names = next((names for names in calls if len(set(names)) == len(names)), calls[-1])
    return dict(zip(names, studies, strict=True))


def scale_of(studies: Sequence[Study]) -> Scale:
    """The scale on which studies compare.

    Raises:
        StudyError: they have other objectives, so that there is nothing to compare; or as `labelled`.
    """
    known = labelled(studies)
    (first, reference), *others = known.items()
    for name, study in others:
        if set(study.objectives) != set(reference.objectives):
            raise StudyError(
                f"studies that are compared must have the same objectives, but {first} is to {_listed(reference)} and "
                f"{name} to {_listed(study)}; compare those alone that agree, or run one again with the other's "
                "--objectives"
            )
    because = [name for name in MEASURED_BY if _differs(studies, name)]
    if not because and not _untouched_alike(studies):
        because = [_UNLIKE]
    return Scale(reference.objectives, tuple(because))


def _listed(study: Study) -> str:
    return " and ".join(map(str, study.objectives))


def _differs(studies: Sequence[Study], field: str) -> bool:
    values = [getattr(study.config, field) for study in studies]
    return any(value != values[0] for value in values)


def _untouched_alike(studies: Sequence[Study]) -> bool:
    """Whether the untouched models agree within their errors in each objective: one path may lead to two models."""
    models = [study.baseline.models.get(UNTOUCHED, {}) for study in studies]
    for objective in studies[0].objectives:
        measured = [model[objective.metric] for model in models if objective.metric in model]
        if any(_unlike(measured[0], other) for other in measured[1:]):
            return False
    return True


def _unlike(one: Measured, other: Measured) -> bool:
    error = math.hypot(one.stderr, other.stderr)
    return math.isfinite(error) and abs(one.value - other.value) > NUM_STDERR * error


def seed_groups(studies: Sequence[Study]) -> dict[str, list[str]]:
    """What the groups of studies are called that differ in their seed alone → the labels of each one's studies.

    Machines, places and names do not count (`ELSEWHERE`). A group is called by what its studies' names begin with.
    """
    groups: dict[str, list[str]] = {}
    for label, study in labelled(studies).items():
        plain = {field: value for field, value in dump(study.config).items() if field not in ELSEWHERE}
        groups.setdefault(yaml.safe_dump(plain, sort_keys=True), []).append(label)
    members = list(groups.values())
    short = [_begin(of).rstrip(" ._-/0123456789") if len(of) > 1 else of[0] for of in members]
    long = [of[0] if len(of) == 1 else f"{of[0]} and {len(of) - 1} more" for of in members]
    names = short if "" not in short and len(set(short)) == len(short) else long
    return dict(zip(names, members, strict=True))


def _begin(names: Sequence[str]) -> str:
    """What all names begin with."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def settings_table(studies: Sequence[Study]) -> pd.DataFrame:
    """The fields in which the studies' configurations differ: a row each (its index), a column a study, values as text.

    Raises:
        StudyError: as `labelled`.
    """
    known = labelled(studies)
    settings = {label: dump(study.config) for label, study in known.items()}
    fields = [name for name in next(iter(settings.values())) if name != "name" and _differs(studies, name)]
    return pd.DataFrame(
        {label: [_text(of[name]) for name in fields] for label, of in settings.items()},
        index=pd.Index(fields, name="setting"),
        dtype=object,
    )


def _text(value: Any) -> str:
    """A setting on one line, as YAML writes it; a dash for none, stars for passwords."""
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(entry)}" for key, entry in value.items())
    return redact(str(value).lower() if isinstance(value, bool) else str(value))
