"""The keyboard alone reaches everything that a mouse can press, and is seen where it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.pages.walk import OUTSIDE, ROLES, STOPS, Stop, path_of
from tests.support.browsers import signed_in
from tests.support.chromium import PHONE, WIDE, Chromium, Tab
from tests.support.page_world import FULL, PageWorld

# Everything is opened first, so that what is in menus and behind summaries counts, too. Bars of
# the drawing are left out: the table below it has the same links.
_WATCH = """() => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  const fields = 'input:not([type=hidden]), select, textarea';
  const all = `a[href], button, summary, [tabindex="0"], ${fields}`;
  const isSeen = (one) => one.checkVisibility({ contentVisibilityAuto: true });
  const seen = [...document.querySelectorAll(all)].filter((one) =>
    !one.closest('svg') && isSeen(one) && !one.disabled);
  seen.forEach((one, number) => { one.dataset.number = number; });
  window.reached = new Set();
  window.unseen = [];
  document.addEventListener('focusin', ({ target }) => {
    if (target.dataset.number !== undefined) window.reached.add(target.dataset.number);
    if (getComputedStyle(target).outlineStyle === 'none') window.unseen.push(target.outerHTML);
  });
  document.activeElement?.blur();
  return {
    count: seen.length,
    // Enter and Space press a button; what has none cannot be sent without a mouse.
    unsent: [...document.forms].filter((one) =>
      ![...one.elements].some((part) => part.type === 'submit' && isSeen(part)))
      .map((one) => one.outerHTML.slice(0, 120)),
  };
}"""
_MISSED = """() => [...document.querySelectorAll('[data-number]')]
  .filter((one) => !window.reached.has(one.dataset.number))
  .map((one) => one.outerHTML.slice(0, 120))"""
# A field for date and time is several stops of the Tab key.
_SPARE = 40
_AT_ONCE = 20
# Pages with all of the log on them; their rows are walked once, of a few events.
_WHOLE_LOG = ("activity", "activity-filtered", "activity-custom")


def walked(role: str) -> list[Stop]:
    """Return the pages that are walked as a role: those it sees."""
    log = (*_WHOLE_LOG, "org-home") if role in STOPS[0].who else ()
    return [stop for stop in STOPS if role in stop.who and stop.name not in log]


@pytest.mark.parametrize("stop", [*walked("owner"), *OUTSIDE], ids=lambda stop: stop.name)
def test_tab_reaches_everything(browser: Chromium, world: PageWorld, stop: Stop) -> None:
    with browser.tab(None if stop in OUTSIDE else "owner") as tab:
        walk_with_tab(tab, path_of(stop, world))


@pytest.mark.parametrize("role", ROLES[1:])
def test_tab_reaches_everything_of_every_role(
    browser: Chromium, world: PageWorld, role: str
) -> None:
    with browser.tab(role) as tab:
        for stop in walked(role):
            walk_with_tab(tab, path_of(stop, world))


def test_tab_reaches_every_row_of_the_log(browser: Chromium, world: PageWorld) -> None:
    for role in STOPS[0].who:
        with browser.tab(role) as tab:
            walk_with_tab(tab, path_of(STOPS[0], world) + "?q=action:org.updated")


@pytest.mark.parametrize("script", [True, False])
def test_an_auditor_filters_and_keeps_a_view_by_keys(browser: Chromium, script: bool) -> None:
    with browser.tab("auditor", script=script) as tab:
        page = tab.page
        tab.open(f"/orgs/{FULL}/activity")
        tab_to(tab, page.get_by_label("Actor", exact=True))
        page.keyboard.type("eve@acme.com")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("q=actor%3Aeve%40acme.com"))
        tab_to(tab, page.locator("summary", has_text="Views"))
        page.keyboard.press("Enter")
        tab_to(tab, page.get_by_label("Save this filter as"))
        page.keyboard.type("by keys")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("The view is saved")
        tab_to(tab, page.locator("summary", has_text="Views"))
        page.keyboard.press("Enter")
        tab_to(tab, page.get_by_role("button", name="Delete the view by keys"))
        page.keyboard.press("Space")
        expect(page.get_by_role("status")).to_contain_text("The view is deleted")


@pytest.mark.parametrize("script", [True, False])
def test_a_member_makes_and_revokes_a_token_by_keys(browser: Chromium, script: bool) -> None:
    with browser.tab("member", script=script) as tab:
        page = tab.page
        tab.open(f"/orgs/{FULL}/tokens")
        tab_to(tab, page.get_by_label("Name", exact=True))
        page.keyboard.type("keys")
        tab_to(tab, page.get_by_label("audit:read"))
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Token keys")).to_have_value(re.compile("^rhp_"))
        tab_to(tab, page.get_by_role("button", name="Revoke keys"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("The token is revoked")


@pytest.mark.parametrize("script", [True, False])
def test_a_viewer_looks_at_a_cluster_and_signs_out_by_keys(
    browser: Chromium, world: PageWorld, script: bool
) -> None:
    world.browsers["keys"] = world.run(signed_in(world.hub, "user_viewer"))
    with browser.tab("keys", script=script) as tab:
        page = tab.page
        tab.open(f"/orgs/{FULL}/clusters")
        tab_to(tab, page.get_by_role("link", name="prod-us"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="prod-us")).to_be_visible()
        tab_to(tab, page.locator("details.person > summary"))
        page.keyboard.press("Enter")
        tab_to(tab, page.get_by_role("button", name="Sign out"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("You are signed out.")


def test_a_menu_opens_and_closes_by_keys(browser: Chromium, world: PageWorld) -> None:
    with browser.tab("owner") as tab:
        tab.open(path_of(STOPS[0], world))
        summary = tab.page.locator("details.menu > summary", has_text="Export")
        summary.focus()
        tab.page.keyboard.press("Enter")
        assert tab.page.get_by_role("link", name="CSV").is_visible()
        tab.page.keyboard.press("Tab")
        assert "CSV" in tab.page.evaluate("document.activeElement.textContent")
        tab.page.keyboard.press("Escape")
        assert not tab.page.get_by_role("link", name="CSV").is_visible()
        assert "Export" in tab.page.evaluate("document.activeElement.textContent")


def test_the_first_stop_skips_the_menu(browser: Chromium, world: PageWorld) -> None:
    with browser.tab("owner") as tab:
        tab.open(path_of(STOPS[0], world))
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.press("Enter")
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.closest('main') !== null")


def test_the_inbox_is_called_with_what_is_not_read(browser: Chromium) -> None:
    for size in (WIDE, PHONE):
        with browser.tab("owner", size=size) as tab:
            tab.open("/preferences")
            way = tab.page.get_by_role("link", name=re.compile(r"^Inbox ?, [1-9]\d* ?unread$"))
            expect(way).to_be_visible()


def tab_to(tab: Tab, wanted: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(200):
        tab.page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"Tab does not come to {wanted}")


def walk_with_tab(tab: Tab, path: str) -> None:
    """Open a page and press Tab until it was everywhere, or should have been."""
    tab.open(path)
    watched = tab.page.evaluate(_WATCH)
    assert watched["count"] > 0
    assert watched["unsent"] == [], path
    for number in range(watched["count"] + _SPARE):
        tab.page.keyboard.press("Tab")
        if number % _AT_ONCE == 0 and tab.page.evaluate(_MISSED) == []:
            break
    assert tab.page.evaluate(_MISSED) == [], path
    assert tab.page.evaluate("window.unseen") == [], path
