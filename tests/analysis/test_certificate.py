"""Certificates of real models: who still knows the image is found out, and what is written can be checked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from real_study import NUM_UNSEEN
from safetensors.torch import load_file, save_file

from analysis.candidate_model import CandidateFiles, open_source
from analysis.certificate import main
from analysis.certificates.certifying import certify, order_of
from analysis.certificates.concluding import judged, together
from analysis.certificates.digests import weights_digest
from analysis.certificates.document import Certificate, read
from analysis.certificates.membership_statistics import rows_of_statistics
from analysis.certificates.values_verifying import values_checks
from analysis.certificates.verifying import conclusions_check
from analysis.load import StudyError, load_study
from analysis.member import find_member
from analysis.progress import Lines, Quiet
from diffusion.rng import derive_seed
from tuning.files import StudyFiles

pytestmark = pytest.mark.filterwarnings("ignore")
SEED = "5"


def run(*words: str, study: Path, output: Path | None = None) -> int:
    where = [] if output is None else ["--output", str(output)]
    return main([*words, "--storage-path", str(study.parent), *where, "--quiet"])


@pytest.fixture(scope="module")
def written(real_study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trial → the JSON file of its certificate: one that forgets, one that does not."""
    folder, found = tmp_path_factory.mktemp("certificates"), {}
    for trial in ("0", "1"):
        words = ("tiny", "--trial", trial, "--step", "24", "--seed", SEED)
        assert run(*words, study=real_study, output=folder) == 0
        found[trial] = folder / f"0000{trial}-24-00000005.json"
    return found


@pytest.fixture(scope="module")
def contents(written: Mapping[str, Path]) -> dict[str, Mapping[str, Any]]:
    return {trial: read(path).content for trial, path in written.items()}


