"""Controls and the query stay in step, both ways, whatever is typed."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.errors import QueryError
from radar_audit_events.query import KEYS, Created, Query, parse
from radar_audit_hub.web.log_filter import (
    CONTROLS,
    SHOWN_CONTROLS,
    FilterMistakeError,
    LogFilter,
    Mistake,
    read,
)
from radar_audit_hub.web.zones import field_text, field_time

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


def form(shown: LogFilter, **changed: str) -> dict[str, str]:
    """Return what a browser sends of the page that shows a filter, after some changes."""
    created = shown.created
    range_name = "custom" if created else shown.range_name or "all"
    sent = {key: shown.value_of(key) for key in SHOWN_CONTROLS}
    sent |= {"q": shown.text, "q0": shown.text, "range": range_name, "range0": range_name}
    sent["from"] = field_text(created.from_ms if created else None, BERLIN)
    sent["to"] = field_text(created.to_ms if created else None, BERLIN)
    return sent | changed


def mistake_of(given: dict[str, str]) -> Mistake | None:
    """Return what is wrong with a filter."""
    try:
        read(given, UTC)
    except FilterMistakeError as error:
        return error.mistake
    return None


_TEXT = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            [f"{key}:{value}" for key in KEYS for value in ("a", "pod.*", '"x y"', "*", "a,b")]
            + ["-actor:bob", "word", '"two words"', "created:2026-11-01..2026-11-08"]
        ),
        max_size=5,
    ).map(" ".join),
)


@given(_TEXT, st.sampled_from(["24h", "7d", "30d", "all"]))
def test_a_form_that_nobody_changed_is_the_same_filter(text: str, range_name: str) -> None:
    try:
        shown = read({"q": text, "range": range_name}, BERLIN)
    except FilterMistakeError:
        with pytest.raises(QueryError):
            parse(text)
        return
    assert read(form(shown), BERLIN) == shown


@given(_TEXT, st.sampled_from(["24h", "all"]))
def test_an_address_says_the_whole_filter(text: str, range_name: str) -> None:
    try:
        found = read({"q": text, "range": range_name}, UTC)
    except FilterMistakeError:
        return
    address = urlsplit(found.address("/p"))
    assert read(dict(parse_qsl(address.query)), UTC) == found


@given(st.sampled_from(CONTROLS), st.text(max_size=40))
def test_any_text_of_a_control_is_a_term_or_a_mistake_of_that_field(key: str, text: str) -> None:
    mistake = mistake_of({"q": "", "q0": "", key: text})
    if mistake is not None:
        assert mistake.field == key
        return
    found = read({"q": "", "q0": "", key: text}, UTC)
    kept = found.value_of(key)
    assert bool(kept) == bool(text.strip())
    again = read({"q": found.text, "q0": found.text, key: kept}, UTC)
    assert again.query == found.query


@given(st.text(max_size=60))
def test_a_mistake_is_inside_what_was_typed(text: str) -> None:
    mistake = mistake_of({"q": text})
    if mistake is not None:
        assert mistake.field == "q"
        assert 0 <= mistake.position <= len(text)
        assert mistake.expected


@pytest.mark.parametrize(
    ("had", "changes", "wanted"),
    [
        ("", {"action": "pod.*"}, "action:pod.*"),
        ("action:auth.* prod", {"action": "exec"}, "action:exec prod"),
        ("action:auth.* prod", {"action": ""}, "prod"),
        ("actor:bob", {"type": "pod"}, "actor:bob type:pod"),
        # The text was changed too: the control that was changed wins over its term only.
        ("actor:bob", {"q": "actor:eve cluster:prod", "type": "pod"},
         "actor:eve cluster:prod type:pod"),
        ("actor:bob", {"q": "actor:eve"}, "actor:eve"),
        ("actor:bob", {"q": "actor:eve", "actor": "carol"}, "actor:carol"),
        ("-action:auth.*", {"action": "pod.*"}, "-action:auth.* action:pod.*"),
        ("", {"actor": "alice b"}, 'actor:"alice b"'),
    ],
)  # fmt: skip
def test_a_changed_control_replaces_its_term(
    had: str, changes: dict[str, str], wanted: str
) -> None:
    shown = read({"q": had, "range": "all"}, UTC)
    assert read(form(shown, **changes), BERLIN).text == wanted


def test_a_time_of_ones_own_is_on_the_readers_clock() -> None:
    shown = read({"range": "7d"}, BERLIN)
    times = {"range": "custom", "from": "2026-11-01T00:00", "to": "2026-11-02T12:30"}
    found = read(form(shown, **times), BERLIN)
    assert found.text == "created:2026-10-31T23:00:00.000Z..2026-11-02T11:29:59.999Z"
    assert found.range_name is None
    assert read(form(found), BERLIN) == found
    assert read(form(found, range="24h"), BERLIN) == LogFilter(Query(), "24h")


def test_a_range_of_two_terms_is_shown_and_changed_as_one() -> None:
    shown = read({"q": "created:>=2026-11-01 actor:bob created:<2026-11-20"}, UTC)
    low, high = (field_time(f"2026-11-{day}T00:00", UTC) for day in ("01", "20"))
    assert shown.created == Created(low, high)
    later = field_text(field_time("2026-11-05T00:00", UTC), BERLIN)
    found = read(form(shown, **{"from": later}), BERLIN)
    assert found.text == "actor:bob created:2026-11-05T00:00:00.000Z..2026-11-19T23:59:59.999Z"
    wider = read({"q": f"{shown.text} created:2026-10-01..2026-12-01"}, UTC)
    assert wider.created == shown.created, "what all of them have"
    apart = read({"q": "created:<2026-11-01 created:>=2026-11-20", "range": "all"}, UTC)
    assert read(form(apart), BERLIN) == apart


def test_a_range_is_taken_away_by_emptying_its_fields() -> None:
    shown = read({"q": "created:>=2026-11-01 actor:bob created:<2026-11-20"}, UTC)
    found = read(form(shown, **{"from": "", "to": ""}), BERLIN)
    assert found == LogFilter(parse("actor:bob"), None)
    typed = form(read({"range": "7d"}, UTC), q="created:>=2026-11-01", range="custom")
    assert read(typed, BERLIN).text == str(parse(typed["q"])), "typed just now, never in the fields"


def test_a_time_that_is_none_or_runs_backwards_is_a_mistake_of_its_field() -> None:
    shown = read({}, UTC)
    for name, times in (
        ("from", {"from": "yesterday"}),
        ("to", {"to": "2026-13-01T00:00"}),
        ("to", {"from": "2026-11-02T00:00", "to": "2026-11-01T00:00"}),
    ):
        with pytest.raises(FilterMistakeError) as raised:
            read(form(shown, range="custom", **times), UTC)
        assert raised.value.mistake.field == name


def test_without_a_word_the_last_week_is_shown() -> None:
    assert read({}, UTC).range_name == "7d"
    assert read({"range": "nonsense"}, UTC).range_name == "7d"
    assert read({"range": "all"}, UTC).range_name is None
    assert read({"q": "created:2026-11-01", "range": "24h"}, UTC).range_name is None


def test_links_of_a_filter_never_ask_for_more_than_a_query_can_hold() -> None:
    full = read({"q": " ".join(f"w{n}" for n in range(49)) + " created:2026-11-24"}, UTC)
    assert full.with_term("actor", "alice") == full
    assert full.with_term("target", "x" * 10_000) == full


@pytest.mark.parametrize("time_ms", [0, 1_795_000_000_000, 1_795_000_012_000])
def test_a_field_of_a_time_reads_back(time_ms: int) -> None:
    for zone in (UTC, BERLIN):
        assert field_time(field_text(time_ms, zone), zone) == time_ms


def test_all_of_an_actor_keeps_the_time_and_nothing_else() -> None:
    for query, range_name in (
        ("namespace:pay* action:pod.*", "7d"),
        ("created:>=2026-11-01 actor:bob@acme.com -type:pod", None),
    ):
        found = LogFilter(parse(query), range_name)
        alone = found.alone("actor", "alice@acme.com")
        assert alone.range_name == range_name
        assert alone.created == found.created
        assert alone.value_of("actor") == "alice@acme.com"
        assert alone.with_term("actor", "").query.terms == tuple(
            term for term in found.query.terms if term == found.created
        )
