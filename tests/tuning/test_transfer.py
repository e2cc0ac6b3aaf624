"""What a study tells another one, against naive computations on random studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from other_study import RUNGS, SEARCHED, random_trials, write_other

from analysis.load import StudyError, load_study
from search_spaces import SEARCH_SPACES, space_of
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.known_trials import known_trials
from tuning.transfer import KnownTrial, Target, Transfer, transfer

METHODS = tuple(SEARCH_SPACES)
OBJECTIVES = (Objective("sscd", "minimize"), Objective("nll", "maximize"))
TARGET = Target(METHODS, OBJECTIVES, (Constraint("fid", "<=", 1.1, relative=True),))
#: Of the study that takes: another model with other values.
HERE = Goals(OBJECTIVES, TARGET.constraints, {"sscd": 0.7, "nll": 2.0, "fid": 40.0}, {"sscd": 0.05, "nll": 3.5})


def taken(root: Path, target: Target = TARGET) -> Transfer:
    return transfer(load_study(root), target)


def test_settings_gains_and_constraints_are_those_of_the_last_report(tmp_path: Path) -> None:
    trials = random_trials(12)
    found = taken(write_other(tmp_path / "other", trials))
    assert [trial.trial_id for trial in found.trials] == [f"{number:05d}" for number in range(12)]
    assert found.left_out == {}
    for trial, other in zip(trials, found.trials, strict=True):
        last = trial["reports"][-1]
        assert (other.method, other.step) == (trial["method"], RUNGS[-1])
        sampled = {parameter.sampled_name for parameter in space_of(trial["method"]).parameters}
        assert other.settings == {name: value for name, value in trial["settings"].items() if name in sampled}
        assert other.gains == pytest.approx(
            {"sscd": (0.9 - last["sscd"]) / (0.9 - 0.1), "nll": (last["nll"] - 3.0) / (6.0 - 3.0)}
        )
        assert other.constraints == pytest.approx({"fid": last["fid"] / (1.1 * SEARCHED["fid"]) - 1})


def test_gains_become_values_between_this_studys_own_untouched_model_and_ideal(tmp_path: Path) -> None:
    trials = random_trials(9, seed=1)
    transfers = [taken(write_other(tmp_path / "other", trials))]
    known = known_trials(transfers, HERE, [space_of(method) for method in METHODS], {})
    for trial, frozen in zip(trials, known, strict=True):
        last = trial["reports"][-1]
        sscd = 0.7 - (0.9 - last["sscd"]) / 0.8 * (0.7 - 0.05)
        nll = 2.0 + (last["nll"] - 3.0) / 3.0 * (3.5 - 2.0)
        assert frozen.values == pytest.approx([sscd, nll])
        assert frozen.constraints == pytest.approx({"fid": last["fid"] / 11.0 - 1})
        assert frozen.state.is_finished()
        assert frozen.number == -1
        settings = {k: v for k, v in trial["settings"].items() if k != "scaling_norm"}
        prefixed = {f"{trial['method']}.{name}": value for name, value in settings.items()}
        choice = {"method": trial["method"]} if settings else {}
        assert frozen.params == {**prefixed, **choice}


def test_a_single_method_has_no_choice_among_the_parameters(tmp_path: Path) -> None:
    target = Target(("siss",), OBJECTIVES, (), {"lambd": 0.5})
    trials = random_trials(3)
    trials[0]["settings"]["lambd"] = 0.5
    found = taken(write_other(tmp_path / "other", trials), target)
    [known] = known_trials([found], HERE, [space_of("siss")], {"lambd": 0.5})
    assert known.params == {"siss.scaling_norm_ratio": trials[0]["settings"]["scaling_norm_ratio"]}


def test_a_ratio_is_made_of_the_product_and_the_calibration_of_its_own_study(tmp_path: Path) -> None:
    trials = random_trials(3)
    whole = taken(write_other(tmp_path / "other", trials)).trials[0]
    columns = ("lambd", "scaling_norm", "eta")
    without = taken(write_other(tmp_path / "bare", trials, columns=columns)).trials[0]
    assert without.settings == pytest.approx(whole.settings)
    assert without.settings["scaling_norm_ratio"] == trials[0]["settings"]["scaling_norm"] / 50.0
    (tmp_path / "bare" / "baseline.json").write_text(
        (tmp_path / "bare" / "baseline.json").read_text().replace("retain_gradient_norm", "other_norm")
    )
    found = taken(tmp_path / "bare")
    assert found.left_out == {"without scaling_norm_ratio": 1}
    assert {trial.method for trial in found.trials} == {"erasediff", "naive_deletion"}


@pytest.mark.parametrize(
    ("change", "target", "reason"),
    [
        ({"state": "FAIL"}, {}, "failed"),
        ({"state": "RUNNING"}, {}, "not finished"),
        ({"state": "STOPPED"}, {}, "cut off"),
        ({"reports": []}, {}, "with the reason 'never reported'"),
        ({"reports": [{"sscd": float("nan")}]}, {}, "with the reason 'objective not finite'"),
        ({"method": "my.module:Method"}, {}, "of my.module:Method, which is not searched here"),
        ({}, {"methods": ("erasediff", "naive_deletion")}, "of siss, which is not searched here"),
        ({"settings": {"scaling_norm_ratio": 7.0}}, {}, "with scaling_norm_ratio outside of 0.02 … 2"),
        ({"settings": {"lambd": None}}, {}, "without lambd"),
        ({}, {"fix": {"lambd": 0.123}}, "without the lambd that is fixed here"),
        ({}, {"fix": {"scaling_norm": 5.0}}, "without the scaling_norm that is fixed here"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_place_here_is_left_out_with_the_reason(
    tmp_path: Path, change: dict[str, Any], target: dict[str, Any], reason: str
) -> None:
    trials = random_trials(3)
    first = trials[0]
    first |= {name: value for name, value in change.items() if name not in ("settings", "reports")}
    first["settings"] |= change.get("settings", {})
    if "reports" in change:
        first["reports"] = [{**first["reports"][0], **of} for of in change["reports"]]
    found = taken(write_other(tmp_path / "other", trials), Target(**{**vars(TARGET), **target}))
    assert found.left_out == {reason: 1}
    assert [trial.trial_id for trial in found.trials] == ["00001", "00002"]
    assert f"1 left out (1 {reason})" in str(found)


def test_a_value_that_is_fixed_alike_is_no_reason(tmp_path: Path) -> None:
    trials = random_trials(1)
    trials[0]["settings"] |= {"lambd": 0.25}
    fix = {"lambd": 0.25, "scaling_norm_ratio": trials[0]["settings"]["scaling_norm_ratio"]}
    found = taken(write_other(tmp_path / "other", trials), Target(METHODS, OBJECTIVES, (), fix))
    assert [trial.settings for trial in found.trials] == [{}]


@pytest.mark.parametrize("metric", ["clip_iqa", "fid"])
def test_a_bound_on_what_was_not_reported_leaves_all_out(tmp_path: Path, metric: str) -> None:
    target = Target(METHODS, OBJECTIVES, (Constraint(metric, ">=", 0.5),))
    found = taken(write_other(tmp_path / "other", random_trials(4), metrics=("sscd", "nll")), target)
    assert (found.trials, found.left_out) == ((), {f"without {metric}": 4})


def test_a_relative_bound_needs_the_untouched_models_value(tmp_path: Path) -> None:
    root = write_other(tmp_path / "other", random_trials(4))
    (root / "baseline.json").write_text((root / "baseline.json").read_text().replace('"fid"', '"fid_"'))
    assert taken(root).left_out == {"without the untouched model's fid": 4}
    absolute = Target(METHODS, OBJECTIVES, (Constraint("fid", "<=", 12.0),))
    assert len(taken(root, absolute).trials) == 4


def test_bounds_are_this_studys_own(tmp_path: Path) -> None:
    trials = random_trials(6)
    two = (Constraint("inception_score", ">=", 0.9, relative=True), Constraint("fid", "<=", 13.0))
    found = taken(write_other(tmp_path / "other", trials), Target(METHODS, OBJECTIVES, two))
    for trial, other in zip(trials, found.trials, strict=True):
        last = trial["reports"][-1]
        expected = {"inception_score": 1 - last["inception_score"] / (0.9 * 8.0), "fid": last["fid"] / 13.0 - 1}
        assert other.constraints == pytest.approx(expected)


def test_of_several_reports_at_the_highest_rung_the_one_that_adds_most_stands_for_the_trial(tmp_path: Path) -> None:
    trials = random_trials(3)
    better = {"step": 20, "rung": 1, "sscd": 0.3, "nll": 5.0, "fid": 10.0, "inception_score": 8.0}
    worse = {**better, "step": 25, "sscd": 0.5}
    infeasible = {**better, "step": 30, "sscd": 0.1, "fid": 20.0}
    trials[0]["reports"] = [trials[0]["reports"][0], better, worse, infeasible]
    assert taken(write_other(tmp_path / "other", trials)).trials[0].step == 20


def test_the_front_is_taken_in_its_order_each_setting_once(tmp_path: Path) -> None:
    trials = random_trials(9)
    trials[6]["settings"] = dict(trials[0]["settings"])
    trials[3]["settings"]["scaling_norm_ratio"] = 9.0
    found = taken(write_other(tmp_path / "other", trials, front=(4, 3, 6, 0, 2)))
    siss = {name: trials[0]["settings"][name] for name in ("lambd", "scaling_norm_ratio")}
    assert list(found.front) == [
        {"method": "erasediff", **trials[4]["settings"]},
        {"method": "siss", **siss},
        {"method": "naive_deletion"},
    ]
    assert "3 settings of its front to try first" in str(found)


def test_of_a_study_without_a_front_it_is_the_one_so_far(tmp_path: Path) -> None:
    trials = random_trials(3)
    for trial, sscd, nll in zip(trials, (0.5, 0.3, 0.8), (4.0, 3.5, 3.2), strict=True):
        for report in trial["reports"]:
            report |= {"sscd": sscd, "nll": nll, "fid": 10.0}
    found = taken(write_other(tmp_path / "other", trials, front=None))
    assert [entry["method"] for entry in found.front] == ["erasediff", "siss"]


def test_objectives_may_stand_in_another_order(tmp_path: Path) -> None:
    root = write_other(tmp_path / "other", random_trials(3))
    turned = Goals(OBJECTIVES[::-1], (), HERE.baseline, HERE.ideal)
    known = known_trials([taken(root, Target(METHODS, OBJECTIVES[::-1]))], turned, list(map(space_of, METHODS)), {})
    straight = known_trials([taken(root, Target(METHODS, OBJECTIVES))], HERE, list(map(space_of, METHODS)), {})
    assert [trial.values for trial in known] == [trial.values[::-1] for trial in straight]


def test_without_an_ideal_there_is_no_gain(tmp_path: Path) -> None:
    root = write_other(tmp_path / "other", random_trials(3))
    (root / "baseline.json").write_text((root / "baseline.json").read_text().replace('"retrained"', '"other"'))
    with pytest.raises(StudyError, match="ideal must be better than the baseline"):
        taken(root)


@pytest.mark.parametrize(
    ("name", "found", "put", "column"),
    [
        ("trials.csv", "trial_id,", "id,", "trial_id"),
        ("reports.csv", ",step,", ",at,", "step"),
        ("reports.csv", ",10,0,", ",ten,0,", "step"),
        ("reports.csv", ",10,0,", ",,0,", "step"),
    ],
)
def test_a_table_that_no_study_wrote_is_refused(tmp_path: Path, name: str, found: str, put: str, column: str) -> None:
    root = write_other(tmp_path / "other", random_trials(3))
    (root / name).write_text((root / name).read_text().replace(found, put, 1))
    with pytest.raises(StudyError, match=f"{name} must be a table that a study wrote, but its {column}"):
        taken(root)


def test_a_study_that_has_only_begun_tells_nothing(tmp_path: Path) -> None:
    root = write_other(tmp_path / "other", random_trials(2))
    for name in ("trials.csv", "reports.csv", "front.csv"):
        (root / name).unlink()
    assert taken(root) == Transfer(str(root))


def test_ideal_and_untouched_model_are_gains_of_one_and_zero() -> None:
    at_ends = [KnownTrial(str(g), 10, "naive_deletion", {}, {"sscd": g, "nll": g}, {}) for g in (0.0, 1.0)]
    known = known_trials([Transfer("other", tuple(at_ends))], HERE, [space_of("naive_deletion")], {})
    assert [trial.values for trial in known] == [pytest.approx([0.7, 2.0]), pytest.approx([0.05, 3.5])]
