"""What people do on the pages, done in a real browser, with script and without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.support.browsers import signed_in
from tests.support.chromium import Chromium, Tab
from tests.support.log_rows import make_event
from tests.support.page_world import FULL, PageWorld

ACTIVITY = f"/orgs/{FULL}/activity"


def happen(world: PageWorld, number: int, actor: str) -> None:
    """Have something happen that is newer than whatever other tests did."""
    world.hub.clock.now_ms += 1
    event = make_event(
        number, action="org.created", org_id=FULL, metadata={"name": "Live"},
        created_at_ms=world.hub.clock.now_ms, actor_email=actor,
    )  # fmt: skip
    world.run(world.hub.append(event, org_id=FULL))


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def tab(request: pytest.FixtureRequest, browser: Chromium) -> Iterator[Tab]:
    """A tab of the owner's, with script and without."""
    with browser.tab("owner", script=request.param) as opened:
        yield opened
        assert opened.trouble == []


def test_controls_and_query_stay_in_step(tab: Tab) -> None:
    page = tab.page
    tab.open(ACTIVITY)
    page.get_by_label("Action", exact=True).fill("pod.*")
    page.get_by_label("Target type").select_option("pod")
    page.get_by_label("Actor").fill("alice@acme.com")
    page.get_by_label("Time", exact=True).select_option("24h")
    page.get_by_role("button", name="Apply").click()
    box = page.get_by_label("Query")
    expect(box).to_have_value("action:pod.* type:pod actor:alice@acme.com")
    assert "range=24h" in page.url
    box.fill("action:auth.signin created:>=2026-11-15")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("Action", exact=True)).to_have_value("auth.signin")
    expect(page.get_by_label("Actor")).to_have_value("")
    expect(page.get_by_label("Time", exact=True)).to_have_value("custom")
    expect(page.get_by_label("From (")).to_be_visible()


def test_a_mistake_is_shown_where_it_is_and_nothing_is_lost(tab: Tab) -> None:
    page = tab.page
    tab.open(ACTIVITY)
    page.get_by_label("Actor").fill("alice@acme.com")
    page.get_by_label("Query").fill("namespace:payments pod:")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("at character 24: expected a value")
    expect(page.get_by_label("Query")).to_have_value("namespace:payments pod:")
    expect(page.get_by_label("Actor")).to_have_value("alice@acme.com")
    page.get_by_label("Query").fill("namespace:payments")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("Query")).to_have_value("namespace:payments actor:alice@acme.com")


def test_a_row_opens_and_leads_to_the_event(tab: Tab) -> None:
    page = tab.page
    tab.open(f"{ACTIVITY}?q=action:pod.exec_ended&range=all")
    row = page.locator("tbody.event").first
    row.locator("summary").click()
    expect(row.locator("dl")).to_contain_text("session_id")
    row.get_by_role("link", name="Permalink").click()
    expect(page).to_have_url(re.compile(r"/activity/ae_[0-9A-Z]{26}$"))
    expect(page.locator("#json")).to_contain_text('"action": "pod.exec_ended"')
    page.get_by_role("link", name="pod.exec_started").click()
    expect(page.locator("#json")).to_contain_text('"action": "pod.exec_started"')


def test_bars_and_facets_narrow_what_is_shown(tab: Tab) -> None:
    page = tab.page
    tab.open(ACTIVITY)
    page.get_by_text("As a table").click()
    page.locator(".table-scroll a").first.click()
    expect(page.get_by_label("Query")).to_have_value(re.compile("^created:"))
    tab.open(ACTIVITY)
    page.locator("svg.bars a").last.click()
    expect(page.get_by_label("Query")).to_have_value(re.compile("^created:"))
    tab.open(ACTIVITY)
    page.locator(".facet a", has_text="auth.signin").click()
    expect(page.get_by_label("Query")).to_have_value("action:auth.signin")
    page.locator(".facet a[aria-current]", has_text="auth.signin").click()
    expect(page.get_by_label("Query")).to_have_value("")


def test_a_view_is_saved_opened_and_deleted(tab: Tab) -> None:
    page = tab.page
    tab.open(f"{ACTIVITY}?q=action:auth.*&range=30d")
    views = page.locator("details.menu", has_text="Views").first
    views.locator("summary").click()
    views.get_by_label("Save this filter as").fill("Sign-ins <b>")
    views.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The view is saved. Only you see it.")
    tab.open(ACTIVITY)
    views.locator("summary").click()
    views.get_by_role("link", name="Sign-ins <b>").click()
    expect(page.get_by_label("Query")).to_have_value("action:auth.*")
    assert "range=30d" in page.url
    views.locator("summary").click()
    views.get_by_role("button", name="Delete the view Sign-ins <b>").click()
    expect(page.get_by_role("status")).to_have_text("The view is deleted.")


def test_older_events_are_reached(tab: Tab) -> None:
    page = tab.page
    tab.open(f"{ACTIVITY}?range=all")
    expect(page.locator("tbody.event").first).to_be_visible()
    for _ in range(12):
        if not page.locator("[data-older]").count():
            break
        link = page.locator("[data-older]")
        before = link.get_attribute("href")
        link.scroll_into_view_if_needed()
        if not tab.has_script:
            link.click()
        else:
            page.wait_for_function(
                "href => document.querySelector('[data-older]')?.getAttribute('href') !== href",
                arg=before,
            )
    expect(page.get_by_text("End of the log.")).to_be_visible()


def test_terminals_are_found_by_state_and_place(tab: Tab) -> None:
    page = tab.page
    tab.open(f"/orgs/{FULL}/sessions")
    page.get_by_label("State").select_option("open")
    page.get_by_label("Namespace").fill("pay*")
    page.get_by_role("button", name="Apply").click()
    rows = page.locator("table.sessions tbody tr")
    assert rows.count() > 0
    for text in rows.all_inner_texts():
        assert "Open" in text
        assert "payments / " in text


