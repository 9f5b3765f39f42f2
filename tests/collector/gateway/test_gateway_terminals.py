"""Guards which events the gateway's starts and ends give, and what survives a restart."""

from __future__ import annotations

from typing import Any

from radar_audit_collector.capture.gateway.terminals import (
    MAX_USED,
    OPEN_PREFIX,
    USED_PREFIX,
    Terminals,
)
from radar_audit_collector.capture.record import AuditRecord
from radar_audit_collector.classify import ClassifyRules, Verdict, classify

RULES = ClassifyRules("radar/radar", org_id="org_1")
STARTED_US = 1_764_000_000_000_000
NOW_MS = STARTED_US // 1000
DAY_MS = 86_400_000


def verdict(**changes: Any) -> Verdict:
    values = {
        "audit_id": "8f1b3c9a-0000-4000-8000-000000000001",
        "stage": "ResponseStarted",
        "verb": "get",
        "namespace": "shop",
        "pod": "nginx-0",
        "subresource": "exec",
        "user": "system:serviceaccount:radar:radar",
        "impersonated_user": "user_01",
        "impersonated_groups": ("radar:owner", "cloud:org:org_1"),
        "code": 101,
        "received_us": STARTED_US - 5_000,
        "stage_us": STARTED_US,
        "container": "web",
        "stdin": True,
        "tty": True,
        "user_agent_hash": "",
        **changes,
    }
    result = classify(AuditRecord(**values), RULES)
    assert result.kind == "started"
    return result


def test_a_start_and_its_end_give_one_event_each() -> None:
    terminals = Terminals({})
    session_id, started = terminals.start(verdict(), chosen=False, now_ms=NOW_MS)
    assert terminals.open_ids() == [session_id]
    ended = terminals.end(session_id, "client_closed", STARTED_US + 1_500_000)
    (start,), (end,) = started.events, ended.events
    assert (start.event.action, end.event.action) == ("pod.exec_started", "pod.exec_ended")
    assert start.event.session_id == end.event.session_id == verdict().record.audit_id  # type: ignore[union-attr]
    assert start.event.actor_user_id == "user_01"
    assert start.event.metadata == {"namespace": "shop", "pod": "nginx-0", "container": "web"}
    assert end.event.metadata["duration_ms"] == 1500
    assert end.event.metadata["end_reason"] == "client_closed"
    assert end.event.metadata["observed"] is True
    assert terminals.open_ids() == []


def test_an_end_is_given_once_and_only_for_what_was_started() -> None:
    terminals = Terminals({})
    session_id, _ = terminals.start(verdict(), chosen=False, now_ms=NOW_MS)
    assert terminals.end("another", "client_closed", STARTED_US).events == ()
    assert len(terminals.end(session_id, "client_closed", STARTED_US).events) == 1
    assert terminals.end(session_id, "client_closed", STARTED_US).events == ()


def test_what_was_open_is_ended_after_a_restart_and_not_claimed_as_seen() -> None:
    terminals = Terminals({})
    session_id, started = terminals.start(verdict(), chosen=False, now_ms=NOW_MS)
    state = {key: value for key, value in started.state.items() if value is not None}
    again = Terminals(state)
    assert again.open_ids() == [session_id]
    left = again.end_all(again.open_ids(), "collector_restart", STARTED_US + 9_000_000)
    (end,) = left.events
    assert end.event.metadata["end_reason"] == "collector_restart"
    assert end.event.metadata["observed"] is False
    assert end.event.metadata["duration_ms"] == 9000
    assert left.state == {OPEN_PREFIX + session_id: None}


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    terminals = Terminals({})
    session_id, _ = terminals.start(verdict(), chosen=False, now_ms=NOW_MS)
    (end,) = terminals.end(session_id, "client_closed", STARTED_US - 1).events
    assert end.event.metadata["duration_ms"] == 0


def test_a_terminal_never_expires() -> None:
    terminals = Terminals({})
    session_id, _ = terminals.start(verdict(), chosen=False, now_ms=NOW_MS)
    for day in range(40):
        terminals.start(verdict(audit_id=f"id-{day}"), chosen=True, now_ms=NOW_MS + day * DAY_MS)
    assert session_id in terminals.open_ids()


def test_an_id_that_a_client_chose_twice_is_two_sessions_also_after_a_restart() -> None:
    terminals = Terminals({})
    first, started = terminals.start(verdict(audit_id="mine"), chosen=True, now_ms=NOW_MS)
    ended = terminals.end(first, "client_closed", STARTED_US)
    state = {**started.state, **ended.state}
    again = Terminals({key: value for key, value in state.items() if value is not None})
    second, _ = again.start(
        verdict(audit_id="mine", received_us=STARTED_US + 7), chosen=True, now_ms=NOW_MS + 1
    )
    assert first == "mine"
    assert second != first


def test_ids_that_clients_chose_are_forgotten_after_a_day_and_bounded() -> None:
    terminals = Terminals({})
    terminals.start(verdict(audit_id="old"), chosen=True, now_ms=NOW_MS)
    _, later = terminals.start(verdict(audit_id="new"), chosen=True, now_ms=NOW_MS + DAY_MS)
    assert later.state[USED_PREFIX + "old"] is None
    for number in range(MAX_USED + 1):
        _, last = terminals.start(
            verdict(audit_id=f"id-{number}"), chosen=True, now_ms=NOW_MS + DAY_MS
        )
    assert [key for key, value in last.state.items() if value is None] == [USED_PREFIX + "id-0"]


def test_unreadable_state_is_passed_over() -> None:
    assert Terminals({OPEN_PREFIX + "x": b"\xc1", USED_PREFIX + "y": b"soon"}).open_ids() == []


def test_the_org_that_the_groups_claim_is_kept_for_the_end() -> None:
    unknown = classify(verdict().record, ClassifyRules("radar/radar"))  # type: ignore[arg-type]
    terminals = Terminals({})
    session_id, started = terminals.start(unknown, chosen=False, now_ms=NOW_MS)
    ended = terminals.end(session_id, "server_closed", STARTED_US)
    assert [captured.claimed_org for captured in (*started.events, *ended.events)] == ["org_1"] * 2
