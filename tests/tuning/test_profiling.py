"""Where a trial's time goes: parts that sum to its whole, whoever measures them."""

from __future__ import annotations

import pytest

from trainable.profile import PARTS, added, of_evaluation
from tuning.profiling import COLUMNS, Profiles


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_parts_sum_to_the_time_from_start_to_end() -> None:
    clock = Clock()
    profiles = Profiles(clock)
    profiles.start("0")
    clock.now += 10
    profiles.add("0", {"training": 4.0, "nll": 3.0})
    with profiles.tracking("0"):
        clock.now += 0.5
    profiles.start("0")  # taken up again after its machine was lost
    clock.now += 5
    profiles.add("0", {"training": 4.0, "checkpoint": 0.25})
    found = profiles.end("0")
    assert tuple(found) == COLUMNS
    assert found["training_seconds"] == 8.0
    assert found["tracking_seconds"] == 0.5
    assert found["idle_seconds"] == pytest.approx(15.5 - 8 - 3 - 0.5 - 0.25)
    assert sum(found.values()) == pytest.approx(15.5)
    assert profiles.end("0") == {}, "a trial that never started, or has ended, has none"


def test_work_that_overlaps_its_trial_leaves_no_negative_rest() -> None:
    clock = Clock()
    profiles = Profiles(clock)
    profiles.start("0")
    clock.now += 1
    profiles.add("0", {"training": 2.0})
    assert profiles.end("0")["idle_seconds"] == 0.0


def test_evidence_is_counted_by_what_it_is_for_and_the_rest_is_metrics() -> None:
    evidence = {
        "samples": 3.0, "sample_features": 1.0, "sample_logits": 0.5, "forget_likelihood": 2.0,
        "neighbour_likelihood": 2.0, "denoisings": 1.0, "forget_descriptors": 0.25, "membership_errors": 0.125,
    }  # fmt: skip
    found = of_evaluation(evidence, 12.0)
    assert found == {
        "sampling": 3.0, "features": 1.5, "nll": 4.0, "sscd": 1.25, "membership": 0.125, "metrics": 2.125,
    }  # fmt: skip
    assert set(found) <= set(PARTS)
    assert sum(found.values()) == 12.0
    assert added([found, {"nll": 1.0}])["nll"] == 5.0
