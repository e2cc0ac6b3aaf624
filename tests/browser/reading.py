"""Whether a page can be read: contrast of all that is text, and labels that lie on no other and are not cut off."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Page

TEXT_CONTRAST: Final = 4.5  # WCAG 2.1, AA

_CONTRASTS: Final = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const over = (top, under) => { const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map((n) => top[n] * a + under[n] * (1 - a)); };
  const ground = (node) => { for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return over(colour, [255, 255, 255]); }
    return [255, 255, 255]; };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || ['SCRIPT', 'STYLE'].includes(node.tagName) || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    if (style.visibility === 'hidden' || Number(style.opacity) === 0) continue;
    const colour = over(parse(svg ? style.fill : style.color), ground(node));
    const [a, b] = [light(colour), light(ground(node))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    found.push([contrast, node.tagName, node.textContent.slice(0, 40)]);
  }
  return found;
}"""

_OVERLAPS: Final = """() => {
  const found = [];
  for (const figure of document.querySelectorAll('.js-plotly-plot')) {
    if (figure.id === 'parallel-figure') continue; // its ticks stand beside lines, by plotly
    const frame = figure.getBoundingClientRect();
    const texts = [...figure.querySelectorAll('.main-svg text')]
      .filter((text) => text.textContent.trim() && !text.closest('.hoverlayer') && !text.closest('.plot'));
    const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([one, a], n) => {
      const within = a.left >= frame.left - 1 && a.right <= frame.right + 1
        && a.top >= frame.top - 1 && a.bottom <= frame.bottom + 1;
      if (!within) found.push([figure.id, 'cut', one]);
      for (const [other, b] of boxes.slice(n + 1)) {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 2 && down > 3) found.push([figure.id, one, other]);
      }
    });
  }
  return found;
}"""


def contrasts(page: Page) -> list[tuple[float, str, str]]:
    """Contrast, tag and text of everything that is seen, in the page and its figures, by WCAG's formula."""
    return [(float(value), tag, text) for value, tag, text in page.evaluate(_CONTRASTS)]


def too_faint(page: Page) -> list[tuple[float, str, str]]:
    """The texts of less contrast than WCAG asks for."""
    return [entry for entry in contrasts(page) if entry[0] < TEXT_CONTRAST]


def overlaps(page: Page) -> list[Any]:
    """Labels of figures that are cut off by their figure's frame, or that lie on another label."""
    found: list[Any] = page.evaluate(_OVERLAPS)
    return found
