"""What is queued for MLflow: merged, kept on disk across processes, handed out in parts."""

import json
import logging
import math
from pathlib import Path

import pytest

from tuning.tracking.spool import Spool
from tuning.tracking.write import STUDY_RUN, Point, Write, merged


def test_merging_keeps_the_effect_and_the_times() -> None:
    first = Write("a", 1, params={"p": "1"}, tags={"t": "1"}, points=[Point("m", 1.0, 1, 1)], status="RUNNING")
    second = Write("a", 2, params={"p": "2"}, tags={"t": "2"}, points=[Point("m", 2.0, 2, 2)], status="FINISHED")
    other = Write(STUDY_RUN, 3, tags={"t": "3"})
    both, alone = merged([first, other, second])
    assert alone == other
    assert (both.time_ms, both.status, both.status_ms) == (1, "FINISHED", 2)
    assert (both.params, both.tags, len(both.points)) == ({"p": "1"}, {"t": "2"}, 2)


def test_the_spool_survives_its_process_and_a_torn_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "study" / "spool.jsonl"
    write = Write("a", 1, points=[Point("m", math.inf, 1, 1)], summaries={"s": 2.0}, texts={"f": "x\ny"})
    Spool(path).append(write)
    with path.open("a") as stream:
        stream.write('no write\n[]\n{}\n{"run": "b", "points": [1]}\n' + json.dumps({"run": "b"})[:-3])
    with caplog.at_level(logging.WARNING):
        spool = Spool(path)
        spool.append(Write("c", 2))
        assert spool.wait(0.1) == [write, Write("c", 2, points=[])]
    assert "a line that was torn" in caplog.text
    assert caplog.text.count("a line that is no write") == 4
    spool.done()
    assert not path.exists()
    assert spool.wait_until(lambda: False, 0.1)


def test_the_spool_is_handed_out_in_parts_and_what_is_done_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.tracking.spool.CUT_BYTES", 10_000)
    path = tmp_path / "spool.jsonl"
    spool, writes = Spool(path), [Write(f"{number:05d}", number, points=[]) for number in range(1200)]
    for write in writes:
        spool.append(write)
    whole = path.stat().st_size
    assert spool.wait(0.1) == spool.wait(0.1) == writes[:500], "a try that failed is made again"
    spool.done()
    assert path.stat().st_size == whole
    assert spool.wait(0.1) == writes[500:1000]
    spool.done()
    assert path.stat().st_size < whole / 4
    assert Spool(path).wait(0.1) == writes[1000:], "the file goes on without its process"
    assert spool.wait(0.1) == writes[1000:]
    spool.done()
    assert not path.exists()


def test_what_the_disk_refuses_is_kept_in_memory_and_written_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").write_text("no directory")
    spool = Spool(tmp_path / "full" / "spool.jsonl")
    first, second = Write("a", 1, points=[]), Write("b", 2, points=[])
    with caplog.at_level(logging.WARNING):
        spool.append(first)
    assert "held in memory only" in caplog.text
    assert spool.wait(0.1) == [first]
    spool.append(second)
    spool.done()
    assert spool.wait(0.1) == [second]
    (tmp_path / "full").unlink()
    spool.done()
    spool.append(first)
    assert Spool(tmp_path / "full" / "spool.jsonl").wait(0.1) == [first]
