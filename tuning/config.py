"""A study's configuration: study file and flags in, one frozen `StudyConfig` or everything that is wrong with it out.

Layers, each over the one before: the defaults of the fields; when resuming, the ``study.yaml`` that the study left; the
study file; the flags. Nothing is written and nothing started here, and no engine is imported; but a study that is
resumed from an object store has its records brought to this machine.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tuning import paths
from tuning.checks import table as checks
from tuning.checks.depots import records_problems
from tuning.cli import DEFAULT_STUDY, Options, flag_of, parse_flags
from tuning.files import StudyFiles
from tuning.goals import Constraint, Objective, parse_constraint, parse_objective
from tuning.mirror.taking_over import Told, nobody
from tuning.problems import ConfigError, Problem
from tuning.schema import StudyConfig, local_directory
from tuning.studyfile import field_problems, from_yaml, merged, missing_field, read_mapping, to_yaml, unknown_key

__all__ = [
    "ConfigError",
    "Constraint",
    "Objective",
    "Options",
    "Problem",
    "StudyConfig",
    "from_yaml",
    "load_config",
    "parse_constraint",
    "parse_objective",
    "render",
    "resume_command",
    "to_yaml",
]

FREE_ON_RESUME = frozenset(
    {
        "num_trials",
        "time_budget",
        "max_violation",
        "scheduler",
        "reduction_factor",
        "max_concurrent_trials",
        "max_failures",
        "cpus_per_trial",
        "gpus_per_trial",
        "resources_per_trial",
        "gradient_checkpointing",
        "address",
        "storage_path",
        "mlflow_tracking_uri",
        "optuna_storage",
    }
)
"""Fields that a resumed study may change: how much is run and where, not what is measured."""

_OF_THE_MODEL = ("model", "retain", "forget")
_COMPANIONS = {"retrained_model": _OF_THE_MODEL, "unseen": ("model", "retain")}
"""Optional files that lose their meaning when a flag replaces one of these fields."""


_LOOKED_AT = 40
"""Unknown keys of which the nearest field is looked for, more than anybody reads."""

_LENIENT = ConfigDict(coerce_numbers_to_str=StudyConfig.model_config.get("coerce_numbers_to_str", False))


def load_config(argv: Sequence[str], told: Told = nobody) -> tuple[StudyConfig, Options]:
    """The configuration and options that a command line asks for.

    Args:
        argv: the words after the command's name.
        told: hears how far it is where a study's records are fetched from an object store.

    Returns:
        The validated configuration, its paths absolute, and the options.

    Raises:
        ConfigError: with every problem there is.
        SystemExit: ``--help`` was asked for and printed.
    """
    flags, options, problems = parse_flags(argv)
    base, recorded = _layers(flags, options, problems, told)
    dropped = _dropped(base or {}, flags)
    given = merged({name: value for name, value in (base or {}).items() if name not in dropped}, flags)
    values = checks.resolved_paths(_valid_values(given, problems, complete=base is not None))
    launch = {"resume": options.resume, **({"dropped": dropped} if base is not None else {})}
    problems += checks.problems_of(values, checks.RELATIONS)
    problems += checks.problems_of(values, checks.FILES)
    problems += checks.problems_of({**values, **launch}, checks.LAUNCH)
    if recorded is not None:
        problems += _changed(values, recorded)
    if problems:
        raise ConfigError(problems)
    return StudyConfig(**values), options


def _layers(
    flags: Mapping[str, Any], options: Options, problems: list[Problem], told: Told
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What the flags are laid over, None where unreadable; and what the resumed study began with."""
    file = _read(paths.resolve_input(options.study or DEFAULT_STUDY), problems)
    if not options.resume:
        return file, None
    where = {**(file or {}), **flags}
    recorded = _recorded(where.get("storage_path"), where.get("name"), problems, told)
    if recorded is None:
        return file, None
    return merged(recorded, (file or {}) if options.study is not None else {}), recorded


