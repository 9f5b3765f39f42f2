"""Ids carry their time, sort by it, and refuse what is no id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.errors import IdError, TimeError
from radar_audit_events.ids import (
    MAX_MS,
    carries_time,
    event_id,
    event_time_ms,
    floor_id,
    format_ms,
    is_opaque_id,
    parse_ms,
    parse_us,
    source_key,
    ulid,
    ulid_time_ms,
)

times = st.integers(0, MAX_MS)
randoms = st.binary(min_size=10, max_size=10)


def test_known_ulid_is_written_as_the_specification_writes_it() -> None:
    # 2016-07-30T23:54:10.259Z, the example time of the ULID specification.
    assert ulid(1469922850259, b"\0" * 10) == "01ARZ3NDEK0000000000000000"
    assert ulid(1469922850259, b"\xff" * 10) == "01ARZ3NDEKZZZZZZZZZZZZZZZZ"


@given(times, randoms)
def test_an_id_carries_its_time(time_ms: int, random: bytes) -> None:
    identifier = event_id(time_ms, random)
    assert event_time_ms(identifier) == time_ms
    assert carries_time(identifier, time_ms)
    assert not carries_time(identifier, time_ms ^ 1)


@given(times, randoms, times, randoms)
def test_ids_sort_by_time_as_bytes(a_ms: int, a: bytes, b_ms: int, b: bytes) -> None:
    left, right = event_id(a_ms, a), event_id(b_ms, b)
    assert (left.encode() < right.encode()) == ((a_ms, a) < (b_ms, b))
    assert floor_id(a_ms) <= left
    assert a_ms == MAX_MS or left < floor_id(a_ms + 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01ARZ3NDEK",
        "8" + "0" * 25,
        "01ARZ3NDEKILOU000000000000",
        "01arz3ndek0000000000000000",
        "01ARZ3NDEK0000000000000000\n",
    ],
)
def test_what_is_no_ulid_is_refused(text: str) -> None:
    with pytest.raises(IdError):
        ulid_time_ms(text)
    assert not carries_time("ae_" + text, 1469922850259)


def test_random_part_of_another_length_is_refused() -> None:
    with pytest.raises(IdError):
        ulid(0, b"\0" * 9)
    with pytest.raises(IdError):
        ulid(2**48, b"\0" * 10)


@given(times)
def test_times_are_read_back_as_written(time_ms: int) -> None:
    text = format_ms(time_ms)
    assert parse_ms(text) == time_ms
    seconds, ms = divmod(time_ms, 1000)
    assert text == f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def test_offsets_fractions_and_leap_seconds_are_read() -> None:
    assert parse_us("2026-11-24T03:10:55.593773Z") == parse_us("2026-11-24T05:40:55.593773+02:30")
    assert parse_us("2026-11-24T03:10:55.1234567Z") % 1_000_000 == 123_456
    assert parse_ms("2016-12-31T23:59:60Z") == parse_ms("2017-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24 10:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T10:00:61Z",
        "2026-11-24T10:00:00",
        "1969-12-31T23:59:59Z",
        "2026-11-24T10:00:00+25:00",
        "\uff12\uff10\uff12\uff16-\uff11\uff11-24T10:00:00Z",
        "2026-11-24T10:00:00Z\n",
        "2026-11-24T24:00:00.000Z",
        "2026-02-30T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "\uff12\uff10\uff12\uff16-\uff11\uff11-24T10:00:00.000Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    for parse in (parse_us, parse_ms):
        with pytest.raises(TimeError):
            parse(text)


@given(times, st.integers(0, 23), st.sampled_from("0123456789-:.TZz+ \uff11"))
def test_the_quick_way_reads_as_the_full_grammar(time_ms: int, place: int, char: str) -> None:
    text = format_ms(time_ms)
    changed = text[:place] + char + text[place + 1 :]
    assert _read(lambda: parse_ms(changed)) == _read(lambda: parse_us(changed) // 1000)


def _read(parse: Callable[[], int]) -> int | None:
    try:
        return parse()
    except TimeError:
        return None


def test_times_past_year_9999_are_not_written() -> None:
    for time_ms in (-1, MAX_MS + 1):
        with pytest.raises(TimeError):
            format_ms(time_ms)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_source_keys_differ_where_any_part_differs(
    left: tuple[str, str, str], right: tuple[str, str, str]
) -> None:
    assert (source_key(*left) == source_key(*right)) == (left == right)
    assert source_key("a", "bc", "d") != source_key("ab", "c", "d")


def test_opaque_ids_are_of_their_kind_and_plain() -> None:
    assert is_opaque_id("org", "org_x")
    for text in ("org_", "user_x", "org_x y", "org_" + "x" * 61, "org_x\n", "ORG_x"):
        assert not is_opaque_id("org", text)
