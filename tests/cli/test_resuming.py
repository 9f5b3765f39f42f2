"""Going on with an export: any cut, any pieces, many events in one millisecond."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_cli.errors import CliError
from radar_audit_cli.resuming import SeenFilter, find_resume_point
from radar_audit_events.ids import format_ms, parse_ms


def _line(number: int, time_ms: int) -> bytes:
    event = {"id": f"ae_{number}", "created_at": format_ms(time_ms), "metadata": {"n": number}}
    return json.dumps(event).encode() + b"\n"


@given(st.data())
def test_any_cut_is_gone_on_with_once_each(data: st.DataObject) -> None:
    times = sorted(data.draw(st.lists(st.integers(0, 5), max_size=30)), reverse=True)
    lines = [_line(number, time_ms) for number, time_ms in enumerate(times)]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        path.write_bytes(whole[:cut])
        point = find_resume_point(path)
    kept = whole[: point.size_bytes] if point else b""
    until_ms = parse_ms(point.until) if point else 100
    rest = [line for line, time_ms in zip(lines, times, strict=True) if time_ms < until_ms]
    # Within a millisecond the hub may answer in another order than before.
    if point is not None:
        tied = [line for line in rest if json.loads(line)["created_at"] == format_ms(point.time_ms)]
        rest = data.draw(st.permutations(tied)) + rest[len(tied) :]
    answer = b"".join(rest)
    seen = SeenFilter(point)
    step = data.draw(st.integers(1, 200))
    new = b"".join(seen.feed(answer[i : i + step]) for i in range(0, len(answer), step))
    assert sorted((kept + new).splitlines()) == sorted(whole.splitlines())
    stamps = [json.loads(line)["created_at"] for line in (kept + new).splitlines()]
    assert stamps == sorted(stamps, reverse=True)


def test_a_file_without_a_whole_line_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"")
    assert find_resume_point(path) is None
    path.write_bytes(b'{"id": "ae_1", "cre')
    assert find_resume_point(path) is None


@pytest.mark.parametrize(
    "tail", [b"\0" * 100 + b"\n", b"[]\n", b'{"id":"x"}\n', b"id,created_at\n"]
)
def test_a_tail_that_is_no_event_is_refused(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "part"
    path.write_bytes(_line(1, 1000) + tail + b"\n")
    with pytest.raises(CliError, match="is no event"):
        find_resume_point(path)
