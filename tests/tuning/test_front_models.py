"""The front's models on disk and for MLflow, and the data sets of a study: what goes along, and what must not."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hiding import forms_of, forms_of_picture
from PIL import Image
from synthetic_study import make_config
from told_study import tell, write_told_study

from analysis.load import Study, load_study
from trainable.depot import Depot
from tuning.tracking.datasets import LARGEST, datasets_of
from tuning.tracking.front_models import front_models, write_cards
from tuning.tracking.spool import Spool
from tuning.tracking.write import Write


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_told_study(tmp_path / "runs" / "a study 図")


def test_every_member_s_folder_has_its_card(study: Study) -> None:
    gone = study.files.checkpoint(str(study.front["trial_id"].iloc[0]), int(study.front["step"].iloc[0]))
    for path in sorted(gone.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    gone.rmdir()
    cards = write_cards(study, study.config.depot)
    assert [*cards] == [*zip(study.front["trial_id"], study.front["step"], strict=True)]
    assert not gone.exists(), "no folder without a pipeline"
    for at, card in list(cards.items())[1:]:
        assert (study.files.checkpoint(*at) / "README.md").read_text(encoding="utf-8") == card


def test_models_carry_values_settings_and_as_much_weight_as_is_allowed(study: Study) -> None:
    cards = write_cards(study, study.config.depot)
    models = front_models(study, cards, study.config.depot)
    assert [(model.trial_id, model.step) for model in models] == [*cards]
    assert [model.tags["recommended"] for model in models].count("true") == 1
    first, row = models[0], study.front.iloc[0]
    assert first.name == f"a study 図-{row['trial_id']}-{row['step']}"
    assert first.metrics["front_sscd"] == row["sscd"]
    assert first.metrics["front_nll_stderr"] == row["nll_stderr"]
    assert first.params["lambd"] == str(row["lambd"])
    assert Path(first.folder or "").is_dir()
    assert first.tags["location"].endswith(row["checkpoint"])
    assert not first.note.startswith("---")
    assert {model.folder for model in front_models(study, cards, study.config.depot, most_bytes=2000)} == {None}


def test_where_an_object_store_has_the_pipelines_models_say_where(study: Study) -> None:
    cards = dict.fromkeys(zip(study.front["trial_id"], study.front["step"], strict=True), "card")
    models = front_models(study, cards, Depot(study.files.root, "s3://bucket/runs"))
    assert {model.folder for model in models} == {None}
    assert models[0].tags["location"].startswith("s3://bucket/runs/a study 図/checkpoints/")


def test_cards_go_to_an_object_store_and_leave_no_folder_that_counts_as_a_pipeline(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[Path, str] = {}
    names = {path.name: True for path in study.files.checkpoints.iterdir()}
    shutil.rmtree(study.files.checkpoints)
    monkeypatch.setattr(Depot, "entries", lambda self, folder: names)
    monkeypatch.setattr(Depot, "upload", lambda self, path: sent.update({path: path.read_text(encoding="utf-8")}))
    cards = write_cards(study, Depot(study.files.root, "s3://bucket/runs"))
    assert sent == {study.files.checkpoint(*at) / "README.md": card for at, card in cards.items()}
    assert not study.files.checkpoints.exists()


def test_a_front_without_members_has_no_models(study: Study) -> None:
    study.files.front.write_text(study.files.front.read_text(encoding="utf-8").splitlines()[0] + "\n")
    empty = load_study(study.files.root)
    assert write_cards(empty, empty.config.depot) == {}
    assert front_models(empty, {}, empty.config.depot) == []


def test_data_sets_have_a_digest_a_place_and_a_size(tmp_path: Path) -> None:
    forget, retain = tmp_path / "tshirt.png", tmp_path / "digits"
    forget.write_bytes(b"image")
    retain.mkdir()
    (retain / "1.png").write_bytes(b"one")
    config = make_config(forget=(str(forget),), retain=str(retain))
    kept, forgotten = datasets_of(config)
    assert (kept.name, kept.context, forgotten.name, forgotten.context) == ("digits", "retain", "tshirt.png", "forget")
    profile = json.loads(forgotten.profile)
    assert profile["sha256"] == hashlib.sha256(b"image").hexdigest()
    assert profile["sha256"].startswith(forgotten.digest)
    assert (profile["num_bytes"], json.loads(kept.profile)["num_files"]) == (5, 1)
    (retain / "2.png").write_bytes(b"two")
    again, _ = datasets_of(config)
    assert again.digest != kept.digest
    [several] = datasets_of(make_config(forget=(str(forget), str(forget)), retain="/not/there"))
    assert (several.name, json.loads(several.profile)["num_files"]) == ("2 images", 2)


def test_files_that_are_too_large_to_read_have_names_and_sizes(tmp_path: Path) -> None:
    with (tmp_path / "large.npz").open("wb") as stream:
        stream.truncate(LARGEST + 1)
    [found] = datasets_of(make_config(retain=str(tmp_path / "large.npz"), forget=("/not/there",)))
    assert json.loads(found.profile)["sha256_of"] == "names and sizes of the files"


def test_nothing_that_mlflow_is_told_shows_a_forget_image(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as pixels nor as the file, whatever wraps them; the study does not log forget images."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    [forget] = map(Path, study.config.forget)
    Image.fromarray(pixels).save(forget)
    told: list[Write] = []
    monkeypatch.setattr(Spool, "append", lambda self, write: told.append(write))
    tell(study, "http://127.0.0.1:9")
    assert any(write.models for write in told)
    assert any(write.datasets for write in told)
    text = repr(told).encode()
    assert hashlib.sha256(forget.read_bytes()).hexdigest().encode() in text
    sent = [Path(path) for write in told for path in [*write.artifacts, *write.files.values()]]
    sent += [path for write in told for model in write.models or () for path in Path(str(model.folder)).rglob("*")]
    contents = [text, *(path.read_bytes() for path in sent if path.is_file())]
    for form in [*forms_of_picture(pixels).values(), *forms_of(forget.read_bytes()[40:400]).values()]:
        assert not any(form in content for content in contents)
    assert not any(path.samefile(forget) for path in sent)
