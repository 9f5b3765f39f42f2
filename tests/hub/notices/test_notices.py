"""Radar's own notices: told once, to whom they concern, in the inbox and by mail where wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from radar_audit_events.actions import ACTIONS
from radar_audit_events.policy_wire import NOTICE_KINDS
from radar_audit_hub.app import OUTBOX
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.notices.job import tell_clusters, tell_disabled
from radar_audit_hub.notices.kinds import DISABLED, EVERYBODY, KINDS
from radar_audit_hub.notices.telling import MAILS_A_DAY, tell
from radar_audit_hub.notices.words import disabled
from radar_audit_hub.outbox.job import OutboxJob
from radar_audit_hub.settings_mail import SmtpSettings
from radar_audit_hub.store.notify_attempts import disable
from radar_audit_hub.store.schema_notify import notify_message
from sqlalchemy import select

from tests.support.hub_builder import ORG, HubUnderTest, sqlite_hub
from tests.support.mail_server import MailServer, mail_server
from tests.support.policy_agents import collector_beat

MINUTE_MS, DAY_MS = 60_000, 86_400_000
MEMBERS = f"/api/orgs/{ORG}/members"
DESTINATIONS = f"/api/orgs/{ORG}/destinations"


async def beat(hub: HubUnderTest, token: str) -> None:
    answer = await hub.send("POST", "/api/agent/heartbeat", token=token, json=collector_beat())
    assert answer.status == 200, answer.body


async def inbox(hub: HubUnderTest, token: str = "", **params: str) -> list[dict[str, Any]]:
    answer = await hub.get("/api/inbox", token=token, params=params)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["notices"]
    return found


async def kinds(hub: HubUnderTest, token: str = "") -> list[str]:
    return [each["kind"] for each in await inbox(hub, token)]


async def told_outside(hub: HubUnderTest) -> list[tuple[str, str]]:
    """Return rule and title-carrying kind of the messages for destinations."""
    async with hub.hub.db.read() as conn:
        rows = await conn.execute(select(notify_message).order_by(notify_message.c.created_at))
        return [(row.rule, row.kind) for row in rows]


async def with_rule(hub: HubUnderTest, *names: str) -> None:
    asked = {
        "notifications": {
            "destinations": [{"name": "ops", "email": {"to": ["ops@acme.com"]}}],
            "rules": [{"name": "own", "kinds": list(names), "destinations": ["ops"]}],
        }
    }
    answer = await hub.send("PUT", f"/api/orgs/{ORG}/audit/policy", json=asked)
    assert answer.status == 200, answer.body


def test_every_kind_stands_beside_actions_that_there_are() -> None:
    assert set(KINDS) == {*NOTICE_KINDS, DISABLED}
    for name, kind in KINDS.items():
        assert set(kind.actions) <= set(ACTIONS), name
        assert set(kind.roles) <= set(EVERYBODY), name
        assert "owner" in kind.roles, name


class TestClusters:
    async def test_cluster_that_flaps_is_not_told_of(self, any_hub: HubUnderTest) -> None:
        cluster = await any_hub.add_cluster(ORG, "cl_1")
        for _ in range(3):
            await beat(any_hub, cluster)
            any_hub.clock.now_ms += 4 * MINUTE_MS
            assert await tell_clusters(any_hub.hub) == 0
        assert await inbox(any_hub) == []

    async def test_silence_and_return_are_told_once_each(self, any_hub: HubUnderTest) -> None:
        await with_rule(any_hub, "cluster.disconnected", "cluster.reconnected")
        viewer = await any_hub.add_person(role="viewer")
        cluster = await any_hub.add_cluster(ORG, "cl_1")
        await beat(any_hub, cluster)
        any_hub.clock.now_ms += 6 * MINUTE_MS
        rounds = await asyncio.gather(*(tell_clusters(any_hub.hub) for _ in range(3)))
        assert sum(rounds) == 1, "replicas that look at once tell it once"
        any_hub.clock.now_ms += 60 * MINUTE_MS
        assert await tell_clusters(any_hub.hub) == 0
        for token in ("", viewer):
            (one,) = await inbox(any_hub, token)
            assert one["kind"] == "cluster.disconnected"
            assert one["facts"]["cluster_name"] == "prod"
            assert "prod" in one["title"]
        await beat(any_hub, cluster)
        assert [await tell_clusters(any_hub.hub) for _ in range(2)] == [1, 0]
        assert await kinds(any_hub) == ["cluster.reconnected", "cluster.disconnected"]
        assert await told_outside(any_hub) == [("own", "notice")] * 2

    async def test_cluster_that_never_reported_or_is_deleted_is_not_missed(
        self, hub: HubUnderTest
    ) -> None:
        await hub.add_cluster(ORG, "cl_silent")
        gone = await hub.add_cluster(ORG, "cl_gone")
        await beat(hub, gone)
        assert (await hub.send("DELETE", f"/api/orgs/{ORG}/clusters/cl_gone")).status == 200
        hub.clock.now_ms += 60 * MINUTE_MS
        assert await tell_clusters(hub.hub) == 0


class TestPeople:
    async def test_invitation_is_told_to_the_other_owners(self, hub: HubUnderTest) -> None:
        await with_rule(hub, "org.member.invited", "org.member.joined")
        other, member = await hub.add_person(), await hub.add_person(role="member")
        asked = {"email": "new@acme.com", "role": "viewer"}
        made = await hub.send("POST", f"/api/orgs/{ORG}/invitations", json=asked)
        (one,) = await inbox(hub, other)
        assert one["facts"] == {
            "email": "new@acme.com",
            "role": "viewer",
            "inviter_email": "p1@acme.com",
        }
        assert await inbox(hub) == [], "who did it needs not be told"
        assert await inbox(hub, member) == [], "who else is a member is the owners' affair"
        await hub.send("POST", f"/api/orgs/{ORG}/invitations/{made.json['id']}/resend")
        assert len(await inbox(hub, other)) == 1
        assert await told_outside(hub) == [("own", "notice")]

    async def test_who_leaves_loses_the_notices_of_that_org(self, hub: HubUnderTest) -> None:
        viewer = await hub.add_person(role="viewer")
        cluster = await hub.add_cluster(ORG, "cl_1")
        await beat(hub, cluster)
        hub.clock.now_ms += 6 * MINUTE_MS
        await tell_clusters(hub.hub)
        assert len(await inbox(hub, viewer)) == 1
        async with hub.hub.db.write() as conn:
            await conn.exec_driver_sql("UPDATE org_member SET role = 'owner'")
        assert (await hub.send("DELETE", f"{MEMBERS}/user_2")).status == 204
        async with hub.hub.db.read() as conn:
            rows = await conn.exec_driver_sql("SELECT user_id FROM inbox_item")
            assert [row[0] for row in rows] == ["user_1"]


class TestBilling:
    async def test_fourth_cluster_is_told_once_a_day_to_owners_alone(
        self, hub: HubUnderTest
    ) -> None:
        await with_rule(hub, "billing.free_tier_cap_hit")
        member = await hub.add_person(role="member")
        async with hub.hub.db.write() as conn:
            await conn.exec_driver_sql("UPDATE org SET plan = 'free'")
        path = f"/api/orgs/{ORG}/clusters"
        for number in range(5):
            asked = {"name": f"c{number}", "environment": "test"}
            answer = await hub.send("POST", path, token=member, json=asked)
            assert answer.status == (201 if number < 3 else 402)
        assert await kinds(hub) == ["billing.free_tier_cap_hit"]
        assert await kinds(hub, member) == []
        hub.clock.now_ms += 24 * 60 * MINUTE_MS
        await hub.send("POST", path, token=member, json={"name": "c9", "environment": "test"})
        assert len(await kinds(hub)) == 2
        assert await told_outside(hub) == [("own", "notice")] * 2

    async def test_who_is_no_owner_any_more_sees_no_billing(self, hub: HubUnderTest) -> None:
        other = await hub.add_person()
        async with hub.hub.db.write() as conn:
            await conn.exec_driver_sql("UPDATE org SET plan = 'free'")
        for number in range(4):
            asked = {"name": f"c{number}", "environment": "test"}
            await hub.send("POST", f"/api/orgs/{ORG}/clusters", json=asked)
        assert len(await kinds(hub, other)) == 1
        demoted = await hub.send("PATCH", f"{MEMBERS}/user_2", json={"role": "auditor"})
        assert demoted.status == 200
        answer = (await hub.get("/api/inbox", token=other)).json
        assert (answer["notices"], answer["unread"]) == ([], 0)


@dataclass
class Post:
    """A hub that mails to a server on this machine."""

    hub: HubUnderTest
    server: MailServer

    async def work(self) -> None:
        """Send what is due."""
        await OutboxJob(self.hub.hub, OUTBOX).drain()

    async def disabled_destination(self) -> str:
        """Make a destination and have its receiver refuse it."""
        asked = {"name": "ops", "email": {"to": ["ops@acme.com"]}}
        made = (await self.hub.send("POST", DESTINATIONS, json=asked)).json["id"]
        async with self.hub.hub.db.write() as conn:
            reason = "the receiver wants no more (410)"
            await disable(conn, ORG, made, reason, self.hub.clock.now_ms)
        return str(made)


@pytest.fixture
async def post(template: Path, tmp_path: Path) -> AsyncIterator[Post]:
    """The same over SQLite."""
    async with mail_server() as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, security="none", timeout_seconds=60)
        async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
            yield Post(hub, server)


class TestMails:
    async def test_owners_are_told_of_a_disabled_destination_once(self, post: Post) -> None:
        await post.disabled_destination()
        auditor = await post.hub.add_person(role="auditor")
        assert [await tell_disabled(post.hub.hub) for _ in range(2)] == [1, 0]
        await post.work()
        assert await kinds(post.hub) == [DISABLED]
        assert await kinds(post.hub, auditor) == []
        assert post.server.recipients == [["p1@acme.com"]]
        mail = post.server.mails[0]
        assert mail["Subject"] == "A destination was disabled (Name of org_x)"
        assert "410" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    async def test_link_of_a_mail_ends_mails_of_its_kind_without_signing_in(
        self, post: Post
    ) -> None:
        await post.disabled_destination()
        await tell_disabled(post.hub.hub)
        await post.work()
        address = post.server.mails[0]["List-Unsubscribe"].strip("<>")
        path = "/" + address.split("/", 3)[3]
        looked = await post.hub.get(path, token=None)
        assert (looked.status, b"<form" in looked.body) == (200, True)
        shown = (await post.hub.get("/api/inbox/preferences")).json["kinds"]
        assert {one["kind"]: one["by_mail"] for one in shown}[DISABLED] is True
        ended = await post.hub.send("POST", path, token=None, data=b"List-Unsubscribe=One-Click")
        assert ended.status == 200
        assert (await post.hub.send("POST", f"{path}x", token=None)).status == 404
        shown = (await post.hub.get("/api/inbox/preferences")).json["kinds"]
        assert {one["kind"]: one["by_mail"] for one in shown}[DISABLED] is False
        post.hub.clock.now_ms += 1
        await post.hub.send("DELETE", f"{DESTINATIONS}/{await self._only(post)}")
        await post.disabled_destination()
        await tell_disabled(post.hub.hub)
        await post.work()
        assert len(post.server.mails) == 1
        assert len(await kinds(post.hub)) == 2, "the inbox has it all the same"

    async def test_notices_of_one_kind_fill_no_mailbox(self, post: Post) -> None:
        now_ms = post.hub.clock.now_ms
        for number in range(MAILS_A_DAY + 3):
            notice = disabled(ORG, f"nd_{number}", name="ops", reason="gone", at_ms=now_ms)
            async with changing_by_itself(post.hub.hub) as change:
                await change.lock(ORG)
                await tell(change, ORG, notice)
        await post.disabled_destination()
        post.hub.clock.now_ms += DAY_MS
        await post.work()
        assert len(post.server.mails) == MAILS_A_DAY
        assert len(await kinds(post.hub)) == MAILS_A_DAY + 3, "the inbox has it all the same"
        assert await tell_disabled(post.hub.hub) == 1
        await post.work()
        assert len(post.server.mails) == MAILS_A_DAY + 1, "another day"

    async def _only(self, post: Post) -> str:
        return str((await post.hub.get(DESTINATIONS)).json["destinations"][0]["id"])

    async def test_disconnected_comes_by_mail_to_who_asked_for_it_and_is_still_there(
        self, post: Post
    ) -> None:
        hub = post.hub
        wants, wanted_once = (
            await hub.add_person(role="viewer"),
            await hub.add_person(role="viewer"),
        )
        for token in (wants, wanted_once):
            asked = {"by_mail": {"cluster.disconnected": True}}
            answer = await hub.send("PUT", "/api/inbox/preferences", token=token, json=asked)
            assert answer.status == 200
        cluster = await hub.add_cluster(ORG, "cl_1")
        await beat(hub, cluster)
        hub.clock.now_ms += 6 * MINUTE_MS
        await tell_clusters(hub.hub)
        assert (await hub.send("DELETE", f"{MEMBERS}/user_3")).status == 204
        await post.work()
        assert post.server.recipients == [["p2@acme.com"]]


class TestInbox:
    async def test_what_is_read_is_counted_over_pages_and_orgs(self, hub: HubUnderTest) -> None:
        for number in range(5):
            cluster = await hub.add_cluster(ORG, f"cl_{number}")
            await beat(hub, cluster)
        hub.clock.now_ms += 6 * MINUTE_MS
        await tell_clusters(hub.hub)
        first = (await hub.get("/api/inbox?limit=2")).json
        assert (len(first["notices"]), first["unread"]) == (2, 5)
        params = {"limit": "5", "cursor": first["next_cursor"]}
        rest = (await hub.get("/api/inbox", params=params)).json
        assert (len(rest["notices"]), rest["next_cursor"]) == (3, None)
        ids = [each["id"] for each in first["notices"]]
        read = await hub.send("POST", "/api/inbox/read", json={"ids": ids})
        assert read.json == {"unread": 3}
        assert len(await inbox(hub, unread="true")) == 3
        assert (await hub.send("DELETE", f"/api/inbox/{ids[0]}")).status == 204
        assert (await hub.send("DELETE", f"/api/inbox/{ids[0]}")).status == 404
        assert (await hub.send("POST", "/api/inbox/read", json={"all": True})).json == {"unread": 0}
        assert len(await inbox(hub)) == 4
        assert await inbox(hub, org_id="org_other") == []

    async def test_nobody_reads_or_deletes_for_another(self, hub: HubUnderTest) -> None:
        other = await hub.add_person()
        cluster = await hub.add_cluster(ORG, "cl_1")
        await beat(hub, cluster)
        hub.clock.now_ms += 6 * MINUTE_MS
        await tell_clusters(hub.hub)
        (mine,) = await inbox(hub)
        assert (await hub.send("DELETE", f"/api/inbox/{mine['id']}", token=other)).status == 404
        await hub.send("POST", "/api/inbox/read", token=other, json={"ids": [mine["id"]]})
        await hub.send("POST", "/api/inbox/read", token=other, json={"all": True})
        assert (await hub.get("/api/inbox")).json["unread"] == 1

    @pytest.mark.parametrize(
        ("path", "asked"),
        [
            ("read", {}),
            ("read", {"ids": ["ntc_0"], "all": True}),
            ("read", {"ids": ["other"]}),
            ("preferences", {"by_mail": {"cluster.gone": True}}),
        ],
    )
    async def test_mistake_is_named(self, hub: HubUnderTest, path: str, asked: Any) -> None:
        method = "PUT" if path == "preferences" else "POST"
        assert (await hub.send(method, f"/api/inbox/{path}", json=asked)).status == 422
