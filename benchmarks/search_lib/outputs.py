"""What a replay leaves behind: tables for terminal and documentation, CSV files, the curves as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.search_lib.correlation import Correlation
from benchmarks.search_lib.replay import LEVELS, SUBJECT, Need, Replay, band, needs
from benchmarks.search_lib.truth import Validation
from benchmarks.table import Result

POINTS = 200


def validation_table(found: Iterable[Validation]) -> Result:
    """How well truth is interpolated."""
    rows = [(v.method, v.metric, str(v.num_trials), f"{v.relative_error:.2f}", f"{v.r2:.2f}") for v in found]
    note = "Each trial left out in turn, all of its rungs; the distance as its logarithm."
    return Result("Interpolation of recorded trials", ("method", "metric", "trials", "RMSE / spread", "R²"), rows, note)


def correlation_table(found: Iterable[Correlation]) -> Result:
    """How much cheap measurements say."""
    rows = [
        (c.metric, str(c.step), f"{c.fraction:g}", f"{c.with_last:.2f}", f"{c.with_same:.2f}", str(c.num_trials))
        for c in found
    ]
    columns = ("metric", "step", "fidelity", "with last rung", "with same rung", "trials")
    return Result("Rank correlation with full fidelity, straight from the record", columns, rows)


def needs_table(result: Replay) -> Result:
    """Compute to each level, and how many times that of the subject it is."""
    found = list(needs(result))
    subject = {need.level: need.quartiles[1] for need in found if need.search == SUBJECT}
    rows = []
    for need in found:
        low, middle, high = map(_thousands, need.quartiles)
        ratio = _ratio(need.quartiles[1], subject.get(need.level, math.nan), result.budget)
        reached = f"{need.reached}/{result.num_seeds}"
        rows.append((need.search, f"{need.level:.0%}", middle, f"{low} – {high}", reached, ratio))
    title = f"Thousand rows to a share of the best known hypervolume ({result.best:.3f}), {_workers(result)}"
    columns = ("search", "share", "median", "quartiles", "reached", f"× {SUBJECT}")
    return Result(title, columns, rows, f"Within {_thousands(result.budget)} thousand rows; ∞: not reached.")


def markdown(result: Result) -> str:
    """The table as it stands in documentation."""
    lines = [result.columns, ["---"] + ["---:"] * (len(result.columns) - 1), *result.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{result.title}.{' ' + result.note if result.note else ''}\n\n{table}\n"


def save(directory: Path, result: Replay, tables: Sequence[Result]) -> list[Path]:
    """Write everything into a directory, made where absent; gives the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / name for name in ("needs.csv", "curves.csv", "tables.md", "curves.png")]
    _needs_frame(needs(result)).to_csv(paths[0], index=False)
    _curves_frame(result).to_csv(paths[1], index=False, float_format="%.6g")
    paths[2].write_text("\n".join(map(markdown, tables)), encoding="utf-8")
    draw(result).savefig(paths[3], dpi=130, metadata={"Software": None})
    return paths


def draw(result: Replay) -> Figure:
    """Median and quartiles of the share reached against rows, one colour for each search."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes, rows = figure.subplots(), _rows(result)
    highest = 1.0
    for number, (name, curves) in enumerate(result.curves.items()):
        low, middle, high = band(curves, rows)
        colour = "black" if name == SUBJECT else f"C{number % 10}"
        width, dashes = (2.5, "-") if name == SUBJECT else (1.5, "-" if number < 10 else "--")
        axes.step(rows, middle, where="post", color=colour, label=name, linewidth=width, linestyle=dashes)
        axes.fill_between(rows, low, high, step="post", color=colour, alpha=0.06, linewidth=0)
        highest = max(highest, float(middle.max()))
    for level in LEVELS:
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlim=(rows[0], rows[-1]), ylim=(0, 1.02 * highest))
    axes.set_xlabel("network rows, training and measuring")
    axes.set_ylabel("share of the best known hypervolume")
    axes.set_title(f"Median and quartiles of {result.num_seeds} seeds, {_workers(result)}", loc="left")
    axes.legend(loc="upper left", frameon=False)
    return figure


def _rows(result: Replay) -> NDArray[np.float64]:
    return np.geomspace(result.budget / 1000, result.budget, POINTS)


def _needs_frame(found: Iterable[Need]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"search": n.search, "share": n.level, "q1": n.quartiles[0], "median": n.quartiles[1]}
            | {"q3": n.quartiles[2], "seeds_reached": n.reached}
            for n in found
        ]
    )


def _curves_frame(result: Replay) -> pd.DataFrame:
    rows = _rows(result)
    frames = []
    for name, curves in result.curves.items():
        low, middle, high = band(curves, rows)
        frames.append(pd.DataFrame({"search": name, "rows": rows, "q1": low, "median": middle, "q3": high}))
    return pd.concat(frames)


def _workers(result: Replay) -> str:
    return "one worker" if result.workers == 1 else f"{result.workers} workers"


def _thousands(rows: float) -> str:
    return f"{rows / 1000:.0f}" if math.isfinite(rows) else "∞"


def _ratio(rows: float, subject: float, budget: float) -> str:
    """How many times the subject's; more than its share of the budget where the level was not reached."""
    if not math.isfinite(subject):
        return "–"
    return f"{rows / subject:.1f}" if math.isfinite(rows) else f"> {budget / subject:.1f}"
