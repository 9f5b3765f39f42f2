"""An event that a rule selects is at its receivers a moment after its commit, and once."""

from __future__ import annotations

import asyncio

from radar_audit_events.policy_wire import AlertRule
from radar_audit_hub.notify.following.job import run_forever as follow
from radar_audit_hub.notify.sending.job import run_forever as send

from tests.support.log_rows import NOW_MS, make_event
from tests.support.notify_world import NotifyWorld, slack, webhook
from tests.support.receivers import Receiver, Reply

RULE = AlertRule(name="shells", destinations=["sec", "siem"], actions=["pod.exec_started"])


async def test_terminal_is_told_to_slack_and_webhook_once(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    await any_world.set_destinations(
        [slack("sec", f"{inbox.url}/slack"), webhook("siem", f"{inbox.url}/siem")], [RULE]
    )
    jobs = [asyncio.create_task(job(any_world.hub)) for job in (follow, follow, send, send)]
    try:
        first = make_event(created_at_ms=NOW_MS)
        await any_world.under_test.append(make_event(1, action="pat.created"), first)
        await inbox.wait_for(lambda: len(inbox.got) >= 2)
        inbox.replies.append(Reply(how="close"))
        second = make_event(2, created_at_ms=NOW_MS)
        await any_world.under_test.append(second)
        await inbox.wait_for(lambda: len(inbox.got) >= 4)
        while len(inbox.got) < 5:  # the one that broke off is tried again
            any_world.under_test.clock.now_ms += 1000
            any_world.hub.deliveries.wake()
            await asyncio.sleep(0.02)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
    paths = sorted(one.path.rpartition("/")[2] for one in inbox.got[:2])
    assert paths == ["siem", "slack"]
    told = [one.json for one in inbox.got if one.path.endswith("siem")]
    assert {body["data"]["events"][0]["id"] for body in told} == {first.id, second.id}
    assert {body["type"] for body in told} == {"pod.exec_started"}
    assert len(inbox.got) == 5
