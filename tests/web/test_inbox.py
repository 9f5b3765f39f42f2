"""The pages of a person's inbox: read once is read everywhere, and mails follow what was ticked."""

from __future__ import annotations

from tests.support.hub_builder import ORG, HubUnderTest
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
