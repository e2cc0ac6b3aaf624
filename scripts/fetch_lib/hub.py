"""A repository of the Hugging Face hub: one commit's safetensors weights, configurations and vocabularies."""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, RepoFile, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils.tqdm import tqdm

from scripts.fetch_lib.archive import relative_path
from scripts.fetch_lib.convert import to_safetensors
from scripts.fetch_lib.display import Meter
from scripts.fetch_lib.errors import FetchError
from scripts.fetch_lib.manifest import ALLOWED, IGNORED, HubRepo, PickledWeights
from scripts.fetch_lib.record import digest_of

_REFUSED = (401, 403)
#: The bar of the hub's client that counts what has arrived of all files.
_COUNTING_BAR = "huggingface_hub.snapshot_download"


@dataclass(frozen=True)
class Hub:
    """Which hub is asked.

    Args:
        mirror: its address; None: the usual one, with the user's token. A mirror gets no token.
    """

    mirror: str | None = None

    @property
    def _token(self) -> bool | None:
        return None if self.mirror is None else False

    def download(self, asset: HubRepo, folder: Path, meter: Meter) -> list[str]:
        """Fetch what is wanted of a repository into `folder`, going on from what is there, and check it.

        Returns:
            The files, as paths below the folder.

        Raises:
            FetchError: if it cannot be had, is something else, or has no weights. What has arrived is kept.
        """
        listed = self._list(asset)
        wanted, pickled = _select(asset, listed)
        meter.expect(sum(listed[name].size for name in wanted))
        self._snapshot(asset, folder, wanted, meter)
        for name in wanted:
            pinned = pickled.sha256 if pickled is not None and pickled.name == name else None
            _check(folder / name, listed[name], pinned)
        if pickled is not None:
            to_safetensors(folder / pickled.name, folder / pickled.becomes)
            (folder / pickled.name).unlink()
            wanted = [name for name in wanted if name != pickled.name] + [pickled.becomes]
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        return sorted(wanted)

    def _list(self, asset: HubRepo) -> dict[str, RepoFile]:
        try:
            api = HfApi(endpoint=self.mirror, token=self._token)
            tree = api.list_repo_tree(asset.repo, revision=asset.revision, recursive=True)
            return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        except Exception as error:  # of whichever HTTP library the hub's client is built on
            raise _explained(asset, error) from error

    def _snapshot(self, asset: HubRepo, folder: Path, wanted: list[str], meter: Meter) -> None:
        try:
            snapshot_download(
                asset.repo,
                revision=asset.revision,
                local_dir=folder,
                allow_patterns=[_literal(name) for name in wanted],
                endpoint=self.mirror,
                token=self._token,
                tqdm_class=_bar(meter),
            )
        except Exception as error:  # as above
            raise _explained(asset, error) from error


def _select(asset: HubRepo, listed: Mapping[str, RepoFile]) -> tuple[list[str], PickledWeights | None]:
    """The files to fetch, and what must be converted among them."""
    if strange := [name for name in listed if relative_path(name) is None]:
        raise FetchError("the files of a repository must stay in it", f"{strange[0]!r} in {asset.repo}", "try a mirror")
    wanted = [name for name in listed if _matches(name, ALLOWED) and not _matches(name, IGNORED)]
    if any(name.endswith(".safetensors") for name in wanted):
        return wanted, None
    if asset.pickled is None or asset.pickled.name not in listed:
        value = f"{asset.repo} at {asset.revision} without any"
        raise FetchError("a repository must have safetensors weights", value, "try a mirror that has them")
    return [*wanted, asset.pickled.name], asset.pickled


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _literal(name: str) -> str:
    """A pattern that matches this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _check(path: Path, listed: RepoFile, pinned: str | None) -> None:
    """Compare a file with its pinned SHA-256, or with what the hub lists: a SHA-256, of small files git's object id."""
    digest = digest_of(path)
    expected = pinned or (listed.blob_id if listed.lfs is None else listed.lfs.sha256)
    found = _git_object_id(path) if pinned is None and listed.lfs is None else digest.sha256
    if (digest.size, found) != (listed.size, expected):
        path.unlink()
        rule = f"{path.name} must have {listed.size} bytes with the digest {expected}"
        raise FetchError(rule, f"{digest.size} bytes with {found}", "it was removed: run the command again")


def _git_object_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _bar(meter: Meter) -> type[tqdm]:
    """The hub's progress bar, as a class that shows nothing and tells the meter."""

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, name: str | None = None, **settings: Any) -> None:
            self._counts = name == _COUNTING_BAR
            settings["disable"] = True
            super().__init__(*args, name=name, **settings)  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> bool | None:
            if self._counts and n:
                meter.advance(n)
            return None

    return Bar


def _explained(asset: HubRepo, error: Exception) -> FetchError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    source = f"{asset.repo} at {asset.revision}"
    if isinstance(error, OfflineModeIsEnabled):
        return FetchError("the hub must be asked", "HF_HUB_OFFLINE in the environment", "unset it and try again")
    if status in _REFUSED:
        remedy = f"accept its terms at https://huggingface.co/{asset.repo}, then set HF_TOKEN (a mirror gets no token)"
        return FetchError("the hub must allow the download", f"status {status} for {source}", remedy)
    if status == 404:
        return FetchError("the hub must have the repository", f"status 404 for {source}", "try a mirror that has it")
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    remedy = "check the network and run the same command again: it goes on from there"
    return FetchError("a repository must arrive whole", f"{source} ({reason})", remedy)
