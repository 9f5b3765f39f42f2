"""What the server's command creates: rows, audit events and secrets, all or nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from radar_audit_hub.bootstrap import (
    BootstrapError,
    Means,
    OrgOrder,
    add_member,
    create_org,
    existing_org,
)
from radar_audit_hub.credentials import kind_of_token, token_hash
from radar_audit_hub.store.control import list_members, list_orgs
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.tokens import find_cluster_token, find_pat

from tests.support.collector_posts import stored_rows
from tests.support.log_rows import DAY_MS, NOW_MS

MEANS = Means(now_ms=NOW_MS, random_bytes=secrets.token_bytes)
ORDER = OrgOrder(
    org_id="org_x",
    org_name="Acme",
    plan="enterprise",
    owner_email="Alice@Acme.com",
    pat_name="init",
    pat_days=30,
    cluster_id=None,
    cluster_name="prod",
    environment="staging",
)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool_size=4)
    yield database
    await database.close()


async def join(db: Database, **changes: Any) -> Any:
    facts = {"org_id": "org_x", "email": "bob@acme.com", "role": "member", "pat_name": None}
    return await add_member(db, **(facts | {"pat_days": None, "means": MEANS} | changes))


async def test_org_is_created_with_an_event_for_each_change(db: Database) -> None:
    new = await create_org(db, ORDER, MEANS)
    rows = await stored_rows(db)
    assert [(row["seq"], row["action"], row["target_id"]) for row in rows] == [
        (0, "org.created", "org_x"),
        (1, "org_member.joined", new.owner.user_id),
        (2, "pat.created", new.owner.pat.id if new.owner.pat else None),
        (3, "cluster.created", new.cluster.id),
    ]
    assert [row["metadata"] for row in rows] == [
        {"name": "Acme"},
        {
            "inviter_user_id": None,
            "inviter_email": None,
            "role": "owner",
            "provisioned_by": "server_command",
        },
        {"name": "init", "expires_at": "2026-12-18T11:06:40.000Z"},
        {"name": "prod", "environment": "staging"},
    ]
    assert {(row["actor_user_id"], row["actor_email"]) for row in rows} == {(None, None)}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


async def test_tokens_are_stored_as_hashes_and_found_by_them(db: Database) -> None:
    new = await create_org(db, ORDER, MEANS)
    assert new.owner.pat is not None
    pat, cluster_token = new.owner.pat.token, new.cluster_token
    assert (kind_of_token(pat), kind_of_token(cluster_token)) == ("rhp", "rhc")
    async with db.read() as conn:
        found = await find_pat(conn, token_hash(pat))
        cluster = await find_cluster_token(conn, token_hash(cluster_token))
    assert found is not None
    assert cluster is not None
    assert (found.org_id, found.email, found.role) == ("org_x", "alice@acme.com", "owner")
    assert (found.expires_at_ms, found.scopes) == (NOW_MS + 30 * DAY_MS, None)
    assert (cluster.cluster_id, cluster.cluster_name) == (new.cluster.id, "prod")
    for secret in (pat, cluster_token):
        assert secret not in repr(new)


async def test_refused_order_leaves_nothing_behind(db: Database) -> None:
    await create_org(db, ORDER, MEANS)
    taken = replace(ORDER, org_id="org_y", cluster_id="cl_1")
    await create_org(db, taken, MEANS)
    with pytest.raises(BootstrapError, match="cl_1 is taken"):
        await create_org(db, replace(taken, org_id="org_z"), MEANS)
    async with db.read() as conn:
        assert [org.id for org in await list_orgs(conn)] == ["org_x", "org_y"]
        assert await list_members(conn, "org_z") == []
    assert await stored_rows(db, "org_z") == []


async def test_two_commands_at_once_create_one_org(db: Database) -> None:
    outcomes = await asyncio.gather(
        *(create_org(db, ORDER, MEANS) for _ in range(3)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BootstrapError)]
    assert len(refused) == 2
    assert [row["seq"] for row in await stored_rows(db)] == [0, 1, 2, 3]


async def test_person_of_two_orgs_is_one_user(db: Database) -> None:
    first = await create_org(db, ORDER, MEANS)
    second = await create_org(db, replace(ORDER, org_id="org_y"), MEANS)
    assert first.owner.user_id == second.owner.user_id


async def test_member_joins_with_token_and_events(db: Database) -> None:
    await create_org(db, ORDER, MEANS)
    member = await join(db, email=" Bob@Acme.com", role="auditor", pat_name="ci")
    rows = (await stored_rows(db))[4:]
    assert [row["action"] for row in rows] == ["org_member.joined", "pat.created"]
    assert rows[0]["metadata"]["role"] == "auditor"
    assert rows[1]["metadata"] == {"name": "ci", "expires_at": None}
    async with db.read() as conn:
        found = await find_pat(conn, token_hash(member.pat.token))
    assert found is not None
    assert (found.email, found.role) == ("bob@acme.com", "auditor")


async def test_member_is_not_added_twice_nor_to_nowhere(db: Database) -> None:
    await create_org(db, ORDER, MEANS)
    await join(db)
    before = await stored_rows(db)
    for changes, words in (
        ({"role": "owner"}, "a member of org_x already"),
        ({"org_id": "org_none"}, "no organization org_none"),
        ({"email": "nobody"}, "not an e-mail address"),
        ({"email": "c@x.y", "role": "king"}, "owner, auditor, member, viewer"),
        ({"email": "c@x.y", "pat_name": "\n"}, "printable"),
    ):
        with pytest.raises(BootstrapError, match=words):
            await join(db, **changes)
    assert await stored_rows(db) == before


async def test_existing_org_is_found_by_id_or_as_the_first(db: Database) -> None:
    assert await existing_org(db, None) is None
    await create_org(db, ORDER, MEANS)
    assert await existing_org(db, "org_y") is None
    for org_id in ("org_x", None):
        found = await existing_org(db, org_id)
        assert found is not None
        assert found.id == "org_x"
