"""Repositories of the hub, from a server that speaks its protocol: weights without code, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from fetch_assets_server import File, Server, serving
from rich.console import Console
from safetensors.torch import load_file, save

from scripts.fetch_lib.display import Display, Meter
from scripts.fetch_lib.errors import FetchError
from scripts.fetch_lib.fetch import Fetcher
from scripts.fetch_lib.manifest import HubRepo, PickledWeights
from trainable.workloads.unconditional import load_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TENSORS = {"conv.weight": torch.arange(12.0).reshape(3, 4), "step": torch.tensor(7)}
WEIGHTS = save(TENSORS)
PICKLE = PickledWeights("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors")
REPO = HubRepo("owner/model", COMMIT, "model", PICKLE)


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, nothing of the user's own cache, and a token that must not get out."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def pickled(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def publish(server: Server, **files: bytes) -> None:
    """A repository of the given files; of large ones, as on the hub, the listing has the SHA-256."""
    listing = []
    for name, content in files.items():
        large = name.endswith(("safetensors", "bin"))
        sha256 = hashlib.sha256(content).hexdigest()
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "path": name, "size": len(content), "oid": oid}
        if large:
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
        listing.append(entry)
        etag, headers = sha256 if large else oid, {"X-Repo-Commit": COMMIT}
        server.files[f"/owner/model/resolve/{COMMIT}/{name}"] = File(content, etag=f'"{etag}"', headers=headers)
    server.files[f"/api/models/owner/model/tree/{COMMIT}"] = File(
        json.dumps(listing).encode(), etag=None, headers={"Content-Type": "application/json"}
    )


def fetch(server: Server, folder: Path, repo: HubRepo = REPO) -> str:
    out = io.StringIO()
    Fetcher(folder, Display(Console(file=out)), server.url).fetch(repo)
    return out.getvalue()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_weights_without_code_are_fetched_once(server: Server, tmp_path: Path) -> None:
    publish(
        server,
        **{
            "model_index.json": b"{}",
            "merges.txt": b"a b",
            "README.md": b"read",
            "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
            "unet/diffusion_pytorch_model.fp16.safetensors": WEIGHTS,
            "unet/diffusion_pytorch_model.non_ema.safetensors": WEIGHTS,
            "unet/diffusion_pytorch_model.bin": b"never",
            "loader.py": b"raise SystemExit",
        },
    )
    assert "3 files" in fetch(server, tmp_path / "out")
    assert names(tmp_path / "out") == {
        "model.lock.json",
        "model/model_index.json",
        "model/merges.txt",
        "model/unet/diffusion_pytorch_model.safetensors",
    }
    assert (tmp_path / "out/model/unet/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    asked = {request.path for request in server.requests}
    assert not [path for path in asked if path.endswith((".bin", ".py", ".md")) or "fp16" in path]
    assert not [request for request in server.requests if "authorization" in request.headers], "a mirror gets no token"

    server.requests.clear()
    assert "nothing to do" in fetch(server, tmp_path / "out")
    assert server.requests == []


def test_pickled_weights_are_converted_and_dropped(server: Server, tmp_path: Path) -> None:
    publish(server, **{"model_index.json": b"{}", PICKLE.name: pickled(TENSORS)})
    fetch(server, tmp_path / "out")
    assert names(tmp_path / "out") == {"model.lock.json", "model/model_index.json", f"model/{PICKLE.becomes}"}
    read = load_file(tmp_path / "out/model" / PICKLE.becomes)
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)
    assert "nothing to do" in fetch(server, tmp_path / "out")


def test_a_converted_model_loads_as_the_workload_loads_it(server: Server, tmp_path: Path) -> None:
    """As `google/ddpm-celebahq-256` is laid out: network and scheduler beside the index, weights as a pickle."""
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    unet.save_config(tmp_path / "made")
    DDPMScheduler().save_config(tmp_path / "made")
    index = {"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"]}
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    files["model_index.json"] = json.dumps(index | {"unet": ["diffusers", "UNet2DModel"]}).encode()
    files["diffusion_pytorch_model.bin"] = pickled(unet.state_dict())
    publish(server, **files)
    weights = PickledWeights("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors")
    fetch(server, tmp_path / "out", HubRepo("owner/model", COMMIT, "model", weights))
    read = load_pipeline(str(tmp_path / "out/model")).unet.state_dict()
    for name, tensor in unet.state_dict().items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


class Evil:
    """Makes a file when it is read by `pickle.load`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "make",
    [
        lambda path: pickle.dumps(Evil(path)),
        lambda path: pickled({"a": Evil(path)}),
        lambda _: pickled([1, 2]),
        lambda _: b"no pickle",
    ],
    ids=["plain", "nested", "list", "none"],
)
def test_a_pickle_runs_no_code(server: Server, tmp_path: Path, make: Callable[[Path], bytes]) -> None:
    publish(server, **{"model_index.json": b"{}", PICKLE.name: make(tmp_path / "evil")})
    with pytest.raises(FetchError, match="pickled weights must be tensors by name"):
        fetch(server, tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "out/model").exists()


