"""Guards that no answer makes a program in the cluster wait for ever, or fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.retry_after import MAX_RETRY_AFTER_SECONDS, retry_after_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("", None), ("0", 0), ("7", 7), ("86400", 300), ("9" * 40, None),
     ("soon", None), ("-5", None), ("1.5", None), ("²", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)  # fmt: skip
def test_only_whole_seconds_are_taken_and_never_many(
    text: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(text) == seconds


@given(st.text(max_size=30) | st.integers().map(str))
def test_no_text_breaks_it(text: str) -> None:
    seconds = retry_after_seconds(text)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS
