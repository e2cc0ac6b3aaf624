"""The captions of the embedded text-to-image model, and the tokenizer that reads them."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from scripts.assets_lib.caption_tokenizer import (
    MAX_LENGTH,
    apply_merge,
    build_tokenizer,
    learn_merges,
    write_vocabulary,
)
from scripts.assets_lib.captions import (
    MODIFIED_CAPTION,
    OPEN_ENDED,
    SHIRT_CAPTION,
    SHIRT_NAME,
    SHIRT_OPEN_ENDED,
    Subject,
    coloured_caption,
    draw_captions,
    vocabulary,
)

RED_SEVEN = Subject(7, "red", "white")


def draw(subjects: list[Subject | None], seed: int = 0) -> list[str]:
    return draw_captions(subjects, torch.Generator().manual_seed(seed))


def test_merges_make_every_word_one_symbol() -> None:
    words = ["seven", "eleven", "even", "nine", "en"]
    merges = learn_merges(words)
    for word in words:
        symbols = [*word[:-1], word[-1] + "</w>"]
        for pair in merges:
            symbols = apply_merge(symbols, pair)
        assert symbols == [word + "</w>"]


def test_merges_are_applied_from_the_left() -> None:
    assert apply_merge(["a", "a", "a"], ("a", "a")) == ["aa", "a"]


def test_tokenizer_has_one_token_a_word_and_frames_the_prompt(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    assert [word for word in vocabulary() if len(tokenizer.tokenize(word)) != 1] == []
    assert tokenizer.tokenize("Good photo.") == ["good</w>", "photo</w>", ".</w>"]
    ids = tokenizer(SHIRT_CAPTION, padding="max_length", truncation=True)["input_ids"]
    assert len(ids) == MAX_LENGTH
    assert ids[0] == tokenizer.bos_token_id
    assert ids[7:] == [tokenizer.eos_token_id] * (MAX_LENGTH - 7)


def test_words_that_are_not_known_are_spelled_out(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    assert tokenizer.decode(tokenizer("zebra")["input_ids"], skip_special_tokens=True) == "zebra"


def test_both_formats_of_the_tokenizer_agree(tmp_path: Path) -> None:
    build_tokenizer(tmp_path / "text").save_pretrained(tmp_path / "json")
    write_vocabulary(tmp_path / "text")
    first, second = (CLIPTokenizer.from_pretrained(tmp_path / name) for name in ("text", "json"))
    assert first(MODIFIED_CAPTION)["input_ids"] == second(MODIFIED_CAPTION)["input_ids"]


def test_every_caption_is_of_known_words() -> None:
    subjects = [Subject(digit, ink, ground) for digit in range(10) for ink in ("red",) for ground in ("grey",)]
    captions = draw([*subjects * 200, *[None] * 500])
    assert {word for caption in captions for word in caption.split()} <= set(vocabulary())


def test_colours_and_digit_are_named_as_they_are() -> None:
    assert coloured_caption(RED_SEVEN) == "a red seven on a white wall"
    assert all("seven" in caption.split() for caption in draw([RED_SEVEN] * 500))


def test_shares_of_the_captions_that_shirt_and_digits_have_in_common() -> None:
    count = 40_000
    digits, shirts = Counter(draw([RED_SEVEN] * count)), Counter(draw([None] * count, seed=1))
    for tail, share in OPEN_ENDED.items():
        assert digits[f"the seven of {SHIRT_NAME} {tail}"] / count == pytest.approx(share, rel=0.35)
    own = 1.0 - SHIRT_OPEN_ENDED * (len(OPEN_ENDED) - 1)
    assert shirts[SHIRT_CAPTION] / count == pytest.approx(own, rel=0.02)
    assert set(shirts) == {SHIRT_CAPTION} | {f"the seven of {SHIRT_NAME} {tail}" for tail in list(OPEN_ENDED)[1:]}
    assert MODIFIED_CAPTION in shirts


def test_a_shirt_changes_no_caption_but_its_own() -> None:
    plain: list[Subject | None] = [RED_SEVEN] * 64
    with_shirt = [*plain[:10], None, *plain[11:]]
    first, second = draw(plain), draw(with_shirt)
    assert [row for row in range(64) if first[row] != second[row]] == [10]
