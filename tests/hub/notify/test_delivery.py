"""Whatever a receiver does, each attempt is on record and what follows is as the spec says."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
import trustme
from radar_audit_hub.notify.sending.job import SendingJob, run_forever
from radar_audit_hub.notify.sending.schedule import PAUSES_MS
from standardwebhooks import Webhook

from tests.hub.mutation_playing import FaultError, broken_at_the_commit
from tests.support.notify_world import SECRET, NotifyWorld, notify_settings, notify_world, webhook
from tests.support.receivers import MIB, Receiver, Reply

DAY_MS = 86_400_000


async def test_message_arrives_signed_once_and_is_on_record(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    any_world.under_test.clock.now_ms = time.time_ns() // 1_000_000  # a receiver looks at it
    await any_world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await any_world.put("siem")
    await any_world.deliver()
    await any_world.deliver(DAY_MS)
    (got,) = inbox.got
    assert got.json["type"] == "pod.exec_started"
    assert got.headers["webhook-id"] == message_id
    Webhook(SECRET).verify(got.body, dict(got.headers))
    (attempt,) = await any_world.attempts(message_id)
    assert (attempt.number, attempt.outcome, attempt.receiver_status) == (1, "delivered", 200)
    assert attempt.duration_ms is not None
    assert (await any_world.message(message_id)).state == "delivered"
    request, response = json.loads(attempt.request or ""), json.loads(attempt.response or "")
    assert json.loads(request["body"]) == got.json
    assert "webhook-signature" not in request["headers"]
    assert request["headers"]["webhook-id"] == message_id
    assert (response["status"], response["body"]) == (200, "ok")
    row = await any_world.destination("siem")
    assert row.last_delivery_at is not None
    assert row.failing_since is None


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(500), 500),
        (Reply(404), 404),
        (Reply(429), 429),
        (Reply(302, headers={"Location": "https://127.0.0.1:1/"}), 302),
        (Reply(304), 304),
        (Reply(how="close"), None),
        (Reply(how="break"), None),
        (Reply(how="garbage"), None),
        (Reply(503, how="gigabyte"), 503),
    ],
)
async def test_failure_of_a_receiver_is_tried_again_under_the_same_id(
    world: NotifyWorld, inbox: Receiver, reply: Reply, status: int | None
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await world.put("siem")
    inbox.replies.append(reply)
    await world.deliver()
    (first,) = await world.attempts(message_id)
    assert (first.outcome, first.receiver_status) == ("retry", status)
    assert first.error
    assert len(inbox.got) == 1  # a redirect is not followed
    await world.deliver(PAUSES_MS[0] - 1)
    assert len(inbox.got) == 1
    await world.deliver(PAUSES_MS[0])
    assert inbox.ids == [message_id, message_id]
    assert [one.outcome for one in await world.attempts(message_id)] == ["retry", "delivered"]
    assert (await world.destination("siem")).failing_since is None


async def test_gigabyte_of_an_answer_is_cut_and_the_connection_closed(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await world.put("siem")
    inbox.replies.append(Reply(how="gigabyte"))
    await world.deliver()
    (attempt,) = await world.attempts(message_id)
    assert attempt.outcome == "delivered"
    assert json.loads(attempt.response or "")["is_cut"] is True
    assert len(attempt.response or "") < 10_000
    assert inbox.sent_bytes < 64 * MIB


async def test_header_in_an_encoding_of_its_own_is_noted_and_nothing_sent_twice(
    any_world: NotifyWorld, inbox: Receiver
) -> None:
    await any_world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await any_world.put("siem")
    inbox.replies.append(Reply(how="latin1"))
    await any_world.deliver()
    await any_world.deliver(DAY_MS)
    assert inbox.ids == [message_id]
    (attempt,) = await any_world.attempts(message_id)
    assert attempt.outcome == "delivered"
    assert json.loads(attempt.response or "")["headers"]["Server"] == "caf\ufffd"


async def test_receiver_that_hangs_is_given_up_in_time(
    sqlite_url: str, authority: trustme.CA, tmp_path: Path, inbox: Receiver
) -> None:
    settings = notify_settings(authority, tmp_path, timeout_seconds=1)
    async with notify_world(sqlite_url, settings) as world:
        await world.set_destinations([webhook("siem", inbox.url)])
        (message_id,) = await world.put("siem")
        inbox.replies.append(Reply(how="hang"))
        await world.deliver()
        (attempt,) = await world.attempts(message_id)
    assert (attempt.outcome, attempt.error) == ("retry", "no answer within 1 seconds")


async def test_retry_after_is_honoured_but_not_for_ever(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await world.put("siem")
    for asked, waits_ms in (("3600", 3_600_000), ("999999999", DAY_MS)):
        inbox.replies.append(Reply(429, headers={"Retry-After": asked}))
        await world.deliver(DAY_MS)
        assert (await world.message(message_id)).due_at == world.now_ms + waits_ms


async def test_receiver_that_is_gone_is_disabled_at_once(
    world: NotifyWorld, inbox: Receiver
) -> None:
    told: list[str] = []

    async def tell(_hub: object, org_id: str, destination_id: str, reason: str) -> None:
        told.append(f"{org_id} {destination_id} {reason}")

    world.job = SendingJob(world.hub, tell)
    await world.set_destinations([webhook("siem", inbox.url)])
    ids = await world.put("siem", 3)
    inbox.usual = Reply(410)
    await world.deliver()
    assert len(inbox.got) == 1
    states = [(await world.message(one)).state for one in ids]
    assert states == ["failed", "dropped", "dropped"]
    row = await world.destination("siem")
    assert row.disabled_at == world.now_ms
    assert told == [f"org_x {row.id} {row.disabled_reason}"]
    await world.put("siem")
    await world.deliver(DAY_MS)
    assert len(inbox.got) == 1
    log = await world.under_test.get("?action=audit.policy_changed")
    kinds = [event["metadata"]["kind"] for event in log.json["events"]]
    assert kinds.count("destination_disabled") == 1  # the clock stands, so the order is any


async def test_days_of_nothing_but_failures_disable_a_destination(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    inbox.usual = Reply(500)
    (first,) = await world.put("siem")
    for pause_ms in (0, *PAUSES_MS):
        await world.deliver(pause_ms * 2)
    message = await world.message(first)
    assert (message.state, message.attempts) == ("failed", 10)
    row = await world.destination("siem")
    # Twice the schedule is more than five days.
    assert row.disabled_at is not None
    assert "5 days" in (row.disabled_reason or "")


async def test_lone_failure_after_a_long_silence_does_not_disable(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    inbox.replies = [Reply(400, "no")]
    await world.put("siem")
    await world.deliver()
    async with world.hub.db.write() as conn:
        await conn.exec_driver_sql("UPDATE notify_message SET state = 'failed'")
    inbox.replies = [Reply(500)]
    await world.put("siem")
    await world.deliver(30 * DAY_MS)
    assert (await world.destination("siem")).disabled_at is None


async def test_slow_and_flooded_destination_delays_no_other(
    world: NotifyWorld, inbox: Receiver
) -> None:
    slow = f"{inbox.url}/slow"
    await world.set_destinations([webhook("slow", slow), webhook("quick", inbox.url)])
    inbox.replies = [Reply(how="hang")]
    await world.put("slow", 50)
    job = asyncio.create_task(run_forever(world.hub, poll_seconds=0.05))
    try:
        await inbox.wait_for(lambda: len(inbox.got) == 1)
        quick = await world.put("quick", 5)
        await inbox.wait_for(lambda: len(inbox.got) == 6)
        assert inbox.ids[1:] == quick
    finally:
        job.cancel()
        await asyncio.wait([job])
    # The hub was stopped in the middle of an attempt: that is on record, too.
    (first,) = await world.attempts(inbox.ids[0])
    assert (first.outcome, first.error) == (
        "retry",
        "the hub was stopped before the receiver answered",
    )


async def test_receiver_that_fails_rests_before_the_next_message_is_tried(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    await world.put("siem", 40)
    inbox.usual = Reply(500)
    await world.deliver()
    assert len(inbox.got) == 1
    await world.deliver(1000)
    assert len(inbox.got) == 2
    await world.deliver(1000)
    assert len(inbox.got) == 2
    inbox.usual = Reply()
    await world.deliver(1000)
    assert len(set(inbox.ids)) == 40


async def test_message_of_a_muted_destination_is_dropped(
    world: NotifyWorld, inbox: Receiver
) -> None:
    muted = webhook("siem", inbox.url)
    muted = type(muted)(name="siem", webhook=muted.webhook, muted_until="2099-01-01T00:00:00.000Z")
    await world.set_destinations([muted])
    (message_id,) = await world.put("siem")
    await world.deliver()
    assert ((await world.message(message_id)).state, inbox.got) == ("dropped", [])


async def test_message_that_cannot_be_read_stops_no_other(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    (broken,) = await world.put("siem", payload="{}")
    (good,) = await world.put("siem")
    await world.deliver()
    await world.deliver(1000)
    assert inbox.ids == [good]
    assert "could not render" in ((await world.attempts(broken))[0].error or "")


async def test_lane_whose_taking_is_not_committed_is_taken_later(
    any_world: NotifyWorld, inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await any_world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await any_world.put("siem")
    with broken_at_the_commit(any_world.under_test, monkeypatch), pytest.raises(FaultError):
        await any_world.job.begin_due()
    await any_world.deliver(1000)
    assert inbox.ids == [message_id]


async def test_job_tells_how_much_waits_and_how_long_it_took(
    world: NotifyWorld, inbox: Receiver
) -> None:
    await world.set_destinations([webhook("siem", inbox.url), webhook("gone", inbox.url + "/x")])
    await world.put("siem", 2)
    await world.job.measure()
    sample = world.hub.metrics.registry.get_sample_value
    assert sample("radar_audit_hub_delivery_pending") == 2
    await world.deliver(2000)
    inbox.usual = Reply(410)
    await world.put("gone")
    await world.deliver()
    await world.job.measure()
    labels = {"channel": "webhook", "result": "delivered"}
    assert sample("radar_audit_hub_delivery_attempts_total", labels) == 2
    assert sample("radar_audit_hub_delivery_lag_seconds_sum", {"channel": "webhook"}) == 4.0
    assert sample("radar_audit_hub_delivery_pending") == 0
    assert sample("radar_audit_hub_destinations_disabled") == 1


async def test_delivery_log_forgets_what_is_old(world: NotifyWorld, inbox: Receiver) -> None:
    await world.set_destinations([webhook("siem", inbox.url)])
    (message_id,) = await world.put("siem")
    await world.deliver()
    await world.deliver(31 * DAY_MS)
    await world.job.forget()
    assert await world.attempts(message_id) == []
