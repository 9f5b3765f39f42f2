"""Whatever an identity provider calls a person, the hub takes it from the collector.

A name that the hub refused would hide that person's terminals from the log.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from radar_audit_collector.capture.record import MAX_USER_CHARS
from radar_audit_collector.session_entries import actor_of
from radar_audit_events.wire import WireEvent
from radar_audit_hub.ingest.prepare import prepare
from radar_audit_hub.ingest.rules import Captured, Source, judge
from radar_audit_hub.retention.policy import floors

NOW_MS = 1_795_000_000_000
SOURCE = Source(
    org_id="org_x",
    cluster_id="cl_1",
    cluster_name="prod",
    now_ms=NOW_MS,
    floors=floors("free", NOW_MS),
)
_NAMES = st.text(
    st.characters(codec="utf-8") | st.sampled_from(' @<>"\t\n\xa0\u2028\u202e\u0130'),
    min_size=1,
    max_size=MAX_USER_CHARS,
)


@given(_NAMES)
@example("Alice Doe <alice@acme.com>")
@example("alice@acme.com ")
@example("\u0130" * (MAX_USER_CHARS - 1) + "@")  # twice as long in lower case
def test_every_user_name_that_is_captured_is_stored(name: str) -> None:
    sent = WireEvent(
        action="pod.exec_started",
        session_id="s-1",
        created_at="2026-11-18T10:00:00Z",
        actor_user_id=actor_of(name),
        metadata={"namespace": "payments", "pod": "web-1"},
    )
    verdict = judge(sent, SOURCE, {})
    assert isinstance(verdict, Captured)
    row = prepare(verdict.event, b"s" * 32, verdict.source_key)
    if sent.actor_user_id is not None:
        assert (row.actor_user_id is None) != (row.actor_email is None)
