"""The commands that only look: `check` and `spool`.

Owns their output on a terminal. Called by `main`. Never shows argv, a query
string or a token: a line is shown by what a record keeps of it, no more.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from radar_audit_events.ids import format_ms

from .capture.logfile import MAX_LINE_BYTES
from .classify import ClassifyRules, Reason
from .explain import WHY, explain, printable
from .spool_reader import read_dead_letters, read_view
from .spool_records import DeadLetter

RECORDED, NOT_RECORDED = 0, 5


def check(file: str, output: str, rules: ClassifyRules) -> int:
    """Explain each line of `file` (`-`: standard input); return 0 if one is recorded, else 5.

    As text, more than one line are summed up at the end. Raises OSError.
    """
    counts = Counter[Reason | None]()
    for number, line in _lines(file):
        explanation = explain(line, rules)
        counts[explanation.reason] += 1
        if output == "json":
            _print(_json({"line": number, **asdict(explanation)}))
        else:
            _print(f"line {number}: {explanation.text()}\n")
    if output == "text" and counts.total() > 1:
        _print(_summed_up(counts))
    return RECORDED if counts[None] else NOT_RECORDED


def _summed_up(counts: Counter[Reason | None]) -> str:
    recorded, total = counts[None], counts.total()
    left_out = [f"{n:>7}  {WHY[reason]}" for reason, n in counts.most_common() if reason]
    one_row = "; lines that tell the same make one row" if recorded > 1 else ""
    others = ["Why the others are not:", *left_out] if left_out else []
    return "\n".join([f"Of {total} lines {recorded} would be recorded{one_row}.", *others])


def show_spool(directory: Path, output: str) -> None:
    """Print the depth of the spool and its gaps. Raises SpoolError."""
    view = read_view(directory)
    if output == "json":
        _print(_json({**asdict(view), "gaps": [asdict(gap) for gap in view.gaps]}))
        return
    _print(f"events waiting   {view.events} ({view.held} ahead of the hub's clock)")
    _print(f"oldest           {_when(view.oldest_at_ms)}")
    _print(f"newest           {_when(view.newest_at_ms)}")
    _print(f"dead letters     {view.dead_letters}")
    _print(f"on disk          {view.file_bytes} bytes")
    for gap in view.gaps:
        count = gap.count or "an unknown number of"
        _print(
            f"lost             {count} events, {_when(gap.from_ms)} to {_when(gap.to_ms)}, "
            f"{gap.reason}"
        )


def show_dead_letters(directory: Path, output: str, limit: int) -> None:
    """Print the newest refused events, oldest first. Raises SpoolError."""
    letters = read_dead_letters(directory, limit)
    if not letters and output == "text":
        _print("no dead letters")
    for letter in letters:
        event = _event(letter)
        if output == "json":
            _print(
                _json(
                    {
                        "refused_at": _when(letter.refused_ms),
                        "code": letter.code,
                        "message": letter.message,
                        "event": event,
                    }
                )
            )
        else:
            _print(
                printable(
                    f"{_when(letter.refused_ms)}  {letter.code}  {event.get('action')}  session "
                    f"{event.get('session_id')} of {_when(letter.at_ms)}: {letter.message}"
                )
            )


def _event(letter: DeadLetter) -> dict[str, Any]:
    """Return a refused event; nothing of one that the disk has garbled."""
    try:
        return msgspec.json.decode(letter.payload, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        return {}


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold anything, with their numbers from 1.

    One that is too long comes in unreadable pieces of the same number.
    """
    number = 1
    with _opened(file) as stream:
        while line := stream.readline(MAX_LINE_BYTES):
            if line.strip():
                yield number, line
            number += line.endswith(b"\n")


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
    else:
        with Path(file).open("rb") as stream:
            yield stream


def _when(time_ms: int | None) -> str:
    return "-" if time_ms is None else format_ms(max(time_ms, 0))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _print(text: str) -> None:
    print(text)  # noqa: T201 - this is for a person
