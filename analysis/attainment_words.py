"""What attainment says in words: how far groups of seeds get, and whether two of them can be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import moocore
import numpy as np
from numpy.typing import NDArray

from analysis.attainment import Group, groups_of
from analysis.common_scale import front_hypervolume, front_on
from analysis.comparable import Scale, scale_of
from analysis.hypervolume import gains_of
from analysis.load import Study


def in_words(studies: Sequence[Study]) -> list[str]:
    """What the groups reach and how they differ, a sentence each; hypervolumes are those of the re-measured fronts.

    Two groups are compared by the box from the untouched model to the ideal: in which part of it one of them is reached
    by a larger share of its studies than the other, and whether their hypervolumes tell all of their studies apart.
    That happens by luck too, the more easily the fewer studies there are: how often, and how many pairs of groups had
    the chance, is said with it.

    Raises:
        StudyError: as `analysis.comparable.scale_of`.
    """
    scale, groups = scale_of(studies), groups_of(studies)
    volumes = {group.name: np.array([front_hypervolume(study) for study in group.studies]) for group in groups}
    lines = [_of_group(group, volumes[group.name]) for group in groups if len(group.studies) > 1]
    pairs = [(one, other) for one, other in combinations(groups, 2) if _says_something(one, other, volumes)]
    return lines + [_of_pair(one, other, volumes, scale, len(pairs)) for one, other in pairs]


def _says_something(one: Group, other: Group, volumes: Mapping[str, NDArray[np.float64]]) -> bool:
    """Whether all hypervolumes are known, and one of the groups has more than one study."""
    known = np.isfinite([*volumes[one.name], *volumes[other.name]]).all()
    return bool(known) and len(one.studies) + len(other.studies) > 2


def _of_group(group: Group, volumes: NDArray[np.float64]) -> str:
    seeds = {study.config.seed for study in group.studies}
    count = f"{len(group.studies)} studies" + ("" if len(seeds) == len(group.studies) else f", {len(seeds)} seeds")
    if not np.isfinite(volumes).all():
        return f"{group.name} ({count}): hypervolumes are not known without an ideal."
    return (
        f"{group.name} ({count}): hypervolume {volumes.mean():.3f} in the mean, from {volumes.min():.3f} to "
        f"{volumes.max():.3f} by seed."
    )


def _of_pair(one: Group, other: Group, volumes: Mapping[str, NDArray[np.float64]], scale: Scale, num_pairs: int) -> str:
    first, second = volumes[one.name], volumes[other.name]
    luck = _luck(len(first), len(second), num_pairs)
    if first.min() > second.max():
        verdict = f"every study of {one.name} has a larger hypervolume than every one of {other.name}. {luck}"
    elif second.min() > first.max():
        verdict = f"every study of {other.name} has a larger hypervolume than every one of {one.name}. {luck}"
    else:
        verdict = "their hypervolumes overlap, so that another seed could turn them round."
    text = f"{one.name} and {other.name}: "
    if len(scale.objectives) == 2:
        ahead, behind = ahead_shares(one, other, scale)
        text += (
            f"in {ahead:.0%} of the box from the untouched model to the ideal a larger share of the former's seeds get "
            f"there, in {behind:.0%} of the latter's; "
        )
    return text + verdict


def chance_of_separation(num_one: int, num_other: int) -> float:
    """How often two groups lie apart, one way or the other, where nothing but luck tells their studies apart.

    Every choice of `num_one` of all studies is then as likely to be the best ones: 2 / C(n + m, n).
    """
    return 2 / math.comb(num_one + num_other, num_one)


def _luck(num_one: int, num_other: int, num_pairs: int) -> str:
    chance = 100 * chance_of_separation(num_one, num_other)
    pairs = "this was the only pair" if num_pairs == 1 else f"it is one of {num_pairs} pairs"
    return (
        f"Luck alone sets {num_one} and {num_other} studies apart, one way or the other, {chance:.2g}% of the time, "
        f"and {pairs} compared here."
    )


def ahead_shares(one: Group, other: Group, scale: Scale) -> tuple[float, float]:
    """The shares of the box (gains 0 to 1) in which more of `one`'s studies, or more of `other`'s, reach a point.

    Each study counts by its own gains, with two objectives; both must have ideals.
    """
    # moocore counts runs, so that both sides need equally many: each run stands there as often as the other has runs.
    sides = [_repeated(_gain_points(one, scale), len(other.studies))]
    sides.append(_repeated(_gain_points(other, scale), len(one.studies)))
    boxes = moocore.eafdiff(*sides, maximise=True, rectangles=True)
    corners = np.clip(boxes[:, :4], 0.0, 1.0)
    areas = np.abs((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))
    return float(areas[boxes[:, 4] > 0].sum()), float(areas[boxes[:, 4] < 0].sum())


def _gain_points(group: Group, scale: Scale) -> list[NDArray[np.float64]]:
    """(n, 2) gains of each study's front, and the untouched model, which every study has."""
    fronts = []
    for study in group.studies:
        points = front_on(study, scale)[scale.columns].to_numpy(dtype=np.float64)
        if not scale.in_gains and study.ideal is not None:
            points = gains_of(points, scale.objectives, study.member_reference, study.ideal)
        fronts.append(np.vstack([points, np.zeros((1, 2))]))
    return fronts


def _repeated(fronts: Sequence[NDArray[np.float64]], times: int) -> NDArray[np.float64]:
    """(n, 3) points and the number of their run."""
    runs = [front for front in fronts for _ in range(times)]
    return np.vstack([np.column_stack([front, np.full(len(front), number + 1.0)]) for number, front in enumerate(runs)])
