"""The page of a certificate in a real browser: nothing runs out of it, on a screen or on A4, and all can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_certificate import made_content
from playwright.sync_api import Page

from analysis.certificates.page import certificate_page

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
    row = page.locator("tr", has_text="membership_loss").inner_text()
    assert "1.235 ± 0.012 [1.210, 1.259]" in row, "its 95% interval"
    for number in range(page.locator("table").count()):
        table = page.locator("table").nth(number).evaluate("node => [node.scrollWidth, node.clientWidth]")
        assert table[0] <= table[1] + 1, f"table {number} runs out of the page"
    page.screenshot(path=screenshots / f"certificate-{place}.png", full_page=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # an A4 sheet less its margins, at 96 dots an inch
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
