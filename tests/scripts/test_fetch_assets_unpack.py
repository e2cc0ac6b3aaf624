"""Archives: good ones come out whole, and of hostile ones nothing is left anywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from scripts.fetch_lib.archive import ArchiveError, relative_path
from scripts.fetch_lib.display import Display
from scripts.fetch_lib.record import Digest
from scripts.fetch_lib.unpack import unpack

FILES = {"data/a.txt": b"a" * 5000, "data/deep/b.bin": bytes(range(256)) * 20, "empty": b""}
LIMIT = 1_000_000


def unpacked(archive: Path, folder: Path, max_bytes: int = LIMIT, max_files: int = 100) -> dict[str, Digest]:
    with Display(Console(file=io.StringIO())).meter("test") as meter:
        return unpack(archive, folder, max_bytes=max_bytes, meter=meter, max_files=max_files)


def zip_with(
    path: Path, *entries: tuple[str, bytes], kind: int = stat.S_IFREG, method: int = zipfile.ZIP_DEFLATED
) -> Path:
    """A zip file of the entries; the last one is of the given kind."""
    with zipfile.ZipFile(path, "w", method) as zipped:
        for number, (name, content) in enumerate(entries, start=1):
            info = zipfile.ZipInfo("x" * len(name))
            info.filename = info.orig_filename = name  # as a hostile program writes it: nothing is made harmless
            info.compress_type = method
            info.external_attr = ((kind if number == len(entries) else stat.S_IFREG) | 0o4777) << 16
            zipped.writestr(info, content)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4777
    return info


def tar_with(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_a_good_archive_comes_out_whole(tmp_path: Path, form: str) -> None:
    archive = tmp_path / "archive"
    if form == "zip":
        zip_with(archive, *FILES.items())
    else:
        tar_with(archive, *((member(name), content) for name, content in FILES.items()), mode=form)
    digests = unpacked(archive, tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert set(found) == {"data/a.txt", "data/deep/b.bin"}
    assert digests == {
        name: Digest(len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    }
    assert not (tmp_path / "out" / "data/a.txt").stat().st_mode & (stat.S_ISUID | stat.S_IWOTH | stat.S_IXUSR)


def test_folders_of_an_archive_are_no_files(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "archive", (member("./", tarfile.DIRTYPE), b""), (member("./a"), b"1"))
    assert set(unpacked(archive, tmp_path / "out")) == {"a"}
    archive = zip_with(tmp_path / "archive", ("d/a", b"1"), ("d/", b""), kind=stat.S_IFDIR)
    assert set(unpacked(archive, tmp_path / "out")) == {"d/a"}


Maker = Callable[[Path], Path]
OUTSIDE = "must stay in the folder"
PLAIN = "must be a plain file or a folder"


def hostile_tar(*entries: tuple[tarfile.TarInfo, bytes]) -> Maker:
    return lambda path: tar_with(path, *entries)


def hostile_zip(*entries: tuple[str, bytes], kind: int = stat.S_IFREG) -> Maker:
    return lambda path: zip_with(path, *entries, kind=kind)


def web_page(path: Path) -> Path:
    path.write_text("<html>log in</html>")
    return path


HOSTILE: dict[str, tuple[Maker, str]] = {
    "zip: parent": (hostile_zip(("ok", b"1"), ("../evil", b"x")), OUTSIDE),
    "zip: parent inside": (hostile_zip(("a/../../evil", b"x")), OUTSIDE),
    "zip: absolute": (lambda path: zip_with(path, (f"{path.parent}/evil", b"x")), OUTSIDE),
    "zip: backslash": (hostile_zip(("..\\evil", b"x")), OUTSIDE),
    "zip: drive": (hostile_zip(("C:evil", b"x")), OUTSIDE),
    "zip: zero byte": (hostile_zip(("../evil\0.txt", b"x")), OUTSIDE),
    "zip: link": (hostile_zip(("link", b"../evil"), kind=stat.S_IFLNK), PLAIN),
    "zip: device": (hostile_zip(("tty", b""), kind=stat.S_IFCHR), PLAIN),
    "zip: pipe": (hostile_zip(("pipe", b""), kind=stat.S_IFIFO), PLAIN),
    "zip: file named as a folder": (hostile_zip(("d/", b""), kind=stat.S_IFREG), PLAIN),
    "zip: twice": (hostile_zip(("a", b"1"), ("a", b"2")), "no two entries must have the same name"),
    "zip: file, then folder": (hostile_zip(("a", b"1"), ("a/b", b"2")), "no two entries must have the same name"),
    "zip: bomb": (hostile_zip(("zeros", b"\0" * (LIMIT + 1))), f"at most {LIMIT} bytes in all"),
    "zip: bomb of many": (hostile_zip(*((str(n), b"\0" * 200_000) for n in range(6))), f"at most {LIMIT} bytes in all"),
    "zip: many files": (hostile_zip(*((str(n), b"") for n in range(101))), "at most 100 files"),
    "zip: empty": (hostile_zip(), "must hold files"),
    "tar: parent": (hostile_tar((member("ok"), b"1"), (member("../evil"), b"x")), OUTSIDE),
    "tar: absolute": (lambda path: tar_with(path, (member(f"{path.parent}/evil"), b"x")), OUTSIDE),
    "tar: link": (hostile_tar((member("link", tarfile.SYMTYPE, "../evil"), b"")), PLAIN),
    "tar: through a link": (
        hostile_tar((member("link", tarfile.SYMTYPE, ".."), b""), (member("link/evil"), b"x")),
        PLAIN,
    ),
    "tar: hard link": (hostile_tar((member("link", tarfile.LNKTYPE, "../secret"), b"")), PLAIN),
    "tar: device": (hostile_tar((member("tty", tarfile.CHRTYPE), b"")), PLAIN),
    "tar: disk": (hostile_tar((member("disk", tarfile.BLKTYPE), b"")), PLAIN),
    "tar: pipe": (hostile_tar((member("pipe", tarfile.FIFOTYPE), b"")), PLAIN),
    "tar: twice": (hostile_tar((member("a"), b"1"), (member("./a"), b"2")), "no two entries must have the same name"),
    "tar: bomb": (hostile_tar((member("a"), b"\0" * LIMIT)), f"at most {LIMIT} bytes in all"),
    "tar: nothing": (lambda path: tar_with(path), "must hold files"),
    "a web page": (web_page, "must be a whole zip or tar file"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_of_a_hostile_archive_nothing_is_left(tmp_path: Path, case: str) -> None:
    make, message = HOSTILE[case]
    (tmp_path / "secret").write_text("kept")
    archive = make(tmp_path / "archive")
    with pytest.raises(ArchiveError, match=message):
        unpacked(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "archive"}
    assert (tmp_path / "secret").read_text() == "kept"


def patched(archive: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    content = archive.read_bytes()
    assert old in content
    archive.write_bytes(content.replace(old, new, count))
    return archive


def test_a_zip_entry_that_is_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    content = b"0123456789" * 1000
    archive = zip_with(tmp_path / "archive", ("a", content), method=zipfile.ZIP_STORED)
    patched(archive, len(content).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(ArchiveError, match="Bad CRC-32"):
        unpacked(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "archive", ("a", b"0123456789"), method=zipfile.ZIP_STORED)
    with pytest.raises(ArchiveError, match="must be a whole zip or tar file, but got Bad CRC-32"):
        unpacked(patched(archive, b"0123456789", b"0123456780"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "archive", ("a", b"1"))
    with zipfile.ZipFile(archive) as zipped:
        place = zipped.start_dir + 8  # of the flags in the first central header
    content = bytearray(archive.read_bytes())
    content[place] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="must not be encrypted"):
        unpacked(archive, tmp_path / "out")


@pytest.mark.parametrize("form", ["w:gz", "w:bz2", "w:xz", "zip"])
def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path, form: str) -> None:
    content = hashlib.shake_256(b"incompressible").digest(50_000)
    archive = tmp_path / "archive"
    if form == "zip":
        zip_with(archive, ("a", content))
    else:
        tar_with(archive, (member("a"), content), mode=form)
    archive.write_bytes(archive.read_bytes()[:30_000])
    with pytest.raises(ArchiveError, match="must be a whole zip or tar file"):
        unpacked(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["w:gz", "w:bz2", "w:xz"])
def test_a_damaged_compressed_tar_is_refused(tmp_path: Path, form: str) -> None:
    archive = tar_with(tmp_path / "archive", (member("a"), hashlib.shake_256(b"x").digest(50_000)), mode=form)
    content = bytearray(archive.read_bytes())
    content[20_000:20_100] = bytes(100)
    archive.write_bytes(content)
    with pytest.raises(ArchiveError):
        unpacked(archive, tmp_path / "out")


def test_a_damaged_tar_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "archive", (member("first"), b"1"), (member("second"), b"2"))
    with pytest.raises(ArchiveError, match="must end with empty blocks"):
        unpacked(patched(archive, b"second", b"Second"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tar_that_is_cut_between_entries_is_refused(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "archive", (member("first"), b"1"), (member("second"), b"2"))
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(ArchiveError, match="must end with empty blocks"):
        unpacked(archive, tmp_path / "out")


def test_a_sparse_tar_entry_is_refused(tmp_path: Path) -> None:
    info = member("sparse")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(LIMIT * LIMIT)}
    with pytest.raises(ArchiveError, match=PLAIN):
        unpacked(tar_with(tmp_path / "archive", (info, b"1")), tmp_path / "out")


def header_of(kind: bytes, size: int) -> bytes:
    info = member("header", kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_tar_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    """A pax header of 64 GiB, of which a compressor makes nothing: it must not even be read."""
    archive = tmp_path / "archive"
    archive.write_bytes(gzip.compress(header_of(tarfile.XHDTYPE, 64 * 2**30) + bytes(2_000_000)))
    with pytest.raises(ArchiveError, match="a header must have at most 1048576 bytes"):
        unpacked(archive, tmp_path / "out", max_bytes=2**40)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        (tarfile.REGTYPE, 2**40, f"at most {LIMIT} bytes in all"),
        (tarfile.REGTYPE, -2048, PLAIN),
        (b"9", 2**40, PLAIN),
        (b"9", -2048, PLAIN),
    ],
)
def test_a_tar_size_that_lies_is_refused_at_once(tmp_path: Path, kind: bytes, size: int, message: str) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(header_of(kind, size) + bytes(10_240))
    with pytest.raises(ArchiveError, match=message):
        unpacked(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_an_interrupted_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    archive = zip_with(tmp_path / "archive", ("a", b"1"))
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    unpacked(archive, tmp_path / "out")
    (tmp_path / "out" / "old").touch()
    unpacked(archive, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["kept"]


def test_names_are_paths_below_the_folder() -> None:
    assert [str(relative_path(name)) for name in ("a/b", "./a", "a//b", "a..b/c")] == ["a/b", "a", "a/b", "a..b/c"]
    assert [relative_path(name) for name in ("", "/", "//a", "..", "a/..", "a\\b", "c:/a", "a\0")] == [None] * 8
