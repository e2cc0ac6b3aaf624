"""The documentation is whole and true: what the code has is described, and what is described exists and runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from analysis.certificate import _parser as certificate_parser
from analysis.export import _parser as export_parser
from analysis.fidelity import _parser as fidelity_parser
from analysis.front_command import _parser as front_parser
from metrics import METRICS
from metrics.testing import IMAGE_SHAPE, tiny_denoiser, tiny_evidence
from search_spaces import SEARCH_SPACES, space_of
from trainable.batch import ForgetRetainBatch
from trainable.finetune import composed_gradient
from trainable.methods import METHODS
from trainable.workloads import WORKLOADS
from tuning.cli import build_parser
from tuning.files import StudyFiles
from tuning.schema import StudyConfig
from tuning.status import _parser as status_parser

ROOT = Path(__file__).resolve().parent.parent
DOCS = {path.name: path.read_text(encoding="utf-8") for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]}
#: Flags of other programs, and of the project's own that have no parser to ask.
RAY_FLAGS = {"--runtime-env-json", "--generate", "--resources", "--num-gpus"}
CLOUD_FLAGS = {"--query", "--output", "--gpus"}
OTHER_FLAGS = {"--backend-store-uri", "--only", "--siss", "--metric", "--method", "--seeds"} | RAY_FLAGS | CLOUD_FLAGS
# Paths of files that only worked examples have.
EXAMPLES = re.compile(r"^# (?P<path>\S+\.py)$", re.MULTILINE)


def section(document: str, heading: str) -> str:
    """The text below ``## heading``, up to the next heading of that level."""
    parts = DOCS[document].split(f"\n## {heading}\n")
    assert len(parts) == 2, f"docs/{document} must have one section '## {heading}'"
    return parts[1].split("\n## ")[0]


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_described_with_its_cost(name):
    forward, backward = METHODS[name].cost
    assert f"**Cost** {forward} forward, {backward} backward" in section("methods.md", f"`{name}`").replace("\n", " ")


