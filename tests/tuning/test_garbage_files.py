"""Whatever lies at the end of ``--study``, as processes: a clean error, and nothing done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_study import write_study

from tuning.paths import PROJECT_ROOT

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path)


def directory(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def added(text: str) -> Callable[[Path], None]:
    """A good study file with something more in it."""
    return lambda path: path.write_text((path.parent / "study.yaml").read_text() + text) and None


CASES: dict[str, tuple[Callable[[Path], None] | None, list[str]]] = {
    "a pipe": (pipe, []),
    "a link to itself": (loop, []),
    "a directory": (directory, []),
    "a device without end": (device, []),
    "nothing": (None, []),
    "an empty file": (content(b""), []),
    "bytes": (content(bytes(range(256)) * 64), []),
    "zero bytes": (content(bytes(4096)), []),
    "UTF-16": (content("name: x\n".encode("utf-16")), []),
    "a BOM and CRLF, and a wrong key": (content(b"\xef\xbb\xbfname: x\r\nnmae: y\r\n"), []),
    "a file of two megabytes": (content(b"# padding\n" * 200_000 + b"name: x\n"), []),
    "an exponential bomb": (content(BOMB.encode()), []),
    "an alias to itself": (content(b"a: &a [*a]\n"), []),
    "a hundred thousand keys": (content("".join(f"k{n}:\n" for n in range(100_000)).encode()), []),
    "as many problems in one list": (added("constraints: [" + "x, " * 100_000 + "]\n"), []),
    "lists in lists": (content(b"name: " + b"[" * 100_000), []),
    "a thousand lists": (added("warm_start: " + "[" * 150 + "]" * 150 + "\n"), []),
    "an integer of a million digits": (added("num_trials: 0x" + "f" * 500_000 + "\n"), []),
    "an object to be made": (added("x: !!python/object/apply:os.system [touch ran]\n"), []),
    "a repeated key": (added("name: again\n"), []),
    "numbers that are none": (added("ideal: {sscd: .nan, nll: .inf}\n"), ["--ideal", "sscd=nan"]),
    "flags twice, with empty words": (added(""), ["--name", "a", "--name", "b", "--name", "", "--num-trials", ""]),
    "words of no flag": (added(""), ["", "--", "-", "---", "--=", "=", "-1"]),
    "bytes that are no text": (added(""), ["--name", "\udcff\udcfe", "--model", "\udcff", "--seed", "١٢٣٤x"]),
    "pictures that are pipes": (
        added(""),
        ["--forget", "pipe", "--retain", "pipe", "--prompts", "pipe", "--model", "pipe"],
    ),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[subprocess.CompletedProcess[str], bool]]:
    """Case → its process, and whether it left its directory as it was; two at a time."""

    def run(name: str) -> tuple[subprocess.CompletedProcess[str], bool]:
        make, flags = CASES[name]
        home = tmp_path_factory.mktemp("case")
        write_study(home)
        os.mkfifo(home / "pipe")
        if make is not None:
            make(home / "given.yaml")
        before = sorted(home.rglob("*"))
        words = [sys.executable, str(PROJECT_ROOT / "tune_unlearning.py"), "--study", "given.yaml", *flags]
        process = subprocess.run(words, capture_output=True, text=True, cwd=home, timeout=120)
        return process, sorted(home.rglob("*")) == before

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_clean_error_and_nothing_done(
    ended: dict[str, tuple[subprocess.CompletedProcess[str], bool]], name: str
) -> None:
    process, is_untouched = ended[name]
    assert process.returncode == 2, process.stderr
    assert is_untouched
    assert process.stdout == ""
    head, *lines = process.stderr.splitlines()
    assert head.endswith("nothing was started or written.")
    assert "Traceback" not in process.stderr
    assert all(", but got " in line and ": " in line for line in lines if line.startswith("  1."))
    assert len(process.stderr) < 100_000
