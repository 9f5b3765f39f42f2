"""The hub's rules about a captured event: what it sets, what it refuses, what is too late."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events import ids
from radar_audit_events.event import validate_event
from radar_audit_events.wire import MAX_BATCH_BYTES, MAX_SKEW_MS, WireEvent
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.ingest.batch import MAX_EVENT_BYTES, read_envelope, read_event
from radar_audit_hub.ingest.rules import HUB_KEYS, Captured, Expired, Rejected, Source, judge
from radar_audit_hub.retention.policy import floors

from tests.support.collector_posts import a_start, an_end
from tests.support.log_rows import DAY_MS, NOW_MS

SOURCE = Source(
    org_id="org_x",
    cluster_id="cl_1",
    cluster_name="prod",
    now_ms=NOW_MS,
    floors=floors("team", NOW_MS),
)


def wire(sent: dict[str, Any]) -> WireEvent:
    return msgspec.convert(sent, WireEvent)


def a_denial(**metadata: Any) -> dict[str, Any]:
    facts = {"attempted_action": "pod.exec", "role": None, "required_role": "member"}
    return a_start(action="cluster.action_denied", metadata=None) | {"metadata": facts | metadata}


def captured(sent: dict[str, Any], people: dict[str, tuple[str, str]] | None = None) -> Captured:
    verdict = judge(wire(sent), SOURCE, people or {})
    assert isinstance(verdict, Captured), verdict
    return verdict


@pytest.mark.parametrize("sent", [a_start(), an_end(), a_denial(), a_denial(status=403, pod="p")])
def test_whatever_passes_is_a_valid_event_of_the_tokens_org(sent: dict[str, Any]) -> None:
    event = captured(sent).event
    validate_event(event)
    assert (event.org_id, event.cluster_id) == ("org_x", "cl_1")


def test_id_carries_the_time_and_the_source_key() -> None:
    verdict = captured(a_start("s-1"))
    assert verdict.source_key == ids.source_key("cl_1", "s-1", "started")
    assert verdict.event.id == ids.event_id(NOW_MS, verdict.source_key)


def test_kinds_of_one_session_have_keys_of_their_own() -> None:
    sent = [a_start(), an_end(), an_end(metadata={"end_reason": "assumed"}), a_denial()]
    assert len({captured(event).source_key for event in sent}) == 4


def test_time_is_cut_to_milliseconds() -> None:
    event = captured(a_start(created_at="2026-11-01T10:00:00.123987+01:00")).event
    assert event.created_at_ms == ids.parse_ms("2026-11-01T09:00:00.123Z")


def test_target_of_a_denial_is_the_cluster() -> None:
    event = captured(a_denial(namespace="pay", pod="api-0")).event
    assert (event.target_type, event.target_id) == ("cluster", "cl_1")
    assert "session_id" not in event.metadata


@pytest.mark.parametrize("key", sorted(HUB_KEYS))
def test_collector_may_not_set_what_the_hub_sets(key: str) -> None:
    verdict = judge(wire(an_end(metadata={key: "x"})), SOURCE, {})
    assert isinstance(verdict, Rejected)
    assert key in verdict.message


@pytest.mark.parametrize("action", ["org.created", "pod.exec", "", "cluster.created"])
def test_other_actions_are_not_allowed(action: str) -> None:
    verdict = judge(wire(a_start(action=action)), SOURCE, {})
    assert isinstance(verdict, Rejected)
    assert verdict.code == "action_not_allowed"


def test_skew_and_retention_are_exact_to_the_millisecond() -> None:
    def verdict(at_ms: int) -> object:
        return judge(wire(a_start(at_ms=at_ms)), SOURCE, {})

    ahead = verdict(NOW_MS + MAX_SKEW_MS + 1)
    assert isinstance(ahead, Rejected)
    assert ahead.code == "clock_skew"
    assert isinstance(verdict(NOW_MS + MAX_SKEW_MS), Captured)
    assert isinstance(verdict(NOW_MS - 30 * DAY_MS), Captured)
    late = verdict(NOW_MS - 30 * DAY_MS - 1)
    assert late == Expired(NOW_MS - 30 * DAY_MS - 1, ids.source_key("cl_1", "s-1", "started"))


def test_supersedes_is_the_id_that_the_assumed_end_got() -> None:
    assumed = an_end(metadata={"end_reason": "assumed", "observed": False})
    real = an_end(at_ms=NOW_MS + 9, assumed_created_at=assumed["created_at"])
    assert captured(real).event.metadata["supersedes"] == captured(assumed).event.id


@pytest.mark.parametrize(
    "sent",
    [
        a_start(assumed_created_at="2026-11-01T00:00:00Z"),
        an_end(metadata={"end_reason": "assumed"}, assumed_created_at="2026-11-01T00:00:00Z"),
        an_end(assumed_created_at="soon"),
    ],
)
def test_assumed_time_goes_only_with_a_real_end(sent: dict[str, Any]) -> None:
    assert isinstance(judge(wire(sent), SOURCE, {}), Rejected)


@pytest.mark.parametrize(
    "name, people, actor",
    [
        ("user_1", {"user_1": ("user_1", "a@x.y")}, ("user_1", "a@x.y")),
        ("user_1", {}, ("user_1", None)),
        ("A@x.y", {"a@x.y": ("user_1", "a@x.y")}, ("user_1", "a@x.y")),
        ("A@x.y", {}, (None, "a@x.y")),
        ("A B <a@x.y>", {}, ("A B <a@x.y>", None)),
        (None, {}, (None, None)),
    ],
)
def test_actor_is_resolved_or_kept(
    name: str | None, people: dict[str, tuple[str, str]], actor: tuple[str | None, str | None]
) -> None:
    event = captured(a_start(actor_user_id=name), people).event
    assert (event.actor_user_id, event.actor_email) == actor


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"[]", "Expected `object`"),
        (b'{"action":"a","session_id":"s"}', "created_at: is required"),
        (b'{"action":"\xff"}', "UTF-8"),
        (b'{"action":"\\ud800"}', "UTF-8"),
        (b'{"metadata":{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}}", "at most"),
        (b'{"metadata":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}", "JSON object"),
        (b'{"action":"' + b"a" * MAX_EVENT_BYTES + b'"}', "at most"),
    ],
    ids=["list", "missing", "bytes", "surrogate", "deep and long", "deep", "long"],
)
def test_event_that_cannot_be_read_is_rejected_in_words(raw: bytes, words: str) -> None:
    verdict = read_event(msgspec.Raw(raw))
    assert isinstance(verdict, Rejected)
    assert words in verdict.message


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(["namespace", "pod", "container", "observed", "end_reason", "x"])


def test_batch_of_millions_of_values_is_refused_before_it_takes_memory() -> None:
    many = b"0," * (MAX_BATCH_BYTES // 4)
    body = b'{"collector_id":"c","batch_id":"b","events":[%b0]}' % many
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBodyError):
            read_envelope(body)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()


@given(
    action=st.sampled_from(["pod.exec_started", "pod.exec_ended", "cluster.action_denied", "x"]),
    session=st.text(max_size=70),
    actor=st.none() | st.text(max_size=20),
    at_ms=st.integers(0, NOW_MS * 2),
    metadata=st.dictionaries(_keys | st.text(max_size=5), _values, max_size=5),
)
def test_any_event_gets_a_verdict(
    action: str, session: str, actor: str | None, at_ms: int, metadata: dict[str, Any]
) -> None:
    sent = WireEvent(
        action=action,
        session_id=session,
        created_at=ids.format_ms(at_ms),
        actor_user_id=actor,
        metadata=metadata,
    )
    before = copy.deepcopy(sent)
    verdict = judge(sent, SOURCE, {})
    assert isinstance(verdict, Captured | Expired | Rejected)
    assert repr(sent) == repr(before), "the collector's event is not changed"
