"""The query language: what is read, what is refused and where, and that text and form agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from radar_audit_events.errors import QueryError
from radar_audit_events.ids import MAX_MS, parse_ms
from radar_audit_events.query import (
    KEYS,
    MAX_QUERY_CHARS,
    MAX_TERMS,
    MAX_VALUES,
    VALUE_KEYS,
    Created,
    Query,
    Term,
    Value,
    parse,
)

DAY_MS = 86_400_000
NASTY = [
    "", " ", '"', "\\", '\\"', ",", "*", ":", "-", "--", "-a", "a-", "..", "action:", "\t", "\n",
    "\u00a0", "\u2028", "\x1f", "é", "İ", "ß", "\U0001f600", "\u202e", "\ufeff", "a b", 'a"b', "a*",
    "pod:x", "\\\\", "\\*", "'", "%", "_", "&", "<", "10.0.0.1", "::1", "user_x", "null",
]  # fmt: skip

storable = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
texts = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
    st.text(storable, max_size=12),
)
values = st.builds(Value, texts, st.booleans())
free_terms = st.builds(
    lambda text, negated: Term(None, (Value(text),), negated), texts.filter(bool), st.booleans()
)
key_terms = st.builds(
    Term,
    st.sampled_from(VALUE_KEYS),
    st.lists(values, min_size=1, max_size=4).map(tuple),
    st.booleans(),
)
times = st.one_of(st.integers(0, MAX_MS - 1), st.sampled_from([0, 1, DAY_MS, MAX_MS - 1]))


@st.composite
def created_terms(draw: st.DrawFn) -> Created:
    first, second, negated = draw(times), draw(times), draw(st.booleans())
    low, high = min(first, second), max(first, second) + 1
    bounds = draw(st.sampled_from([(low, None), (None, high), (low, high)]))
    return Created(*bounds, negated)


terms = st.one_of(free_terms, key_terms, created_terms())
queries = st.lists(terms, max_size=6).map(lambda items: Query(tuple(items)))


def _error(text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parse(text)
    return caught.value


def _free(text: str, *, negated: bool = False) -> Term:
    return Term(None, (Value(text),), negated)


@given(queries.filter(lambda query: len(str(query)) <= MAX_QUERY_CHARS))
@example(Query())
@example(Query((_free("-a"), _free("-a", negated=True))))
@example(Query((Term("pod", (Value("", prefix=True), Value(""), Value("*", prefix=True))),)))
def test_canonical_string_is_read_back_as_the_same_query(query: Query) -> None:
    assert parse(str(query)) == query


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from([
    *NASTY, *(f"{key}:" for key in KEYS), "2026-11-01", "2026-11-01T00:00:00Z", ">=", "<", "foo",
]), max_size=12).map("".join)))  # fmt: skip
def test_any_text_is_read_or_refused_at_a_place_within_it(text: str) -> None:
    refusal: QueryError | None = None
    query = Query()
    try:
        query = parse(text)
    except QueryError as error:
        refusal = error
    assert refusal is None or (0 <= refusal.position <= len(text) and refusal.expected)
    assert parse(str(query)) == query
    assert str(parse(str(query))) == str(query)


@given(queries, st.sampled_from([" ", "  ", "\t", "\n", "\u00a0"]))
def test_white_space_of_any_kind_separates_terms(query: Query, space: str) -> None:
    text = space + space.join(map(str, query.terms)) + space
    if len(text) <= MAX_QUERY_CHARS:
        assert parse(text) == query


def test_example_of_the_contract_is_read() -> None:
    query = parse(
        "action:pod.* -actor:bot@acme.com cluster:prod namespace:pay* "
        'created:>=2026-11-01 created:2026-11-01..2026-11-08 via_pat:* "free text"'
    )
    start = parse_ms("2026-11-01T00:00:00Z")
    assert query == Query(
        (
            Term("action", (Value("pod.", prefix=True),)),
            Term("actor", (Value("bot@acme.com"),), negated=True),
            Term("cluster", (Value("prod"),)),
            Term("namespace", (Value("pay", prefix=True),)),
            Created(start, None),
            Created(start, start + 8 * DAY_MS),
            Term("via_pat", (Value("", prefix=True),)),
            _free("free text"),
        )
    )


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", ()),
        (" \n ", ()),
        ("10.0.0.1", (_free("10.0.0.1"),)),
        ("foo*", (_free("foo"),)),
        ('"foo"*', (_free("foo"),)),
        ('-"foo bar"', (_free("foo bar", negated=True),)),
        ('"-foo"', (_free("-foo"),)),
        ("a-b", (_free("a-b"),)),
        (r"a\b", (_free(r"a\b"),)),
        (r'"a\\b \"c\" *"', (_free(r'a\b "c" *'),)),
        ('"action:pod"', (_free("action:pod"),)),
        ("pod:-x", (Term("pod", (Value("-x"),)),)),
        (
            'pod:a,"b,c"*,"*",*,""',
            (
                Term(
                    "pod",
                    (
                        Value("a"),
                        Value("b,c", prefix=True),
                        Value("*"),
                        Value("", prefix=True),
                        Value(""),
                    ),
                ),
            ),
        ),
        ("-role:owner,member", (Term("role", (Value("owner"), Value("member")), negated=True),)),
    ],
)
def test_words_are_read_as_written(text: str, expected: tuple[Term, ...]) -> None:
    assert parse(text) == Query(expected)


@pytest.mark.parametrize(
    "text,canonical",
    [
        ('pod:"plain"', "pod:plain"),
        ('  pod:a   "word" ', "pod:a word"),
        ('pod:"a b"*', 'pod:"a b"*'),
        ('pod:""*', "pod:*"),
        (
            "created:2026-11-01",
            "created:2026-11-01T00:00:00.000Z..2026-11-01T23:59:59.999Z",
        ),
        ("-created:>2026-11-01", "-created:>=2026-11-02T00:00:00.000Z"),
    ],
)
def test_canonical_form_quotes_only_where_needed(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


DAY = parse_ms("2026-11-24T00:00:00Z")
INSTANT = parse_ms("2026-11-24T10:00:00.123Z")


@pytest.mark.parametrize(
    "written,from_ms,to_ms",
    [
        ("2026-11-24", DAY, DAY + DAY_MS),
        (">=2026-11-24", DAY, None),
        (">2026-11-24", DAY + DAY_MS, None),
        ("<2026-11-24", None, DAY),
        ("<=2026-11-24", None, DAY + DAY_MS),
        ("2026-11-24..2026-11-25", DAY, DAY + 2 * DAY_MS),
        ("2026-11-24..2026-11-24", DAY, DAY + DAY_MS),
        ("2026-11-24T10:00:00.123Z", INSTANT, INSTANT + 1),
        ("2026-11-24T12:00:00.123+02:00", INSTANT, INSTANT + 1),
        (">=2026-11-24T10:00:00.123Z", INSTANT, None),
        (">2026-11-24T10:00:00.123Z", INSTANT + 1, None),
        ("<2026-11-24T10:00:00.123Z", None, INSTANT),
        ("<=2026-11-24T10:00:00.123Z", None, INSTANT + 1),
        ("2026-11-24..2026-11-24T10:00:00.123Z", DAY, INSTANT + 1),
        ("<1970-01-01", None, 0),
        ("<9999-12-31T23:59:59.999Z", None, MAX_MS),
        (">=9999-12-31T23:59:59.999Z", MAX_MS, None),
    ],
)
def test_times_are_half_open_ranges(written: str, from_ms: int | None, to_ms: int | None) -> None:
    assert parse(f"created:{written}") == Query((Created(from_ms, to_ms),))


@pytest.mark.parametrize(
    "text,position,expected",
    [
        ("pod:a  namspace:x", 7, "did you mean namespace?"),
        ("ns:x", 0, "did you mean namespace?"),
        ("-user:x", 1, "did you mean actor?"),
        ("a http://x", 2, "double quotes around the text, to search for it"),
        ("::1", 0, "a key of: "),
        ('"pod":x', 5, "a space after the quoted text"),
        ('"a"b', 3, "a space after the quoted text"),
        ('x "open', 7, "to close the one at position 2"),
        (r'"a\n"', 2, "for a backslash"),
        ('"', 1, "to close the one at position 0"),
        ('"\\', 1, "for a backslash"),
        ('""', 0, "a text to search for"),
        ("*", 0, "a word before"),
        ("a*b", 1, "only as the last character"),
        ("a**", 2, "only as the last character"),
        ("a,b", 1, "in quotes"),
        ("a*,b", 2, "a space after the word"),
        ('a"b"', 1, "double quotes around the whole value"),
        ("-", 1, "a term after '-'"),
        ("- a", 1, "a term after '-'"),
        ("--a", 1, "a term after '-'"),
        ("pod:", 4, "a value"),
        ("pod: a", 4, "a value"),
        ("pod:,a", 4, "a value"),
        ("pod:a,", 6, "a value"),
        ("pod:a, b", 6, "a value"),
        ("pod:a*b", 5, "only as the last character"),
        ("pod:*a", 4, "only as the last character"),
        ("pod:a:b", 5, "double quotes around a value"),
        ('pod:a"b', 5, "double quotes around the whole value"),
        ('pod:"a"b', 7, "after the closing quote"),
        ("created:", 8, "a day such as"),
        ("created:*", 8, "a day such as"),
        ("created:>=soon", 10, "a day such as"),
        ("created:2026-02-30", 8, "a day such as"),
        ("created:2026-11-24T10:00", 8, "a day such as"),
        ("created:٢٠٢٦-11-24", 8, "a day such as"),
        ("created:..2026-11-24", 8, "a day such as"),
        ("created:2026-11-24..", 20, "a day such as"),
        ("created:2026-11-24,2026-11-25", 18, "one time or range"),
        ("created:2026-11-24..2026-11-23", 20, "not before the one left"),
        ("created:<=9999-12-31", 10, "before 9999-12-31"),
        ("created:>9999-12-31T23:59:59.999Z", 9, "before 9999-12-31"),
        ("created:9999-12-31", 8, "before 9999-12-31"),
        ("created:2026-11-24..9999-12-31", 20, "before 9999-12-31"),
        ("pod:x a\x00b", 7, "without NUL"),
        ("ab\ud800", 2, "lone surrogates"),
    ],
)
def test_mistake_is_refused_with_its_place_and_a_remedy(
    text: str, position: int, expected: str
) -> None:
    error = _error(text)
    assert error.position == position
    assert expected in error.expected
    assert str(error).startswith(f"at position {position}: expected ")


def test_unknown_key_lists_every_key_nearest_first() -> None:
    error = _error("clutser:prod")
    listed = error.expected.removeprefix("a key of: ").partition(";")[0].split(", ")
    assert listed[0] == "cluster"
    assert sorted(listed) == sorted(KEYS)


def test_key_without_likeness_gets_no_guess() -> None:
    assert "did you mean" not in _error("zzz:1").expected


def test_limits_are_exact() -> None:
    parse("a " * MAX_TERMS)
    assert _error("a " * (MAX_TERMS + 1)).position == 2 * MAX_TERMS
    parse("pod:" + ",".join("a" * MAX_VALUES))
    over = "pod:" + ",".join("a" * (MAX_VALUES + 1))
    assert _error(over).position == len(over) - 1
    parse("a" * MAX_QUERY_CHARS)
    assert _error("a" * (MAX_QUERY_CHARS + 1)).position == MAX_QUERY_CHARS


@pytest.mark.parametrize("piece", ['"', "\\", "pod:", "a,", "*", "-", 'pod:"a",', "\u00a0"])
def test_huge_input_is_refused_by_its_length_alone(piece: str) -> None:
    assert "at most 2000 characters" in _error(piece * 1_000_000).expected


def test_query_that_grows_past_the_limit_when_written_out_is_refused() -> None:
    text = "created:2026-11-24 " * MAX_TERMS
    assert len(text) < MAX_QUERY_CHARS
    error = _error(text)
    assert error.position == len(text)
    assert "fewer terms" in error.expected


@pytest.mark.parametrize(
    "build",
    [
        lambda: Value("\x00"),
        lambda: Term("pods", (Value("a"),)),
        lambda: Term("created", (Value("a"),)),
        lambda: Term("pod", ()),
        lambda: Term("pod", (Value("a"),) * (MAX_VALUES + 1)),
        lambda: Term(None, (Value(""),)),
        lambda: Term(None, (Value("a", prefix=True),)),
        lambda: Term(None, (Value("a"), Value("b"))),
        lambda: Created(None, None),
        lambda: Created(5, 5),
        lambda: Created(-1, None),
        lambda: Created(None, MAX_MS + 1),
        lambda: Query((_free("a"),) * (MAX_TERMS + 1)),
    ],
)
def test_query_that_could_not_be_written_cannot_be_built(build: Callable[[], object]) -> None:
    with pytest.raises(QueryError):
        build()


def test_queries_are_usable_as_keys() -> None:
    written = ["pod:a b", "pod:a  b", 'pod:"a" b', "pod:b a"]
    assert len({parse(text) for text in written}) == 2
    assert all(hash(parse(a)) == hash(parse(b)) for a, b in itertools.pairwise(written[:3]))