@pytest.mark.parametrize(
    ("method", "parameter"),
    [(method, parameter) for method, space in SEARCH_SPACES.items() for parameter in space.parameters],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_hyper_parameter_is_described_with_its_range_and_default(method, parameter):
    rows = [line for line in section("methods.md", f"`{method}`").splitlines() if line.startswith("|")]
    (row,) = [row for row in rows if row.startswith(f"| `{parameter.sampled_name}` |")]
    _, _, searched, scale, enqueued, *_ = row.split("|")
    assert searched.strip() == f"{parameter.low:g} … {parameter.high:g}"
    assert scale.strip() == ("logarithmic" if parameter.log else "linear")
    values = dict.fromkeys(f"{setting[parameter.sampled_name]:g}" for setting in space_of(method).published)
    assert re.findall(r"[\d.]+", enqueued) == list(values)
    if parameter.scale:
        assert f"`{parameter.name}`" in row


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_described(name):
    text = section("metrics.md", f"`{name}`")
    assert f"**Direction** {METRICS[name].direction}" in text.replace("\n", " ")


def shown(field) -> str:
    """A field's default as the table has it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return str(value).lower()
    if value in (None, (), {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_field_of_the_configuration_is_described():
    rows = [line for line in section("operations.md", "Every field").splitlines() if line.startswith("| `")]
    expected = [
        f"| `{name}` | {field.description} | {shown(field)} |" for name, field in StudyConfig.model_fields.items()
    ]
    assert rows == expected, "docs/operations.md must have the table of fields as tuning/schema.py has the fields"


def test_every_file_of_a_study_is_described(tmp_path):
    files, text = StudyFiles(tmp_path / "study"), section("operations.md", "Files of a study")
    names = [name for name, value in vars(StudyFiles).items() if isinstance(value, property)]
    paths = [value for name in names if isinstance(value := getattr(files, name), Path)]
    # study.log is named, but nothing writes it.
    missing = [path.name for path in paths if f"`{path.name}`" not in text and path.name != "study.log"]
    assert not missing


def known_flags() -> set[str]:
    parsers = (
        build_parser(),
        front_parser(),
        status_parser(),
        certificate_parser(),
        export_parser(),
        fidelity_parser(),
    )
    return {flag for parser in parsers for action in parser._actions for flag in action.option_strings} | OTHER_FLAGS


@pytest.mark.parametrize("document", DOCS)
def test_every_flag_in_the_documentation_exists(document):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", DOCS[document]))
    assert not named - known_flags()


@pytest.mark.parametrize("document", DOCS)
def test_every_file_in_the_documentation_exists(document):
    text = re.sub(r"^```.*?^```", "", DOCS[document], flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"(?<![\w/<>.-])((?:[\w.-]+/)+[\w-]+\.(?:py|md|yaml))\b", text))
    home = ROOT if (ROOT / document).is_file() else ROOT / "docs"
    missing = {name for name in named if not (ROOT / name).exists() and not (home / name).exists()}
    assert not missing - {"assets/README.md"}
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert not [link for link in links if not (home / link).exists()]


@pytest.mark.parametrize(
    "package", ["diffusion", "metrics", "trainable", "search_spaces", "tuning", "analysis", "benchmarks"]
)
def test_every_module_has_its_place_in_the_architecture(package):
    sections = re.split(r"(?m)^##+ ", DOCS["architecture.md"])
    named = set(re.findall(r"`(\w+)[`/]", " ".join(text for text in sections if re.match(rf"{package}\b", text))))
    inside = [path for pattern in ("[!_]*.py", "*/__init__.py") for path in (ROOT / package).glob(pattern)]
    modules = {path.stem if path.stem != "__init__" else path.parent.name for path in inside} - {package}
    one_each = {
        "metrics": {METRICS[name].__module__.rpartition(".")[2] for name in METRICS},
        "search_spaces": set(METHODS),
    }
    missing = modules - named - one_each.get(package, set())
    assert not missing, f"add {', '.join(sorted(missing))} to the modules of the package in docs/architecture.md"


@pytest.fixture
def example(monkeypatch):
    """Runs the code blocks of a section of architecture.md as one module; gives what they define."""

    def run(heading: str) -> dict[str, object]:
        blocks = code_blocks(section("architecture.md", heading))
        assert blocks
        assert all(EXAMPLES.match(block) for block in blocks)
        namespace: dict[str, object] = {"__name__": "documented_example"}
        for block in blocks:
            exec(compile(block, heading, "exec"), namespace)
        module = type(sys)("documented_example")
        vars(module).update(namespace)
        monkeypatch.setitem(sys.modules, "documented_example", module)
        return namespace

    return run


def test_the_documented_method_works(example):
    namespace = example("Adding a method")
    method = METHODS["documented_example:Subtract"](weight=0.5)
    retain, forget, noise = torch.randn(3, 2, *IMAGE_SHAPE, generator=torch.Generator().manual_seed(0))
    batch = ForgetRetainBatch(retain, forget, noise, torch.tensor([100, 900]))
    denoiser = tiny_denoiser()
    alphas_cumprod = denoiser.schedule.alphas_cumprod
    combined = composed_gradient(denoiser.network, method, [batch], alphas_cumprod)
    plain = composed_gradient(denoiser.network, METHODS["naive_deletion"](), [batch], alphas_cumprod)
    ascent = composed_gradient(denoiser.network, METHODS["neggrad"](superfactor=1.0), [batch], alphas_cumprod)
    for name, gradient in combined.items():
        torch.testing.assert_close(gradient, plain[name] + 0.5 * ascent[name], atol=1e-3, rtol=1e-4)
    assert [p.name for p in namespace["SPACE"].parameters] == ["weight"]
    assert set(namespace["SPACE"].published[0]) == {"weight"}


def test_the_documented_metric_works(example):
    example("Adding a metric")
    metric = METRICS["documented_example:SampleContrast"]()
    measured = metric.compute(tiny_evidence())
    assert metric.bounds[0] < measured.value < metric.bounds[1]
    assert measured.stderr > 0
    assert measured.num_samples == 6


def test_the_documented_workload_works(example):
    example("Adding a workload")
    workload = WORKLOADS["documented_example:PixelWorkload"].__new__(WORKLOADS["documented_example:PixelWorkload"])
    encoders = workload.encoders
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(encoders.descriptor(images).norm(dim=1), torch.ones(3))
    assert encoders.features(images).shape == (3, 48)
    assert set(encoders.labels) <= set(METRICS)
