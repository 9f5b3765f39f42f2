"""Every page in a real browser, as everybody: it is there, whole, and breaks no rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pages.walk import OUTSIDE, ROLES, STOPS, Stop, path_of
from tests.support.chromium import PHONE, WIDE, Chromium, Tab
from tests.support.page_world import PageWorld


def wanted(stop: Stop, role: str) -> int:
    return stop.status if role in stop.who else 403


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_rule_is_broken(
    browser: Chromium, world: PageWorld, role: str
) -> None:
    with browser.tab(role) as tab:
        for stop in STOPS:
            status = tab.open(path_of(stop, world))
            assert status == wanted(stop, role), stop
            assert tab.page.locator("h1").count() == 1, stop
            # All refusals are one page; and what is on a page is checked as the first who sees it.
            if role == (*stop.who, role)[0] or stop == STOPS[0]:
                assert_no_fault(tab, stop)
            assert tab.trouble == [], stop


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (WIDE, "dark")])
def test_pages_fit_a_phone_and_have_enough_contrast_in_the_dark(
    browser: Chromium, world: PageWorld, size: tuple[int, int], scheme: Any
) -> None:
    with browser.tab("owner", size=size, scheme=scheme) as tab:
        for stop in STOPS:
            tab.open(path_of(stop, world))
            assert_no_fault(tab, stop)


@pytest.mark.parametrize("script", [True, False])
def test_pages_outside_are_there_for_whoever_has_no_session(
    browser: Chromium, world: PageWorld, script: bool
) -> None:
    for size in (WIDE, PHONE):
        with browser.tab(size=size, script=script) as tab:
            for stop in OUTSIDE:
                assert tab.open(path_of(stop, world)) == stop.status, stop
                assert tab.page.locator("h1").count() == 1
                if script:
                    assert_no_fault(tab, stop)


def test_pages_are_the_same_without_script(browser: Chromium, world: PageWorld) -> None:
    for role in ROLES:
        with browser.tab(role, script=False) as tab:
            for stop in STOPS:
                assert tab.open(path_of(stop, world)) == wanted(stop, role), stop
                assert tab.page.locator("h1").count() == 1, stop


def test_open_details_and_menus_break_no_rule(browser: Chromium, world: PageWorld) -> None:
    for size in (WIDE, PHONE):
        with browser.tab("owner", size=size) as tab:
            tab.open(path_of(STOPS[0], world))
            tab.page.evaluate(
                "for (const one of document.querySelectorAll('details:not(.menu)')) one.open = true"
            )
            assert_no_fault(tab, STOPS[0])
            for summary in tab.page.locator("details.menu > summary").all():
                summary.click()
                assert_no_fault(tab, STOPS[0])
                inside = summary.locator("xpath=following-sibling::*").bounding_box()
                assert inside is not None
                assert inside["x"] >= 0, "what is left of the window is nowhere to be scrolled to"
                assert inside["x"] + inside["width"] <= size[0]
                summary.click()


def assert_no_fault(tab: Tab, stop: Stop) -> None:
    assert tab.overflow() == 0, stop
    assert tab.breaches_of_axe() == [], stop
    assert tab.trouble == [], stop
