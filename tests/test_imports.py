"""Which package may import which, read off the sources: arrows point down, and engines stay out of the mathematics."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("diffusion", "metrics", "trainable", "search_spaces", "tuning", "analysis")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
ENGINES = {"ray", "mlflow", "optuna"}

# package → packages of the project that it must not import, at any level
ABOVE = {
    "diffusion": {"metrics", "trainable", "search_spaces", "tuning", "analysis"},
    "metrics": {"trainable", "search_spaces", "tuning", "analysis"},
    "trainable": {"search_spaces", "tuning", "analysis"},
    "search_spaces": {"diffusion", "metrics", "trainable", "tuning", "analysis"},
}
# What has no engine in it, not even inside of a function.
MATHEMATICS = ("diffusion/", "metrics/", "trainable/methods/", "trainable/finetune.py")
# What touches models.
WITH_TORCH = {
    "analysis/candidate_model.py",
    "analysis/fidelity_measuring.py",
    "analysis/certificates/certifying.py",
    "analysis/certificates/measuring.py",
    "analysis/certificates/membership_statistics.py",
}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _is_command(node: ast.AST) -> bool:
    """What a module does as a command: its own affair, which no other module comes across."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _imports(node: ast.AST, inside_functions: bool) -> Iterator[str]:
    """Modules that are imported under `node`, but for those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child) or _is_command(child):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = child.module or ""
            assert child.level == 0, f"relative import of {module!r}"
            yield module
            yield from (f"{module}.{alias.name}" for alias in child.names)
        elif inside_functions or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _imports(child, inside_functions)


@cache
def imports_of(path: Path, inside_functions: bool = True) -> frozenset[str]:
    return frozenset(_imports(ast.parse(path.read_text(encoding="utf-8")), inside_functions))


def top_level(modules: frozenset[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _source(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def reached_by(path: Path) -> set[str]:
    """Every module that importing `path` imports, third-party ones by name, those of the project followed."""
    seen: set[str] = set()
    queue = [path]
    while queue:
        for module in imports_of(queue.pop(), inside_functions=False):
            parts = module.split(".")
            for name in (".".join(parts[: end + 1]) for end in range(len(parts))):
                if name not in seen:
                    seen.add(name)
                    if (source := _source(name)) is not None:
                        queue.append(source)
    return seen


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert {relative(path).partition("/")[0] for path in SOURCES} == set(PACKAGES)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_arrows_point_down(path: Path) -> None:
    package = relative(path).partition("/")[0]
    upwards = top_level(imports_of(path)) & ABOVE.get(package, set())
    assert not upwards, f"{relative(path)} must not import {', '.join(sorted(upwards))}"


def test_no_two_test_modules_have_one_name() -> None:
    """pytest imports them by it."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_no_module_needs_itself() -> None:
    """Not by way of others either, and not inside of a function."""
    needs = {path: {found for name in imports_of(path) if (found := _source(name))} - {path} for path in SOURCES}
    sorted_out = TopologicalSorter(needs)
    try:
        sorted_out.prepare()
    except CycleError as error:
        pytest.fail(" → ".join(relative(path) for path in reversed(error.args[1])))


@pytest.mark.parametrize("path", [path for path in SOURCES if relative(path).startswith(MATHEMATICS)], ids=relative)
def test_mathematics_knows_no_engine(path: Path) -> None:
    assert not top_level(imports_of(path)) & ENGINES


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if relative(p).startswith(("search_spaces/", "analysis/")) and relative(p) not in WITH_TORCH],
    ids=relative,
)
def test_spaces_and_analysis_run_without_torch(path: Path) -> None:
    assert not {"torch", "ray"} & reached_by(path)


@pytest.mark.parametrize("name", ["config", "constraints", "ranking", "files", "records", "status"])
def test_what_every_command_imports_is_light(name: str) -> None:
    assert not {"torch", *ENGINES} & reached_by(ROOT / "tuning" / f"{name}.py")
