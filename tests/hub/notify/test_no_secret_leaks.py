"""No secret of a destination reaches a log, the delivery log, an error or a metric."""

from __future__ import annotations

import base64
import logging
import os
from typing import Any

import pytest
from prometheus_client import generate_latest
from radar_audit_events.policy_wire import Destination, PagerDutyTarget, SlackTarget, TeamsTarget
from radar_audit_hub.notify.sending.asked import send_test
from radar_audit_hub.store.schema_notify import notify_attempt, notify_destination, notify_message
from sqlalchemy import select

from tests.support.hub_builder import ORG
from tests.support.notify_world import NotifyWorld, webhook
from tests.support.receivers import Receiver, Reply

CANARY = "canary5f3a9c"
RAW = base64.b64encode(f"{CANARY}-{CANARY}-{CANARY}".encode()[:32].ljust(32, b"x")).decode()
ROUTING_KEY = CANARY + "0" * 20


def destinations(inbox: Receiver) -> list[Destination]:
    base = f"https://127.0.0.1:{inbox.port}"
    return [
        Destination(name="slack", slack=SlackTarget(url=f"{base}/services/{CANARY}")),
        Destination(name="teams", teams=TeamsTarget(url=f"{base}/workflows?sig={CANARY}")),
        Destination(name="pager", pagerduty=PagerDutyTarget(routing_key=ROUTING_KEY)),
        webhook(
            "siem",
            f"{base}/hook",
            signing_secret="whsec_" + RAW,
            signing_key="whsk_" + RAW,
        ),
    ]


REPLIES = [
    Reply(how="echo"),
    Reply(500, how="echo"),
    Reply(how="break"),
    Reply(410, how="echo"),
]


async def test_canaries_stay_where_they_are(
    world: NotifyWorld, inbox: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("radar_audit_hub", "aiohttp", "asyncio", "sqlalchemy"):
        caplog.set_level(logging.DEBUG, name)
    settings = world.hub.settings.notify
    object.__setattr__(settings, "pagerduty_url", f"https://127.0.0.1:{inbox.port}/v2/enqueue")
    await world.set_destinations(destinations(inbox))
    answers: list[Any] = []
    for reply in REPLIES:
        inbox.usual = reply
        for name in ("slack", "teams", "pager", "siem"):
            row = await world.destination(name)
            answers.append(await send_test(world.hub, ORG, row.id))
            await world.put(name)
        await world.deliver()
    refused = Destination(name="slack", slack=SlackTarget(url=f"https://10.0.0.1/{CANARY}"))
    unknown = Destination(name="teams", teams=TeamsTarget(url=f"https://127.0.0.1:1/{CANARY}"))
    await world.set_destinations([refused, unknown])
    answers += [
        await send_test(world.hub, ORG, (await world.destination(name)).id)
        for name in ("slack", "teams")
    ]
    # The receivers did get what they need.
    assert any(CANARY in one.path for one in inbox.got)
    assert any(ROUTING_KEY in one.body.decode() for one in inbox.got)
    written = [repr(answers), generate_latest(world.hub.metrics.registry).decode()]
    async with world.hub.db.read() as conn:
        for table in (notify_attempt, notify_destination, notify_message):
            written += [repr(row) for row in await conn.execute(select(table))]
    # The receiver's own log names what it was asked for.
    own = [record for record in caplog.records if record.name != "aiohttp.access"]
    written += [f"{record.__dict__}" for record in own]
    assert any("a destination was disabled" in text for text in written)
    assert len(written) > 40
    found = "\n".join(written)
    for secret in (CANARY, RAW, RAW[:20], ROUTING_KEY):
        assert secret not in found


async def test_answer_that_repeats_what_was_sent_is_kept_without_the_secret(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations(destinations(inbox))
    inbox.usual = Reply(500, text=f"slow down, {CANARY}; {os.urandom(4).hex()}")
    row = await world.destination("slack")
    await send_test(world.hub, ORG, row.id)
    async with world.hub.db.read() as conn:
        response = (await conn.execute(select(notify_attempt.c.response))).scalar_one()
    assert "slow down, ***" in response