def test_a_pickle_of_another_digest_is_not_read(server: Server, tmp_path: Path) -> None:
    publish(server, **{"model_index.json": b"{}", PICKLE.name: pickled(TENSORS)})
    repo = HubRepo("owner/model", COMMIT, "model", PickledWeights(PICKLE.name, PICKLE.becomes, "0" * 64))
    with pytest.raises(FetchError, match=f"must have .* bytes with the digest {'0' * 64}, but got"):
        fetch(server, tmp_path / "out", repo)
    assert not (tmp_path / "out/model").exists()


@pytest.mark.parametrize("name", ["unet/diffusion_pytorch_model.safetensors", "model_index.json"])
def test_a_file_that_differs_from_the_listing_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    publish(server, **{"model_index.json": b'{"a": 1}', "unet/diffusion_pytorch_model.safetensors": WEIGHTS})
    file = server.files[f"/owner/model/resolve/{COMMIT}/{name}"]
    good, file.content = file.content, file.content[:-1] + b"?"
    with pytest.raises(FetchError, match=f"{Path(name).name} must have .* it was removed"):
        fetch(server, tmp_path / "out")
    assert not (tmp_path / "out/model").exists()
    file.content = good
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out/model" / name).read_bytes() == good


def test_the_bar_reaches_the_size_of_what_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []
    monkeypatch.setattr(Meter, "advance", lambda _, more: steps.append(more))
    publish(server, **{"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": WEIGHTS})
    fetch(server, tmp_path / "out")
    assert sum(steps) == len(WEIGHTS) + len(b"{}")


def test_a_failed_transfer_leaves_nothing_of_the_name_and_goes_on(server: Server, tmp_path: Path) -> None:
    publish(server, **{"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": WEIGHTS})
    path = f"/owner/model/resolve/{COMMIT}/unet/diffusion_pytorch_model.safetensors"
    server.files[path].status = [0, 404]  # there when it is looked up, gone when it is fetched
    with pytest.raises(FetchError):
        fetch(server, tmp_path / "out")
    assert not (tmp_path / "out/model").exists()
    assert (tmp_path / "out/.model.part/model_index.json").exists(), "what has arrived is kept"
    server.requests.clear()
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out/model/unet/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    assert not [request for request in server.requests if request.path.endswith("model_index.json")]


def test_a_cut_transfer_is_repeated(server: Server, tmp_path: Path) -> None:
    publish(server, **{"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": WEIGHTS})
    path = f"/owner/model/resolve/{COMMIT}/unet/diffusion_pytorch_model.safetensors"
    server.files[path].cuts = [len(WEIGHTS) // 2]
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out/model/unet/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    assert [request.method for request in server.requests if request.path == path] == ["HEAD", "GET", "GET"]


def test_a_repository_without_weights_is_refused(server: Server, tmp_path: Path) -> None:
    publish(server, **{"model_index.json": b"{}", "other.bin": b"1"})
    with pytest.raises(FetchError, match="must have safetensors weights, but got owner/model at 0123"):
        fetch(server, tmp_path / "out")


def test_a_repository_cannot_write_elsewhere(server: Server, tmp_path: Path) -> None:
    publish(server, **{"../evil.json": b"{}", "model.safetensors": WEIGHTS})
    with pytest.raises(FetchError, match="the files of a repository must stay in it"):
        fetch(server, tmp_path / "out")
    assert not (tmp_path / "evil.json").exists()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "must allow the download, but got status 401 .*huggingface.co/owner/model, then set HF_TOKEN"),
        (403, "must allow the download, but got status 403"),
        (404, "must have the repository, but got status 404"),
    ],
)
def test_a_refusal_names_the_remedy(server: Server, tmp_path: Path, status: int, message: str) -> None:
    server.files[f"/api/models/owner/model/tree/{COMMIT}"] = File(status=status)
    with pytest.raises(FetchError, match=message):
        fetch(server, tmp_path / "out")


def test_offline_mode_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="unset it and try again"):
        fetch(server, tmp_path / "out")
    assert server.requests == []
