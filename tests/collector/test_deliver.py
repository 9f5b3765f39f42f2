"""Delivery loses nothing and doubles nothing, whatever the hub or the network does."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry
from radar_audit_collector.deliver import Deliverer, DeliveryLimits
from radar_audit_collector.hub_client import Backoff, HubAddress, HubClient, HubToken
from radar_audit_collector.identity import Identity
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool
from radar_audit_events.wire import IngestResult

from tests.support.delivery import QUICK, event, line, names
from tests.support.hub_shaped import (
    TOKEN,
    Fault,
    HubShaped,
    cut,
    endless_answer,
    hang,
    raw,
    running_hub,
    status_only,
    store_then_lose_the_answer,
)


async def test_events_arrive_in_order_in_bounded_batches(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        await it.spool.append([event(n) for n in range(35)], {})
        await it.emptied()
        assert it.hub.order == names(35)
        assert max(len(batch.events) for batch in it.hub.batches) == 10
        assert it.counted("events_settled_total", result="accepted") == 35
        assert {batch.collector_id for batch in it.hub.batches} == {"collector-1"}
        assert len({batch.batch_id for batch in it.hub.batches}) == len(it.hub.batches)


FAULTS: dict[str, list[Fault]] = {
    "429": [status_only(429), status_only(429, **{"Retry-After": "0"})],
    "503": [status_only(503), status_only(500), status_only(502, **{"Retry-After": "soon"})],
    "redirect": [status_only(307, Location="http://localhost:1/")],
    "not found": [status_only(404)],
    "garbage": [raw(b"<html>"), raw(b"\xff\x00"), raw(b"{}"), raw(b'{"results":[{}]}'), raw(b"")],
    "nested": [raw(b"[" * 100_000)],
    "wrong count": [raw(b'{"results":[{"result":"accepted"}]}'), raw(b'{"results":[]}')],
    "unknown result": [raw(b'{"results":[{"result":"maybe"},{"result":"maybe"}]}')],
    "cut": [cut, cut],
    "too large": [endless_answer(16 * 1024 * 1024)],
    "proxy says 400": [status_only(400)] * 4,
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_batch_is_kept_and_sent_again_when_the_hub_fails(
    tmp_path: Path, faults: list[Fault]
) -> None:
    async with line(tmp_path) as it:
        it.hub.faults.extend(faults)
        await it.spool.append([event(0), event(1)], {})
        await it.emptied()
        assert sorted(it.hub.order) == names(2)
        assert not it.hub.faults
        assert await it.spool.dead_letters() == []
        assert it.metrics.losses == {}


async def test_batch_is_kept_while_the_hub_hangs(tmp_path: Path) -> None:
    async with line(tmp_path, timeout_seconds=0.1) as it:
        it.hub.faults.extend([hang(it.hub), hang(it.hub)])
        await it.spool.append([event(0)], {})
        await it.emptied()
        assert it.hub.order == names(1)
        # A machine that is slow just then makes the hub look as if it hung once more.
        assert it.counted("deliveries_total", result="timeout") >= 2
        assert not it.hub.faults


async def test_batch_is_kept_while_the_hub_is_away(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        port = int(it.hub.url.rsplit(":", 1)[1])
        await it.hub.stop()
        await it.spool.append([event(0)], {})
        await it.hub.until(lambda: it.counted("deliveries_total", result="connect") > 2)
        assert it.spool.stats.events == 1
        await it.hub.start(port)
        await it.emptied()
        assert it.hub.order == names(1)


async def test_lost_answer_makes_duplicates_that_the_hub_names_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with line(tmp_path) as it:
        it.hub.faults.append(store_then_lose_the_answer(it.hub))
        await it.spool.append([event(0), event(1)], {})
        await it.emptied()
        assert it.hub.order == names(2)
        assert it.counted("events_settled_total", result="duplicate") == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_token_pauses_is_reported_and_heals(tmp_path: Path, status: int) -> None:
    async with line(tmp_path) as it:
        it.hub.faults.append(status_only(status))
        it.hub.faults.append(status_only(status))
        await it.spool.append([event(0)], {})
        await it.hub.until(lambda: it.deliverer.is_token_refused)
        assert it.counted("token_refused") == 1
        assert it.spool.stats.events == 1
        await it.emptied()
        assert not it.deliverer.is_token_refused
        assert it.counted("token_refused") == 0
        assert it.counted("deliveries_total", result="token_refused") == 2


async def test_rotated_token_is_read_from_its_file_long_before_the_pause_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("rhc_old\n")
    patient = DeliveryLimits(batch_events=10, linger_seconds=0, token_retry_seconds=3600)
    async with line(tmp_path, limits=patient, token=HubToken("rhc_old", file)) as it:
        await it.spool.append([event(0)], {})
        await it.hub.until(lambda: it.deliverer.is_token_refused)
        file.write_text(TOKEN)
        await it.emptied()
    # Why it was refused is the hub's to say: which account, which audience.
    (refusal,) = [line for line in caplog.records if "refuses the cluster token" in line.message]
    assert refusal.__dict__["hub_says"] == "the token is not known"


async def test_rejected_event_goes_to_the_dead_letters_and_stops_nobody(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        it.hub.judge = lambda e: (
            IngestResult(result="rejected", code="not_allowed", message="no")
            if e.session_id == "s00001"
            else None
        )
        await it.spool.append([event(n) for n in range(3)], {})
        await it.emptied()
        assert it.hub.order == ["s00000", "s00002"]
        (letter,) = await it.spool.dead_letters()
        assert (letter.code, letter.message) == ("not_allowed", "no")
        assert it.metrics.losses == {"rejected": 1}


async def test_expired_event_is_settled_and_counted(tmp_path: Path) -> None:
    async with line(tmp_path) as it:
        it.hub.judge = lambda _: IngestResult(result="expired")
        await it.spool.append([event(0)], {})
        await it.emptied()
        assert it.counted("events_settled_total", result="expired") == 1


async def test_event_ahead_of_the_hubs_clock_waits_apart_until_it_is_accepted(
    tmp_path: Path,
) -> None:
    early = True
    async with line(tmp_path) as it:
        it.hub.judge = lambda e: (
            IngestResult(result="rejected", code="clock_skew", message="ahead")
            if e.session_id == "s00000" and early
            else None
        )
        await it.spool.append([event(0), event(1)], {})
        await it.hub.until(lambda: it.counted("events_settled_total", result="skewed") >= 2)
        assert it.hub.order == ["s00001"]
        await it.hub.until(lambda: it.spool.stats.held == 1)
        early = False
        await it.emptied()
        assert it.hub.order == ["s00001", "s00000"]
        assert await it.spool.dead_letters() == []


async def test_events_of_a_claimed_org_wait_for_the_own_one_without_blocking_others(
    tmp_path: Path,
) -> None:
    async with line(tmp_path, org_id=None) as it:
        await it.spool.append([event(0, "org_x"), event(1), event(2, "org_other")], {})
        await it.hub.until(lambda: it.spool.stats.events == 2)
        assert it.hub.order == ["s00001"]
        it.identity._configured_org_id = "org_x"
        it.spool.announce()
        await it.emptied()
        assert it.hub.order == ["s00001", "s00000"]
        assert it.counted("records_ignored_total", reason="org_mismatch") == 1


async def test_redirect_does_not_carry_the_token_elsewhere(tmp_path: Path) -> None:
    async with running_hub() as other, line(tmp_path) as it:
        it.hub.faults.append(status_only(308, Location=f"{other.url}/api/ingest/events"))
        await it.spool.append([event(0)], {})
        await it.emptied()
        assert other.requests == 0


async def test_hub_with_an_unknown_certificate_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.issue_cert("localhost").configure_cert(context)
    hub = HubShaped()
    await hub.start(context=context)
    metrics = Metrics(CollectorRegistry())
    spool = Spool(tmp_path / "spool", 64 * 1024 * 1024)
    await spool.open()
    await spool.append([event(0)], {})
    client = HubClient(HubAddress(hub.url, tmp_path / "ca.pem", 30, "test"), HubToken(TOKEN))
    await client.open()
    deliverer = Deliverer(spool, client, Identity(spool, "org_x"), metrics, "c", QUICK)
    running = asyncio.create_task(deliverer.run())
    refused: Callable[[], bool] = lambda: bool(  # noqa: E731
        metrics.registry.get_sample_value(
            "radar_audit_collector_deliveries_total", {"result": "tls"}
        )
    )
    await hub.until(refused)
    running.cancel()
    await asyncio.wait([running])
    await client.close()
    await spool.close()
    await hub.stop()
    assert hub.requests == 0
    assert TOKEN not in caplog.text


async def test_token_is_in_no_log_line_whatever_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with line(tmp_path) as it:
        for faults in FAULTS.values():
            it.hub.faults.extend(faults)
        it.hub.faults.append(status_only(401))
        await it.spool.append([event(0), event(1)], {})
        await it.emptied()
    assert len(caplog.records) > 3
    for record in caplog.records:
        assert TOKEN not in str(record.__dict__)


async def test_flush_ships_what_is_left_and_returns(tmp_path: Path) -> None:
    async with running_hub() as hub:
        spool = Spool(tmp_path / "spool", 64 * 1024 * 1024)
        await spool.open()
        await spool.append([event(n) for n in range(25)], {})
        client = HubClient(HubAddress(hub.url, None, 30, "test"), HubToken(TOKEN))
        await client.open()
        metrics = Metrics(CollectorRegistry())
        await Deliverer(spool, client, Identity(spool, "org_x"), metrics, "c", QUICK).flush()
        assert hub.order == names(25)
        await client.close()
        await spool.close()


def test_pauses_grow_under_a_cap_and_honour_the_hubs_wish() -> None:
    backoff = Backoff(1.0, 5.0, draw=lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.next_seconds(at_least=30) == 35
    backoff.reset()
    assert backoff.next_seconds() == 1
    assert Backoff(1.0, 5.0, draw=lambda: 0.0).next_seconds() == 0
