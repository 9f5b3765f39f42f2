"""Names that attack the page are shown as what they are, and nothing of them runs."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.pages.walk import STOPS, path_of
from tests.support.chromium import PHONE, WIDE, Chromium
from tests.support.page_world import FULL, HOSTILE, PageWorld

ACTIVITY = f"/orgs/{FULL}/activity"


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_stored_names_are_harmless(browser: Chromium, size: tuple[int, int]) -> None:
    with browser.tab("owner", size=size) as tab:
        for path in (f"{ACTIVITY}?q=action:org.updated", f"/orgs/{FULL}/sessions"):
            tab.open(path)
            tab.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert tab.page.locator("bdi script, bdi img").count() == 0
            assert tab.page.locator("a[href^='javascript:']").count() == 0
            text = tab.page.locator("main").inner_text()
            assert "<script>alert(1)</script>" in text
            assert "U+202E" in text
            assert "\u202e" not in text
            assert "\u200b" not in text
            assert "{{ 7*7 }}" in text
            assert tab.trouble == []
            tab.page.evaluate("document.querySelectorAll('.menu').forEach(d => d.open = false)")
            assert tab.overflow() == 0


def test_reflected_text_is_harmless(browser: Chromium) -> None:
    with browser.tab("owner") as tab:
        for text in HOSTILE:
            for name in ("q", "action", "actor", "type", "from", "range", "cursor"):
                tab.open(f"{ACTIVITY}?{name}={quote(text)}")
                assert tab.page.locator("main script, main img").count() == 0, (name, text)
            tab.open(f"/orgs/{FULL}/sessions?pod={quote(text)}&state={quote(text)}")
            assert tab.page.locator("main script, main img").count() == 0, text
            tab.open(f"/signin?return_to={quote(text)}")
            tab.open(f"{ACTIVITY}/{quote(text, safe='')}")
        assert tab.trouble == []


def test_the_whole_of_a_long_name_is_in_the_details(browser: Chromium) -> None:
    long = max(HOSTILE, key=len)
    with browser.tab("owner") as tab:
        tab.open(f"{ACTIVITY}?q=action:org.updated&range=all")
        row = tab.page.locator("tbody.event", has_text=long[:60]).first
        assert long not in row.locator("summary").inner_text()
        row.locator("summary").click()
        assert long in row.locator("dl").inner_text().replace("\n", "")


def test_no_page_can_be_framed(browser: Chromium, world: PageWorld) -> None:
    with browser.tab("owner") as tab:
        answer = tab.page.request.get(world.url + path_of(STOPS[0], world))
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
