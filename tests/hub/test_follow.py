"""Following the log: the signal, the long poll, the live tail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from radar_audit_hub.audit import tail
from radar_audit_hub.audit.follow import LogSignal

from tests.support.hub_builder import Answer, HubUnderTest, events_of
from tests.support.log_rows import DAY_MS, NOW_MS, make_event


class Log:
    """The length of each org's log, and how often it was asked for."""

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self.asked = 0
        self.away = False

    async def next_seq(self, org_id: str) -> int:
        self.asked += 1
        if self.away:
            raise ConnectionError("away")
        return self.lengths.get(org_id, 0)


async def test_notify_wakes_a_waiter_without_waiting_for_the_poll() -> None:
    log = Log()
    signal = LogSignal(log.next_seq, poll_seconds=3600)
    waiting = asyncio.create_task(signal.wait_past("o", -1, 30))
    await asyncio.sleep(0.01)
    log.lengths["o"] = 1
    signal.notify("o")
    async with asyncio.timeout(25):  # less than the wait itself
        assert await waiting is True
    await signal.stop()


async def test_poll_finds_what_another_replica_appended() -> None:
    log = Log()
    signal = LogSignal(log.next_seq, poll_seconds=0.01)
    waiting = asyncio.create_task(signal.wait_past("o", 4, 30))
    await asyncio.sleep(0.03)
    log.lengths["o"] = 5
    await asyncio.sleep(0.03)
    assert not waiting.done()
    log.lengths["o"] = 6
    assert await waiting is True
    await signal.stop()


async def test_append_before_the_wait_begins_is_seen_at_once() -> None:
    log = Log()
    log.lengths["o"] = 1
    signal = LogSignal(log.next_seq, poll_seconds=3600)
    assert await signal.wait_past("o", -1, 30) is True
    await signal.stop()


async def test_nobody_waiting_means_nothing_is_polled() -> None:
    log = Log()
    signal = LogSignal(log.next_seq, poll_seconds=0.01)
    assert await signal.wait_past("o", -1, 0.02) is False
    for _ in range(100):
        if not signal.watched:
            break
        await asyncio.sleep(0.01)
    asked = log.asked
    await asyncio.sleep(0.05)
    assert (signal.watched, log.asked) == (frozenset(), asked)


