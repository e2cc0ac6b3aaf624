"""The file of a certificate: one way to write it, and every change noticed."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

from analysis.certificates.document import AlteredError, Certificate, canonical, digest, number, plain, read

CONTENT = {"study": {"name": "tiny"}, "verdict": "é", "parts": [{"nll": 0.1, "none": math.nan, "low": -math.inf}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.json"
    path.write_text(Certificate(CONTENT, {"name": "page.html", "sha256": "0" * 64}).render(), encoding="utf-8")
    return path


def test_the_canonical_form_is_what_the_documentation_says() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": "é"}) == '{"a":"é","b":[1,2.5,null,true]}'.encode()
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()
    assert plain(CONTENT)["parts"][0] == {"nll": 0.1, "none": "nan", "low": "-inf"}
    assert [number(plain(value)) for value in (1.5, -math.inf)] == [1.5, -math.inf]
    assert math.isnan(number("nan")) and math.isnan(number(None)) and math.isnan(number("text"))  # noqa: PT018


def test_what_was_written_is_read_back(file: Path) -> None:
    found = read(file)
    assert found.content == plain(CONTENT)
    assert found.page["name"] == "page.html"
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["hashes"]["content"] == digest(plain(CONTENT))


def test_every_changed_byte_is_noticed(file: Path, tmp_path: Path) -> None:
    data, altered = file.read_bytes(), tmp_path / "altered.json"
    for place in range(len(data)):
        flipped = data[place] ^ (1 if place % 2 else 32)
        altered.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        with pytest.raises(AlteredError):
            read(altered)
    altered.write_bytes(data[:-1])
    with pytest.raises(AlteredError):
        read(altered)


def test_the_field_that_was_changed_is_named(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("tiny", "tidy"), encoding="utf-8")
    with pytest.raises(AlteredError, match=r"the hash of content\.study is") as refused:
        read(file)
    assert "content.verdict" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"content": 3}', '{"content": {}}', "[" * 100_000, "\x00", '{"a": 1e999}']
)
def test_what_is_no_certificate_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(AlteredError):
        read(path)


def test_a_layout_of_other_programs_is_refused_though_the_hashes_agree(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(AlteredError, match="is not laid out as it was written"):
        read(file)
