"""Where the time of each trial went, of a study that was asked to say so (``profile: true``)."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from analysis.appearance import LEGEND_BELOW
from analysis.load import Study
from analysis.table import numeric
from trainable.profile import PARTS
from tuning.profiling import column

#: Okabe and Ito's colours, which colour-blind readers tell apart too; from the ninth part on with stripes.
_COLOURS: Final = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#F0E442", "#999999")


def profile_table(study: Study) -> pd.DataFrame:
    """``trial_id, method`` and, in seconds, `trainable.profile.PARTS`: a row a trial that has ended.

    Empty where the study did not say where time went.
    """
    names = [column(part) for part in PARTS]
    if not set(names) <= set(study.trials):
        return pd.DataFrame(columns=["trial_id", "method", *PARTS])
    seconds = pd.DataFrame(numeric(study.trials, names), columns=list(PARTS), index=study.trials.index)
    return study.trials[["trial_id", "method"]].join(seconds).dropna(subset=list(PARTS)).reset_index(drop=True)


def profile_figure(study: Study) -> go.Figure:
    """A bar a trial, stacked by part; parts that took nothing are left out."""
    table = profile_table(study)
    figure = go.Figure()
    for index, part in enumerate(PARTS):
        if table[part].sum() > 0:
            figure.add_bar(
                x=table["trial_id"], y=table[part], name=part, customdata=table["method"],
                marker={"color": _COLOURS[index % len(_COLOURS)],
                        "pattern": {"shape": "/" if index >= len(_COLOURS) else ""}},
                hovertemplate=f"trial %{{x}}, %{{customdata}}<br>{part}: %{{y:.3g}} s<extra></extra>",
            )  # fmt: skip
    figure.update_layout(template="plotly_white", barmode="stack", height=380, **LEGEND_BELOW)
    figure.update_xaxes(title_text="trial", type="category")
    figure.update_yaxes(title_text="seconds", ticklabelstandoff=6)
    return figure
