"""Prompt files: which prompts name a memorised image. UTF-8 YAML, one entry an image; read without torch.

    - image: shirt.png                   # the file name of a forget image
      original: the shirt of …           # the prompt that the image was memorised under
      modified: a shirt of …             # the prompt that unlearning trains on: it makes other images too

In the place of a text may stand the name of a safetensors file with an array ``prompt_embeds`` (tokens, width).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_KEYS = ("image", "original", "modified")
EMBEDDING_SUFFIX, EMBEDDING_ARRAY = ".safetensors", "prompt_embeds"


@dataclass(frozen=True)
class Prompt:
    """The prompts of one memorised image, each a text or the path of a saved embedding."""

    image: str
    original: str
    modified: str


def is_embedding(prompt: str) -> bool:
    """Whether a prompt is the file of a saved embedding."""
    return prompt.endswith(EMBEDDING_SUFFIX)


def read_prompts(path: Path) -> list[Prompt]:
    """The entries of a prompt file.

    Raises:
        ValueError: it is missing, not UTF-8, no YAML list of entries, or an entry names no image or lacks a prompt; the
            message completes "prompts must be …, but got PATH".
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("which is no file")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("which is not there") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"which is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise ValueError(f"which cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:  # whose own message quotes the prompts
        mark = error.problem_mark
        place = "its YAML" if mark is None else f"line {mark.line + 1}"
        raise ValueError(f"which cannot be read (repair {place})") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        raise ValueError("which cannot be read (repair its YAML)") from None
    if not isinstance(data, list) or not data:
        raise ValueError("which is no list of entries")
    return [_entry(number, entry, path.parent) for number, entry in enumerate(data, start=1)]


def find_prompt(path: Path, image: str) -> Prompt:
    """The entry of the memorised image ``image``, compared by file name.

    Raises:
        ValueError: as ``read_prompts``, or no entry names the image.
    """
    entries = read_prompts(path)
    for entry in entries:
        if Path(entry.image).name == Path(image).name:
            return entry
    raise ValueError(f"which names no image {Path(image).name} but {', '.join(entry.image for entry in entries)}")


def _entry(number: int, entry: object, folder: Path) -> Prompt:
    if not isinstance(entry, Mapping):
        raise ValueError(f"whose entry {number} is no mapping of {', '.join(_KEYS)}")
    values: dict[str, Any] = {str(key): value for key, value in entry.items()}
    for key in _KEYS:
        if not isinstance(values.get(key), str) or not values[key].strip():
            article = "an" if key[0] in "aeio" else "a"
            raise ValueError(f"whose entry {number} names no {key}: give it as {article} {key}: TEXT line")
    if unknown := sorted(set(values) - set(_KEYS)):
        raise ValueError(f"whose entry {number} has the unknown key {unknown[0]!r}")
    prompts = {key: _located(values[key], folder) for key in ("original", "modified")}
    return Prompt(values["image"], **prompts)


def _located(prompt: str, folder: Path) -> str:
    return str(folder / prompt) if is_embedding(prompt) else prompt
