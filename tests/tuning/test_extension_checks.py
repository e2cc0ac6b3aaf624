"""Extensions that cannot be used are refused before anything starts: rule, value and remedy, all at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuning.config import Problem
from tuning.schema import StudyConfig

MODULE = """
from search_spaces import MethodSpace, Parameter
from metrics.metric import Metric
from trainable.methods.naive_deletion import NaiveDeletion
from trainable.workloads.unconditional import UnconditionalWorkload
from trainable.workloads.workload import Workload

def space(*names, low=0.1, **published):
    parameters = tuple(Parameter(name, low=low, high=1.0, log=True, scale=None, why="a test") for name in names)
    return MethodSpace("x", parameters=parameters, published=(published,))

class Eyes(UnconditionalWorkload): pass
class HalfWorkload(Workload): pass
class Plain: pass
class NoSpace(NaiveDeletion): pass
class WrongSpace(NaiveDeletion):
    space = {"weight": (0, 1)}
class Weighted(NaiveDeletion):
    space = space("weight", weight=0.5)
    def __init__(self, weight): self.weight = weight
class Misnamed(Weighted):
    space = space("wieght")
class Taken(NaiveDeletion):
    space = space("seed")
    def __init__(self, seed): pass
class Ratio(NaiveDeletion):
    space = space("keep_ratio")
    def __init__(self, keep_ratio): pass
class OutOfRange(Weighted):
    space = space("weight", weight=3.0)
class Mute(Metric):
    def compute(self, evidence): pass
class Empty(Metric):
    name, direction, bounds, needs, cost = "empty", "minimize", (0, 1), ("samples",), "none"
class Fine(Empty):
    def compute(self, evidence): pass
value = 3
"""


@pytest.fixture
def package(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``mine`` of the user's in the current directory."""
    monkeypatch.syspath_prepend(str(workspace))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (workspace / "mine").mkdir()
    (workspace / "mine" / "__init__.py").touch()
    (workspace / "mine" / "parts.py").write_text(MODULE)
    (workspace / "mine" / "needy.py").write_text("import no_such_library")
    (workspace / "mine" / "broken.py").write_text("1 / 0")
    (workspace / "mine" / "leaving.py").write_text("import sys; sys.exit(0)")
    yield workspace / "mine"
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


METHODS, METRICS, WORKLOAD = "--methods", "--report-metrics", "--workload"


@pytest.mark.parametrize(
    ("flag", "name", "rule", "value", "remedy"),
    [
        (METHODS, "mine.absent:Thing", "can be imported", "No module named 'mine.absent'", "PYTHONPATH"),
        (METHODS, "mine.needy:Thing", "can be imported", "no_such_library", "install no_such_library"),
        (METHODS, "mine.broken:Thing", "can be imported", "ZeroDivisionError", "python -c 'import mine.broken'"),
        (METHODS, "mine.leaving:Thing", "can be imported", "SystemExit", "repair"),
        (METHODS, "mine parts:Thing", "named package.module:Class", "mine parts:Thing", "my_package.my_module:MyClass"),
        (METHODS, ":Thing", "named package.module:Class", ":Thing", "my_package.my_module:MyClass"),
        (METHODS, "mine.parts:Weihgted", "in the module that is named", "has no Weihgted", "did you mean 'Weighted'?"),
        (METHODS, "mine.parts:Fine", "a subclass of Method", "which is a metric", "--report-metrics"),
        (METHODS, "mine.parts:Plain", "a subclass of Method", "another class", "trainable.methods.method.Method"),
        (METHODS, "mine.parts:value", "a subclass of Method", "which is a int", "trainable.methods.method.Method"),
        (METHODS, "mine.parts:NoSpace", "class attribute 'space'", "NoSpace with none", "space = MethodSpace(…)"),
        (METHODS, "mine.parts:WrongSpace", "class attribute 'space'", "with a dict", "space = MethodSpace(…)"),
        (METHODS, "mine.parts:Misnamed", "built from the parameters", "wieght", "__init__"),
        (METHODS, "mine.parts:Taken", "that no column has", "seed of mine.parts:Taken", "rename"),
        (METHODS, "mine.parts:Ratio", "does not end in _ratio", "keep_ratio", "rename"),
        (METHODS, "mine.parts:OutOfRange", "published settings", "{'weight': 3.0}", "widen"),
        (METRICS, "mine.parts:Eyes", "a subclass of Metric", "which is a workload", "give it by --workload"),
        (METRICS, "mine.parts:Empty", "every method of Metric", "without compute", "write"),
        (METRICS, "mine.parts:Mute", "declare what it is", "without name, direction, bounds", "metrics.metric"),
        (WORKLOAD, "mine.parts:NoSpace", "a subclass of Workload", "which is a method", "give it by --methods"),
        (WORKLOAD, "mine.parts:HalfWorkload", "every method of Workload", "without batch, load", "write"),
    ],
)
def test_one_mistake(
    package: Path,
    problems_of: Callable[..., list[Problem]],
    flag: str,
    name: str,
    rule: str,
    value: str,
    remedy: str,
) -> None:
    (problem,) = problems_of(flag, name)
    assert rule in problem.rule
    assert value in str(problem.value)
    assert remedy in problem.remedy


def test_all_mistakes_at_once(package: Path, problems_of: Callable[..., list[Problem]]) -> None:
    found = problems_of(
        "--workload", "mine.parts:Plain", "--methods", "mine.absent:M", "mine.parts:NoSpace",
        "--objectives", "minimize sscd", "minimize mine.parts:Mute", "--constraint", "mine.parts:None <= 3",
        "--report-metrics", "mine.broken:X",
    )  # fmt: skip
    assert len(found) == 6
    text = "\n".join(map(str, found))
    for name in ("Plain", "absent", "NoSpace", "Mute", "None", "broken"):
        assert name in text


def test_what_can_be_used_is_taken_everywhere(package: Path, load: Callable[..., tuple[StudyConfig, object]]) -> None:
    metric, method = "mine.parts:Fine", "mine.parts:Weighted"
    config, _ = load(
        "--workload", "mine.parts:Eyes", "--methods", method, "siss", "--objectives", f"minimize {metric}",
        "--constraint", f"{metric} <= 1.2x", "--report-metrics", metric, "nll", "--fix", "weight=0.3",
        "--enqueue", f"{{method: '{method}', weight: 0.2}}",
    )  # fmt: skip
    assert config.metrics == (metric, "nll")
    assert config.methods == (method, "siss")
