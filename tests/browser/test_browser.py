"""The browser itself: without it no other test here says anything."""

from __future__ import annotations

from playwright.sync_api import Page


def test_a_page_runs_its_scripts(page: Page) -> None:
    page.set_content("<p id='found'>before</p><script>document.getElementById('found').textContent = 1 + 1</script>")
    assert page.locator("#found").inner_text() == "2"
