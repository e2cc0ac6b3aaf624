"""Files of a study in an object store: an S3 API on loopback, spoken to as a real one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainable.depot import DELAYS, Depot, UnreachableError


@pytest.fixture
def nodes(s3: str, tmp_path: Path) -> tuple[Depot, Depot]:
    """Two nodes of a study with a name that no URL has."""
    return Depot(tmp_path / "one" / "a b ü", s3), Depot(tmp_path / "two" / "a b ü", s3)


def write(depot: Depot, name: str, content: str) -> Path:
    path = depot.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_what_one_node_hands_over_another_has_at_hand(nodes: tuple[Depot, Depot]) -> None:
    one, two = nodes
    path = write(one, "candidates/00001-25.safetensors", "weights")
    one.hand_over([path])
    assert not path.exists(), "a worker's disk would fill"
    with two.at_hand(two.root / "candidates" / path.name) as here:
        assert here.read_text() == "weights"
    assert not here.exists()
    assert two.entries(two.root / "candidates") == {path.name: False}


def test_folders_go_over_whole_and_are_removed_whole(nodes: tuple[Depot, Depot]) -> None:
    one, two = nodes
    write(one, "checkpoints/00001-25/unet/config.json", "{}")
    index = write(one, "checkpoints/00001-25/model_index.json", "{}")
    one.hand_over([index.parent])
    assert two.entries(two.root / "checkpoints") == {"00001-25": True}
    assert two.listing(two.root / "checkpoints") == ["00001-25/model_index.json", "00001-25/unet/config.json"]
    assert two.listing(two.root / "nothing") == []
    two.download(two.root / "checkpoints")
    assert (two.root / "checkpoints" / "00001-25" / "unet" / "config.json").read_text() == "{}"
    two.remove(two.root / "checkpoints" / "00001-25")
    two.remove(two.root / "checkpoints" / "00001-25")
    assert one.entries(one.root / "checkpoints") == {}
    assert two.entries(two.root / "nothing") == {}


def test_what_is_uploaded_again_is_replaced_and_what_is_here_is_kept(nodes: tuple[Depot, Depot]) -> None:
    one, two = nodes
    path = write(one, "reports.csv", "a\n")
    one.upload(path)
    path.write_text("a\nb\n")
    one.upload(path)
    two.download(two.root / "reports.csv")
    assert (two.root / "reports.csv").read_text() == "a\nb\n"
    with one.at_hand(path):
        pass
    assert path.exists()


def test_what_nobody_has_is_not_found(nodes: tuple[Depot, Depot], tmp_path: Path) -> None:
    for depot in (nodes[0], Depot(tmp_path / "shared")):
        with pytest.raises(FileNotFoundError), depot.at_hand(depot.root / "candidates" / "00009-25.safetensors"):
            pass


def test_a_store_that_does_not_answer_is_asked_again(
    nodes: tuple[Depot, Depot], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, waited = nodes[0], []
    monkeypatch.setattr("trainable.depot.time.sleep", waited.append)
    answers: list[object] = [OSError("away"), OSError("away"), "here"]

    def call() -> object:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert one._patiently(call) == "here"
    assert waited == list(DELAYS[:2])
    answers[:] = [OSError("away")] * (len(DELAYS) + 1)
    with pytest.raises(UnreachableError, match="cannot be reached: away"):
        one._patiently(call)
    assert not answers


def test_a_shared_directory_is_all_there_is_to_it(tmp_path: Path) -> None:
    depot = Depot(tmp_path / "study")
    path = write(depot, "candidates/00001-25.safetensors", "weights")
    depot.hand_over([path])
    with depot.at_hand(path) as here:
        assert here == path
    assert depot.entries(path.parent) == {path.name: False}
    assert depot.listing(depot.root) == [f"candidates/{path.name}"]
    assert depot.listing(depot.root / "nothing") == []
    depot.remove(path)
    assert not path.exists()
    assert depot.location == str(tmp_path / "study")


def test_a_store_that_is_not_there_is_named_without_its_key(s3: str, tmp_path: Path) -> None:
    depot = Depot(tmp_path / "study", "s3://no-such-bucket/lab")
    with pytest.raises(UnreachableError, match="s3://no-such-bucket/lab cannot be reached: there is no bucket"):
        depot.upload(write(depot, "study.yaml", "name: study\n"))
    with pytest.raises(UnreachableError, match="cannot be reached"):
        Depot(tmp_path / "study", "nonsense://bucket").entries(tmp_path / "study")
