"""The pages of a person's inbox: read once is read everywhere, and mails follow what was ticked."""

from __future__ import annotations

import re

from radar_audit_hub.store.inbox import NewItem, put_items

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import NOW_MS
from tests.support.pages import Elements, Reader, member, reader
from tests.web.test_settings import after


async def told(hub: HubUnderTest) -> Reader:
    """Have notices made for an owner: another owner invites somebody."""
    owner, other = await reader(hub), await member(hub, "owner")
    for number in range(2):
        email = f"new{number}@example.com"
        answer = await other.post(f"/orgs/{ORG}/invitations", email=email, role="viewer")
        assert answer.status == 200
    return owner


def ids(page: str) -> list[str]:
    """Return the ids of the notices that can be marked read."""
    return [one["value"] for one in Elements(page).all("input") if one.get("name") == "id"]


async def test_notices_are_read_and_deleted(hub: HubUnderTest) -> None:
    owner = await told(hub)
    page = await owner.text("/inbox")
    assert "new0@example.com" in page
    unread = ids(page)
    assert len(unread) == 2
    page = await after(owner, "/inbox/read", id=unread[0])
    assert ids(page) == unread[1:]
    assert unread[0] not in await owner.text("/inbox?unread=true")
    other_session = await reader(hub)
    assert ids(await other_session.text("/inbox")) == unread[1:]
    assert not ids(await after(owner, "/inbox/read"))
    assert "The notice is deleted" in await after(owner, f"/inbox/{unread[0]}/delete")
    assert unread[0] not in await owner.text("/inbox")


async def test_mails_follow_what_is_ticked(hub: HubUnderTest) -> None:
    owner = await reader(hub)

    async def ticked() -> list[str]:
        boxes = Elements(await owner.text("/inbox/preferences")).all("input")
        return [one["value"] for one in boxes if "checked" in one]

    before = await ticked()
    assert "billing.payment_failed" in before
    await after(owner, "/inbox/preferences", by_mail="cluster.disconnected")
    assert await ticked() == ["cluster.disconnected"]


def called(page: str) -> str:
    """Return what a page's frame calls the way to the inbox."""
    (way,) = re.findall(r'<a class="inbox".*?</a>', page)
    return re.sub("<[^>]*>", "", way)


async def put(hub: HubUnderTest, count: int, kind: str, user_id: str = "user_1") -> None:
    """Put notices of a kind into somebody's inbox."""
    items = [
        NewItem(
            user_id=user_id,
            id=f"ntc_{kind.replace('.', '')}{number}",
            org_id=ORG,
            kind=kind,
            dedup_key=f"{kind}{number}",
            title="something",
            path=f"/orgs/{ORG}",
            facts="{}",
            created_at=NOW_MS,
        )
        for number in range(count)
    ]
    async with hub.hub.db.write() as conn:
        await put_items(conn, items)


async def test_every_page_says_how_many_notices_are_not_read(hub: HubUnderTest) -> None:
    owner = await told(hub)
    pages = ("/orgs/new", f"/orgs/{ORG}/members", f"/orgs/{ORG}/activity", "/inbox", "/preferences")
    assert {called(await owner.text(path)) for path in pages} == {"Inbox, 2 unread"}
    lost = await owner.get("/nothing/here")
    assert called(lost.body.decode()) == "Inbox, 2 unread"
    assert called(await after(owner, "/inbox/read")) == "Inbox"
    assert "unread-figure" not in await owner.text("/orgs/new")


async def test_the_frame_counts_only_what_the_inbox_shows_and_not_for_ever(
    hub: HubUnderTest,
) -> None:
    viewer = await member(hub, "viewer")
    await put(hub, 3, "billing.payment_failed", "user_3")  # which is for owners
    await put(hub, 1, "cluster.disconnected", "user_3")
    assert called(await viewer.text("/orgs/new")) == "Inbox, 1 unread"
    owner = await reader(hub)
    for count, words in ((99, "Inbox, 99 unread"), (120, "Inbox, 99+ unread")):
        await put(hub, count, "cluster.disconnected")
        assert called(await owner.text("/orgs/new")) == words


async def test_whoever_has_no_session_is_told_of_no_inbox(hub: HubUnderTest) -> None:
    page = await Reader(hub).text("/signin")
    assert "/inbox" not in page
