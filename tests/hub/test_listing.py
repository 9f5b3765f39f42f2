"""Pages of a list follow one another without gap, and a cursor fits its own list only."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.errors import InvalidCursorError, InvalidParametersError
from radar_audit_hub.listing import Asked, Key, cut, decode, encode, read_only_page

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
KEY = st.tuples(st.integers(0, 2**53), TEXT)


@given(KEY, TEXT)
def test_cursor_reads_back(key: Key, name: str) -> None:
    assert decode(encode(key, name), name, (int, str)) == key


@given(KEY, TEXT, TEXT)
def test_cursor_of_another_list_is_refused(key: Key, name: str, other: str) -> None:
    if name != other:
        with pytest.raises(InvalidCursorError):
            decode(encode(key, name), other, (int, str))


@given(KEY, st.integers(0, 200), st.characters(codec="ascii"))
def test_damaged_cursor_is_refused_or_means_the_same(key: Key, at: int, char: str) -> None:
    text = encode(key, "list")
    at %= len(text)
    damaged = text[:at] + char + text[at + 1 :]
    try:
        found = decode(damaged, "list", (int, str))
    except InvalidCursorError:
        return
    assert found == key


@given(st.text(max_size=60))
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        decode(text, "list", (int, str))


@pytest.mark.parametrize("body", [b"[" * 1400, b'{"a":' * 250])
def test_cursor_that_nests_too_deep_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCursorError):
        decode(base64.urlsafe_b64encode(body).rstrip(b"=").decode(), "list", (str,))


def test_cursor_that_no_database_could_look_up_is_refused() -> None:
    for text in ("a\0b", "\ud800"):
        forged = json.dumps([text]).encode()
        raw = forged + hashlib.sha256(b"\0\0\0\x04list" + forged).digest()[:12]
        with pytest.raises(InvalidCursorError):
            decode(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), "list", (str,))


def test_cursor_of_another_shape_is_refused() -> None:
    with pytest.raises(InvalidCursorError):
        decode(encode((True, "a"), "list"), "list", (int, str))


@given(st.integers(0, 40), st.integers(1, 12))
def test_pages_hold_every_row_once(count: int, limit: int) -> None:
    rows = list(range(count))
    seen: list[int] = []
    cursor: str | None = None
    while True:
        given_ = [("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
        asked = read_only_page(given_, "list", (int,))
        start = 0 if asked.after is None else int(asked.after[0]) + 1
        page, cursor = cut(rows[start : start + limit + 1], asked, "list", lambda row: (row,))
        seen += page
        if cursor is None:
            break
    assert seen == rows


def test_page_has_a_default_and_bounds() -> None:
    assert read_only_page([], "list", (int,)) == Asked(100, None)
    for wrong in ("0", "501", "x"):
        with pytest.raises(InvalidParametersError):
            read_only_page([("limit", wrong)], "list", (int,))
