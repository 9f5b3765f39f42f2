"""The cursor: round trip, binding, damage."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.ids import MAX_MS, event_id
from radar_audit_hub.audit.cursor import MAX_CURSOR_CHARS, Position, decode, encode
from radar_audit_hub.errors import InvalidCursorError

from tests.support.hub_builder import HubUnderTest, events_of, log_path

ALPHABET = string.ascii_letters + string.digits + "-_"
positions = st.builds(
    Position,
    before=st.builds(event_id, st.integers(0, MAX_MS), st.binary(min_size=10, max_size=10)),
    from_ms=st.none() | st.integers(0, MAX_MS),
)
texts = st.text(max_size=20)


@given(positions, texts, texts)
def test_cursor_is_read_back_by_the_same_org_and_filter(
    position: Position, org_id: str, filter_text: str
) -> None:
    text = encode(position, org_id, filter_text)
    assert len(text) == MAX_CURSOR_CHARS
    assert set(text) <= set(ALPHABET)
    assert decode(text, org_id, filter_text) == position


@given(positions, texts, texts, texts, texts)
def test_cursor_is_refused_for_another_org_or_filter(
    position: Position, org_id: str, filter_text: str, other_org: str, other_filter: str
) -> None:
    text = encode(position, org_id, filter_text)
    if (other_org, other_filter) != (org_id, filter_text):
        with pytest.raises(InvalidCursorError, match="another organization or filter"):
            decode(text, other_org, other_filter)


@given(positions, st.integers(0, MAX_CURSOR_CHARS - 1), st.sampled_from(ALPHABET))
def test_any_changed_character_is_refused(position: Position, place: int, char: str) -> None:
    text = encode(position, "org_x", "f")
    damaged = text[:place] + char + text[place + 1 :]
    if damaged != text:
        with pytest.raises(InvalidCursorError):
            decode(damaged, "org_x", "f")


@given(st.text(max_size=70) | st.text(ALPHABET, min_size=64, max_size=64))
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        decode(text, "org_x", "f")


async def test_cursor_is_bound_to_org_and_filter_over_http(hub: HubUnderTest) -> None:
    await hub.append(*events_of(3))
    await hub.add_org("org_other")
    stranger = await hub.add_person("org_other")
    cursor = (await hub.get("", params={"limit": "1", "q": "pod:web-1"})).json["next_cursor"]
    kept = {"limit": "2", "q": "pod:web-1", "cursor": cursor}
    assert (await hub.get("", params=kept)).status == 200
    for changed in ({"q": "pod:web-*"}, {"range": "7d"}, {"cursor": cursor[:-1] + "!"}):
        answer = await hub.get("", params={**kept, **changed})
        assert (answer.status, answer.json["code"]) == (400, "invalid_cursor")
        assert answer.json["errors"][0]["field"] == "cursor"
    foreign = await hub.get(log_path("org_other"), token=stranger, params=kept)
    assert (foreign.status, foreign.json["code"]) == (400, "invalid_cursor")
