"""A hub with alert rules: how tests set them, let the log be followed, and read what was made.

Owns `Alerting`. The hub is a real one; only the job's loop is played by hand, so that a test
says when a step is made. Called by tests of notifications.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from radar_audit_events.event import Event
from radar_audit_hub.notify.content import Content, decode
from radar_audit_hub.notify.following.job import Follower
from radar_audit_hub.store.schema_following import notify_cursor, notify_memory, notify_window
from radar_audit_hub.store.schema_notify import notify_message
from sqlalchemy import select

from tests.support.hub_builder import ORG, HubUnderTest

OPS: dict[str, Any] = {"name": "ops", "email": {"to": ["ops@acme.com"]}}
SHELLS: dict[str, Any] = {
    "name": "shells",
    "actions": ["pod.exec_started"],
    "destinations": ["ops"],
}


@dataclass
class Alerting:
    """The org's own document with rules, and this replica's part in following."""

    hub: HubUnderTest
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        """Begin to follow."""
        self.follower = Follower(self.hub.hub)

    async def put(
        self, *rules: dict[str, Any], destinations: tuple[dict[str, Any], ...] = (OPS,)
    ) -> None:
        """Store the org's own document with these rules."""
        asked = {"destinations": list(destinations), "rules": list(rules)}
        answer = await self.hub.send(
            "PUT", f"/api/orgs/{ORG}/audit/policy", json={"notifications": asked}
        )
        assert answer.status == 200, answer.body

    async def append(self, *events: Event) -> list[str]:
        """Store events as ingest does and return their ids."""
        return await self.hub.append(*events)

    async def messages(self) -> list[Any]:
        """Follow the log to its end and return all rows of messages, the oldest first."""
        await self.follower.catch_up()
        return await self.stored()

    async def stored(self) -> list[Any]:
        """Return all rows of messages, the oldest first."""
        statement = select(notify_message).order_by(
            notify_message.c.created_at, notify_message.c.dedup_key
        )
        async with self.hub.hub.db.read() as conn:
            return list(await conn.execute(statement))

    async def contents(self) -> list[Content]:
        """Follow the log to its end and return what all messages say."""
        return [decode(row.payload) for row in await self.messages()]

    async def cursor(self) -> Any:
        """Return the org's cursor, None where its log is not followed."""
        async with self.hub.hub.db.read() as conn:
            return (await conn.execute(select(notify_cursor))).first()

    async def waiting(self) -> int:
        """Count what waits to become messages."""
        async with self.hub.hub.db.read() as conn:
            return len((await conn.execute(select(notify_window))).all())

    async def remembered(self) -> int:
        """Count the rules that remember something."""
        async with self.hub.hub.db.read() as conn:
            return len((await conn.execute(select(notify_memory))).all())


def told(contents: list[Content]) -> list[str]:
    """Return the ids of the events that messages show."""
    return [event["id"] for content in contents for event in content.events]