def test_a_time_zone_is_chosen(tab: Tab) -> None:
    page = tab.page
    tab.open(ACTIVITY)
    page.locator("details.person > summary").click()
    page.get_by_role("link", name="Time zone").click()
    page.get_by_label("Zone").select_option("Asia/Kolkata")
    page.get_by_role("button", name="Use this zone").click()
    expect(page.get_by_role("status")).to_have_text("Times are shown in your time zone.")
    first = page.locator("tbody.event time").first
    utc = first.get_attribute("title") or ""
    assert utc.endswith("UTC")
    hour, minute = int(utc[11:13]), int(utc[14:16])
    there = (hour * 60 + minute + 330) % 1440
    assert f"{there // 60:02}:{there % 60:02}:" in first.inner_text()


def test_an_export_holds_what_is_filtered(browser: Chromium) -> None:
    with browser.tab("owner") as tab:
        page = tab.page
        tab.open(f"{ACTIVITY}?q=action:auth.signin&range=30d")
        page.locator("details.menu", has_text="Export").locator("summary").click()
        with page.expect_download() as coming:
            page.get_by_role("link", name="CSV").click()
        lines = coming.value.path().read_text().splitlines()
        assert len(lines) > 10
        assert all(",auth.signin," in line for line in lines[1:])


def test_live_shows_what_happens(browser: Chromium, world: PageWorld) -> None:
    with browser.tab("auditor") as tab:
        page = tab.page
        tab.open(f"{ACTIVITY}?range=all")
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Live: on")).to_be_visible()
        happen(world, 77, "live@acme.com")
        shown = page.locator("tbody.event", has_text="live@acme.com")
        expect(shown).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="Live: on").click()
        expect(page.get_by_role("button", name="Live", exact=True)).to_be_visible()
        assert tab.trouble == []


def test_live_leaves_what_is_being_read(browser: Chromium, world: PageWorld) -> None:
    with browser.tab("auditor") as tab:
        page = tab.page
        tab.open(f"{ACTIVITY}?range=all")
        rows = page.locator("tbody.event")
        first = rows.count()
        page.locator("[data-older]").scroll_into_view_if_needed()
        expect(rows.nth(first + 1)).to_be_attached(timeout=30_000)
        loaded = rows.count()
        read = rows.nth(first)
        read.locator("summary").click()
        address = read.locator("td.time a").get_attribute("href")
        page.get_by_role("button", name="Live").click()
        happen(world, 78, "live2@acme.com")
        new = page.locator("tbody.event", has_text="live2@acme.com")
        expect(new).to_be_attached(timeout=30_000)
        assert rows.count() == loaded + 1
        kept = page.locator("tbody.event", has=page.locator(f'td.time a[href="{address}"]'))
        expect(kept.locator("details")).to_have_attribute("open", "")
        assert tab.trouble == []


def test_live_that_is_refused_says_that_it_is_off(browser: Chromium) -> None:
    with browser.tab("auditor") as tab:
        tab.page.route("**/audit/follow?*", lambda route: route.fulfill(status=429))
        tab.open(ACTIVITY)
        tab.page.get_by_role("button", name="Live").click()
        expect(tab.page.get_by_role("button", name="Live", exact=True)).to_be_visible()
        expect(tab.page.locator("[data-live]")).to_have_attribute("aria-pressed", "false")


def test_the_browsers_zone_is_taken_where_none_is_chosen(browser: Chromium) -> None:
    with browser.tab("owner", zone="America/New_York") as tab:
        tab.open(ACTIVITY)
        tab.page.locator("details.person > summary").click()
        expect(tab.page.get_by_role("link", name="Time zone")).to_contain_text("America/New_York")


def test_an_invitations_token_survives_the_sign_in(browser: Chromium) -> None:
    with browser.tab("nobody") as tab:
        tab.open("/invitations/accept#token=rhi_" + "A" * 43)
        assert "token" not in tab.page.url
        expect(tab.page.get_by_label("Invitation link")).to_have_value("rhi_" + "A" * 43)
        tab.page.get_by_role("button", name="Accept invitation").click()
        expect(tab.page.get_by_role("alert")).to_contain_text("There is no such invitation for you")


@pytest.mark.parametrize("script", [True, False])
def test_the_ways_to_sign_in_are_offered(browser: Chromium, script: bool) -> None:
    with browser.tab(script=script) as tab:
        page = tab.page
        tab.open(ACTIVITY)
        expect(page).to_have_url(re.compile(r"/signin\?return_to=%2Forgs%2F"))
        provider = page.get_by_role("link", name="Continue with your identity provider")
        assert f"return_to=%2Forgs%2F{FULL}%2Factivity" in (provider.get_attribute("href") or "")
        page.get_by_label("Work e-mail").fill("alice@nowhere.example")
        page.get_by_role("button", name="Continue with SSO").click()
        expect(page.get_by_role("alert")).to_contain_text("of no domain that signs in here")
        expect(page.get_by_label("Work e-mail")).to_have_value("alice@nowhere.example")
        assert tab.trouble == []


@pytest.mark.parametrize("script", [True, False])
def test_signing_out_ends_on_the_sign_in_page(
    browser: Chromium, world: PageWorld, script: bool
) -> None:
    world.browsers["leaving"] = world.run(signed_in(world.hub, "user_viewer"))
    with browser.tab("leaving", script=script) as tab:
        page = tab.page
        tab.open("/")
        page.locator("details.person > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        tab.open("/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
