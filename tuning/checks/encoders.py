"""Whether the networks behind the metrics are there and whole before a study starts; nothing is decoded with torch.

Published weights are never fetched by a study: what lacks is named with the place it must be at and the command for it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from metrics.encoder_files import CLIP_HUB_ID, FETCHED_CLIP, TAKEN_BY, ending_of, fetch_command, published_as
from metrics.parts import NEEDS, network_of
from trainable.content import file_digest
from tuning.goals import Constraint, Objective
from tuning.model_files import cached
from tuning.paths import is_json, safetensors_header
from tuning.problems import Problem

#: Fields that name a network behind metrics, in the order of the configuration.
FIELDS = ("descriptor", "features", "classifier", "clip")
#: Files of a CLIP model and its processor, each by the names that versions of transformers gave it.
_CLIP_FILES = (
    ("config.json",),
    ("model.safetensors",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
)
_FETCH_CLIP = f"fetch {CLIP_HUB_ID} with {fetch_command('clip')} and give {FETCHED_CLIP}"
#: What a file of ``torch.save`` begins with that is no zip archive, as it wrote them until version 1.5.
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def encoder_problems(field: str, path: str, architectures: Collection[str] | None) -> list[Problem]:
    """Whether an encoder file is there, whole, and of a kind that answers with what the field needs.

    Args:
        field: the field that names it.
        path: the file, absolute.
        architectures: those of safetensors files that the workload reads; None for one that brings encoders of its own,
            of which only a safetensors file is known to have to be whole.
    """
    file = Path(path)
    if not file.is_file():
        return [_missing(field, file)]
    if architectures is None:
        broken = file.suffix == ".safetensors" and safetensors_header(file) is None
        return [Problem(f"{field} must be a whole file", path, "fetch or build it again")] if broken else []
    ending = ending_of(file)
    if field not in TAKEN_BY[ending]:
        kinds = ", ".join(kind for kind, fields in TAKEN_BY.items() if field in fields)
        remedy = f"a {ending} file is for {' or '.join(TAKEN_BY[ending])}; give another one, or leave it out"
        return [Problem(f"{field} must be a file of one of the kinds {kinds}", path, remedy)]
    if ending == ".safetensors":
        return _architecture_problems(field, file, architectures)
    published = published_as(file)
    reason = _FAULTS[ending](file)
    if reason is None and published is not None:
        reason = _other_content(file, published.sha256)
    if reason is None:
        return []
    remedy = f"fetch it again with {fetch_command(published.name)}" if published else "fetch or save it again"
    return [Problem(f"{field} must be a whole {ending} file", f"{path}, {reason}", remedy)]


def clip_problems(clip: str) -> list[Problem]:
    """Whether a CLIP model is whole in its directory, or in this machine's cache of the hub.

    Args:
        clip: an absolute path, or a hub id.
    """
    directory = Path(clip)
    if not directory.is_absolute():
        rule = "a CLIP model on the hub must be in this machine's cache, since a study downloads nothing"
        return _clip_files(rule, clip, f"fetch it with 'hf download {clip}', or {_FETCH_CLIP}", partial(cached, clip))
    rule = "clip must be the directory of a CLIP model with safetensors weights and its processor, or a hub id"
    if not directory.is_dir():
        return [Problem(rule, f"{clip}, which is not there", f"check the path, or {_FETCH_CLIP}")]
    remedy = f"save it with save_pretrained, or {_FETCH_CLIP}"
    return _clip_files(rule, clip, remedy, lambda name: directory / name)


def needed_problems(
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    report_metrics: Sequence[str],
    *locations: str | None,
) -> list[Problem]:
    """Metrics that are asked for without the network that they look through.

    Args:
        locations: what the configuration names for each of ``FIELDS``.
    """
    given = dict(zip(FIELDS, locations, strict=True))
    asked = [*(goal.metric for goal in objectives), *(goal.metric for goal in constraints), *report_metrics]
    needed = ((metric, network_of(NEEDS.get(metric, ()))) for metric in dict.fromkeys(asked))
    lacking = [(metric, field) for metric, field in needed if field is not None]
    return [
        Problem(f"{metric} needs a network to look through", f"no {field}", f"give --{field}, or leave {metric} out")
        for metric, field in lacking
        if not given[field]
    ]


def _missing(field: str, file: Path) -> Problem:
    published = published_as(file)
    given = f"{file}, which is not there"
    if published is None:
        return Problem(f"{field} must be a file", given, "check the path, or leave it out")
    rule = f"{field} needs the published weights of {published.name}, since a study downloads nothing"
    return Problem(
        rule, given, f"fetch them with {fetch_command(published.name)}, or put them there from {published.url}"
    )


def _architecture_problems(field: str, file: Path, architectures: Collection[str]) -> list[Problem]:
    header = safetensors_header(file)
    if header is None:
        rule = f"{field} must be a whole safetensors file"
        return [Problem(rule, str(file), "fetch or build it again, or write it with metrics.encoders.save_encoder")]
    metadata = header.get("__metadata__")
    architecture = metadata.get("architecture") if isinstance(metadata, dict) else None
    if architecture in architectures:
        return []
    rule = f"{field} must name its architecture in its metadata, one of {', '.join(architectures)}"
    given = f"{file}, which names {architecture or 'none'}"
    return [Problem(rule, given, "write it with metrics.encoders.save_encoder, or bring a workload of your own")]


def _torchscript_fault(file: Path) -> str | None:
    members = _members(file)
    if members is None:
        return "which is cut short or no archive"
    return None if any("/code/" in name for name in members) else "which holds no TorchScript program"


def _weights_fault(file: Path) -> str | None:
    if not _is_legacy(file) and not any(name.endswith("/data.pkl") for name in _members(file) or ()):
        return "which is cut short or was not written by torch.save"
    return None


_FAULTS: Mapping[str, Callable[[Path], str | None]] = {".torchscript.pt": _torchscript_fault, ".pth": _weights_fault}
"""Ending of a file's name → what is wrong with the file, None where nothing is."""


def _other_content(file: Path, expected: str) -> str | None:
    stat = file.stat()
    found = _sha256(file, stat.st_size, stat.st_mtime_ns)
    return None if found == expected else f"whose SHA-256 is {found[:8]}… and not {expected[:8]}…"


def _members(file: Path) -> list[str] | None:
    """Names in a zip archive, whose directory is at its end; None for what is none or is cut short."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _is_legacy(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC


@lru_cache
def _sha256(file: Path, size: int, changed: int) -> str:
    """Size and time of the last change only tell one content from another."""
    return file_digest(file)


def _clip_files(rule: str, clip: str, remedy: str, find: Callable[[str], Path]) -> list[Problem]:
    lacking = [names[0] for names in _CLIP_FILES if not any(find(name).is_file() for name in names)]
    if lacking:
        return [Problem(rule, f"{clip}, without {', '.join(lacking)}", remedy)]
    broken = [name for name, is_whole in (("config.json", is_json), ("model.safetensors", safetensors_header))
              if not is_whole(find(name))]  # fmt: skip
    return [Problem("the files of clip must be whole", f"{clip}, {name}", remedy) for name in broken]
