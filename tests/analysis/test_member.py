"""Which model a command is about, and what it is told where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.load import StudyError, load_study
from analysis.member import find_member
from analysis.scene import compose

StudyMaker = Callable[..., Path]


def test_the_recommended_member_is_taken_by_default(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    scene = compose(study)
    member, row = find_member(study), scene.members.iloc[scene.choice.position]
    assert (member.trial_id, member.step) == (row["trial_id"], row["step"])
    assert member.is_on_front
    assert member.why == scene.choice.rule
    assert member.row["method"] == row["method"]


def test_a_trial_may_be_named_without_its_zeros(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    for given in ("00017", "17"):
        named = find_member(study, given, 20)
        assert (named.trial_id, named.step, named.row["seed"], named.why) == ("00017", 20, 17, "named")


@pytest.mark.parametrize(
    ("trial", "step", "message"),
    [
        ("77", 10, "a trial must be one that reported, but got '77'; synthetic has 00000; 00001"),
        ("../1", 10, "a trial must be one that reported"),
        ("17", 15, "a step must be one at which trial 00017 reported, but got 15; it has 10; 20; 30; 40"),
        (None, 10, "got --step 10 alone"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    make_study: StudyMaker, trial: str | None, step: int, message: str
) -> None:
    with pytest.raises(StudyError) as refused:
        find_member(load_study(make_study()), trial, step)
    assert message in str(refused.value)


def test_a_step_is_needed_only_where_several_can_be_meant(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    alone = study.front["trial_id"].value_counts()
    trial = str(alone[alone == 1].index[0])
    assert find_member(study, trial).step == study.front.set_index("trial_id").loc[trial, "step"]
    off_front = next(name for name in study.reports["trial_id"] if name not in set(study.front["trial_id"]))
    with pytest.raises(StudyError, match="give --step"):
        find_member(study, off_front)


def test_where_none_is_recommended_it_says_why_and_what_there_is(make_study: StudyMaker) -> None:
    study = load_study(make_study(finished=False, constraints=("fid <= 0.01x",)))
    with pytest.raises(
        StudyError, match=r"so none is recommended\. Name a model by --trial and --step: 00000 at 10, 20"
    ):
        find_member(study)
