"""The keyboard alone reaches everything that a mouse can press, and is seen where it is."""

from __future__ import annotations

import pytest

from tests.pages.walk import OUTSIDE, STOPS, Stop, path_of
from tests.support.chromium import Chromium
from tests.support.page_world import PageWorld

# Bars of the drawing are left out: the table below it has the same links.
_REACHABLE = """() => {
  const fields = 'input:not([type=hidden]), select, textarea';
  const all = `a[href], button, summary, [tabindex="0"], ${fields}`;
  const seen = [...document.querySelectorAll(all)].filter((one) =>
    !one.closest('svg') && one.checkVisibility({ contentVisibilityAuto: true }) && !one.disabled);
  seen.forEach((one, number) => { one.dataset.number = number; });
  document.activeElement?.blur();
  return seen.length;
}"""
_FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one);
  return { number: one.dataset.number ?? null, outline: style.outlineStyle !== 'none' };
}"""
# A field for date and time is several stops of the Tab key.
_SPARE = 40


@pytest.mark.parametrize(
    "stop", [stop for stop in STOPS if "activity" not in stop.name] + [STOPS[2], STOPS[4]]
    + list(OUTSIDE), ids=lambda stop: stop.name
)  # fmt: skip
def test_tab_reaches_everything(browser: Chromium, world: PageWorld, stop: Stop) -> None:
    walk_with_tab(browser, world, None if stop in OUTSIDE else "owner", path_of(stop, world))


def test_tab_reaches_every_row_of_the_log(browser: Chromium, world: PageWorld) -> None:
    walk_with_tab(browser, world, "owner", path_of(STOPS[0], world) + "?q=action:org.updated")


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


def walk_with_tab(browser: Chromium, world: PageWorld, role: str | None, path: str) -> None:
    with browser.tab(role) as tab:
        tab.open(path)
        count = tab.page.evaluate(_REACHABLE)
        assert count > 0
        reached: set[str] = set()
        for _ in range(count + _SPARE):
            tab.page.keyboard.press("Tab")
            focused = tab.page.evaluate(_FOCUSED)
            if focused is None:
                if reached:
                    break
                continue
            assert focused["outline"], focused
            if focused["number"] is not None:
                reached.add(focused["number"])
            if len(reached) == count:
                break
        missed = {str(number) for number in range(count)} - reached
        names = [
            tab.page.locator(f"[data-number='{n}']").evaluate("one => one.outerHTML.slice(0, 120)")
            for n in sorted(missed)
        ]
        assert names == []
