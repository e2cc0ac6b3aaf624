"""What is read off a study's directory: the command line, pictures and the report, in every state a study can be in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_study import CONSTRAINTS, OBJECTIVES, RETRAINED, UNTOUCHED, make_repeated_reports

from analysis.front import hypervolume, pareto_front
from analysis.front_command import main as front_main
from analysis.load import StudyError, load_study
from analysis.scene import compose

StudyMaker = Callable[..., Path]


def add_to_baseline(root: Path, **entries: object) -> None:
    path = root / "baseline.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


class TestLoad:
    def test_a_whole_study(self, make_study: StudyMaker) -> None:
        study = load_study(make_study())
        assert study.name == "synthetic"
        assert study.untouched == UNTOUCHED
        assert study.ideal == RETRAINED
        assert study.label("fid") == "FID (digit features)"
        assert study.reports["trial_id"].iloc[0] == "00000"
        assert study.reports["feasible"].dtype == bool
        assert study.is_finished

    def test_a_study_that_just_began(self, make_study: StudyMaker) -> None:
        root = make_study()
        for path in (*root.glob("*.csv"), root / "baseline.json"):
            path.unlink()
        study = load_study(root)
        assert study.reports.empty
        assert study.untouched == {}
        assert study.ideal is None

    def test_without_a_retrained_model_the_ideal_is_no_resemblance_and_the_nll_of_unseen_images(
        self, make_study: StudyMaker
    ) -> None:
        root = make_study(retrained=False)
        assert load_study(root).ideal is None
        add_to_baseline(root, unseen={"nll": {"value": 4.6, "stderr": 0.1, "num_samples": 8}})
        assert load_study(root).ideal == {"sscd": 0.0, "nll": 4.6}
        add_to_baseline(root, unseen={"nll": {"value": 3.2, "stderr": 0.1, "num_samples": 8}})
        assert load_study(root).ideal is None, "no better than the untouched model"

    def test_reports_are_judged_by_the_untouched_model_as_trials_measure_it(self, make_study: StudyMaker) -> None:
        root = make_study()
        as_trials = {name: {"value": value, "stderr": 0, "num_samples": 1} for name, value in UNTOUCHED.items()}
        add_to_baseline(root, untouched_search={**as_trials, "fid": {"value": 30.0, "stderr": 0, "num_samples": 1}})
        study = load_study(root)
        assert (study.search_reference["fid"], study.untouched["fid"]) == (30.0, 16.0)
        assert study.member_reference == study.untouched
        assert len(compose(study).feasible) == int((study.reports["fid"] <= 36.0).sum())
        (root / "front.csv").unlink()
        assert load_study(root).member_reference["fid"] == 30.0

    def test_what_cannot_be_read(self, make_study: StudyMaker, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=r"must have a study.yaml, but .*nowhere has none"):
            load_study(tmp_path / "nowhere")
        root = make_study()
        (root / "baseline.json").write_text("[1]")
        with pytest.raises(StudyError, match=r"baseline.json must map"):
            load_study(root)
        (root / "study.yaml").write_text("name: [")
        with pytest.raises(StudyError, match=r"study.yaml must be the configuration"):
            load_study(root)


class TestFrontCommand:
    def run(self, root: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
        status = front_main([root.name, "--storage-path", str(root.parent), "--width", "200", *flags])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    def test_its_own_bound(self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_study()
        status, out, _ = self.run(root, capsys)
        reports = load_study(root).reports
        front = pareto_front(reports, OBJECTIVES, CONSTRAINTS, UNTOUCHED)
        assert status == 0
        assert f"under fid <= 1.2x: {len(front)} of 80 reports" in out
        assert all(trial in out for trial in front["trial_id"])
        assert f"Hypervolume: {hypervolume(front, OBJECTIVES, UNTOUCHED, RETRAINED):.3f}" in out
        assert "re-measured" in out
        assert out.count("★") == 2, "one member and the legend"

    def test_repeated_settings_are_one_point_and_found_again_in_the_front_that_was_re_measured(
        self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = make_study(make_repeated_reports(20, 3), repeats=3)
        taken = load_study(root).front.query("num_repeats == 3").iloc[0]
        number = f"{int(taken['trial_id']) + 40:05d}"  # its third run is the one that is taken home
        lines = (root / "front.csv").read_text().replace(f"\n{taken['trial_id']},", f"\n{number},")
        (root / "front.csv").write_text(lines.replace(f"checkpoints/{taken['trial_id']}-", f"checkpoints/{number}-"))
        status, out, _ = self.run(root, capsys)
        assert status == 0
        assert "of 80 points, means over repeats" in out
        lines_of = [line.split() for line in out.splitlines() if taken["trial_id"] in line]
        assert [line[line.index(taken["trial_id"]) + 6] for line in lines_of if str(taken["step"]) in line] == ["3"]
        assert f"{taken['sscd']:.4g} ± 0.01" in out

    def test_another_bound_and_no_file_written(
        self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = make_study()
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        status, out, _ = self.run(root, capsys, "--constraint", "fid <= 1.05x", "--constraint", "nll >= 3.4")
        assert status == 0
        assert "fid <= 1.05x and nll >= 3.4" in out
        assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before

    def test_nothing_feasible_says_how_far(self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_study()
        status, out, _ = self.run(root, capsys, "--constraint", "fid <= 0.5x")
        assert status == 0
        nearest = load_study(root).reports["fid"].min()
        assert (
            f"{100 * (nearest / 8 - 1):.0f}% beyond (FID (digit features) {nearest:.4g}, bound fid <= 0.5x, which is 8)"
            in out
        )

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--constraint", "fid < 2"], "a constraint must read"),
            (["--constraint", "kid <= 1"], "metric that the study measured"),
            (["--constraint", "lambd <= 1x"], "relative bound needs the untouched model's value"),
        ],
    )
    def test_bounds_that_cannot_be(
        self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
    ) -> None:
        status, out, err = self.run(make_study(), capsys, *flags)
        assert (status, out) == (2, "")
        assert message in err

    def test_no_study_and_no_reports(self, make_study: StudyMaker, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_study()
        status, _, err = self.run(root.with_name("other"), capsys)
        assert status == 2
        assert "check the name" in err
        (root / "reports.csv").unlink()
        status, _, err = self.run(root, capsys)
        assert status == 2
        assert "wait for the first trial" in err
