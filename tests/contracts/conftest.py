"""``--metric`` or ``--method package.module:Class`` asks the contract of one from outside, not of those registered."""

from __future__ import annotations

import pytest

from metrics import METRICS
from trainable.methods import METHODS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--metric", action="append", default=[], metavar="package.module:Class", help="a metric of yours")
    parser.addoption("--method", action="append", default=[], metavar="package.module:Class", help="a method of yours")


@pytest.fixture(scope="module")
def names(request: pytest.FixtureRequest) -> list[str]:
    return chosen(request.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every metric of any model; those of models that take prompts are tested on such a model."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", chosen(metafunc.config))
    if "method" in metafunc.fixturenames:
        metafunc.parametrize("method", metafunc.config.getoption("method", default=[]) or list(METHODS))


def chosen(config: pytest.Config) -> list[str]:
    """The metrics that the contract is held against."""
    asked: list[str] = config.getoption("metric", default=[])  # unknown where pytest is not started on this directory
    return asked or [name for name in METRICS if not METRICS[name].needs_prompts]
