"""What the outlook says of made-up studies in which it is known what is worth while."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.ranges import value_at
from tuning.goals import Constraint, Objective
from tuning.judging import Goals
from tuning.outcome import INTERRUPTED
from tuning.outlook import Outlook
from tuning.outlook.belief import Belief, Seen, bent_excesses, bent_gains
from tuning.outlook.method import SHOWN_TRAININGS, _milestone
from tuning.outlook.surrogate import Inputs
from tuning.outlook.training import Training

GOALS = Goals(
    (Objective("sscd", "minimize"), Objective("nll", "maximize")),
    (Constraint("fid", "<=", 1.5, relative=True),),
    {"sscd": 0.9, "nll": 2.0, "fid": 10.0},
    {"sscd": 0.0, "nll": 5.0},
)
RANGE = FloatDistribution(0.01, 1.0, log=True)
DIMENSIONS = {"good": {"good.x": RANGE}, "bad": {"bad.x": RANGE}}
STEPS = (10, 20, 40)
XS = np.geomspace(0.01, 1.0, 200)


def report(x: float, step: int, *, method: str = "good", luck: float = 0.0) -> dict[str, float]:
    """Forgets the more the larger x is; beyond 0.1 a bound is broken from the first step on, with `bad` everywhere."""
    at = 1.0 + math.log10(x) / 2.0
    done = at * (step / STEPS[-1]) ** 0.5
    fid = 10.0 * (1.0 + at + luck) if method == "good" else 40.0
    return {"step": step, "rung": STEPS.index(step), "sscd": 0.9 * (1 - done), "nll": 2.0 + 3.0 * done, "fid": fid}


def trial(
    number: int, x: float, *, method: str = "good", steps: tuple[int, ...] = STEPS, **changes: Any
) -> FrozenTrial:
    """A trial with these settings and reports, ended where it got to the last step."""
    ended = steps == STEPS
    attrs = {f"report:{step}": json.dumps(report(x, step, method=method)) for step in steps}
    fields: dict[str, Any] = {"user_attrs": {"method": method, **attrs}}
    fields["state"] = TrialState.COMPLETE if ended else TrialState.RUNNING
    if ended:
        fields["values"] = [report(x, STEPS[-1])["sscd"], report(x, STEPS[-1])["nll"]]
    found = create_trial(
        params={f"{method}.x": x},
        distributions={f"{method}.x": RANGE},
        **{**fields, **changes},
    )
    found.number = number
    return found


def filled(*trials: FrozenTrial) -> Outlook:
    outlook = Outlook(GOALS, DIMENSIONS)
    for one in trials:
        outlook.put(one)
    return outlook


def studied() -> list[FrozenTrial]:
    """Trials from which it can be seen where the best are: at x = 0.1."""
    xs = [0.01, 0.03, 0.06, 0.18, 0.3, 1.0]
    return [
        *(trial(number, x) for number, x in enumerate(xs)),
        *(trial(10 + number, x, method="bad") for number, x in enumerate(xs)),
    ]


def test_reach_is_how_often_drawn_models_reach() -> None:
    rng = np.random.default_rng(0)
    where = Inputs(rng.random((6, 1)), np.zeros(6), np.arange(6))
    gains, excesses = rng.random((6, 2)), rng.normal(-0.1, 0.1, (6, 1))
    seen, untouched = Seen(where, gains, excesses), np.array([-1 / 3])
    belief = Belief(seen, Belief.fit(seen, untouched), untouched)
    new, points = Inputs(np.array([[0.3], [0.8]]), np.zeros(2), np.array([100, 101])), rng.random((5, 2))
    found = belief.reach(new, bent_gains(points))
    draws = [process.predict(new) for process in (*belief._gains, *belief._excesses)]
    drawn = [mean + deviation * rng.standard_normal((200_000, 2)) for mean, deviation in draws]
    within = drawn[2] + bent_excesses(untouched)[0] <= 0.0
    for number, point in enumerate(bent_gains(points)):
        share = ((drawn[0] >= point[0]) & (drawn[1] >= point[1]) & within).mean(axis=0)
        assert found[:, number] == pytest.approx(share, abs=0.005)


def test_without_a_report_there_is_nothing_to_go_by() -> None:
    assert Outlook(GOALS, DIMENSIONS).suggest(DIMENSIONS, 0) is None
    assert filled(trial(0, 0.1, steps=())).suggest(DIMENSIONS, 0) is None


def test_it_suggests_where_most_is_to_be_had() -> None:
    outlook = filled(*studied())
    for seed in range(3):
        method, params = outlook.suggest(DIMENSIONS, seed) or ("", {})
        assert method == "good"
        assert 0.06 < params["good.x"] < 0.18


def test_where_nothing_is_to_be_had_it_suggests_nothing() -> None:
    assert filled(*studied()).suggest(["bad"], 0) is None


def test_trials_that_run_count_by_what_they_are_expected_to_reach() -> None:
    outlook = filled(*studied())
    made = []
    for number in range(100, 104):
        method, params = outlook.suggest(DIMENSIONS, 0) or ("", {})
        made.append((method, *params.values()))
        outlook.put(trial(number, params[f"{method}.x"], method=method, steps=()))
    assert len(set(made)) == len(made), "the same seed suggests others, since the first ones run"


def test_the_same_trials_say_the_same_whatever_came_between() -> None:
    trials = studied()
    grown = Outlook(GOALS, DIMENSIONS)
    for one in trials:
        method = one.user_attrs["method"]
        grown.put(trial(one.number, next(iter(one.params.values())), method=method, steps=()))
        grown.suggest(DIMENSIONS, 1)
        for step in STEPS:
            grown.add(one.number, report(next(iter(one.params.values())), step, method=method))
            grown.is_worth_going_on(one.number)
        grown.put(one)
    assert grown.suggest(DIMENSIONS, 5) == filled(*trials).suggest(DIMENSIONS, 5)


class TestGoingOn:
    def test_what_promises_less_than_a_new_trial_ends(self) -> None:
        outlook = filled(*studied(), trial(50, 0.011, steps=(10,)), trial(51, 0.5, method="bad", steps=(10,)))
        assert not outlook.is_worth_going_on(50), "it hardly forgets"
        assert not outlook.is_worth_going_on(51), "its quality is gone"

    def test_what_promises_more_goes_on(self) -> None:
        outlook = filled(*studied(), trial(50, 0.09, steps=(10,)))
        assert outlook.is_worth_going_on(50)

    def test_it_is_judged_by_what_is_new(self) -> None:
        outlook = filled(*studied(), *(trial(20 + number, 0.1) for number in range(6)), trial(50, 0.1, steps=(10,)))
        alone = filled(*studied(), trial(50, 0.1, steps=(10,)))
        left, more = (view._left(but=50) @ view._method("good").promise(50)[1] for view in (outlook, alone))
        assert left < 0.5 * more, "six trials of these settings have reached most of what it will"

    def test_at_the_last_step_there_is_nothing_to_stop(self) -> None:
        outlook = filled(*studied(), trial(50, 0.011, steps=()))
        for step in STEPS:
            outlook.add(50, report(0.011, step))
        assert outlook.is_worth_going_on(50)

    def test_a_report_that_comes_twice_counts_once(self) -> None:
        outlook = filled(*studied(), trial(50, 0.1, steps=()))
        outlook.add(50, report(0.1, 10))
        outlook.add(50, report(0.1, 10, luck=3.0))
        assert outlook._method("good").training(50).steps == (10.0,)


class TestTraining:
    def test_gains_and_excesses_are_relative(self) -> None:
        found = Training.of(trial(0, 1.0), GOALS, DIMENSIONS["good"])
        assert found.place == (1.0,)
        assert found.gains[-1] == pytest.approx((1.0, 1.0))
        assert found.excesses[-1] == pytest.approx((1 / 3,))
        values, violation = found.standing
        assert values == pytest.approx((-1.0, -1.0))
        assert violation == pytest.approx(1 / 3)
        assert found.ended

    def test_a_failure_counts_against_its_settings_and_an_interruption_does_not(self) -> None:
        def ended_by(reason: str) -> Training:
            attrs = {"method": "good", "reason": reason}
            return Training.of(trial(0, 0.1, state=TrialState.FAIL, values=None, user_attrs=attrs), GOALS, {})

        assert ended_by("diverged").gains == ((-0.5, -0.5),)
        assert ended_by("diverged").excesses == ((1.0,),)
        assert ended_by(INTERRUPTED).gains == ()

    def test_another_studys_trial_counts_at_the_last_step(self) -> None:
        known = create_trial(
            values=[0.45, 3.5],
            constraints={"fid": 0.2},
            params={"good.x": 0.1},
            distributions={"good.x": RANGE},
            user_attrs={"method": "good"},
        )
        found = Training.of(known, GOALS, DIMENSIONS["good"])
        assert found.steps == (math.inf,)
        assert found.gains[0] == pytest.approx((0.5, 0.5))
        assert found.excesses == ((0.2,),)
        assert filled(known).suggest(DIMENSIONS, 0) is not None

    def test_a_report_without_an_objective_adds_nothing(self) -> None:
        found = Training.of(trial(0, 0.1, steps=()), GOALS, DIMENSIONS["good"])
        assert found.with_report({**report(0.1, 10), "nll": math.nan}, GOALS) == found

    @pytest.mark.parametrize("fraction", [0.0, 0.37, 1.0])
    @pytest.mark.parametrize("distribution", [RANGE, FloatDistribution(0.0, 1.0), FloatDistribution(-3.0, 7.0)])
    def test_places_and_values_are_each_others_inverse(self, distribution: FloatDistribution, fraction: float) -> None:
        value = value_at(distribution, fraction)
        assert distribution.low <= value <= distribution.high
        one = create_trial(
            state=TrialState.RUNNING, params={"x": value}, distributions={"x": distribution}, user_attrs={"method": "m"}
        )
        assert Training.of(one, GOALS, {"x": distribution}).place == pytest.approx((fraction,))


def test_many_trials_are_thinned_to_the_best_and_a_sample() -> None:
    outlook = filled(*(trial(number, float(x)) for number, x in enumerate(XS)))
    shown = outlook._method("good")._shown()
    assert len(shown) == SHOWN_TRAININGS
    feasible = [number for number, x in enumerate(XS) if report(float(x), 40)["fid"] <= 15.0]
    assert max(feasible) in shown, "the best feasible one"
    assert 199 in shown


def test_a_trial_that_is_not_among_those_shown_is_judged_by_its_own_reports() -> None:
    def lucky(number: int, x: float, luck: float) -> FrozenTrial:
        attrs = {f"report:{step}": json.dumps(report(x, step, luck=luck)) for step in STEPS}
        return trial(number, x, user_attrs={"method": "good", **attrs})

    lucks = 0.4 * np.random.default_rng(0).standard_normal(200)
    outlook = filled(*(lucky(number, float(x), luck) for number, (x, luck) in enumerate(zip(XS, lucks, strict=True))))
    reached = {}
    for number, luck in ((300, -0.6), (301, 2.0)):
        outlook.put(trial(number, 0.05, steps=()))
        outlook.add(number, report(0.05, 10, luck=luck))
        method = outlook._method("good")
        method._chosen = [shown for shown in method._shown() if shown != number]
        method._belief = None
        reached[luck] = [float(part.max()) for part in method.promise(number)]
    assert reached[-0.6][1] > 0.9, "better than its settings, and known to be"
    assert reached[2.0][1] < 0.1


def test_scales_are_fitted_ever_less_often() -> None:
    milestones = sorted({_milestone(count) for count in range(1, 10_001)})
    assert milestones[:5] == [1, 2, 3, 4, 5]
    assert len(milestones) < 45
    assert _milestone(0) == 0


def test_without_a_bound_or_with_three_objectives() -> None:
    unbounded = Goals(GOALS.objectives, (), GOALS.baseline, GOALS.ideal)
    outlook = Outlook(unbounded, DIMENSIONS)
    for one in studied()[:6]:
        outlook.put(one)
    assert (outlook.suggest(["good"], 0) or ("", {"good.x": 0.0}))[1]["good.x"] > 0.5, "nothing holds it back"
    three = Goals((*GOALS.objectives, Objective("fid", "maximize")), (), GOALS.baseline, {**GOALS.ideal, "fid": 30.0})
    outlook = Outlook(three, DIMENSIONS)
    for one in studied():
        outlook.put(one)
    assert outlook.suggest(DIMENSIONS, 0) is not None


def test_it_beats_random_search_where_the_bound_is_noisy() -> None:
    """Twenty trials, each with its own luck in quality, of a method that may help and of one that cannot."""

    def found(seed: int, *, informed: bool) -> float:
        rng, outlook, best = np.random.default_rng(seed), Outlook(GOALS, DIMENSIONS), 0.0
        for number in range(20):
            suggested = outlook.suggest(DIMENSIONS, seed + number) if informed else None
            method, x = ("good", "bad")[rng.integers(2)], value_at(RANGE, rng.random())
            if suggested:
                method, x = suggested[0], suggested[1][f"{suggested[0]}.x"]
            luck = 0.3 * rng.standard_normal()
            reports = [report(x, step, method=method, luck=luck) for step in STEPS]
            attrs = {f"report:{made['step']}": json.dumps(made) for made in reports}
            outlook.put(trial(number, x, method=method, user_attrs={"method": method, **attrs}))
            if reports[-1]["fid"] <= 15.0:
                best = max(best, ((0.9 - reports[-1]["sscd"]) / 0.9) ** 2)
        return best

    pairs = np.array([(found(seed, informed=True), found(seed, informed=False)) for seed in range(12)])
    assert pairs[:, 0].mean() > 1.3 * pairs[:, 1].mean(), pairs
