"""Where a study's models and images lie on this machine, which need not be the one that the study ran on.

``study.yaml`` has the paths of the machine that ran the study. What is not there is looked for by the end of its path:
below a directory that is named, below the current directory and in the repository, where the embedded assets are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from analysis.load import StudyError
from tuning.paths import PROJECT_ROOT, expanded, missing_remedy
from tuning.problems import Problem
from tuning.schema import StudyConfig

#: Fields of the configuration that name a file or directory, or a hub id.
INPUTS: Final = (
    "model",
    "retrained_model",
    "retain",
    "forget",
    "unseen",
    "prompts",
    "descriptor",
    "features",
    "classifier",
    "clip",
)
#: Parts that an end of a path must have to be looked for where nobody said so: a lone name may be anything's.
_LEAST_PARTS: Final = 2


def with_inputs_here(config: StudyConfig, fields: Sequence[str], folder: Path | None = None) -> StudyConfig:
    """`config` with the paths of `fields` as they are on this machine.

    Args:
        config: of the study.
        fields: of `INPUTS`; the others are left as they are.
        folder: where to look for what is not where the configuration has it; by the longest end of its path there is.

    Raises:
        StudyError: something is nowhere; all of it is named.
    """
    problems: list[Problem] = []
    found: dict[str, object] = {}
    for name in fields:
        value = getattr(config, name)
        if value is None:
            continue
        several = isinstance(value, tuple)
        places = [_place(name, path, folder, problems) for path in (value if several else (value,))]
        found[name] = tuple(places) if several else places[0]
    if problems:
        raise StudyError("\n".join(map(str, problems)))
    return config.model_copy(update=found)


def _place(field: str, path: str, folder: Path | None, problems: list[Problem]) -> str:
    for candidate in _candidates(expanded(path), folder):
        if os.path.exists(candidate):
            return str(candidate.resolve())
    if not expanded(path).is_absolute():
        return path  # of a hub, which is asked when it is loaded
    rule = f"{field} must be on this machine, where study.yaml has it or below --inputs"
    remedy = missing_remedy(path, "copy it there, or give the directory that has it as --inputs")
    problems.append(Problem(rule, f"{path}, which is not there", remedy))
    return path


def _candidates(path: Path, folder: Path | None) -> Iterator[Path]:
    yield Path.cwd() / path
    parts = path.parts[1:] if path.is_absolute() else path.parts
    roots = [(Path.cwd(), _LEAST_PARTS), (PROJECT_ROOT, _LEAST_PARTS)]
    for root, least in [*([(folder, 1)] if folder is not None else []), *roots]:
        for first in range(len(parts) - least + 1):
            yield root.joinpath(*parts[first:])
