"""What owners set up on the pages, done in a real browser, with script and without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.support.chromium import Chromium, Tab
from tests.support.page_world import FULL, PageWorld

BASE = f"/orgs/{FULL}"


@pytest.fixture(params=["with-script", "without"])
def owner(request: pytest.FixtureRequest, browser: Chromium) -> Iterator[tuple[Tab, str]]:
    """A tab of the owner's, and a word for names that no other tab uses."""
    word: str = request.param
    with browser.tab("owner", script=word == "with-script") as opened:
        yield opened, word
        assert opened.trouble == []


def test_somebody_is_invited_and_the_invitation_revoked(owner: tuple[Tab, str]) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/members")
    page.get_by_label("E-mail").fill(f"{word}@example.com")
    page.get_by_label("Role", exact=True).select_option("auditor")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_label("Invitation link")).to_have_value(re.compile("token=rhi_"))
    page.get_by_role("button", name=f"Revoke the invitation of {word}@example.com").click()
    expect(page.get_by_role("status")).to_contain_text("The invitation is revoked")


def test_a_token_is_made_and_revoked(owner: tuple[Tab, str]) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/tokens")
    page.get_by_label("Name", exact=True).fill(word)
    page.get_by_label("audit:read").check()
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_label(f"Token {word}")).to_have_value(re.compile("^rhp_"))
    page.get_by_role("button", name=f"Revoke {word}").click()
    expect(page.get_by_role("status")).to_contain_text("The token is revoked")
    assert "rhp_" not in page.content()


def test_a_cluster_is_connected_and_removed(owner: tuple[Tab, str]) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/clusters")
    page.get_by_role("link", name="Connect a cluster").click()
    page.get_by_label("Name", exact=True).fill(word)
    page.get_by_label("Environment", exact=True).fill("staging")
    page.get_by_role("button", name="Connect cluster").click()
    expect(page.get_by_label("Cluster token")).to_have_value(re.compile("^rhc_"))
    expect(page.locator("#install-instead")).to_contain_text(
        "Set hub.publicUrl"
    )  # a hub on loopback
    page.get_by_text("Remove this cluster").click()
    page.get_by_label(re.compile("to confirm")).fill(word)
    page.get_by_role("button", name="Remove cluster").click()
    expect(page.get_by_role("status")).to_contain_text("The cluster is removed")


def test_a_destination_gets_a_rule_that_is_tried_first(owner: tuple[Tab, str]) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/notifications")
    page.get_by_role("link", name="Add E-mail").click()
    page.get_by_label("Name", exact=True).fill(word)
    page.get_by_label("Addresses").fill("sec@example.com")
    page.get_by_role("button", name="Add destination").click()
    page.get_by_role("button", name="Send test").click()
    expect(page.get_by_role("status")).to_contain_text("The test arrived")
    tab.open(f"{BASE}/notifications/rules/new")
    page.get_by_label("Name", exact=True).fill(f"rule-{word}")
    page.get_by_label("Actions").fill("pod.exec_started")
    page.get_by_label(word, exact=True).check()
    page.get_by_role("button", name="Try it on these days").click()
    expect(page.get_by_role("status")).to_contain_text("Would have sent")
    expect(page.get_by_label("Name", exact=True)).to_have_value(f"rule-{word}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name=f"rule-{word}")).to_be_visible()


def test_the_organization_and_its_retention_are_changed(
    owner: tuple[Tab, str], world: PageWorld
) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/settings")
    page.get_by_label("Tokens expire after (days)").fill("not a number")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a whole number of days")
    page.get_by_label("Tokens expire after (days)").fill("60")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    tab.open(f"{BASE}/retention")
    page.get_by_text("Add a hold").click()
    page.get_by_label("Name", exact=True).fill(word)
    page.get_by_label("Reason").fill("a lawsuit")
    page.get_by_label("Query", exact=True).fill("actor:eve@acme.com")
    page.get_by_label("Ends").fill("2099-01-01T10:00")
    page.get_by_role("button", name="Add hold").click()
    expect(page.get_by_role("region", name="Legal holds")).to_contain_text("1 Jan 2099, 10:00:00")
    expect(page.get_by_role("status")).to_contain_text("The hold is in force")
    page.get_by_role("button", name=f"Release {word}").click()
    expect(page.get_by_role("status")).to_contain_text("The hold is released")


def test_an_exception_of_the_retention_is_made_and_deleted(owner: tuple[Tab, str]) -> None:
    tab, word = owner
    page = tab.page
    tab.open(f"{BASE}/retention")
    page.get_by_role("link", name="Add an exception").click()
    page.get_by_label("Name", exact=True).fill(word)
    page.get_by_label("Actions").fill("billing.nothing")
    page.get_by_label("Keep them for").fill("3")
    page.get_by_role("button", name="Add exception").click()
    page.get_by_role("alert").get_by_role("link", name="Actions").click()
    page.get_by_label("Actions").fill("pat.*")
    page.get_by_role("button", name="Add exception").click()
    expect(page.get_by_role("region", name="Exceptions")).to_contain_text("3 days")
    page.get_by_role("link", name=word, exact=True).click()
    page.get_by_text("Delete this exception").click()
    page.get_by_role("button", name="Delete exception").click()
    expect(page.get_by_role("status")).to_contain_text("The exception is deleted")


def test_mails_are_chosen(owner: tuple[Tab, str]) -> None:
    tab, _ = owner
    page = tab.page
    tab.open("/inbox/preferences")
    box = page.locator("input[value='cluster.disconnected']")
    box.check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("input[value='cluster.disconnected']")).to_be_checked()
    page.locator("input[value='cluster.disconnected']").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("input[value='cluster.disconnected']")).not_to_be_checked()
