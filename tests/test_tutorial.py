"""The tutorial's commands: what reads a study is run on one, what starts one is checked as when it is launched."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.load import load_study
from analysis.table import rows
from tuning.cli import parse_flags
from tuning.config import ConfigError, load_config
from tuning.files import StudyFiles

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "analysis"))

from synthetic_study import make_reports, write_study  # noqa: E402

TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
#: Module that is run → the one that has its command, where that is another.
COMMAND_OF = {"analysis.front": "analysis.front_command"}
#: Commands of other programs, whose own words are not checked here.
OTHERS = ("source", "mlflow", "ray")


def blocks(language: str) -> list[str]:
    """What stands between fences of a language; commands have none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


COMMANDS = [
    line for block in blocks("") for line in block.replace("\\\n", " ").splitlines() if line.strip()
]  # fmt: skip
LAUNCHES = [shlex.split(line)[2:] for line in COMMANDS if line.startswith("python tune_unlearning.py")]
MODULES = [shlex.split(line)[2:] for line in COMMANDS if line.startswith("python -m ")]
READERS = [words for words in MODULES if words[0] in ("tuning.status", "analysis.front", "analysis.report")]
OF_MODELS = [words for words in MODULES if words not in READERS]


def write_launched(root: Path, flags: list[str]) -> None:
    """A finished study as the tutorial's command leaves it, its values made up."""
    files = StudyFiles(write_study(root, make_reports(4), config=load_config(flags)[0], failed=False))
    files.candidates.mkdir()
    for row in rows(load_study(root).reports.query("feasible")):
        files.candidate(row["trial_id"], row["step"]).with_suffix(".safetensors").touch()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like the tutorial's: two studies in `runs`, a user's model and images."""
    made = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for name in ("first", "second"):
            [flags] = [words for words in LAUNCHES if words[:2] == ["--name", name] and "--resume" not in words]
            write_launched(made / "runs" / name, flags)
    user = made / "path" / "to"
    (user / "images").mkdir(parents=True)
    digits = np.load(ROOT / "assets" / "mnist_tshirt" / "digits.npz")["images"]
    for number in range(8):
        Image.fromarray(digits[number].squeeze()).save(user / "images" / f"{number}.png")
    for source, name in (("base", "pipeline"), ("tshirt.png", "image.png"), ("unseen.npz", "unseen.npz")):
        (user / name).symlink_to(ROOT / "assets" / "mnist_tshirt" / source)
    return made


@pytest.fixture(autouse=True)
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_every_command_is_one_that_is_checked_here() -> None:
    known = ("python tune_unlearning.py", "python -m ", "python scripts/", "make ", *(f"{word} " for word in OTHERS))
    assert not [line for line in COMMANDS if not line.startswith(known)]
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("flags", LAUNCHES, ids=" ".join)
def test_a_launch_is_one_that_would_start(flags: list[str], there: Path) -> None:
    if "s3://bucket/runs" in flags:  # nobody is asked for it here
        assert parse_flags(flags)[2] == []
        return
    if "--resume" not in flags:  # its name must be new
        flags = [f"new-{word}" if word in ("first", "second") else word for word in flags]
    problems = []
    try:
        assert load_config(flags)[1].resume == ("--resume" in flags)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
    assert not [problem for problem in problems if "fetch_assets.py" not in problem], "networks are fetched beforehand"


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_what_reads_a_study_does(words: list[str], there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, *arguments = words
    status = importlib.import_module(COMMAND_OF.get(module, module)).main(arguments)
    assert status == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("words", OF_MODELS, ids=" ".join)
def test_what_works_on_models_has_these_flags(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    module, *arguments = words
    with pytest.raises(SystemExit) as exit:
        importlib.import_module(module).main(["--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    assert not [flag for flag in arguments if flag.startswith("--") and flag not in shown]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith(("make", "python scripts/", "ray"))])
def test_what_else_is_named_exists(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
    elif words[0] == "ray":
        assert (ROOT / words[-1]).is_file()
    else:
        sys.path[:0] = [str(ROOT / "scripts")]
        script = importlib.import_module(Path(words[1]).stem)
        assert script.build_parser().parse_args(words[2:])


def test_code_runs(there: Path) -> None:
    reading, loading = blocks("python")
    exec(compile(reading, "tutorial", "exec"), {})
    name, place = re.findall(r"^(\w+)\.from_pretrained\(\"(.+)\"\)$", loading, re.MULTILINE)[0]
    assert json.loads((ROOT / "assets/mnist_tshirt/base/model_index.json").read_text())["_class_name"] == name
    assert [words[-1] for words in OF_MODELS if words[0] == "analysis.export"] == [place]


def test_a_front_is_found_in_mlflow_as_operations_say() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for word in ("Model training", "tags.pareto = 'true'", "metrics.best_feasible = 1", "metrics.pareto_rank"):
        assert word in TEXT
        assert word in operations


def test_contents_lead_to_every_section() -> None:
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    linked = re.findall(r"^- \[(.+)\]\(#(.+)\)$", TEXT, re.MULTILINE)
    assert [name for name, _ in linked] == headings
    for name, anchor in linked:
        assert anchor == re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
