"""The part of the page in which one looks around: figures on the left, beside them what is pointed at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np

from analysis import page
from analysis.bounds import bounds_figure
from analysis.load import Study
from analysis.plots import front_figure
from analysis.scene import Scene, can_judge
from analysis.table import numeric
from analysis.trajectories import trajectories_figure
from tuning.constraints import bound_value
from tuning.goals import Constraint

_MOVED_SAYS = (
    "What trials reported follows the bounds: which reports are filled, the front of the search, its hypervolume. Of "
    "the re-measured front what breaks them becomes hollow and leaves its edge and shade; a looser bound adds nothing "
    "to it, since no other report was measured again. The star stays while the recommended member keeps the bounds by "
    "two standard errors."
)
_MOVED_SAYS_OF_SEARCH = (
    "The front, its shade and hypervolume, and which reports are filled follow the bounds, by the values that trials "
    "reported. Members under the study's own bounds become hollow where they are on it no longer. The star stays while "
    "the recommended member keeps the bounds by two standard errors."
)
_FRONT_SAYS = "All reports by two objectives, the front with error bars, baselines and the recommended member."


@dataclass(frozen=True)
class Slider:
    """How far a bound can be moved, in the unit that the bound is written in."""

    low: float
    high: float
    step: float


def front_section(study: Study, scene: Scene) -> page.Section:
    """The front and the sliders of its bounds."""
    reading = (
        "Filled marks keep every bound, hollow ones do not; bars are one standard error. Point at a mark to see it "
        "beside, click to keep it there."
    )
    outside = f"{scene.num_outside} infeasible reports lie beyond the axes; zoom out to see them."
    return page.Section(
        "Front",
        (
            page.paragraph(reading, "note"),
            page.figure(front_figure(study), "front-figure", _FRONT_SAYS),
            page.paragraph(outside, "note") if scene.num_outside else "",
            _sliders(study),
        ),
    )


def _sliders(study: Study) -> str:
    if not study.constraints or study.points.empty or not can_judge(study):
        return '<p id="front-says" class="note"></p>'
    parts = [page.subheading("Other bounds")]
    parts += [_slider(study, number, bound) for number, bound in enumerate(study.constraints)]
    says = (
        '<p><output id="front-says" aria-live="polite"></output></p>'
        '<p><output id="members-say" aria-live="polite"></output></p>'
    )
    return "\n".join(
        [*parts, says, page.paragraph(_MOVED_SAYS if study.is_finished else _MOVED_SAYS_OF_SEARCH, "note")]
    )


def _slider(study: Study, number: int, bound: Constraint) -> str:
    unit = study.search_reference[bound.metric] if bound.relative else 1.0
    values = numeric(study.points, [bound.metric])[:, 0] if bound.metric in study.points else np.array([])
    slider = slider_of(bound, values / unit if unit else values)
    own, label = (
        f"{bound.bound!r}",
        f"{bound.metric} {bound.op}" + (" (times untouched)" if bound.relative else ""),
    )
    ends = f'min="{slider.low:.10g}" max="{slider.high:.10g}" step="{slider.step:.10g}"'
    return (
        f'<div class="bound" data-constraint="{number}" data-own="{own}">'
        f'<span id="bound-{number}">{escape(label)}</span>'
        f'<input type="range" {ends} value="{own}" aria-labelledby="bound-{number}">'
        f'<input type="number" step="any" value="{own}" aria-labelledby="bound-{number}">'
        f'<button type="button" aria-label="back to the study\'s bound on {escape(bound.metric)}">reset</button></div>'
    )


def slider_of(bound: Constraint, values: np.ndarray) -> Slider:
    """From the best value on to four times as far beyond the bound, or to the worst value where that is nearer.

    Args:
        bound: whose slider it is.
        values: of the metric, in the unit of the bound; those that are not finite do not count.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (bound.bound, bound.bound)
    width = abs(bound.bound - (low if bound.op == "<=" else high)) or abs(bound.bound) or 1.0
    if bound.op == "<=":
        low, high = min(low, bound.bound), max(min(high, bound.bound + 4 * width), bound.bound + width / 2)
    else:
        low, high = min(max(low, bound.bound - 4 * width), bound.bound - width / 2), max(high, bound.bound)
    step = 10.0 ** math.floor(math.log10((high - low) / 100))
    return Slider(math.floor(low / step) * step, math.ceil(high / step) * step, step)


def bounds_section(study: Study) -> page.Section | None:
    """Objectives against what is bounded; None where nothing is, and there are no more than two objectives."""
    figure = bounds_figure(study)
    if not figure.data:
        return None
    text = "Dashed: the bound; green: what keeps it." if study.constraints else ""
    limits = ", ".join(_in_units(study, bound) for bound in study.constraints) if can_judge(study) else ""
    return page.Section(
        "Against the bounds",
        (
            page.paragraph(f"{text} {limits}", "note"),
            page.figure(figure, "bounds-figure", "Objectives against each bounded metric, with the bound."),
        ),
    )


def _in_units(study: Study, bound: Constraint) -> str:
    if not bound.relative:
        return str(bound)
    return f"{bound}: {bound_value(bound, study.search_reference):.4g} as trials measure"


def trajectories_section(study: Study) -> page.Section:
    """How trials went."""
    text = "A line a trial from the untouched model on; marks grow with the step. Point at one to see all of its trial."
    if study.reports.empty:
        return page.Section("Trajectories", (page.paragraph("Nothing was reported yet."),))
    return page.Section(
        "Trajectories",
        (
            page.paragraph(text, "note"),
            page.figure(trajectories_figure(study), "trajectories-figure", "Each trial as a line through its reports."),
        ),
    )


def panel(first: str, note: str) -> str:
    """What stands beside the figures, filled by the page's script.

    Args:
        first: the point that is shown at first.
        note: how many reports have no picture here.
    """
    return (
        f'<aside id="panel" aria-label="What is pointed at" data-first="{escape(first)}">'
        '<div class="buttons"><button type="button" id="previous" aria-label="previous point">◀</button>'
        '<button type="button" id="next" aria-label="next point">▶</button>'
        '<button type="button" id="unpin" hidden>let go (Esc)</button>'
        '<span id="panel-hint" class="note">click pins, ◀ ▶ go through all</span></div>'
        f'<div id="panel-content" aria-live="polite"></div>{page.paragraph(note, "note") if note else ""}</aside>'
    )


def side_by_side(sections: list[page.Section], beside: str) -> str:
    """Sections with the panel beside them."""
    return f'<div class="explore"><div>{"".join(section.html for section in sections)}</div>{beside}</div>'