async def test_many_waiters_of_an_org_share_one_poller() -> None:
    log = Log()
    signal = LogSignal(log.next_seq, poll_seconds=3600)
    waiting = [asyncio.create_task(signal.wait_past("o", -1, 30)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert log.asked == 1
    log.lengths["o"] = 1
    signal.notify("o")
    assert all(await asyncio.gather(*waiting))
    assert log.asked == 2
    await signal.stop()


async def test_database_that_is_away_for_a_moment_ends_no_wait() -> None:
    log = Log()
    log.away = True
    signal = LogSignal(log.next_seq, poll_seconds=0.01)
    waiting = asyncio.create_task(signal.wait_past("o", -1, 30))
    await asyncio.sleep(0.03)
    log.away, log.lengths["o"] = False, 1
    assert await waiting is True
    await signal.stop()


async def test_stop_ends_all_waiting() -> None:
    signal = LogSignal(Log().next_seq, poll_seconds=3600)
    waiting = asyncio.create_task(signal.wait_past("o", -1, 3600))
    await asyncio.sleep(0.01)
    await signal.stop()
    assert await waiting is False
    assert await signal.wait_past("o", -1, 3600) is False


def next_seq_of(answer: Answer) -> int:
    found = re.search(r"after_seq=(-?\d+)>; rel=\"next\"", answer.headers["Link"])
    assert found is not None
    return int(found[1])


async def test_pages_come_in_commit_order_and_link_onwards(any_hub: HubUnderTest) -> None:
    late = make_event(99, created_at_ms=NOW_MS - DAY_MS)
    ids = await any_hub.append(*events_of(4), late)
    first = await any_hub.get("follow", params={"limit": "3"})
    assert first.headers["Content-Type"] == "application/x-ndjson"
    assert [e["seq"] for e in first.lines] == [0, 1, 2]
    second = await any_hub.get(first.headers["Link"][1:].partition(">")[0])
    assert [e["id"] for e in first.lines + second.lines] == ids
    assert next_seq_of(second) == 4


async def test_link_passes_what_the_filter_leaves_out(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(4), make_event(9, action="org.created"))
    answer = await any_hub.get("follow", params={"action": "pod.exec_ended", "wait": "0"})
    assert answer.status == 200
    assert (answer.lines, next_seq_of(answer)) == ([], 4)


async def test_long_poll_answers_when_an_event_comes(any_hub: HubUnderTest) -> None:
    await any_hub.append(*events_of(2))
    waiting = asyncio.create_task(any_hub.get("follow", params={"after_seq": "1", "wait": "30"}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    (event_id,) = await any_hub.append(make_event(50))
    answer = await waiting
    assert [e["id"] for e in answer.lines] == [event_id]


async def test_long_poll_sees_what_another_replica_stored(hub: HubUnderTest) -> None:
    waiting = asyncio.create_task(hub.get("follow", params={"wait": "30"}))
    await asyncio.sleep(0.05)
    (event_id,) = await hub.append(make_event(50), notify=False)
    assert [e["id"] for e in (await waiting).lines] == [event_id]


async def test_long_poll_ends_empty_when_its_time_is_up(hub: HubUnderTest) -> None:
    answer = await hub.get("follow", params={"wait": "1"})
    assert (answer.status, answer.body, next_seq_of(answer)) == (200, b"", -1)


async def test_revoked_token_ends_a_waiting_long_poll(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECHECK_SECONDS", 0.05)
    waiting = asyncio.create_task(hub.get("follow", params={"wait": "30"}))
    await asyncio.sleep(0.02)
    await hub.revoke(hub.owner)
    assert (await waiting).status == 401


@asynccontextmanager
async def tailing(
    hub: HubUnderTest, path: str = "follow", token: str = "", **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    sent = {"Accept": "text/event-stream", "Authorization": f"Bearer {token or hub.owner}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with hub.client.get(hub.address(path), headers=sent) as response:
        yield response


async def frame(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Read one frame: its fields, a comment under the empty name."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(60):
        while line := (await response.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
    return fields


async def test_tail_streams_old_and_new_events_in_order(any_hub: HubUnderTest) -> None:
    ids = await any_hub.append(*events_of(3))
    async with tailing(any_hub) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await frame(response) == {"retry": "2000"}
        old = [await frame(response) for _ in ids]
        assert [f["id"] for f in old] == ["0", "1", "2"]
        assert [f["event"] for f in old] == ["audit"] * 3
        assert all(event_id in f["data"] for event_id, f in zip(ids, old, strict=True))
        (new_id,) = await any_hub.append(make_event(70))
        assert new_id in (await frame(response))["data"]


async def test_tail_resumes_after_the_last_event_id(hub: HubUnderTest) -> None:
    await hub.append(*events_of(5))
    async with tailing(hub, "follow?after_seq=0", Last_Event_ID="3") as response:
        await frame(response)
        assert (await frame(response))["id"] == "4"
    async with tailing(hub, Last_Event_ID="nonsense") as response:
        assert response.status == 400
        body = await response.json(content_type=None)
        assert body["errors"][0]["field"] == "Last-Event-ID"


async def test_idle_tail_is_kept_alive(hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tail.KEEP_ALIVE_SECONDS == 15
    monkeypatch.setattr(tail, "KEEP_ALIVE_SECONDS", 0.05)
    async with tailing(hub) as response:
        await frame(response)
        assert await frame(response) == {"": "keep-alive"}
        assert await frame(response) == {"": "keep-alive"}


@pytest.mark.parametrize("how", ["revoked", "removed", "expired"])
async def test_tail_ends_when_the_right_to_read_is_gone(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tail, "RECHECK_SECONDS", 0.05)
    token = await hub.add_person(expires_at_ms=NOW_MS + 60_000)
    async with tailing(hub, token=token) as response:
        await frame(response)
        if how == "revoked":
            await hub.revoke(token)
        elif how == "removed":
            await hub.remove_members()
        else:
            hub.clock.now_ms += 60_000
        assert await frame(response) == {"event": "end", "data": "unauthorized"}
        assert await response.content.read() == b""


async def test_server_that_stops_ends_tails_and_long_polls(hub: HubUnderTest) -> None:
    waiting = asyncio.create_task(hub.get("follow", params={"wait": "30"}))
    async with tailing(hub) as response:
        await frame(response)
        await hub.hub.signal.stop()
        assert await response.content.read() == b""
    assert (await waiting).status == 200


async def test_followers_are_bounded(hub: HubUnderTest) -> None:
    with hub.hub.followers.take("org_other"):
        hub.hub.followers._limit = 1
        answer = await hub.get("follow", params={"wait": "0"})
    assert (answer.status, answer.json["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await hub.get("follow", params={"wait": "0"})).status == 200
    assert hub.hub.followers.taken == 0


async def test_followers_that_hang_up_free_their_place(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECHECK_SECONDS", 0.05)
    async with tailing(hub) as response:
        await frame(response)
        assert hub.hub.followers.taken == 1
        response.close()
    for _ in range(200):
        if hub.hub.followers.taken == 0:
            break
        await asyncio.sleep(0.02)
    assert hub.hub.followers.taken == 0
