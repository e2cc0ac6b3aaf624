"""A model that its workload cannot train is refused before a study starts: wrong kind, network, schedule or weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_study import INDEX, NETWORK, SCHEDULER, set_keys, write_json, write_safetensors, write_text_to_image

import tune_unlearning
from diffusion.denoiser import PREDICTION_TYPES
from trainable.workloads import WORKLOADS
from trainable.workloads.kinds import KINDS
from tuning.checks import models as model_checks
from tuning.config import Options, Problem, StudyConfig

Load = Callable[..., tuple[StudyConfig, Options]]
Find = Callable[..., list[Problem]]
OWN = "trainable.testing:TinyWorkload"


def change(path: Path, **values: object) -> None:
    """Other values in a JSON file; None as a value takes the key away."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **values}
    write_json(path, {key: value for key, value in content.items() if value is not None})


@pytest.fixture
def prompted(workspace: Path) -> tuple[str, ...]:
    return write_text_to_image(workspace)


class TestKind:
    @pytest.mark.parametrize(
        ("index", "value", "remedy"),
        [
            ({"_class_name": "StableDiffusionPipeline"}, "is a StableDiffusionPipeline", "--workload text_to_image"),
            ({"_class_name": "StableDiffusionXLPipeline"}, "is a StableDiffusionXLPipeline", "another model"),
            ({"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"]}, "is a LDMPipeline", "another model"),
            ({"_class_name": "ScoreSdeVePipeline"}, "is a ScoreSdeVePipeline", "package.module:Class"),
            ({"_class_name": ["my_pipeline", "Mine"]}, "code of its own, ['my_pipeline', 'Mine']", "another model"),
            ({"_class_name": None}, "names no pipeline class", "another model"),
            ({"vqvae": ["diffusers", "VQModel"]}, "has a vqvae besides", "another model"),
            ({"unet": ["diffusers", "UNet2DConditionModel"]}, "unet is a UNet2DConditionModel", "text_to_image"),
            ({"unet": ["my_unet", "UNet2DModel"]}, "unet brings code of its own, my_unet", "another model"),
            ({"unet": None}, "has no unet", "another model"),
            ({"scheduler": [None, None]}, "has no scheduler", "another model"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_pipeline_that_is_not_unconditional(
        self, problems_of: Find, workspace: Path, index: dict[str, object], value: str, remedy: str
    ) -> None:
        change(workspace / "base" / "model_index.json", **index)
        (problem,) = problems_of()
        assert problem.rule.startswith("model of the workload unconditional must be a DDPMPipeline or DDIMPipeline")
        assert value in str(problem.value)
        assert str(workspace / "base") in str(problem.value)
        assert remedy in problem.remedy

    @pytest.mark.parametrize(
        ("index", "value", "remedy"),
        [
            ({"_class_name": "DDPMPipeline"}, "is a DDPMPipeline", "--workload unconditional"),
            ({"_class_name": "StableDiffusionXLPipeline"}, "is a StableDiffusionXLPipeline", "another model"),
            ({"_class_name": "StableDiffusionImg2ImgPipeline"}, "Img2ImgPipeline", "another model"),
            ({"_class_name": "StableDiffusionInpaintPipeline"}, "InpaintPipeline", "another model"),
            ({"text_encoder": ["transformers", "XLMRobertaModel"]}, "text_encoder is a XLM", "another model"),
            ({"vae": ["diffusers", "AutoencoderTiny"]}, "vae is a AutoencoderTiny", "another model"),
            ({"text_encoder_2": ["transformers", "CLIPTextModel"]}, "has a text_encoder_2 besides", "another model"),
            ({"tokenizer": None}, "has no tokenizer", "another model"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_pipeline_that_is_no_stable_diffusion(
        self,
        problems_of: Find,
        prompted: tuple[str, ...],
        workspace: Path,
        index: dict[str, object],
        value: str,
        remedy: str,
    ) -> None:
        change(workspace / "prompted" / "model_index.json", **index)
        (problem,) = problems_of(*prompted)
        assert problem.rule.startswith("model of the workload text_to_image must be a StableDiffusionPipeline")
        assert value in str(problem.value)
        assert remedy in problem.remedy

    def test_whole_models_of_either_kind(self, load: Load, prompted: tuple[str, ...], workspace: Path) -> None:
        assert load()
        assert load(*prompted)
        change(workspace / "prompted" / "model_index.json", safety_checker=["stable_diffusion", "SafetyChecker"])
        change(workspace / "base" / "model_index.json", _class_name="DDIMPipeline")
        assert load(*prompted)
        assert load()

    def test_the_other_workload_is_named(self, problems_of: Find, prompted: tuple[str, ...], workspace: Path) -> None:
        found = problems_of(*prompted, "--model", "base")
        assert "give --workload unconditional, or another model" in [problem.remedy for problem in found]
        found = problems_of("--model", "prompted", "--retrained-model", "retrained", "--unseen", "digits.npz")
        assert "give --workload text_to_image, or another model" in [problem.remedy for problem in found]

    def test_the_config_of_the_network_counts_too(self, problems_of: Find, workspace: Path) -> None:
        change(workspace / "base" / "unet" / "config.json", _class_name="UNet2DConditionModel")
        (problem,) = problems_of()
        assert "whose unet/config.json is of a UNet2DConditionModel" in str(problem.value)

    def test_the_retrained_model_too(self, problems_of: Find, workspace: Path) -> None:
        change(workspace / "retrained" / "model_index.json", _class_name="LDMPipeline")
        (problem,) = problems_of()
        assert problem.rule.startswith("retrained_model of the workload")

    def test_files_of_the_earliest_pipelines_lie_beside_the_index(
        self, load: Load, problems_of: Find, workspace: Path
    ) -> None:
        for model in ("base", "retrained"):
            for part in ("unet", "scheduler"):
                for file in (workspace / model / part).iterdir():
                    file.rename(workspace / model / file.name)
                (workspace / model / part).rmdir()
        assert load()
        weights = workspace / "base" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        (problem,) = problems_of()
        assert problem.rule == "the files of model must be whole"

    def test_a_workload_from_outside_takes_what_it_likes(self, load: Load, workspace: Path) -> None:
        change(workspace / "base" / "model_index.json", _class_name=["my_pipeline", "Mine"])
        change(workspace / "base" / "scheduler" / "scheduler_config.json", prediction_type="flow", beta_schedule=None)
        change(workspace / "base" / "unet" / "config.json", num_class_embeds=10)
        (workspace / "base" / "unet" / "diffusion_pytorch_model.safetensors").rename(workspace / "base" / "w.bin")
        assert load("--workload", OWN)

    def test_of_a_hub_id_what_is_cached_is_looked_at(
        self, load: Load, problems_of: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        flags = ("--model", "lab/model", "--retrained-model", "retrained")
        assert load(*flags)[0].model == "lab/model"
        snapshot = tmp_path / "hub" / "models--lab--model" / "snapshots" / "abc"
        (snapshot.parents[1] / "refs").mkdir(parents=True)
        (snapshot.parents[1] / "refs" / "main").write_text("abc")
        write_json(snapshot / "model_index.json", INDEX)
        write_json(snapshot / "config.json", {**NETWORK, "sample_size": 28})
        write_json(snapshot / "scheduler_config.json", SCHEDULER)
        assert load(*flags)
        write_json(snapshot / "scheduler_config.json", {**SCHEDULER, "prediction_type": "flow"})
        assert "must be one of epsilon" in problems_of(*flags)[0].rule
        write_json(snapshot / "model_index.json", {**INDEX, "_class_name": "StableDiffusionPipeline"})
        (problem,) = [problem for problem in problems_of(*flags) if problem.rule.startswith("model of")]
        assert "lab/model, which is a StableDiffusionPipeline" in str(problem.value)
        assert "--workload text_to_image" in problem.remedy

    def test_it_imports_no_torch(self) -> None:
        code = (
            "import sys\n"
            "from tuning.checks.models import model_problems\n"
            "assert not model_problems('model', 'nobody/nothing', 'unconditional')\n"
            "import tuning.checks.retain, tuning.checks.prompts\n"
            "assert not {'torch', 'transformers', 'diffusers', 'pandas'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)

    def test_every_registered_workload_declares_its_kind(self) -> None:
        declared = {name: workload.kind for name, workload in WORKLOADS.items()}
        assert {name: kind for name, kind in declared.items() if kind is not None} == dict(KINDS)
        assert model_checks.PREDICTION_TYPES == PREDICTION_TYPES


def test_the_launch_command_says_all_of_it_at_once(
    prompted: tuple[str, ...], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unet = workspace / "prompted" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    change(unet / "config.json", in_channels=9)
    change(workspace / "prompted" / "scheduler" / "scheduler_config.json", prediction_type="flow")
    (workspace / "prompts.yaml").write_bytes(b"\xff")
    with np.load(workspace / "generated.npz") as archive:
        np.savez(workspace / "generated.npz", images=archive["images"], memorised=np.ones(4, bool))
    before = sorted(workspace.rglob("*"))
    assert tune_unlearning.main(["--study", "study.yaml", *prompted]) == 2
    said = capsys.readouterr().err
    assert said.startswith("The configuration has 5 problems; nothing was started or written.")
    for mistake in ("pickled weights", "in_channels 9", "flow", "not UTF-8", "all of which are memorised"):
        assert mistake in said
    assert sorted(workspace.rglob("*")) == before


class TestNetwork:
    @pytest.mark.parametrize(
        ("values", "rule", "value", "remedy"),
        [
            ({"in_channels": 2, "out_channels": 2}, "take 1 or 3 channels", "in_channels 2", "inpainting"),
            ({"out_channels": 2}, "take 1 or 3 channels and give as many", "out_channels 2", "noise alone"),
            ({"num_class_embeds": 10}, "an image, a timestep", "num_class_embeds 10", "without class"),
            ({"sample_size": None}, "name the sample_size", "None", "unet/config.json"),
            ({"sample_size": [28, "28"]}, "name the sample_size", "[28, '28']", "unet/config.json"),
        ],
    )
    def test_an_unconditional_network(
        self, problems_of: Find, workspace: Path, values: dict[str, object], rule: str, value: str, remedy: str
    ) -> None:
        for model in ("base", "retrained"):
            change(workspace / model / "unet" / "config.json", **values)
        set_keys(workspace, retrained_model=None)
        found = [problem for problem in problems_of() if problem.rule.startswith("the unet of model")]
        (problem,) = found
        assert rule in problem.rule
        assert value in str(problem.value)
        assert remedy in problem.remedy

    @pytest.mark.parametrize(
        ("values", "rule", "value"),
        [
            ({"in_channels": 9}, "take 4 channels and give as many", "in_channels 9 and out_channels 4"),
            ({"in_channels": 8}, "take 4 channels and give as many", "in_channels 8 and out_channels 4"),
            ({"in_channels": 16, "out_channels": 16}, "take 4 channels", "in_channels 16"),
            ({"addition_embed_type": "text_time"}, "at most a prompt", "addition_embed_type text_time"),
            ({"num_class_embeds": 1000}, "at most a prompt", "num_class_embeds 1000"),
        ],
    )
    def test_a_network_under_a_prompt(
        self,
        problems_of: Find,
        prompted: tuple[str, ...],
        workspace: Path,
        values: dict[str, object],
        rule: str,
        value: str,
    ) -> None:
        change(workspace / "prompted" / "unet" / "config.json", **values)
        (problem,) = problems_of(*prompted)
        assert rule in problem.rule
        assert value in str(problem.value)

    def test_a_network_without_its_config(self, problems_of: Find, workspace: Path) -> None:
        (workspace / "base" / "unet" / "config.json").unlink()
        (problem,) = problems_of()
        assert problem.rule == "model must have a unet with its config.json"


class TestSchedule:
    @pytest.mark.parametrize(
        ("values", "rule", "value", "remedy"),
        [
            ({"prediction_type": "flow_prediction"}, "one of epsilon, v_prediction, sample", "flow_prediction", "type"),
            (
                {"_class_name": "FlowMatchEulerDiscreteScheduler", "beta_schedule": None},
                "a schedule of betas",
                "a FlowMatchEulerDiscreteScheduler without",
                "training's scheduler",
            ),
            ({"rescale_betas_zero_snr": True}, "leave some signal", "rescale_betas_zero_snr", "zero terminal SNR"),
        ],
    )
    def test_a_schedule_that_cannot_be_trained_on(
        self, problems_of: Find, workspace: Path, values: dict[str, object], rule: str, value: str, remedy: str
    ) -> None:
        for model in ("base", "retrained"):
            change(workspace / model / "scheduler" / "scheduler_config.json", **values)
        found = problems_of()
        assert len(found) == 2
        for problem, field in zip(found, ("model", "retrained_model"), strict=True):
            assert f"of {field}" in problem.rule
            assert rule in problem.rule
            assert value in str(problem.value)
            assert remedy in problem.remedy

    @pytest.mark.parametrize(
        "values",
        [
            {"prediction_type": None},
            {"prediction_type": "v_prediction"},
            {"prediction_type": "sample", "_class_name": "EulerDiscreteScheduler"},
            {"beta_schedule": None, "trained_betas": [0.1, 0.2]},
        ],
    )
    def test_schedules_that_can(self, load: Load, workspace: Path, values: dict[str, object]) -> None:
        for model in ("base", "retrained"):
            change(workspace / model / "scheduler" / "scheduler_config.json", **values)
        assert load()


class TestRetrainedModel:
    @pytest.mark.parametrize(
        ("file", "values", "rule", "value"),
        [
            ("unet/config.json", {"sample_size": 32}, "the model's sample_size, 28", "32"),
            ("unet/config.json", {"in_channels": 3, "out_channels": 3}, "the model's in_channels, 1", "3"),
            (
                "scheduler/scheduler_config.json",
                {"prediction_type": "v_prediction"},
                "the model's prediction_type, epsilon",
                "v_prediction",
            ),
        ],
    )
    def test_it_must_be_of_the_same_kind(
        self, problems_of: Find, workspace: Path, file: str, values: dict[str, object], rule: str, value: str
    ) -> None:
        change(workspace / "retrained" / file, **values)
        (problem,) = problems_of()
        assert rule in problem.rule
        assert str(problem.value) == f"{workspace / 'retrained'}, {value}"
        assert "without the forget images" in problem.remedy


class TestWeights:
    @pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt"])
    def test_pickled_weights(self, problems_of: Find, workspace: Path, name: str) -> None:
        unet = workspace / "base" / "unet"
        (unet / "diffusion_pytorch_model.safetensors").rename(unet / name)
        (problem,) = problems_of()
        assert problem.rule == (
            "the unet of model must have its weights in safetensors, diffusion_pytorch_model.safetensors"
        )
        assert str(problem.value) == f"{unet}, which has pickled weights, {name}"
        assert "pipeline.save_pretrained(DIR, safe_serialization=True)" in problem.remedy
        assert "scripts/fetch_assets.py" in problem.remedy

    @pytest.mark.parametrize(("part", "stem"), [("vae", "diffusion_pytorch_model"), ("text_encoder", "model")])
    def test_of_every_network_of_a_stable_diffusion(
        self, problems_of: Find, prompted: tuple[str, ...], workspace: Path, part: str, stem: str
    ) -> None:
        folder = workspace / "prompted" / part
        (folder / f"{stem}.safetensors").rename(folder / "pytorch_model.bin")
        (problem,) = problems_of(*prompted)
        assert f"the {part} of model" in problem.rule
        assert "pickled weights, pytorch_model.bin" in str(problem.value)

    def test_no_weights_and_those_of_a_variant(self, problems_of: Find, workspace: Path) -> None:
        unet = workspace / "base" / "unet"
        (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.fp16.safetensors")
        (problem,) = problems_of()
        assert "has diffusion_pytorch_model.fp16.safetensors only" in str(problem.value)
        assert "without a variant" in problem.remedy
        (unet / "diffusion_pytorch_model.fp16.safetensors").unlink()
        (problem,) = problems_of()
        assert "which has none" in str(problem.value)

    def test_weights_in_several_files(self, load: Load, problems_of: Find, workspace: Path) -> None:
        unet, shard = workspace / "base" / "unet", "diffusion_pytorch_model-00001-of-00001.safetensors"
        (unet / "diffusion_pytorch_model.safetensors").rename(unet / shard)
        write_json(unet / "diffusion_pytorch_model.safetensors.index.json", {"weight_map": {"weight": shard}})
        assert load()
        (unet / shard).unlink()
        assert "must have its weights in safetensors" in problems_of()[0].rule

    @pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
    def test_a_single_file(self, problems_of: Find, workspace: Path, name: str) -> None:
        write_safetensors(workspace / name)
        (problem,) = problems_of("--model", name, "--unseen", "digits.npz")
        assert problem.rule == "model must be a diffusers pipeline directory or a hub id"
        assert str(problem.value) == f"{workspace / name}, which is a single file"
        assert "save_pretrained(DIR, safe_serialization=True)" in problem.remedy

    @pytest.mark.parametrize("cut", [0, 4, 20, -1])
    def test_weights_that_are_cut_short(self, problems_of: Find, workspace: Path, cut: int) -> None:
        file = workspace / "base" / "unet" / "diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:cut])
        (problem,) = problems_of()
        assert problem.rule == "the files of model must be whole"
        assert str(problem.value) == str(file)
        assert "fetch or save the model again" in problem.remedy
