"""The card of one model of a study: what it is, what was measured, and what that does not say.

It goes wherever the model goes, so that it names no path of the machine that made it, shows no image and quotes no
prompt. A forget image is named by the SHA-256 of its file, by which who has the file knows it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import pandas as pd

from analysis.configurations import NUM_REPEATS, SPREAD, STDERR, parameter_names
from analysis.front import over_forgotten
from analysis.load import Study, StudyError
from analysis.markdown import block, code, escaped, table
from analysis.scene import choose, front_members
from analysis.table import rows, with_error
from trainable.content import digest_if_readable
from tuning.baseline import RETRAINED, UNSEEN, UNTOUCHED, UNTOUCHED_SEARCH
from tuning.constraints import RATIO, RATIO_STDERR, bound_value
from tuning.goals import Constraint

FILE_NAME: Final = "README.md"
#: What the model hubs read first.
_HEAD: Final = "---\nlibrary_name: diffusers\ntags:\n- data-unlearning\n- machine-unlearning\n---"
#: The measured value of the one model that is taken home, where the others are means over the runs of a setting.
_OWN: Final = "_checkpoint"
_TRAINING: Final = ("learning_rate", "adam_betas", "weight_decay", "warmup_steps", "max_grad_norm", "precision")
_NOT_HERE: Final = "not at hand when this was written"


def model_card(study: Study, trial_id: str, step: int) -> str:
    """The card of the model behind one report, in Markdown, with a head that model hubs read.

    Values are those of ``front.csv``, re-measured, where the model is a member of the front, else those of its report.

    Args:
        study: as `load_study` reads it.
        trial_id: which trial.
        step: which of its reports.

    Raises:
        StudyError: neither the front nor the reports have that trial and step.
    """
    members = front_members(study)
    position = _position(members, trial_id, step)
    table_of = members if position is not None else study.reports
    place = position if position is not None else _position(study.reports, trial_id, step)
    if place is None:
        known = ", ".join(f"{row['trial_id']} at step {int(row['step'])}" for row in rows(members)) or "none"
        raise StudyError(
            f"a model must be one that the study {study.name} reported on, but trial {trial_id} at step {step} is "
            f"not in its tables; the members of its front are: {known}"
        )
    row = table_of.iloc[[place]]
    sections = [
        _HEAD,
        f"# {escaped(study.name)}, trial {escaped(trial_id)} at step {step}",
        _summary(study, members, position),
        _what_it_is(study, row),
        "## Values",
        *_values(study, row, is_member=position is not None),
        "## What was forgotten",
        _forgotten(study),
        "## Settings",
        _settings(study, row),
        "## Use",
        *_use(study),
        "## Limits",
        _limits(study, row),
    ]
    return "\n\n".join(sections) + "\n"


def _position(of: pd.DataFrame, trial_id: str, step: int) -> int | None:
    """Where a trial and step stand in a table, by place."""
    if of.empty:
        return None
    found = ((of["trial_id"] == trial_id) & (of["step"] == step)).to_numpy().nonzero()[0]
    return int(found[0]) if len(found) else None


def _summary(study: Study, members: pd.DataFrame, position: int | None) -> str:
    count = len(study.config.forget)
    what = "one training image" if count == 1 else f"{count} training images"
    each = " (one at a time: a model for each)" if study.config.forget_separately and count > 1 else ""
    text = f"A diffusion model that was fine-tuned to forget {what}{each}, without being trained anew. "
    if position is None:
        return text + f"It is a candidate of the study {code(study.name)}, and no member of its front."
    recommendation = choose(study, members)
    place = f"one of the {len(members)} members" if len(members) > 1 else "the only member"
    text += f"It is {place} of the Pareto front of the study {code(study.name)}"
    if recommendation.position == position:
        return f"{text}, and the **recommended** one. {escaped(recommendation.rule)}"
    return text + ", not the recommended one." if recommendation.position is not None else text + "."


def _what_it_is(study: Study, row: pd.DataFrame) -> str:
    config, [found] = study.config, rows(row)
    batch = config.batch_size * config.accumulation
    facts = {
        "base model": code(_plain_name(config.model)),
        "workload": code(config.workload),
        "method": code(found["method"]),
        "optimiser steps": f"{int(found['step'])}, of {batch} rows each",
        "trial": f"{code(found['trial_id'])}, training seed {escaped(found.get('seed', '–'))}",
        "searched to": escaped(", ".join(map(str, config.objectives))),
        "under": escaped(", ".join(map(str, config.constraints)) or "no bound"),
    }
    return table(["", ""], [[name, value] for name, value in facts.items()])


def _plain_name(location: str) -> str:
    """A hub id as it stands; of a path of the machine that made the model its last part."""
    return PurePath(location).name if PurePath(location).is_absolute() else location


def _values(study: Study, row: pd.DataFrame, *, is_member: bool) -> Iterator[str]:
    [found] = rows(row)
    untouched = UNTOUCHED if is_member and study.is_finished else UNTOUCHED_SEARCH
    if untouched not in study.baseline.models:
        untouched = UNTOUCHED
    names = [name for name in study.config.metrics if name in found]
    ideal = RETRAINED if RETRAINED in study.baseline.models else UNSEEN
    header = ["metric", "this model", "untouched", "retrained" if ideal == RETRAINED else "ideal", "bound"]
    lines = []
    for name in names:
        own = found.get(name + _OWN, found.get(name))
        cells = [with_error(own, found.get(name + STDERR)), _measured(study, untouched, name)]
        cells.append(_measured(study, ideal, name, otherwise=study.baseline.ideal.get(name)))
        lines.append([_label(study, name), *cells, _bounds(study, found, name)])
    yield table(header, lines)
    if untouched == UNTOUCHED and is_member and study.is_finished:
        yield "Measured anew with seeds that no trial of the search saw, as the models beside it were."
    else:
        yield "As the trial itself reported them; they were not measured anew with other seeds."
    if NUM_REPEATS in found:
        runs = [
            f"{_label(study, name)} {escaped(with_error(found.get(name)))}, spread {with_error(found[name + SPREAD])}"
            for name in names
            if name + SPREAD in found
        ]
        yield (
            f"The setting was run {int(found[NUM_REPEATS])} times; this is one of the models. "
            f"Mean of the runs: {'; '.join(runs)}."
        )


def _label(study: Study, metric: str) -> str:
    """Name, what it is made of, and which way is better where the study says."""
    way = {goal.metric: "lower" if goal.sign > 0 else "higher" for goal in study.objectives}
    label = study.label(metric)
    name = escaped(metric) if label == metric else f"{escaped(metric)}: {escaped(label)}"
    return f"{name} ({way[metric]} is better)" if metric in way else name


def _measured(study: Study, model: str, metric: str, otherwise: float | None = None) -> str:
    measured = study.baseline.models.get(model, {}).get(metric)
    return with_error(otherwise) if measured is None else with_error(measured.value, measured.stderr)


def _bounds(study: Study, found: Mapping[str, Any], metric: str) -> str:
    return ", ".join(_bound(study, found, c) for c in study.constraints if c.metric == metric) or "–"


def _bound(study: Study, found: Mapping[str, Any], constraint: Constraint) -> str:
    """A bound; of a relative one also how this model stands to the untouched one, where it is known."""
    text = bound_text(constraint, study.member_reference)
    ratio = with_error(found.get(constraint.metric + RATIO), found.get(constraint.metric + RATIO_STDERR))
    shown = constraint.relative and ratio != "–" and NUM_REPEATS not in found
    return f"{text}; this is {ratio} ×" if shown else text


def bound_text(constraint: Constraint, untouched: Mapping[str, float]) -> str:
    """A bound in the metric's unit, as Markdown; a relative one beside what it is a multiple of, where that is known.

    Args:
        constraint: the bound.
        untouched: metric → value of the untouched model.
    """
    if not constraint.relative:
        return escaped(f"{constraint.op} {constraint.bound:g}")
    multiple = f"{constraint.bound:g} × untouched"
    if constraint.metric not in untouched:
        return escaped(f"{constraint.op} {multiple}")
    return escaped(f"{constraint.op} {bound_value(constraint, untouched):.4g} ({multiple})")


def _forgotten(study: Study) -> str:
    digests = [digest_if_readable(Path(path)) for path in study.config.forget]
    lines = [[str(number), code(digest) if digest else _NOT_HERE] for number, digest in enumerate(digests, start=1)]
    return table(["image", "SHA-256 of its file"], lines)


def _settings(study: Study, row: pd.DataFrame) -> str:
    """The method's own parameters, then what the study gave to every trial."""
    config, [found] = study.config, rows(row)
    given = {name: found[name] for name in parameter_names(row) if pd.notna(found[name])}
    common: dict[str, object] = {name: getattr(config, name) for name in _TRAINING}
    lines = [[code(name), escaped(_setting(value))] for name, value in {**given, **common}.items()]
    lines.append([code("batch_size × accumulation"), f"{config.batch_size} × {config.accumulation}"])
    return table(["setting", "value"], lines)


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_setting, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _use(study: Study) -> Iterator[str]:
    yield block(
        "from diffusers import DiffusionPipeline\n\n"
        'pipeline = DiffusionPipeline.from_pretrained("path/to/this/folder")',
        "python",
    )
    if study.config.forget_separately and len(study.config.forget) > 1:
        yield "There is a folder for each forget image, named after its file, each a pipeline of its own."


def _limits(study: Study, row: pd.DataFrame) -> str:
    limits = [
        "**Nothing here certifies that the images are forgotten.** These are measurements of some quantities, not a "
        "proof. The weights may still hold what was to be forgotten, the more the fewer steps were made, and who looks "
        "in another way may find it.",
        "The standard errors are over the draws of a measurement, for this model and these images: another training "
        "seed, or another image, may come out further away than they say.",
        "Values compare only at equal numbers of images, with equal encoders and on equal noise: what a metric is made "
        "of stands beside its name. FID and its like are means over all images, and hide damage to the few that "
        "resemble the forgotten ones.",
        "Whatever licence and limits the base model has, this one has too.",
    ]
    if _is_over_forgotten(study, row):
        limits.insert(
            1,
            "This model is **over-forgotten**: beyond the ideal by two standard errors, which can be detected and so "
            "tells that the image was removed.",
        )
    return "\n".join(f"- {limit}" for limit in limits)


def _is_over_forgotten(study: Study, row: pd.DataFrame) -> bool:
    if study.ideal is None:
        return False
    reference, errors = study.member_reference, study.baseline.ideal_stderr
    return bool(over_forgotten(row, study.objectives, reference, study.ideal, ideal_stderr=errors)[0])
