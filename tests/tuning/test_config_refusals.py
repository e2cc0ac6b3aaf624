"""What a configuration is refused for: rule, value and remedy, every error at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from small_study import write_text_to_image

from tuning.config import (
    ConfigError,
    Options,
    Problem,
    StudyConfig,
    load_config,
)

Load = Callable[..., tuple[StudyConfig, Options]]


# Another model or other images drop the file's own unseen images.
IDEAL = ("--unseen", "digits.npz")


class TestBadInput:
    """Each mistake of a user: the rule it breaks, the value that was given, and a remedy."""

    @pytest.mark.parametrize(
        ("flags", "rule", "value", "remedy"),
        [
            (["--nmae", "x"], "every flag must be a known one", "--nmae", "did you mean '--name'?"),
            (["stray"], "--study must have one value", "study.yaml stray", "quote"),
            (["--methods", "sis"], "every method must be a known one", "sis", "did you mean 'siss'?"),
            (["--methods", "no.such:Thing"], "can be imported", "no.such:Thing", "Python path"),
            (["--methods", "siss", "siss"], "named once", "siss, siss", "remove"),
            (["--objectives", "minimize ssd"], "known metric", "ssd", "'sscd'"),
            (["--objectives", "minimize nll", "maximize nll"], "different metrics", "minimize nll", "once"),
            (["--objectives", "nll"], "an objective must read", "nll", "'minimize sscd'"),
            (["--report-metrics", "fdi"], "known metric", "fdi", "'fid'"),
            (["--workload", "unconditonal"], "workload", "unconditonal", "'unconditional'"),
            (["--constraint", "fid < 2"], "a constraint must read", "fid < 2", "'fid <= 1.2x'"),
            (["--constraint", "fdi <= 2"], "known metric", "fdi", "'fid'"),
            (["--constraint", "fid <= -1x"], "relative bound must be > 0", "fid <= -1x", "1.2x"),
            (["--constraint", "fid <= 1", "fid <= 2"], "once from each side", "fid <= 1, fid <= 2", "stricter"),
            (["--fix", "lamdb=1"], "parameter of the chosen methods", "lamdb=1", "'lambd'"),
            (["--fix", "lambd=1.5"], "0 <= lambd <= 1", "lambd=1.5", "can take"),
            (["--fix", "eta=-1"], "eta must be > 0", "eta=-1", "can take"),
            (["--fix", "lambd=x"], "fix (lambd)", "x", "hyper-parameters held"),
            (["--fix", "lambd"], "NAME=VALUE", "lambd", "lambd=0.5"),
            (["--fix", "lambd=nan"], "finite", "nan", "hyper-parameters held"),
            (["--fix", "lambd=0.1", "--fix", "lambd=0.2"], "once", "lambd=0.1 and lambd=0.2", "keep one"),
            (["--fix", "scaling_norm=5", "scaling_norm_ratio=0.1"], "once", "scaling_norm and", "remove"),
            (["--methods", "naive_deletion", "--fix", "eta=1"], "chosen methods", "eta=1", "none"),
            (["--repeats", "9", "--num-trials", "8"], "must be at least repeats", "8 and 9", "lower repeats"),
            (["--searcher", "gp"], "gp searcher must have one method", "siss", "--methods"),
            (["--searcher", "tpee"], "searcher", "tpee", "how settings are suggested"),
            (["--enqueue", "{method: sis}"], "name one of the chosen methods", "method: sis", "'siss'"),
            (["--enqueue", "{method: siss, eta: 1}"], "parameters of siss", "eta: 1", "lambd"),
            (["--enqueue", "{method: siss, lambd: 2}"], "0 <= lambd <= 1", "lambd: 2", "range"),
            (["--enqueue", "{method: siss, lambd: high}"], "must be a number", "lambd: high", "0.5"),
            (["--enqueue", "{method"], "YAML", "--enqueue", "repair"),
            (["--rungs", "10", "10", "20"], "rise strictly", "10, 10, 20", "10, 20, 40"),
            (["--ladder", "0.5", "1"], "a part for each rung", "2 for 4 rungs", "give as many"),
            (["--ladder", "0.5", "0.25", "0.5", "1"], "must not fall", "0.5, 0.25, 0.5, 1", "0.25, 0.5, 1"),
            (["--ladder", "0.5", "0.5", "0.5", "0.5"], "end at 1", "0.5, 0.5, 0.5, 0.5", "0.25, 0.5, 1"),
            (["--ladder", "0", "1", "1", "1"], "ladder (0)", "0", "part of images"),
            (["--bound-confidence", "1"], "bound_confidence", "1", "confidence to decide"),
            (["--max-violation", "0"], "max_violation", "0", "violation"),
            (["--rungs", "0"], "rungs (0): input should be greater than or equal to 1", "0", "rising"),
            (
                ["--scheduler", "asha"],
                "'none', 'expected_improvement' or 'pareto_halving'",
                "asha",
                "whether trials are stopped",
            ),
            (["--reduction-factor", "1"], "greater than or equal to 2", "1", "one in how many"),
            (["--scheduler", "pareto_halving", "--rungs", "50"], "two rungs or more", "50", "add earlier rungs"),
            (["--injection-timestep", "4"], "at most injection_timestep", "8 and 4", "lower num_denoising_steps"),
            (["--num-trials", "0"], "num_trials", "0", "trials of the study"),
            (["--num-trials", "many"], "num_trials", "many", "trials of the study"),
            (["--num-trials"], "one value", "none", "quote"),
            (["--num-trials", "3", "4"], "one value", "3 4", "quote"),
            (["--time-budget", "8 parsecs"], "a duration must be", "8 parsecs", "'8h'"),
            (["--learning-rate", "0"], "greater than 0", "0", "step size"),
            (["--adam-betas", "0.9"], "adam_betas (1): field required", "0.9", "decay"),
            (["--adam-betas", "0.9", "1"], "adam_betas (1)", "1", "decay"),
            (["--gpus-per-trial", "-1"], "gpus_per_trial", "-1", "GPUs"),
            (["--resources-per-trial", "GPU=1"], "other than CPU and GPU", "GPU", "gpus_per_trial"),
            (["--resources-per-trial", "memory=9"], "must not name memory", "memory", "leave it out"),
            (["--resources-per-trial", "small_gpu=1.5"], "small_gpu must be a whole number", "1.5", "at most 1"),
            (["--resources-per-trial", "small_gpu=0"], "greater than 0", "0", "further Ray resources"),
            (["--final-num-images", "8"], "at least num_images", "8 and 256", "raise"),
            (["--dry-run=yes"], "no value", "yes", "remove"),
            (
                ["--model", "./nowhere", *IDEAL],
                "pipeline directory",
                "nowhere, which is not there",
                "path",
            ),
            (["--model", "absent", *IDEAL], "pipeline directory", "absent, which is not there", "path"),
            (
                ["--retain", "nowhere", *IDEAL],
                "directory of images or an .npz",
                "nowhere, which is not there",
                "path",
            ),
            (["--guidance-scale", "3"], "a workload that takes prompts", "unconditional", "--workload text_to_image"),
            (["--forget", "nope.png"], "forget must be image files", "nope.png, which is not there", "path"),
            (["--forget", "study.yaml"], "forget must be image files", "no whole image file", "file"),
            (["--forget"], "forget: tuple should have at least 1 item", "[]", "image files to unlearn"),
            (["--features", "nope.pt"], "features must be a file", "nope.pt", "path"),
            (["--storage-path", "study.yaml"], "directory that can be written", "study.yaml", "--storage-path"),
            (["--storage-path", "/proc/nowhere"], "directory that can be written", "/proc/nowhere", "--storage-path"),
            (["--resume"], "--resume needs a study", "runs/tshirt", "--name"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_one_mistake(
        self, problems_of: Callable[..., list[Problem]], flags: list[str], rule: str, value: str, remedy: str
    ) -> None:
        (problem,) = problems_of(*flags)
        assert rule in problem.rule
        assert value in str(problem.value)
        assert remedy in problem.remedy

    def test_all_mistakes_about_a_scheduler_at_once(self, problems_of: Callable[..., list[Problem]]) -> None:
        flags = ("--scheduler", "pareto_halving", "--rungs", "50", "--reduction-factor", "1", "--num-trials", "0")
        found = problems_of(*flags)
        assert len(found) == 3
        for mistake in ("two rungs or more", "reduction_factor", "num_trials"):
            assert mistake in str(ConfigError(found))

    def test_all_mistakes_at_once(self, problems_of: Callable[..., list[Problem]]) -> None:
        flags = (
            "--nmae x --num-trials 0 --methods sis --fix lambd=3 --rungs 4 2 --forget no.png --model ./no --name ../x"
        )
        found = problems_of(*flags.split(), "--constraint", "fid < 2", "--optuna-storage", "postgresql://u:p4ss@h/db")
        text = str(ConfigError(found))
        for mistake in ("--nmae", "num_trials", "sis", "4, 2", "no.png", "/no,", "../x", "fid < 2", "u:***", "ideal"):
            assert mistake in text
        assert "p4ss" not in text
        assert len(found) == 10

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "../x",
            "/abs",
            "a/b",
            "..",
            ".",
            ".hidden",
            "a\\b",
            "a\nb",
            "-x",
            " x",
            "x ",
            "a*",
            "x" * 201,
            "mlflow.db",
        ],
    )
    def test_names_that_are_no_directory_name(self, problems_of: Callable[..., list[Problem]], name: str) -> None:
        (problem,) = problems_of(f"--name={name}")
        assert "a study's name must" in problem.rule

    def test_a_text_to_image_study_takes_prompts_and_no_unseen_images(
        self, problems_of: Callable[..., list[Problem]], workspace: Path
    ) -> None:
        flags = write_text_to_image(workspace)
        prompts, unseen = problems_of(*flags, "--prompts", "none", "--unseen", "generated.npz")
        assert "prompts must be a UTF-8 YAML file" in prompts.rule
        assert "--prompts FILE" in prompts.remedy
        assert "unseen must be left out" in unseen.rule

    @pytest.mark.parametrize("name", ["a", "mnist 2.1_b-c", "数字", "Привет", "हिन्दी", "_x", "7"])
    def test_names_of_any_script(self, load: Load, name: str) -> None:
        assert load("--name", name)[0].name == name

    @pytest.mark.parametrize(
        ("content", "finding"),
        [
            (b"name: [", "line"),
            (b"name: a\nname: b\n", "the key 'name' is repeated"),
            (b"fix: {lambd: 1, lambd: 2}\n", "the key 'lambd' is repeated"),
            (b"- a\n", "holds a list"),
            (b"", "holds nothing"),
            (b"\xff\xfe\x00name", "not UTF-8"),
            (b"name: \x00\n", "repair"),
            (b"name: !!python/object/apply:os.system ['touch ran']\n", "nothing in a study file is ever executed"),
            (b"a: &a [*a]\n? [1]\n: 2\n", ""),
        ],
    )
    def test_study_files_that_are_none(
        self, problems_of: Callable[..., list[Problem]], workspace: Path, content: bytes, finding: str
    ) -> None:
        (workspace / "study.yaml").write_bytes(content)
        found = problems_of()
        assert finding in str(found[0])
        assert not (workspace / "ran").exists()

    def test_a_broken_study_file_is_the_only_finding(
        self, problems_of: Callable[..., list[Problem]], workspace: Path
    ) -> None:
        (workspace / "study.yaml").write_text("name: [")
        assert len(problems_of()) == 1

    def test_a_missing_study_file(self, workspace: Path) -> None:
        with pytest.raises(ConfigError, match=r"study file must be readable, but got .*nowhere.yaml"):
            load_config(["--study", "nowhere.yaml"])

    def test_unknown_and_missing_keys(self, problems_of: Callable[..., list[Problem]], workspace: Path) -> None:
        values = yaml.safe_load((workspace / "study.yaml").read_text())
        del values["batch_size"]
        (workspace / "study.yaml").write_text(yaml.safe_dump({**values, "batchsize": 3, "optimizer": "sgd"}))
        text = str(ConfigError(problems_of()))
        assert "batch_size must be given" in text
        assert "got batchsize: did you mean 'batch_size'?" in text
        assert "got optimizer: use one of: name, workload" in text

    def test_damaged_assets(self, problems_of: Callable[..., list[Problem]], workspace: Path) -> None:
        weights = workspace / "base" / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        (workspace / "retrained" / "model_index.json").unlink()
        (workspace / "encoder.safetensors").write_bytes(b"\x00")
        (workspace / "digits.npz").write_bytes((workspace / "digits.npz").read_bytes()[:-20])
        (workspace / "tshirt.png").write_bytes((workspace / "tshirt.png").read_bytes()[:40])
        text = str(ConfigError(problems_of()))
        for mistake in (
            "diffusion_pytorch_model",
            "no model_index.json",
            "descriptor",
            "retain",
            "unseen",
            "tshirt.png",
        ):
            assert mistake in text

    def test_an_unknown_method_says_nothing_of_the_parameters_that_it_may_have(
        self, problems_of: Callable[..., list[Problem]]
    ) -> None:
        settings = ("--fix", "scale=1", "--enqueue", "{method: sis, scale: 1}")
        (problem,) = problems_of("--methods", "sis", *settings)
        assert problem.rule == "every method must be a known one"
        (problem,) = problems_of("--methods", "sis", "naive_deletion", *settings)
        assert problem.rule == "every method must be a known one"
        found = problems_of("--methods", "sis", "siss", "--fix", "lambd=3")
        assert ["a known one" in found[0].rule, "0 <= lambd <= 1" in found[1].rule] == [True, True]

    def test_images_of_one_name_cannot_be_unlearned_one_at_a_time(
        self, problems_of: Callable[..., list[Problem]], load: Load, workspace: Path
    ) -> None:
        again = workspace / "again" / "tshirt.png"
        again.parent.mkdir()
        again.write_bytes((workspace / "tshirt.png").read_bytes())
        flags = ("--forget", "tshirt.png", str(again), "--unseen", "digits.npz")
        load(*flags)
        [problem] = problems_of(*flags, "--forget-separately", "true")
        assert "must differ in their file names" in problem.rule
        assert "tshirt twice" in problem.value

    def test_a_directory_without_images(self, problems_of: Callable[..., list[Problem]], workspace: Path) -> None:
        (workspace / "empty").mkdir()
        (problem,) = problems_of("--retain", "empty", "--unseen", "digits.npz")
        assert problem.rule == "retain must hold images"
