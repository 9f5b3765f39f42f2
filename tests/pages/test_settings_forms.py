"""The long forms of settings in a real browser: opened, refused, and amid a rotation."""

from __future__ import annotations

import base64

from playwright.sync_api import expect

from tests.pages.test_walk import assert_no_fault
from tests.pages.walk import OWNER, Stop
from tests.support.chromium import PHONE, Chromium
from tests.support.page_world import FULL

BASE = f"/orgs/{FULL}"
SECRET = "whsec_" + base64.b64encode(b"x" * 32).decode()
OPEN = "for (const one of document.querySelectorAll('main details')) one.open = true"


def test_secret_is_rotated_and_the_old_one_ended(browser: Chromium) -> None:
    stop = Stop("destination-rotated", "", OWNER)
    with browser.tab("owner", size=PHONE) as tab:
        page = tab.page
        tab.open(f"{BASE}/notifications/destinations/new?kind=webhook")
        page.get_by_label("Name", exact=True).fill("rotated")
        page.get_by_label("Address", exact=True).fill("https://siem.example.com/in")
        page.get_by_role("button", name="Add destination").click()
        page.get_by_label("Secret (whsec_…)").fill(SECRET)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Two sign for now")).to_be_visible()
        page.evaluate(OPEN)
        assert_no_fault(tab, stop)
        page.get_by_role("button", name="Stop signing with the old").click()
        expect(page.get_by_role("heading", name="Two sign for now")).to_have_count(0)
        page.get_by_label("Stop signing with the old one at once").check()
        page.get_by_label("Secret (whsec_…)").fill("short")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("link", name="Secret (whsec_…)").click()
        assert page.url.endswith("#signing_secret")
        assert_no_fault(tab, stop)
        assert tab.trouble == []


def test_refused_rule_and_age_lead_to_their_fields(browser: Chromium) -> None:
    stop = Stop("rule-refused", "", OWNER)
    with browser.tab("owner", size=PHONE) as tab:
        page = tab.page
        tab.open(f"{BASE}/notifications/rules/new")
        page.evaluate(OPEN)
        assert_no_fault(tab, stop)
        page.get_by_label("Name", exact=True).fill("refused")
        page.get_by_label("Only from (events)").fill("5")
        page.get_by_label("within (minutes)").fill("0.5")
        page.get_by_label("Counted apart by").select_option("actor")
        page.get_by_role("button", name="Save").click()
        assert_no_fault(tab, stop)
        page.get_by_role("link", name="Threshold, minutes").click()
        expect(page.locator("#threshold_minutes")).to_be_in_viewport()
        expect(page.get_by_label("Counted apart by")).to_have_value("actor")
        tab.open(f"{BASE}/retention")
        page.get_by_label("Keep events for", exact=True).fill("1")
        page.get_by_label("Unit", exact=True).select_option("hours")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("from 24 to 87600 hours")
        page.evaluate(OPEN)
        assert_no_fault(tab, stop)
        assert tab.trouble == []
