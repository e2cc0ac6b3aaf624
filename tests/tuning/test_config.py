"""A configuration is right, or everything that is wrong with it is said at once and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import FIDELITY, FINAL_FIDELITY, set_keys

from tuning.config import (
    ConfigError,
    Constraint,
    Objective,
    Options,
    Problem,
    StudyConfig,
    from_yaml,
    load_config,
    parse_constraint,
    parse_objective,
    render,
    to_yaml,
)
from tuning.paths import PROJECT_ROOT, resolve_input
from tuning.problems import has_password, redact
from tuning.studyfile import read_mapping

Load = Callable[..., tuple[StudyConfig, Options]]


# Another model or other images drop the file's own unseen images.
IDEAL = ("--unseen", "digits.npz")


class TestGoals:
    def test_relative_and_absolute_bounds(self) -> None:
        assert parse_constraint("fid <= 1.2x") == Constraint("fid", "<=", 1.2, True)
        assert parse_constraint("clip_iqa>=6e-1") == Constraint("clip_iqa", ">=", 0.6)
        assert parse_constraint("pkg.mod:Cls <= -2") == Constraint("pkg.mod:Cls", "<=", -2.0)

    @pytest.mark.parametrize(
        "text",
        ["", "fid", "fid < 1", "fid == 1", "fid <= x", "fid <= nan", "fid <= inf", "fid <= 1e999", "<= 2", "a b <= 1"],
    )
    def test_a_bound_that_cannot_be_parsed(self, text: str) -> None:
        with pytest.raises(ValueError, match="must read 'METRIC <= NUMBER'"):
            parse_constraint(text)

    @given(st.sampled_from(["<=", ">="]), st.floats(-1e6, 1e6), st.booleans())
    def test_a_constraint_survives_its_text(self, op: str, bound: float, relative: bool) -> None:
        constraint = Constraint("fid", op, bound, relative)  # type: ignore[arg-type]
        assert parse_constraint(str(constraint)) == constraint

    def test_objectives_read_either_way_round(self) -> None:
        assert parse_objective("minimize sscd") == parse_objective("sscd minimize") == Objective("sscd", "minimize")
        for text in ("sscd", "minimise sscd", "minimize maximize", "minimize sscd nll"):
            with pytest.raises(ValueError, match="must read 'minimize METRIC'"):
                parse_objective(text)


class TestLayers:
    def test_defaults_study_file_and_flags(self, load: Load, workspace: Path) -> None:
        config, options = load("--num-trials", "3", "--time-budget", "90m", "--adam-betas", "0.5", "0.9", "--dry-run")
        assert (config.num_trials, config.time_budget, config.adam_betas) == (3, 5400.0, (0.5, 0.9))
        assert options == Options("study.yaml", resume=False, dry_run=True)
        assert config.learning_rate == 5e-5, "YAML 1.1 would read 5e-5 as a text"
        assert config.methods == ("siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad")
        assert config.objectives == (Objective("sscd", "minimize"), Objective("nll", "maximize"))
        assert config.constraints == (Constraint("fid", "<=", 1.2, True),)
        assert config.model == str(workspace / "base")
        assert config.root == workspace / "runs" / "tshirt"
        assert config.tracking_uri == f"sqlite:///{workspace}/runs/mlflow.db"

    def test_the_command_of_one_plain_run(self, load: Load) -> None:
        config, _ = load("--methods", "siss", "--fix", "lambd=0.5", "--fix", "scaling_norm=10", "--num-trials", "1")
        assert (config.methods, config.fix, config.num_trials) == (("siss",), {"lambd": 0.5, "scaling_norm": 10.0}, 1)

    def test_flags_merge_fix_and_replace_lists(self, load: Load, workspace: Path) -> None:
        set_keys(workspace, fix={"lambd": 0.1, "eta": 0.01}, constraints=["fid <= 2x"])
        config, _ = load("--fix", "lambd=0.5", "--constraint", "fid <= 1.1x", "--constraint", "inception_score >= 3")
        assert config.fix == {"lambd": 0.5, "eta": 0.01}
        assert list(map(str, config.constraints)) == ["fid <= 1.1x", "inception_score >= 3"]

    def test_enqueue_and_none_and_switches(self, load: Load) -> None:
        config, _ = load("--enqueue", "{method: siss, lambd: 0.25}", "--retrained-model", "none", "--log-forget-images")
        assert config.enqueue == ({"method": "siss", "lambd": 0.25},)
        assert config.retrained_model is None
        assert config.log_forget_images is True
        assert load("--log-forget-images", "false")[0].log_forget_images is False

    def test_another_model_drops_the_retrained_one_of_the_study_file(self, load: Load) -> None:
        config, _ = load("--model", "retrained", "--objectives", "minimize sscd")
        assert (config.retrained_model, config.unseen) == (None, None)
        config, _ = load("--forget", "tshirt.png")
        assert config.retrained_model is None
        assert config.unseen is not None

    def test_inputs_come_from_the_current_directory_or_the_project(self, workspace: Path) -> None:
        assert resolve_input("tshirt.png") == str(workspace / "tshirt.png")
        assert resolve_input("studies/mnist_tshirt.yaml") == str(PROJECT_ROOT / "studies" / "mnist_tshirt.yaml")

    def test_a_name_that_yaml_reads_as_a_number(self, load: Load, workspace: Path) -> None:
        set_keys(workspace, name=2024)
        assert load()[0].name == "2024"

    def test_a_hub_id_stays(self, load: Load) -> None:
        config, _ = load("--model", "google/ddpm-celebahq-256", "--unseen", "digits.npz")
        assert config.model == "google/ddpm-celebahq-256"

    def test_fidelity_of_reports_and_of_the_front(self, load: Load) -> None:
        config, _ = load()
        assert config.trial_fidelity == {**FIDELITY, "batch_size": 128}
        assert config.final_fidelity == config.trial_fidelity | FINAL_FIDELITY
        assert config.metrics[:3] == ("sscd", "nll", "fid")

    def test_round_trip(self, load: Load) -> None:
        config, _ = load("--fix", "lambd=0.5", "--enqueue", "{method: erasediff, eta: 1e-3}", "--name", "Étude 2 数字")
        assert from_yaml(to_yaml(config)) == config
        assert from_yaml(render(config)) == config
        with pytest.raises(ValueError, match="frozen"):
            config.seed = 3  # type: ignore[misc]


class TestSecrets:
    @pytest.mark.parametrize("field", ["mlflow-tracking-uri", "optuna-storage", "storage-path"])
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:hunter2@host/db",
            "https://:hunter2@host",
            "postgresql://u:hunter2/x@host/db",
            "postgresql://u:a@hunter2@host/db",
            "postgresql://host/db?password=hunter2",
        ],
    )
    def test_a_password_is_refused_and_never_echoed(
        self, problems_of: Callable[..., list[Problem]], field: str, url: str
    ) -> None:
        (problem,) = problems_of(f"--{field}", url)
        assert "must not carry a password" in problem.rule
        assert "hunter2" not in str(problem)
        assert "hunter2" not in repr(problem)
        assert "PGPASSWORD" in problem.remedy

    def test_nor_where_the_mistake_is_another(self, problems_of: Callable[..., list[Problem]], workspace: Path) -> None:
        set_keys(workspace, optuna_storage=["postgresql://u:hunter2@h/db"], storge="s3://k:hunter2@b")
        text = str(ConfigError(problems_of("--optuna-storge=postgresql://u:hunter2@h/db", "--fix", "x://u:hunter2@h")))
        assert "hunter2" not in text

    @pytest.mark.parametrize(
        "url", ["postgresql://user@host/db", "http://host:5000", "s3://bucket/a:b@c", "sqlite:////tmp/a:b@c", "plain", "http://[::1]:5000/x"]
    )  # fmt: skip
    def test_urls_without_a_password_pass(self, url: str) -> None:
        assert not has_password(url)
        assert redact(url) == url


class TestResume:
    @pytest.fixture
    def started(self, load: Load, workspace: Path) -> Path:
        config, _ = load()
        config.root.mkdir(parents=True)
        (config.root / "study.yaml").write_text(to_yaml(config))
        return config.root

    def test_an_existing_name_needs_resume(
        self, problems_of: Callable[..., list[Problem]], started: Path, workspace: Path
    ) -> None:
        (problem,) = problems_of()
        assert "must be new" in problem.rule
        assert "--resume" in problem.remedy
        (started / "study.yaml").rename(started / "other")
        assert "must be new" in problems_of()[0].rule
        assert "--resume needs" in problems_of("--resume")[0].rule

    def test_an_empty_directory_is_no_study(self, load: Load, workspace: Path) -> None:
        (workspace / "runs" / "tshirt").mkdir(parents=True)
        assert load()[0].name == "tshirt"

    def test_resume_by_the_same_command(self, load: Load, started: Path) -> None:
        config, options = load("--resume")
        assert options.resume
        assert to_yaml(config) == (started / "study.yaml").read_text()

    def test_a_remote_study_is_known_by_its_records_here(
        self, load: Load, problems_of: Callable[..., list[Problem]], started: Path, s3: str
    ) -> None:
        assert "must be new" in problems_of("--storage-path", s3)[0].rule
        assert load("--storage-path", s3, "--resume")[0].root == Path("runs/tshirt")

    def test_resume_by_name_takes_the_recorded_settings(self, started: Path, workspace: Path) -> None:
        (workspace / "study.yaml").unlink()
        config, _ = load_config(["--name", "tshirt", "--resume", "--num-trials", "50"])
        assert config.num_trials == 50
        assert config.model == str(workspace / "base")

    def test_a_resumed_study_may_begin_to_stop_trials_early(self, load: Load, started: Path) -> None:
        config, _ = load("--resume", "--scheduler", "pareto_halving", "--reduction-factor", "2")
        assert (config.scheduler, config.reduction_factor) == ("pareto_halving", 2)

    def test_resume_keeps_what_makes_trials_comparable(
        self, problems_of: Callable[..., list[Problem]], started: Path
    ) -> None:
        found = problems_of("--resume", "--seed", "9", "--num-trials", "50", "--rungs", "10", "20")
        assert ["seed" in found[0].rule, "rungs" in found[1].rule, len(found)] == [True, True, 2]
        assert "a resumed study must keep" in found[0].rule


class TestCommandLine:
    def test_help_names_every_field_with_its_description(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            load_config(["--help"])
        assert stopped.value.code == 0
        printed = " ".join(capsys.readouterr().out.split())
        for name, field in StudyConfig.model_fields.items():
            assert f"--{name.replace('_', '-')}" in printed
            assert field.description is not None
            assert " ".join(field.description.split()) in printed

    def test_help_says_what_the_end_of_the_time_budget_is_for_running_trials(self) -> None:
        assert "running ones end at their next report" in str(StudyConfig.model_fields["time_budget"].description)

    def test_help_and_dry_run_import_no_engine(self, workspace: Path) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
            "from tuning.config import load_config, render\n"
            "config, options = load_config(['--study', 'study.yaml', '--dry-run'])\n"
            "assert 'num_trials: ' in render(config)\n"
            "heavy = {'torch', 'ray', 'optuna', 'mlflow', 'pandas', 'diffusers'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=workspace, timeout=30)

    def test_the_embedded_study_breaks_no_rule(self) -> None:
        from tuning.checks import table as checks

        config = StudyConfig.model_validate(read_mapping(PROJECT_ROOT / "studies" / "mnist_tshirt.yaml"))
        values = {name: getattr(config, name) for name in StudyConfig.model_fields}
        assert checks.problems_of(values, checks.RELATIONS) == []

    def test_the_images_of_the_embedded_study_are_ones_that_are_loaded(self) -> None:
        from tuning.checks import table as checks

        study = read_mapping(PROJECT_ROOT / "studies" / "mnist_tshirt.yaml")
        values = checks.resolved_paths({name: study.get(name) for name in ("retain", "unseen", "forget")})
        encoders = {name: study[name] for name in ("descriptor", "features", "classifier", "workload")}
        assert checks.problems_of({**values, **checks.resolved_paths(encoders)}, checks.FILES) == []
