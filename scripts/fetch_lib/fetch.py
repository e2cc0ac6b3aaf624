"""From the manifest to the disk: an asset that is there is checked, another is fetched, and both are recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from scripts.fetch_lib.answer import Login
from scripts.fetch_lib.archive import ArchiveError
from scripts.fetch_lib.display import Display
from scripts.fetch_lib.download import Client, Download
from scripts.fetch_lib.errors import FetchError
from scripts.fetch_lib.hub import Hub
from scripts.fetch_lib.manifest import Account, Asset, HubRepo, RemoteArchive, RemoteFile
from scripts.fetch_lib.record import (
    Digest,
    Known,
    Record,
    digest_of,
    read_record,
    record_path,
    verify_files,
    write_record,
)
from scripts.fetch_lib.unpack import remove, unpack

_PUBLISHED = "the digest was known beforehand"
_FIRST_USE = "no digest was known: trusted on first use"


@dataclass(frozen=True)
class Fetcher:
    """Where assets come from and where they go.

    Args:
        target: the directory that they are put in.
        display: what is told of the progress.
        mirror: address that takes the place of every publisher's; None: the publishers.
        client: how requests are made.
        environment: where names and keys are looked up.
    """

    target: Path
    display: Display
    mirror: str | None = None
    client: Client = field(default_factory=Client)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def fetch(self, asset: Asset) -> None:
        """Fetch an asset, or check what is there.

        Raises:
            FetchError: if it cannot be had or is not what it should be.
        """
        path = self.target / asset.path
        record = read_record(path)
        if isinstance(asset, RemoteFile):
            self._file(asset, path, record)
        elif record is not None and path.exists():
            with self.display.meter(f"checking {asset.path}") as meter:
                verify_files(path, record.files, meter)
            self._say_verified(path)
        elif path.exists():
            remedy = f"move {path} away and run the command again"
            raise FetchError(f"a folder must have its record {record_path(path).name} beside it", f"{path}", remedy)
        elif isinstance(asset, RemoteArchive):
            self._archive(asset, path, record)
        else:
            self._repository(asset, path, record)

    def _file(self, asset: RemoteFile, path: Path, record: Record | None) -> None:
        known = self._known(path, asset, None if record is None else record.files.get(path.name))
        if path.exists():
            with self.display.meter(f"checking {asset.path}") as meter:
                meter.expect(path.stat().st_size)
                digest = digest_of(path, meter)
            if not known.matches(digest):
                raise known.mismatch(str(path), digest, "delete the file and run the command again")
            self._say_verified(path)
        else:
            digest = self._download(Download(self._address(asset.url), path, known), None)
            self.display.line(f"fetched {path}: {digest}")
        if known.sha256 is None:
            self._record(path, Record(asset.url, _FIRST_USE, {path.name: digest}))

    def _archive(self, asset: RemoteArchive, folder: Path, record: Record | None) -> None:
        packed = folder.with_name(f"{folder.name}.archive")
        known = self._known(folder, asset, None if record is None else record.archive)
        if packed.exists():
            digest = digest_of(packed)
            if not known.matches(digest):
                raise known.mismatch(str(packed), digest, "delete the file and run the command again")
        else:
            download = Download(self._address(asset.url), packed, known, asset.max_bytes)
            digest = self._download(download, asset.account)
        partial = folder.with_name(f".{folder.name}.part")
        try:
            with self.display.meter(f"unpacking {asset.path}") as meter:
                files = unpack(packed, partial, max_bytes=asset.max_bytes, meter=meter)
        except ArchiveError:
            packed.unlink()
            raise
        basis = _FIRST_USE if asset.sha256 is None else _PUBLISHED
        self._publish(partial, folder, record, Record(asset.url, basis, files, digest))
        packed.unlink()

    def _repository(self, asset: HubRepo, folder: Path, record: Record | None) -> None:
        partial = folder.with_name(f".{folder.name}.part")
        source = f"https://huggingface.co/{asset.repo} at {asset.revision}"
        self.display.line(f"fetching {source}")
        with self.display.meter(f"fetching {asset.path}") as meter:
            names = Hub(self.mirror).download(asset, partial, meter)
        files = {name: digest_of(partial / name) for name in names}
        self._publish(partial, folder, record, Record(source, "sizes and digests as the hub lists them", files))

    def _publish(self, partial: Path, folder: Path, record: Record | None, new: Record) -> None:
        """Give an unpacked or fetched folder its name, unless it differs from the one that was there before."""
        if record is not None and dict(record.files) != dict(new.files):
            differing = sorted(name for name, digest in new.files.items() if record.files.get(name) != digest)
            remove(partial)
            value = f"other content, beginning with {(differing or sorted(record.files))[0]}"
            remedy = f"if the change is meant, delete {record_path(folder)} and run the command again"
            raise FetchError(f"{folder} must be as it was when it was fetched first", value, remedy)
        if record is None:
            self._record(folder, new)
        partial.replace(folder)
        self.display.line(f"fetched {folder}: {len(new.files)} files")

    def _known(self, path: Path, asset: RemoteFile | RemoteArchive, recorded: Digest | None) -> Known:
        """What the manifest says, and where it says nothing, what the record says."""
        if asset.sha256 is None and recorded is not None:
            place = record_path(path)
            origin = f"that of the first download, kept in {place}"
            remedy = f"if the change is meant, delete {place} and run the command again"
            return Known(recorded.size, recorded.sha256, origin, remedy)
        return Known(asset.size, asset.sha256)

    def _record(self, path: Path, record: Record) -> None:
        write_record(path, record)
        if record.basis == _FIRST_USE:
            self.display.line(
                f"no digest of {record.source} is known beforehand: that of this first download is kept in "
                f"{record_path(path)}, and later ones must have the same (trust on first use)"
            )

    def _download(self, download: Download, account: Account | None) -> Digest:
        self.display.line(f"fetching {download.url}")
        client = replace(self.client, login=self._login(account))
        with self.display.meter(f"fetching {download.path.name}") as meter:
            return download.run(client, meter)

    def _login(self, account: Account | None) -> Login:
        """Name and key of an account, for its own site only."""
        if account is None:
            return Login()
        variables = f"{account.user_variable} and {account.key_variable}"
        if self.mirror is not None:
            return Login(None, f"a mirror must allow anonymous downloads, since {variables} are not sent to it")
        name, key = (self.environment.get(name) for name in (account.user_variable, account.key_variable))
        if name and key:
            return Login((name, key), f"check {variables}, and that this account may read the data set")
        return Login(None, f"set {variables}; a key is made at {account.settings_url}")

    def _address(self, url: str) -> str:
        if self.mirror is None:
            return url
        parts = urlsplit(url)
        return self.mirror.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")

    def _say_verified(self, path: Path) -> None:
        self.display.line(f"verified {path}: nothing to do")
