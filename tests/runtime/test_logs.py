"""Guards the log lines: one JSON object a line, and nothing in it that was not scrubbed."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from radar_audit_runtime.logs import configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What a part with level debug writes; the root logger is put back afterwards."""
    root = logging.getLogger()
    kept = root.handlers, root.level, logging.raiseExceptions
    written = io.StringIO()
    configure("collector", "debug", written, lambda text: re.sub(r"CANARY\w*", "[gone]", text))
    yield written
    root.handlers, level, logging.raiseExceptions = kept
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_where_and_what(stream: io.StringIO) -> None:
    logging.getLogger("a.b").warning("%s left", 3, extra={"left": 3, "path": "/x", "none": None})
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning", "component": "collector", "logger": "a.b", "message": "3 left",
        "left": 3, "path": "/x", "none": None,
    }  # fmt: skip


def test_message_fields_and_trace_are_scrubbed(stream: io.StringIO) -> None:
    try:
        raise ValueError("CANARY1") from KeyError("CANARY2")
    except ValueError:
        logging.getLogger().exception(
            "CANARY3 %s", "CANARY4", extra={"x": "CANARY5", "y": ["CANARY6"]}
        )
    (line,) = lines(stream)
    assert "CANARY" not in stream.getvalue()
    assert line["exception"] == "ValueError"
    assert "ValueError: [gone]" in line["trace"]
    assert line["y"] == "['[gone]']"


def test_an_extra_field_cannot_replace_what_a_line_always_says(stream: io.StringIO) -> None:
    logging.getLogger().info("hello", extra={"component": "forged", "level": "forged"})
    assert (lines(stream)[0]["component"], lines(stream)[0]["level"]) == ("collector", "info")


def test_a_message_over_several_lines_stays_one_line(stream: io.StringIO) -> None:
    logging.getLogger().info("first\nsecond\u2028third")
    assert stream.getvalue().count("\n") == 1


def test_warnings_are_lines_as_well(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("CANARY", stacklevel=1)
    assert lines(stream)[0]["logger"] == "py.warnings"
    assert "CANARY" not in stream.getvalue()


def test_a_record_that_cannot_be_formatted_is_not_printed_unscrubbed(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().info("%d of them", "CANARY")
    assert "CANARY" not in stream.getvalue()
    assert capsys.readouterr().err == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure("collector", "loud", io.StringIO(), str)
