"""The form of a destination saves what was typed, and leaves as it was what nobody touched."""

from __future__ import annotations

import base64

from radar_audit_hub.policy.secret_parts import Secret
from radar_audit_hub.policy.storing import opened
from radar_audit_hub.store.owners import get_owner

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.pages import Elements, Reader, reader
from tests.web.test_notifications import NEW, PAGE, SLACK
from tests.web.test_settings import after, field

URL = "https://siem.example.com/in"
FIRST, SECOND, THIRD = (
    "whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"a", b"b", b"c")
)
KEY, OTHER_KEY = ("whsk_" + base64.b64encode(letter * 32).decode() for letter in (b"d", b"e"))


async def stored(hub: HubUnderTest, name: str = "siem") -> Secret:
    """Return what a destination is signed with, as a delivery finds it."""
    async with hub.hub.db.read() as conn:
        owner = await get_owner(conn, ORG, "org")
    assert owner is not None
    return opened(hub.hub.sealer, owner)[name]


async def add_webhook(owner: Reader, **keys: str) -> str:
    answer = await owner.post(NEW, kind="webhook", name="siem", url=URL, **keys)
    assert answer.status == 303, answer.body.decode()
    return answer.headers["Location"]


async def test_new_secret_keeps_the_key_and_the_old_secret_signs_until_it_is_ended(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    address = await add_webhook(owner, signing_secret=FIRST, signing_key=KEY)
    assert "Two sign for now" not in await owner.text(address)
    page = await after(owner, address, url=URL, signing_secret=SECOND)
    assert await stored(hub) == Secret(
        signing_secret=SECOND, previous_signing_secret=FIRST, signing_key=KEY
    )
    assert "Two sign for now" in page
    assert "the secret, the old secret, the key" in Elements(page).text
    page = await after(owner, address, url=URL, min_severity="warning")
    assert (await stored(hub)).previous_signing_secret == FIRST, "a save does not end it"
    page = await after(owner, address, do="end_old")
    assert await stored(hub) == Secret(signing_secret=SECOND, signing_key=KEY)
    assert "Two sign for now" not in page
    assert field(page, "min_severity"), "the rest of the form is as it was"
    one = await hub.send("GET", f"/api{address.replace('/notifications', '')}")
    assert one.json["settings"]["min_severity"] == "warning"


async def test_old_secret_ends_at_once_if_it_is_ticked(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address = await add_webhook(owner, signing_secret=FIRST, signing_key=KEY)
    await after(owner, address, url=URL, signing_key=OTHER_KEY)
    assert (await stored(hub)).previous_signing_key == KEY
    await after(owner, address, url=URL, signing_secret=SECOND, end_old="on")
    assert await stored(hub) == Secret(signing_secret=SECOND, signing_key=OTHER_KEY)


async def test_key_is_given_up_alone_and_never_the_last_one(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address = await add_webhook(owner, signing_secret=FIRST, signing_key=KEY)
    await after(owner, address, url=URL, signing_secret=SECOND)
    await after(owner, address, url=URL, give_up="signing_secret")
    assert await stored(hub) == Secret(signing_key=KEY), "its old one goes with it"
    refused = await owner.post(address, url=URL, give_up="signing_key")
    assert refused.status == 422
    assert "A webhook must keep its secret or its key" in refused.body.decode()
    assert await stored(hub) == Secret(signing_key=KEY)


async def test_api_changes_each_key_for_itself(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address = await add_webhook(owner, signing_secret=FIRST, signing_key=KEY)
    path = f"/api{address.replace('/notifications', '')}"

    async def patched(**keys: str | None) -> Secret:
        answer = await hub.send("PATCH", path, json={"webhook": {"url": URL, **keys}})
        assert answer.status == 200, answer.body
        return await stored(hub)

    both = Secret(signing_secret=SECOND, previous_signing_secret=FIRST, signing_key=KEY)
    assert await patched(signing_secret=SECOND, signing_key=None) == both
    assert await patched(signing_secret=SECOND) == both, "the same again changes nothing"
    assert await patched(previous_signing_secret="") == Secret(
        signing_secret=SECOND, signing_key=KEY
    )
    said = await patched(signing_secret=THIRD, previous_signing_secret=FIRST)
    assert said == Secret(signing_secret=THIRD, previous_signing_secret=FIRST, signing_key=KEY)


async def test_mute_is_shown_and_stays_to_the_millisecond_when_something_else_is_saved(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    answer = await owner.post(NEW, kind="slack", name="security", url=SLACK)
    address = answer.headers["Location"]
    path = f"/api{address.replace('/notifications', '')}"
    until = "2099-01-01T07:00:00.250Z"
    await hub.send("PATCH", path, json={"muted_until": until})
    owner.cookies["radar_audit_zone"] = "Europe/Berlin"
    page = await owner.text(address)
    shown = field(page, "muted_until")["value"]
    assert shown == "2099-01-01T08:00:00"
    assert "Muted until 1 Jan 2099, 08:00:00" in Elements(page).text
    page = await after(owner, address, min_severity="warning", muted_until=shown)
    settings = (await hub.get(path)).json["settings"]
    assert (settings["min_severity"], settings["muted_until"]) == ("warning", until)
    assert "Muted" in Elements(await owner.text(PAGE)).text
    await after(owner, address, muted_until="")
    assert "muted_until" not in (await hub.get(path)).json["settings"]


async def test_mistakes_are_called_as_the_page_calls_the_fields(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    answer = await owner.post(NEW, kind="webhook", name="siem", url="http://x", signing_key="no")
    page = answer.body.decode()
    assert answer.status == 422
    links = [one["href"] for one in Elements(page).all("a") if one["href"].startswith("#")]
    assert {"#url", "#signing_key"} <= set(links)
    for name in ("url", "signing_key"):
        assert field(page, name)["aria-invalid"] == "true"
    assert "Key (whsk_…) must be" in Elements(page).text


async def test_range_of_times_is_sent_again_and_a_wrong_one_named(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    address = await add_webhook(owner, signing_secret=FIRST)
    replay = f"{address}/replay"
    wrong = await owner.post(replay, replay_from="", replay_to="", replay_state="")
    page = wrong.body.decode()
    assert wrong.status == 422
    assert field(page, "replay_from")["aria-invalid"] == "true"
    wrong = await owner.post(replay, replay_from="2026-11-24T10:00", replay_state="pending")
    page = wrong.body.decode()
    assert field(page, "replay_state")["aria-invalid"] == "true"
    assert field(page, "replay_from")["value"] == "2026-11-24T10:00", "nothing typed is lost"
    times = {"replay_from": "2026-11-24T10:00", "replay_to": "2026-11-24T11:00"}
    assert "It is sent again" in await after(owner, replay, **times, replay_state="failed")
