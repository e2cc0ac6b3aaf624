"""What every metric of METRICS promises, on a small real network; a new metric is picked up from the registry.

With ``--metric package.module:Class`` the same is asked of a metric from outside.
"""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion.denoiser import Denoiser
from metrics import METRICS, flatten, measure
from metrics.evidence import Evidence
from metrics.metric import Measurement, Metric
from metrics.parts import NEEDS
from metrics.testing import tiny_denoiser, tiny_evidence

REPOSITORY = Path(__file__).parents[2]
#: Shares of samples: Wilson's interval knows the error of one draw, and few draws often agree.
SHARES = {"regeneration_rate", "memorised_share", "copied_share"}


class NumImages(Metric):
    """A metric from outside the registry."""

    name = "num_images"
    direction = "maximize"
    bounds = (0.0, math.inf)
    needs = ()
    cost = "none"

    def compute(self, evidence: Evidence) -> Measurement:
        return Measurement(float(evidence.fidelity.num_images), 0.0, 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def together(names: list[str]) -> dict[str, Measurement]:
    return measure(names, tiny_evidence(num_forget=2))


@pytest.fixture(scope="module")
def of_a_broken_network(names: list[str]) -> dict[str, Measurement]:
    return measure(names, tiny_evidence(_broken()))


@pytest.fixture(scope="module")
def of_one_draw(names: list[str]) -> dict[str, Measurement]:
    return measure(
        names, tiny_evidence(num_images=1, num_denoisings=1, num_probes=1, num_membership_noises=1, batch_size=1)
    )


def _broken() -> Denoiser:
    denoiser = tiny_denoiser()
    with torch.no_grad():
        next(denoiser.network.parameters()).fill_(math.nan)
    return denoiser


def test_declares_what_it_is(name: str) -> None:
    metric = METRICS[name]

    assert metric.name == name or name not in METRICS
    assert metric.direction in {"minimize", "maximize"}
    assert metric.bounds[0] < metric.bounds[1]
    assert metric.cost
    assert metric.needs
    assert all(hasattr(Evidence, part) for part in metric.needs)


def test_uses_the_evidence_that_it_declares_and_what_that_is_made_of(name: str) -> None:
    evidence, declared = tiny_evidence(), tiny_evidence()

    METRICS[name]().compute(evidence)
    for part in METRICS[name].needs:
        getattr(declared, part)

    assert evidence.counts == declared.counts
    assert sum(evidence.counts.values()) > 0


def test_value_is_within_bounds_and_carries_error_and_count(name: str, together: dict[str, Measurement]) -> None:
    measurement, (low, high) = together[name], METRICS[name].bounds

    assert low <= measurement.value <= high
    assert math.isfinite(measurement.value)
    assert measurement.stderr >= 0
    assert measurement.num_samples > 0
    if measurement.interval is not None:
        assert measurement.interval[0] <= measurement.value <= measurement.interval[1]


def test_same_seed_same_measurement_whatever_else_is_measured(name: str, together: dict[str, Measurement]) -> None:
    torch.manual_seed(123)
    torch.rand(7)

    assert measure([name], tiny_evidence(num_forget=2)) == {name: together[name]}


def test_batch_size_changes_nothing_but_rounding(name: str, together: dict[str, Measurement]) -> None:
    other = measure([name], tiny_evidence(num_forget=2, batch_size=3))[name]

    assert other.value == pytest.approx(together[name].value, rel=1e-3)
    assert other.stderr == pytest.approx(together[name].stderr, rel=1e-2)
    assert other.num_samples == together[name].num_samples


def test_another_seed_is_another_measurement(names: list[str], together: dict[str, Measurement]) -> None:
    other = measure(names, tiny_evidence(num_forget=2, seed=1))

    changed = {each for each in names if other[each].value != together[each].value}
    assert changed >= set(names) - SHARES


def test_leaves_global_random_numbers_and_the_training_mode_alone(name: str) -> None:
    evidence = tiny_evidence()
    network = evidence.denoiser.network.train()
    frozen = next(network.children()).eval()
    flags = [parameter.requires_grad for parameter in network.parameters()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()

    METRICS[name]().compute(evidence)

    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert network.training
    assert not frozen.training
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_that_answers_nan_measures_nan(name: str, of_a_broken_network: dict[str, Measurement]) -> None:
    assert math.isnan(of_a_broken_network[name].value)
    assert math.isnan(of_a_broken_network[name].stderr)


def test_one_draw_has_no_standard_error(name: str, of_one_draw: dict[str, Measurement]) -> None:
    measurement = of_one_draw[name]

    assert measurement.num_samples >= 1
    if name in SHARES:
        assert 0 < measurement.stderr < 1
    else:
        assert math.isnan(measurement.stderr)
    assert math.isnan(measurement.value) == (name == "fid")  # one image has no covariance


def test_is_documented(name: str) -> None:
    if name not in METRICS:
        pytest.skip("a metric from outside is documented where it comes from")
    text = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`[^\n]*\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S))

    assert METRICS[name].direction in sections[name]
    assert METRICS[name].cost in " ".join(sections[name].split())


def test_a_report_holds_value_error_and_count_of_each_metric(
    names: list[str], together: dict[str, Measurement]
) -> None:
    columns = flatten(together)

    assert list(columns) == [each + suffix for each in names for suffix in ("", "_stderr", "_num")]
    assert [columns[f"{each}_num"] for each in names] == [together[each].num_samples for each in names]


def test_a_metric_from_outside_is_measured_under_the_name_it_was_asked_for() -> None:
    name = f"{__name__}:NumImages"

    assert measure([name], tiny_evidence()) == {name: Measurement(6.0, 0.0, 1)}


def test_what_metrics_need_is_known_without_torch() -> None:
    assert {name: metric.needs for name, metric in METRICS.items()} == NEEDS


def test_an_unknown_metric_is_refused_before_anything_is_measured() -> None:
    evidence = tiny_evidence()

    with pytest.raises(KeyError, match="a metric must be one of nll, sscd"):
        measure(["sscd", "ssdc"], evidence)
    assert not evidence.counts


def test_listing_metrics_imports_no_torch() -> None:
    program = "import sys, metrics; list(metrics.METRICS); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
