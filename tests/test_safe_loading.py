"""Nothing that a study reads can run code: no remote code of a model, no pickle but tensors, read off the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    "diffusion",
    "metrics",
    "trainable",
    "search_spaces",
    "tuning",
    "analysis",
    "benchmarks",
    "scripts",
    "examples",
)
SOURCES = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
#: Readers of pickles, by what they are called on.
UNPICKLERS = {
    f"{module}.{name}" for module in ("pickle", "joblib", "dill", "cloudpickle") for name in ("load", "loads")
}
UNPICKLERS |= {"pd.read_pickle", "pandas.read_pickle", "pickle.Unpickler"}


def _is(keyword: ast.keyword | None, value: bool) -> bool:
    return keyword is not None and isinstance(keyword.value, ast.Constant) and keyword.value.value is value


def unsafe_calls(source: str) -> Iterator[str]:
    """Calls that could run code from a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, keywords = ast.unparse(node.func), {keyword.arg: keyword for keyword in node.keywords}
        if "trust_remote_code" in keywords and not _is(keywords["trust_remote_code"], False):
            yield f"{name}(trust_remote_code=…)"
        if name == "torch.load" and not _is(keywords.get("weights_only"), True):
            yield "torch.load without weights_only=True"
        if "allow_pickle" in keywords and not _is(keywords["allow_pickle"], False):
            yield f"{name}(allow_pickle=…)"
        if name in UNPICKLERS:
            yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_reads_code_from_a_file(path: Path) -> None:
    assert not list(unsafe_calls(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "DDPMPipeline.from_pretrained(model, trust_remote_code=True)",
        "AutoModel.from_pretrained(model, trust_remote_code=trusted)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pickle.load(file)",
    ],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(list(unsafe_calls(source))) == 1
