"""Networks behind the metrics are looked for before a study starts; what lacks is named with where it comes from."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import set_keys, write_safetensors

from metrics.encoder_files import CLIP_HUB_ID, OPENERS, PUBLISHED, TAKEN_BY, torch_checkpoints
from metrics.parts import NEEDS, network_of
from tuning.baseline_cache import content_key
from tuning.checks.encoders import FIELDS
from tuning.config import Options, Problem, StudyConfig

Load = Callable[..., tuple[StudyConfig, Options]]
Find = Callable[..., list[Problem]]


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("metrics.encoder_files.FETCHED", tmp_path / "fetched")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def write_archive(path: Path, *members: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"content")


def write_clip(directory: Path, *without: str) -> None:
    directory.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
        if name not in without:
            (directory / name).write_text(json.dumps({"model_type": "clip"}))
    if "model.safetensors" not in without:
        write_safetensors(directory / "model.safetensors")


class TestPublished:
    @pytest.mark.parametrize(("name", "fields"), [("inception", ("features", "classifier")), ("sscd", ("descriptor",))])
    def test_missing_weights_are_named_with_place_source_and_command(
        self, problems_of: Find, tmp_path: Path, name: str, fields: tuple[str, ...]
    ) -> None:
        found = problems_of(*(word for field in fields for word in (f"--{field}", name)))
        assert [problem.rule.split()[0] for problem in found] == list(fields)
        for problem in found:
            assert str(tmp_path / "fetched" / name / PUBLISHED[name].filename) in str(problem.value)
            assert f"python scripts/fetch_assets.py {name}" in problem.remedy
            assert PUBLISHED[name].url in problem.remedy

    def test_a_path_that_is_named_as_a_published_file_says_the_same(self, problems_of: Find) -> None:
        (problem,) = problems_of("--features", f"elsewhere/{PUBLISHED['inception'].filename}")
        assert "python scripts/fetch_assets.py inception" in problem.remedy

    @pytest.mark.parametrize("place", ["fetched", "cache"])
    def test_whole_weights_are_found_and_named_by_their_path(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        published = PUBLISHED["inception"]
        fetched = tmp_path / "fetched" / "inception" / published.filename
        file = fetched if place == "fetched" else torch_checkpoints() / published.filename
        write_archive(file, "archive/data.pkl")
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        monkeypatch.setitem(PUBLISHED, "inception", replace(published, sha256=sha256))

        config, _ = load("--features", "inception", "--classifier", str(file))
        assert config.features == config.classifier == str(file)

    def test_other_content_under_the_published_name(self, problems_of: Find) -> None:
        file = torch_checkpoints() / PUBLISHED["sscd"].filename
        write_archive(file, "sscd/code/__torch__.py")
        (problem,) = problems_of("--descriptor", "sscd")
        assert "SHA-256" in str(problem.value)
        assert problem.remedy == "fetch it again with python scripts/fetch_assets.py sscd"


class TestFiles:
    @pytest.mark.parametrize(
        ("field", "name", "members", "fault"),
        [
            ("features", "own.pth", ["own/data.pkl", "own/data/0"], None),
            ("classifier", "own.pth", ["own/data.pkl"], None),
            ("features", "own.pth", ["own/other"], "not written by torch.save"),
            ("descriptor", "own.torchscript.pt", ["own/data.pkl", "own/code/__torch__.py"], None),
            ("descriptor", "own.torchscript.pt", ["own/data.pkl"], "which holds no TorchScript program"),
        ],
    )
    def test_what_is_in_an_archive(
        self, load: Load, problems_of: Find, workspace: Path, field: str, name: str, members: list[str],
        fault: str | None,
    ) -> None:  # fmt: skip
        write_archive(workspace / name, *members)
        if fault is None:
            assert getattr(load(f"--{field}", name)[0], field) == str(workspace / name)
        else:
            (problem,) = problems_of(f"--{field}", name)
            assert fault in str(problem.value)

    @pytest.mark.parametrize(("field", "name"), [("features", "own.pth"), ("descriptor", "own.torchscript.pt")])
    @pytest.mark.parametrize("cut", [0, 30, -1])
    def test_a_file_that_is_cut_short(
        self, problems_of: Find, workspace: Path, field: str, name: str, cut: int
    ) -> None:
        write_archive(workspace / name, "own/data.pkl", "own/code/__torch__.py")
        (workspace / name).write_bytes((workspace / name).read_bytes()[:cut])
        (problem,) = problems_of(f"--{field}", name)
        assert problem.rule.startswith(f"{field} must be a whole")
        assert "cut short" in str(problem.value)

    def test_weights_as_torch_wrote_them_before_version_1_6(self, load: Load, workspace: Path) -> None:
        import torch

        torch.save({"weight": torch.zeros(2)}, workspace / "old.pth", _use_new_zipfile_serialization=False)
        assert load("--features", "old.pth")

    @pytest.mark.parametrize(
        ("field", "name"),
        [("descriptor", "own.pth"), ("features", "own.torchscript.pt"), ("classifier", "own.torchscript.pt")],
    )
    def test_a_file_that_answers_with_something_else(
        self, problems_of: Find, workspace: Path, field: str, name: str
    ) -> None:
        write_archive(workspace / name, "own/data.pkl", "own/code/__torch__.py")
        (problem,) = problems_of(f"--{field}", name)
        assert problem.rule.startswith(f"{field} must be a file of one of the kinds")
        assert ".safetensors" in problem.rule

    def test_a_workload_from_outside_reads_files_of_its_own(self, load: Load, workspace: Path) -> None:
        (workspace / "own.pth").write_bytes(b"anything")
        assert load("--workload", "trainable.testing:TinyWorkload", "--descriptor", "own.pth")

    def test_every_kind_of_file_is_checked_and_opened(self) -> None:
        assert set(TAKEN_BY) == set(OPENERS)
        assert {field for fields in TAKEN_BY.values() for field in fields} == set(FIELDS) - {"clip"}


class TestClip:
    ASKED = ("--report-metrics", "clip_iqa")

    def test_a_directory_is_found_and_decides_the_baseline(self, load: Load, workspace: Path) -> None:
        write_clip(workspace / "clip")
        config, _ = load("--clip", "clip", *self.ASKED)
        assert config.clip == str(workspace / "clip")
        before = content_key(config)
        write_safetensors(workspace / "clip" / "model.safetensors", other="weights")
        assert content_key(config) != before

    @pytest.mark.parametrize(
        "lacking", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
    )
    def test_a_directory_with_something_missing(self, problems_of: Find, workspace: Path, lacking: str) -> None:
        write_clip(workspace / "clip", lacking)
        (problem,) = problems_of("--clip", "clip", *self.ASKED)
        assert str(problem.value) == f"{workspace / 'clip'}, without {lacking}"
        assert "python scripts/fetch_assets.py clip" in problem.remedy

    def test_files_as_other_versions_of_transformers_name_them(self, load: Load, workspace: Path) -> None:
        write_clip(workspace / "clip", "preprocessor_config.json", "tokenizer.json")
        for name in ("processor_config.json", "vocab.json"):
            (workspace / "clip" / name).write_text("{}")
        assert load("--clip", "clip", *self.ASKED)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_a_file_that_is_cut_short(self, problems_of: Find, workspace: Path, name: str) -> None:
        write_clip(workspace / "clip")
        file = workspace / "clip" / name
        file.write_bytes(file.read_bytes()[:-1])
        (problem,) = problems_of("--clip", "clip", *self.ASKED)
        assert problem.rule == "the files of clip must be whole"
        assert name in str(problem.value)

    def test_a_directory_that_is_not_there(self, problems_of: Find, workspace: Path) -> None:
        (problem,) = problems_of("--clip", "./clip", *self.ASKED)
        assert str(problem.value) == f"{workspace / 'clip'}, which is not there"

    def test_a_hub_id_must_be_in_the_cache(self, load: Load, problems_of: Find, tmp_path: Path) -> None:
        (problem,) = problems_of("--clip", CLIP_HUB_ID, *self.ASKED)
        assert problem.rule.endswith("since a study downloads nothing")
        assert f"{CLIP_HUB_ID}, without config.json, model.safetensors" in str(problem.value)
        assert f"hf download {CLIP_HUB_ID}" in problem.remedy

        cache = tmp_path / "hub" / f"models--{CLIP_HUB_ID.replace('/', '--')}"
        write_clip(cache / "snapshots" / "abc")
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text("abc")
        assert load("--clip", CLIP_HUB_ID, *self.ASKED)[0].clip == CLIP_HUB_ID
        (cache / "snapshots" / "abc" / "model.safetensors").unlink()
        (problem,) = problems_of("--clip", CLIP_HUB_ID, *self.ASKED)
        assert str(problem.value) == f"{CLIP_HUB_ID}, without model.safetensors"

    def test_what_can_be_no_hub_id(self, problems_of: Find) -> None:
        (problem,) = problems_of("--clip", "a--b/c..d", *self.ASKED)
        assert "without config.json" in str(problem.value)

    def test_looking_into_the_cache_imports_no_torch(self, workspace: Path) -> None:
        code = (
            "import sys\n"
            "from tuning.checks.encoders import clip_problems\n"
            "assert clip_problems('nobody/nothing')\n"
            "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


class TestNeeds:
    @pytest.mark.parametrize(
        "flags", [("--report-metrics", "clip_iqa"), ("--constraints", "clip_iqa >= 0.9x", "fid <= 1.2x")]
    )
    def test_a_metric_without_its_network(self, problems_of: Find, flags: tuple[str, ...]) -> None:
        (problem,) = problems_of(*flags)
        assert str(problem) == (
            "clip_iqa needs a network to look through, but got no clip: give --clip, or leave clip_iqa out"
        )

    def test_each_metric_is_named(self, problems_of: Find, workspace: Path) -> None:
        set_keys(workspace, descriptor=None, features=None, classifier=None)
        asked = ("sscd_neighbours", "inception_score", "clip_iqa")
        found = problems_of("--report-metrics", *asked)
        assert [problem.rule.split()[0] for problem in found] == ["sscd", "fid", *asked]

    def test_a_workload_from_outside_may_bring_its_own(self, load: Load) -> None:
        assert load("--workload", "trainable.testing:TinyWorkload", "--report-metrics", "clip_iqa")

    def test_what_is_needed_exists(self) -> None:
        assert {network_of(needs) for needs in NEEDS.values()} - {None} == set(FIELDS)
        assert set(FIELDS) <= set(StudyConfig.model_fields)