def _read(path: str, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        return read_mapping(Path(path))
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _recorded(storage_path: object, name: object, problems: list[Problem], told: Told) -> dict[str, Any] | None:
    """The ``study.yaml`` of a study; None where there is none, which `paths.study_problems` reports.

    Of a study in an object store the records are brought here first, if another machine has written the latest ones.
    """
    storage = str(storage_path or StudyConfig.model_fields["storage_path"].default)
    if not isinstance(name, str) or paths.name_problems(name):
        return None
    problems += records_problems(storage, name, told)
    file = StudyFiles(paths.expanded(str(local_directory(storage))) / name).study
    recorded = _read(str(file), problems) if os.path.isfile(file) else None
    return None if recorded is None else {**recorded, "storage_path": storage}


def _dropped(base: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, str]:
    """The retrained model and unseen images of `base` that belong to another model or image than the flags name.

    Returns:
        Field → the first flag that drops it.
    """
    causes = {name: next((field for field in fields if field in flags), None) for name, fields in _COMPANIONS.items()}
    return {
        name: flag_of(cause)
        for name, cause in causes.items()
        if cause is not None and base.get(name) is not None and name not in flags
    }


def _valid_values(given: Mapping[str, Any], problems: list[Problem], complete: bool = True) -> dict[str, Any]:
    """The fields that are valid by themselves, defaults filled in; what is not goes to `problems`.

    Args:
        given: field → plain value.
        problems: takes what is found.
        complete: whether a field that is missing is a problem.
    """
    fields = StudyConfig.model_fields
    unknown = [name for name in given if name not in fields]
    problems += [unknown_key(name) for name in unknown[:_LOOKED_AT]]
    if (more := len(unknown) - _LOOKED_AT) > 0:
        problems.append(Problem("every key must be a field of the configuration", f"{more} more", "remove them"))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in given:
            if field.is_required():
                problems += [missing_field(name)] if complete else []
            else:
                values[name] = field.get_default(call_default_factory=True)
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field], config=_LENIENT)  # type: ignore[arg-type]
        try:
            values[name] = adapter.validate_python(given[name])
        except ValidationError as error:
            problems += field_problems(error, prefix=name)
    return values


def _changed(values: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[Problem]:
    """Fields that differ from the study that is resumed, and must not."""
    before = checks.resolved_paths(_valid_values(recorded, []))
    rule = "a resumed study must keep {}, since its trials would not be comparable"
    return [
        Problem(rule.format(name), values[name], f"keep {before[name]!r}, or start a new study with {flag_of('name')}")
        for name in StudyConfig.model_fields
        if name not in FREE_ON_RESUME and name in values and name in before and values[name] != before[name]
    ]


def render(config: StudyConfig) -> str:
    """The text that ``--dry-run`` prints: the resolved configuration as a study file, and what would be made where."""
    rows, reports = config.batch_size * config.accumulation, ", ".join(map(str, config.rungs))
    head = [
        f"# Study {config.name!r}: {config.num_trials} trials of {', '.join(config.methods)},",
        f"# up to {max(config.rungs)} steps of {rows} rows, reports at {reports}.",
        *(f"# {entry[0].upper()}{entry[1:]}." for entry in _warm_starts(config)),
        f"# Files go to {config.root}, runs to {config.tracking_uri}.",
        "# Nothing was started or written.",
    ]
    return "\n".join([*head, to_yaml(config)])


def _warm_starts(config: StudyConfig) -> list[str]:
    if not config.warm_start:
        return []
    from tuning.warm_start import taken_by  # which reads studies by means of this module

    return list(map(str, taken_by(config)))


def resume_command(config: StudyConfig, script: str = "tune_unlearning.py") -> str:
    """What to type to go on with a study."""
    return shlex.join(["python", script, "--name", config.name, "--storage-path", config.storage_path, "--resume"])
