"""Nothing that a study reads can run code, read off the sources: no remote code of a model, no pickle but tensors.

Nor any text as code or as a command line, any YAML but plain data, any archive unpacked by its own word.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tuning import studyfile

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
UNPICKLERS |= {"pd.read_pickle", "pandas.read_pickle", "pickle.Unpickler", "torch.hub.load", "shelve.open"}
UNPICKLERS |= {"marshal.load", "marshal.loads"}
#: What runs text: as Python, or by a shell.
RUNNERS = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
YAML_LOADERS = {"yaml.load", "yaml.load_all"}
UNSAFE_YAML = {f"yaml.{kind}{many}" for kind in ("unsafe_load", "full_load") for many in ("", "_all")}
UNSAFE_YAML |= {"yaml.UnsafeLoader", "yaml.FullLoader", "yaml.Loader"}
#: ``tuning.studyfile`` has the one loader of its own, a SafeLoader.
SAFE_LOADERS = {"yaml.SafeLoader", "_Loader"}
#: Unpack whatever names an archive brings; ``scripts/fetch_lib`` looks at each first.
UNPACKERS = ("extractall", "unpack_archive")
#: Expand entities without end.
XML_MODULES = {"xml.etree", "xml.dom", "xml.sax", "lxml", "xmltodict"}


def _is(keyword: ast.keyword | None, value: bool) -> bool:
    return keyword is not None and isinstance(keyword.value, ast.Constant) and keyword.value.value is value


def unsafe_calls(source: str) -> Iterator[str]:
    """Calls that could run code from a file."""
    for node in ast.walk(ast.parse(source)):
        yield from _unsafe_names(node)
        if not isinstance(node, ast.Call):
            continue
        name, keywords = ast.unparse(node.func), {keyword.arg: keyword for keyword in node.keywords}
        if "trust_remote_code" in keywords and not _is(keywords["trust_remote_code"], False):
            yield f"{name}(trust_remote_code=…)"
        if name == "torch.load" and not _is(keywords.get("weights_only"), True):
            yield "torch.load without weights_only=True"
        if "allow_pickle" in keywords and not _is(keywords["allow_pickle"], False):
            yield f"{name}(allow_pickle=…)"
        if name in UNPICKLERS | RUNNERS or name.endswith(UNPACKERS):
            yield name
        if "shell" in keywords and not _is(keywords["shell"], False):
            yield f"{name}(shell=…)"
        if name in YAML_LOADERS and not (
            "Loader" in keywords and ast.unparse(keywords["Loader"].value) in SAFE_LOADERS
        ):
            yield f"{name} without a safe loader"


def _unsafe_names(node: ast.AST) -> Iterator[str]:
    """Names that are unsafe wherever they stand, not only where they are called."""
    if isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_YAML:
        yield ast.unparse(node)
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
    unsafe = UNPICKLERS | UNSAFE_YAML | YAML_LOADERS | RUNNERS if isinstance(node, ast.ImportFrom) else set()
    yield from (f"import of {module}" for module in modules if module in unsafe)
    yield from (module for module in modules if any(f"{module}.".startswith(f"{xml}.") for xml in XML_MODULES))


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
        "from pickle import loads",
        "shelve.open(path)",
        "eval(text)",
        "subprocess.run(words, shell=True)",
        "os.system(line)",
        "yaml.load(text)",
        "yaml.load(text, Loader=loader)",
        "yaml.unsafe_load",
        "class Loader(yaml.FullLoader): pass",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "import xml.etree.ElementTree as tree",
        "from xml.dom import minidom",
    ],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(list(unsafe_calls(source))) == 1


def test_the_loader_of_study_files_constructs_plain_data_only() -> None:
    assert issubclass(studyfile._Loader, yaml.SafeLoader)
    assert set(studyfile._Loader.yaml_constructors) == set(yaml.SafeLoader.yaml_constructors)
    assert not studyfile._Loader.yaml_multi_constructors
