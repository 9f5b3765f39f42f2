"""The control tables: people, tokens, leases, collectors and gaps, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from radar_audit_hub.credentials import kind_of_token, new_token, token_hash
from radar_audit_hub.store import collectors
from radar_audit_hub.store.collectors import (
    GapRow,
    delete_old_gaps,
    has_old_gaps,
    list_gaps,
    save_gaps,
)
from radar_audit_hub.store.control import User, ensure_user, insert_member, people_of_org
from radar_audit_hub.store.leases import release_lease, take_lease
from radar_audit_hub.store.tokens import (
    TOUCH_EVERY_MS,
    find_cluster_token,
    find_pat,
    insert_pat,
    touch_cluster_token,
    touch_due,
    touch_pat,
)

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.log_rows import DAY_MS, NOW_MS


async def test_pat_is_found_by_its_hash_with_all_that_auth_needs(any_hub: HubUnderTest) -> None:
    token = await any_hub.add_person(role="auditor", scopes=["audit:read"], expires_at_ms=5)
    async with any_hub.hub.db.read() as conn:
        found = await find_pat(conn, token_hash(token))
        nobody = await find_pat(conn, token_hash(token[:-1] + "!"))
    assert nobody is None
    assert found is not None
    assert (found.org_id, found.plan, found.role, found.email) == (
        ORG, "enterprise", "auditor", "p2@acme.com",
    )  # fmt: skip
    assert (found.scopes, found.expires_at_ms, found.revoked_at_ms) == (("audit:read",), 5, None)


async def test_pat_of_a_removed_member_has_no_role(any_hub: HubUnderTest) -> None:
    token = await any_hub.add_person(role=None)
    async with any_hub.hub.db.read() as conn:
        found = await find_pat(conn, token_hash(token))
    assert found is not None
    assert found.role is None


async def test_last_use_is_stamped_at_most_once_a_minute(any_hub: HubUnderTest) -> None:
    db, token = any_hub.hub.db, await any_hub.add_cluster()
    digest, owner = token_hash(token), token_hash(any_hub.owner)

    async def stamps() -> tuple[int | None, int | None]:
        async with db.read() as conn:
            cluster, pat = await find_cluster_token(conn, digest), await find_pat(conn, owner)
        assert cluster is not None
        assert pat is not None
        return cluster.last_used_at_ms, pat.last_used_at_ms

    async def touch(now_ms: int) -> None:
        async with db.write() as conn:
            await touch_cluster_token(conn, digest, now_ms)
            await touch_pat(conn, ORG, "pat_1", now_ms)

    assert await stamps() == (None, None)
    await touch(NOW_MS)
    await touch(NOW_MS + TOUCH_EVERY_MS - 1)
    assert await stamps() == (NOW_MS, NOW_MS)
    await touch(NOW_MS + TOUCH_EVERY_MS)
    assert await stamps() == (NOW_MS + TOUCH_EVERY_MS,) * 2


def test_touch_is_due_after_a_minute() -> None:
    assert touch_due(None, 5)
    assert not touch_due(NOW_MS, NOW_MS + TOUCH_EVERY_MS - 1)
    assert touch_due(NOW_MS, NOW_MS + TOUCH_EVERY_MS)


async def test_people_of_another_org_are_not_known(any_hub: HubUnderTest) -> None:
    await any_hub.add_org("org_y")
    await any_hub.add_person("org_y")
    async with any_hub.hub.db.read() as conn:
        found = await people_of_org(conn, ORG, ["user_1", "p1@acme.com", "user_2", "p2@acme.com"])
        assert await people_of_org(conn, ORG, []) == {}
    assert found == {
        "user_1": ("user_1", "p1@acme.com"),
        "p1@acme.com": ("user_1", "p1@acme.com"),
    }


async def test_taken_keys_are_told_and_change_nothing(any_hub: HubUnderTest) -> None:
    async with any_hub.hub.db.write() as conn:
        same = await ensure_user(
            conn, User(id="user_new", email="p1@acme.com", created_at_ms=NOW_MS)
        )
        assert same.id == "user_1"
        assert not await insert_member(conn, ORG, "user_1", "viewer", NOW_MS)
        assert not await insert_pat(
            conn,
            org_id=ORG,
            pat_id="pat_other",
            user_id="user_1",
            name="same secret",
            token_hash=token_hash(any_hub.owner),
            scopes=None,
            created_at_ms=NOW_MS,
            expires_at_ms=None,
        )


async def test_lease_has_one_holder_until_it_ends_or_is_given_back(any_hub: HubUnderTest) -> None:
    db = any_hub.hub.db

    async def take(holder: str, now_ms: int) -> bool:
        async with db.write() as conn:
            return await take_lease(conn, "job", holder, now_ms=now_ms, until_ms=now_ms + 100)

    taken = await asyncio.gather(*(take(f"h{n}", 0) for n in range(4)))
    assert sum(taken) == 1
    holder = f"h{taken.index(True)}"
    assert await take(holder, 50)
    assert not await take("other", 149)
    assert await take("other", 150)
    async with db.write() as conn:
        await release_lease(conn, "job", holder)
    assert not await take(holder, 151), "giving back what has passed on does nothing"
    async with db.write() as conn:
        await release_lease(conn, "job", "other")
    assert await take(holder, 152)


async def test_lease_from_before_a_clock_was_set_back_is_no_hindrance(
    any_hub: HubUnderTest,
) -> None:
    async def take(holder: str, now_ms: int) -> bool:
        async with any_hub.hub.db.write() as conn:
            return await take_lease(conn, "job", holder, now_ms=now_ms, until_ms=now_ms + 100)

    assert await take("died", NOW_MS)
    assert not await take("other", NOW_MS - 5 * 60_000), "replicas' clocks may differ"
    assert await take("other", NOW_MS - DAY_MS)


def a_gap(number: int, **changes: Any) -> GapRow:
    facts: dict[str, Any] = {
        "org_id": ORG,
        "cluster_id": "cl_1",
        "gap_id": f"g-{number}",
        "collector_id": "c-1",
        "from_at_ms": NOW_MS - 10,
        "to_at_ms": NOW_MS,
        "count": 3,
        "reason": "spool full",
        "recorded_at_ms": NOW_MS + number,
    }
    return GapRow(**(facts | changes))


async def test_gap_is_stored_once_and_listed_newest_first(any_hub: HubUnderTest) -> None:
    async with any_hub.hub.db.write() as conn:
        assert await save_gaps(conn, [a_gap(1), a_gap(2), a_gap(1, count=9)]) == 2
        assert await save_gaps(conn, [a_gap(2), a_gap(3)]) == 1
    async with any_hub.hub.db.read() as conn:
        listed = await list_gaps(conn, ORG, since_ms=NOW_MS + 2, limit=5)
        assert await list_gaps(conn, ORG, since_ms=0, limit=1) == [a_gap(3)]
        assert await list_gaps(conn, "org_y", since_ms=0, limit=5) == []
    assert listed == [a_gap(3), a_gap(2)]


async def test_old_gaps_are_deleted(any_hub: HubUnderTest) -> None:
    async with any_hub.hub.db.write() as conn:
        await save_gaps(conn, [a_gap(1), a_gap(2)])
        assert not await has_old_gaps(conn, ORG, NOW_MS + 1)
        assert await has_old_gaps(conn, ORG, NOW_MS + 2)
        assert await delete_old_gaps(conn, ORG, NOW_MS + 2) == 1
        assert await list_gaps(conn, ORG, since_ms=0, limit=5) == [a_gap(2)]


async def test_gaps_of_a_cluster_are_bounded(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "MAX_GAPS", 3)
    async with any_hub.hub.db.write() as conn:
        await save_gaps(conn, [a_gap(n, cluster_id="cl_2") for n in range(2)])
        await save_gaps(conn, [a_gap(n) for n in range(5)])
        left = await list_gaps(conn, ORG, since_ms=0, limit=10)
    assert sorted(gap.gap_id for gap in left) == ["g-0", "g-1", "g-2", "g-3", "g-4"]


def test_token_has_the_form_that_is_recognised() -> None:
    token = new_token("rhc", bytes(range(32)))
    assert token == "rhc_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert kind_of_token(token) == "rhc"
    for wrong in (token + "A", token[:-1], "rhx" + token[3:], token + "\n", "", "rhc_"):
        assert kind_of_token(wrong) is None
    with pytest.raises(ValueError, match="32 random bytes"):
        new_token("rhp", b"short")
    assert len(token_hash("\ud800")) == 32
