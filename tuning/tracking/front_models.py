"""The models of a study's front as others find them: with a card beside the weights, and as MLflow takes them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd

from analysis.configurations import parameter_names
from analysis.load import Study
from analysis.model_card import FILE_NAME, model_card
from analysis.scene import choose, front_members
from analysis.study_note import LONGEST
from analysis.table import rows
from trainable.depot import Depot
from tuning.files import write_text_atomic
from tuning.judging import number
from tuning.tracking.write import Model, labels

#: Bytes of all pipelines of a front up to which an MLflow store is given copies; beyond them it learns where they lie.
MOST_BYTES: Final = 256 * 1024 * 1024
_NO_NAME: Final = re.compile(r"[/:.%\"']")

Cards = Mapping[tuple[str, int], str]


def write_cards(study: Study, depot: Depot) -> Cards:
    """Put a card into the folder of each member of the front; (trial, step) → card.

    A pipeline that is not where the study put it gets none there.
    """
    cards = {at: model_card(study, *at) for at in _members(study)}
    there = depot.entries(study.files.checkpoints)
    for at, card in cards.items():
        folder = study.files.checkpoint(*at)
        if folder.name not in there:
            continue
        write_text_atomic(folder / FILE_NAME, card)
        depot.hand_over([folder / FILE_NAME])
        for empty in (folder, folder.parent) if depot.url is not None else ():
            with suppress(OSError):  # a folder that is here would count as the pipeline
                empty.rmdir()
    return cards


def front_models(study: Study, cards: Cards, depot: Depot, most_bytes: int = MOST_BYTES) -> list[Model]:
    """The members of the front as models for MLflow.

    Args:
        study: as it ended.
        cards: of every member, in their order.
        depot: where the pipelines are.
        most_bytes: of all pipelines together, up to which they go along.
    """
    members = front_members(study)
    chosen, now = choose(study, members).position, time.time_ns() // 1_000_000
    folders = [study.files.checkpoint(*at) for at in _members(study)]
    copied = depot.url is None and sum(map(_num_bytes, folders)) <= most_bytes
    settings = parameter_names(members)
    return [
        Model(
            trial_id=str(row["trial_id"]),
            step=int(row["step"]),
            name=_NO_NAME.sub("_", f"{study.name}-{folder.name}"),
            tags={
                "workload": study.config.workload,
                "method": str(row["method"]),
                "recommended": "true" if position == chosen else "false",
                "location": f"{depot.location}/{folder.relative_to(study.files.root).as_posix()}",
            },
            params=labels({name: row[name] for name in ("method", "step", *settings) if pd.notna(row[name])}),
            metrics=measured_values(row, study.config.metrics),
            card=card,
            note=_as_note(card),
            folder=str(folder) if copied else None,
            time_ms=now,
        )
        for position, (row, folder, card) in enumerate(zip(rows(members), folders, cards.values(), strict=True))
    ]


def _as_note(card: str) -> str:
    """A card without its head, as long as MLflow takes a description, up to the end of a line."""
    text = card.partition("\n---\n")[2].strip()
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition("\n")[0]


def measured_values(row: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, float]:
    """``front_<metric>`` with its ``_stderr`` and ``_ratio`` → value, of a member; those that are finite numbers."""
    names = [name + suffix for name in metrics for suffix in ("", "_stderr", "_ratio")]
    found = {name: number(row, name) for name in names}
    return {f"front_{name}": value for name, value in found.items() if math.isfinite(value)}


def _members(study: Study) -> Iterator[tuple[str, int]]:
    return ((str(row["trial_id"]), int(row["step"])) for row in rows(front_members(study)))


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
