"""What is concluded from what: each rule kept, broken, and not decided, on numbers made up for it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from analysis.certificates.document import plain
from analysis.certificates.findings import BROKEN, KEPT, LEVEL, UNDECIDED, Findings, Rule
from analysis.certificates.rules import rules, verdict
from analysis.certificates.standings import standings
from metrics.membership_inference import images_needed
from tuning.goals import Constraint

UNSEEN = [5.0 + 0.01 * index for index in range(60)]
LOW, MIDDLE, HIGH = 3.0, 5.3, 8.0


def statistics(
    untouched: float = LOW,
    unlearned: float = MIDDLE,
    retrained: float | None = MIDDLE,
    unseen: Sequence[float] = UNSEEN,
) -> dict[str, Any]:
    values = {"untouched": untouched, "unlearned": unlearned, "retrained": retrained}
    models = {
        name: {"forget": [value], "unseen": list(unseen), "retain": [1.0]}
        for name, value in values.items()
        if value is not None
    }
    return {"nll": models, "denoising_loss": copy.deepcopy(models)}


def measured(**changes: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Three models, the middle one as forgotten as the last; `changes` are of the unlearned one."""

    def model(sscd: float, fid: float) -> dict[str, dict[str, Any]]:
        share = {"value": 0.0, "stderr": 0.001, "num": 1000, "low": 0.0, "high": 0.004}
        return {
            "sscd": {"value": sscd, "stderr": 0.005, "num": 64},
            "fid": {"value": fid, "stderr": 0.1, "num": 1000},
            "regeneration_rate": share,
        }

    models = {"untouched": model(0.9, 10.0), "unlearned": model(0.21, 10.5), "retrained": model(0.2, 10.0)}
    models["unlearned"] |= {name: {**models["unlearned"][name], **change} for name, change in changes.items()}
    return models


def decided(
    compared: dict[str, Any] | None = None,
    is_unseen: bool = True,
    drop: Sequence[str] = (),
    **changes: Mapping[str, Any],
) -> dict[str, Rule]:
    values = {name: of for name, of in measured(**changes).items() if name not in drop}
    found = plain(standings(statistics() if compared is None else compared))
    findings = Findings(plain(values), found["among_unseen"], is_unseen, ["image 1"])
    return {rule.name: rule for rule in rules(findings, [Constraint("fid", "<=", 1.2, relative=True)])}


def test_names_keep_their_capitals_where_a_sentence_begins_with_them() -> None:
    compared = statistics(unlearned=LOW, retrained=LOW, unseen=[*UNSEEN, *UNSEEN])
    for models in compared.values():
        for model in models.values():
            model["forget"] = [*model["forget"], MIDDLE]
    found = plain(standings(compared))
    findings = Findings(plain(measured()), found["among_unseen"], True, ["Müller_IMG 12", "image 2"])
    assert rules(findings, [])[0].finding.startswith("Müller_IMG 12 (nll p = ")
    assert decided(statistics(unlearned=LOW, retrained=LOW))["membership"].finding.startswith("The image (nll p = ")


def outcomes(found: Mapping[str, Rule]) -> dict[str, str]:
    return {name: rule.outcome for name, rule in found.items()}


def test_a_model_like_the_retrained_one_keeps_every_rule() -> None:
    found = decided()
    assert set(outcomes(found).values()) == {KEPT}
    assert list(found) == ["membership", "over-forgetting", "regeneration_rate", "resemblance", "bound fid <= 1.2x"]
    outcome, sentence = verdict(list(found.values()))
    assert outcome == KEPT
    assert "What that does not prove" in sentence
    for rule in found.values():
        assert rule.numbers, "every rule has its numbers"


def test_a_model_that_knows_the_image_breaks_the_rule_and_is_named_first() -> None:
    found = decided(statistics(unlearned=LOW), fid={"value": 30.0})
    assert found["membership"].outcome == BROKEN
    assert "better known than unseen images" in found["membership"].finding
    outcome, sentence = verdict(list(found.values()))
    assert outcome == BROKEN
    assert sentence.startswith("Not forgotten")


def test_one_statistic_is_enough_to_be_found_out() -> None:
    compared = statistics()
    compared["denoising_loss"]["unlearned"]["forget"] = [LOW]
    assert decided(compared)["membership"].outcome == BROKEN


def test_an_image_that_was_driven_away_is_over_forgotten() -> None:
    found = decided(statistics(unlearned=HIGH))
    assert outcomes(found)["membership"] == KEPT
    assert outcomes(found)["over-forgetting"] == BROKEN
    assert verdict(list(found.values()))[1].startswith("Forgotten so strongly that it shows")


def test_what_stands_out_in_the_retrained_model_too_tells_nothing() -> None:
    known = decided(statistics(unlearned=LOW, retrained=LOW))["membership"]
    assert known.outcome == UNDECIDED
    assert "retrained model as well" in known.finding
    assert decided(statistics(unlearned=HIGH, retrained=HIGH))["over-forgetting"].outcome == UNDECIDED
    assert decided(statistics(unlearned=HIGH, untouched=HIGH))["over-forgetting"].outcome == UNDECIDED
    assert decided(statistics(unlearned=LOW, retrained=None), drop=["retrained"])["membership"].outcome == BROKEN


