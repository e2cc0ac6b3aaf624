"""The manifest is well formed, and the documentation and .gitignore know of it."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import fetch_assets
from scripts.fetch_lib.manifest import ALLOWED, ASSETS, Asset, HubRepo, RemoteArchive, RemoteFile

ROOT = Path(__file__).resolve().parents[2]


def assets() -> list[Asset]:
    return [asset for group in ASSETS.values() for asset in group]


def test_the_manifest_has_what_the_workloads_need() -> None:
    assert set(ASSETS) == {"celeba_hq", "stable_diffusion", "sscd", "inception", "clip"}
    repos = {asset.repo for asset in assets() if isinstance(asset, HubRepo)}
    assert repos == {"google/ddpm-celebahq-256", "CompVis/stable-diffusion-v1-4", "openai/clip-vit-base-patch16"}
    archives = {asset.url.rpartition("/")[2] for asset in assets() if isinstance(asset, RemoteArchive)}
    kaggle = "data-unlearning-in-diffusion-models"
    assert archives == {f"{kaggle}-checkpoints", f"{kaggle}-datasets"}


def test_what_the_manifest_says_is_well_formed() -> None:
    for asset in assets():
        assert not Path(asset.path).is_absolute()
        assert ".." not in Path(asset.path).parts
        if isinstance(asset, HubRepo):
            assert re.fullmatch(r"[0-9a-f]{40}", asset.revision)
            digests = [asset.pickled.sha256] if asset.pickled else []
        else:
            assert asset.url.startswith("https://")
            digests = [asset.sha256]
        assert all(digest is None or re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


def test_digests_agree_with_names_that_carry_their_beginning() -> None:
    """As torch's hub names files: ``<name>-<first digits of the SHA-256>.pth``."""
    named = [
        asset for asset in assets() if isinstance(asset, RemoteFile) and re.search(r"-[0-9a-f]{8}\.pth$", asset.url)
    ]
    assert [asset.path for asset in named] == ["inception/weights-inception-2015-12-05-6726825d.pth"]
    for asset in named:
        assert asset.sha256 is not None
        assert asset.sha256.startswith(asset.url.rpartition("-")[2].removesuffix(".pth"))


def test_nothing_that_carries_code_is_taken_from_the_hub() -> None:
    assert {Path(pattern).suffix for pattern in ALLOWED} == {".safetensors", ".json", ".txt"}


def test_fetched_assets_are_not_committed() -> None:
    target = fetch_assets.build_parser().parse_args(["sscd"]).target
    assert f"{target.relative_to(ROOT).as_posix()}/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_documentation_names_every_asset_and_flag() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.split("\n## Fetching models and weights\n")[1].split("\n## ")[0]
    rows = {match for line in section.splitlines() for match in re.findall(r"^\| `(\w+)` \|", line)}
    assert rows == set(ASSETS)
    for action in fetch_assets.build_parser()._actions:
        short = [flag for flag in action.option_strings if not flag.startswith("--")]
        shown = " ".join(filter(None, (*short[:1], action.metavar)))
        assert not short or short == ["-h"] or f"`{shown}`" in section
    assert "| `scripts/fetch_assets.py` |" in text.split("\n## Exit statuses\n")[1].split("\n## ")[0]
