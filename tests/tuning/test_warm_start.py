"""A search that begins with what another study knows: what is written down, tried first, and seen by the sampler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from other_study import make_config, random_trials, write_other
from searches import DEFAULTS, make_search, run_all, run_trial, settings_of, told

from analysis.load import StudyError
from search_spaces import space_of
from tuning import warm_start
from tuning.config import ConfigError, Options, Problem, StudyConfig, render, to_yaml
from tuning.files import StudyFiles
from tuning.judging import Goals
from tuning.known_trials import known_trials
from tuning.search import starts
from tuning.trial_order import starting_points

Load = Callable[..., tuple[StudyConfig, Options]]
GOALS = Goals(DEFAULTS["objectives"], DEFAULTS["constraints"], DEFAULTS["baseline"], DEFAULTS["ideal"])


class Screen:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_other(tmp_path / "other", random_trials(12), front=(4, 0))


def study_after(other: Path, **changes: Any) -> StudyConfig:
    return make_config(other.parent / "mine", warm_start=(str(other),), **changes)


def begin(config: StudyConfig) -> list[str]:
    screen = Screen()
    warm_start.begin(config, StudyFiles(config.root), screen)
    return screen.messages


class TestFile:
    def test_what_is_taken_is_written_down_and_said(self, other: Path) -> None:
        config = study_after(other)
        taken = warm_start.taken_by(config)
        assert begin(config) == [
            f"warm start from {other}: 12 trials known, none left out; 2 settings of its front to try first"
        ]
        assert warm_start.load(StudyFiles(config.root)) == taken
        data = json.loads((config.root / "warm_start.json").read_text())
        assert len(data["studies"][0]["trials"]) == 12

    def test_a_resumed_study_knows_what_it_knew(self, other: Path) -> None:
        """Whether the other study has grown or gone meanwhile."""
        config = study_after(other)
        said, taken = begin(config), warm_start.taken_by(config)
        write_other(other, random_trials(15, seed=9), front=(1, 2))
        assert warm_start.taken_by(config) == taken
        shutil.rmtree(other)
        content = (config.root / "warm_start.json").read_bytes()
        assert begin(config) == said
        assert warm_start.taken_by(config) == taken
        assert (config.root / "warm_start.json").read_bytes() == content

    def test_a_study_that_begins_with_none_writes_nothing(self, other: Path) -> None:
        config = make_config(other.parent / "mine")
        assert begin(config) == []
        assert not config.root.exists()

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"studies": [{"study": "x"}]}', '{"studies": [3]}'])
    def test_a_file_that_the_study_did_not_write_is_refused(self, other: Path, content: str) -> None:
        config = study_after(other)
        config.root.mkdir()
        (config.root / "warm_start.json").write_text(content)
        with pytest.raises(StudyError, match="must be what the study wrote"):
            warm_start.taken_by(config)

    def test_several_studies_in_their_order(self, other: Path) -> None:
        second = write_other(other.parent / "second", random_trials(3, seed=4), front=(1,))
        config = make_config(other.parent / "mine", warm_start=(str(second), str(other)))
        assert [len(entry.trials) for entry in warm_start.taken_by(config)] == [3, 12]
        assert [entry["method"] for entry in starts(config, warm_start.taken_by(config)) or ()][:3] == [
            "erasediff",
            "erasediff",
            "siss",
        ]


class TestWhatIsTriedFirst:
    def test_the_front_before_the_published_settings(self, other: Path) -> None:
        config = study_after(other)
        first = starts(config, warm_start.taken_by(config)) or []
        assert [entry["method"] for entry in first[:5]] == ["erasediff", "siss", "siss", "erasediff", "naive_deletion"]
        assert len(first) == 2 + sum(len(space_of(method).published) for method in config.methods)
        assert first[1]["lambd"] == random_trials(12)[0]["settings"]["lambd"]
        assert first[2] == {"method": "siss", "lambd": 0.5, "scaling_norm_ratio": 0.1}

    def test_the_users_own_before_the_front(self, other: Path) -> None:
        config = study_after(other, enqueue=({"method": "siss", "lambd": 0.75},))
        first = starts(config, warm_start.taken_by(config)) or []
        assert [entry["method"] for entry in first] == ["siss", "erasediff", "siss"]
        assert first[0] == {"method": "siss", "lambd": 0.75}

    def test_without_a_front_it_is_as_ever(self, other: Path) -> None:
        write_other(other, random_trials(3), front=())
        config = study_after(other)
        assert starts(config, warm_start.taken_by(config)) is None

    def test_equal_settings_are_tried_once(self, other: Path) -> None:
        """Of a front member that is an author's setting, or the user's own by its product."""
        trials = random_trials(12)
        trials[0]["settings"] = {"lambd": 0.5, "scaling_norm": 5.0, "scaling_norm_ratio": 0.1}
        write_other(other, trials, front=(0, 3))
        config = study_after(other)
        spaces, calibration = [space_of(method) for method in config.methods], {"retain_gradient_norm": 200.0}
        settings = starts(config, warm_start.taken_by(config)) or []
        planned = [start for start in starting_points(spaces, settings, calibration, {}) if start.method == "siss"]
        assert len(planned) == 4  # three of the authors', of which the front has one, and the front's other
        assert planned[0].params == {"siss.lambd": 0.5, "siss.scaling_norm_ratio": 0.1}
        own = study_after(other, enqueue=({"method": "siss", "lambd": 0.5, "scaling_norm": 20.0},))
        settings = starts(own, warm_start.taken_by(own)) or []
        planned = [start for start in starting_points(spaces, settings, calibration, {}) if start.method == "siss"]
        assert len(planned) == 2


@pytest.fixture
def known(other: Path) -> list[FrozenTrial]:
    write_other(other, random_trials(60, seed=3))
    transfers = warm_start.taken_by(study_after(other))
    methods = DEFAULTS["methods"]
    return known_trials(transfers, GOALS, [space_of(method) for method in methods], {})


@pytest.mark.usefixtures("without_sync")
class TestSearch:
    def test_known_trials_inform_the_sampler(self, tmp_path: Path, known: list[FrozenTrial]) -> None:
        """What is given is tried alike, with the same seeds; what is suggested differs."""
        plain = run_all(make_search(tmp_path / "plain"))
        informed = run_all(make_search(tmp_path / "informed", known=known))
        given = [config for config in plain if settings_of(config) in list(map(settings_of, informed))]
        assert len(given) >= 9
        assert plain[:9] == informed[:9]
        assert plain[9:] != informed[9:]

    def test_they_take_no_slot_no_number_and_are_in_no_storage(self, tmp_path: Path, known: list[FrozenTrial]) -> None:
        search = make_search(tmp_path, known=known)
        configs = run_all(search)
        assert [config["trial_id"] for config in configs] == [f"{number:05d}" for number in range(12)]
        assert len(search.study.get_trials()) == 12
        assert all("known_from" not in told(search, config["trial_id"]).user_attrs for config in configs)
        assert len(make_search(tmp_path).study.get_trials()) == 12

    def test_a_resumed_search_suggests_what_the_uninterrupted_one_did(
        self, tmp_path: Path, known: list[FrozenTrial]
    ) -> None:
        whole = run_all(make_search(tmp_path / "whole", known=known))
        parts: list[dict[str, Any]] = []
        for _ in whole:
            config = run_trial(make_search(tmp_path / "parts", known=known))
            assert config is not None
            parts.append(config)
        assert parts == whole

    def test_suggestions_come_from_where_the_other_study_found_the_best(self, tmp_path: Path) -> None:
        """60 trials say that lambd near 0.9 is best; ten suggestions of a fresh study go there."""
        trials = [trial for trial in random_trials(180, seed=5) if trial["method"] == "siss"]
        for trial in trials:
            near = 1 - abs(trial["settings"]["lambd"] - 0.9)
            for report in trial["reports"]:
                report |= {"sscd": 0.9 - 0.7 * near, "nll": 3 + 2 * near, "fid": 9.0}
        other = write_other(tmp_path / "other", trials)
        transfers = warm_start.taken_by(make_config(tmp_path / "mine", warm_start=(str(other),)))
        known = known_trials(transfers, GOALS, [space_of("siss")], {})
        more: dict[str, Any] = {"methods": ("siss",), "enqueue": (), "num_trials": 10}
        informed = run_all(make_search(tmp_path / "informed", known=known, **more))
        plain = run_all(make_search(tmp_path / "plain", **more))
        distance = [sum(abs(config["lambd"] - 0.9) for config in configs) / 10 for configs in (informed, plain)]
        assert distance[0] < 0.5 * distance[1]


class TestConfiguration:
    """What is refused, with exit status 2, before anything is written."""

    @pytest.fixture
    def finished(self, workspace: Path) -> Path:
        return write_other(workspace / "runs" / "finished", random_trials(6), front=(0,))

    def test_a_study_is_named_by_its_name_or_its_directory(self, load: Load, finished: Path, workspace: Path) -> None:
        shutil.copytree(finished, workspace / "elsewhere" / "copy")
        for given, root in (
            ("finished", finished),
            ("runs/finished", finished),
            (str(finished), finished),
            ("elsewhere/copy", workspace / "elsewhere" / "copy"),
        ):
            assert load("--warm-start", given)[0].warm_start == (str(root),)

    def test_a_dry_run_says_what_would_be_taken(self, load: Load, finished: Path) -> None:
        text = render(load("--warm-start", "finished")[0])
        assert (
            f"# Warm start from {finished}: 6 trials known, none left out; 1 setting of its front to try first." in text
        )
        assert not (finished.parent / "tshirt").exists()

    @pytest.mark.parametrize(
        ("flags", "rule", "value", "remedy"),
        [
            (["nowhere"], "studies that can be read", "runs/nowhere, which has no study.yaml", "--storage-path"),
            (["/no/such/place"], "studies that can be read", "/no/such/place, which", "check the name"),
            (["s3://bucket/study"], "on this machine", "s3://bucket/study", "copy study.yaml"),
            (["tshirt"], "other studies than the one that is started", "runs/tshirt", "--resume"),
            (["finished", "runs/finished"], "every study once", "finished", "repeated"),
            (["finished", "--objectives", "minimize sscd", "minimize nll"], "same objectives", "minimize nll", "--obj"),
            (["finished", "--methods", "neggrad"], "a finished trial", "which is not searched here", "methods"),
            (["finished", "--fix", "lambd=0.111", "--methods", "siss"], "a finished trial", "fixed here", "ranges"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_one_mistake(
        self,
        finished: Path,
        problems_of: Callable[..., list[Problem]],
        flags: list[str],
        rule: str,
        value: str,
        remedy: str,
    ) -> None:
        (problem,) = problems_of("--warm-start", *flags)
        assert rule in problem.rule
        assert value in str(problem.value)
        assert remedy in problem.remedy

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("study.yaml", "name: [torn"),
            ("study.yaml", "colour: red\n"),
            ("baseline.json", '{"untouched": {"sscd": {"val'),
            ("baseline.json", '{"untouched": {"sscd": {"value": 0.9}}}'),
            ("trials.csv", "trial_id,state\n00000,COMPLETE\n"),
            ("reports.csv", "trial_id,method,step,rung\n00000,siss\n00001,siss,10,0\n"),
        ],
    )
    def test_a_study_that_cannot_be_read(
        self, finished: Path, problems_of: Callable[..., list[Problem]], name: str, content: str
    ) -> None:
        (finished / name).write_text(content)
        (problem,) = problems_of("--warm-start", "finished")
        assert problem.rule == "warm_start must name studies that can be read"
        assert name in str(problem.value)

    def test_a_last_row_that_was_torn_was_never_acknowledged(self, load: Load, finished: Path) -> None:
        with (finished / "reports.csv").open("a") as stream:
            stream.write("00005,naive")
        assert load("--warm-start", "finished")[0].warm_start == (str(finished),)

    def test_a_study_without_a_finished_trial(self, workspace: Path, problems_of: Any) -> None:
        write_other(workspace / "runs" / "failed", [{**trial, "state": "FAIL"} for trial in random_trials(2)])
        (problem,) = problems_of("--warm-start", "failed")
        assert "a finished trial" in problem.rule
        assert "2 left out (2 failed)" in str(problem.value)

    def test_all_mistakes_at_once(self, finished: Path, problems_of: Callable[..., list[Problem]]) -> None:
        flags = ("s3://bucket/study", "nowhere", "tshirt", "finished")
        goals = ("--objectives", "minimize sscd", "--num-trials", "0", "--methods", "sis")
        found = str(ConfigError(problems_of("--warm-start", *flags, *goals)))
        for part in ("s3://bucket/study", "nowhere", "runs/tshirt", "same objectives", "num_trials", "'siss'"):
            assert part in found

    def test_a_resumed_study_keeps_it_and_needs_its_own_file_only(
        self, load: Load, finished: Path, workspace: Path, problems_of: Callable[..., list[Problem]]
    ) -> None:
        config, _ = load("--warm-start", "finished")
        config.root.mkdir()
        (config.root / "study.yaml").write_text(to_yaml(config))
        warm_start.begin(config, StudyFiles(config.root), Screen())
        shutil.rmtree(finished)
        resumed, _ = load("--resume", "--warm-start", "finished")
        assert resumed.warm_start == config.warm_start
        assert load("--resume")[0].warm_start == config.warm_start
        (problem,) = problems_of("--resume", "--warm-start", "none")
        assert "a resumed study must keep warm_start" in problem.rule
        (config.root / "trials.csv").write_text("trial_id,state,reason,method\n")
        (config.root / "warm_start.json").unlink()
        (problem,) = problems_of("--resume", "--warm-start", "finished")
        assert "must know what it took when it began" in problem.rule
        (config.root / "warm_start.json").write_text("{")
        (problem,) = problems_of("--resume", "--warm-start", "finished")
        assert "must know what it took when it began" in problem.rule
