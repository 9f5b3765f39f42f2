"""The pages of notifications: destinations, rules, tries and deliveries."""

from __future__ import annotations

from tests.support.hub_builder import HubUnderTest, events_of
from tests.support.pages import Elements, Reader, reader
from tests.web.test_settings import BASE, after, field, newest

PAGE = f"{BASE}/notifications"
NEW = f"{PAGE}/destinations/new"
SLACK = "https://hooks.slack.example/services/T0/B0/secretpart"


async def revision(browser: Reader) -> str:
    fields = Elements(await browser.text(f"{PAGE}/rules/new")).all("input")
    return next(one["value"] for one in fields if one.get("name") == "revision")


async def add_slack(browser: Reader, name: str = "security") -> str:
    """Add a destination; return its page's address."""
    answer = await browser.post(NEW, kind="slack", name=name, url=SLACK)
    assert answer.status == 303, answer.body.decode()
    return answer.headers["Location"]


async def test_slack_destination_is_added_and_its_address_never_shown(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address = await add_slack(owner)
    event = await newest(hub)
    assert event["action"] == "audit.policy_changed"
    for path in (address, PAGE):
        page = await owner.text(path)
        assert "Not used yet" in page
        assert "secretpart" not in page
    assert "secretpart" not in str(event)


async def test_made_signing_secret_is_shown_once(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    fields = {"kind": "webhook", "name": "siem", "url": "https://siem.example.com/in"}
    answer = await owner.post(NEW, **fields)
    page = answer.body.decode()
    secret = field(page, "made-secret")["value"]
    assert secret.startswith("whsec_")
    links = [one["href"] for one in Elements(await owner.text(PAGE)).all("a")]
    address = next(one for one in links if "/destinations/nd_" in one)
    assert secret not in await owner.text(address)
    await after(owner, address, url="https://siem.example.com/other", min_severity="warning")
    page = await owner.text(address)
    assert field(page, "url")["value"] == "https://siem.example.com/other"
    assert "no secret" not in page, "it stays when the field is empty"


async def test_wrong_destination_is_named_beside_its_field(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    for fields, name in (
        ({"kind": "slack", "name": "a", "url": "http://hooks.example"}, "url"),
        ({"kind": "webhook", "name": "a", "url": "ftp://x"}, "url"),
        ({"kind": "email", "name": "a", "to": "nobody"}, "to"),
        ({"kind": "pagerduty", "name": "a", "routing_key": "short"}, "routing_key"),
        ({"kind": "teams", "name": "Not A Name", "url": SLACK}, "name"),
    ):
        answer = await owner.post(NEW, **fields)
        page = answer.body.decode()
        assert answer.status == 422, fields
        assert field(page, name).get("aria-invalid") == "true", (fields, page)


RULE = {
    "name": "shells",
    "actions": "pod.exec_started",
    "query": "namespace:*",
    "severity": "warning",
    "destinations": "security",
}


async def test_rule_is_tried_saved_changed_and_deleted(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    await hub.append(*events_of(3, action="pod.exec_started"))
    tried = await owner.post(f"{PAGE}/rules/new", **RULE, revision=await revision(owner), do="try")
    assert tried.status == 200
    assert "Would have sent" in tried.body.decode()
    assert field(tried.body.decode(), "name")["value"] == "shells", "nothing typed is lost"
    page = await after(owner, f"{PAGE}/rules/new", **RULE, revision=await revision(owner))
    assert "pod.exec_started" in page
    changed = {**RULE, "throttle_max": "10", "throttle_minutes": "5"}
    await after(owner, f"{PAGE}/rules/shells", **changed, revision=await revision(owner))
    assert field(await owner.text(f"{PAGE}/rules/shells"), "throttle_max")["value"] == "10"
    twice = await owner.post(f"{PAGE}/rules/new", **RULE, revision=await revision(owner))
    assert twice.status == 409
    address = next(
        one["href"]
        for one in Elements(await owner.text(PAGE)).all("a")
        if "/destinations/nd_" in one["href"]
    )
    used = await owner.post(f"{address}/delete")
    assert used.status == 409
    assert "shells" in used.body.decode()
    await after(owner, f"{PAGE}/rules/shells/delete", revision=await revision(owner))
    assert "The destination is deleted" in await after(owner, f"{address}/delete")


async def test_wrong_rule_is_named_beside_its_field(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    for change, name in (
        ({"query": "nonsense:x"}, "query"),
        ({"actions": "pod.exec_strated"}, "actions"),
        ({"throttle_max": "x", "throttle_minutes": "5"}, "throttle_max"),
        ({"quiet_from": "25:00", "quiet_to": "06:00"}, "quiet_from"),
    ):
        asked = {**RULE, **change, "revision": await revision(owner)}
        answer = await owner.post(f"{PAGE}/rules/new", **asked)
        page = answer.body.decode()
        assert answer.status == 422, change
        assert field(page, name).get("aria-invalid") == "true", (change, page)
    lost = {**RULE, "revision": "0"}
    assert (await owner.post(f"{PAGE}/rules/new", **lost)).status == 409


async def test_test_of_a_destination_tells_what_went_wrong(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(NEW, kind="slack", name="inside", url="https://127.0.0.1/hook")
    address = answer.headers["Location"]
    page = (await owner.post(f"{address}/test")).body.decode()
    assert "The test did not arrive" in page
    again = await owner.post(f"{address}/test")
    assert again.status == 429
    assert "once in 10 seconds" in again.body.decode()
    links = [one["href"] for one in Elements(await owner.text(address)).all("a")]
    delivery = next(one for one in links if "/deliveries/msg_" in one)
    shown = await owner.text(delivery)
    assert "Attempt 1" in shown
    assert "hook" not in Elements(shown).text.replace("webhook", ""), "the address is a secret"
