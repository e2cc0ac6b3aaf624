"""The card of a model: what it says, and what it must not say or let in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_study import make_repeated_reports, make_reports, remeasured, write_table

from analysis.load import Study, StudyError, load_study
from analysis.markdown import code, escaped, table
from analysis.model_card import model_card

StudyMaker = Callable[..., Path]


def card_of(study: Study, position: int = 0) -> str:
    member = study.front.iloc[position]
    return model_card(study, str(member["trial_id"]), int(member["step"]))


def test_a_card_has_values_with_errors_beside_the_baselines_and_what_was_forgotten(
    make_study: StudyMaker, tmp_path: Path
) -> None:
    image = tmp_path / "private name.png"
    image.write_bytes(b"the image")
    study = load_study(make_study(forget=(str(image), "/not/there.png")))
    member = study.front.iloc[0]
    card = card_of(study)
    assert card.startswith("---\nlibrary_name: diffusers\n")
    assert f"| {member['sscd']:.4g} ± 0.01 | 0.86 ± 0.02 | 0.24 ± 0.02 | – |" in card
    assert "<= 19.2 (1.2 × untouched)" in card
    assert f"| 1 | `{hashlib.sha256(b'the image').hexdigest()}` |" in card
    assert "| 2 | not at hand" in card
    assert "Nothing here certifies" in card
    assert "private name" not in card, "a card goes where the forget image's name need not"
    assert str(tmp_path) not in card
    assert f"| `lambd` | {member['lambd']:.6g} |" in card


def test_the_recommended_member_and_no_other_is_called_that(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    cards = [card_of(study, position) for position in range(len(study.front))]
    assert sum("the **recommended** one. Knee of the front" in card for card in cards) == 1
    assert sum("not the recommended one." in card for card in cards) == len(cards) - 1
    assert any("**over-forgotten**" in card for card in cards)


def test_a_model_that_is_no_member_has_the_values_of_its_report(make_study: StudyMaker) -> None:
    study = load_study(make_study(retrained=False))
    report = study.reports[~study.reports["trial_id"].isin(study.front["trial_id"])].iloc[0]
    card = model_card(study, str(report["trial_id"]), int(report["step"]))
    assert "no member of its front" in card
    assert f"{report['nll']:.4g} ± 0.06" in card
    assert "not measured anew" in card
    with pytest.raises(StudyError, match="trial 00000 at step 11 is not in its tables; the members"):
        model_card(study, "00000", 11)


@pytest.mark.parametrize("changes", [{"finished": False}, {"finished": False, "constraints": ()}])
def test_a_study_that_runs_has_cards(make_study: StudyMaker, changes: dict[str, object]) -> None:
    study = load_study(make_study(**changes))
    assert "not measured anew" in model_card(study, "00000", 40)
    study.files.baseline.unlink()
    assert "| – | – |" in model_card(load_study(study.files.root), "00000", 40)


def test_of_repeated_settings_a_card_has_the_model_s_own_values_and_the_mean(make_study: StudyMaker) -> None:
    study = load_study(make_study(make_repeated_reports(20, 3)))
    own = study.front.assign(sscd_checkpoint=0.125)
    write_table(study.files.front, remeasured(own))
    card = card_of(load_study(study.files.root), int((own["num_repeats"] == 3).to_numpy().argmax()))
    assert "| 0.125 ± 0.01 |" in card
    assert "The setting was run 3 times" in card
    assert ", spread 0.0" in card


def test_what_is_written_in_a_study_does_not_become_markup(make_study: StudyMaker) -> None:
    reports = make_reports(20)
    reports["method"] = "<img src=x onerror=alert(1)> `| [a](javascript:b)"
    study = load_study(make_study(reports))
    text = study.files.baseline.read_text().replace("digit features", "<b>|a*_\\n#")
    study.files.baseline.write_text(text)
    card = card_of(load_study(study.files.root))
    assert "``` <img" not in card
    assert r"`` <img src=x onerror=alert(1)> `\| [a](javascript:b) ``" in card
    assert r"FID (&lt;b&gt;\|a\*\_ \#)" in card


def test_markdown_keeps_text_as_text() -> None:
    assert escaped("see https://a.example or www.a.example: no") == (r"see https\://a.example or www\.a.example: no")
    assert escaped("a <b> [c](d) *e* fid <= 1.2x\nétude & 図") == (
        r"a &lt;b&gt; \[c\](d) \*e\* fid <= 1.2x étude &amp; 図"
    )
    assert (code("a`b"), code(""), code("a|b")) == ("`` a`b ``", "–", r"`a\|b`")
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
