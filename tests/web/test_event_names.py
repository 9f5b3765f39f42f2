"""Ids in the log are shown with the names of what they stand for, as far as somebody knows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import structs
from radar_audit_events.actions import ACTIONS
from radar_audit_events.event import Event
from radar_audit_hub.store.clusters import delete_cluster
from radar_audit_hub.store.control import Cluster, insert_cluster
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import NOW_MS, make_event
from tests.support.pages import Elements, member, reader

PAGE = f"/orgs/{ORG}/activity"
HOLDER = "k8s:cl_1:payments:strict"


async def connect(hub: HubUnderTest, name: str = "prod-now", number: int = 1) -> Cluster:
    """Insert a cluster as it is called now."""
    new = Cluster(
        org_id=ORG,
        id=f"cl_{number}",
        name=name,
        environment="production",
        labels={},
        created_at_ms=NOW_MS,
    )
    async with hub.hub.db.write() as conn:
        assert await insert_cluster(conn, new)
    return new


def made(action: str, metadata: dict[str, Any], number: int = 0, **changes: Any) -> Event:
    """Return an event of an action with all of its metadata."""
    kind = ACTIONS[action].target_type
    usual = {"cluster": "cluster.deleted"}.get(kind, "auth.signin")
    event = make_event(number, action=usual, **changes)
    return structs.replace(event, action=action, target_type=kind, metadata=metadata)


def cells(page: str, name: str) -> list[str]:
    """Return what a column of the log says, row by row, without the rest of the page."""
    rows = page.split(f'<td class="{name}"')[1:]
    return [Elements("<td" + row.partition("</td>")[0]).text for row in rows]


async def both(hub: HubUnderTest, event: Event, who: str = "owner") -> tuple[str, str]:
    """Store an event; return what its row and its page say it was about."""
    (event_id,) = await hub.append(event)
    somebody = await member(hub, who)
    (row,) = cells(await somebody.text(f"{PAGE}?q={event.action}&range=all"), "target")
    page = await somebody.text(f"{PAGE}/{event_id}")
    return row, Elements(page.partition('<h2 id="about">')[2].partition("</h2>")[0]).text


@pytest.mark.parametrize("who", ["owner", "auditor"])
async def test_a_person_and_a_cluster_are_named_beside_their_ids(
    hub: HubUnderTest, who: str
) -> None:
    await connect(hub)
    metadata = {"previous_role": "viewer", "role": "member"}
    event = made("org_member.role_changed", metadata, target_id="user_1")
    assert await both(hub, event, who) == ("p1@acme.com", "p1@acme.com")
    denied = make_event(action="cluster.action_denied")
    assert await both(hub, denied, who) == ("prod-now", "prod-now")
    page = await (await member(hub, who)).text(PAGE)
    assert 'title="user_1"' in page
    assert "<code><bdi>user_1</bdi></code>" in page
    assert "<code><bdi>cl_1</bdi></code>" in page
    assert cells(page, "cluster")[-1] == "prod-now"


async def test_what_is_gone_or_renamed_is_called_as_its_event_says(hub: HubUnderTest) -> None:
    cluster = await connect(hub, "renamed-since")
    assert (await both(hub, make_event(1, action="cluster.created")))[0] == "prod"
    changes = {"changes": {"name": ["prod", "prod-2"]}}
    assert (await both(hub, made("cluster.updated", changes, 2)))[0] == "prod-2"
    async with hub.hub.db.write() as conn:
        await delete_cluster(conn, cluster, NOW_MS)
    refused = make_event(3, action="cluster.action_denied")
    assert (await both(hub, refused))[0] == "renamed-since"
    removed = {"email": "gone@acme.com", "role": "viewer"}
    event = made("org_member.removed", removed, 4, target_id="user_gone")
    assert (await both(hub, event))[0] == "gone@acme.com"


async def test_an_id_of_somebody_else_stays_an_id(hub: HubUnderTest) -> None:
    await member(hub, None)
    metadata = {"previous_role": "viewer", "role": "member"}
    event = made("org_member.role_changed", metadata, target_id="user_3")
    assert await both(hub, event) == ("user_3", "user_3")


async def test_ids_of_another_organization_stay_ids(hub: HubUnderTest) -> None:
    await hub.add_org("org_foreign")
    await hub.add_person("org_foreign")  # user_2
    await hub.add_cluster("org_foreign", "cl_foreign")
    metadata = {"previous_role": "viewer", "role": "member"}
    event = made("org_member.role_changed", metadata, target_id="user_2")
    assert await both(hub, event) == ("user_2", "user_2")
    denied = make_event(1, action="cluster.action_denied", target_id="cl_foreign")
    assert await both(hub, denied) == ("cl_foreign", "cl_foreign")


async def test_the_organization_the_holder_and_the_inviter_are_named(hub: HubUnderTest) -> None:
    await connect(hub)
    policy = made(
        "audit.policy_changed",
        {"kind": "owner", "owner": HOLDER, "changes": {"state": ["in force", "released"]}},
        1,
    )
    assert (await both(hub, policy))[0] == f"Name of {ORG}"
    by = {"inviter_user_id": "user_1", "inviter_email": None, "role": "viewer"}
    await hub.append(made("org_member.joined", by, 2, target_id="user_alice"))
    page = Elements(await (await reader(hub)).text(PAGE)).text
    assert "owner AuditPolicy payments/strict in prod-now" in page
    assert "inviter p1@acme.com" in page
    assert "inviter_user_id user_1 p1@acme.com" in page


async def test_somebody_without_an_e_mail_is_named_and_found_by_the_id(hub: HubUnderTest) -> None:
    await hub.append(make_event(actor_user_id="user_1", actor_email=None))
    page = await (await reader(hub)).text(PAGE)
    assert cells(page, "actor") == ["p1@acme.com"]
    assert "q=actor%3Auser_1" in page


async def test_a_name_that_deceives_is_spelled_out(hub: HubUnderTest) -> None:
    await connect(hub, "safe\u202egpj<b>")
    await hub.append(make_event(action="cluster.action_denied"))
    page = await (await member(hub, "auditor")).text(PAGE)
    assert "U+202E" in page
    assert "\u202e" not in page
    assert "gpj<b>" not in page


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note what is asked of the databases."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sqlalchemy_event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sqlalchemy_event.remove(Engine, "before_cursor_execute", note)


async def test_a_page_asks_for_all_names_at_once_and_for_none_that_it_has(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    counts = []
    for size in (0, 1, 40):
        for number in range(size):
            place = size * 100 + number
            await connect(hub, number=place)
            refused = make_event(place, action="cluster.action_denied", target_id=f"cl_{place}")
            await hub.append(refused)
        with statements() as seen:
            page = await owner.text(f"{PAGE}?q=type:cluster&range=all")
        assert len(cells(page, "target")) == {0: 0, 1: 1, 40: 41}[size]
        counts.append((len(seen), sum("FROM cluster" in one for one in seen)))
    assert [named for _, named in counts] == [0, 1, 1]
    assert counts[1] == counts[2]
