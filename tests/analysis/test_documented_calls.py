"""What docs/analysis.md says can be called is there, with the arguments and defaults that it says."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
CALLS = re.findall(r"`(analysis\.[\w.]+\(.*?\))`", TEXT.partition("## What to call")[2])


def test_there_are_some() -> None:
    assert len(CALLS) > 30


@pytest.mark.parametrize("text", CALLS)
def test_a_documented_call(text: str) -> None:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    module, _, name = ast.unparse(call.func).rpartition(".")
    function = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(function).parameters
    given = {argument.id: inspect.Parameter.empty for argument in call.args if isinstance(argument, ast.Name)}
    given |= {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert {name: parameter.default for name, parameter in parameters.items()} == given
    assert (inspect.getdoc(function) or "").strip(), "documented where it is written too"
