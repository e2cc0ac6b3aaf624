"""A prompt file and its saved embeddings are read before a study starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small_study import write_json, write_text_to_image

from tuning.config import Options, Problem, StudyConfig

Load = Callable[..., tuple[StudyConfig, Options]]
Find = Callable[..., list[Problem]]


@pytest.fixture
def flags(workspace: Path) -> tuple[str, ...]:
    return write_text_to_image(workspace)


def write_embedding(path: Path, shape: Sequence[int], name: str = "prompt_embeds", dtype: str = "F16") -> None:
    size = 2
    for length in shape:
        size *= length
    header = json.dumps({name: {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"- {image: shirt.png, original: caf\xe9, modified: b}", "which is not UTF-8 (byte 34)"),
        (b"- {original: a, modified: b}", "whose entry 1 names no image"),
        (b"- {image: other.png, original: a, modified: b}", "which names no image shirt.png but other.png"),
        (b"- {image: shirt.png, original: a}", "whose entry 1 names no modified"),
        (b"image: shirt.png", "which is no list of entries"),
        (b"", "which is no list of entries"),
        (b"- !!python/object/apply:os.system [touch ran]", "which cannot be read"),
        (None, "which is not there"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_prompt_file(
    problems_of: Find, flags: tuple[str, ...], workspace: Path, content: bytes | None, value: str
) -> None:
    (workspace / "prompts.yaml").unlink()
    if content is not None:
        (workspace / "prompts.yaml").write_bytes(content)
    (problem,) = problems_of(*flags)
    assert problem.rule == "prompts must be a UTF-8 YAML file that gives the prompts of the one forget image"
    assert f"{workspace / 'prompts.yaml'}, {value}" in str(problem.value)
    assert "docs/operations.md" in problem.remedy
    assert not (workspace / "ran").exists()


def test_several_forget_images(problems_of: Find, flags: tuple[str, ...], workspace: Path) -> None:
    (workspace / "two.png").write_bytes((workspace / "shirt.png").read_bytes())
    (problem,) = problems_of(*flags, "--forget", "two.png")
    assert str(problem.value) == "2 forget images"
    assert problem.remedy == "run a study for each"


class TestSavedEmbeddings:
    @pytest.fixture
    def saved(self, flags: tuple[str, ...], workspace: Path) -> Path:
        """Where the prompt file has its embedding."""
        text = "- {image: shirt.png, original: a, modified: saved.safetensors}\n"
        (workspace / "prompts.yaml").write_text(text, encoding="utf-8")
        return workspace / "saved.safetensors"

    @pytest.mark.parametrize("shape", [(77, 32), (1, 77, 32)])
    def test_whole_ones(self, load: Load, flags: tuple[str, ...], saved: Path, shape: tuple[int, ...]) -> None:
        write_embedding(saved, shape)
        assert load(*flags)

    @pytest.mark.parametrize(
        ("shape", "changes", "value"),
        [
            ((77, 64), {}, "F16 (77, 64)"),
            ((8, 32), {}, "F16 (8, 32)"),
            ((2, 77, 32), {}, "F16 (2, 77, 32)"),
            ((32,), {}, "F16 (32,)"),
            ((77, 32), {"dtype": "I16"}, "I16 (77, 32)"),
            ((77, 32), {"name": "embedding"}, "which has embedding"),
        ],
    )
    def test_other_arrays(
        self,
        problems_of: Find,
        flags: tuple[str, ...],
        saved: Path,
        shape: tuple[int, ...],
        changes: dict[str, str],
        value: str,
    ) -> None:
        write_embedding(saved, shape, **changes)
        (problem,) = problems_of(*flags)
        assert problem.rule == (
            "a saved prompt must be a whole safetensors file with an array 'prompt_embeds' of 77 tokens of the "
            "model's width 32"
        )
        assert str(problem.value) == f"{saved}, {value}"
        assert "text encoder" in problem.remedy

    def test_missing_and_broken_files(self, problems_of: Find, flags: tuple[str, ...], saved: Path) -> None:
        (problem,) = problems_of(*flags)
        assert str(problem.value) == f"{saved}, which is not there"
        for content in (b"", b"PK a torch archive"):
            saved.write_bytes(content)
            (problem,) = problems_of(*flags)
            assert str(problem.value) == f"{saved}, which is no whole safetensors file"
        write_embedding(saved, (77, 32))
        saved.write_bytes(saved.read_bytes()[:-1])
        assert len(problems_of(*flags)) == 1

    def test_a_model_that_does_not_say_its_width_takes_any(
        self, load: Load, flags: tuple[str, ...], saved: Path, workspace: Path
    ) -> None:
        write_json(workspace / "prompted" / "unet" / "config.json", {"sample_size": 8})
        write_embedding(saved, (77, 64))
        assert load(*flags)
