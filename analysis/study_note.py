"""What stands above a study's runs in an MLflow UI: its front, how to read it and what to look for, in Markdown.

Links and the picture go to artifacts of the run itself, whose ids the store fills in (`tuning.tracking.write.RUN_ID`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from analysis.front import over_forgotten
from analysis.load import Study
from analysis.markdown import block, code, escaped, table
from analysis.model_card import bound_text
from analysis.no_front import why_no_front
from analysis.scene import can_judge, choose, front_members
from analysis.select import Recommendation
from analysis.table import rows, with_error
from tuning.baseline import MODELS, UNTOUCHED_SEARCH, Baseline
from tuning.schema import StudyConfig
from tuning.tracking.write import EXPERIMENT_ID, RUN_ID

#: Characters that every MLflow takes as a description.
LONGEST: Final = 5000


def opening_note(config: StudyConfig, baseline: Baseline) -> str:
    """Of a study whose trials begin."""
    parts = [_asked(config), "It runs. Its front is written here when it ends.", _baselines(config, baseline)]
    return _within_limit([*parts, _searches(config)])


def study_note(study: Study) -> str:
    """Of a study that ended, also of one without a front. At most `LONGEST` characters: a long front is cut short."""
    members = front_members(study)
    choice = choose(study, members)
    before = [_asked(study.config), _came_to(study, members, choice)]
    after = [_reading(study), _baselines(study.config, study.baseline), _searches(study.config), _again(study.config)]
    lines = _member_lines(study, members, choice)
    room = LONGEST - len("\n\n".join([*before, *_front(study, []), _more(len(lines)), *after])) - 4
    kept = _that_fit(lines, choice.position, room)
    more = [_more(len(lines) - len(kept))] if len(kept) < len(lines) else []
    return _within_limit([*before, *_front(study, kept), *more, *after])


def member_notes(study: Study) -> dict[str, str]:
    """Trial id → what its member of the front is, or its members, for the descriptions of their runs."""
    members = front_members(study)
    choice = choose(study, members)
    lines = _member_lines(study, members, choice)
    trials: dict[str, list[int]] = {}
    for place, row in enumerate(rows(members)):
        trials.setdefault(str(row["trial_id"]), []).append(place)
    notes = {}
    for trial_id, places in trials.items():
        parts = [
            f"On the front of the study {code(study.name)}"
            + (", **recommended**. " + escaped(choice.rule) if choice.position in places else "."),
            _members_table(study, [lines[place] for place in places]),
            "The model with its card is under *Logged models*; values as `front_…` are those measured anew.",
        ]
        notes[trial_id] = _within_limit(parts)
    return notes


def _asked(config: StudyConfig) -> str:
    methods = ", ".join(map(code, config.methods))
    goals, bounds = ", ".join(map(str, config.objectives)), ", ".join(map(str, config.constraints)) or "no bound"
    steps = ", ".join(map(str, config.rungs))
    return (
        f"**{escaped(config.name)}**: unlearning of {len(config.forget)} image"
        f"{'s' if len(config.forget) > 1 else ''}, searched to {escaped(goals)} under {escaped(bounds)}. "
        f"Methods {methods}; settings by {code(config.searcher)}; reports at steps {steps}."
    )


def _came_to(study: Study, members: pd.DataFrame, choice: Recommendation) -> str:
    states = study.trials["state"].value_counts().sort_index() if "state" in study.trials else pd.Series(dtype=int)
    counts = ", ".join(f"{count} {escaped(state)}" for state, count in states.items()) or "none started"
    text = f"Trials: {counts}. Reports: {len(study.reports)}. Members of the front: {len(members)}."
    if members.empty and not study.candidates.empty and can_judge(study):
        text = f"{text} {escaped(why_no_front(study, study.constraints))}".rstrip()
    return f"{text}\n\n{escaped(choice.rule)}"


def _that_fit(lines: Sequence[Sequence[str]], recommended: int | None, room: int) -> list[Sequence[str]]:
    """As many of the lines of a table as there is room for, in their order, the recommended one before all others."""
    kept: set[int] = set()
    for place in sorted(range(len(lines)), key=lambda place: (place != recommended, place)):
        room -= len("|  |\n") + sum(len(cell) + len(" | ") for cell in lines[place])
        if room < 0:
            break
        kept.add(place)
    return [lines[place] for place in sorted(kept)]


def _front(study: Study, lines: Sequence[Sequence[str]]) -> list[str]:
    picture = f"![The front](get-artifact?path=front%2Ffront.png&run_uuid={RUN_ID})"
    return ["### Front", *([_members_table(study, lines)] if lines else []), picture]


def _more(count: int) -> str:
    return f"{count} more in {_link('front/front.csv')}."


def _members_table(study: Study, lines: Sequence[Sequence[str]]) -> str:
    return table(["", "trial", "method", "step", *map(escaped, study.config.judged_metrics)], lines)


def _member_lines(study: Study, members: pd.DataFrame, choice: Recommendation) -> list[list[str]]:
    beyond = [False] * len(members)
    if study.ideal is not None and len(members):
        beyond = list(
            over_forgotten(
                members, study.objectives, study.member_reference, study.ideal, ideal_stderr=study.baseline.ideal_stderr
            )
        )
    lines = []
    for place, row in enumerate(rows(members)):
        mark = "★" if place == choice.position else ""
        mark += " over-forgotten" if beyond[place] else ""
        identity = [mark, code(row["trial_id"]), code(row["method"]), str(int(row["step"]))]
        values = [with_error(row.get(name), row.get(f"{name}_stderr")) for name in study.config.judged_metrics]
        lines.append(identity + values)
    return lines


def _reading(study: Study) -> str:
    measured = (
        "Values are measured anew, with seeds that no trial saw." if study.is_finished else "Not measured anew yet."
    )
    return (
        f"{measured} No member is better than another in everything: going down the table one goal gets worse and "
        "another better. ★ is the recommended one. Over-forgotten is beyond the ideal by two standard errors, which "
        "can be detected. Errors are over draws, not over training seeds. Nothing here certifies forgetting."
    )


def _baselines(config: StudyConfig, baseline: Baseline) -> str:
    models = [name for name in MODELS if name in baseline.models and name != UNTOUCHED_SEARCH]
    lines = []
    for metric in config.judged_metrics:
        found = [baseline.models[model].get(metric) for model in models]
        values = ["–" if of is None else with_error(of.value, of.stderr) for of in found]
        bounds = [bound_text(bound, baseline.reference) for bound in config.constraints if bound.metric == metric]
        label = baseline.labels.get(metric, metric)
        name = escaped(metric) if label == metric else f"{escaped(metric)}: {escaped(label)}"
        lines.append([name, *values, ", ".join(bounds) or "–"])
    return "### Untouched and retrained model\n\n" + table(["metric", *map(escaped, models), "bound"], lines)


def _searches(config: StudyConfig) -> str:
    of_study = f"tags.study = '{config.name}'"
    goals = [f"front_{goal.metric}" for goal in config.objectives]
    searches = [
        ("the front", f"{of_study} and tags.pareto = 'true'"),
        ("the recommended one", f"{of_study} and tags.recommended = 'true'"),
        ("a method's trials within the bounds", f"{of_study} and tags.method = '{config.methods[0]}' and "
         "metrics.best_feasible = 1"),
        ("what failed", f"{of_study} and tags.state = 'FAIL'"),
    ]  # fmt: skip
    lines = [f"- {name}: {code(search)}" for name, search in searches]
    hint = (
        "Above the list *Model training* must be chosen, not *GenAI*; trials stand below their study, behind its plus. "
        f"To compare the front: search it, tick its trials, *Compare*, then {' and '.join(map(code, goals))} in the "
        "scatter plot or in parallel coordinates."
    )
    return "### Search and compare\n\n" + "\n".join(lines) + "\n\n" + hint


def _again(config: StudyConfig) -> str:
    links = f"{_link('front/report.html')} (everything on one page), {_link('front/front.csv')}"
    command = f'python tune_unlearning.py --study study.yaml --name "{config.name} again"'
    return (
        f"### Files\n\n{links}; all that the analysis of this project reads is in *study*.\n\n"
        f"The same again, where model and images lie under the same paths:\n\n{block(command)}"
    )


def _link(artifact: str) -> str:
    return f"[{escaped(artifact)}](#/experiments/{EXPERIMENT_ID}/runs/{RUN_ID}/artifacts/{artifact})"


def _within_limit(parts: Sequence[str]) -> str:
    """As many whole lines as there is room for."""
    text = "\n\n".join(parts)
    return text if len(text) <= LONGEST else text[: LONGEST - 2].rpartition("\n")[0] + "\n…"
