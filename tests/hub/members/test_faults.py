"""A fault between a change and its events leaves neither, nor a mail that was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from radar_audit_hub import changes
from radar_audit_hub.store.recording import record
from radar_audit_hub.store.tables import metadata
from sqlalchemy import select

from tests.support.hub_builder import HubUnderTest, running_hub
from tests.support.membership import human, org_path, stranger

TABLES = ("org", "org_member", "org_domain", "org_departure", "org_invitation", "outbox", "pat",
          "org_invitation_token", "audit_event", "audit_log_head", "audit_day_count")  # fmt: skip


@pytest.fixture
async def postgres_hub(postgres_url: str) -> AsyncIterator[HubUnderTest]:
    """A hub over PostgreSQL."""
    async with running_hub(postgres_url, migrated=True) as under_test:
        yield under_test


async def _state(hub: HubUnderTest) -> dict[str, Any]:
    async with hub.hub.db.read() as conn:
        found = {}
        for name in TABLES:
            table = metadata.tables[name]
            columns = [c for c in table.c if c.name != "last_used_at"]
            found[name] = sorted(map(repr, (await conn.execute(select(*columns))).all()))
        return found


def _steps(invitation_id: str, token: str) -> dict[str, tuple[str, str, Any, str]]:
    invitation = org_path(f"invitations/{invitation_id}")
    return {
        "create": ("POST", "/api/orgs", {"name": "N", "id": "org_new"}, "owner"),
        "update": ("PATCH", org_path(), {"allowed_domains": ["acme.com"]}, "owner"),
        "delete": ("DELETE", org_path(), None, "owner"),
        "role": ("PATCH", org_path("members/user_2"), {"role": "viewer"}, "owner"),
        "remove": ("DELETE", org_path("members/user_2"), None, "owner"),
        "leave": ("DELETE", org_path("members/user_2"), None, "member"),
        "invite": ("POST", org_path("invitations"), {"email": "n@a.b", "role": "viewer"}, "owner"),
        "resend": ("POST", f"{invitation}/resend", None, "owner"),
        "revoke": ("DELETE", invitation, None, "owner"),
        "accept": ("POST", "/api/invitations/accept", {"token": token}, "stranger"),
    }


async def _people(hub: HubUnderTest) -> tuple[dict[str, str], dict[str, Any]]:
    member = await human(hub, role="member")
    someone = await stranger(hub)
    made = await hub.send(
        "POST", org_path("invitations"), json={"email": someone.email, "role": "member"}
    )
    tokens = {"owner": hub.owner, "member": member.token, "stranger": someone.token}
    return tokens, made.json


async def test_fault_between_a_change_and_its_events_leaves_neither(
    any_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, made = await _people(any_hub)
    steps = _steps(made["id"], made["url"].partition("#token=")[2])
    before = await _state(any_hub)

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault that a test makes")

    monkeypatch.setattr(changes, "record", broken)
    for name, (method, path, body, who) in steps.items():
        answer = await any_hub.send(method, path, json=body, token=tokens[who])
        assert answer.status == 500, name  # so it came as far as the events
        assert await _state(any_hub) == before, name
    monkeypatch.undo()
    for name in ("accept", "invite", "update", "leave", "create", "delete"):
        method, path, body, who = steps[name]
        answer = await any_hub.send(method, path, json=body, token=tokens[who])
        assert answer.status in {200, 201, 204}, (name, answer.body)


async def test_connection_that_is_lost_in_the_middle_leaves_neither(
    postgres_hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = postgres_hub
    tokens, made = await _people(hub)
    token = made["url"].partition("#token=")[2]
    real = record
    for name, (method, path, body, who) in _steps(made["id"], token).items():
        before = await _state(hub)

        async def cut(conn: Any, *args: Any, **more: Any) -> Any:
            pid = (await conn.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            async with hub.hub.db.write() as other:
                await other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            return await real(conn, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(changes, "record", cut)
            answer = await hub.send(method, path, json=body, token=tokens[who])
        assert answer.status == 503, (name, answer.body)
        assert await _state(hub) == before, name
