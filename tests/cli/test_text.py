"""Text, times, fields and widths: small rules that every form relies on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_cli.output.event_view import details_text, target_text
from radar_audit_cli.output.fields import only, read_fields, value_at
from radar_audit_cli.output.widths import GAP_CELLS, fit
from radar_audit_cli.progress import LineProgress
from radar_audit_cli.text import json_text, visible
from radar_audit_cli.times import duration, lower_bound, shown_time, upper_bound, zone_name

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.text())
def test_visible_text_is_printable_and_printable_text_is_left_alone(text: str) -> None:
    assert visible(text).isprintable()
    if text.isprintable():
        assert visible(text) == text


@given(_JSON, st.sampled_from([None, 2]))
def test_json_says_the_same_and_shows_nothing_unprintable(value: Any, indent: int | None) -> None:
    text = json_text(value, indent=indent)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
    assert indent is not None or "\n" not in text
    text.encode()


_COLUMN = st.tuples(st.integers(1, 200), st.integers(1, 20), st.integers(1, 3))


@given(st.lists(_COLUMN, min_size=1, max_size=8), st.integers(1, 300))
def test_columns_fit_if_they_can_and_never_grow(
    columns: list[tuple[int, int, int]], available: int
) -> None:
    natural, least, weights = ([column[i] for column in columns] for i in range(3))
    widths = fit(natural, least, weights, available)
    gaps = GAP_CELLS * (len(columns) - 1)
    assert all(1 <= width <= most for width, most in zip(widths, natural, strict=True))
    assert sum(widths) + gaps <= max(available, len(columns) + gaps)
    floor = [min(pair) for pair in zip(natural, least, strict=True)]
    if sum(floor) + gaps <= available:
        assert all(width >= low for width, low in zip(widths, floor, strict=True))


def test_dates_are_whole_utc_days_and_instants_are_exact() -> None:
    assert lower_bound("2026-11-01", "--from") == "2026-11-01T00:00:00.000Z"
    assert upper_bound("2026-11-01", "--to") == "2026-11-02T00:00:00.000Z"
    assert upper_bound("2026-11-01T10:00:00+02:00", "--to") == "2026-11-01T08:00:00.000Z"
    assert upper_bound("9999-12-31", "--to") == "9999-12-31T23:59:59.999Z"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_times_are_shown_in_the_local_zone_unless_utc(berlin: None) -> None:
    winter, summer = "2026-11-24T10:00:00.123Z", "2026-07-24T10:00:00.123Z"
    assert shown_time(winter, utc=False) == "2026-11-24 11:00:00"
    assert shown_time(summer, utc=False) == "2026-07-24 12:00:00"
    assert shown_time(summer, utc=False, fine=True) == "2026-07-24 12:00:00.123+0200"
    assert shown_time(summer, utc=True) == "2026-07-24 10:00:00"
    assert zone_name(utc=False) == "CET/CEST"
    assert zone_name(utc=True) == "UTC"
    assert shown_time("9999-12-31T23:59:59.999Z", utc=False) == "9999-12-31T23:59:59.999Z"
    assert shown_time("soon", utc=False) == "soon"


def test_lengths_of_time_read_well() -> None:
    shown = [duration(ms) for ms in (0, 42_123, 59_999, 60_000, 185_000, 8_040_000)]
    assert shown == ["0.0s", "42.1s", "60.0s", "1m00s", "3m05s", "2h14m"]


def test_a_dotted_name_finds_keys_that_hold_dots() -> None:
    item = {"metadata": {"labels": {"a.b/c": 1}, "x": {"y": [1]}}, "id": "ae_1"}
    assert value_at(item, "metadata.labels.a.b/c") == 1
    assert value_at(item, "metadata.x.y") == [1]
    assert value_at(item, "metadata.x.y.z") is None
    assert value_at(item, "id.x") is None
    assert only(item, ("id", "metadata.x.y", "metadata.none")) == {
        "id": "ae_1",
        "metadata": {"x.y": [1], "none": None},
    }
    assert only(item, ("metadata", "metadata.x.y")) == {"metadata": item["metadata"]}
    assert read_fields(" id , metadata.x ", ("id", "metadata"), ("metadata",)) == (
        "id",
        "metadata.x",
    )


def test_targets_are_named_by_what_people_know() -> None:
    place = {"cluster_name": "prod", "namespace": "pay", "pod": "api", "container": "app"}
    assert target_text({"target_type": "pod", "metadata": place}) == "prod/pay/api:app"
    denied = {"namespace": "pay", "pod": "api", "attempted_action": "pod.exec"}
    event = {"target_type": "cluster", "target_id": "cl_1", "metadata": denied}
    assert target_text(event) == "pay/api in cl_1"
    assert details_text(event) == "attempted_action=pod.exec"
    assert (
        target_text({"target_type": "pat", "target_id": "pat_1", "metadata": {"name": "ci"}})
        == "ci"
    )
    assert (
        target_text({"target_type": "auth", "target_id": "user_1", "metadata": "odd"}) == "user_1"
    )


def test_details_show_lengths_of_time_and_leave_out_what_the_target_says() -> None:
    metadata = {"pod": "api", "duration_ms": 42_123, "observed": True, "started_at": None}
    assert details_text({"metadata": metadata}) == "42.1s observed=true"


def test_progress_without_a_terminal_is_a_line_each_ten_seconds() -> None:
    lines: list[str] = []
    clock = [0.0]

    class Stream:
        def write(self, text: str) -> None:
            lines.append(text)

        def flush(self) -> None:
            pass

    progress = LineProgress(1000, Stream(), clock=lambda: clock[0])  # type: ignore[arg-type]
    for seconds in range(25):
        clock[0] = float(seconds)
        progress.advance(10, 1_000_000)
    progress.close()
    assert lines == [
        "110 of about 1000 events, 11.0 MB\n",
        "210 of about 1000 events, 21.0 MB\n",
    ]
