"""A hub that delivers to a receiver on this machine: destinations, messages, attempts.

Owns `NotifyWorld`. Called by the tests of deliveries. Documents are stored as the API stores them,
secrets sealed; messages are put as the rules put them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme
from radar_audit_events.ids import new_id
from radar_audit_events.policy_wire import (
    AlertRule,
    Destination,
    NotificationSettings,
    OwnerDocument,
    SlackTarget,
    WebhookTarget,
)
from radar_audit_hub.changes import changing_by_itself
from radar_audit_hub.context import Hub
from radar_audit_hub.notify.content import Content, encode
from radar_audit_hub.notify.sending.job import SendingJob
from radar_audit_hub.policy.storing import store
from radar_audit_hub.retention.policy import Floors
from radar_audit_hub.settings_notify import NotifySettings
from radar_audit_hub.store import notify_attempts, notify_messages
from radar_audit_hub.store.notify_attempts import Attempt
from radar_audit_hub.store.notify_destinations import DestinationRow, destination_named
from radar_audit_hub.store.notify_messages import Message, NewMessage
from radar_audit_hub.store.owners import get_owner

from tests.support.hub_builder import ORG, HubUnderTest, running_hub
from tests.support.log_rows import make_event

OWNER = "org"
SECRET = "whsec_" + base64.b64encode(b"canary-secret-bytes-0123456789ab").decode()
LOOPBACK = ("127.0.0.0/8", "::1/128")


def notify_settings(authority: trustme.CA, folder: Path, **changes: Any) -> NotifySettings:
    """Return settings with which the hub delivers to this machine."""
    ca_file = folder / "receivers-ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    # No receiver that hangs is given up within a test, however long the machine stands still.
    base = NotifySettings(allowed_networks=LOOPBACK, ca_file=ca_file, timeout_seconds=600)
    return replace(base, **changes)


def webhook(name: str, url: str, **changes: Any) -> Destination:
    """Return a signed webhook as a document has it."""
    target = WebhookTarget(url=url, **{"signing_secret": SECRET, **changes})
    return Destination(name=name, webhook=target)


def slack(name: str, url: str) -> Destination:
    """Return a Slack webhook as a document has it."""
    return Destination(name=name, slack=SlackTarget(url=url))


def content(**changes: Any) -> Content:
    """Return what a rule tells of one terminal."""
    event = make_event().public()
    base = Content(
        kind="event",
        org_id=ORG,
        org_name="Acme",
        owner_id=OWNER,
        rule="shells",
        severity="warning",
        title="alice@acme.com opened a terminal in payments/web-1 (cluster prod)",
        path=f"/orgs/{ORG}/activity/{event['id']}",
        events=[event],
    )
    return replace_struct(base, changes)


def replace_struct(base: Content, changes: dict[str, Any]) -> Content:
    """Return content with other fields."""
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return Content(**{**fields, **changes})


@dataclass
class NotifyWorld:
    """A hub and its job, driven by hand: `deliver` does all that is due at the clock's time."""

    under_test: HubUnderTest
    job: SendingJob

    @property
    def hub(self) -> Hub:
        """The hub."""
        return self.under_test.hub

    @property
    def now_ms(self) -> int:
        """The hub's time."""
        return self.under_test.clock.now_ms

    async def set_destinations(
        self, targets: Sequence[Destination], rules: Sequence[AlertRule] = (), org_id: str = ORG
    ) -> None:
        """Store an org's own document with these destinations and rules."""
        async with changing_by_itself(self.hub) as change:
            org = await change.lock(org_id)
            before = await get_owner(change.conn, org_id, OWNER)
            document = OwnerDocument(
                uid="u",
                generation=1 if before is None else before.generation + 1,
                spec_hash=os.urandom(8).hex(),
                created_at="2026-11-01T00:00:00.000Z",
                scope="organization",
                notifications=NotificationSettings(destinations=list(targets), rules=list(rules)),
            )
            await store(
                self.hub,
                change,
                org,
                owner_id=OWNER,
                cluster_id=None,
                before=before,
                document=document,
            )

    async def destination(
        self, name: str, org_id: str = ORG, owner_id: str = OWNER
    ) -> DestinationRow:
        """Return how a destination stands."""
        async with self.hub.db.read() as conn:
            found = await destination_named(conn, org_id, owner_id, name)
        assert found is not None
        return found

    async def put(
        self, name: str, count: int = 1, org_id: str = ORG, owner_id: str = OWNER, **changes: Any
    ) -> list[str]:
        """Put messages for a destination and return their ids."""
        row = await self.destination(name, org_id, owner_id)
        wanted = {
            "kind": "event",
            "payload": encode(content()),
            "event_ids": None,
            "due_at": self.now_ms,
            **changes,
        }
        rows = [
            NewMessage(
                org_id=org_id,
                id=(made := new_id("msg_", self.now_ms + number, os.urandom(10))),
                destination_id=row.id,
                owner_id=owner_id,
                rule="shells",
                severity="warning",
                dedup_key=made,
                created_at=self.now_ms,
                recorded_at=self.now_ms,
                **wanted,
            )
            for number in range(count)
        ]
        async with self.hub.db.write() as conn:
            await notify_messages.put_messages(conn, rows)
        self.hub.deliveries.wake()
        return [one.id for one in rows]

    async def deliver(self, later_ms: int = 0) -> None:
        """Move the clock and do all that is due."""
        self.under_test.clock.now_ms += later_ms
        await self.job.drain()

    async def message(self, message_id: str) -> Message:
        """Return a message as it stands."""
        async with self.hub.db.read() as conn:
            found = await notify_messages.get_message(conn, ORG, message_id, Floors(0))
        assert found is not None
        return found

    async def attempts(self, message_id: str) -> list[Attempt]:
        """Return the attempts at a message."""
        async with self.hub.db.read() as conn:
            return (await notify_attempts.attempts_of(conn, ORG, [message_id]))[message_id]


@asynccontextmanager
async def notify_world(
    url: str, settings: NotifySettings, **more: Any
) -> AsyncIterator[NotifyWorld]:
    """Serve a hub over a migrated database; its job runs when `deliver` is called."""
    key = base64.b64encode(b"k" * 32).decode()
    async with running_hub(
        url, migrated=True, notify=settings, secrets_key=key, **more
    ) as under_test:
        job = SendingJob(under_test.hub)
        try:
            yield NotifyWorld(under_test, job)
        finally:
            await job.stop()
