"""How often something slow is found out."""

from __future__ import annotations

import pytest

from tuning.seldom import Seldom


class Slow:
    """Takes `cost` seconds of a clock of its own."""

    def __init__(self, cost: float) -> None:
        self.cost, self.now, self.asked = cost, 0.0, 0

    def clock(self) -> float:
        return self.now

    def find(self) -> int:
        self.now += self.cost
        self.asked += 1
        return self.asked


@pytest.mark.parametrize(("cost", "times"), [(0.0, 10), (0.05, 10), (0.5, 2)])
def test_it_takes_a_tenth_of_the_time_at_most_and_once_a_second(cost: float, times: int) -> None:
    slow = Slow(cost)
    seldom = Seldom(slow.find, slow.clock)
    while slow.now < 10:
        assert seldom() == slow.asked
        slow.now += 0.1
    assert times - 1 <= slow.asked <= times
    assert seldom(anew=True) == slow.asked <= times + 1
