"""The recorded audit log of two Kubernetes versions, through the whole of capture."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_collector.capture.logfile import LogfileSource
from radar_audit_collector.capture.record import AuditRecord, Skipped, parse_batch, parse_line
from radar_audit_collector.classify import classify
from radar_audit_collector.explain import explain
from radar_audit_events.ids import format_ms, parse_us

from tests.support.audit_lines import event_list
from tests.support.pairing import NOW_MS, RULES, Journal, Row

SAMPLE = Path(__file__).parents[2] / "scripts" / "demo" / "audit-log.jsonl"
LINES = SAMPLE.read_bytes().splitlines()
EVENTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
TERMINALS = ("9ab2aa80", "eefcd1ac", "fa8ecac8", "66984a8b", "264e3cbe")
REFUSALS = ("611a37a6", "efb9a133", "12c1a63c", "9272114c")
RETRIES = ("a40391c5", "cfe01875")


def stage_of(prefix: str, stage: str) -> dict[str, Any]:
    found = [e for e in EVENTS if e["auditID"].startswith(prefix) and e["stage"] == stage]
    (event,) = found
    return event


def expected_row(prefix: str, kind: str) -> Row:
    """Return the row that a request of the file must give, read from its stamps."""
    started, complete = (stage_of(prefix, s) for s in ("ResponseStarted", "ResponseComplete"))
    start_us, end_us = (parse_us(event["stageTimestamp"]) for event in (started, complete))
    at_us = {
        "started": start_us,
        "ended": end_us,
        "denied": parse_us(started["requestReceivedTimestamp"]),
    }[kind]
    metadata: dict[str, Any] = {"namespace": "demo", "pod": "web", "container": "app"}
    if kind == "ended":
        metadata |= {
            "duration_ms": (end_us - start_us) // 1000,
            "end_reason": "server_closed",
            "observed": True,
            "started_at": format_ms(start_us // 1000),
        }
    if kind == "denied":
        metadata |= {
            "attempted_action": "pod.exec",
            "role": "viewer",
            "required_role": "member",
            "status": 403,
            "source": "kubernetes",
        }
    person = "user_y" if kind == "denied" else "user_x"
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return (started["auditID"], kind, format_ms(at_us // 1000), person, text, None)


EXPECTED: list[Row] = sorted(
    [
        *(expected_row(prefix, kind) for prefix in TERMINALS for kind in ("started", "ended")),
        *(expected_row(prefix, "denied") for prefix in REFUSALS),
    ],
    key=str,
)


async def through_logfile(path: Path) -> tuple[Journal, Counter[str], list[bytes]]:
    """Follow the log as the collector does; the clock stands still until all is read."""
    journal, ignored = Journal(), Counter[str]()
    checkpoints: list[bytes] = []
    batches = LogfileSource(path, poll_seconds=0.005, chunk_bytes=20_000).batches()
    read = 0
    async with asyncio.timeout(20):
        while read < len(LINES):
            items, checkpoint = await anext(batches)
            read += len(items)
            ignored.update(classify(item, RULES).reason or "used" for item in items)
            journal.feed(items)
            checkpoints.append(checkpoint)
    await batches.aclose()
    return journal.tick(NOW_MS + 2000), ignored, checkpoints


async def test_log_file_gives_exactly_the_fourteen_rows() -> None:
    journal, _, _ = await through_logfile(SAMPLE)
    assert len(EXPECTED) == 14
    assert journal.rows() == EXPECTED
    assert journal.sessions.open_count == 0


async def test_counters_say_why_every_other_line_was_left_out() -> None:
    journal, ignored, _ = await through_logfile(SAMPLE)
    used = ignored.pop("used")
    assert ignored == {
        "request_received": 51,
        "not_exec": 10,
        "not_radar": 54,
        "status_4xx": 10,
        "not_terminal": 8,
        "no_role": 6,
    }
    # Two stages for each terminal and each refused request; of the latter one more tells nothing.
    assert used == 2 * len(TERMINALS) + 2 * len(REFUSALS + RETRIES)
    assert used + sum(ignored.values()) == len(LINES) == 161
    assert journal.counts == {"denied_known": 6, "denied_retry": 2, "held": 1}


@pytest.mark.parametrize(
    "prefix, reason",
    [
        ("bb29bf18", "not_terminal"),  # no stdin, no tty
        ("3f7c022a", "not_terminal"),
        ("session-", "not_terminal"),
        ("293c013d", "not_radar"),  # another ServiceAccount impersonates
        ("259bedab", "not_radar"),
        ("8acd2332", "not_radar"),  # direct kubectl
        ("03896455", "no_role"),  # cloud:getonly is neither role nor org
        ("19a0a5b0", "no_role"),
        ("ab52c6bd", "no_role"),
        ("80f22cf0", "not_radar"),  # 401: nobody
        ("9ed7b40d", "status_4xx"),
        ("c9e05d15", "status_4xx"),
        ("7ef954fe", "not_radar"),  # attach
        ("58cbaec0", "not_exec"),  # port-forward
        ("92a67638", "not_exec"),  # ephemeral container
    ],
)
def test_request_that_is_no_terminal_is_left_out_for_its_reason(prefix: str, reason: str) -> None:
    lines = [
        line
        for line, event in zip(LINES, EVENTS, strict=True)
        if event["auditID"].startswith(prefix) and event["stage"] != "RequestReceived"
    ]
    assert {explain(line, RULES).reason for line in lines} == {reason}


@given(
    st.permutations([*range(len(LINES)), *range(0, len(LINES), 3)]),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_webhook_batches_shuffled_doubled_and_partial_give_the_same_rows(
    order: list[int], sizes: list[int]
) -> None:
    journal = Journal()
    place, number = 0, 0
    while place < len(order):
        size = sizes[number % len(sizes)]
        part = order[place : place + size]
        journal.feed(parse_batch(event_list([LINES[index] for index in part])))
        place, number = place + size, number + 1
    assert journal.tick(NOW_MS + 2000).rows() == EXPECTED


@given(st.permutations(range(len(LINES))))
@settings(max_examples=20, deadline=None)
def test_both_sources_at_once_give_no_doubles(order: list[int]) -> None:
    journal = Journal()
    for line, index in zip(LINES, order, strict=True):
        journal.feed([line]).feed(parse_batch(event_list([LINES[index]])))
    assert journal.tick(NOW_MS + 2000).rows() == EXPECTED


def commands() -> set[str]:
    """Return every argv value of the file, whole and in its raw form."""
    found: set[str] = set()
    for event in EVENTS:
        query = urlsplit(event["requestURI"]).query
        found.update(parse_qs(query).get("command", []))
        found.update(p[len("command=") :] for p in query.split("&") if p.startswith("command="))
    return found


async def test_no_canary_and_no_argv_in_anything_that_capture_gives() -> None:
    journal, _, checkpoints = await through_logfile(SAMPLE)
    partly = Journal().feed(LINES[:18] + LINES[25:29])  # with sessions open and refusals held
    records = [item for item in map(parse_line, LINES) if isinstance(item, AuditRecord)]
    shown = [
        *map(repr, (journal.events, journal.state, journal.sessions, partly.state, checkpoints)),
        *(repr(record) for record in records),
        *(repr(classify(record, RULES)) for record in records),
        *(explain(line, RULES).text() for line in LINES),
    ]
    blob = "\n".join(shown)
    assert "CANARY" not in blob
    secrets = {value for value in commands() if len(value) > 3}
    assert len(secrets) > 5
    assert {value for value in secrets if value in blob} == set()
    # The short ones (sh, id, -c) are parts of ordinary words: no value of a record may be one.
    values = {str(value) for record in records for value in vars_of(record)}
    assert values & commands() == set()


def vars_of(record: AuditRecord) -> list[object]:
    return [getattr(record, name) for name in record.__struct_fields__]


def test_every_broken_line_of_the_file_is_skipped_or_kept_but_never_quoted() -> None:
    for line in LINES:
        for cut in range(0, len(line), 97):
            item = parse_line(line[:cut])
            assert item == Skipped("malformed")
