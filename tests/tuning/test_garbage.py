"""Whatever is typed gives a configuration or says what is wrong with it; nothing else is ever raised."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuning.config import ConfigError, Problem, StudyConfig, load_config

LONG = "a" * 5000
FLAGS = [*(f"--{name.replace('_', '-')}" for name in StudyConfig.model_fields), "--study", "--resume", "--dry-run"]
WORDS = st.one_of(
    st.sampled_from(["none", "1e999", "-1", "{a: [}", "!!timestamp x", "~x/y", LONG, "\0", "-hx", "=", "--",
                     "\udcff", "fid <= x", "siss", "lambd=nan", "s3://b", "{method: siss, lambd: 1" + "0" * 400 + "}"]),
    st.text(max_size=8).filter(lambda word: not word.startswith("-")),
)  # fmt: skip
PARTS = [
    *"a: \n{}[]|>'\"\\%@#\t",
    *("- ", "? ", "&a ", "*a", "<<"),
    *("!!int ", "!!timestamp ", "!!bool ", "!!binary ", "!!python/name:os.system "),
    *("1:60.0", "2024-13-45", ".inf", "é"),
]
NUMBERS = st.integers() | st.sampled_from([10**400, -(10**4000), 2**63, 1e308, 5e-324, -0.0]) | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | st.dates() | st.datetimes() | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | NUMBERS | st.dates(), inner, max_size=3),
    max_leaves=6,
) | st.builds(lambda value, depth: reduce(lambda inner, _: [inner], range(depth), value), SCALARS, st.integers(5, 60))


def examples(count: int) -> settings:
    ignored = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=ignored)


def refused(workspace: Path, argv: list[str]) -> tuple[Problem, ...]:
    """What is wrong with a command line; each problem has its three parts, and nothing was written."""
    before = sorted(workspace.rglob("*"))
    with pytest.raises(ConfigError) as error:
        load_config(argv)
    assert sorted(workspace.rglob("*")) == before
    for problem in error.value.problems:
        assert problem.rule
        assert problem.remedy
        assert isinstance(problem.value, str)
    assert str(error.value).encode(errors="backslashreplace")
    return error.value.problems


@examples(150)
@given(st.lists(st.tuples(st.sampled_from(FLAGS), st.lists(WORDS, max_size=2)), max_size=4))
def test_flags(workspace: Path, flags: list[tuple[str, list[str]]]) -> None:
    words = [word for flag, values in flags for word in (flag, *values)]
    assert refused(workspace, ["--study", "study.yaml", "--no-such-flag", *words])


@examples(220)
@given(st.dictionaries(st.sampled_from(list(StudyConfig.model_fields)), VALUES, min_size=1, max_size=4))
def test_study_files(workspace: Path, values: dict[str, object]) -> None:
    study = {**yaml.safe_load((workspace / "study.yaml").read_text()), **values, "no_such_key": 1}
    (workspace / "garbage.yaml").write_text(yaml.safe_dump(study), encoding="utf-8", errors="surrogateescape")
    assert refused(workspace, ["--study", "garbage.yaml"])


@examples(140)
@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_texts(workspace: Path, parts: list[str]) -> None:
    (workspace / "garbage.yaml").write_text("".join(parts), encoding="utf-8")
    assert refused(workspace, ["--study", "garbage.yaml"])


@pytest.mark.parametrize(
    "words",
    [
        ["-hx"],
        ["--help=x"],
        ["--study", "\0"],
        ["--study", LONG],
        ["--retain", "~nobody/x"],
        ["--model", LONG],
        ["--forget", "\0"],
        ["--storage-path", LONG],
        ["--storage-path", "\0"],
        ["--warm-start", LONG],
        ["--warm-start", "\0"],
        ["--name", "x", "--resume", "--storage-path", "~nobody"],
        ["--enqueue", "{method: siss, lambd: 1" + "0" * 400 + "}"],
        ["--enqueue", "{method: !!timestamp x}"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_once_was_another_error(problems_of: Callable[..., list[Problem]], words: list[str]) -> None:
    assert problems_of(*words)
