"""How long a step still takes: sane before, during and after anything is known of its pace."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tuning.remaining import RemainingTime, rounded


def test_nothing_is_said_without_a_pace_and_when_all_is_done() -> None:
    time = RemainingTime(100.0)
    assert time.seconds_left(500.0) is None
    time.reach(0.5, 600.0)
    assert time.seconds_left(600.0) == pytest.approx(500.0)
    time.reach(1.0, 1100.0)
    assert time.seconds_left(1100.0) is None


def test_it_counts_down_between_two_words_and_promises_nothing_once_they_are_overdue() -> None:
    time = RemainingTime(0.0)
    time.reach(0.25, 100.0)
    assert time.seconds_left(100.0) == pytest.approx(300.0)
    assert time.seconds_left(160.0) == pytest.approx(240.0)
    assert time.seconds_left(400.0) is None
    time.reach(0.5, 1000.0)
    assert time.seconds_left(1000.0) == pytest.approx(1800.0), (
        "the later half of the time, in which 900 s made a quarter"
    )


def test_a_slow_beginning_is_forgotten() -> None:
    time = RemainingTime(0.0)
    for second in range(50, 111):  # 50 s until the process is up, then 1% a second
        time.reach((second - 50) / 100, float(second))
    assert time.seconds_left(110.0) == pytest.approx(40)


def test_what_was_done_before_is_no_pace() -> None:
    time = RemainingTime(0.0)
    time.set_out(0.6)
    time.reach(0.6, 5.0)
    assert time.seconds_left(5.0) is None
    time.reach(0.7, 30.0)
    assert time.seconds_left(30.0) == pytest.approx(90.0)


def test_an_expectation_holds_until_the_first_word() -> None:
    time = RemainingTime(0.0, expected=400.0)
    time.set_out(0.5)
    assert time.seconds_left(50.0) == pytest.approx(150.0)
    time.reach(0.75, 300.0)
    assert time.seconds_left(300.0) == pytest.approx(300.0)


def test_a_budget_ends_it_whatever_the_pace() -> None:
    time = RemainingTime(0.0, limit=100.0)
    assert time.seconds_left(30.0) == pytest.approx(70.0)
    time.reach(0.01, 40.0)
    assert time.seconds_left(40.0) == pytest.approx(60.0)
    time.reach(0.9, 90.0)
    assert time.seconds_left(90.0) < 10.0  # type: ignore[operator]
    assert time.seconds_left(100.0) is None


def test_where_a_machine_was_lost_the_pace_is_asked_for_anew() -> None:
    time = RemainingTime(0.0)
    time.reach(0.5, 100.0)
    time.reach(0.25, 110.0)
    assert time.seconds_left(110.0) is None
    time.reach(0.5, 160.0)
    assert time.seconds_left(160.0) == pytest.approx(100.0)


def test_it_is_smooth_and_never_negative_whatever_comes() -> None:
    rng = random.Random(0)
    for _ in range(200):
        time, now, share = RemainingTime(0.0), 0.0, 0.0
        last: float | None = None
        for _ in range(100):
            passed = rng.choice([0.0, 0.01, 1.0, 60.0, 3600.0])
            now += passed
            share = min(1.0, max(0.0, share + rng.choice([0.0, 0.001, 0.02, 0.1, -0.05])))
            time.reach(share, now)
            left = time.seconds_left(now)
            assert left is None or left > 0
            last = left
        assert share < 1 or last is None


def test_words_that_come_every_second_do_not_make_it_jump() -> None:
    rng, time, seen, done = random.Random(1), RemainingTime(0.0), [], 0.0
    for second in range(1, 600):
        done += rng.expovariate(1000)  # a thousandth a second, very unevenly
        time.reach(done, float(second))
        if second > 120:
            seen.append(time.seconds_left(float(second)) or 0.0)
    steps = [abs(after - before) / before for before, after in pairwise(seen)]
    assert max(steps) < 0.1
    assert sum(steps) / len(steps) < 0.015


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, 1), (7.4, 7), (59.9, 60), (63, 60), (118, 120), (596, 600), (640, 660), (7230, 7200)]
)
def test_an_estimate_is_not_more_exact_than_it_is(seconds: float, shown: int) -> None:
    assert rounded(seconds) == shown
