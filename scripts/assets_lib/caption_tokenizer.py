"""A CLIP tokenizer whose vocabulary is the words of the captions: byte-pair encoding (arXiv 1508.07909) run to the end.

Merging goes on until every word is one token. Other words are spelled out in letters, as CLIP's own tokenizer does.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from scripts.assets_lib.captions import vocabulary

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 16  # tokens of a prompt, the two above included
Pair = tuple[str, str]


def learn_merges(words: Iterable[str]) -> list[Pair]:
    """Merges, in order, after which each of `words` is one token; the most frequent pair first, ties by spelling."""
    split = [[*word[:-1], word[-1] + END_OF_WORD] for word in words]
    merges: list[Pair] = []
    while pairs := Counter(pair for symbols in split for pair in pairwise(symbols)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = [apply_merge(symbols, best) for symbols in split]
    return merges


def apply_merge(symbols: list[str], pair: Pair) -> list[str]:
    """`symbols` with each occurrence of `pair`, from the left, made one symbol."""
    merged: list[str] = []
    position = 0
    while position < len(symbols):
        found = tuple(symbols[position : position + 2]) == pair
        merged.append("".join(pair) if found else symbols[position])
        position += 2 if found else 1
    return merged


def write_vocabulary(directory: Path) -> None:
    """Write vocab.json and merges.txt, the files of CLIP's tokenizer that every release of transformers reads."""
    merges = learn_merges(vocabulary())
    letters = [*string.ascii_lowercase, *string.digits, ".", ",", "-", "'"]
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters), *map("".join, merges), START, END]
    numbered = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps(numbered), encoding="utf-8")
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_tokenizer(directory: Path) -> CLIPTokenizer:
    """The tokenizer of a vocabulary written to `directory`."""
    write_vocabulary(directory)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(directory, model_max_length=MAX_LENGTH)
    return tokenizer