def rule(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    [part] = content["parts"]
    [found] = [each for each in part["rules"] if each["name"] == name]
    return dict(found)


def test_naive_deletion_is_found_out_and_siss_is_not(contents: Mapping[str, Mapping[str, Any]]) -> None:
    """The miniature's certificate tells a model that still knows the checkerboard from one that does not."""
    assert rule(contents["1"], "membership")["outcome"] == "broken"
    assert contents["1"]["verdict"].startswith("Not forgotten")
    known = rule(contents["0"], "membership")
    assert known["outcome"] == "kept"
    assert min(known["numbers"]["p_values"]["unlearned"]["nll"]) > 0.5
    assert known["numbers"]["p_values"]["untouched"]["nll"] == [1 / (NUM_UNSEEN + 1)]
    assert known["numbers"]["num_unseen"] == NUM_UNSEEN


def test_models_are_measured_alike_and_the_baselines_do_not_depend_on_who_is_certified(
    contents: Mapping[str, Mapping[str, Any]],
) -> None:
    first, second = (contents[trial]["parts"][0] for trial in ("0", "1"))
    for model in ("untouched", "retrained"):
        assert first["metrics"][model]["nll"] == second["metrics"][model]["nll"]
        assert first["membership"]["statistics"]["nll"][model] == second["membership"]["statistics"]["nll"][model]
    assert first["metrics"]["unlearned"]["nll"] != second["metrics"]["unlearned"]["nll"]
    names = {"sscd", "nll", "fid", "inception_score", "membership_loss", "regeneration_rate", "nll_neighbours"}
    assert names <= set(first["metrics"]["unlearned"])
    kinds = {name: first["metrics"]["unlearned"][name]["interval"] for name in ("sscd", "nll", "membership_loss")}
    assert set(kinds.values()) == {"normal"}
    assert first["metrics"]["unlearned"]["regeneration_rate"]["interval"] == "own"


def test_seeds_are_fresh_and_recorded(contents: Mapping[str, Mapping[str, Any]], real_study: Path) -> None:
    seeds, study = contents["0"]["seeds"], load_study(real_study)
    assert seeds["seed"] == derive_seed(0, "certificate", 5)
    assert seeds["given"]
    used = {derive_seed(0, purpose) for purpose in ("evaluation", "final", "calibration")}
    assert seeds["seed"] not in used | set(study.reports["seed"])
    measured = contents["0"]["parts"][0]["metrics"]["untouched"]["nll"]["value"]
    assert measured != study.untouched["nll"]
    assert abs(measured - study.untouched["nll"]) < 1


def test_page_and_file_are_written_and_verified(
    written: Mapping[str, Path], real_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--verify", str(written["0"]), "--storage-path", str(real_study.parent), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "✓ forget images: is what was measured" in said
    assert "✓ unlearned model: is what was measured" in said
    assert main(["--verify", str(written["0"]), "--storage-path", str(written["0"].parent), "--quiet"]) == 0
    assert "– study:" in capsys.readouterr().out, "without the study the document alone is checked"
    page = written["0"].with_suffix(".html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http://www.w3.org", ""), "the page needs no network"
    assert read(written["0"]).page["name"] == "00000-24-00000005.html"


def test_the_same_seed_measures_the_same_again(
    written: Mapping[str, Path], real_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--verify", str(written["1"]), "--remeasure", "--storage-path", str(real_study.parent), "--quiet"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert re.search(r"✓ values of forget: all \d\d+ within tolerance", said)
    assert "✓ images compared with forget" in said
    assert "✓ forget images as decoded" in said
    assert "– claims" in said


def test_what_the_images_decode_to_and_how_metrics_are_called_is_looked_up_again(
    written: Mapping[str, Path], real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(json.dumps(read(written["1"]).content))
    for image in (content["asked"][0], content["parts"][0]["images"][0]):
        image["pixels_sha256"] = "f" * 64
    content["labels"]["fid"] = "FID as published"
    content["directions"]["fid"] = "maximize"
    changed = tmp_path / "changed.json"
    changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
    words = ["--verify", str(changed), "--storage-path", str(real_study.parent), "--quiet"]
    assert main(words) == 0
    assert "– values: nothing was measured again, nor images decoded" in capsys.readouterr().out
    assert main([*words, "--remeasure"]) == 1
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("✗")] == [
        "✗ forget images as decoded", "✗ labels", "✗ directions",
    ]  # fmt: skip


def test_what_was_changed_is_named_and_ends_with_1(
    written: Mapping[str, Path], real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = written["1"].read_text(encoding="utf-8")
    changed = tmp_path / "changed.json"
    changed.write_text(text.replace('"outcome": "broken"', '"outcome": "kept"', 1), encoding="utf-8")
    assert main(["--verify", str(changed)]) == 1
    assert "the hash of content.outcome is" in capsys.readouterr().out

    # Hashed anew by who changed it: then the conclusions do not follow, or the files are others.
    content = json.loads(json.dumps(read(written["1"]).content))
    content["parts"][0]["rules"][0]["outcome"] = "kept"
    changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
    assert main(["--verify", str(changed)]) == 1
    assert "✗ conclusions: parts[0].rules do not follow" in capsys.readouterr().out

    content = json.loads(json.dumps(read(written["1"]).content))
    content["models"]["unlearned"][0]["weights_sha256"] = "0" * 64
    changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
    assert main(["--verify", str(changed), "--storage-path", str(real_study.parent), "--quiet"]) == 1
    assert "✗ unlearned model: is not what was measured" in capsys.readouterr().out

    content = json.loads(json.dumps(read(written["1"]).content))
    content["study"]["constraints"] = []
    content["parts"][0] |= judged(content["parts"][0], ["forget"], [])
    content["outcome"], content["verdict"] = together(content["parts"])
    changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
    assert main(["--verify", str(changed), "--storage-path", str(real_study.parent), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "✓ conclusions" in said
    assert "✗ study: constraints is not as the study has it" in said

    # Images, names and seeds that only the study, or the images themselves, can tell.
    for path, value, said in (
        (("seeds", "seed"), 17, "✗ seed: does not follow"),
        (("measured_with", "num_images"), 10**6, "✗ fidelity"),
        (("asked", 0, "file_sha256"), "0" * 64, "✗ forget images"),
    ):
        content = json.loads(json.dumps(read(written["1"]).content))
        at = content
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
        changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
        assert main(["--verify", str(changed), "--storage-path", str(real_study.parent), "--quiet"]) == 1
        assert said in capsys.readouterr().out

    content["chosen"] = {}
    changed.write_text(Certificate(content, {}).render(), encoding="utf-8")
    assert main(["--verify", str(changed), "--storage-path", str(real_study.parent), "--quiet"]) == 1
    assert "is not laid out as a certificate's" in capsys.readouterr().out


def test_words_that_do_not_follow_are_noticed_too(contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Who reads a certificate reads its verdict, whatever outcome stands beside it."""
    assert conclusions_check(contents["1"]).holds
    for place in ("verdict", "finding"):
        content = json.loads(json.dumps(contents["1"]))
        forged = "No trace was found: every rule below is kept."
        if place == "verdict":
            content["verdict"] = content["parts"][0]["verdict"] = forged
        else:
            content["parts"][0]["rules"][0]["finding"] = forged
        assert conclusions_check(content).holds is False


def test_values_are_compared_in_both_directions_and_by_errors_measured_anew(
    contents: Mapping[str, Mapping[str, Any]],
) -> None:
    truth = contents["1"]["parts"]
    assert all(check.holds for check in values_checks(contents["1"], truth))
    for forge in (
        lambda metrics: metrics["fid"].update(value=0.5 * metrics["fid"]["value"], stderr=1000.0),
        lambda metrics: metrics["sscd"].update(stderr=1000.0),
        lambda metrics: metrics.pop("fid"),
        lambda metrics: metrics["fid"].pop("stderr"),
    ):
        content = json.loads(json.dumps(contents["1"]))
        forge(content["parts"][0]["metrics"]["unlearned"])
        assert [check.what for check in values_checks(content, truth) if not check.holds] == ["values of forget"]
    content = json.loads(json.dumps(contents["1"]))
    content["parts"][0]["membership"]["is_unseen"] = False
    found = [check.what for check in values_checks(content, truth) if not check.holds]
    assert found == ["images compared with forget"]


def test_a_certificate_takes_the_place_of_no_other(
    written: Mapping[str, Path], real_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = written["0"].read_bytes()
    assert (
        run("tiny", "--trial", "0", "--step", "24", "--seed", SEED, study=real_study, output=written["0"].parent) == 2
    )
    assert "a certificate must not take the place of another" in capsys.readouterr().err
    assert written["0"].read_bytes() == before


def test_a_page_that_was_changed_does_not_verify(
    written: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".json", ".html"):
        shutil.copy(written["0"].with_suffix(suffix), tmp_path)
    page = tmp_path / written["0"].with_suffix(".html").name
    page.write_text(page.read_text(encoding="utf-8").replace("broken", "kept"), encoding="utf-8")
    assert main(["--verify", str(tmp_path / written["0"].name), "--storage-path", str(tmp_path)]) == 1
    assert "✗ page" in capsys.readouterr().out


def test_a_model_that_was_changed_since_does_not_verify(
    written: Mapping[str, Path], real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(real_study, copy)
    file = StudyFiles(copy).candidates / "00001-24.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-3
    save_file(weights, file)
    words = ["--verify", str(written["1"]), "--storage-path", str(copy.parent), "--quiet"]
    assert main(words) == 1
    assert "✗ unlearned model" in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:-10])
    assert main(words) == 2
    assert "safetensors" in capsys.readouterr().err


def test_wrong_input_ends_with_2_and_a_remedy(
    real_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gone", study=real_study) == 2
    assert "a study must have a study.yaml" in capsys.readouterr().err
    assert run("tiny", "--trial", "9", "--step", "1", study=real_study) == 2
    assert "tiny has 00000; 00001" in capsys.readouterr().err
    assert run("tiny", "--image", "forget", study=real_study) == 2
    assert "leave --image out" in capsys.readouterr().err
    assert main(["--verify", str(tmp_path / "gone.json")]) == 2
    for words in ([], ["tiny", "--verify", "x"], ["tiny", "--seed", "-1"], ["tiny", "--num-unseen", "many"]):
        with pytest.raises(SystemExit) as refused:
            main(words)
        assert refused.value.code == 2


def test_a_study_without_its_weights_says_where_to_get_them(real_study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(real_study, copy, ignore=shutil.ignore_patterns("candidates"))
    study = load_study(copy)
    member = find_member(study, "1", 24)
    order = order_of(study, member, None, 1, most_unseen=5, inputs=None)
    with pytest.raises(StudyError, match="copy them from where the study was run, or name a member of the front"):
        certify(order, Quiet())


def test_a_front_member_is_taken_from_its_pipeline_where_the_candidates_are_gone(
    real_study: Path, contents: Mapping[str, Mapping[str, Any]], tmp_path: Path
) -> None:
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(real_study, copy, ignore=shutil.ignore_patterns("candidates"))
    study = load_study(copy)
    member = find_member(study)
    files = CandidateFiles.of(study, open_source(study.config), member.trial_id, member.step)
    with files.weights_at_hand(0) as weights:
        assert weights_digest([weights]) == contents["0"]["models"]["unlearned"][0]["weights_sha256"]


class Counting(Quiet):
    """Sums up what it is told."""

    foreseen, done = 0, 0

    def total(self, rows: int) -> None:
        self.foreseen = rows

    def advance(self, rows: int) -> None:
        self.done += rows


def test_a_forget_image_among_the_unseen_is_left_out_and_the_work_is_what_was_foreseen(
    tiny_study_file: Path, real_study: Path, tmp_path: Path
) -> None:
    forget = np.asarray(Image.open(tiny_study_file.parent / "forget.png"))
    np.savez(tmp_path / "unseen.npz", images=np.stack([forget, 255 - forget, forget // 2]))
    study, watch = load_study(real_study), Counting()
    order = order_of(study, find_member(study), None, 1, most_unseen=9, inputs=None)
    changes = {"unseen": str(tmp_path / "unseen.npz"), "retrained_model": None}
    config = order.config.model_copy(update=changes)
    membership = certify(replace(order, config=config), watch)["parts"][0]["membership"]
    assert (membership["num_unseen"], membership["num_copies_left_out"]) == (2, 1)
    assert watch.done == pytest.approx(watch.foreseen, rel=0.1)
    assert rows_of_statistics(config, 2, 3) == 3 * (2 * 3 * 16 + 4 * 4)


def test_the_remaining_time_is_told_in_lines() -> None:
    class Log:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def print(self, text: str, **_: object) -> None:
            self.lines.append(text)

    log, now = Log(), [0.0]
    lines = Lines(log, clock=lambda: now[0])  # type: ignore[arg-type]
    lines.total(1000)
    lines.stage("measure the untouched model")
    now[0] = 10.0
    lines.advance(100)
    now[0] = 40.0
    lines.advance(100)
    assert log.lines == ["measure the untouched model", "measure the untouched model: 20% done, about 4 min 00 s left"]
