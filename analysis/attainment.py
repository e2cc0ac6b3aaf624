"""Empirical attainment: what part of several runs of one study reaches each pair of objectives.

The attainment function of n fronts at a point z is the share of them with a member at least as good as z in both
objectives (Grunert da Fonseca, Fonseca and Hall, 2001; computed by moocore). Its 50% surface is the median front, the
25% and 75% ones say how much luck the seed is. Its integral over the box from the untouched model (0) to the ideal (1)
is the fronts' mean hypervolume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import moocore
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.common_scale import front_on
from analysis.comparable import Scale, labelled, scale_of, seed_groups
from analysis.compare_figures import Line, add_anchors, lay_out, line_of, name_axes, shown
from analysis.load import Study

QUARTILES: Final = (0.25, 0.5, 0.75)
#: Worse than any value: where a front without a member lies, which counts as a run all the same.
_NOWHERE: Final = 1e300


@dataclass(frozen=True)
class Group:
    """Finished studies that differ in their seed alone."""

    name: str
    studies: tuple[Study, ...]


def groups_of(studies: Sequence[Study]) -> list[Group]:
    """The groups of `analysis.comparable.seed_groups`, of finished studies: half a search tells little of a whole one.

    Raises:
        StudyError: as `analysis.comparable.scale_of`.
    """
    known, scale = labelled(studies), scale_of(studies)
    usable = {
        label for label, study in known.items() if study.is_finished and not (scale.in_gains and study.ideal is None)
    }
    groups = [
        Group(name, tuple(known[label] for label in labels if label in usable))
        for name, labels in seed_groups(studies).items()
    ]
    return [group for group in groups if group.studies]


def attainment(studies: Sequence[Study], quantiles: Sequence[float] = QUARTILES) -> pd.DataFrame:
    """The attainment surfaces of each group of studies that differ in their seed alone.

    Args:
        studies: at least one; unfinished ones are left out.
        quantiles: in (0, 1]: the share of a group's studies that reach the surface, at least. Of one study every
            surface is its front.

    Returns:
        ``group, studies`` (how many), ``quantile``, and the first two objectives on the scale of
        `analysis.comparable.scale_of`: the corners of each surface, best in the first objective first. With one
        objective a surface is one value. A surface that too few studies reach has no row. With more than two
        objectives it is the attainment of the first two.

    Raises:
        StudyError: as `analysis.comparable.scale_of`.
        ValueError: a quantile is not in (0, 1].
    """
    if outside := [quantile for quantile in quantiles if not 0 < quantile <= 1]:
        raise ValueError(f"a quantile must be in (0, 1], but got {outside[0]:g}; give for instance 0.5 for the median")
    scale = scale_of(studies)
    columns = scale.columns[:2]
    tables = []
    for group in groups_of(studies):
        points, runs = _gathered(group, scale)
        for quantile in quantiles:
            table = pd.DataFrame(_surface(points, runs, quantile)[:, : len(columns)] * _signs(scale), columns=columns)
            tables.append(table.assign(group=group.name, studies=len(group.studies), quantile=float(quantile)))
    names = ["group", "studies", "quantile", *columns]
    return pd.concat(tables, ignore_index=True)[names] if tables else pd.DataFrame(columns=names)


def _signs(scale: Scale) -> NDArray[np.float64]:
    return np.array([scale.sign(objective) for objective in scale.objectives[:2]])


def _gathered(group: Group, scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, 2) minimised points of all fronts, and which run each is of; a lone objective has a 0 beside it."""
    points, runs = [], []
    for number, study in enumerate(group.studies):
        front = front_on(study, scale)[scale.columns[:2]].to_numpy(dtype=np.float64) * _signs(scale)
        if front.shape[1] == 1:
            front = np.column_stack([front, np.zeros(len(front))])
        points.append(np.vstack([front, np.full((1, 2), _NOWHERE)]))
        runs.append(np.full(len(front) + 1, number))
    return np.concatenate(points), np.concatenate(runs)


def _surface(points: NDArray[np.float64], runs: NDArray[np.int64], quantile: float) -> NDArray[np.float64]:
    """(k, 2) minimal points that at least `quantile` of the runs reach, in order of the first column."""
    surface: NDArray[np.float64] = moocore.eaf(points, runs, percentiles=[100.0 * quantile])[:, :2]
    surface = surface[(surface < _NOWHERE).all(axis=1)]
    return surface[np.argsort(surface[:, 0], kind="stable")]


