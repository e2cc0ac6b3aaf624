"""How many trials a time holds, in words."""

from __future__ import annotations

import pytest

from tuning.pace import Pace


def test_a_trial_is_its_steps_and_its_reports() -> None:
    assert Pace(0.5, 3.0).trial_seconds((10, 20, 40)) == 40 * 0.5 + 3 * 3.0


@pytest.mark.parametrize(
    ("seconds", "slots", "count"), [(290, 1, 10), (291, 1, 11), (290, 4, 40), (5, 1, 1), (5, 2, 2)]
)
def test_a_trial_that_has_begun_is_counted(seconds: float, slots: int, count: int) -> None:
    """It ends at its next report, which counts: every slot has begun one when the time is over."""
    words = Pace(0.5, 3.0).forecast(seconds, (10, 20, 40), slots)
    assert f"holds about {count} trial{'s' * (count > 1)}, {slots} at a time and about 29 s each" in words
