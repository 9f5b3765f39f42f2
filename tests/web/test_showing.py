"""Text that anybody may have chosen is shown harmlessly, and nothing of it is lost."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.ids import MAX_MS
from radar_audit_hub.web.showing import is_deceptive, json_line, json_text, plain_name, shown
from radar_audit_hub.web.zones import ago, field_text, field_time, written, zone_named

from tests.support.pages import Elements

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


class Balanced(HTMLParser):
    """Counts what is open."""

    depth = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


@given(ANY_TEXT)
def test_no_text_becomes_markup_or_deceives(text: str) -> None:
    made = str(shown(text))
    found = Elements(made)
    assert {tag for tag, _ in found.tags} <= {"bdi", "span"}
    checked = Balanced()
    checked.feed(made)
    assert checked.depth == 0
    assert not [char for char in made if is_deceptive(char)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<script>", "&lt;script&gt;"),
        ('" onclick="x', "&#34; onclick=&#34;x"),
        ("a\u202eb", "U+202E"),
        ("a\u2067b", "U+2067"),
        ("a\u200bb", "U+200B"),
        ("a\x1b[31m", "U+001B"),
        ("a\nb", "U+000A"),
        ("\u3164", "U+3164"),
    ],
)
def test_what_deceives_is_spelled_out(text: str, part: str) -> None:
    assert part in shown(text)


def test_marks_on_one_letter_do_not_paint_over_other_lines() -> None:
    assert shown("e\u0301") == "<bdi>e\u0301</bdi>"
    assert str(shown("Z" + "\u0301" * 50)).count("\u0301") == 3


@pytest.mark.parametrize(
    "text", ["\u202e" * 10_000, "Z" + "\u0301" * 9_999, "\u202ex\u2066y" * 2_500]
)
def test_no_text_is_spelled_out_without_end(text: str) -> None:
    made = shown(text, 12_000)
    assert "10,000 characters" in made
    assert made.count("U+") == 40
    assert len(made) < 4000


def test_a_long_text_is_cut_and_says_how_long_it_is() -> None:
    made = shown("x" * 10_000)
    assert "10,000 characters" in made
    assert len(made) < 300
    assert "x" * 10_000 in shown("x" * 10_000, 12_000)


@given(st.recursive(ANY_TEXT | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_json_is_the_same_json_without_what_deceives(value: object) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert not [char for char in text if char != "\n" and is_deceptive(char)]


def test_a_value_of_the_metadata_is_one_line() -> None:
    assert json_line({"team": ["a", "b"], "on": True}) == '{"team": ["a", "b"], "on": true}'
    assert "U+000A" not in shown(json_line({"a": {"b": [1, 2]}}))


@pytest.mark.parametrize(
    ("length_ms", "words"),
    [
        (-5, "just now"),
        (59_999, "just now"),
        (60_000, "1 min ago"),
        (3_599_999, "59 min ago"),
        (86_399_999, "23 h ago"),
        (86_400_000 * 1200, "1,200 d ago"),
    ],
)
def test_how_long_ago_is_told_in_the_largest_unit(length_ms: int, words: str) -> None:
    assert ago(length_ms) == words


@given(ANY_TEXT)
def test_a_name_for_an_attribute_has_no_hidden_characters(text: str) -> None:
    assert not [char for char in plain_name(text) if is_deceptive(char)]


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "UTC", "America/Adak"])
@pytest.mark.parametrize("time_ms", [0, MAX_MS])
def test_first_and_last_time_are_shown_in_every_zone(time_ms: int, name: str) -> None:
    zone = zone_named(name)
    text = field_text(time_ms, zone)
    assert text[:4] in written(time_ms, zone)
    if time_ms:
        assert abs(field_time(text, zone) - time_ms) <= 15 * 3_600_000
