"""How much of a metric's variance each hyper-parameter explains: functional ANOVA (Hutter et al., 2014) by Optuna.

Fitted to a study's reports, in memory: the step counts as a parameter, since every report is a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import FONT_COLOUR, NO_LEGEND, SHADES
from analysis.load import Study
from analysis.marks import shown_label
from analysis.settings import is_wide, methods_in, of_method, sampled_columns, shown_metrics, varying
from analysis.table import numeric

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: Stands in the column ``method`` for all of them together, where the method itself is a parameter.
ALL_METHODS: Final = "all methods"
METHOD: Final = "method"
STEP: Final = "step"
#: Reports with a finite value, below which nothing is said.
MIN_REPORTS: Final = 12
#: Optuna's default is 64; with a quarter of them importances move in the second decimal, in a quarter of the time.
NUM_TREES: Final = 16
#: Of a tree: deeper ones tell the noise of single reports apart, at a price that grows with the leaves.
MAX_DEPTH: Final = 8
#: Reports that a forest is grown from, at most: evenly spread over the study's.
MAX_REPORTS: Final = 240


def importance(study: Study) -> pd.DataFrame:
    """``method, metric, parameter, importance``: of each method's parameters and the step, and of the method itself.

    The metrics are the objectives and the bounded ones. Importances of one method and metric are shares of the variance
    between its reports and sum to 1. Parameters are those that a search samples (of a scaled one its ratio).

    - Of all methods together (`ALL_METHODS`), where there are several, parameters are the method and the step, which
      are all that every report has.
    - With fewer than `MIN_REPORTS` finite values, or where the metric is the same in all, importances are NaN.
    - A parameter that did not vary has NaN: nothing is known of it. If one alone varied, it has 1.
    - Reports without a finite value of the metric are left out.

    Returns:
        In the order of methods, metrics and columns; empty where nothing was reported.
    """
    reports, found = study.reports, list[dict[str, Any]]()
    methods = methods_in(study, reports)
    groups = [(method, of_method(reports, method)) for method in methods]
    if len(methods) > 1:
        groups.insert(0, (ALL_METHODS, reports))
    for method, table in groups:
        names = [METHOD, STEP] if method == ALL_METHODS else [*sampled_columns(study, table), STEP]
        for metric in shown_metrics(study, table):
            shares = _shares(table, names, metric)
            found += [{"method": method, "metric": metric, "parameter": name, "importance": shares[name]}
                      for name in names]  # fmt: skip
    return pd.DataFrame(found, columns=["method", "metric", "parameter", "importance"])


def _shares(table: pd.DataFrame, names: Sequence[str], metric: str) -> dict[str, float]:
    shares = dict.fromkeys(names, np.nan)
    known = table.iloc[np.flatnonzero(np.isfinite(numeric(table, [metric])[:, 0]))]
    if len(known) < MIN_REPORTS or not varying(known, [metric]):
        return shares
    known = known.iloc[np.unique(np.linspace(0, len(known) - 1, MAX_REPORTS).round().astype(int))]
    free = [name for name in names if known[name].nunique() > 1]
    known = known.dropna(subset=free)
    if len(free) == 1:
        return {**shares, free[0]: 1.0}
    return {**shares, **_explained(known, free, numeric(known, [metric])[:, 0])} if free and len(known) else shares


def _explained(table: pd.DataFrame, names: Sequence[str], values: np.ndarray) -> Mapping[str, float]:
    """Shares by Optuna; none where no tree found anything to explain."""
    import optuna  # not at the top: pages and notebooks that ask for no importance do without
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    distributions = {name: _distribution(table[name]) for name in names}
    trials = [
        optuna.trial.create_trial(params=dict(zip(names, row, strict=True)), distributions=distributions, value=value)
        for row, value in zip(table[list(names)].itertuples(index=False), values.tolist(), strict=True)
    ]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
        study.add_trials(trials)
        evaluator = FanovaImportanceEvaluator(n_trees=NUM_TREES, max_depth=MAX_DEPTH, seed=0)
        return {name: float(share) for name, share in get_param_importances(study, evaluator=evaluator).items()}
    except RuntimeError:  # Optuna's word for variance in no tree: the values that differ are too few to be drawn
        return {}
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(values: pd.Series) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if values.name == METHOD:
        return CategoricalDistribution(tuple(sorted(set(values))))
    low, high = values.min(), values.max()
    if values.name == STEP:
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log=is_wide(values))


def importance_figure(study: Study) -> go.Figure:
    """Importances as a table of shades: a row a method's parameter, a column a metric; blank where nothing is known."""
    table = importance(study)
    metrics = list(dict.fromkeys(table["metric"]))
    places = list(dict.fromkeys(zip(table["method"], table["parameter"], strict=True)))
    found = table.set_index(["method", "parameter", "metric"])["importance"].to_dict()
    shares = np.array([[found[(*place, metric)] for metric in metrics] for place in places], dtype=float)
    names = [f"{method} · {parameter}" for method, parameter in places]
    texts = [["–" if np.isnan(share) else f"{share:.2f}" for share in row] for row in shares]
    figure = go.Figure()
    if places:
        figure.add_heatmap(
            z=shares, x=[shown_label(study, metric) for metric in metrics], y=names,
            text=texts, texttemplate="%{text}", textfont={"color": FONT_COLOUR}, colorscale=SHADES, zmin=0, zmax=1,
            xgap=2, ygap=2,
            hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
            colorbar={"title": {"text": "share"}, "thickness": 14},
        )  # fmt: skip
    figure.update_layout(template="plotly_white", height=120 + 30 * max(3, len(places)), **NO_LEGEND)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(side="top")
    return figure
