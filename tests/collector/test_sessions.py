"""Pairing of stages into sessions, example by example."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from radar_audit_collector.capture.record import AuditRecord, parse_line
from radar_audit_collector.session_entries import actor_of
from radar_audit_collector.sessions import SessionLimits, Sessions, Step
from radar_audit_events.schema import validate_metadata

from tests.support.audit_lines import ARGV_SECRET, audit_line
from tests.support.pairing import NOW_MS, Journal

ID = "9ab2aa80-03ee-4a19-adef-e01fdd0f4183"
STARTED = audit_line()
COMPLETE = audit_line(stage="ResponseComplete", after=1.554)
DAY_MS = 86_400_000


def refused(audit_id: str, verb: str, received: float, **changes: Any) -> bytes:
    return audit_line(
        audit_id, code=403, verb=verb, received=received, groups=("cloud:viewer",), **changes
    )


def facts(journal: Journal) -> list[tuple[str, str, str]]:
    return [(e.event.action, e.event.session_id, e.event.created_at) for e in journal.events]


def test_start_and_end_carry_stamps_and_duration_of_the_api_server() -> None:
    journal = Journal().feed([STARTED, COMPLETE])
    start, end = (captured.event for captured in journal.events)
    assert (start.action, start.session_id) == ("pod.exec_started", ID)
    assert start.created_at == "2026-11-24T03:11:07.935Z"
    assert start.actor_user_id == "user_x"
    assert start.metadata == {"namespace": "demo", "pod": "web", "container": "app"}
    assert end.created_at == "2026-11-24T03:11:09.485Z"
    assert end.metadata == {
        "namespace": "demo",
        "pod": "web",
        "container": "app",
        "duration_ms": 1550,
        "end_reason": "server_closed",
        "observed": True,
        "started_at": "2026-11-24T03:11:07.935Z",
    }
    assert journal.sessions.open_count == 0


def test_open_session_is_listed_until_its_end() -> None:
    journal = Journal().feed([STARTED])
    assert (journal.sessions.open_count, journal.sessions.open_session_ids()) == (1, [ID])
    journal.feed([COMPLETE])
    assert journal.sessions.open_session_ids() == []


def test_repeats_give_nothing_even_after_a_restart() -> None:
    journal = Journal().feed([STARTED, STARTED, COMPLETE, COMPLETE, STARTED])
    journal.crash()
    journal.feed([COMPLETE, STARTED])
    assert len(journal.events) == 2
    assert journal.counts == {"duplicate": 5}


def test_end_before_its_start_gives_the_same_rows_as_in_order() -> None:
    turned = Journal().feed([COMPLETE, STARTED]).tick(NOW_MS + 5000)
    assert turned.rows() == Journal().feed([STARTED, COMPLETE]).rows()


def test_end_whose_start_never_comes_makes_one_dated_to_the_request() -> None:
    journal = Journal().feed([COMPLETE])
    assert journal.events == []
    journal.tick(NOW_MS + 1999)
    assert journal.events == []
    journal.tick(NOW_MS + 120_000)
    start, end = (captured.event for captured in journal.events)
    assert start.created_at == "2026-11-24T03:11:07.931Z"
    assert start.metadata["observed"] is False
    assert end.metadata["observed"] is True
    assert end.metadata["duration_ms"] == 1554
    journal.feed([STARTED, COMPLETE]).tick(NOW_MS + DAY_MS)
    assert len(journal.events) == 2


def test_panic_ends_with_error_in_either_order() -> None:
    panic = audit_line(stage="Panic", code=500, after=1.0)
    in_order = Journal().feed([STARTED, panic])
    assert in_order.events[1].event.metadata["end_reason"] == "error"
    turned = Journal().feed([panic]).tick(NOW_MS + 5000).feed([STARTED], NOW_MS + 5000)
    assert turned.rows() == in_order.rows()
    turned.feed([panic, STARTED]).tick(NOW_MS + DAY_MS)
    assert len(turned.events) == 2
    assert len(turned.state) == 1  # remembered since it ended, not since the panic came


def test_panic_alone_proves_no_session() -> None:
    journal = Journal().feed([audit_line(stage="Panic", code=500)]).tick(NOW_MS + 2 * DAY_MS)
    assert journal.events == []
    assert journal.counts == {"held": 1, "panic_unmatched": 1}
    assert journal.state == {}


def test_session_without_end_is_assumed_after_a_day_and_a_late_end_corrects_it() -> None:
    journal = Journal().feed([STARTED]).tick(NOW_MS + DAY_MS - 1)
    assert len(journal.events) == 1
    journal.tick(NOW_MS + DAY_MS)
    assumed = journal.events[1].event
    assert assumed.created_at == "2026-11-25T03:11:07.935Z"
    assert assumed.metadata["duration_ms"] == DAY_MS
    assert (assumed.metadata["end_reason"], assumed.metadata["observed"]) == ("assumed", False)
    assert journal.sessions.open_count == 0
    journal.crash()
    late = audit_line(stage="ResponseComplete", after=90_000.0)
    journal.feed([late, late], NOW_MS + 2 * DAY_MS)
    assert len(journal.events) == 3
    real = journal.events[2].event
    assert real.assumed_created_at == assumed.created_at
    assert (real.metadata["end_reason"], real.metadata["observed"]) == ("server_closed", True)
    assert real.metadata["duration_ms"] == 89_999_996
    assert journal.counts["end_superseded"] == 1


def test_log_read_long_after_the_fact_does_not_assume_ends() -> None:
    later = NOW_MS + 30 * DAY_MS
    journal = Journal().feed([STARTED], later).tick(later + 1000).feed([COMPLETE], later + 2000)
    assert len(journal.events) == 2
    assert journal.counts == {}


def test_end_stamped_before_its_start_lasts_no_time() -> None:
    journal = Journal().feed([STARTED, audit_line(stage="ResponseComplete", after=-3.0)])
    assert journal.events[1].event.metadata["duration_ms"] == 0


def test_refusal_is_one_event_however_many_stages_tell_it() -> None:
    line = refused("a", "get", 0.0)
    again = refused("a", "get", 0.0, stage="ResponseComplete", after=0.005)
    for order in ([line, again], [again, line]):
        journal = Journal().feed(order)
        event = journal.events[0].event
        assert facts(journal) == [("cluster.action_denied", "a", "2026-11-24T03:11:07.931Z")]
        assert event.metadata == {
            "attempted_action": "pod.exec",
            "role": "viewer",
            "required_role": "member",
            "status": 403,
            "source": "kubernetes",
            "namespace": "demo",
            "pod": "web",
            "container": "app",
        }


def test_refused_get_and_its_retry_are_one_event_in_either_order() -> None:
    get = refused("g", "get", 0.0)
    posts = [refused("p", "create", received) for received in (0.0, 0.006, 2.0)]
    for order in [order for post in posts for order in ([get, post], [post, get])]:
        journal = Journal().feed(order).tick(NOW_MS + 2000)
        assert [fact[1] for fact in facts(journal)] == ["g"]
        assert journal.counts["denied_retry"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"received": 2.000001},
        {"received": -0.1},
        {"pod": "db"},
        {"namespace": "prod"},
        {"person": "user_z"},
        {"query": "container=sidecar&tty=true&stdin=true"},
        {"user_agent": "kubectl/v1.36"},
    ],
)
def test_refused_post_of_something_else_is_an_event_of_its_own(changes: dict[str, Any]) -> None:
    changes = {"received": 0.006, **changes}
    post = refused("p", "create", **changes)
    get = refused("g", "get", 0.0)
    for order in ([get, post], [post, get]):
        journal = Journal().feed(order).tick(NOW_MS + 2000)
        assert sorted(fact[1] for fact in facts(journal)) == ["g", "p"]


def test_get_that_comes_after_its_post_was_released_gives_no_second_event() -> None:
    post, get = refused("p", "create", 0.006), refused("g", "get", 0.0)
    journal = Journal().feed([post]).tick(NOW_MS + 2000)
    journal.crash()
    journal.feed([get, refused("g2", "get", -0.5)])
    # One released POST stands for one GET; the other GET was another refusal.
    assert sorted(fact[1] for fact in facts(journal)) == ["g2", "p"]


def test_one_post_is_the_retry_of_each_get_before_it() -> None:
    first, second = refused("g1", "get", 0.0), refused("g2", "get", 0.5)
    journal = Journal().feed([second, refused("p", "create", 0.506), first])
    assert [fact[1] for fact in facts(journal)] == ["g2", "g1"]
    assert journal.counts == {"denied_retry": 1}


@pytest.mark.parametrize(
    "changes", [{"pod": "db"}, {"person": "user_z", "groups": ("cloud:owner",)}, {"received": 5.0}]
)
def test_id_that_a_client_used_twice_gets_a_second_session(changes: dict[str, Any]) -> None:
    other = [
        audit_line(**changes),
        audit_line(stage="ResponseComplete", after=1.0, **changes),
    ]
    journal = Journal().feed([STARTED, other[0]])
    journal.crash()
    journal.feed([other[1], COMPLETE, *other])
    ids = [fact[1] for fact in facts(journal)]
    assert ids[0] == ids[3] == ID
    assert ids[1] == ids[2] != ID
    assert len(ids[1]) <= 64
    assert journal.counts["collision"] == 1
    repeated = Journal().feed([STARTED, other[0]])
    assert repeated.events[1] == journal.events[1]


def seen_by_gateway(line: bytes, later_us: int = 3_000) -> AuditRecord:
    """Return a refusal as the gateway tells of it: by its own clock."""
    record = parse_line(line)
    assert isinstance(record, AuditRecord)
    return msgspec.structs.replace(
        record,
        by_gateway=True,
        received_us=record.received_us + later_us,
        stage_us=record.stage_us + later_us,
    )


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("gateway_first", [True, False])
@pytest.mark.parametrize("verbs", [("get",), ("create",), ("get", "create")])
def test_refusal_seen_by_gateway_and_api_server_is_one_event(
    verbs: tuple[str, ...], gateway_first: bool, crash: bool
) -> None:
    lines = [refused(f"r{n}", verb, 0.1 * n) for n, verb in enumerate(verbs)]
    seen = [seen_by_gateway(line) for line in lines]
    journal = Journal()
    for items in (seen, lines) if gateway_first else (lines, seen):
        journal.feed(items)
        if crash:
            journal.crash()
    journal.feed([*lines, *seen]).tick(NOW_MS + 5_000)
    assert [fact[1] for fact in facts(journal)] == ["r0"]
    assert "collision" not in journal.counts


def test_refusals_that_a_client_gave_one_id_stay_two_for_the_gateway() -> None:
    first, second = refused("g", "get", 0.0), refused("g", "get", 5.0)
    journal = Journal().feed([seen_by_gateway(first), first, seen_by_gateway(second), second])
    ids = [fact[1] for fact in facts(journal)]
    assert ids[0] == "g"
    assert len(set(ids)) == len(ids) >= 2
    assert journal.counts["collision"] == len(ids) - 1


def test_start_under_the_id_of_a_refusal_is_not_taken_for_it() -> None:
    journal = Journal().feed([seen_by_gateway(refused(ID, "get", -5.0)), STARTED])
    assert [fact[0] for fact in facts(journal)] == ["cluster.action_denied", "pod.exec_started"]


@pytest.mark.parametrize(
    "audit_id, session_id",
    [
        ("session-xxxxxxxxxxxxxxxxxxxx", "session-xxxxxxxxxxxxxxxxxxxx"),
        ("x" * 500, "x" * 64),
        ("two words", None),
        ("übung", None),
        ("a\x00b", None),
    ],
)
def test_client_chosen_id_is_capped_and_printable(audit_id: str, session_id: str | None) -> None:
    journal = Journal().feed([audit_line(audit_id)])
    given = journal.events[0].event.session_id
    assert given == session_id if session_id else given.startswith("id-")
    assert len(given) <= 64
    assert given.isascii()


def test_ids_alike_up_to_the_cap_are_two_sessions() -> None:
    journal = Journal().feed([audit_line("x" * 64 + "1"), audit_line("x" * 64 + "2")])
    assert len({fact[1] for fact in facts(journal)}) == 2


def test_sessions_over_the_bound_are_not_lost() -> None:
    journal = Journal(SessionLimits(max_open=1))
    lines = [audit_line(name, stage=stage) for name in "abc" for stage in ("ResponseStarted",)] + [
        audit_line(name, stage="ResponseComplete") for name in "abc"
    ]
    journal.feed(lines).tick(NOW_MS + 120_000)
    assert journal.counts["untracked"] == 2
    kinds = {(action, sid) for action, sid, _ in facts(journal)}
    assert kinds == {(f"pod.exec_{kind}", sid) for kind in ("started", "ended") for sid in "abc"}


def test_memory_is_bounded_by_releasing_and_forgetting_early() -> None:
    journal = Journal(SessionLimits(max_held=2, max_done=3))
    journal.feed(audit_line(f"s{n}", stage="ResponseComplete", after=1.0) for n in range(10))
    assert len(journal.events) == 16
    assert len(journal.state) <= 5
    assert journal.counts["forgotten_early"] == 5


def test_finished_sessions_are_forgotten_in_time() -> None:
    journal = Journal().feed([STARTED, COMPLETE, refused("g", "get", 0.0)])
    assert len(journal.state) == 2
    journal.tick(NOW_MS + DAY_MS)
    assert journal.state == {}


def test_held_stage_is_released_when_the_clock_is_set_back() -> None:
    journal = Journal().feed([COMPLETE]).tick(NOW_MS - DAY_MS)
    assert len(journal.events) == 2


def test_unreadable_state_is_dropped_and_counted() -> None:
    journal = Journal(state={"session/x": b"\x00garbage", "checkpoint/logfile": b"{}"})
    journal.tick(NOW_MS)
    assert journal.state == {"checkpoint/logfile": b"{}"}
    assert journal.counts == {"state_unreadable": 1}


def test_quiet_tick_changes_nothing() -> None:
    assert Sessions({}).tick(NOW_MS) == Step()


def test_name_with_spaces_or_controls_becomes_an_actor_the_hub_takes() -> None:
    journal = Journal().feed([audit_line(person="Zoë van\x00 Dam ", groups=("radar:owner",))])
    assert journal.events[0].event.actor_user_id == "Zoë van%00 Dam"


def test_actor_id_fits_the_hubs_bounds() -> None:
    assert actor_of("x" * 300) == "x" * 256
    assert actor_of("x" * 255 + " y") == "x" * 255
    assert actor_of("   ") is None


def test_events_fit_their_actions_and_hold_no_argv() -> None:
    panic = audit_line("p", "Panic", 500)
    journal = Journal().feed(
        [COMPLETE, audit_line("p"), panic, refused("g", "get", 0.0), audit_line("open")]
    )
    journal.tick(NOW_MS + 2000).tick(NOW_MS + DAY_MS)
    assert len(journal.events) == 7
    for event in (captured.event for captured in journal.events):
        by_hub = {"cluster_id": "cl_x", "cluster_name": "prod", "session_id": event.session_id}
        pod = event.action.startswith("pod.")
        validate_metadata(event.action, {**event.metadata, **(by_hub if pod else {})})
    shown = repr(journal.events) + repr(journal.state) + repr(journal.sessions)
    assert ARGV_SECRET not in shown
