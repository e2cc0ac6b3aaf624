"""The page of a certificate in a real browser: nothing runs out of it, on a screen or on A4, and all can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from analysis.certificates.document import plain
from analysis.certificates.making import judged
from analysis.certificates.page import certificate_page

HASH = "0123456789abcdef" * 4
#: Ratio of each text's colour to the nearest background that is painted behind it; the smallest of the page.
CONTRAST = """() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("h1,h2,h3,p,td,th,li,code,pre,strong")].filter(n => n.innerText.trim());
  return Math.min(...texts.map(node => {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
}"""


def made_content(outcome_of: float) -> dict[str, Any]:
    """A certificate of made-up numbers, as wide as real ones; the forget image lies at `outcome_of`."""
    unseen = [5 + index / 100 for index in range(60)]
    values = {"untouched": 2.0, "unlearned": outcome_of, "retrained": 5.2}
    models = {name: {"forget": [value], "unseen": unseen, "retain": [1.0, 1.1]} for name, value in values.items()}
    share = {"value": 0.0123456, "stderr": 0.0028, "num": 1536, "low": 0.0079, "high": 0.0192}
    names = ("sscd", "nll", "fid", "inception_score", "membership_loss", "nll_neighbours", "sscd_neighbours")
    entry = {name: {"value": 1.23456, "stderr": 0.0123, "num": 1536} for name in names}
    part = {
        "metrics": {model: {**entry, "regeneration_rate": share} for model in values},
        "membership": {
            "is_unseen": True,
            "num_unseen": 60,
            "num_copies_left_out": 0,
            "statistics": {"nll": models, "denoising_loss": models},
        },
    }
    found = judged(plain(part), ["tshirt"], ["fid <= 1.2x"])
    image = {"shown": "tshirt", "file_sha256": HASH, "pixels_sha256": HASH, "width": 28, "height": 28, "channels": 1}
    weights = {"weights_sha256": HASH}
    return dict(plain({
        "outcome": found["outcome"],
        "verdict": found["verdict"],
        "study": {"name": "mnist_tshirt", "seed": 0},
        "made": {"time": "2026-01-01T00:00:00+00:00", "versions": {"project": "0.1.0", "torch": "2.9.0"}},
        "asked": [image],
        "chosen": {"trial_id": "00017", "step": 100, "method": "siss_no_is", "settings": {"scaling_norm": 123.456},
                   "training_seed": 123456789, "on_front": True, "why": "Knee of the front: nearest to the ideal."},
        "models": {"untouched": weights, "unlearned": [weights], "retrained": weights},
        "seeds": {"nonce": 1, "given": True, "seed": 2**62, "rule": "derive_seed(study seed, 'certificate', nonce)"},
        "measured_with": {"num_images": 1536, "device": "cpu"},
        "labels": {"fid": "FID (digit features)", "sscd_neighbours": "SSCD of neighbours (28×28 copy descriptor)",
                   "regeneration_rate": "copies of the forget image among generated images"},
        "parts": [{"images": [image], **part, **found}],
        "limits": ["It is a measurement and not a legal statement."],
    }))  # fmt: skip


@pytest.mark.parametrize(("place", "outcome"), [(5.3, "not enough evidence"), (9.0, "broken")])
def test_it_fits_the_screen_and_the_sheet_and_can_be_read(
    page: Page, tmp_path: Path, screenshots: Path, place: float, outcome: str
) -> None:
    content = made_content(place)
    file = tmp_path / "certificate.html"
    file.write_text(certificate_page(content), encoding="utf-8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()], "it needs no network"
    assert page.locator(".verdict strong").inner_text() == {"broken": "A rule is broken"}.get(
        outcome, "Not enough evidence"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.evaluate(CONTRAST) >= 4.5, "WCAG AA"
    drawings = page.locator("figure.drawing svg")
    assert drawings.count() == 2
    assert f"unlearned model: the forget image at {place:.3g}" in str(drawings.first.get_attribute("aria-label"))
    for number in range(page.locator("table").count()):
        table = page.locator("table").nth(number).evaluate("node => [node.scrollWidth, node.clientWidth]")
        assert table[0] <= table[1] + 1, f"table {number} runs out of the page"
    page.screenshot(path=screenshots / f"certificate-{place}.png", full_page=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # an A4 sheet less its margins, at 96 dots an inch
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