@pytest.mark.parametrize(("count", "outcome"), [(0, UNDECIDED), (38, UNDECIDED), (39, KEPT)])
def test_too_few_images_are_said_with_how_many_are_needed(count: int, outcome: str) -> None:
    """Two statistics share 5%: a p-value of 2.5% needs 39."""
    found = decided(statistics(unlearned=5.1, retrained=5.1, unseen=UNSEEN[:count]))
    assert found["membership"].outcome == found["over-forgetting"].outcome == outcome
    if count < 39:
        assert f"there are {count} unseen images, and 39 are needed" in found["membership"].finding
        assert verdict(list(found.values()))[0] == UNDECIDED


def test_a_test_that_finds_nothing_in_the_untouched_model_says_nothing() -> None:
    found = decided(statistics(untouched=MIDDLE))["membership"]
    assert found.outcome == UNDECIDED
    assert "not even in the untouched model" in found.finding


def test_images_that_unlearning_trained_on_can_convict_but_not_acquit() -> None:
    assert decided(is_unseen=False)["membership"].outcome == UNDECIDED
    assert decided(statistics(unlearned=LOW), is_unseen=False)["membership"].outcome == BROKEN
    assert decided(statistics(unlearned=HIGH), is_unseen=False)["over-forgetting"].outcome == UNDECIDED


def test_a_model_that_answers_nan_is_not_judged() -> None:
    found = decided(statistics(unlearned=math.nan), sscd={"value": math.nan}, fid={"value": math.nan},
                    regeneration_rate={"value": math.nan})  # fmt: skip
    assert set(outcomes(found).values()) == {UNDECIDED}


@pytest.mark.parametrize("num_images", range(1, 8))
def test_with_as_many_images_as_are_needed_a_trace_can_be_found(num_images: int) -> None:
    """The smallest p-value that there is equals the level then, but for rounding."""
    needed = images_needed(LEVEL / (2 * num_images))
    compared = statistics(unlearned=LOW, unseen=[5.0 + index / 1000 for index in range(needed)])
    for models in compared.values():
        for model in models.values():
            model["forget"] = model["forget"] * num_images
    found = plain(standings(compared))
    names = [f"image {number}" for number in range(num_images)]
    assert rules(Findings(plain(measured()), found["among_unseen"], True, names), [])[0].outcome == BROKEN


def test_images_share_the_level() -> None:
    compared = statistics()
    for models in compared.values():
        for model in models.values():
            model["forget"] = [*model["forget"], MIDDLE]
    found = plain(standings(compared))
    findings = Findings(plain(measured()), found["among_unseen"], True, ["image 1", "image 2"])
    known = rules(findings, [])[0]
    assert known.numbers["level"] == 0.05 / 4
    assert known.numbers["needed"] == 79
    assert known.outcome == UNDECIDED


@pytest.mark.parametrize(
    ("rate", "outcome"),
    [
        ({"value": 0.0, "num": 1000, "low": 0.0, "high": 0.004}, KEPT),
        ({"value": 0.0, "num": 24, "low": 0.0, "high": 0.138}, UNDECIDED),
        ({"value": 0.002, "num": 1000, "low": 0.0005, "high": 0.007}, BROKEN),
        ({"value": 0.0, "num": 1000, "high": math.nan}, UNDECIDED),
    ],
)
def test_no_copy_may_be_drawn_and_zero_counts_only_among_many(rate: Mapping[str, Any], outcome: str) -> None:
    found = decided(regeneration_rate=rate)["regeneration_rate"]
    assert found.outcome == outcome
    assert found.numbers["needed"] == 381


@pytest.mark.parametrize(
    ("sscd", "stderr", "outcome"), [(0.21, 0.005, KEPT), (0.5, 0.01, BROKEN), (0.25, 0.05, UNDECIDED)]
)
def test_resemblance_is_judged_by_the_way_that_is_left(sscd: float, stderr: float, outcome: str) -> None:
    found = decided(sscd={"value": sscd, "stderr": stderr})["resemblance"]
    assert found.outcome == outcome
    assert found.numbers["left"] == pytest.approx((sscd - 0.2) / 0.7)


def test_without_a_retrained_model_there_is_no_rule_about_it() -> None:
    assert "resemblance" not in decided(drop=["retrained"])


@pytest.mark.parametrize(("fid", "outcome"), [(10.5, KEPT), (11.9, UNDECIDED), (12.1, UNDECIDED), (13.0, BROKEN)])
def test_a_bound_is_judged_by_its_margin_in_standard_errors(fid: float, outcome: str) -> None:
    found = decided(fid={"value": fid})
    assert found["bound fid <= 1.2x"].outcome == outcome
    if outcome == BROKEN:
        assert verdict(list(found.values()))[1].startswith("No sign of memory was found, but a bound")
