"""Recorded trials: what is recorded covers every space, and a file gives back what was put into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.search_lib.configurations import NUM_POINTS, configurations
from benchmarks.search_lib.recorded import Distance, Header, Record, Report, Trial
from search_spaces import space_of
from search_spaces.ranges import value_at

REPORT = Report(25, (0.5, 0.25), (2.0, 2.5), {32: Distance(9.0, 0.5), 64: Distance(8.0, 0.25)})
HEADER = Header(
    command="python -m benchmarks.search record",
    study="benchmarks/search_lib/study.yaml",
    rungs=(25, 50),
    batch_size=32,
    rows={"images": 512, "denoisings": 16, "probes": 24},
    calibration={"retain_gradient_norm": 100.0},
    untouched=replace(REPORT, step=0),
    unseen_bits_per_dim=4.0,
    versions={"torch": "2"},
)
TRIAL = Trial("siss-000", "siss", {"lambd": 0.5, "scaling_norm_ratio": 0.1}, 7, (REPORT,), "diverged")


def test_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    record = Record(HEADER, (TRIAL, replace(TRIAL, name="siss-001", reports=(), settings={})))
    record.save(tmp_path / "record.json.gz")
    assert Record.load(tmp_path / "record.json.gz") == record


def test_equal_records_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Record(HEADER, (TRIAL,)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_configurations_are_many_and_named_once() -> None:
    chosen = configurations()
    assert len(chosen) >= 120
    assert len({entry.name for entry in chosen}) == len(chosen)
    assert len({entry.seed for entry in chosen}) == len(chosen)
    assert {entry.method for entry in chosen} == set(NUM_POINTS)


@pytest.mark.parametrize("method", NUM_POINTS)
def test_configurations_lie_in_their_space_and_reach_all_of_it(method: str) -> None:
    space = space_of(method)
    chosen = [entry for entry in configurations() if entry.method == method]
    for entry in chosen:
        space.to_optuna_params(entry.settings, {"retain_gradient_norm": 1.0})  # raises outside of the range
    for parameter in space.parameters:
        values = [entry.settings[parameter.sampled_name] for entry in chosen]
        for tenth in range(10):
            low, high = value_at(parameter, tenth / 10), value_at(parameter, (tenth + 1) / 10)
            assert any(low <= value <= high for value in values), f"{parameter.name} has none from {low} to {high}"
