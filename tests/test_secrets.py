"""A study with secrets in its environment and an image that nobody may see: neither is in anything that it leaves.

One launch: the miniature text-to-image model, Optuna and MLflow on a real PostgreSQL that asks for a password.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import psycopg
import pytest
import yaml
from hiding import files_with, forms_of_picture, forms_of_text, pictures_below, rows_of
from hushed_study import ASSETS, HUSHED, PROMPTS
from PIL import Image

from benchmarks.postgresql import NoServerError, temporary_server
from tuning.record_tables import read_table

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Left:
    """What the study left, and what must not be in it.

    Attributes:
        folders: the storage path, Ray's sessions, and the launch's output.
        tables: of both databases.
        secrets: name → letters and digits of which the secret consists for the most part.
        forget: the forget image, uint8 (H, W, 3).
    """

    folders: tuple[Path, ...]
    tables: dict[str, bytes]
    secrets: dict[str, str]
    forget: np.ndarray


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    inputs, storage = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("storage")
    shutil.copy(ASSETS / "shirt.png", inputs / "hushed_shirt.png")
    entries = [{**PROMPTS, "image": "hushed_shirt.png"}]
    (inputs / "prompts.yaml").write_text(yaml.safe_dump(entries))
    study = {**HUSHED, "forget": [str(inputs / "hushed_shirt.png")], "prompts": str(inputs / "prompts.yaml")}
    (inputs / "study.yaml").write_text(yaml.safe_dump(study))
    names = ("PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")
    cores = {name: secrets.token_hex(12) for name in names}
    environment = {name: f"p:/{core}@%" for name, core in cores.items()}
    sessions = Path(tempfile.mkdtemp(prefix="ray-"))  # short: it holds sockets
    try:
        with pytest.MonkeyPatch.context() as patch, temporary_server(environment["PGPASSWORD"]) as url:
            patch.setenv("PGPASSWORD", environment["PGPASSWORD"])
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE optuna")
                connection.execute("CREATE DATABASE mlflow")
            optuna, mlflow = (url.replace("/postgres?", f"/{name}?") for name in ("optuna", "mlflow"))
            words = [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(inputs / "study.yaml")]
            words += ["--storage-path", str(storage), "--optuna-storage", optuna]
            words += ["--mlflow-tracking-uri", mlflow.replace("postgresql:", "postgresql+psycopg:")]
            own = {**os.environ, **environment, "RAY_TMPDIR": str(sessions), "MLFLOW_TRACKING_USERNAME": "somebody"}
            ended = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=storage, env=own)
            assert ended.returncode == 0, ended.stdout + ended.stderr
            (storage / "launch.log").write_text(ended.stdout + ended.stderr)
            tables = {
                f"{at.partition('?')[0]} {name}": rows for at in (optuna, mlflow) for name, rows in rows_of(at).items()
            }
        forget = np.array(Image.open(inputs / "hushed_shirt.png").convert("RGB"))
        yield Left((storage, sessions), tables, cores, forget)
    except NoServerError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(sessions, ignore_errors=True)


def tables_with(forms: dict[str, bytes], tables: dict[str, bytes]) -> list[str]:
    return [f"{table}: {name}" for table, rows in tables.items() for name, form in forms.items() if form in rows]


def test_the_study_used_what_it_was_to_keep(left: Left) -> None:
    """Otherwise the rest would say nothing."""
    [reports] = left.folders[0].glob("*/reports.csv")
    assert len(read_table(reports)) == 1
    assert any(rows for name, rows in left.tables.items() if name.endswith("/optuna trials"))
    for table in ("metrics", "datasets", "logged_models", "logged_model_tags"):
        assert any(rows for name, rows in left.tables.items() if name.endswith(f"/mlflow {table}"))
    [tags] = (rows for name, rows in left.tables.items() if name.endswith("/mlflow tags"))
    assert b"mlflow.note.content" in tags
    assert len(list(left.folders[0].glob("*/checkpoints/*/README.md"))) == 1
    assert list(left.folders[1].rglob("raylet.out"))


def test_no_secret_is_in_a_file_or_a_database(left: Left) -> None:
    forms = {f"{name}, {how}": form for name, core in left.secrets.items() for how, form in forms_of_text(core).items()}
    assert not files_with(forms, *left.folders)
    assert not tables_with(forms, left.tables)


def test_no_prompt_is_in_a_file_or_a_database(left: Left) -> None:
    for text in (PROMPTS["original"], PROMPTS["modified"]):
        forms = forms_of_text(text)
        assert not files_with(forms, *left.folders)
        assert not tables_with(forms, left.tables)


def test_no_forget_image_is_in_a_file_or_a_database(left: Left) -> None:
    forms = forms_of_picture(left.forget)
    assert not files_with(forms, *left.folders)
    assert not tables_with(forms, left.tables)


def test_no_picture_shows_the_forget_image(left: Left) -> None:
    """The model has memorised it and trains too little to forget it: six of eight samples are copies of it."""
    side, seen = len(left.forget), 0
    for path, picture in pictures_below(*left.folders):
        assert "untouched" not in path.name
        assert "denoisings" not in path.name
        if "samples" not in path.name:
            continue
        grid = picture[::2, ::2].astype(float)  # pictures are drawn at twice their size, two pixels apart
        for top, start in product(*(range(2, length - side, side + 2) for length in grid.shape[:2])):
            tile, seen = grid[top : top + side, start : start + side], seen + 1
            assert np.abs(tile - left.forget).mean() > 20, f"{path} at {top}, {start}"
    assert seen
