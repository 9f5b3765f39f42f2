"""What holds for every event: targets and people are printable, whatever way that is looked at."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from radar_audit_events.errors import EventInvalidError
from radar_audit_events.event import Event, validate_event

from tests.support.log_rows import make_event

EVENT = make_event()
_UNSAFE = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
WORD = re.compile(rf"[^\s{_UNSAFE}]+")
NAME = re.compile(rf"[^\s{_UNSAFE}](?:[^{_UNSAFE}]*[^\s{_UNSAFE}])?")
TEXT = st.text(st.characters(max_codepoint=0x7F), max_size=4) | st.text(max_size=4)


def _is_valid(event: Event) -> bool:
    try:
        validate_event(event)
    except EventInvalidError:
        return False
    return True


@given(TEXT, st.sampled_from(["target_id", "actor_email"]))
@example("", "target_id")
@example("a b", "actor_email")
@example("a\x7f", "target_id")
@example("é\u2028", "target_id")
def test_targets_and_emails_are_words(text: str, name: str) -> None:
    event = msgspec.structs.replace(EVENT, **{name: text})
    assert _is_valid(event) == (WORD.fullmatch(text) is not None)


@given(TEXT)
@example("")
@example(" a")
@example("Alice Doe")
@example("Alice\tDoe")
@example("Älice Doe ")
def test_users_are_names_with_spaces_only_inside(text: str) -> None:
    event = msgspec.structs.replace(EVENT, actor_user_id=text)
    assert _is_valid(event) == (NAME.fullmatch(text) is not None)


@pytest.mark.parametrize(
    "name, limit", [("target_id", 600), ("actor_user_id", 256), ("actor_email", 320)]
)
def test_a_text_that_is_too_long_is_named(name: str, limit: int) -> None:
    assert _is_valid(msgspec.structs.replace(EVENT, **{name: "x" * limit}))
    with pytest.raises(EventInvalidError) as caught:
        validate_event(msgspec.structs.replace(EVENT, **{name: "x" * (limit + 1)}))
    assert [error.field for error in caught.value.errors] == [name]


def test_every_wrong_field_is_named_at_once() -> None:
    wrong = msgspec.structs.replace(EVENT, id="ae_x", target_id="", actor_email="a b")
    with pytest.raises(EventInvalidError) as caught:
        validate_event(wrong)
    assert [error.field for error in caught.value.errors] == ["id", "target_id", "actor_email"]
