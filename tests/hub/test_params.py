"""URL parameters: what is understood, and how what is not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.ids import parse_ms
from radar_audit_events.query import Created, Query, Term, Value
from radar_audit_hub.audit.params import (
    FILTER_NAMES,
    FOLLOW_NAMES,
    LIST_NAMES,
    file_name,
    read_facets,
    read_follow,
    read_include,
    read_list,
    read_nothing,
)
from radar_audit_hub.errors import InvalidParametersError, InvalidQueryError

from tests.support.log_rows import DAY_MS, NOW_MS

FROM, TO = "2026-11-01T00:00:00Z", "2026-11-08T00:00:00+02:00"


def test_all_parameters_become_terms_in_a_fixed_order() -> None:
    params = read_list(
        [
            ("q", "pod:web -type:org"),
            ("to", TO),
            ("from", FROM),
            ("target", "cl_1/*"),
            ("actor", "Alice@acme.com"),
            ("target_type", "pod"),
            ("action", "token"),
            ("action", "pod.*"),
            ("action", "pod.*"),
        ]
    )
    assert params.filter.fixed == Query(
        (
            Term("action", (Value("pod.", prefix=True), Value("token"))),
            Term("type", (Value("pod"),)),
            Term("actor", (Value("Alice@acme.com"),)),
            Term("target", (Value("cl_1/", prefix=True),)),
            Created(parse_ms(FROM), parse_ms(TO)),
            Term("pod", (Value("web"),)),
            Term("type", (Value("org"),), negated=True),
        )
    )
    assert (params.limit, params.cursor, params.format) == (100, None, "json")
    assert params.with_recorded_at is False


def test_relative_range_is_resolved_by_the_clock_and_named_in_the_text() -> None:
    wanted = read_facets([("range", "7d")])
    assert wanted.from_ms(NOW_MS) == NOW_MS - 7 * DAY_MS
    assert wanted.query(5) == Query((Created(5, None),))
    assert wanted.text != read_facets([("range", "24h")]).text
    assert wanted.text == read_facets([("range", "7d")]).text


def test_equal_filters_have_equal_texts_whatever_the_order() -> None:
    one = read_facets([("action", "a"), ("action", "b"), ("from", "2026-11-01T01:00:00+01:00")])
    two = read_facets([("from", FROM), ("action", "b"), ("action", "a"), ("action", "b")])
    assert one.text == two.text


@pytest.mark.parametrize(
    ("given_params", "field", "says"),
    [
        ([("limt", "5")], "limt", "did you mean limit?"),
        ([("zzzz", "5")], "zzzz", "known are action, actor"),
        ([("limit", "0")], "limit", "from 1 to 500, not '0'"),
        ([("limit", "501")], "limit", "from 1 to 500"),
        ([("limit", "1e2")], "limit", "whole number"),
        ([("limit", "٣")], "limit", "whole number"),
        ([("limit", "5"), ("limit", "6")], "limit", "given once, not 2 times"),
        ([("limit", "")], "limit", "must not be empty"),
        ([("format", "xml")], "format", "one of json, csv, ndjson, not 'xml'"),
        ([("format", "csv"), ("limit", "5")], "limit", "csv sends the whole result"),
        ([("format", "ndjson"), ("cursor", "x")], "cursor", "ndjson sends the whole result"),
        ([("format", "csv"), ("include", "recorded_at")], "include", "columns of csv are fixed"),
        ([("include", "all")], "include", "one of recorded_at"),
        ([("cursor", "x" * 65)], "cursor", "at most 64 characters"),
        ([("range", "1h")], "range", "one of 24h, 7d, 30d, not '1h'"),
        ([("range", "7d"), ("from", FROM)], "from", "together with range"),
        ([("range", "7d"), ("to", FROM)], "to", "together with range"),
        ([("from", "yesterday")], "from", "RFC 3339"),
        ([("from", "2026-11-01T00:00:00 02:00")], "from", "as %2B"),
        ([("to", "2026-13-01T00:00:00Z")], "to", "out of its range"),
        ([("from", TO), ("to", FROM)], "to", "later than from"),
        ([("from", FROM), ("to", FROM)], "to", "later than from"),
        ([("action", "")], "action", "must not be empty"),
        ([("action", "p*d")], "action", "only at its end, not 'p*d'"),
        ([("action", "a\0b")], "action", "NUL"),
        ([("action", f"a{n}") for n in range(51)], "action", "at most 50 times"),
        ([("target_type", "pdo")], "target_type", "did you mean pod?"),
        ([("actor", "a" * 321)], "actor", "e-mail or a user's id of at most 320"),
        ([("actor", "a"), ("actor", "b")], "actor", "given once"),
        ([("target", "x" * 601)], "target", "at most 600 characters"),
        ([("target", "a*b")], "target", "only at its end"),
        ([("", "x")], "", "is not a parameter"),
    ],
)
def test_each_mistake_is_refused_with_its_place_and_what_was_expected(
    given_params: list[tuple[str, str]], field: str, says: str
) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        read_list(given_params)
    found = {error.field: error.message for error in caught.value.errors}
    assert says in found[field]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        read_list([("limit", "0"), ("format", "xml"), ("foo", "1"), ("q", "::")])
    assert {error.field for error in caught.value.errors} == {"limit", "format", "foo"}


def test_mistake_in_the_query_names_its_position() -> None:
    with pytest.raises(InvalidQueryError) as caught:
        read_list([("q", "pod:web actr:alice")])
    assert caught.value.position == 8
    assert "did you mean actor?" in caught.value.expected


def test_parameters_and_query_together_have_a_bounded_number_of_terms() -> None:
    read_list([("q", "a " * 50)])
    with pytest.raises(InvalidQueryError, match="at most 50 terms"):
        read_list([("q", "a " * 50), ("actor", "alice@acme.com")])


def test_follow_has_its_own_bounds() -> None:
    params = read_follow([("after_seq", "-1"), ("limit", "1000"), ("wait", "0")])
    assert (params.after_seq, params.limit, params.wait_seconds) == (-1, 1000, 0)
    assert read_follow([]).after_seq == -1
    for name, value in (("after_seq", "-2"), ("limit", "1001"), ("wait", "31"), ("cursor", "x")):
        with pytest.raises(InvalidParametersError, match=name):
            read_follow([(name, value)])


def test_facets_and_single_events_take_only_what_they_use() -> None:
    for name in ("limit", "cursor", "format", "include", "after_seq"):
        with pytest.raises(InvalidParametersError, match=name):
            read_facets([(name, "1")])
    assert read_include([("include", "recorded_at")]) is True
    with pytest.raises(InvalidParametersError, match="action"):
        read_include([("action", "x")])
    with pytest.raises(InvalidParametersError, match="this path takes none"):
        read_nothing([("q", "x")])


@pytest.mark.parametrize(
    ("given_params", "name"),
    [
        ([], "org_x-audit-start-2026-11-18.csv"),
        ([("range", "7d")], "org_x-audit-2026-11-11-2026-11-18.csv"),
        ([("from", FROM), ("to", "2026-11-08T00:00:00Z")], "org_x-audit-2026-11-01-2026-11-08.csv"),
        ([("q", "created:>=2026-11-02")], "org_x-audit-2026-11-02-2026-11-18.csv"),
    ],
)
def test_export_is_named_after_org_and_range(
    given_params: list[tuple[str, str]], name: str
) -> None:
    assert file_name("org_x", read_facets(given_params), NOW_MS, "csv") == name


names = st.sampled_from([*LIST_NAMES, *FOLLOW_NAMES, "limt"]) | st.text(max_size=8)
values = st.text(max_size=30) | st.sampled_from(["7d", "24h", FROM, TO, "pod.*", "*", "5", "json"])


@given(st.lists(st.tuples(names, values), max_size=6))
def test_no_input_raises_anything_but_a_refusal(pairs: list[tuple[str, str]]) -> None:
    for read in (read_list, read_follow, read_facets, read_include, read_nothing):
        try:
            read(pairs)
        except (InvalidParametersError, InvalidQueryError) as error:
            str(error).encode()  # the refusal itself must be able to travel


def test_every_filter_parameter_is_taken_by_all_reads() -> None:
    assert set(FILTER_NAMES) <= set(LIST_NAMES)
    assert set(FILTER_NAMES) <= set(FOLLOW_NAMES)