def attainment_figure(studies: Sequence[Study]) -> go.Figure:
    """Median surfaces of groups that differ in their seed alone, quartiles dotted; a group of one study has its front.

    With one objective: each group's median value, with a bar from one quartile to the other.

    Raises:
        StudyError: as `analysis.comparable.scale_of`.
    """
    scale, surfaces, figure = scale_of(studies), attainment(studies), go.Figure()
    groups = groups_of(studies)
    labels = {id(study): label for label, study in labelled(studies).items()}
    for group in groups:
        of_group = surfaces[surfaces["group"] == group.name]
        own = {quantile: of_group[of_group["quantile"] == quantile] for quantile in of_group["quantile"].unique()}
        line = line_of(labels[id(group.studies[0])], list(labels.values()))  # that of its first study's front
        if len(scale.objectives) == 1:
            _add_values(figure, own, scale.columns[0], group, line)
        else:
            _add_surfaces(figure, own, scale, group, line)
    lay_out(figure, height=560)
    name_axes(figure, studies[0], scale)
    if len(scale.objectives) == 1:
        figure.update_yaxes(title_text="", type="category")
    else:
        add_anchors(figure, studies, scale)
    return figure


def _legend(group: Group) -> str:
    count = len(group.studies)
    return f"{shown(group.name)}, {count} seed{'s' if count > 1 else ''}"


def _add_values(figure: go.Figure, own: Mapping[float, pd.DataFrame], column: str, group: Group, line: Line) -> None:
    values = {quantile: float(table[column].iloc[0]) for quantile, table in own.items()}
    if 0.5 not in values:
        return
    middle, ends = values[0.5], [values.get(quantile, np.nan) for quantile in (0.25, 0.75)]
    above, below = max(0.0, np.nanmax([*ends, middle]) - middle), max(0.0, middle - np.nanmin([*ends, middle]))
    bars = {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below]}
    figure.add_scatter(
        x=[middle], y=[shown(group.name)], error_x=bars, mode="markers", name=_legend(group),
        marker={"size": 12, "color": line.colour},
    )  # fmt: skip


def _add_surfaces(figure: go.Figure, own: Mapping[float, pd.DataFrame], scale: Scale, group: Group, line: Line) -> None:
    worst = _worst(group, scale)
    for quantile in (0.5, 0.25, 0.75) if len(group.studies) > 1 else (0.5,):
        table, is_median = own.get(quantile), quantile == 0.5
        if table is None and not is_median:
            continue
        corners = np.empty((0, 2)) if table is None else table[scale.columns[:2]].to_numpy(dtype=np.float64)
        path = _stretched(corners, worst, _signs(scale))
        reach = f"at least {quantile:.0%} of {len(group.studies)} seeds"
        figure.add_scatter(
            x=path[:, 0] if len(path) else [None],
            y=path[:, 1] if len(path) else [None],
            mode="lines",
            line={
                "shape": "hv",
                "color": line.colour,
                "width": 3 if is_median else 1.5,
                "dash": line.dash if is_median else "dot",
            },
            name=_legend(group) if is_median else f"{shown(group.name)}, {reach}",
            text=[reach] * len(path),
            showlegend=is_median,
            legendgroup=group.name,
        )


def _worst(group: Group, scale: Scale) -> NDArray[np.float64]:
    """(2,) where surfaces begin and end: the untouched models, NaN where they were not measured."""
    if scale.in_gains:
        return np.zeros(2)
    values = [[s.untouched.get(o.metric, np.nan) for o in scale.objectives[:2]] for s in group.studies]
    return np.asarray(np.mean(values, axis=0))


def _stretched(
    corners: NDArray[np.float64], worst: NDArray[np.float64], signs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The surface drawn on to the untouched model, as far as that is worse than its ends in either objective."""
    if len(corners) == 0:
        return corners
    low, high = [corners[0, 0], worst[1]], [worst[0], corners[-1, 1]]
    before = [low] if (worst[1] - corners[0, 1]) * signs[1] > 0 else []
    after = [high] if (worst[0] - corners[-1, 0]) * signs[0] > 0 else []
    return np.array([*before, *corners.tolist(), *after])
